/* The models with adapters of tests/data/adapters, which make_adapters.py made, and the tokens that
 * PEFT's logits of them are of. */
#ifndef TESTS_ADAPTER_CASES_H
#define TESTS_ADAPTER_CASES_H

#include "bantam/bantam.h"

#define ADAPTER_CASES  8
#define ADAPTER_TOKENS 24 /* of tokens.txt */

extern const char *const adapter_cases[ADAPTER_CASES]; /* folders */

/* False when the file cannot be read. */
bool adapter_tokens(bt_token tokens[ADAPTER_TOKENS]);

#endif
