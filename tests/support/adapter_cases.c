/* Models with adapters (see adapter_cases.h). */
#include "support/adapter_cases.h"

#include <stdlib.h>

#include "support/files.h"

const char *const adapter_cases[ADAPTER_CASES] = {"llama", "llama-tied", "llama-dora", "qwen2",
                                                  "qwen3", "gemma3",     "phi3",       "qwen3moe"};

bool adapter_tokens(bt_token tokens[ADAPTER_TOKENS])
{
    size_t size;
    char *text = files_read(files_source("tests/data/adapters/tokens.txt"), &size), *at = text;
    if (!text) return false;
    for (int i = 0; i < ADAPTER_TOKENS; i++) tokens[i] = (bt_token)strtol(at + (i > 0), &at, 10);
    free(text);
    return true;
}
