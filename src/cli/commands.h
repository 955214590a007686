/* The functions behind commands.def; each gives the exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

#define COMMAND(name, scopes, arguments, summary, text, examples) int cmd_##name(Cli *cli);
#include "cli/commands.def"
#undef COMMAND

#endif
