/* The files that running servers keep about themselves (serve/supervisor.h): where they are, whose
 * they are, what they say. For serve, ps, stop and selfcheck --live. */
#ifndef CLI_SERVE_STATE_H
#define CLI_SERVE_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct ServeState {
    char *path;
    int port;
    pid_t pid;    /* of the supervisor that holds the file's lock */
    json_t *says; /* what is in it, never NULL */
} ServeState;

typedef struct ServeStates {
    ServeState list[64];
    size_t n;
} ServeStates;

/* The folder, made if it must be (0700); mem_free it. NULL: there is none, and no home. */
char *serve_state_folder(void);
/* The servers of this user that live; files left behind are removed. */
void serve_states_find(ServeStates *out);
void serve_states_close(ServeStates *states);
/* The only one, or the one at `port` (0: any): CLI_GOOD, or an exit code after a message. */
int serve_states_one(const ServeStates *states, int port, const ServeState **out);
/* Reads the file again; false: the server has gone. */
bool serve_state_again(ServeState *state);

#endif
