/* Any bytes as data to learn from: the first byte says whether they are JSON lines or text. Each
 * document that is handed on is what its header promises (see train/data.h). */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "train/data.h"

static void promise(bool kept)
{
    if (!kept) abort();
}

static bt_status see(void *user, const DataDoc *doc, bt_error *err)
{
    uint64_t *last = user;
    (void)err;
    promise(doc->file && doc->line >= *last);
    *last = doc->line;
    if (doc->kind != DATA_CHAT) {
        promise(!doc->messages && doc->text.data);
        return BT_OK;
    }
    promise(json_array_size(doc->messages) > 0);
    promise(doc->first_counted <= json_array_size(doc->messages));
    promise(!doc->tools || json_array_size(doc->tools) > 0);
    for (size_t i = 0; i < json_array_size(doc->messages); i++)
        promise(json_is_string(json_object_get(json_array_get(doc->messages, i), "role")));
    return BT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const DataOptions options = {.lenient = size % 2};
    bt_error err = {0};
    DataCount count;
    uint64_t line = 0;
    int64_t live = mem_live();
    const char *name = size && bytes[0] >= 'a' && bytes[0] <= 'z' ? "fuzz.txt" : "fuzz.jsonl";
    Span all = {(const char *)bytes, size};
    bt_status status = data_read_bytes(name, all, &options, see, &line, &count, &err);
    promise(!status || (err.text[0] && !strchr(err.text, '\n')));
    promise(status || count.documents > 0);
    promise(mem_live() == live);
    return 0;
}
