/* `bantam adapt`: an adapter of a model from data (see bt_adapt). */
#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/training.h"

/* Where the base's prepared weights are kept; NULL: nowhere. */
static char *open_cache(const Cli *cli)
{
    bt_error err = {0};
    char *dir = opts_flag(&cli->opts, OPT_NO_CACHE) ? NULL : cache_folder(cli);
    if (dir && os_make_dirs(dir, &err) != BT_OK) {
        mem_free(dir);
        dir = NULL;
    }
    return dir;
}

static int adapt(Training *t, const char *out)
{
    const Opts *o = &t->cli->opts;
    bt_error err = {0};
    bt_train_result result = {0};
    bt_adapt_options options = {.train = t->options,
                                .rank = (int32_t)opts_int(o, OPT_RANK),
                                .alpha = (float)opts_real(o, OPT_ALPHA),
                                .dora = opts_flag(o, OPT_DORA),
                                .targets = opts_text(o, OPT_ADAPT_TARGETS),
                                .from = opts_text(o, OPT_ADAPT_FROM),
                                .any_base = opts_flag(o, OPT_ANY_BASE),
                                .keep = opts_flag(o, OPT_KEEP),
                                .cache_dir = t->box.cache_dir};
    options.train.out = out;
    /* what stands in the table for models is not for adapters */
    if (o->value[OPT_COURSE_BATCH].source == FROM_DEFAULT) options.train.batch = 0;
    if (o->value[OPT_WEIGHT_DECAY].source == FROM_DEFAULT) options.train.weight_decay = 0;
    training_begin(t);
    bt_status status = bt_adapt(&options, &result, &err);
    int code = training_end(t, status, result.step, &err);
    return code == CLI_GOOD ? training_print(t, &result, out) : code;
}

int cmd_adapt(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *out = opts_text(o, OPT_ADAPT_OUT), *named = opts_text(o, OPT_ADAPT_MODEL);
    Training t;
    char *model = NULL;
    int code = training_open(cli, out, 0, &t);
    if (code == CLI_GOOD && !named) code = cli_usage(cli, "-m MODEL is missing");
    if (code == CLI_GOOD && !(model = model_named(named))) code = CLI_FAILED;
    t.options.model = model;
    if (code == CLI_GOOD) t.box.cache_dir = open_cache(cli);
    ModelWish wish = {.reads = {opts_text(o, OPT_ADAPT_FROM)}};
    if (code == CLI_GOOD) code = training_box(&t, &wish, model);
    if (code == CLI_GOOD) code = adapt(&t, out);
    mem_free(t.box.cache_dir);
    training_close(&t);
    mem_free(model);
    return code;
}
