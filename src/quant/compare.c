/* bt_compare (bantam.h): two models read the same text in step, and their answers are held against
 * each other while both are at hand: no logits are kept. */
#include "base/mem.h"
#include "base/status.h"
#include "quant/divergence.h"
#include "quant/reader.h"

#define WRITTEN 16 /* tokens whose time is taken, in turns of a quarter */

typedef struct Compare {
    Reader a, b;
    Divergence d;
    const bt_token *ids;
    size_t windows;
    const bt_compare_options *options;
} Compare;

static bt_status score_step(Compare *c, bool *more, bt_error *err)
{
    size_t first = 0, n = 0, first_b = 0, n_b = 0;
    bool more_b = false;
    bt_status status = reader_step(&c->a, &first, &n, more, err);
    if (!status) status = reader_step(&c->b, &first_b, &n_b, &more_b, err);
    if (status) return status;
    if (n != n_b || *more != more_b) return bt_fail(err, BT_E_INTERNAL, "the two models lost step");
    for (size_t i = 0; i < n; i++) {
        const float *p = reader_logits(&c->a, i), *q = reader_logits(&c->b, i);
        if (!p || !q) return bt_fail(err, BT_E_INTERNAL, "the engine gave no logits");
        if (!divergence_add(&c->d, p, q, c->a.info.n_vocab, c->a.window[first + i]))
            return bt_fail_memory(err, "scores", c->d.n * sizeof(double));
    }
    return BT_OK;
}

static bt_status score_windows(Compare *c, bt_error *err)
{
    const bt_compare_options *o = c->options;
    bt_status status = BT_OK;
    for (size_t w = 0; w < c->windows && !status; w++) {
        const bt_token *window = c->ids + w * c->a.size;
        bool more = true;
        status = reader_window(&c->a, window, err);
        if (!status) status = reader_window(&c->b, window, err);
        while (!status && more) status = score_step(c, &more, err);
        if (!status && o->progress &&
            !o->progress(o->progress_user, "comparing", w + 1, c->windows))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled while comparing");
    }
    return status;
}

/* Decoding, turn by turn, from an empty context. */
static bt_status time_writing(Compare *c, double *a, double *b, bt_error *err)
{
    bt_status status = reader_window(&c->a, c->ids, err);
    int32_t n = (int32_t)c->a.size < WRITTEN ? (int32_t)c->a.size / 4 : WRITTEN / 4;
    *a = *b = 0;
    if (!status) status = reader_window(&c->b, c->ids, err);
    for (int turn = 0; turn < 4 && !status; turn++) {
        double s_a = 0, s_b = 0;
        status = reader_write(&c->a, n, &s_a, err);
        if (!status) status = reader_write(&c->b, n, &s_b, err);
        if (turn == 0) continue; /* the first finds caches cold */
        *a += s_a / 3;
        *b += s_b / 3;
    }
    return status;
}

static void sum_up(Compare *c, double write_a, double write_b, bt_comparison *out)
{
    *out = (bt_comparison){.scored = c->d.n, .windows = c->windows};
    out->a.perplexity = score_perplexity(&c->d.p, c->d.n, &out->a.error);
    out->b.perplexity = score_perplexity(&c->d.q, c->d.n, &out->b.error);
    out->a.read = c->a.seconds > 0 ? (double)c->a.tokens / c->a.seconds : 0;
    out->b.read = c->b.seconds > 0 ? (double)c->b.tokens / c->b.seconds : 0;
    out->a.write = write_a > 0 ? 1 / write_a : 0;
    out->b.write = write_b > 0 ? 1 / write_b : 0;
    out->kl_mean = divergence_mean(&c->d);
    out->kl_error = divergence_error(&c->d);
    out->kl_median = divergence_quantile(&c->d, 0.5);
    out->kl_99 = divergence_quantile(&c->d, 0.99);
    out->kl_most = divergence_quantile(&c->d, 1);
    out->same_top = c->d.n ? (double)c->d.n_same / (double)c->d.n : 0;
}

bt_status bt_compare(bt_model *a, bt_model *b, const bt_token *ids, size_t n,
                     const bt_compare_options *options, bt_comparison *out, bt_error *err)
{
    static const bt_compare_options none;
    Compare c = {.ids = ids, .options = options ? options : &none};
    int32_t n_ctx = c.options->n_ctx ? c.options->n_ctx : 512;
    int32_t vocab_a = bt_model_describe(a).n_vocab, vocab_b = bt_model_describe(b).n_vocab;
    double write_a = 0, write_b = 0;
    bt_error_clear(err);
    if (vocab_a != vocab_b)
        return bt_fail(err, BT_E_ARGUMENT,
                       "the models have vocabularies of %d and %d tokens: their answers cannot be "
                       "held against each other",
                       vocab_a, vocab_b);
    c.windows = n_ctx > 0 ? n / (size_t)n_ctx : 0;
    if (!c.windows)
        return bt_fail(err, BT_E_ARGUMENT, "the text has %zu tokens, a window needs %d", n, n_ctx);
    if (c.options->most && c.windows > c.options->most) c.windows = c.options->most;
    bt_status status = reader_open(a, n_ctx, c.options->kv, &c.a, err);
    if (!status) status = reader_open(b, n_ctx, c.options->kv, &c.b, err);
    if (!status) status = score_windows(&c, err);
    if (!status) status = time_writing(&c, &write_a, &write_b, err);
    if (!status) sum_up(&c, write_a, write_b, out);
    reader_close(&c.a);
    reader_close(&c.b);
    divergence_close(&c.d);
    return status;
}
