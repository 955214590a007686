/* A model made to fit a size (see fit_size.h). */
#include "quant/fit_size.h"

#include "base/mem.h"
#include "io/gguf_write.h"
#include "quant/collect.h"
#include "quant/search.h"
#include "tensor/dtype.h"

#define WINDOW       256                 /* tokens */
#define MOST_WINDOWS 4                   /* that a probe reads of a model of 1 B; smaller: more, */
#define FINE         8                   /* up to so many times as many */
#define MOST_HELD    2                   /* windows of the last measurement, likewise */
#define MOST_GATHER  16                  /* windows of the importance matrix, likewise */
#define MOST_ANSWERS ((size_t)256 << 20) /* bytes of logits that are kept */

static bool turn_done(void *user)
{
    FitSize *f = user;
    const bt_quantize_options *o = f->options;
    f->done++;
    return !o->progress ||
           o->progress(o->progress_user, "measuring", f->done < f->all ? f->done : f->all, f->all);
}

static bool gathered(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what, (void)done, (void)total;
    return turn_done(user);
}

static bt_status read_text(FitSize *f, const bt_model *m, size_t *n, bt_error *err)
{
    const char *text = f->options->text ? f->options->text : calibration_text;
    size_t length = f->options->text ? f->options->text_length : strlen(calibration_text);
    bt_model_info info = bt_model_describe(m);
    unsigned flags = (f->options->text_special ? 0 : BT_TOKENIZE_NO_SPECIAL) |
                     (info.add_bos ? BT_TOKENIZE_ADD_BOS : 0);
    int64_t count = bt_model_tokenize(m, text, length, flags, NULL, 0, err);
    if (count < 0) return (bt_status)count;
    f->ids = mem_alloc((size_t)count * sizeof *f->ids + 1);
    if (!f->ids) return bt_fail_memory(err, "tokens", (uint64_t)count * sizeof *f->ids);
    count = bt_model_tokenize(m, text, length, flags, f->ids, (size_t)count, err);
    *n = count < 0 ? 0 : (size_t)count;
    return count < 0 ? (bt_status)count : BT_OK;
}

/* How the text is cut: windows for the search, and some after them for the check. */
typedef struct Cut {
    int32_t n_ctx;
    size_t windows, held, gather, held_from;
} Cut;

static bt_status cut_text(FitSize *f, const bt_model *m, size_t n, Cut *out, bt_error *err)
{
    bt_model_info info = bt_model_describe(m);
    size_t each = (size_t)WINDOW / 2 * (size_t)info.n_vocab * sizeof(float);
    size_t most = MOST_ANSWERS / (each ? each : 1);
    *out = (Cut){.n_ctx =
                     info.n_ctx_train > 0 && info.n_ctx_train < WINDOW ? info.n_ctx_train : WINDOW};
    size_t all = n / (size_t)out->n_ctx;
    if (!all)
        return bt_fail(err, BT_E_ARGUMENT, "the text has %zu tokens; %d are needed", n, out->n_ctx);
    size_t times = info.n_params ? (size_t)(1000000000 / info.n_params) : 1;
    times = times < 1 ? 1 : times > FINE ? FINE : times;
    if (most < 1) most = 1;
    if (most > MOST_WINDOWS * times) most = MOST_WINDOWS * times;
    f->same = all < 2;
    out->held = all / 3 < 1 ? 1 : all / 3 > MOST_HELD * times ? MOST_HELD * times : all / 3;
    if (out->held > most) out->held = most;
    size_t left = f->same ? 1 : all - out->held;
    out->windows = left < most ? left : most;
    out->gather = left < MOST_GATHER * times ? left : MOST_GATHER * times;
    out->held_from = f->same ? 0 : all - out->held;
    return BT_OK;
}

static bt_status check_source(const Gguf *g, const bt_quantize_options *o, bt_error *err)
{
    for (size_t i = 0; i < gguf_n_tensors(g) && !o->requantize; i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        if (tensor_mutable(t) && dtype_info(t->type)->block > 1)
            return bt_fail(err, BT_E_ARGUMENT,
                           "%s is quantised already (%.*s is %s): writing it anew adds to the "
                           "loss. Start from the original, or ask for it with --requantize",
                           gguf_path(g), (int)t->name.size, t->name.data, dtype_name(t->type));
    }
    return BT_OK;
}

/* The type with most bytes names the file. */
static int nearest_mix(const Gguf *g, const Choice *choices)
{
    uint64_t bytes[DTYPE_LIMIT] = {0};
    uint32_t most = DT_F32;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        bytes[choices[i].type] += dtype_row_bytes(choices[i].type, t->ne[0]) * tensor_rows(t);
    }
    for (uint32_t t = 0; t < DTYPE_LIMIT; t++)
        if (bytes[t] > bytes[most]) most = t;
    for (int i = 0; i < MIX_COUNT; i++)
        if (mixes[i].base == most) return i;
    return MIX_F16;
}

static bt_status gather(FitSize *f, bt_model *base, const Cut *cut, Imatrix **imatrix,
                        bt_error *err)
{
    CollectOptions o = {
        .n_ctx = cut->n_ctx, .most = cut->gather, .progress = gathered, .progress_user = f};
    if (*imatrix) return BT_OK;
    return collect_importance(base, f->ids, cut->gather * (size_t)cut->n_ctx, &o, imatrix, err);
}

static bt_status same_order(const Gguf *a, const Gguf *b, bt_error *err)
{
    bool same = gguf_n_tensors(a) == gguf_n_tensors(b);
    for (size_t i = 0; same && i < gguf_n_tensors(a); i++)
        same = span_equal(gguf_tensor(a, i)->name, gguf_tensor(b, i)->name);
    return same ? BT_OK : bt_fail(err, BT_E_IO, "%s: changed while it was read", gguf_path(a));
}

static bt_status search(FitSize *f, bt_model *base, const Cut *cut, const ChooseOptions *choose,
                        uint64_t room, Team *team, Choice *choices, bt_quantize_result *r,
                        bt_error *err)
{
    Answers answers;
    ProbeTurn turn = {turn_done, f};
    SearchOptions o = {.limit = room,
                       .alignment = 32,
                       .choose = choose,
                       .answers = &answers,
                       .turn = &turn,
                       .team = team};
    bt_status status = answers_open(base, f->ids, cut->n_ctx, cut->windows, &turn, &answers, err);
    if (status) return status;
    status = search_types(base, &o, choices, &r->kl_expected, r->parts, &r->n_parts, err);
    answers_close(&answers);
    return status;
}

bt_status fit_size(FitSize *f, const char *from, const Source *source, uint64_t header, Team *team,
                   Imatrix **imatrix, Choice *choices, bt_quantize_result *result, bt_error *err)
{
    const bt_quantize_options *o = f->options;
    bt_model_options open = {.n_threads = o->n_threads, .no_cache = true};
    ChooseOptions choose = {.mix = MIX_Q8_0,
                            .tensor_types = o->tensor_types,
                            .n_tensor_types = o->n_tensor_types,
                            .keep_output = o->keep_output,
                            .requantize = true};
    bt_model *base = NULL;
    Cut cut = {0};
    size_t n = 0;
    if (o->fit <= header)
        return bt_fail(err, BT_E_LIMIT,
                       "the vocabulary and other metadata alone take %.1f MB, more than the size "
                       "asked for",
                       (double)header / 0x1p20);
    bt_status status = check_source(source->index, o, err);
    if (!status) status = bt_model_open(from, &open, &base, err);
    if (!status && bt_model_embedding(base).embeds)
        status =
            bt_fail(err, BT_E_UNSUPPORTED,
                    "%s turns texts into vectors and has no answers to measure; name a type", from);
    if (!status) status = same_order(base->gguf, source->index, err);
    if (!status) status = read_text(f, base, &n, err);
    if (!status) status = cut_text(f, base, n, &cut, err);
    f->all = cut.windows * (1 + search_probes(base)) + cut.held + (*imatrix ? 0 : cut.gather);
    if (!status) status = gather(f, base, &cut, imatrix, err);
    choose.imatrix = *imatrix;
    choose.imatrix_path = o->imatrix ? o->imatrix : "the importance matrix";
    if (!status) status = choose_types(base->gguf, &choose, choices, err);
    if (!status)
        status = search(f, base, &cut, &choose, o->fit - header, team, choices, result, err);
    if (!status) f->mix = nearest_mix(source->index, choices);
    const bt_token *held = f->ids ? f->ids + cut.held_from * (size_t)cut.n_ctx : NULL;
    if (!status)
        status = answers_open(base, held, cut.n_ctx, cut.held, &(ProbeTurn){turn_done, f}, &f->held,
                              err);
    bt_model_close(&base);
    return status;
}

bt_status fit_size_check(FitSize *f, const char *path, bt_quantize_result *r, bt_error *err)
{
    bt_model_options open = {.n_threads = f->options->n_threads, .no_cache = true};
    bt_model *m = NULL;
    Divergence d = {0};
    bt_status status = bt_model_open(path, &open, &m, err);
    if (!status) status = answers_compare(&f->held, m, &(ProbeTurn){0}, &d, err);
    bt_model_close(&m);
    if (status) return status;
    r->fitted = true;
    r->held_out = !f->same;
    r->scored = d.n;
    r->kl_mean = divergence_mean(&d);
    r->kl_error = divergence_error(&d);
    r->same_top = d.n ? (double)d.n_same / (double)d.n : 0;
    divergence_close(&d);
    return BT_OK;
}

void fit_size_close(FitSize *f)
{
    mem_free(f->ids);
    answers_close(&f->held);
}
