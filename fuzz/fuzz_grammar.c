/* Grammars and schemas: the first byte says which (and whether thoughts may come first), the second
 * seeds a walk, the rest is the text. Whatever compiles is walked by random allowed tokens: each
 * set must agree with trying every token and with asking of each, and a text of a schema that has
 * ended must be JSON. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/grammar.h"
#include "text/json_tree.h"

enum { N_TOKENS = 340, STEPS = 24 };

static TokenSet *tokens(void)
{
    static const char *const pieces[] = {
        "\"",   "\",",      "\":",      "{}",       "[]",      ", ",   "\": ", "null",
        "true", "ab",       "name",     "12",       "-0",      ".5",   "e+",   "\\u",
        "\\\"", "\xc3\xa9", "\xf0\x9f", "</think>", "<think>", "\n  ", "a\"",  "]}"};
    enum { N_PIECES = sizeof pieces / sizeof pieces[0] };
    static char text[N_TOKENS][16];
    static Span spans[N_TOKENS];
    static bool control[N_TOKENS], ends[N_TOKENS];
    static TokenSet *set;
    if (set) return set;
    for (int i = 0; i < N_TOKENS; i++) {
        if (i < 256) {
            text[i][0] = (char)i;
            spans[i] = (Span){text[i], 1};
        } else {
            spans[i] = span_of(pieces[(i * 7) % N_PIECES]);
        }
        control[i] = i > 330;
        ends[i] = i == 339;
    }
    if (token_set_of(spans, control, ends, N_TOKENS, &set, NULL) != BT_OK) abort();
    return set;
}

static void hold_set(GrammarMask *m, RunState *at, uint64_t *copy)
{
    uint64_t cut = m->n_cut;
    int asked[N_TOKENS];
    grammar_mask_wide(m, at);
    for (uint32_t id = 0; id < m->set->n; id++) asked[id] = grammar_mask_allows(m, at, id);
    memcpy(copy, grammar_mask_of(m, at), m->set->words * sizeof *copy);
    if (m->n_cut != cut) return; /* cut short: fewer are allowed */
    for (uint32_t id = 0; id < m->set->n; id++) {
        RunState trial = {0};
        run_state_copy(m->run, &trial, at);
        bool takes = grammar_mask_accept(m, &trial, id);
        run_state_close(&trial);
        if (takes != token_set_has(copy, id) && !m->run->full) abort();
        if (asked[id] >= 0 && asked[id] != (int)takes && !m->run->full) abort();
    }
}

static void check_json(const Buf *text)
{
    JsonTree tree;
    size_t used;
    bt_error err;
    if (text->failed) return;
    if (json_tree_open((Span){text->data, text->size}, 2000, &used, &tree, &err) == BT_OK)
        json_tree_close(&tree);
    else if (!strstr(err.text, "twice")) /* other keys may come twice */
        abort();
}

static void walk(const Grammar *g, unsigned seed, bool schema)
{
    GrammarMask *m;
    RunState at = {0};
    Buf text = {0};
    uint64_t allowed[(N_TOKENS + 63) / 64];
    if (grammar_mask_open(g, tokens(), &m, NULL) != BT_OK) return;
    run_state_open(m->run, &at);
    for (int step = 0; step < STEPS; step++) {
        hold_set(m, &at, allowed);
        if (schema && run_ends(m->run, at.config)) check_json(&text);
        seed = seed * 1664525u + 1013904223u;
        uint32_t id = (seed >> 8) % N_TOKENS, tries = 0;
        while (!token_set_has(allowed, id) && tries++ < N_TOKENS) id = (id + 1) % N_TOKENS;
        if (tries >= N_TOKENS || token_set_has(m->set->ends, id)) break;
        if (!grammar_mask_accept(m, &at, id) && !m->run->full) abort();
        Span bytes = token_set_text(m->set, id);
        buf_add(&text, bytes.data, bytes.size);
    }
    run_state_close(&at);
    grammar_mask_close(&m);
    buf_close(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bt_grammar_options thinks = {.after = "</think>", .opens = "<think>"};
    Grammar *g;
    if (size < 2) return 0;
    bool schema = data[0] & 1, think = data[0] & 2;
    Span text = {(const char *)data + 2, size - 2};
    if (grammar_compile(schema ? BT_GRAMMAR_SCHEMA : BT_GRAMMAR_GBNF, text, think ? &thinks : NULL,
                        &g, NULL) != BT_OK)
        return 0;
    walk(g, data[1], schema && !think);
    grammar_close(&g);
    return 0;
}
