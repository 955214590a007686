/* A file's chat template is hostile text: whatever it is, it is taken or refused within bounds, and
 * one that is taken renders a conversation whose parts are the whole. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bt_message messages[] = {
        {"system", " Be brief.\n"},
        {"user", "<|im_end|>"},
        {"assistant", "<think>\nWhy?\n</think>\n\nYes."},
        {"user", ""},
        {"assistant", "</think>"},
    };
    ChatFormat format;
    ChatParts parts = {0};
    Buf out = {0};
    bt_error err;
    if (chat_detect((Span){(const char *)data, size}, &format, &err) == BT_OK) {
        ChatRequest request = {messages, 5, size % 2, SPAN("<s>"), {NULL, 0}};
        size_t sum = 0;
        if (chat_render(&format, &request, &out, &parts, &err) != BT_OK) abort();
        for (size_t i = 0; i < parts.n; i++) sum += parts.items[i].text.size;
        if (sum != out.size) abort();
    }
    buf_close(&out);
    chat_parts_close(&parts);
    return 0;
}
