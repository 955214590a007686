/* `bantam stop`: ends a server of this user: what runs there may end first. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/commands.h"
#include "cli/serve_state.h"

enum { PATIENCE = 60 };

static int stop(Cli *cli, const ServeState *which)
{
    ServeState state = *which; /* the list owns what it points to, but for `says` */
    const double until = os_seconds() + PATIENCE;
    state.says = json_incref(state.says);
    if (kill(state.pid, SIGTERM) != 0)
        return cli_fail("process %d: %s", (int)state.pid, strerror(errno));
    cli_say(cli, "Ending the server at port %d ...", state.port);
    bool gone = false;
    while (!(gone = !serve_state_again(&state)) && os_seconds() < until) usleep(50000);
    json_decref(state.says);
    return gone
               ? CLI_GOOD
               : cli_fail("it has not ended within %d seconds; 'bantam stop' again ends it at once",
                          PATIENCE);
}

int cmd_stop(Cli *cli)
{
    ServeStates states;
    const ServeState *which;
    const char *given = cli->opts.n_args ? cli->opts.args[0] : NULL;
    char *end = NULL;
    const long port = given ? strtol(given, &end, 10) : 0;
    if (cli->opts.n_args > 1 || (given && (*end || port < 1 || port > 65535)))
        return cli_usage(cli, "takes the port of a server, or nothing");
    serve_states_find(&states);
    int code = serve_states_one(&states, (int)port, &which);
    if (code == CLI_GOOD) code = stop(cli, which);
    serve_states_close(&states);
    return code;
}
