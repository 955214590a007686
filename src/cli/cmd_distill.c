/* `bantam distill`: a student learns from a teacher (see bt_distill_options), or what a teacher
 * says of the data is stored. The rest is `bantam train`. */
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/teacher_server.h"
#include "cli/training.h"

/* --data, and what else stands on the line; mem_free it. */
static const char **data_of(const Opts *o, size_t *n)
{
    const OptValue *named = &o->value[OPT_COURSE_DATA];
    const char **data = mem_zalloc(named->n + o->n_args + 1, sizeof *data);
    *n = 0;
    for (size_t i = 0; data && i < named->n; i++) data[(*n)++] = named->list[i];
    for (size_t i = 0; data && i < o->n_args; i++) data[(*n)++] = o->args[i];
    return data;
}

static void tell(void *user, bt_log_level level, const char *line)
{
    cli_say(user, "%s", line);
}

static int store(Cli *cli, const char *teacher, const char *path)
{
    const Opts *o = &cli->opts;
    const char *mask = opts_text(o, OPT_CPU_MASK);
    size_t n;
    CliModel box = {0};
    Progress progress;
    bt_error err = {0};
    const char **data = data_of(o, &n);
    char *folder = folder_of(path);
    int code = data && folder ? CLI_GOOD : cli_fail("not enough memory");
    if (code == CLI_GOOD && !n) code = cli_usage(cli, "--data FILE is missing");
    interrupt_install();
    const ModelWish wish = {.writes = {folder}, .data = data, .n_data = n};
    if (code == CLI_GOOD) code = sandbox_as_run(cli, &wish, teacher, &box);
    progress_start(&progress, cli);
    bt_log_set(tell, cli, BT_LOG_WARN);
    const bt_targets_options options = {.samples = (int32_t)opts_int(o, OPT_SAMPLES),
                                        .temperature = opts_real(o, OPT_TEMPERATURE),
                                        .n_ctx = (int32_t)opts_int(o, OPT_COURSE_CTX),
                                        .lenient = opts_flag(o, OPT_LENIENT),
                                        .all_counts = opts_flag(o, OPT_ALL_COUNTS),
                                        .seed = o->value[OPT_COURSE_SEED].count,
                                        .n_threads = (int)opts_int(o, OPT_THREADS),
                                        .cpu_mask = mask ? cpu_mask_parse(mask) : 0,
                                        .progress = progress_update,
                                        .progress_user = &progress};
    bt_status status = BT_OK;
    if (code == CLI_GOOD) status = bt_targets(teacher, data, n, path, &options, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED)
        code = cli_fail("stopped; nothing was written");
    else if (status)
        code = cli_fail("%s", err.text);
    else if (code == CLI_GOOD)
        cli_say(cli, "%s written; --targets %s learns from it", path, path);
    mem_free((void *)(uintptr_t)data);
    mem_free(folder);
    return code;
}

static bool is_config(const char *path)
{
    size_t n = path ? strlen(path) : 0;
    return n > 5 && strcmp(path + n - 5, ".json") == 0;
}

/* --student in place of -m or -c. */
static int read_student(Cli *cli, const char *teacher, bt_train_options *out)
{
    const Opts *o = &cli->opts;
    const char *student = opts_text(o, OPT_STUDENT);
    out->model = opts_text(o, OPT_TRAIN_MODEL);
    out->config = opts_text(o, OPT_TRAIN_CONFIG);
    out->tokenizer = opts_text(o, OPT_TRAIN_TOKENIZER);
    if (student && (out->model || out->config))
        return cli_usage(cli, "--student goes without -m and -c");
    if (student && is_config(student))
        out->config = student;
    else if (student)
        out->model = student;
    if (!out->model == !out->config)
        return cli_usage(cli, "--student is missing: a model, or the config.json of a new one");
    if (out->config && !out->tokenizer) out->tokenizer = teacher;
    if (out->config && !out->tokenizer)
        return cli_usage(cli, "a new student needs a vocabulary: --tokenizer FILE");
    return CLI_GOOD;
}

static int teach(Cli *cli, const char *teacher, const char *targets)
{
    const Opts *o = &cli->opts;
    const char *out = opts_text(o, OPT_TRAIN_OUT), *type = opts_text(o, OPT_TRAIN_TYPE);
    const bt_distill_options distill = {.teacher = teacher,
                                        .targets = targets,
                                        .soft = opts_real(o, OPT_SOFT),
                                        .temperature = opts_real(o, OPT_TEMPERATURE),
                                        .mix = opts_real(o, OPT_MIX),
                                        .on_policy = opts_real(o, OPT_ON_POLICY),
                                        .match_text = strcmp(opts_text(o, OPT_MATCH), "text") == 0};
    Training t;
    char *model = NULL;
    int code = training_open(cli, out, 0, &t);
    if (code == CLI_GOOD) code = read_student(cli, teacher, &t.options);
    if (code == CLI_GOOD && !training_type(cli, type)) code = CLI_USAGE;
    if (code == CLI_GOOD && t.options.model && !(model = model_named(t.options.model)))
        code = CLI_FAILED;
    t.options.model = model;
    t.options.distill = &distill;
    ModelWish wish = {.reads = {t.options.config, t.options.tokenizer},
                      .other = teacher ? teacher : targets};
    if (code == CLI_GOOD) code = training_box(&t, &wish, model);
    if (code == CLI_GOOD) code = training_run(&t, out, type);
    training_close(&t);
    mem_free(model);
    return code;
}

static int ask_server(Cli *cli, const char *address, const char *path)
{
    size_t n;
    if (!path)
        return cli_usage(cli, "what a server says is stored first: --store FILE; a student learns "
                              "from it with --targets");
    const char **data = data_of(&cli->opts, &n);
    int code =
        data ? teacher_server_store(cli, address, data, n, path) : cli_fail("not enough memory");
    mem_free((void *)(uintptr_t)data);
    return code;
}

int cmd_distill(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *named = opts_text(o, OPT_TEACHER), *targets = opts_text(o, OPT_TARGETS);
    const char *path = opts_text(o, OPT_STORE);
    char *teacher = NULL;
    if (path && !named) return cli_usage(cli, "--store wants a --teacher");
    bool server = named && teacher_is_server(named); /* needs a vocabulary */
    if (path && !server &&
        (targets || opts_text(o, OPT_STUDENT) || opts_text(o, OPT_TRAIN_MODEL) ||
         opts_text(o, OPT_TRAIN_CONFIG)))
        return cli_usage(cli, "--store writes what the teacher says; a student learns from it with "
                              "--targets, in a command of its own");
    if (!named == !targets)
        return cli_usage(cli, "give --teacher MODEL, or --targets FILE that --store made");
    if (server) return ask_server(cli, named, path);
    if (named && !(teacher = model_named(named))) return CLI_FAILED;
    int code = path ? store(cli, teacher, path) : teach(cli, teacher, targets);
    mem_free(teacher);
    return code;
}
