/* From logits to the next token: penalties, cuts, temperature, draw (order and definitions in
 * docs/sampling.md). All memory is taken at open, one block; a pick allocates nothing. Refuses
 * options out of range at open; a pick cannot fail: NaN counts as -inf, and when every token is
 * banned token 0 is given (under a grammar: the end of the answer). */
#include "engine/sampler.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "engine/grammar.h"
#include "engine/sampler_history.h"
#include "engine/sampler_math.h"
#include "engine/sampler_select.h"
#include "kernels/kernels.h"

enum { FEW = 8 }; /* asked about one by one before a grammar's mask is made */

struct bt_sampler {
    bt_sampler_options options; /* defaults filled in; bias points to our copy */
    int32_t n_vocab;
    SamplerRandom random;
    SamplerHistory history;
    SamplerCandidate *candidates;
    float *peak; /* of SamplerRow */
    const Kernels *kernels;
    bt_logit_bias *bias;
    double bound; /* mirostat's mu */
    double kept;  /* share of probability that mirostat's cut left */
    GrammarHold hold;
    Arena arena;
};

bt_sampler_options bt_sampler_defaults(void)
{
    return (bt_sampler_options){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1,
        .repeat_penalty = 1,
        .penalty_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_last_n = -1,
        .mirostat_tau = 5,
        .mirostat_eta = 0.1f,
    };
}

static void fill_defaults(bt_sampler_options *o)
{
    bt_sampler_options d = bt_sampler_defaults();
#define DEFAULT(field) o->field = o->field == 0 ? d.field : o->field
    DEFAULT(temperature);
    DEFAULT(top_k);
    DEFAULT(top_p);
    DEFAULT(min_p);
    DEFAULT(typical_p);
    DEFAULT(repeat_penalty);
    DEFAULT(penalty_last_n);
    DEFAULT(dry_base);
    DEFAULT(dry_allowed_length);
    DEFAULT(dry_last_n);
    DEFAULT(mirostat_tau);
    DEFAULT(mirostat_eta);
#undef DEFAULT
    if (o->temperature < 0) o->greedy = true;
}

static bt_status check(const bt_sampler_options *o, int32_t n_vocab, bt_error *err)
{
    const struct {
        const char *name;
        double value, least, most;
    } row[] = {
        {"temperature", o->temperature, -INFINITY, 1e6},
        {"top_k", o->top_k, -1, INT32_MAX},
        {"top_p", o->top_p, 1e-9, 1},
        {"min_p", o->min_p, -1, 1},
        {"typical_p", o->typical_p, 1e-9, 1},
        {"repeat_penalty", o->repeat_penalty, 1e-3, 1e3},
        {"presence_penalty", o->presence_penalty, -1e3, 1e3},
        {"frequency_penalty", o->frequency_penalty, -1e3, 1e3},
        {"penalty_last_n", o->penalty_last_n, -1, SAMPLER_HISTORY_MAX},
        {"dry_multiplier", o->dry_multiplier, 0, 1e3},
        {"dry_base", o->dry_base, 1, 1e3},
        {"dry_allowed_length", o->dry_allowed_length, 1, INT32_MAX},
        {"dry_last_n", o->dry_last_n, -1, SAMPLER_HISTORY_MAX},
        {"mirostat_tau", o->mirostat_tau, 1e-6, 100},
        {"mirostat_eta", o->mirostat_eta, 1e-6, 1},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (!(row[i].value >= row[i].least && row[i].value <= row[i].most))
            return bt_fail(err, BT_E_ARGUMENT, "sampler option %s is %g: it must be %g to %g",
                           row[i].name, row[i].value, row[i].least, row[i].most);
    if (o->mirostat != 0 && o->mirostat != 2)
        return bt_fail(err, BT_E_ARGUMENT, "sampler option mirostat is %d: it must be 0 or 2",
                       (int)o->mirostat);
    if (o->n_bias && (!o->bias || o->n_bias > (size_t)n_vocab))
        return bt_fail(err, BT_E_ARGUMENT, "%zu logit biases for %d tokens", o->n_bias,
                       (int)n_vocab);
    for (size_t i = 0; i < o->n_bias; i++)
        if (o->bias[i].token < 0 || o->bias[i].token >= n_vocab || isnan(o->bias[i].bias))
            return bt_fail(err, BT_E_ARGUMENT, "logit bias %g for token %d: tokens are 0 to %d",
                           o->bias[i].bias, (int)o->bias[i].token, (int)n_vocab - 1);
    return BT_OK;
}

static void plan_history(bt_sampler *s, int32_t n_history)
{
    const bt_sampler_options *o = &s->options;
    SamplerHistory *h = &s->history;
    h->n_vocab = s->n_vocab;
    h->repeat = o->repeat_penalty;
    h->presence = o->presence_penalty;
    h->frequency = o->frequency_penalty;
    h->dry_multiplier = o->dry_multiplier;
    h->dry_base = o->dry_base;
    h->dry_allowed = (size_t)o->dry_allowed_length;
    if (o->repeat_penalty != 1 || o->presence_penalty != 0 || o->frequency_penalty != 0)
        h->window = (size_t)(o->penalty_last_n < 0 ? n_history : o->penalty_last_n);
    if (o->dry_multiplier > 0)
        h->dry_window = (size_t)(o->dry_last_n < 0 ? n_history : o->dry_last_n);
}

/* Takes the arrays from the arena; run once to count and once to take. */
static void place(bt_sampler *s)
{
    const bt_sampler_options *o = &s->options;
    size_t n = (size_t)s->n_vocab;
    if (o->greedy)
        n = n < FEW ? n : FEW;
    else if (!o->mirostat && o->top_k > 0 && o->top_k < s->n_vocab)
        n = (size_t)o->top_k;
    s->candidates = arena_alloc(&s->arena, n * sizeof *s->candidates);
    s->peak = arena_alloc(&s->arena, SAMPLER_PEAKS(s->n_vocab) * sizeof *s->peak);
    s->bias = arena_alloc(&s->arena, o->n_bias * sizeof *s->bias);
    sampler_history_place(&s->history, &s->arena);
}

/* Tokens whose text holds one of the usual sequence breakers. */
static bt_status find_breakers(bt_sampler *s, const SamplerSetup *setup, bt_error *err)
{
    size_t capacity = 256;
    char *text = mem_alloc(capacity);
    if (!text) return bt_fail_memory(err, "a token's text", capacity);
    for (int32_t id = 0; id < s->n_vocab; id++) {
        int64_t n = setup->text(setup->user, id, text, capacity);
        if (n > (int64_t)capacity) {
            char *more = mem_realloc(text, (size_t)n);
            if (!more) {
                mem_free(text);
                return bt_fail_memory(err, "a token's text", (uint64_t)n);
            }
            text = more;
            capacity = (size_t)n;
            n = setup->text(setup->user, id, text, capacity);
        }
        for (int64_t i = 0; i < n && i < (int64_t)capacity; i++)
            if (memchr("\n:\"*", text[i], 4)) s->history.breaker[id] = 1;
    }
    mem_free(text);
    return BT_OK;
}

bt_status sampler_core_open(const bt_sampler_options *options, const SamplerSetup *setup,
                            bt_sampler **out, bt_error *err)
{
    *out = NULL;
    if (setup->n_vocab < 1) return bt_fail(err, BT_E_ARGUMENT, "a sampler needs a vocabulary");
    bt_sampler *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "a sampler", sizeof *s);
    if (options) s->options = *options;
    fill_defaults(&s->options);
    s->n_vocab = setup->n_vocab;
    s->kernels = kernels_select(cpu_features());
    bt_status status = check(&s->options, s->n_vocab, err);
    if (status) goto failed;
    int32_t n_history = setup->n_history < 1 ? 1 : setup->n_history;
    if (n_history > SAMPLER_HISTORY_MAX) n_history = SAMPLER_HISTORY_MAX;
    plan_history(s, n_history);
    place(s);
    size_t size = s->arena.peak;
    if (s->arena.overflowed || !arena_open(&s->arena, size)) {
        status = bt_fail_memory(err, "a sampler", size);
        goto failed;
    }
    memset(s->arena.base, 0, size);
    place(s);
    if (s->options.n_bias) memcpy(s->bias, s->options.bias, s->options.n_bias * sizeof *s->bias);
    s->options.bias = s->bias;
    if (s->history.dry_window && setup->text) status = find_breakers(s, setup, err);
    if (status) goto failed;
    sampler_random_seed(&s->random, s->options.seed);
    s->bound = 2.0 * s->options.mirostat_tau;
    *out = s;
    return BT_OK;
failed:
    bt_sampler_close(&s);
    return status;
}

void bt_sampler_close(bt_sampler **sampler)
{
    if (!sampler || !*sampler) return;
    grammar_release(&(*sampler)->hold);
    arena_close(&(*sampler)->arena);
    mem_free(*sampler);
    *sampler = NULL;
}

uint64_t bt_sampler_seed(const bt_sampler *sampler)
{
    return sampler->options.seed;
}

double sampler_surprise_bound(const bt_sampler *sampler)
{
    return sampler->bound;
}

void bt_sampler_accept(bt_sampler *s, bt_token token)
{
    if (token >= 0 && token < s->n_vocab) sampler_history_add(&s->history, token);
}

/* The likeliest token that the grammar allows, where that shows without masking: it is among the
 * few likeliest of all. Then it is in the first candidate. */
static bool first_allowed(bt_sampler *s, const SamplerRow *row)
{
    SamplerCandidate *c = s->candidates;
    if (row->max == -INFINITY) return false;
    c[0] = (SamplerCandidate){.id = sampler_first(row)};
    int allows = grammar_allows(&s->hold, c[0].id);
    size_t n = allows ? 1 : sampler_top(row, FEW, c);
    for (size_t i = 1; i < n && !allows; i++) {
        allows = grammar_allows(&s->hold, c[i].id);
        c[0] = c[i];
    }
    c[0].p = 1;
    return allows == 1;
}

/* Where a bound on p is known beforehand, tokens below it need not become candidates; the stages
 * then cut exactly, so the bound is taken a little wide. */
#define WIDE 0.01

static size_t cut_mirostat(bt_sampler *s, const SamplerRow *row, SamplerCandidate *c)
{
    double temperature = s->options.temperature, max = row->max;
    double total = sampler_sum(row, temperature);
    double log_least = sampler_log(total) - s->bound * SAMPLER_LN2 - WIDE;
    double least = log_least < 0 ? max + log_least * temperature : max;
    size_t n = sampler_above(row, least - 1e-6 * fabs(least), c);
    sampler_softmax(c, n, temperature, total);
    return sampler_cut_surprise(c, n, s->bound, &s->kept);
}

/* Top-p over the whole vocabulary, and what min-p will need of it. */
static size_t cut_whole(const bt_sampler *s, const SamplerRow *row, SamplerCandidate *c)
{
    const bt_sampler_options *o = &s->options;
    size_t n = 0;
    double least = -INFINITY, total = 0, sum = 0;
    float max = row->max;
    if (o->min_p > 0) least = max + sampler_log(o->min_p) - WIDE;
    if (o->top_p < 1) {
        total = sampler_sum(row, 1);
        if (o->min_p <= 0) least = max - 10.0; /* nearly always holds enough */
    }
    n = sampler_above(row, least - 1e-6 * fabs(least), c);
    if (o->top_p >= 1) return n;
    if (o->min_p <= 0) {
        for (size_t i = 0; i < n; i++) sum += sampler_exp((double)c[i].logit - max);
        if (sum < o->top_p * total) n = sampler_above(row, -INFINITY, c);
    }
    return sampler_cut_top_p(c, n, o->top_p, total);
}

static size_t cut(bt_sampler *s, const SamplerRow *row, SamplerCandidate *c)
{
    const bt_sampler_options *o = &s->options;
    size_t n;
    if (o->mirostat) return cut_mirostat(s, row, c);
    bool whole = o->top_k < 0 || o->top_k >= s->n_vocab;
    if (whole && o->typical_p >= 1) {
        n = cut_whole(s, row, c);
    } else {
        n = whole ? sampler_above(row, -INFINITY, c) : sampler_top(row, (size_t)o->top_k, c);
        if (o->typical_p < 1) n = sampler_cut_typical(c, n, o->typical_p);
        if (o->top_p < 1) n = sampler_cut_top_p(c, n, o->top_p, 0);
    }
    if (o->min_p > 0) n = sampler_cut_min_p(c, n, o->min_p);
    sampler_softmax(c, n, o->temperature, 0);
    return n;
}

/* Bias and penalties come before the grammar's mask, which -inf is whatever is added. */
static void adjust(bt_sampler *s, float *logits)
{
    for (size_t i = 0; i < s->options.n_bias; i++) logits[s->bias[i].token] += s->bias[i].bias;
    sampler_history_penalise(&s->history, logits);
}

static void look(bt_sampler *s, SamplerRow *row, bool held)
{
    if (held)
        grammar_restrict(&s->hold, row->x, row->n, row->peak);
    else
        s->kernels->peaks(row->x, NULL, row->n, row->peak);
    sampler_find_max(row);
}

size_t sampler_candidates(bt_sampler *s, float *logits, const SamplerCandidate **out)
{
    SamplerCandidate *c = s->candidates;
    SamplerRow row = {.x = logits, .peak = s->peak, .n = (size_t)s->n_vocab};
    bool greedy = s->options.greedy, ask = greedy && grammar_wide(&s->hold);
    *out = c;
    s->kept = 1;
    adjust(s, logits);
    look(s, &row, s->hold.grammar && !ask);
    if (ask) {
        if (first_allowed(s, &row)) return 1;
        look(s, &row, true);
    }
    if (!greedy && row.max > -INFINITY) return cut(s, &row, c);
    bt_token first = sampler_first(&row);
    /* Nothing is left: under a grammar the answer ends rather than break it. */
    if (row.max == -INFINITY && grammar_end_token(&s->hold) >= 0)
        first = grammar_end_token(&s->hold);
    c[0] = (SamplerCandidate){.id = first, .logit = row.max, .p = 1};
    return 1;
}

/* Held within limits: text that cannot have the target's surprise (a list of one word) would
 * else drive the bound away without end, and the text after it would go unbounded. */
static void move_bound(bt_sampler *s, double surprise)
{
    double tau = s->options.mirostat_tau, most = tau > 20 ? 2 * tau : 40;
    s->bound -= s->options.mirostat_eta * (surprise - tau);
    s->bound = s->bound < 0 ? 0 : s->bound > most ? most : s->bound;
}

void sampler_take(bt_sampler *s, bt_token token)
{
    bt_sampler_accept(s, token);
    grammar_advance(&s->hold, token);
}

bt_token bt_sampler_pick(bt_sampler *s, float *logits)
{
    const SamplerCandidate *c;
    size_t n = sampler_candidates(s, logits, &c), at = 0;
    if (!s->options.greedy) {
        /* A sum of rounded shares can end below the draw: then it was the last one with a share. */
        double draw = sampler_random_unit(&s->random), sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (c[i].p > 0) at = i;
            sum += c[i].p;
            if (draw < sum) break;
        }
        if (s->options.mirostat) {
            double surprise = -sampler_log(c[at].p * s->kept) / SAMPLER_LN2;
            move_bound(s, surprise);
        }
    }
    sampler_take(s, c[at].id);
    return c[at].id;
}

bt_status bt_sampler_set_grammar(bt_sampler *s, bt_grammar *grammar, bt_error *err)
{
    if (grammar && grammar_n_tokens(grammar) > (uint32_t)s->n_vocab)
        return bt_fail(err, BT_E_ARGUMENT, "the grammar is for %u tokens, the sampler for %d",
                       grammar_n_tokens(grammar), (int)s->n_vocab);
    grammar_hold(&s->hold, grammar);
    grammar_foresee(&s->hold, s->options.greedy ? AHEAD_WIDE : AHEAD_SET);
    return BT_OK;
}

bool bt_sampler_complete(const bt_sampler *s)
{
    return grammar_complete(&s->hold);
}
