/* `bantam train`: a new model, or all weights of one, from data (see bt_train). */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/training.h"

/* Types that bt_train does not write itself go through the quantiser, from float32. */
static int quantise(Training *t, const char *from, const char *to, const char *type)
{
    bt_error err = {0};
    bt_quantize_options o = {.type = type,
                             .n_threads = t->options.n_threads,
                             .progress = progress_update,
                             .progress_user = &t->progress};
    bt_status status = bt_quantize(from, to, &o, NULL, &err);
    progress_end(&t->progress);
    if (status != BT_OK) return cli_fail("%s", err.text);
    unlink(from);
    return CLI_GOOD;
}

static bool writes_itself(const char *type)
{
    static const char *const own[] = {"f32", "bf16", "f16", "q8_0"};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(type, own[i]) == 0) return true;
    return false;
}

static bool is_type(const char *type)
{
    const char *name, *text;
    for (size_t i = 0; bt_quantize_type(i, &name, &text); i++)
        if (strcasecmp(name, type) == 0) return true;
    return writes_itself(type);
}

/* --name, or the file's without its end. */
static void name_of(const Training *t, const char *out, char *name, size_t size)
{
    const char *given = opts_text(&t->cli->opts, OPT_TRAIN_NAME), *slash = strrchr(out, '/');
    snprintf(name, size, "%s", given ? given : slash ? slash + 1 : out);
    size_t n = strlen(name);
    if (!given && n > 5 && strcmp(name + n - 5, ".gguf") == 0) name[n - 5] = '\0';
}

bool training_type(Cli *cli, const char *type)
{
    if (is_type(type)) return true;
    cli_usage(cli, "'%s' is no type; 'bantam quantize --types' lists them", type);
    return false;
}

int training_run(Training *t, const char *out, const char *type)
{
    bt_error err = {0};
    bt_train_result result = {0};
    size_t n = strlen(t->folder) + 16;
    char *temporary = writes_itself(type) ? NULL : mem_alloc(n);
    if (!writes_itself(type) && !temporary) return cli_fail("not enough memory");
    if (temporary) snprintf(temporary, n, "%s/float32.gguf", t->folder);
    char name[128];
    name_of(t, out, name, sizeof name);
    t->options.name = name;
    t->options.out = temporary ? temporary : out;
    t->options.type = temporary ? "f32" : type;
    training_begin(t);
    bt_status status = bt_train(&t->options, &result, &err);
    int code = training_end(t, status, result.step, &err);
    if (code == CLI_GOOD && temporary) code = quantise(t, temporary, out, type);
    mem_free(temporary);
    return code == CLI_GOOD ? training_print(t, &result, out) : code;
}

static int check_line(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *type = opts_text(o, OPT_TRAIN_TYPE);
    if (!opts_text(o, OPT_TRAIN_MODEL) == !opts_text(o, OPT_TRAIN_CONFIG))
        return cli_usage(cli, "give -c config.json for a new model, or -m MODEL to go on training "
                              "one");
    if (opts_text(o, OPT_TRAIN_CONFIG) && !opts_text(o, OPT_TRAIN_TOKENIZER))
        return cli_usage(cli, "a new model needs a vocabulary: --tokenizer FILE ('bantam vocab' "
                              "makes one)");
    return training_type(cli, type) ? CLI_GOOD : CLI_USAGE;
}

int cmd_train(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *out = opts_text(o, OPT_TRAIN_OUT), *named = opts_text(o, OPT_TRAIN_MODEL);
    Training t;
    char *model = NULL;
    int code = training_open(cli, out, 0, &t);
    if (code == CLI_GOOD) code = check_line(cli);
    if (code == CLI_GOOD && named && !(model = model_named(named))) code = CLI_FAILED;
    t.options.model = model;
    t.options.config = opts_text(o, OPT_TRAIN_CONFIG);
    t.options.tokenizer = opts_text(o, OPT_TRAIN_TOKENIZER);
    ModelWish wish = {.reads = {t.options.config, t.options.tokenizer}};
    if (code == CLI_GOOD) code = training_box(&t, &wish, model);
    if (code == CLI_GOOD) code = training_run(&t, out, opts_text(o, OPT_TRAIN_TYPE));
    training_close(&t);
    mem_free(model);
    return code;
}
