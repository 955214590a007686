/* Options, progress and results of commands that train (see training.h). */
#include "cli/training.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/interrupt.h"
#include "cli/json.h"

#define LINE_SECONDS 0.5 /* on a terminal */
#define TALK_SECONDS 30  /* elsewhere */

/* ---- on the way ---- */

static void wipe(Training *t)
{
    if (t->line) fputs("\r\033[K", stderr);
    t->line = false;
}

static void tell(void *user, bt_log_level level, const char *line)
{
    Training *t = user;
    (void)level;
    wipe(t);
    progress_end(&t->progress);
    cli_say(t->cli, "%s", line);
}

static char *time_text(double s, char out[32])
{
    if (s < 90)
        snprintf(out, 32, "%.0f s", s);
    else if (s < 5400)
        snprintf(out, 32, "%.0f min", s / 60);
    else
        snprintf(out, 32, "%.1f h", s / 3600);
    return out;
}

static bool report(void *user, const bt_train_report *r)
{
    Training *t = user;
    char left[32], line[200];
    double now = os_seconds();
    bool terminal = isatty(STDERR_FILENO), eval = !isnan(r->eval_loss);
    progress_end(&t->progress);
    if (t->cli->quiet || (now - t->told < (terminal ? LINE_SECONDS : TALK_SECONDS) && !eval))
        return !interrupt_seen();
    t->told = now;
    snprintf(line, sizeof line, "step %lld of %lld, loss %.4f, rate %.3g, %.0f tokens/s, %s left",
             (long long)r->step, (long long)r->steps, r->smooth_loss, r->rate, r->tokens_per_s,
             time_text(r->seconds_left, left));
    wipe(t);
    if (eval)
        cli_say(t->cli, "step %lld: loss %.4f on held-out data, %.4f on the rest",
                (long long)r->step, r->eval_loss, r->smooth_loss);
    if (terminal) {
        fprintf(stderr, "\r\033[K%s", line);
        fflush(stderr);
        t->line = true;
    } else if (!eval) {
        cli_say(t->cli, "%s", line);
    }
    return !interrupt_seen();
}

/* ---- the line ---- */

static bt_train_options course(Training *t)
{
    const Opts *o = &t->cli->opts;
    const OptValue *eval = &o->value[OPT_EVAL_DATA];
    return (bt_train_options){.data = t->data,
                              .n_data = t->n_data,
                              .eval = eval->list,
                              .n_eval = eval->n,
                              .hold_out = opts_real(o, OPT_HOLD_OUT),
                              .folder = t->folder,
                              .resume = opts_flag(o, OPT_RESUME),
                              .restart = opts_flag(o, OPT_RESTART),
                              .lenient = opts_flag(o, OPT_LENIENT),
                              .all_counts = opts_flag(o, OPT_ALL_COUNTS),
                              .steps = opts_int(o, OPT_STEPS),
                              .epochs = opts_real(o, OPT_EPOCHS),
                              .n_ctx = (int32_t)opts_int(o, OPT_COURSE_CTX),
                              .batch = (int32_t)opts_int(o, OPT_COURSE_BATCH),
                              .rate = opts_real(o, OPT_RATE),
                              .final_rate = opts_real(o, OPT_FINAL_RATE),
                              .schedule = opts_text(o, OPT_SCHEDULE),
                              .warmup = opts_int(o, OPT_WARMUP),
                              .decay = opts_int(o, OPT_DECAY),
                              .optimizer = opts_text(o, OPT_OPTIMIZER),
                              .weight_decay = opts_real(o, OPT_WEIGHT_DECAY),
                              .beta1 = opts_real(o, OPT_BETA1),
                              .beta2 = opts_real(o, OPT_BETA2),
                              .clip = opts_real(o, OPT_CLIP),
                              .stop_loss = opts_real(o, OPT_STOP_LOSS),
                              .seed = o->value[OPT_COURSE_SEED].count,
                              .f32 = strcmp(opts_text(o, OPT_PRECISION), "f32") == 0,
                              .recompute = opts_flag(o, OPT_RECOMPUTE),
                              .eval_every = opts_int(o, OPT_EVAL_EVERY),
                              .save_every = opts_int(o, OPT_SAVE_EVERY),
                              .n_threads = (int)opts_int(o, OPT_THREADS),
                              .progress = progress_update,
                              .progress_user = &t->progress,
                              .report = report,
                              .report_user = t};
}

/* --data and what else stands on the line; where the run and its file go. */
static bool prepare(Training *t, const char *out, size_t first)
{
    const Opts *o = &t->cli->opts;
    const OptValue *named = &o->value[OPT_COURSE_DATA];
    const char *folder = opts_text(o, OPT_RUN_FOLDER);
    size_t n = strlen(out) + 16;
    t->data = mem_zalloc(named->n + o->n_args + 1, sizeof *t->data);
    t->out_folder = folder_of(out);
    t->folder = folder ? mem_strdup(folder) : mem_alloc(n);
    if (!t->data || !t->out_folder || !t->folder) return false;
    for (size_t i = 0; i < named->n; i++) t->data[t->n_data++] = named->list[i];
    for (size_t i = first; i < o->n_args; i++) t->data[t->n_data++] = o->args[i];
    if (!folder) snprintf(t->folder, n, "%s.training", out);
    return true;
}

int training_open(Cli *cli, const char *out, size_t first, Training *t)
{
    const Opts *o = &cli->opts;
    const char *mask = opts_text(o, OPT_CPU_MASK);
    *t = (Training){.cli = cli};
    if (!out) return cli_usage(cli, "-o FILE is missing");
    if (!prepare(t, out, first)) return cli_fail("not enough memory");
    if (!t->n_data) return cli_usage(cli, "--data FILE is missing");
    if (opts_real(o, OPT_HOLD_OUT) > 0 && o->value[OPT_EVAL_DATA].n)
        return cli_usage(cli, "--hold-out goes without --eval");
    t->options = course(t);
    if (mask && !(t->options.cpu_mask = cpu_mask_parse(mask)))
        return cli_usage(cli, "--cpu-mask: '%s' names a feature that is not known", mask);
    return CLI_GOOD;
}

int training_box(Training *t, ModelWish *wish, const char *model)
{
    const OptValue *eval = &t->cli->opts.value[OPT_EVAL_DATA];
    bt_error err = {0};
    const char **reads = mem_zalloc(t->n_data + eval->n + 1, sizeof *reads);
    if (!reads) return cli_fail("not enough memory");
    for (size_t i = 0; i < t->n_data; i++) reads[i] = t->data[i];
    for (size_t i = 0; i < eval->n; i++) reads[t->n_data + i] = eval->list[i];
    wish->data = reads;
    wish->n_data = t->n_data + eval->n;
    wish->writes[0] = t->out_folder;
    wish->writes[1] = t->folder;
    interrupt_install();
    int code = os_make_dirs(t->folder, &err) ? cli_fail("%s", err.text) : CLI_GOOD;
    if (code == CLI_GOOD) code = sandbox_as_run(t->cli, wish, model, &t->box);
    mem_free((void *)(uintptr_t)reads);
    wish->data = NULL;
    return code;
}

void training_begin(Training *t)
{
    progress_start(&t->progress, t->cli);
    bt_log_set(tell, t, opts_flag(&t->cli->opts, OPT_VERBOSE) ? BT_LOG_INFO : BT_LOG_WARN);
}

int training_end(Training *t, bt_status status, int64_t step, const bt_error *err)
{
    wipe(t);
    progress_end(&t->progress);
    bt_log_set(NULL, NULL, BT_LOG_WARN);
    if (status == BT_E_CANCELLED && step)
        return cli_fail("%s; the same command with --resume goes on", err->text);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    return status == BT_OK ? CLI_GOOD : cli_fail("%s", err->text);
}

int training_print(Training *t, const bt_train_result *r, const char *path)
{
    char time[32], memory[32];
    double rate = r->seconds > 0 ? (double)r->rows / r->seconds : 0;
    cli_say(t->cli, "%s written; metrics and plot are in %s", path, t->folder);
    if (opts_flag(&t->cli->opts, OPT_JSON)) {
        json_t *all = json_pack(
            "{s:o,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:I}", "file", json_text(path), "steps",
            (json_int_t)r->step, "params", (json_int_t)r->n_params, "tokens", (json_int_t)r->tokens,
            "rows", (json_int_t)r->rows, "first_loss", r->first_loss, "loss", r->last_loss,
            "seconds", r->seconds, "tokens_per_s", rate, "memory", (json_int_t)r->memory);
        if (all && isfinite(r->eval_loss))
            json_object_set_new(all, "eval_loss", json_real(r->eval_loss));
        return json_print(all);
    }
    printf("%llu parameters, %lld steps, %llu tokens, loss %.4f", (unsigned long long)r->n_params,
           (long long)r->step, (unsigned long long)r->rows, r->smooth_loss);
    if (isfinite(r->eval_loss)) printf(", %.4f on held-out data", r->eval_loss);
    printf("\n%s at %.0f tokens/s, %s of memory\n", time_text(r->seconds, time), rate,
           bytes_text(r->memory, memory));
    return cli_flush();
}

void training_close(Training *t)
{
    mem_free((void *)(uintptr_t)t->data);
    mem_free(t->out_folder);
    mem_free(t->folder);
}
