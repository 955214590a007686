/* A teacher behind a server (see teacher_server.h). Two processes: this one reads the data and the
 * answers and has given up the network; the courier has the network and nothing else. What is sent,
 * and where, is said before it is, and wants a yes. */
#include "cli/teacher_server.h"

#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/courier.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"
#include "train/server_teacher.h"

#define TALK_SECONDS 30 /* between lines, where there is no terminal */

typedef struct Asking {
    Cli *cli;
    const char *address, *name;
    Courier *courier;
    Progress progress;
    double told;
    bool declined;
} Asking;

bool teacher_is_server(const char *name)
{
    return strncasecmp(name, "http://", 7) == 0 || strncasecmp(name, "https://", 8) == 0;
}

/* ---- what server_targets calls ---- */

static bt_status post(void *user, const char *path, Span body, ServerAnswer *out, bt_error *err)
{
    Asking *a = user;
    return courier_post(a->courier, path, body, &out->status, &out->wait_for, &out->body, err);
}

static bool wait_some(void *user, double seconds)
{
    const struct timespec slice = {.tv_nsec = 100000000};
    double end = os_seconds() + seconds;
    (void)user;
    while (os_seconds() < end && !interrupt_seen()) nanosleep(&slice, NULL);
    return !interrupt_seen();
}

static void say(void *user, const char *line)
{
    Asking *a = user;
    progress_end(&a->progress);
    cli_say(a->cli, "%s", line);
}

static bool consent(void *user, const ServerPlan *plan)
{
    Asking *a = user;
    char bytes[32], answer[16] = "";
    progress_end(&a->progress);
    fprintf(
        stderr,
        "bantam: text of %llu documents (%s of files) goes to %s, for its model %s: %llu "
        "requests or fewer. What a server gets it may keep. Nothing else leaves this machine.\n",
        (unsigned long long)plan->documents, bytes_text(plan->bytes, bytes), a->address, a->name,
        (unsigned long long)plan->requests);
    if (opts_flag(&a->cli->opts, OPT_YES)) return true;
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
        fputs("Send it? [y/N] ", stderr);
        if (!fgets(answer, sizeof answer, stdin)) answer[0] = '\0';
    }
    a->declined = strncasecmp(answer, "y", 1) != 0;
    return !a->declined;
}

static bool progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    Asking *a = user;
    double now = os_seconds();
    if (!isatty(STDERR_FILENO) && now - a->told >= TALK_SECONDS && a->told > 0) {
        cli_say(a->cli, "%s: %llu of %llu", what, (unsigned long long)done,
                (unsigned long long)total);
        a->told = now;
    }
    if (!(a->told > 0)) a->told = now;
    return progress_update(&a->progress, what, done, total);
}

/* ---- the command ---- */

static int print_result(Cli *cli, const char *path, const ServerResult *r)
{
    bool writes = r->mode == SERVER_WRITES;
    if (r->cut)
        cli_say(cli, "%llu answers did not end and were left out; --longest N allows more",
                (unsigned long long)r->cut);
    if (r->silent)
        cli_say(cli, "%llu answers have no words (a call, a refusal) and were left out",
                (unsigned long long)r->silent);
    cli_say(cli,
            "%s written: the teacher spoke of %.0f %% of %llu tokens; --targets %s%s%s learns "
            "from it",
            path, r->counted ? 100.0 * (double)r->compared / (double)r->counted : 0,
            (unsigned long long)r->counted, path, writes ? " --data " : "",
            writes ? "and the same name with .jsonl" : ", with the same data,");
    if (!opts_flag(&cli->opts, OPT_JSON)) return CLI_GOOD;
    return json_print(json_pack("{s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "file", json_text(path),
                                "mode", writes ? "writes" : "reads", "requests",
                                (json_int_t)r->asked, "answers", (json_int_t)r->answered, "cut",
                                (json_int_t)r->cut, "silent", (json_int_t)r->silent, "counted",
                                (json_int_t)r->counted, "compared", (json_int_t)r->compared));
}

static int ask(Asking *a, const char *vocab, const char *const *data, size_t n_data,
               const char *path)
{
    const Opts *o = &a->cli->opts;
    const char *ways = opts_text(o, OPT_ASK);
    const bt_model_options none = {.vocab_only = true, .no_cache = true};
    const ServerOptions options = {.name = a->name,
                                   .mode = strcmp(ways, "reads") == 0    ? SERVER_READS
                                           : strcmp(ways, "writes") == 0 ? SERVER_WRITES
                                                                         : SERVER_EITHER,
                                   .n_ctx = (int32_t)opts_int(o, OPT_COURSE_CTX),
                                   .longest = (int32_t)opts_int(o, OPT_LONGEST),
                                   .lenient = opts_flag(o, OPT_LENIENT),
                                   .all_counts = opts_flag(o, OPT_ALL_COUNTS),
                                   .first_wait = (double)opts_int(o, OPT_PATIENCE) / 20,
                                   .post = post,
                                   .wait = wait_some,
                                   .consent = consent,
                                   .tell = say,
                                   .user = a,
                                   .progress = progress,
                                   .progress_user = a};
    ServerResult result;
    bt_error err = {0};
    bt_model *model = NULL;
    bt_status status = bt_model_open(vocab, &none, &model, &err);
    if (!status) status = server_targets(model, data, n_data, path, &options, &result, &err);
    bt_model_close(&model);
    progress_end(&a->progress);
    if (a->declined) return cli_fail("nothing was sent; --yes sends it without asking");
    if (status == BT_E_CANCELLED) return cli_fail("%s; the same command goes on", err.text);
    if (status) return cli_fail("%s", err.text);
    return print_result(a->cli, path, &result);
}

static void tell_log(void *user, bt_log_level level, const char *line)
{
    (void)level;
    say(user, line);
}

/* The vocabulary: a file, not a config.json. */
static const char *vocabulary(const Opts *o)
{
    const char *named[] = {opts_text(o, OPT_TRAIN_TOKENIZER), opts_text(o, OPT_STUDENT),
                           opts_text(o, OPT_TRAIN_MODEL)};
    for (int i = 0; i < 3; i++) {
        size_t n = named[i] ? strlen(named[i]) : 0;
        if (n && (n < 5 || strcmp(named[i] + n - 5, ".json") != 0)) return named[i];
    }
    return NULL;
}

int teacher_server_store(Cli *cli, const char *address, const char *const *data, size_t n_data,
                         const char *path)
{
    const Opts *o = &cli->opts;
    const char *vocab = vocabulary(o);
    char *plain = mem_strdup(address), *folder = folder_of(path);
    Asking a = {.cli = cli, .address = plain, .name = opts_text(o, OPT_TEACHER_MODEL)};
    CliModel box = {0};
    bt_error err = {0};
    int code = CLI_GOOD;
    if (!plain || !folder)
        code = cli_fail("not enough memory");
    else if (courier_wrong(address))
        code = cli_usage(cli, "--teacher: %s", courier_wrong(address));
    else if (!a.name)
        code = cli_usage(cli, "--teacher-model NAME is missing: the model's name on the server");
    else if (!vocab)
        code = cli_usage(cli, "the student's vocabulary is missing: --tokenizer FILE");
    else if (!n_data)
        code = cli_usage(cli, "--data FILE is missing");
    for (size_t n = plain ? strlen(plain) : 0; n > 0 && plain[n - 1] == '/'; n--)
        plain[n - 1] = '\0';
    const CourierOptions courier = {.address = plain,
                                    .key_file = opts_text(o, OPT_TEACHER_KEY),
                                    .key_variable = "BANTAM_TEACHER_KEY",
                                    .seconds = (long)opts_int(o, OPT_PATIENCE)};
    if (code == CLI_GOOD && courier_open(&courier, &a.courier, &err))
        code = cli_fail("%s", err.text);
    const ModelWish wish = {.writes = {folder}, .reads = {vocab}, .data = data, .n_data = n_data};
    if (code == CLI_GOOD) interrupt_install();
    if (code == CLI_GOOD) code = sandbox_as_run(cli, &wish, NULL, &box);
    if (code == CLI_GOOD) {
        progress_start(&a.progress, cli);
        bt_log_set(tell_log, &a, BT_LOG_WARN);
        code = ask(&a, vocab, data, n_data, path);
        bt_log_set(NULL, NULL, BT_LOG_WARN);
    }
    courier_close(&a.courier);
    mem_free(plain);
    mem_free(folder);
    return code;
}
