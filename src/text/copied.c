/* Words of what was said, and tools bound to them (see copied.h). What was said comes from anyone:
 * it is read backwards and no further than its last words, and what is written of it is bounded. */
#include "text/copied.h"

#include <string.h>

#include "text/json_tree.h"
#include "text/utf8.h"

enum { MOST_DEPTH = 256 }; /* of the tools' JSON */

/* ---- words ---- */

static bool is_blank(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_control(unsigned char c)
{
    return (c < ' ' && !is_blank(c)) || c == 0x7F;
}

/* The mark of the list that the text begins (or ends) with, in bytes; 0: none. */
static size_t mark_at(Span text, bool end, const char *const *marks)
{
    for (; *marks; marks++) {
        size_t n = strlen(*marks);
        if (n <= text.size && memcmp(text.data + (end ? text.size - n : 0), *marks, n) == 0)
            return n;
    }
    return 0;
}

static CopiedWord word_of(Span text)
{
    static const char *const before[] = {"\"", "'", "(", "[", "{", "<", "“", "‘", "„", "«", NULL};
    static const char *const after[] = {".", ",", "!", "?", ";", ":", "\"", "'", ")",
                                        "]", "}", ">", "”", "’", "“", "»",  "…", NULL};
    CopiedWord word = {.text = text, .core = text.size};
    size_t n;
    while ((n = mark_at((Span){text.data + word.lead, text.size - word.lead}, false, before)))
        word.lead += n;
    while ((n = mark_at((Span){text.data, word.core}, true, after))) word.core -= n;
    if (word.core <= word.lead) word.core = text.size; /* marks alone are a word too */
    return word;
}

size_t copied_words(const Span *texts, size_t n, CopiedWord words[COPIED_WORDS])
{
    size_t first = COPIED_WORDS;
    while (n-- && first) {
        const char *data = texts[n].data;
        size_t at = texts[n].size;
        bool next_joins = false; /* the word after, which was found before */
        while (first) {
            while (at && (is_blank((unsigned char)data[at - 1]) ||
                          is_control((unsigned char)data[at - 1])))
                next_joins = !is_control((unsigned char)data[--at]) && next_joins;
            if (!at) break;
            size_t end = at;
            while (at && !is_blank((unsigned char)data[at - 1]) &&
                   !is_control((unsigned char)data[at - 1]))
                at--;
            Span text = {data + at, end - at};
            bool good = text.size <= COPIED_WORD_BYTES && utf8_valid(text.data, text.size);
            if (first < COPIED_WORDS) words[first].joins = next_joins && good;
            if (good) words[--first] = word_of(text);
            next_joins = good;
        }
        if (first < COPIED_WORDS) words[first].joins = false;
    }
    memmove(words, words + first, (COPIED_WORDS - first) * sizeof *words);
    return COPIED_WORDS - first;
}

/* ---- tools ---- */

/* A JSON array of runs of words. False: no span begins in any. */
static bool write_said(const CopiedWord *words, size_t n, Buf *out)
{
    Buf run = {0};
    bool any = false;
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n || !words[i + 1].joins;
        any = any || words[i].lead < words[i].text.size;
        buf_add(&run, words[i].text.data, words[i].text.size);
        if (!last) buf_char(&run, ' ');
        if (!last) continue;
        json_string_write(out, (Span){run.data, run.size});
        if (i + 1 < n) buf_char(out, ',');
        out->failed = out->failed || run.failed;
        buf_clear(&run);
    }
    buf_char(out, ']');
    buf_close(&run);
    return any;
}

static bool is_open(const JsonTree *tree, const JsonNode *node)
{
    uint32_t type = json_tree_get(tree, node->parent, SPAN("type"));
    return node->kind == JSON_KIND_TRUE && span_is(node->key, "x-copied") && type &&
           tree->nodes[type].kind == JSON_KIND_STRING && span_is(tree->nodes[type].text, "string");
}

bt_status copied_bind(Span tools, const Span *said, size_t n, Buf *out, bool *bound, bt_error *err)
{
    CopiedWord words[COPIED_WORDS];
    JsonTree tree;
    Buf list = {0};
    size_t at = 0, n_words = copied_words(said, n, words);
    *bound = false;
    if (!n_words) return BT_OK;
    bt_status status = json_tree_open(tools, MOST_DEPTH, NULL, &tree, err);
    if (status) return status;
    bool any = write_said(words, n_words, &list);
    for (uint32_t i = 1; i < tree.n && any; i++) {
        if (!is_open(&tree, &tree.nodes[i])) continue;
        buf_add(out, tools.data + at, tree.nodes[i].offset - at);
        buf_add(out, list.data, list.size);
        at = tree.nodes[i].offset + strlen("true");
        *bound = true;
    }
    if (*bound) buf_add(out, tools.data + at, tools.size - at);
    if (list.failed || out->failed) status = bt_fail_memory(err, "the tools", tools.size);
    buf_close(&list);
    json_tree_close(&tree);
    return status;
}
