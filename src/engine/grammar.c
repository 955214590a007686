/* bt_grammar (see grammar.h and bantam.h). */
#include "engine/grammar.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "text/grammar_gbnf.h"
#include "text/schema.h"

/* A place whose set of tokens is to be made ahead. */
typedef struct Foreseen {
    RunState at;
    GrammarAhead ahead;
} Foreseen;

/* Samplers that wait for the other thread at once; more than a machine that shares a model runs. */
enum { MOST_FORESEEN = 32 };

struct bt_grammar {
    AsideJob job;      /* first: look_ahead */
    atomic_uint holds; /* the caller's and one of each sampler */
    pthread_mutex_t lock;
    Aside *aside; /* borrowed; NULL: none */
    Foreseen foreseen[MOST_FORESEEN];
    int n_foreseen;
    Grammar *automaton;
    GrammarMask *mask;
    const Kernels *kernels;
};

/* ---- compiling ---------------------------------------------------------------------- */

/* Up to two line breaks or a space, as models write them before an answer. */
static uint32_t lead(GrammarBuilder *b, uint32_t from)
{
    uint32_t one = builder_state(b), to = builder_state(b);
    builder_empty(b, from, to);
    builder_bytes(b, from, ' ', ' ', to);
    builder_bytes(b, from, '\n', '\n', one);
    builder_bytes(b, one, '\n', '\n', to);
    builder_empty(b, one, to);
    return to;
}

/* This text, or the control token of that name. */
static uint32_t marker(GrammarBuilder *b, uint32_t from, Span text)
{
    uint32_t to = builder_state(b), control = builder_state(b);
    builder_text_to(b, from, text, to);
    builder_bytes(b, from, GRAMMAR_CONTROL, GRAMMAR_CONTROL, control);
    builder_text_to(b, control, text, to);
    return to;
}

/* Puts in front of `rule` what may or must come before it. */
static uint32_t wrap(GrammarBuilder *b, uint32_t rule, bool blank, const bt_grammar_options *o)
{
    const char *after = o && o->after && *o->after ? o->after : NULL;
    const char *opens = after && o->opens && *o->opens ? o->opens : NULL;
    if (!after && !blank) return rule;
    uint32_t outer = builder_rule(b, (Span){0});
    if (b->no_memory || b->too_large) return 0;
    uint32_t start = b->rules[outer].start, body = builder_state(b);
    if (!after || opens) builder_empty(b, blank ? lead(b, start) : start, body);
    if (after) {
        uint32_t from = opens ? marker(b, lead(b, start), span_of(opens)) : start;
        uint32_t found = builder_state(b);
        builder_until(b, from, span_of(after), true, found);
        builder_empty(b, lead(b, found), body);
    }
    builder_call(b, body, rule, b->rules[outer].end);
    return outer;
}

bt_status grammar_build(GrammarBuilder *b, bt_grammar_kind kind, Span text, uint32_t *rule,
                        bt_error *err)
{
    *rule = 0;
    if (kind == BT_GRAMMAR_GBNF) return gbnf_build(b, text, rule, err);
    if (kind == BT_GRAMMAR_SCHEMA) return schema_build(b, text, NULL, rule, err);
    return bt_fail(err, BT_E_ARGUMENT, "a grammar of an unknown kind (%d)", (int)kind);
}

bt_status grammar_compile(bt_grammar_kind kind, Span text, const bt_grammar_options *options,
                          Grammar **out, bt_error *err)
{
    GrammarBuilder b = {0};
    uint32_t rule = 0;
    *out = NULL;
    bt_status status = grammar_build(&b, kind, text, &rule, err);
    if (status == BT_OK) {
        rule = wrap(&b, rule, kind == BT_GRAMMAR_SCHEMA, options);
        status = grammar_finish(&b, rule, out, err);
    }
    builder_close(&b);
    return status;
}

bt_status grammar_of(Grammar **g, const TokenSet *set, bt_grammar **out, bt_error *err)
{
    bt_grammar *grammar = *out = mem_zalloc(1, sizeof *grammar);
    if (!grammar) {
        grammar_close(g);
        return bt_fail_memory(err, "a grammar", sizeof *grammar);
    }
    atomic_init(&grammar->holds, 1);
    pthread_mutex_init(&grammar->lock, NULL);
    grammar->automaton = *g;
    grammar->kernels = kernels_select(cpu_features());
    *g = NULL;
    bt_status status = grammar_mask_open(grammar->automaton, set, &grammar->mask, err);
    if (status != BT_OK) bt_grammar_close(out);
    return status;
}

void bt_grammar_close(bt_grammar **grammar)
{
    if (!grammar || !*grammar) return;
    bt_grammar *g = *grammar;
    *grammar = NULL;
    if (atomic_fetch_sub(&g->holds, 1) != 1) return;
    if (g->aside) aside_drop(g->aside, &g->job);
    grammar_mask_close(&g->mask);
    grammar_close(&g->automaton);
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
}

bt_grammar *grammar_share(bt_grammar *grammar)
{
    atomic_fetch_add(&grammar->holds, 1);
    return grammar;
}

uint32_t grammar_n_tokens(const bt_grammar *grammar)
{
    return grammar->mask->set->n;
}

/* ---- looking ahead -------------------------------------------------------------------- */

static void look_ahead(AsideJob *job)
{
    bt_grammar *g = (bt_grammar *)job;
    pthread_mutex_lock(&g->lock);
    while (g->n_foreseen) {
        Foreseen *f = &g->foreseen[--g->n_foreseen];
        grammar_mask_ahead(g->mask, &f->at, f->ahead == AHEAD_WIDE);
        run_state_close(&f->at);
        pthread_mutex_unlock(&g->lock); /* others may be waiting */
        pthread_mutex_lock(&g->lock);
    }
    pthread_mutex_unlock(&g->lock);
}

void grammar_use_aside(bt_grammar *g, Aside *aside)
{
    g->aside = aside;
    g->job.run = look_ahead;
}

/* Under the lock. True: the other thread is to be told. */
static bool note_place(bt_grammar *g, const GrammarHold *hold)
{
    if (!g->aside || hold->ahead == AHEAD_NOTHING || hold->lost) return false;
    if (g->n_foreseen == MOST_FORESEEN) return false;
    if (grammar_mask_known(g->mask, &hold->at, hold->ahead == AHEAD_WIDE)) return false;
    Foreseen *f = &g->foreseen[g->n_foreseen++];
    run_state_copy(g->mask->run, &f->at, &hold->at);
    f->ahead = hold->ahead;
    return true;
}

void grammar_foresee(GrammarHold *hold, GrammarAhead ahead)
{
    bt_grammar *g = hold->grammar;
    hold->ahead = ahead;
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    bool tell = note_place(g, hold);
    pthread_mutex_unlock(&g->lock);
    if (tell) aside_want(g->aside, &g->job);
}

/* ---- holding ------------------------------------------------------------------------- */

void grammar_release(GrammarHold *hold)
{
    bt_grammar *g = hold->grammar;
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    run_state_close(&hold->at);
    pthread_mutex_unlock(&g->lock);
    bt_grammar_close(&g);
    *hold = (GrammarHold){0};
}

void grammar_hold(GrammarHold *hold, bt_grammar *grammar)
{
    if (grammar) atomic_fetch_add(&grammar->holds, 1); /* first: it may be the one held */
    grammar_release(hold);
    if (!grammar) return;
    hold->grammar = grammar;
    pthread_mutex_lock(&grammar->lock);
    run_state_open(grammar->mask->run, &hold->at);
    pthread_mutex_unlock(&grammar->lock);
}

void grammar_hold_copy(GrammarHold *to, const GrammarHold *from)
{
    bt_grammar *g = from->grammar;
    if (g) atomic_fetch_add(&g->holds, 1);
    grammar_release(to);
    if (!g) return;
    to->grammar = g;
    to->lost = from->lost;
    to->ahead = from->ahead;
    pthread_mutex_lock(&g->lock);
    run_state_copy(g->mask->run, &to->at, &from->at);
    pthread_mutex_unlock(&g->lock);
}

void grammar_restrict(GrammarHold *hold, float *logits, size_t n, float *peak)
{
    bt_grammar *g = hold->grammar;
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    const uint64_t *words = grammar_mask_of(g->mask, &hold->at);
    size_t known = g->mask->set->n < n ? g->mask->set->n : n;
    g->kernels->peaks(logits, words, known, peak);
    for (size_t i = known; i < n && i % 64; i++) logits[i] = -INFINITY;
    for (size_t i = (known + 63) / 64; i < (n + 63) / 64; i++) peak[i] = -INFINITY;
    pthread_mutex_unlock(&g->lock);
}

bool grammar_wide(GrammarHold *hold)
{
    bt_grammar *g = hold->grammar;
    if (!g) return false;
    pthread_mutex_lock(&g->lock);
    bool wide = grammar_mask_wide(g->mask, &hold->at);
    pthread_mutex_unlock(&g->lock);
    return wide;
}

int grammar_allows(GrammarHold *hold, bt_token token)
{
    bt_grammar *g = hold->grammar;
    pthread_mutex_lock(&g->lock);
    int allows = token < 0 ? 0 : grammar_mask_allows(g->mask, &hold->at, (uint32_t)token);
    pthread_mutex_unlock(&g->lock);
    return allows;
}

void grammar_advance(GrammarHold *hold, bt_token token)
{
    bt_grammar *g = hold->grammar;
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    if (token < 0 || !grammar_mask_accept(g->mask, &hold->at, (uint32_t)token)) hold->lost = true;
    bool tell = note_place(g, hold);
    pthread_mutex_unlock(&g->lock);
    if (tell) aside_want(g->aside, &g->job);
}

bt_token grammar_end_token(const GrammarHold *hold)
{
    if (!hold->grammar) return -1;
    const TokenSet *set = hold->grammar->mask->set;
    for (uint32_t id = 0; id < set->n; id++)
        if (token_set_has(set->ends, id)) return (bt_token)id;
    return -1;
}

bool grammar_complete(const GrammarHold *hold)
{
    bt_grammar *g = hold->grammar;
    if (!g) return true;
    pthread_mutex_lock(&g->lock);
    bool complete = !hold->lost && run_ends(g->mask->run, hold->at.config);
    pthread_mutex_unlock(&g->lock);
    return complete;
}
