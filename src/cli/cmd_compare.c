/* `bantam compare`: two models on one text, side by side (see bt_compare). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/prompt.h"
#include "cli/run.h"

static double bits(const bt_model_info *info)
{
    return info->n_params ? 8 * (double)info->file_bytes / (double)info->n_params : 0;
}

static json_t *model_json(const CliModel *m, double perplexity, double error, double read,
                          double write)
{
    return json_pack("{s:o,s:s,s:I,s:f,s:f,s:f,s:f,s:f}", "model", json_text(m->path), "type",
                     m->info.type_summary, "bytes", (json_int_t)m->info.file_bytes,
                     "bits_per_weight", bits(&m->info), "perplexity", perplexity, "error", error,
                     "read_tokens_per_second", read, "write_tokens_per_second", write);
}

static int print_comparison(Cli *cli, const CliModel *a, const CliModel *b, const bt_comparison *c,
                            size_t size)
{
    char x[32], y[32];
    if (!isfinite(c->a.perplexity) || !isfinite(c->b.perplexity))
        return cli_fail("%s: the model gave logits that are no numbers",
                        isfinite(c->a.perplexity) ? b->path : a->path);
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack(
            "{s:o,s:o,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f}", "a",
            model_json(a, c->a.perplexity, c->a.error, c->a.read, c->a.write), "b",
            model_json(b, c->b.perplexity, c->b.error, c->b.read, c->b.write), "ctx",
            (json_int_t)size, "windows", (json_int_t)c->windows, "scored", (json_int_t)c->scored,
            "kl_mean", c->kl_mean, "kl_error", c->kl_error, "kl_median", c->kl_median, "kl_99",
            c->kl_99, "kl_most", c->kl_most, "same_top", c->same_top));
    printf("                       %18s %18s\n", "first", "second");
    printf("weights                %18s %18s\n", a->info.type_summary, b->info.type_summary);
    printf("size                   %18s %18s\n", bytes_text(a->info.file_bytes, x),
           bytes_text(b->info.file_bytes, y));
    printf("bits a weight          %18.2f %18.2f\n", bits(&a->info), bits(&b->info));
    printf("perplexity             %18.4f %18.4f\n", c->a.perplexity, c->b.perplexity);
    printf("  standard error       %18.4f %18.4f\n", c->a.error, c->b.error);
    printf("reads, tokens/s        %18.1f %18.1f\n", c->a.read, c->b.read);
    printf("writes, tokens/s       %18.1f %18.1f\n", c->a.write, c->b.write);
    printf("KL divergence of the second from the first, over %zu tokens\n", c->scored);
    printf("  mean                 %18.6f +- %.6f\n", c->kl_mean, c->kl_error);
    printf("  median               %18.6f\n", c->kl_median);
    printf("  99th percentile      %18.6f\n", c->kl_99);
    printf("same likeliest token   %17.2f%%\n", 100 * c->same_top);
    return cli_flush();
}

static int compare(Cli *cli, CliModel *a, CliModel *b, const Ids *ids)
{
    bt_session_options session = session_options(cli);
    bt_error err = {0};
    bt_comparison result;
    Progress progress;
    progress_start(&progress, cli);
    bt_compare_options options = {.n_ctx = session.n_ctx ? session.n_ctx : 512,
                                  .most = (size_t)opts_int(&cli->opts, OPT_WINDOWS),
                                  .kv = session.kv,
                                  .progress = progress_update,
                                  .progress_user = &progress};
    bt_status status = bt_compare(a->model, b->model, ids->ids, ids->n, &options, &result, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK) return cli_fail("%s", err.text);
    return print_comparison(cli, a, b, &result, (size_t)options.n_ctx);
}

/* Both must read the text as the same ids. */
static int read_ids(const Cli *cli, const CliModel *a, const CliModel *b, const Buf *text, Ids *ids)
{
    Ids other = {0};
    const char *data = text->data ? text->data : "";
    unsigned flags = text_flags(cli, &a->info);
    int code = ids_of_text(a, data, text->size, flags, ids) ? CLI_GOOD : CLI_FAILED;
    if (code == CLI_GOOD && !ids_of_text(b, data, text->size, flags, &other)) code = CLI_FAILED;
    bool same = ids->n == other.n &&
                (!ids->n || memcmp(ids->ids, other.ids, ids->n * sizeof *ids->ids) == 0);
    ids_close(&other);
    if (code == CLI_GOOD && !same)
        code = cli_fail("%s and %s read the text as different tokens: they cannot be compared so",
                        a->path, b->path);
    return code;
}

int cmd_compare(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *file = opts_text(o, OPT_TEXT_FILE);
    if (o->n_args < 1) return cli_usage(cli, "two models must be named");
    if (o->n_args > 1) return cli_usage(cli, "'%s' is too much", o->args[1]);
    CliModel a = {0}, b = {0};
    Buf text = {0};
    Ids ids = {0};
    char *other = model_named(o->args[0]);
    int code = other ? read_text(file ? file : "-", true, &text) : CLI_FAILED;
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.other = other}, &a);
    if (code == CLI_GOOD) code = model_open_other(cli, other, &a, &b);
    if (code == CLI_GOOD) code = read_ids(cli, &a, &b, &text, &ids);
    if (code == CLI_GOOD) code = compare(cli, &a, &b, &ids);
    ids_close(&ids);
    buf_close(&text);
    model_close(&b);
    model_close(&a);
    mem_free(other);
    return code;
}
