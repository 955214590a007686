/* `bantam ps`: the servers of this user that run, and the models they have loaded. */
#include <string.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/serve_state.h"

static const char *text(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value ? value : "";
}

static void duration(double seconds, char *out, size_t size)
{
    if (seconds < 0)
        snprintf(out, size, "for ever");
    else if (seconds < 90)
        snprintf(out, size, "%.0f s", seconds);
    else if (seconds < 5400)
        snprintf(out, size, "%.0f min", seconds / 60);
    else
        snprintf(out, size, "%.1f h", seconds / 3600);
}

static void print_model(const json_t *m)
{
    char bytes[32], stays[32];
    const double keep = json_number_value(json_object_get(m, "keep_alive_seconds"));
    const double idle = json_number_value(json_object_get(m, "idle_seconds"));
    duration(keep < 0 ? -1 : keep > idle ? keep - idle : 0, stays, sizeof stays);
    printf("  %-40s %-9s %10s  process %-8.0f stays %s\n", text(m, "name"), text(m, "state"),
           bytes_text((uint64_t)json_integer_value(json_object_get(m, "bytes")), bytes),
           json_number_value(json_object_get(m, "pid")), stays);
}

int cmd_ps(Cli *cli)
{
    ServeStates states;
    int code = CLI_GOOD;
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    serve_states_find(&states);
    if (opts_flag(&cli->opts, OPT_JSON)) {
        json_t *list = json_array();
        for (size_t i = 0; i < states.n; i++) json_array_append(list, states.list[i].says);
        code = json_print(json_pack("{s:o}", "servers", list));
    } else {
        if (!states.n) cli_say(cli, "No server of yours runs; 'bantam serve' starts one.");
        for (size_t i = 0; i < states.n; i++) {
            const json_t *s = states.list[i].says, *models = json_object_get(s, "models");
            printf("%s  process %d, %.0f models offered%s\n", text(s, "url"),
                   (int)states.list[i].pid, json_number_value(json_object_get(s, "offered")),
                   json_is_true(json_object_get(s, "draining")) ? ", shutting down" : "");
            for (size_t k = 0; k < json_array_size(models); k++)
                print_model(json_array_get(models, k));
        }
    }
    serve_states_close(&states);
    return code;
}
