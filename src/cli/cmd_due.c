/* `bantam due`: what is due by now, a line each, for cron; or with --ics the calendar. Nothing is
 * printed where nothing is due. */
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "cli/assistant.h"
#include "cli/commands.h"
#include "cli/model.h"

#ifdef BANTAM_AGENT

#include "agent/agent.h"

static int print_due(Agent *agent, bool calendar)
{
    Buf out = {0};
    size_t n;
    bt_error err = {0};
    int64_t now = (int64_t)time(NULL);
    bt_status status =
        calendar ? agent_calendar(agent, now, &out, &err) : agent_due(agent, now, &out, &n, &err);
    if (out.data) fwrite(out.data, 1, out.size, stdout);
    buf_close(&out);
    int code = cli_flush();
    return status == BT_OK ? code : cli_fail("%s", err.text);
}

int cmd_due(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    CliModel m = {0};
    Agent *agent = NULL;
    bt_error err = {0};
    char *folder = assistant_folder();
    if (!folder)
        return cli_fail("there is no home folder, or bantam/assistant in XDG_DATA_HOME "
                        "(~/.local/share) cannot be made");
    int code = sandbox_as_run(cli, &(ModelWish){.writes = {folder}}, NULL, &m);
    if (code == CLI_GOOD && agent_open(folder, NULL, &agent, &err) != BT_OK)
        code = cli_fail("%s", err.text);
    if (code == CLI_GOOD) code = print_due(agent, opts_flag(&cli->opts, OPT_ICS));
    agent_close(&agent);
    mem_free(folder);
    return code;
}

#else

int cmd_due(Cli *cli)
{
    (void)cli;
    return cli_fail("this build has no assistant: it was made without SQLite");
}

#endif
