/* The messages of a chat (see chat.h). Roles are literals, contents are copies. */
#include <string.h>

#include "base/mem.h"
#include "cli/chat.h"

bool messages_add(Messages *m, const char *role, const char *content)
{
    if (m->n == m->capacity) {
        size_t capacity = m->capacity * 2 + 16;
        bt_message *grown = mem_realloc(m->list, capacity * sizeof *grown);
        if (!grown) return false;
        m->list = grown;
        m->capacity = capacity;
    }
    char *copy = mem_strdup(content);
    if (!copy) return false;
    m->list[m->n++] = (bt_message){role, copy};
    return true;
}

/* Calls and their strings in one piece of memory. */
static bt_tool_call *copy_calls(const json_t *calls, size_t n)
{
    static const char *const keys[] = {"name", "arguments"};
    size_t size = n * sizeof(bt_tool_call);
    for (int pass = 0; pass < 2; pass++) {
        bt_tool_call *copy = pass ? mem_alloc(size) : NULL;
        char *at = copy ? (char *)(copy + n) : NULL;
        if (pass && !copy) return NULL;
        for (size_t i = 0; i < n; i++) {
            const json_t *call = json_array_get(calls, i);
            const json_t *function = json_object_get(call, "function");
            const char *texts[3] = {json_string_value(json_object_get(call, "id"))};
            for (int k = 0; k < 2; k++)
                texts[k + 1] = json_string_value(json_object_get(function, keys[k]));
            const char *kept[3];
            for (int k = 0; k < 3; k++) {
                size_t length = strlen(texts[k] ? texts[k] : "") + 1;
                if (!copy) {
                    size += length;
                    continue;
                }
                kept[k] = memcpy(at, texts[k] ? texts[k] : "", length);
                at += length;
            }
            if (copy) copy[i] = (bt_tool_call){kept[0], kept[1], kept[2]};
        }
        if (copy) return copy;
    }
    return NULL;
}

bool messages_add_calls(Messages *m, const char *content, const json_t *calls)
{
    size_t n = json_array_size(calls);
    if (!messages_add(m, "assistant", content)) return false;
    bt_tool_call *copy = copy_calls(calls, n);
    if (!copy) {
        messages_drop(m, m->n - 1, 1);
        return false;
    }
    m->list[m->n - 1].tool_calls = copy;
    m->list[m->n - 1].n_tool_calls = n;
    return true;
}

static void free_content(const bt_message *message)
{
    bt_tool_call *calls;
    memcpy(&calls, &message->tool_calls, sizeof calls);
    mem_free(calls);
    char *content;
    memcpy(&content, &message->content, sizeof content); /* ours, though the field is const */
    mem_free(content);
}

void messages_drop(Messages *m, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++) free_content(&m->list[i]);
    size_t after = m->n - at - n;
    if (after) memmove(m->list + at, m->list + at + n, after * sizeof *m->list);
    m->n -= n;
}

void messages_close(Messages *m)
{
    messages_drop(m, 0, m->n);
    mem_free(m->list);
    *m = (Messages){0};
}
