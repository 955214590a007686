/* What a person hands in: text of the line, files, standard input. */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "base/buf.h"
#include "cli/cli.h"

#define PROMPT_MOST (1u << 30) /* bytes of a text that is read whole */

/* Reads a whole file ("-": standard input) to the end of `out`; with `plain` a NUL byte in it is
 * refused. CLI_GOOD, or CLI_FAILED after a message that names it. */
int read_text(const char *path, bool plain, Buf *out);
/* Standard input is a pipe or a file that somebody gave, not a terminal. */
bool stdin_given(void);
/* -p, then each --file, then standard input, a blank line between two. */
int prompt_join(const Cli *cli, Buf *out);

#endif
