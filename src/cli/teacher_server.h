/* `bantam distill --teacher https://... --store FILE`: a teacher behind a server. */
#ifndef CLI_TEACHER_SERVER_H
#define CLI_TEACHER_SERVER_H

#include "cli/cli.h"

/* Whether what --teacher names is an address. */
bool teacher_is_server(const char *name);
/* Asks it about the data and stores what it says in `path`. CLI_GOOD, or an exit code after a
 * message. */
int teacher_server_store(Cli *cli, const char *address, const char *const *data, size_t n_data,
                         const char *path);

#endif
