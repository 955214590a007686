/* `bantam convert`: a maker's folder to one GGUF file (see bt_convert), and adapters from one form
 * to the other, for which the base says how its matrices lie. */
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model.h"

static void tell(void *user, bt_log_level level, const char *line)
{
    cli_say(user, "%s", line);
}

static int convert(Cli *cli, const char *folder, const char *path)
{
    bt_error err = {0};
    Progress progress;
    struct stat at;
    char size[32];
    progress_start(&progress, cli);
    bt_log_set(tell, cli, BT_LOG_WARN);
    bt_convert_options o = {.type = opts_text(&cli->opts, OPT_CONVERT_TYPE),
                            .progress = progress_update,
                            .progress_user = &progress};
    bt_status status = bt_convert(folder, path, &o, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    if (status != BT_OK) return cli_fail("%s", err.text);
    if (stat(path, &at) == 0)
        cli_say(cli, "%s: %s written", path, bytes_text((uint64_t)at.st_size, size));
    return CLI_GOOD;
}

static int convert_adapter(Cli *cli, const char *from, const char *base, const char *to)
{
    bt_error err = {0};
    bt_model *m = NULL;
    bt_adapter *a = NULL;
    const bt_model_options options = {.no_cache = true};
    const bt_adapter_options any = {.any_base = opts_flag(&cli->opts, OPT_ANY_BASE)};
    bt_status status = bt_model_open(base, &options, &m, &err);
    if (!status) status = bt_adapter_open(m, from, &any, &a, &err);
    if (!status) status = bt_adapter_save(a, to, &err);
    bt_adapter_close(&a);
    bt_model_close(&m);
    if (status) return cli_fail("%s", err.text);
    cli_say(cli, "%s written", to);
    return CLI_GOOD;
}

int cmd_convert(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args < 2) return cli_usage(cli, "a folder and the file to write must be named");
    if (o->n_args > 2) return cli_usage(cli, "'%s' is too much", o->args[2]);
    const char *folder = o->args[0], *path = o->args[1];
    CliModel m = {0};
    char *out = folder_of(path), *base = NULL;
    const char *named = opts_text(o, OPT_BASE);
    if (named && !(base = model_named(named))) {
        mem_free(out);
        return CLI_FAILED;
    }
    interrupt_install();
    int code = folder_needed(out);
    if (code == CLI_GOOD)
        code = sandbox_as_run(cli, &(ModelWish){.writes = {out}, .other = base}, folder, &m);
    if (code == CLI_GOOD)
        code = base ? convert_adapter(cli, folder, base, path) : convert(cli, folder, path);
    mem_free(base);
    mem_free(out);
    return code;
}
