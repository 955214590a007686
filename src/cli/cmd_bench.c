/* `bantam bench`: how fast a model reads and writes here. Prefill and decode are measured turn by
 * turn, so that a machine that slows down for a while slows both; the median is given and the
 * spread beside it. Loading is timed once, as it is. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/shares.h"

enum { REPEATS_MOST = 1000 };

typedef struct Bench {
    Cli *cli;
    CliModel *m;
    bt_session *session;
    int32_t prompt, tokens, depth, sequences, repeats;
    bt_token *ids; /* what is fed: prompt or depth, whichever is longer */
    bt_row *rows;  /* one a sequence */
    double prefill_s[REPEATS_MOST], decode_s[REPEATS_MOST];
    double first_token_s[REPEATS_MOST];
    Roofline roof; /* with --roofline */
    double products;
    uint64_t peak; /* resident bytes, before the machine itself is measured */
} Bench;

typedef struct Summary {
    double median, low, high;
} Summary;

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static Summary summarise(const double *values, int32_t n)
{
    double sorted[REPEATS_MOST];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    double middle = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    return (Summary){middle, sorted[0], sorted[n - 1]};
}

/* ---- measuring ---- */

static bt_status back_to_depth(Bench *b, bt_error *err)
{
    bt_status status = BT_OK;
    for (int32_t s = 0; s < b->sequences && status == BT_OK; s++)
        status = bt_session_truncate(b->session, s, b->depth, err);
    return status;
}

static bt_token best_of(const float *logits, int32_t n)
{
    bt_token best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* One token more for every sequence. */
static bt_status one_step(Bench *b, int32_t turn, bt_error *err)
{
    for (int32_t s = 0; s < b->sequences; s++)
        b->rows[s] = (bt_row){.token = b->ids[(turn + s * 7) % (b->prompt + b->depth + 1)],
                              .sequence = s,
                              .want_logits = true};
    return bt_session_step(b->session, b->rows, (size_t)b->sequences, err);
}

static bt_status prefill(Bench *b, int32_t turn, bt_error *err)
{
    bt_status status = back_to_depth(b, err);
    double start = os_seconds();
    if (status == BT_OK) status = bt_session_feed(b->session, 0, b->ids, (size_t)b->prompt, err);
    b->prefill_s[turn] = os_seconds() - start;
    const float *logits = status == BT_OK ? bt_session_logits(b->session, -1) : NULL;
    if (logits) best_of(logits, b->m->info.n_vocab);
    b->first_token_s[turn] = os_seconds() - start;
    return status;
}

static bt_status decode(Bench *b, int32_t turn, bt_error *err)
{
    bt_status status = back_to_depth(b, err);
    double start = os_seconds();
    for (int32_t i = 0; i < b->tokens && status == BT_OK; i++) {
        status = one_step(b, i, err);
        const float *logits = status == BT_OK ? bt_session_logits(b->session, -1) : NULL;
        if (logits) best_of(logits, b->m->info.n_vocab);
    }
    b->decode_s[turn] = os_seconds() - start;
    return status;
}

/* Fills every sequence to the depth and touches all weights once, untimed. */
static bt_status warm_up(Bench *b, bt_error *err)
{
    bt_status status = BT_OK;
    for (int32_t s = 0; s < b->sequences && status == BT_OK && b->depth; s++)
        status = bt_session_feed(b->session, s, b->ids, (size_t)b->depth, err);
    if (status == BT_OK && b->prompt) {
        int32_t n = b->prompt < 64 ? b->prompt : 64;
        status = bt_session_feed(b->session, 0, b->ids, (size_t)n, err);
    }
    if (status == BT_OK) status = back_to_depth(b, err);
    for (int32_t i = 0; i < 2 && i < b->tokens && status == BT_OK; i++)
        status = one_step(b, i, err);
    return status;
}

static bt_status measure(Bench *b, bt_error *err)
{
    Progress progress;
    progress_start(&progress, b->cli);
    interrupt_watch(b->session);
    bt_status status = warm_up(b, err);
    for (int32_t turn = 0; turn < b->repeats && status == BT_OK; turn++) {
        if (b->prompt) status = prefill(b, turn, err);
        if (status == BT_OK && b->tokens) status = decode(b, turn, err);
        if (!progress_update(&progress, "bench", (uint64_t)turn + 1, (uint64_t)b->repeats) &&
            status == BT_OK)
            status = BT_E_CANCELLED;
    }
    interrupt_watch(NULL);
    progress_end(&progress);
    return status;
}

/* ---- telling ---- */

static json_t *rates(const double *seconds, int32_t n, double tokens)
{
    double rate[REPEATS_MOST];
    json_t *runs = json_array();
    for (int32_t i = 0; i < n; i++) {
        rate[i] = seconds[i] > 0 ? tokens / seconds[i] : 0;
        json_array_append_new(runs, json_real(rate[i]));
    }
    Summary s = summarise(rate, n);
    return json_pack("{s:f,s:f,s:f,s:f,s:o}", "tokens_per_s", s.median, "spread", s.high - s.low,
                     "least", s.low, "most", s.high, "runs", runs);
}

static void print_rate(const char *name, const json_t *row)
{
    if (!json_is_object(row)) return;
    printf("%-12s %9.2f tokens/s  (%.2f to %.2f)\n", name,
           json_number_value(json_object_get(row, "tokens_per_s")),
           json_number_value(json_object_get(row, "least")),
           json_number_value(json_object_get(row, "most")));
}

static double rate_of(const json_t *root, const char *part)
{
    return json_number_value(json_object_get(json_object_get(root, part), "tokens_per_s"));
}

static json_t *roofline(const Bench *b, const json_t *root)
{
    const Roofline *r = &b->roof;
    bt_kv_type kv = session_options(b->cli).kv;
    double steps = rate_of(root, "decode") / b->sequences;
    json_t *row = json_pack("{s:f,s:f,s:f,s:f}", "memory_gb_s", r->memory, "f32_tflops", r->f32,
                            "bf16_tflops", r->bf16, "int8_tops", r->int8);
    if (r->tile_int8 > 0) json_object_set_new(row, "tile_int8_tops", json_real(r->tile_int8));
    if (r->tile_bf16 > 0) json_object_set_new(row, "tile_bf16_tflops", json_real(r->tile_bf16));
    if (b->prompt)
        json_object_set_new(row, "prefill_share",
                            json_real(shares_prefill(r, b->products, rate_of(root, "prefill"))));
    if (b->tokens)
        json_object_set_new(
            row, "decode_share",
            json_real(shares_decode(r, b->m, b->depth + b->tokens / 2, b->sequences, kv, steps)));
    return row;
}

static json_t *results(const Bench *b)
{
    const bt_model_info *i = &b->m->info;
    json_t *root =
        json_pack("{s:o,s:o,s:s,s:I,s:i,s:i,s:i,s:i,s:i,s:i,s:f}", "model", json_text(b->m->path),
                  "architecture", json_text(i->architecture), "type", i->type_summary, "parameters",
                  (json_int_t)i->n_params, "threads", b->m->n_threads, "prompt", b->prompt,
                  "generate", b->tokens, "depth", b->depth, "sequences", b->sequences, "repeats",
                  b->repeats, "load_s", b->m->load_s);
    if (!root) return NULL;
    if (b->prompt) {
        json_object_set_new(root, "prefill", rates(b->prefill_s, b->repeats, b->prompt));
        Summary first = summarise(b->first_token_s, b->repeats);
        json_object_set_new(root, "first_token_s", json_real(first.median));
    }
    if (b->tokens)
        json_object_set_new(root, "decode",
                            rates(b->decode_s, b->repeats, (double)b->tokens * b->sequences));
    json_object_set_new(root, "peak_resident", json_integer((json_int_t)b->peak));
    if (b->roof.threads) json_object_set_new(root, "roofline", roofline(b, root));
    return root;
}

static void print_roofline(const Bench *b, const json_t *row)
{
    if (!json_is_object(row)) return;
    printf("limits       %9.1f GB/s memory, %.2f int8 TOP/s, %.2f bf16 and %.2f f32 TFLOP/s\n",
           b->roof.memory, b->roof.int8, b->roof.bf16, b->roof.f32);
    if (b->roof.tile_int8 > 0 || b->roof.tile_bf16 > 0)
        printf("in tiles     %9.2f int8 TOP/s, %.2f bf16 TFLOP/s\n", b->roof.tile_int8,
               b->roof.tile_bf16);
    const json_t *prefill = json_object_get(row, "prefill_share");
    const json_t *decode = json_object_get(row, "decode_share");
    if (prefill)
        printf("reached      %9.1f %% of the arithmetic in prefill\n",
               100 * json_number_value(prefill));
    if (decode)
        printf("reached      %9.1f %% of reading memory in decode\n",
               100 * json_number_value(decode));
}

static int print_results(const Bench *b)
{
    char bytes[32];
    json_t *root = results(b);
    if (!root || opts_flag(&b->cli->opts, OPT_JSON)) return json_print(root);
    printf("%s (%s, %s), %d thread%s", b->m->path, b->m->info.architecture, b->m->info.type_summary,
           b->m->n_threads, b->m->n_threads == 1 ? "" : "s");
    if (b->depth) printf(", depth %d", b->depth);
    if (b->sequences > 1) printf(", %d sequences", b->sequences);
    printf(", %d repeats\n", b->repeats);
    char name[32];
    snprintf(name, sizeof name, "prefill %d", b->prompt);
    print_rate(name, json_object_get(root, "prefill"));
    snprintf(name, sizeof name, "decode %d", b->tokens);
    print_rate(name, json_object_get(root, "decode"));
    if (b->prompt)
        printf("%-12s %9.1f ms\n", "first token",
               1e3 * json_number_value(json_object_get(root, "first_token_s")));
    printf("%-12s %9.3f s\n", "load", b->m->load_s);
    printf("%-12s %9s\n", "peak memory", bytes_text(b->peak, bytes));
    print_roofline(b, json_object_get(root, "roofline"));
    json_decref(root);
    return cli_flush();
}

/* ---- the command ---- */

static bool make_ids(Bench *b)
{
    size_t n = (size_t)b->prompt + (size_t)b->depth + 1;
    b->ids = mem_alloc(n * sizeof *b->ids);
    b->rows = mem_alloc((size_t)b->sequences * sizeof *b->rows);
    if (!b->ids || !b->rows) return false;
    uint64_t random = 1; /* the same ids on every machine */
    for (size_t i = 0; i < n; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        b->ids[i] = (bt_token)((random >> 33) % (uint64_t)b->m->info.n_vocab);
    }
    return true;
}

static int bench(Bench *b)
{
    bt_session_options options = session_options(b->cli);
    bt_error err = {0};
    int32_t longest = b->prompt > b->tokens ? b->prompt : b->tokens;
    int64_t need = (int64_t)b->depth + (longest > 64 ? longest : 64);
    if (options.n_ctx && options.n_ctx < need)
        return cli_usage(b->cli, "--ctx %d is too small for this: %lld", options.n_ctx,
                         (long long)need);
    if (!options.n_ctx) options.n_ctx = (int32_t)need;
    options.n_sequences = b->sequences;
    if (options.n_batch < b->sequences) options.n_batch = b->sequences;
    int code = session_open(b->m, &options, &b->session);
    if (code != CLI_GOOD) return code;
    if (!make_ids(b)) return cli_fail("not enough memory");
    bt_status status = measure(b, &err);
    b->peak = os_memory_peak_resident();
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK) return model_fail(b->m, &err);
    if (opts_flag(&b->cli->opts, OPT_ROOFLINE)) {
        code = shares_measure(b->m, &b->roof);
        b->products = code == CLI_GOOD ? shares_products(b->m) : 0;
        if (code != CLI_GOOD || b->products <= 0) return CLI_FAILED;
    }
    return print_results(b);
}

int cmd_bench(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args) return cli_usage(cli, "'%s' is too much", *o->args);
    CliModel m = {0};
    Bench *b = mem_zalloc(1, sizeof *b);
    if (!b) return cli_fail("not enough memory");
    b->cli = cli;
    b->m = &m;
    b->prompt = (int32_t)opts_int(o, OPT_BENCH_PROMPT);
    b->tokens = (int32_t)opts_int(o, OPT_BENCH_TOKENS);
    b->depth = (int32_t)opts_int(o, OPT_BENCH_DEPTH);
    b->sequences = (int32_t)opts_int(o, OPT_BENCH_SEQUENCES);
    b->repeats = (int32_t)opts_int(o, OPT_BENCH_REPEATS);
    int code = b->prompt || b->tokens ? model_open(cli, &(ModelWish){0}, &m)
                                      : cli_usage(cli, "-p 0 and -n 0 leave nothing to measure");
    if (code == CLI_GOOD) code = bench(b);
    mem_free(b->ids);
    mem_free(b->rows);
    bt_session_close(&b->session);
    mem_free(b);
    model_close(&m);
    return code;
}
