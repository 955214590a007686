/* Adapters that the command line names with --adapter FILE[:SCALE]. */
#ifndef CLI_ADAPTERS_H
#define CLI_ADAPTERS_H

#include "cli/cli.h"

typedef struct CliAdapters {
    char **paths;         /* (n) without their scales */
    bt_adapter_use *uses; /* (n) */
    size_t n;
} CliAdapters;

/* Reads the option, before the sandbox. CLI_GOOD, or an exit code after a message. */
int adapters_read(Cli *cli, CliAdapters *out);
/* Opens them for the model. */
int adapters_open(Cli *cli, CliAdapters *a, bt_model *model);
/* Those whose scale is not 0, *n of them: mem_free. NULL: no memory. */
bt_adapter_use *adapters_on(const CliAdapters *a, size_t *n);
/* Gives them to the session. */
bt_status adapters_attach(const CliAdapters *a, bt_session *session, bt_error *err);
/* "tone.gguf:0.5" is a path and a scale; no scale: 1. mem_free *path; NULL: no memory. False: the
 * scale is no number. */
bool adapter_split(const char *text, char **path, float *scale);
void adapters_close(CliAdapters *a);

#endif
