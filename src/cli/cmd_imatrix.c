/* `bantam imatrix`: how much each column of each matrix is used, over a text (see bt_imatrix). */
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/prompt.h"
#include "cli/run.h"

static int gather(Cli *cli, CliModel *m, const Ids *ids, const char *file, const char *path)
{
    const Opts *o = &cli->opts;
    const char *slash = file ? strrchr(file, '/') : NULL;
    bt_error err = {0};
    Progress progress;
    progress_start(&progress, cli);
    bt_imatrix_options options = {.n_ctx = (int32_t)opts_int(o, OPT_WINDOW_CTX),
                                  .most = (size_t)opts_int(o, OPT_WINDOWS),
                                  .dataset = slash ? slash + 1 : file,
                                  .progress = progress_update,
                                  .progress_user = &progress};
    bt_status status = bt_imatrix(m->model, ids->ids, ids->n, path, &options, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    if (status == BT_E_ARGUMENT)
        return cli_fail("%s; give more text, or a smaller --ctx", err.text);
    if (status != BT_OK) return model_fail(m, &err);
    cli_say(cli, "%s written", path);
    return CLI_GOOD;
}

int cmd_imatrix(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *file = opts_text(o, OPT_TEXT_FILE), *path = opts_text(o, OPT_IMATRIX_OUT);
    if (o->n_args) return cli_usage(cli, "'%s' is too much; the text is given with -f", *o->args);
    if (!path) return cli_usage(cli, "-o FILE is missing");
    CliModel m = {0};
    Buf text = {0};
    Ids ids = {0};
    unsigned flags;
    char *folder = folder_of(path);
    int code = folder ? read_text(file ? file : "-", true, &text) : cli_fail("not enough memory");
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.writes = {folder}}, &m);
    flags = text_flags(cli, &m.info);
    if (code == CLI_GOOD && !ids_of_text(&m, text.data ? text.data : "", text.size, flags, &ids))
        code = CLI_FAILED;
    if (code == CLI_GOOD) code = gather(cli, &m, &ids, file, path);
    ids_close(&ids);
    buf_close(&text);
    model_close(&m);
    mem_free(folder);
    return code;
}
