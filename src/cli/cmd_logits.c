/* `bantam logits`: what the model says after each of the given tokens, as float32 in a file. The
 * state is float32 unless asked otherwise, so that two engines can be held against each other. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/run.h"

typedef struct LogitsJob {
    Cli *cli;
    CliModel *m;
    bt_session *session;
    const Ids *ids;
    size_t chunk;
    bt_row *rows; /* chunk */
    int fd;       /* of a pipe or device to write to; -1: a file is replaced whole */
} LogitsJob;

static bt_status one_step(const LogitsJob *job, size_t at, size_t n, int fd, bt_error *err)
{
    size_t bytes = (size_t)job->m->info.n_vocab * sizeof(float);
    for (size_t i = 0; i < n; i++)
        job->rows[i] = (bt_row){.token = job->ids->ids[at + i], .want_logits = true};
    bt_status status = bt_session_step(job->session, job->rows, n, err);
    for (size_t i = 0; status == BT_OK && i < n; i++) {
        const float *row = bt_session_logits(job->session, (int32_t)i);
        if (!row) return bt_fail(err, BT_E_INTERNAL, "the engine gave no logits");
        status = os_write_all(fd, row, bytes, err);
    }
    return status;
}

static bt_status write_logits(void *user, int fd, bt_error *err)
{
    const LogitsJob *job = user;
    Progress progress;
    bt_status status = BT_OK;
    progress_start(&progress, job->cli);
    interrupt_watch(job->session);
    for (size_t at = 0; at < job->ids->n && status == BT_OK; at += job->chunk) {
        size_t left = job->ids->n - at;
        status = one_step(job, at, left < job->chunk ? left : job->chunk, fd, err);
        progress_update(&progress, "logits", at, job->ids->n);
    }
    interrupt_watch(NULL);
    progress_end(&progress);
    return status;
}

static int run_job(LogitsJob *job, const char *path)
{
    bt_error err = {0};
    bt_session_options options = session_options(job->cli);
    int64_t chunk = opts_int(&job->cli->opts, OPT_CHUNK);
    if (!options.kv) options.kv = BT_KV_F32;
    if (!options.n_ctx) options.n_ctx = (int32_t)job->ids->n;
    if (chunk > options.n_batch) options.n_batch = (int32_t)chunk;
    if (!chunk) chunk = options.n_batch;
    /* A step never needs more rows than there are tokens. */
    if (options.n_batch > (int32_t)job->ids->n) options.n_batch = (int32_t)job->ids->n;
    if (chunk > options.n_batch) chunk = options.n_batch;
    if (job->ids->n > (size_t)options.n_ctx)
        return cli_fail("there are %zu tokens and the context holds %d; give --ctx %zu",
                        job->ids->n, options.n_ctx, job->ids->n);
    job->chunk = (size_t)chunk;
    options.n_logits = (int32_t)chunk;
    int code = session_open(job->m, &options, &job->session);
    if (code != CLI_GOOD) return code;
    job->rows = mem_alloc(job->chunk * sizeof *job->rows);
    if (!job->rows) return cli_fail("not enough memory for a step of %zu tokens", job->chunk);
    bt_status status = job->fd < 0 ? os_replace_file(path, write_logits, job, &err)
                                   : write_logits(job, job->fd, &err);
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK && job->fd >= 0) bt_error_prefix(&err, path);
    return status == BT_OK ? CLI_GOOD : cli_fail("%s", err.text);
}

/* "-", a pipe or a device is written to as it stands, a file is replaced. */
static bool open_output(const char *path, int *fd)
{
    struct stat at;
    *fd = -1;
    if (strcmp(path, "-") == 0) *fd = dup(STDOUT_FILENO);
    if (*fd >= 0 || stat(path, &at) != 0 || S_ISREG(at.st_mode)) return true;
    *fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (*fd < 0) cli_fail("%s: %s", path, os_why(errno));
    return *fd >= 0;
}

int cmd_logits(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *path = opts_text(o, OPT_OUTPUT), *text = opts_text(o, OPT_TOKENS);
    if (o->n_args) return cli_usage(cli, "'%s' is too much; ids are given with --tokens", *o->args);
    if (!text || !path) return cli_usage(cli, "%s is missing", text ? "-o FILE" : "--tokens IDS");
    CliModel m = {0};
    Ids ids = {0};
    LogitsJob job = {.cli = cli, .m = &m, .ids = &ids, .fd = -1};
    char *folder = folder_of(path);
    int code = !folder                 ? cli_fail("not enough memory")
               : ids_parse(text, &ids) ? CLI_GOOD
                                       : CLI_USAGE;
    if (code == CLI_GOOD && !ids.n) code = cli_usage(cli, "--tokens names no token");
    if (code == CLI_GOOD && !open_output(path, &job.fd)) code = CLI_FAILED;
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.writes = {folder}}, &m);
    if (code == CLI_GOOD) code = ids_check(&m, &ids) ? run_job(&job, path) : CLI_FAILED;
    if (job.fd >= 0 && close(job.fd) != 0 && code == CLI_GOOD)
        code = cli_fail("%s: %s", path, os_why(errno));
    mem_free(job.rows);
    bt_session_close(&job.session);
    model_close(&m);
    ids_close(&ids);
    mem_free(folder);
    return code;
}
