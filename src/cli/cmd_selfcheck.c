/* `bantam selfcheck`: holds the kernels chosen for this machine against plain C, then puts this
 * very process into the sandbox that `bantam run` uses, tries every way out and prints what the
 * kernel answered. Exit code 1 when a kernel is wrong or a way out gets through. */
#include "base/cpu.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"
#include "kernels/kernels.h"

enum { TRIES_MOST = 64, TRIALS_MOST = 32 };

/* How many kernels are wrong. */
static size_t check_kernels(bool json, json_t *list)
{
    KernelTrial trials[TRIALS_MOST];
    const Kernels *chosen = kernels_select(cpu_choose(0));
    size_t n = kernels_try(chosen, trials, TRIALS_MOST), wrong = 0;
    if (n > TRIALS_MOST) n = TRIALS_MOST;
    for (size_t i = 0; i < n; i++) {
        wrong += !trials[i].good;
        json_array_append_new(
            list, json_pack("{s:s,s:b}", "name", trials[i].name, "good", trials[i].good));
        if (!json)
            printf("%-8s kernel: %s: %.1e from plain C\n", trials[i].good ? "good" : "WRONG",
                   trials[i].name, (double)trials[i].apart);
    }
    if (!json) printf("%zu kernels (%s) tried, %zu wrong\n", n, chosen->name, wrong);
    return wrong;
}

/* How many ways out got through. */
static size_t check_egress(bool json, json_t *list, const char *box)
{
    EgressTry tries[TRIES_MOST] = {0};
    size_t n = sandbox_try_egress(tries, TRIES_MOST), through = 0;
    if (n > TRIES_MOST) n = TRIES_MOST;
    for (size_t i = 0; i < n; i++) {
        through += !tries[i].refused;
        json_array_append_new(list, json_pack("{s:s,s:b,s:s}", "name", tries[i].name, "refused",
                                              tries[i].refused, "answer", tries[i].answer));
        if (!json)
            printf("%-8s %s: %s\n", tries[i].refused ? "refused" : "THROUGH", tries[i].name,
                   tries[i].answer);
    }
    if (!json && n) printf("%zu ways out tried, %zu got through (%s)\n", n, through, box);
    return through;
}

int cmd_selfcheck(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    bool json = opts_flag(&cli->opts, OPT_JSON), all = !opts_flag(&cli->opts, OPT_EGRESS);
    CliModel m = {0};
    char box[64];
    json_t *kernels = json_array(), *egress = json_array();
    size_t wrong = all ? check_kernels(json, kernels) : 0, through = 0;
    int code = sandbox_as_run(cli, &(ModelWish){.box = BOX_NEEDED}, NULL, &m);
    if (code == CLI_GOOD) {
        sandbox_text(&m.box, box, sizeof box);
        through = check_egress(json, egress, box);
        if (json_array_size(egress) == 0)
            code = cli_fail("no way out is known to try on this system");
    }
    if (code == CLI_GOOD && json) {
        json_t *out = json_pack("{s:s,s:O,s:I}", "sandbox", box, "egress", egress, "through",
                                (json_int_t)through);
        if (all) json_object_set(out, "kernels", kernels);
        code = json_print(out);
    }
    json_decref(kernels);
    json_decref(egress);
    return wrong || through ? CLI_FAILED : code;
}
