/* Makes a small random model from a shell (see make_model.h).
 *
 *     mkmodel ARCH OUT.gguf [--type T] [--high T] [--vocab bpe|spm|none] [--template NAME] [--tied]
 *             [--bias] [--rope-freqs] [--seed N] [--embd N] [--ff N] [--layers N] [--heads N]
 *             [--kv-heads N] [--head-dim N] [--experts N] [--used N] [--ctx N] [--size N]
 *             [--pre NAME] [--name NAME] [--pooling N] [--add-eos]
 *             [--query-prefix TEXT] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "make_model.h"

static int usage(const char *what, const char *value)
{
    fprintf(stderr,
            "mkmodel: %s '%s'\nusage: mkmodel ARCH OUT.gguf [--type T] [--seed N] ... "
            "(the options are listed in mkmodel.c)\n",
            what, value);
    return 2;
}

static int find_type(const char *name)
{
    for (uint32_t t = 0; t < DTYPE_LIMIT; t++)
        if (dtype_known(t) && strcasecmp(dtype_name(t), name) == 0) return (int)t;
    return -1;
}

/* An option with a value; false when there is none of that name or its value is wrong. */
static bool set(MakeModel *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        int *to;
    } numbers[] = {
        {"--embd", &o->embd},         {"--ff", &o->ff},
        {"--layers", &o->layers},     {"--heads", &o->heads},
        {"--kv-heads", &o->kv_heads}, {"--head-dim", &o->head_dim},
        {"--experts", &o->experts},   {"--used", &o->experts_used},
        {"--ctx", &o->ctx},           {"--size", &o->vocab},
        {"--pooling", &o->pooling},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].to = (int)strtol(value, NULL, 10);
            return *numbers[i].to > 0;
        }
    if (strcmp(name, "--type") == 0 || strcmp(name, "--high") == 0) {
        int type = find_type(value);
        if (type < 0) return false;
        *(name[2] == 't' ? &o->type : &o->high) = (DType)type;
    } else if (strcmp(name, "--vocab") == 0) {
        if (strcmp(value, "spm") != 0 && strcmp(value, "bpe") != 0 && strcmp(value, "none") != 0)
            return false;
        o->tokenizer = *value == 's' ? MAKE_SPM : *value == 'b' ? MAKE_BPE : MAKE_NO_VOCAB;
    } else if (strcmp(name, "--template") == 0) {
        o->chat_template = value;
    } else if (strcmp(name, "--pre") == 0) {
        o->pre = value;
    } else if (strcmp(name, "--query-prefix") == 0) {
        o->query_prefix = value;
    } else if (strcmp(name, "--name") == 0) {
        o->name = value;
    } else if (strcmp(name, "--seed") == 0) {
        o->seed = strtoull(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    MakeModel o = {0};
    bt_error err;
    if (argc < 3) return usage("ARCH and OUT.gguf are needed, not", argc > 1 ? argv[1] : "");
    o.arch = argv[1];
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--tied") == 0)
            o.tied = true;
        else if (strcmp(argv[i], "--bias") == 0)
            o.bias = true;
        else if (strcmp(argv[i], "--add-eos") == 0)
            o.add_eos = true;
        else if (strcmp(argv[i], "--rope-freqs") == 0)
            o.rope_freqs = true;
        else if (i + 1 == argc)
            return usage("no value for, or no such option", argv[i]);
        else if (!set(&o, argv[i], argv[i + 1]))
            return usage("no such option or value:", argv[i]);
        else
            i++;
    }
    if (make_model(&o, argv[2], &err)) {
        fprintf(stderr, "mkmodel: %s\n", err.text);
        return 1;
    }
    return 0;
}
