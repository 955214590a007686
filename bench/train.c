/* How fast a small model trains: a random llama of given sizes, made in a scratch folder, some
 * steps of AdamW on random tokens. Prints one JSON line: tokens a second of the best and of the
 * median step, where the time went, and with --roofline the share of this machine's limits.
 *
 *   bench-train [--bf16] [--recompute] [--roofline] [--threads 2] [--steps 5] [--context 512]
 *               [--batch 8] [--together 8] [--width 256] [--layers 8] [--heads 4] [--kv-heads 2]
 *               [--ffn 896] [--vocab 4096]
 *
 * A step takes `batch` sequences of `context` tokens, `together` of them at a time, and adds up
 * their gradients. bench/peers/train_torch.py is the same in PyTorch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "kernels/roofline.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "train/optim.h"
#include "train/trainer.h"

enum { MOST_STEPS = 100 };

typedef struct Sizes {
    long threads, steps, context, batch, together, width, layers, heads, kv_heads, ffn, vocab;
    bool bf16, recompute, roofline;
} Sizes;

static int read_sizes(int argc, char **argv, Sizes *s)
{
    const struct {
        const char *name;
        long *value;
    } numbers[] = {
        {"--threads", &s->threads}, {"--steps", &s->steps},       {"--context", &s->context},
        {"--batch", &s->batch},     {"--together", &s->together}, {"--width", &s->width},
        {"--layers", &s->layers},   {"--heads", &s->heads},       {"--kv-heads", &s->kv_heads},
        {"--ffn", &s->ffn},         {"--vocab", &s->vocab}};
    for (int i = 1; i < argc; i++) {
        size_t n = 0, all = sizeof numbers / sizeof *numbers;
        while (n < all && strcmp(argv[i], numbers[n].name) != 0) n++;
        if (n < all && i + 1 < argc)
            *numbers[n].value = strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--bf16"))
            s->bf16 = true;
        else if (!strcmp(argv[i], "--recompute"))
            s->recompute = true;
        else if (!strcmp(argv[i], "--roofline"))
            s->roofline = true;
        else
            return -1;
    }
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
        if (*numbers[n].value < 1) return -1;
    return s->steps > MOST_STEPS || s->batch % s->together || s->width % s->heads ? -1 : 0;
}

/* Multiply-adds a token, forth and twice as many back: matrices, and attention over half the
 * context. What is computed again is not counted. */
static double macs_a_token(const Sizes *s, const Params *p)
{
    double matrices = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool table = p->items[i].kind == PARAM_EMBEDDING; /* tied: it is the head */
        if (p->items[i].kind == PARAM_MATRIX || table) matrices += (double)p->items[i].n;
    }
    double keys = (double)(s->context + 1) / 2;
    return 3 * (matrices + 2 * keys * (double)(s->width * s->layers));
}

typedef struct Times {
    double step[MOST_STEPS], back, norm, optimiser, loss;
} Times;

static uint64_t seed = 1;

static int32_t random_token(long vocab)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int32_t)((seed >> 33) % (uint64_t)vocab);
}

static void draw(const Sizes *s, Batch *b)
{
    for (int32_t i = 0; i < b->n_rows; i++) {
        StepRow row = {.token = random_token(s->vocab),
                       .sequence = (int32_t)(i / s->context),
                       .position = (int32_t)(i % s->context)};
        for (int a = 0; a < ROPE_AXES; a++) row.axis[a] = row.position;
        b->rows[i] = row;
        b->target[i] = random_token(s->vocab);
        b->weight[i] = 1;
    }
}

/* As models begin: matrices small and normal, so that nothing is denormal from the start. */
static void begin(Params *p)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->items[i].n && p->items[i].kind != PARAM_VECTOR; j++) {
            double sum = -6; /* of twelve uniform numbers: variance 1 */
            for (int k = 0; k < 12; k++) sum += (double)random_token(1 << 20) / (1 << 20);
            p->items[i].value[j] = (float)(0.02 * sum);
        }
}

static bt_status train(const Sizes *s, Params *p, Trainer *t, Optim *o, Batch *b, Times *out,
                       bt_error *err)
{
    for (long step = 0; step <= s->steps; step++) {
        double start = os_seconds(), loss = 0, weight = 0;
        params_zero_grads(p);
        for (long at = 0; at < s->batch; at += s->together) {
            draw(s, b);
            bt_status status = trainer_batch(t, b, &loss, &weight, err);
            if (status) return status;
        }
        double back = os_seconds(), norm = optim_norm(o, 1 / weight), normed = os_seconds();
        optim_step(o, t->backend, step + 1, 1e-3, optim_clip(o, norm) / weight);
        double end = os_seconds();
        if (step == 0) continue; /* it warms up */
        out->step[step - 1] = end - start;
        out->back += back - start, out->norm += normed - back, out->optimiser += end - normed;
        out->loss = loss / weight;
    }
    return BT_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const Sizes *s, const Params *p, const Trainer *t, Times *times, bt_error *err)
{
    qsort(times->step, (size_t)s->steps, sizeof *times->step, by_size);
    double tokens = (double)(s->batch * s->context), macs = macs_a_token(s, p);
    double best = tokens / times->step[0], n = (double)s->steps;
    printf(
        "{\"program\": \"bantam\", \"precision\": \"%s\", \"parameters\": %llu, \"batch\": %.0f, "
        "\"tokens_per_s\": %.1f, \"tokens_per_s_median\": %.1f, \"loss\": %.3f, "
        "\"mmacs_per_token\": %.2f, \"forward_backward_ms\": %.1f, \"norm_ms\": %.1f, "
        "\"optimiser_ms\": %.1f, \"mib\": %.0f",
        s->bf16 ? "bf16" : "f32", (unsigned long long)p->n_trained, tokens, best,
        tokens / times->step[s->steps / 2], times->loss, macs * 1e-6, times->back / n * 1e3,
        times->norm / n * 1e3, times->optimiser / n * 1e3, (double)trainer_bytes(t) / 1048576);
    Roofline most;
    if (s->roofline && !roofline_measure(p->model->team, p->model->features, &most, err)) {
        double limit = !s->bf16                     ? most.f32
                       : most.tile_bf16 > most.bf16 ? most.tile_bf16
                                                    : most.bf16;
        printf(", \"limit_tflops\": %.3f, \"share\": %.3f", limit, best * macs * 2e-12 / limit);
    }
    printf("}\n");
}

static bt_status run(const Sizes *s, const char *path, bt_error *err)
{
    int32_t rows = (int32_t)(s->together * s->context);
    MakeModel shape = {.embd = (int)s->width,
                       .ff = (int)s->ffn,
                       .layers = (int)s->layers,
                       .heads = (int)s->heads,
                       .kv_heads = (int)s->kv_heads,
                       .head_dim = (int)(s->width / s->heads),
                       .ctx = (int)s->context,
                       .vocab = (int)s->vocab,
                       .tied = true};
    ParamsOptions options = {.model = {.n_threads = (int)s->threads}};
    OptimOptions adamw = optim_defaults();
    TrainerOptions how = {.rows = rows, .bf16 = s->bf16, .keep_blocks = !s->recompute};
    Params *p = NULL;
    Trainer *t = NULL;
    Optim *o = NULL;
    static Times times;
    Batch b = {rows, calloc((size_t)rows, sizeof *b.rows), calloc((size_t)rows, sizeof *b.target),
               calloc((size_t)rows, sizeof *b.weight)};
    bt_status status = b.rows && b.target && b.weight ? BT_OK : BT_E_MEMORY;
    if (!status) status = make_model(&shape, path, err);
    if (!status) status = params_open_model(path, &options, &p, err);
    if (!status) status = trainer_open(p, &how, &t, err);
    if (!status) status = optim_open(p, &adamw, &o, err);
    if (!status) begin(p);
    if (!status) status = train(s, p, t, o, &b, &times, err);
    if (!status) print(s, p, t, &times, err);
    optim_close(&o);
    trainer_close(&t);
    params_close(&p);
    free(b.rows), free(b.target), free(b.weight);
    return status;
}

int main(int argc, char **argv)
{
    Sizes s = {.threads = 2,
               .steps = 5,
               .context = 512,
               .batch = 8,
               .together = 8,
               .width = 256,
               .layers = 8,
               .heads = 4,
               .kv_heads = 2,
               .ffn = 896,
               .vocab = 4096};
    bt_error err = {0};
    if (read_sizes(argc, argv, &s)) {
        fprintf(stderr, "bench-train: an unknown option, or sizes that do not fit together\n");
        return 2;
    }
    if (!scratch_open()) return 1;
    bt_status status = run(&s, scratch_path("m.gguf"), &err);
    scratch_close();
    if (status) fprintf(stderr, "bench-train: %s\n", err.text);
    return status ? 1 : 0;
}
