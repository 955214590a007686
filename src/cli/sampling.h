/* The sampling options of a command as the library takes them. */
#ifndef CLI_SAMPLING_H
#define CLI_SAMPLING_H

#include "cli/cli.h"

/* *bias (mem_free it) holds the list that out->bias points to. CLI_GOOD or CLI_USAGE. */
int sampling_read(Cli *cli, bt_sampler_options *out, bt_logit_bias **bias);

#endif
