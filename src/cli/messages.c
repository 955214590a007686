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

static void free_content(const bt_message *message)
{
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
