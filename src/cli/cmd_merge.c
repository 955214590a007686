/* `bantam merge`: adapters written into a model's weights (bt_merge), or several models' weights
 * averaged (bt_average). */
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"

static void tell(void *user, bt_log_level level, const char *line)
{
    (void)level;
    cli_say(user, "%s", line);
}

static int print_result(Cli *cli, const bt_merge_result *r, const char *to)
{
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack("{s:o,s:i,s:f,s:f}", "file", json_text(to), "matrices",
                                    (int)r->n_matrices, "change", r->change, "loss", r->loss));
    cli_say(
        cli,
        "%s: %d matrices changed by %.3g %% of their size; rounding to their types cost %.3g %%",
        to, (int)r->n_matrices, 100 * r->change, 100 * r->loss);
    if (r->loss > r->change)
        cli_say(cli, "the rounding is larger than the change: --type of more bits, or a run with "
                     "--adapter, keeps more of it");
    return CLI_GOOD;
}

static bt_merge_options options_of(const Cli *cli, Progress *progress)
{
    const Opts *o = &cli->opts;
    return (bt_merge_options){.type = opts_text(o, OPT_MERGE_TYPE),
                              .any_base = opts_flag(o, OPT_ANY_BASE),
                              .n_threads = (int)opts_int(o, OPT_THREADS),
                              .progress = progress_update,
                              .progress_user = progress};
}

static int failed(bt_status status, const bt_error *err)
{
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    return cli_fail("%s", err->text);
}

static int merge(Cli *cli, const CliModel *m, const char *to)
{
    bt_error err = {0};
    bt_merge_result result;
    Progress progress;
    const CliAdapters *a = &m->adapters;
    bt_merge_adapter *list = mem_zalloc(a->n + 1, sizeof *list);
    if (!list) return cli_fail("not enough memory");
    for (size_t i = 0; i < a->n; i++) list[i] = (bt_merge_adapter){a->paths[i], a->uses[i].scale};
    progress_start(&progress, cli);
    bt_log_set(tell, cli, BT_LOG_WARN);
    const bt_merge_options options = options_of(cli, &progress);
    bt_status status = bt_merge(m->path, list, a->n, to, &options, &result, &err);
    progress_end(&progress);
    mem_free(list);
    return status ? failed(status, &err) : print_result(cli, &result, to);
}

/* The mean of the model and of those of --with. */
static int average(Cli *cli, const char *const *paths, size_t n, const char *to)
{
    bt_error err = {0};
    Progress progress;
    progress_start(&progress, cli);
    const bt_merge_options options = options_of(cli, &progress);
    bt_status status = bt_average(paths, n, to, &options, &err);
    progress_end(&progress);
    if (status) return failed(status, &err);
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack("{s:o,s:i}", "file", json_text(to), "models", (int)n));
    cli_say(cli, "%s: the mean of %zu models", to, n);
    return CLI_GOOD;
}

static int averaging(Cli *cli, const char *folder, const char *to)
{
    const OptValue *with = &cli->opts.value[OPT_MERGE_WITH];
    size_t n = with->n + 1;
    char **paths = mem_zalloc(n, sizeof *paths);
    if (!paths) return cli_fail("not enough memory");
    int code = model_find(cli, &paths[0]);
    for (size_t i = 1; i < n && code == CLI_GOOD; i++)
        if (!(paths[i] = model_named(with->list[i - 1]))) code = CLI_FAILED;
    interrupt_install();
    CliModel none = {0};
    const ModelWish wish = {.writes = {folder}, .data = (const char *const *)paths, .n_data = n};
    if (code == CLI_GOOD) code = sandbox_as_run(cli, &wish, paths[0], &none);
    if (code == CLI_GOOD) code = average(cli, (const char *const *)paths, n, to);
    for (size_t i = 0; i < n; i++) mem_free(paths[i]);
    mem_free(paths);
    return code;
}

int cmd_merge(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *to = opts_text(o, OPT_MERGE_OUT);
    if (o->n_args) return cli_usage(cli, "'%s' is too much", o->args[0]);
    bool with = o->value[OPT_MERGE_WITH].n > 0;
    if (!o->value[OPT_ADAPTER].n && !with)
        return cli_usage(cli, "no adapter is named (--adapter FILE), nor another model (--with)");
    if (o->value[OPT_ADAPTER].n && with)
        return cli_usage(cli, "--adapter and --with are two steps: average first, then merge");
    if (!to) return cli_usage(cli, "-o FILE is missing");
    CliModel m = {0};
    char *folder = folder_of(to);
    if (with) {
        int done = folder_needed(folder);
        if (done == CLI_GOOD) done = averaging(cli, folder, to);
        mem_free(folder);
        return done;
    }
    int code = folder_needed(folder);
    if (code == CLI_GOOD) code = model_find(cli, &m.path);
    if (code == CLI_GOOD) code = adapters_read(cli, &m.adapters);
    interrupt_install();
    const ModelWish wish = {.writes = {folder}};
    if (code == CLI_GOOD) code = sandbox_as_run(cli, &wish, m.path, &m);
    if (code == CLI_GOOD) code = merge(cli, &m, to);
    model_close(&m);
    mem_free(folder);
    return code;
}
