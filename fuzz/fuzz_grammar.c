/* Grammars and schemas. The bits of the first byte say: a schema; thoughts may come first; a large
 * vocabulary, in which tokens that a grammar treats alike are taken together; sets made ahead as
 * well. The second byte seeds a walk, the rest is the text. Whatever compiles is walked by random
 * allowed tokens: each set must agree with trying tokens and with asking of each, one made ahead
 * with one made when it is asked for, and a text of a schema that has ended must be JSON. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/grammar.h"
#include "text/json_tree.h"

enum { N_TOKENS = 340, N_LARGE = 6000, LONGEST = 16, STEPS = 24 };
enum { SCHEMA = 1, THINKS = 2, LARGE = 4, AHEAD = 8 };

/* Words after few different first bytes, so that there are thousands below one. */
static Span large_token(uint32_t i, char *text)
{
    static const char first[] = "    aTs1\"-", inner[] = "etainoshrdlucmETA01-._@:/ \"\\,\xc3\xa9";
    uint32_t r = i * 2654435761u, n = 2 + (r >> 28) % 9;
    text[0] = first[i % (sizeof first - 1)];
    for (uint32_t k = 1; k < n; k++) {
        r = r * 1664525u + 1013904223u;
        uint32_t c = r >> 8;
        text[k] = inner[c % (i % 4 ? 12 : sizeof inner - 1)]; /* most are letters alone */
    }
    return (Span){text, n};
}

static TokenSet *make_tokens(uint32_t n)
{
    static const char *const pieces[] = {
        "\"",   "\",",      "\":",      "{}",       "[]",      ", ",   "\": ", "null",
        "true", "ab",       "name",     "12",       "-0",      ".5",   "e+",   "\\u",
        "\\\"", "\xc3\xa9", "\xf0\x9f", "</think>", "<think>", "\n  ", "a\"",  "]}"};
    enum { N_PIECES = sizeof pieces / sizeof pieces[0] };
    static char text[N_LARGE][LONGEST];
    static Span spans[N_LARGE];
    static bool control[N_LARGE], ends[N_LARGE];
    TokenSet *set;
    for (uint32_t i = 0; i < n; i++) {
        if (i < 256) {
            text[i][0] = (char)i;
            spans[i] = (Span){text[i], 1};
        } else {
            spans[i] = i < N_TOKENS ? span_of(pieces[(i * 7) % N_PIECES]) : large_token(i, text[i]);
        }
        control[i] = i > 330 && i < N_TOKENS;
        ends[i] = i == 339;
    }
    if (token_set_of(spans, control, ends, n, &set, NULL) != BT_OK) abort();
    return set;
}

static const TokenSet *tokens(bool large)
{
    static TokenSet *sets[2];
    if (!sets[large]) sets[large] = make_tokens(large ? N_LARGE : N_TOKENS);
    return sets[large];
}

/* Every token, of a large vocabulary some. */
static uint32_t stride(const GrammarMask *m)
{
    return m->set->n > N_TOKENS ? 7 : 1;
}

static void hold_set(GrammarMask *m, RunState *at, uint64_t *copy)
{
    static int8_t asked[N_LARGE];
    uint64_t cut = m->n_cut;
    uint32_t n = m->set->n, by = stride(m), first = at->config % by;
    grammar_mask_wide(m, at);
    for (uint32_t id = first; id < n; id += by) asked[id] = (int8_t)grammar_mask_allows(m, at, id);
    memcpy(copy, grammar_mask_of(m, at), m->set->words * sizeof *copy);
    if (m->n_cut != cut) return; /* cut short: fewer are allowed */
    for (uint32_t id = first; id < n; id += by) {
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

/* The same walk with sets made when they are asked for, and made ahead (NULL: not looked at), every
 * second one as for a sampler that asks of single tokens first. */
typedef struct Walk {
    GrammarMask *now, *ahead;
    RunState at, at_ahead;
} Walk;

static void hold_ahead(Walk *w, unsigned step, const uint64_t *allowed)
{
    GrammarMask *m = w->ahead;
    if (!m) return;
    grammar_mask_ahead(m, &w->at_ahead, step % 2);
    const uint64_t *made = grammar_mask_of(m, &w->at_ahead);
    if (w->now->n_cut || m->n_cut || w->now->run->full || m->run->full) return;
    if (memcmp(made, allowed, m->set->words * sizeof *made) != 0) abort();
}

/* False: there was too little room to go on. */
static bool moves(GrammarMask *m, RunState *at, uint32_t id)
{
    if (!m || grammar_mask_accept(m, at, id)) return true;
    if (!m->run->full) abort();
    return false;
}

static void walk(Walk *w, unsigned seed, bool schema)
{
    const TokenSet *set = w->now->set;
    Buf text = {0};
    uint64_t allowed[(N_LARGE + 63) / 64];
    for (unsigned step = 0; step < STEPS; step++) {
        hold_set(w->now, &w->at, allowed);
        hold_ahead(w, step, allowed);
        if (schema && run_ends(w->now->run, w->at.config)) check_json(&text);
        seed = seed * 1664525u + 1013904223u;
        uint32_t id = (seed >> 8) % set->n, tries = 0;
        while (!token_set_has(allowed, id) && tries++ < set->n) id = (id + 1) % set->n;
        if (tries >= set->n || token_set_has(set->ends, id)) break;
        if (!moves(w->now, &w->at, id) || !moves(w->ahead, &w->at_ahead, id)) break;
        Span bytes = token_set_text(set, id);
        buf_add(&text, bytes.data, bytes.size);
    }
    buf_close(&text);
}

static bool open_mask(const Grammar *g, bool large, GrammarMask **mask, RunState *at)
{
    if (grammar_mask_open(g, tokens(large), mask, NULL) != BT_OK) return false;
    run_state_open((*mask)->run, at);
    return true;
}

static void close_mask(GrammarMask **mask, RunState *at)
{
    if (!*mask) return;
    run_state_close(at);
    grammar_mask_close(mask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bt_grammar_options thinks = {.after = "</think>", .opens = "<think>"};
    Grammar *g;
    Walk w = {0};
    if (size < 2) return 0;
    unsigned how = data[0];
    Span text = {(const char *)data + 2, size - 2};
    if (grammar_compile(how & SCHEMA ? BT_GRAMMAR_SCHEMA : BT_GRAMMAR_GBNF, text,
                        how & THINKS ? &thinks : NULL, &g, NULL) != BT_OK)
        return 0;
    if (open_mask(g, how & LARGE, &w.now, &w.at) &&
        (!(how & AHEAD) || open_mask(g, how & LARGE, &w.ahead, &w.at_ahead)))
        walk(&w, data[1], how & SCHEMA && !(how & THINKS));
    close_mask(&w.ahead, &w.at_ahead);
    close_mask(&w.now, &w.at);
    grammar_close(&g);
    return 0;
}
