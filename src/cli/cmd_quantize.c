/* `bantam quantize`: a model with other types of weights (see bt_quantize), and what came of it. */
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"

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

static int print_json(const bt_quantize_result *r, const char *path, uint64_t file, double seconds)
{
    json_t *used = json_array();
    for (int32_t i = 0; i < r->n_used; i++)
        json_array_append_new(used, json_pack("{s:s,s:i,s:I,s:I}", "type", r->used[i].type,
                                              "tensors", (int)r->used[i].n_tensors, "weights",
                                              (json_int_t)r->used[i].n_weights, "bytes",
                                              (json_int_t)r->used[i].bytes));
    return json_print(
        json_pack("{s:o,s:I,s:I,s:I,s:I,s:f,s:i,s:i,s:o,s:f}", "file", json_text(path),
                  "file_bytes", (json_int_t)file, "bytes_before", (json_int_t)r->bytes_before,
                  "bytes_after", (json_int_t)r->bytes_after, "weights", (json_int_t)r->n_weights,
                  "bits_per_weight", bits(r->bytes_after, r->n_weights), "odd", (int)r->n_odd,
                  "unimportant", (int)r->n_unimportant, "types", used, "seconds", seconds));
}

static int print_result(Cli *cli, const bt_quantize_result *r, const char *path, double seconds)
{
    struct stat at;
    char a[32], b[32];
    uint64_t file = stat(path, &at) == 0 ? (uint64_t)at.st_size : 0;
    if (r->n_odd)
        cli_say(cli, "%d matrices have rows that do not fit the type: they took the next that does",
                (int)r->n_odd);
    if (r->n_unimportant)
        cli_say(cli,
                "the importance matrix does not know %d matrices: all their columns weigh alike",
                (int)r->n_unimportant);
    if (opts_flag(&cli->opts, OPT_JSON)) return print_json(r, path, file, seconds);
    printf("%-8s %8s %14s %10s\n", "type", "tensors", "weights", "size");
    for (int32_t i = 0; i < r->n_used; i++)
        printf("%-8s %8d %14llu %10s\n", r->used[i].type, (int)r->used[i].n_tensors,
               (unsigned long long)r->used[i].n_weights, bytes_text(r->used[i].bytes, a));
    printf("%s before, %s after: %.2f bits a weight, %.2f before; %.0f s\n",
           bytes_text(r->bytes_before, a), bytes_text(r->bytes_after, b),
           bits(r->bytes_after, r->n_weights), bits(r->bytes_before, r->n_weights), seconds);
    return cli_flush();
}

static int quantize(Cli *cli, const char *from, const char *to, const char *type)
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

int cmd_quantize(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (opts_flag(o, OPT_LIST_TYPES)) return list_types(cli);
    if (o->n_args < 3)
        return cli_usage(cli, "a model, the file to write and a type (as Q4_K_M) must be named");
    if (o->n_args > 3) return cli_usage(cli, "'%s' is too much", o->args[3]);
    const char *to = o->args[1];
    CliModel m = {0};
    char *from = model_named(o->args[0]), *out = folder_of(to);
    if (!from) {
        mem_free(out);
        return CLI_FAILED;
    }
    interrupt_install();
    ModelWish wish = {.writes = {out}, .reads = {opts_text(o, OPT_IMATRIX)}};
    int code = out ? sandbox_as_run(cli, &wish, from, &m) : cli_fail("not enough memory");
    if (code == CLI_GOOD) code = quantize(cli, from, to, o->args[2]);
    mem_free(out);
    mem_free(from);
    return code;
}
