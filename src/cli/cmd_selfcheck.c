/* `bantam selfcheck`: puts this very process into the sandbox that `bantam run` uses, tries every
 * way out and prints what the kernel answered. Exit code 1 when one gets through. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"

enum { TRIES_MOST = 64 };

int cmd_selfcheck(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    bool json = opts_flag(&cli->opts, OPT_JSON);
    EgressTry tries[TRIES_MOST] = {0};
    CliModel m = {0};
    char box[64];
    int code = sandbox_as_run(cli, &(ModelWish){.box = BOX_NEEDED}, NULL, &m);
    if (code != CLI_GOOD) return code;
    size_t n = sandbox_try_egress(tries, TRIES_MOST), through = 0;
    if (n > TRIES_MOST) n = TRIES_MOST;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        through += !tries[i].refused;
        json_array_append_new(list, json_pack("{s:s,s:b,s:s}", "name", tries[i].name, "refused",
                                              tries[i].refused, "answer", tries[i].answer));
        if (!json)
            printf("%-8s %s: %s\n", tries[i].refused ? "refused" : "THROUGH", tries[i].name,
                   tries[i].answer);
    }
    sandbox_text(&m.box, box, sizeof box);
    if (json) {
        code = json_print(json_pack("{s:s,s:o,s:I}", "sandbox", box, "egress", list, "through",
                                    (json_int_t)through));
    } else {
        json_decref(list);
        printf("%zu ways out tried, %zu got through (%s)\n", n, through, box);
    }
    if (!n) return cli_fail("no way out is known to try on this system");
    return through ? CLI_FAILED : code;
}
