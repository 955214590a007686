/* `bantam quantize`: a model with other types of weights (see bt_quantize), and what came of it. */
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/prompt.h"

static void tell(void *user, bt_log_level level, const char *line)
{
    (void)level;
    cli_say(user, "%s", line);
}

static int list_types(const Cli *cli)
{
    const char *name, *text;
    json_t *list = opts_flag(&cli->opts, OPT_JSON) ? json_array() : NULL;
    for (size_t i = 0; bt_quantize_type(i, &name, &text); i++) {
        if (list)
            json_array_append_new(list, json_pack("{s:s,s:s}", "type", name, "text", text));
        else
            printf("%-10s %s\n", name, text);
    }
    return list ? json_print(list) : cli_flush();
}

/* ---- what came of it ---- */

static double bits(uint64_t bytes, uint64_t weights)
{
    return weights ? 8 * (double)bytes / (double)weights : 0;
}

/* Memory that the file takes with some context, as `bantam run` plans it; 0: it does not run here.
 */
static uint64_t memory_of(const char *path, int32_t n_ctx)
{
    bt_model_options o = {.no_cache = true};
    bt_memory_plan plan = {0};
    bt_model *m = NULL;
    bt_error err = {0};
    if (bt_model_open(path, &o, &m, &err) != BT_OK) return 0;
    bt_model_info info = bt_model_describe(m);
    if (info.n_ctx_train > 0 && info.n_ctx_train < n_ctx) n_ctx = info.n_ctx_train;
    if (bt_model_plan(m, &n_ctx, 1, 0, BT_KV_DEFAULT, &plan, &err) != BT_OK) plan.total = 0;
    bt_model_close(&m);
    return plan.total;
}

static json_t *parts_json(const bt_quantize_result *r)
{
    json_t *parts = json_array();
    for (int32_t i = 0; i < r->n_parts; i++)
        json_array_append_new(
            parts, json_pack("{s:s,s:i,s:I,s:s,s:s?,s:f,s:f}", "part", r->parts[i].name, "tensors",
                             (int)r->parts[i].n_tensors, "bytes", (json_int_t)r->parts[i].bytes,
                             "types", r->parts[i].types, "probe_type", r->parts[i].probe_type,
                             "probe_kl", r->parts[i].probe_kl, "kl", r->parts[i].kl));
    return json_pack("{s:o,s:f,s:f,s:f,s:f,s:I,s:b}", "parts", parts, "kl_expected", r->kl_expected,
                     "kl_mean", r->kl_mean, "kl_error", r->kl_error, "same_top", r->same_top,
                     "scored", (json_int_t)r->scored, "held_out", (int)r->held_out);
}

static void print_search(const bt_quantize_result *r)
{
    char size[32];
    printf("\n%-18s %8s %8s %9s  %s\n", "part", "size", "probe", "expected", "types");
    for (int32_t i = 0; i < r->n_parts; i++) {
        const bt_quantize_part *p = &r->parts[i];
        printf("%-18s %8s %8.5f %9.5f  %s (probe: %s)\n", p->name, bytes_text(p->bytes, size),
               p->probe_kl, p->kl, p->types, p->probe_type ? p->probe_type : "none");
    }
    printf("divergence from the original: %.5f +- %.5f over %zu tokens%s (%.5f was expected), same "
           "likeliest token %.1f%%\n",
           r->kl_mean, r->kl_error, r->scored, r->held_out ? " that the search did not read" : "",
           r->kl_expected, 100 * r->same_top);
}

static int print_json(const bt_quantize_result *r, const char *path, uint64_t file, double seconds)
{
    json_t *used = json_array();
    for (int32_t i = 0; i < r->n_used; i++)
        json_array_append_new(used, json_pack("{s:s,s:i,s:I,s:I}", "type", r->used[i].type,
                                              "tensors", (int)r->used[i].n_tensors, "weights",
                                              (json_int_t)r->used[i].n_weights, "bytes",
                                              (json_int_t)r->used[i].bytes));
    json_t *all =
        json_pack("{s:o,s:I,s:I,s:I,s:I,s:f,s:i,s:i,s:o,s:f}", "file", json_text(path),
                  "file_bytes", (json_int_t)file, "bytes_before", (json_int_t)r->bytes_before,
                  "bytes_after", (json_int_t)r->bytes_after, "weights", (json_int_t)r->n_weights,
                  "bits_per_weight", bits(r->bytes_after, r->n_weights), "odd", (int)r->n_odd,
                  "unimportant", (int)r->n_unimportant, "types", used, "seconds", seconds);
    if (all && r->fitted) json_object_set_new(all, "fit", parts_json(r));
    uint64_t memory = memory_of(path, 4096);
    if (all && memory) json_object_set_new(all, "memory_4096", json_integer((json_int_t)memory));
    return json_print(all);
}

static int print_result(Cli *cli, const bt_quantize_result *r, const char *path, double seconds)
{
    struct stat at;
    char a[32], b[32];
    uint64_t file = stat(path, &at) == 0 ? (uint64_t)at.st_size : 0;
    if (r->n_odd)
        cli_say(cli, "matrices whose rows do not fit the type: %d; they took the next that does",
                (int)r->n_odd);
    if (r->n_unimportant)
        cli_say(cli,
                "matrices that the importance matrix does not know: %d; their columns weigh alike",
                (int)r->n_unimportant);
    if (opts_flag(&cli->opts, OPT_JSON)) return print_json(r, path, file, seconds);
    printf("%-8s %8s %14s %10s\n", "type", "tensors", "weights", "size");
    for (int32_t i = 0; i < r->n_used; i++)
        printf("%-8s %8d %14llu %10s\n", r->used[i].type, (int)r->used[i].n_tensors,
               (unsigned long long)r->used[i].n_weights, bytes_text(r->used[i].bytes, a));
    printf("%s before, %s after: %.2f bits a weight, %.2f before; %.0f s\n",
           bytes_text(r->bytes_before, a), bytes_text(r->bytes_after, b),
           bits(r->bytes_after, r->n_weights), bits(r->bytes_before, r->n_weights), seconds);
    if (r->fitted) print_search(r);
    uint64_t memory = memory_of(path, 4096);
    if (memory) printf("needs %s with 4,096 tokens of context\n", bytes_text(memory, a));
    return cli_flush();
}

static int quantize(Cli *cli, const char *from, const char *to, const char *type, const Buf *text)
{
    const Opts *o = &cli->opts;
    const OptValue *patterns = &o->value[OPT_TENSOR_TYPE];
    bt_error err = {0};
    bt_quantize_result result;
    Progress progress;
    progress_start(&progress, cli);
    bt_log_set(tell, cli, BT_LOG_WARN);
    bt_quantize_options options = {.type = type,
                                   .imatrix = opts_text(o, OPT_IMATRIX),
                                   .tensor_types = patterns->list,
                                   .n_tensor_types = patterns->n,
                                   .pure = opts_flag(o, OPT_PURE),
                                   .keep_output = opts_flag(o, OPT_KEEP_OUTPUT),
                                   .requantize = opts_flag(o, OPT_REQUANTIZE),
                                   .fit = o->value[OPT_FIT].count,
                                   .text = text->data,
                                   .text_length = text->size,
                                   .text_special = opts_flag(o, OPT_TEXT_SPECIAL),
                                   .n_threads = (int)opts_int(o, OPT_THREADS),
                                   .progress = progress_update,
                                   .progress_user = &progress};
    double start = os_seconds();
    bt_status status = bt_quantize(from, to, &options, &result, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    if (status != BT_OK) return cli_fail("%s", err.text);
    return print_result(cli, &result, to, os_seconds() - start);
}

static int check_line(Cli *cli)
{
    const Opts *o = &cli->opts;
    bool fit = o->value[OPT_FIT].source != FROM_NOTHING;
    if (o->n_args < 2) return cli_usage(cli, "a model and the file to write must be named");
    if (fit && o->n_args > 2)
        return cli_usage(cli, "'%s' is too much: --fit chooses the types", o->args[2]);
    if (!fit && o->n_args < 3)
        return cli_usage(cli, "a type (as Q4_K_M), or a size with --fit, is missing");
    if (fit && !o->value[OPT_FIT].count) return cli_usage(cli, "--fit: no file is of 0 bytes");
    if (o->n_args > 3) return cli_usage(cli, "'%s' is too much", o->args[3]);
    if (!fit && opts_text(o, OPT_FIT_TEXT)) return cli_usage(cli, "-f goes with --fit");
    if (opts_flag(o, OPT_TEXT_SPECIAL) && !opts_text(o, OPT_FIT_TEXT))
        return cli_usage(cli, "--special goes with -f");
    return CLI_GOOD;
}

int cmd_quantize(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *file = opts_text(o, OPT_FIT_TEXT);
    if (opts_flag(o, OPT_LIST_TYPES)) return list_types(cli);
    int code = check_line(cli);
    if (code != CLI_GOOD) return code;
    CliModel m = {0};
    Buf text = {0};
    char *from = model_named(o->args[0]), *out = folder_of(o->args[1]);
    if (!from) code = CLI_FAILED;
    if (code == CLI_GOOD) code = folder_needed(out);
    if (code == CLI_GOOD && file) code = read_text(file, true, &text);
    interrupt_install();
    ModelWish wish = {.writes = {out}, .reads = {opts_text(o, OPT_IMATRIX)}};
    if (code == CLI_GOOD) code = sandbox_as_run(cli, &wish, from, &m);
    if (code == CLI_GOOD)
        code = quantize(cli, from, o->args[1], o->n_args > 2 ? o->args[2] : NULL, &text);
    buf_close(&text);
    mem_free(out);
    mem_free(from);
    return code;
}
