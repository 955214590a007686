/* `bantam selfcheck`: holds the kernels chosen for this machine against plain C, then puts this
 * very process into the sandbox that `bantam run` uses, tries every way out and prints what the
 * kernel answered. Exit code 1 when a kernel is wrong or a way out gets through. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/serve_state.h"
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

/* ---- inside servers that run ---- */

enum { ANSWER_SECONDS = 10 };

/* Waits until the front and every worker have reported; false: not all did. */
static bool all_reported(ServeState *state, int64_t before)
{
    const double until = os_seconds() + ANSWER_SECONDS;
    while (os_seconds() < until && serve_state_again(state)) {
        const json_t *models = json_object_get(state->says, "models");
        size_t n = 1, ready = 0;
        for (size_t i = 0; i < json_array_size(models); i++) {
            const char *word =
                json_string_value(json_object_get(json_array_get(models, i), "state"));
            ready += word && strcmp(word, "loading") != 0;
        }
        n += ready;
        if (json_integer_value(json_object_get(state->says, "checks")) > before &&
            json_object_size(json_object_get(state->says, "checked")) >= n)
            return true;
        usleep(50000);
    }
    return false;
}

/* How many ways out were open, -1: it did not answer. */
static int check_server(ServeState *state, bool json)
{
    const int64_t before = json_integer_value(json_object_get(state->says, "checks"));
    int through = 0;
    const char *who;
    json_t *found, *way;
    size_t i;
    if (kill(state->pid, SIGUSR1) != 0 || !all_reported(state, before)) return -1;
    json_object_foreach(json_object_get(state->says, "checked"), who, found)
    {
        json_t *open_ways = json_object_get(found, "open");
        through += (int)json_array_size(open_ways);
        if (json) continue;
        printf("port %d, %s: %.0f ways out tried from inside, %zu got through\n", state->port, who,
               json_number_value(json_object_get(found, "refused")) +
                   (double)json_array_size(open_ways),
               json_array_size(open_ways));
        json_array_foreach(open_ways, i, way) printf("THROUGH  %s\n", json_string_value(way));
    }
    return through;
}

static int check_live(Cli *cli)
{
    ServeStates states;
    const bool json = opts_flag(&cli->opts, OPT_JSON);
    json_t *list = json_array();
    int code = CLI_GOOD;
    serve_states_find(&states);
    if (!states.n) code = cli_fail("no server of yours runs; 'bantam serve' starts one");
    for (size_t i = 0; i < states.n; i++) {
        const int through = check_server(&states.list[i], json);
        if (through < 0)
            code = cli_fail("the server at port %d did not answer", states.list[i].port);
        if (through > 0) code = CLI_FAILED;
        json_array_append_new(list, json_pack("{s:i,s:i,s:O}", "port", states.list[i].port,
                                              "through", through, "checked",
                                              json_object_get(states.list[i].says, "checked")));
    }
    if (json && states.n) {
        const int printed = json_print(json_pack("{s:O}", "servers", list));
        if (code == CLI_GOOD) code = printed;
    }
    json_decref(list);
    serve_states_close(&states);
    return code;
}

int cmd_selfcheck(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    if (opts_flag(&cli->opts, OPT_LIVE)) return check_live(cli);
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
