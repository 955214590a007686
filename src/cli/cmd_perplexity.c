/* `bantam perplexity`: how well a model predicts a text. The text is cut into windows of the
 * context's size that do not overlap; each starts with BOS in place of its first token where the
 * model asks for one. Logits of the first half of a window are not looked at: a window of n tokens
 * scores its last n - n/2 - 1, each with at least half a window before it. The answer is
 * exp(mean of -log p), with the standard error of the mean carried through. Other engines measure
 * the same way, so that numbers can be compared. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/run.h"

#define SCORED_MOST 64 /* rows of a step whose logits are kept */

typedef struct Score {
    double sum, squares; /* of -log p */
    size_t n, windows;
} Score;

/* -log softmax(logits)[token] in float64. */
static double surprise(const float *logits, int32_t n, bt_token token)
{
    double most = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > most) most = logits[i];
    for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[token];
}

/* How many rows the step at `at` takes, so that no more than SCORED_MOST of them are scored. */
static size_t step_rows(size_t at, size_t half, size_t size, size_t batch)
{
    size_t most = (at < half ? half - at : 0) + SCORED_MOST, left = size - 1 - at;
    if (most > batch) most = batch;
    return left < most ? left : most;
}

/* Reads one window; the tokens (half, size) are scored, each by the logits of the one before. */
static bt_status score_window(CliModel *m, bt_session *session, const bt_token *window, size_t size,
                              bt_row *rows, Score *score, bt_error *err)
{
    size_t batch = (size_t)bt_session_batch(session), half = size / 2, n = 0;
    bt_status status = bt_session_truncate(session, 0, 0, err);
    for (size_t at = 0; at + 1 < size && status == BT_OK; at += n) {
        n = step_rows(at, half, size, batch);
        for (size_t i = 0; i < n; i++) {
            bool start = at + i == 0 && m->info.bos >= 0 && m->info.add_bos;
            rows[i] = (bt_row){.token = start ? m->info.bos : window[at + i],
                               .want_logits = at + i >= half};
        }
        status = bt_session_step(session, rows, n, err);
        int32_t row = 0;
        for (size_t i = 0; i < n && status == BT_OK; i++) {
            if (!rows[i].want_logits) continue;
            const float *logits = bt_session_logits(session, row++);
            if (!logits) return bt_fail(err, BT_E_INTERNAL, "the engine gave no logits");
            double s = surprise(logits, m->info.n_vocab, window[at + i + 1]);
            score->sum += s;
            score->squares += s * s;
            score->n++;
        }
    }
    return status;
}

static int print_score(Cli *cli, const CliModel *m, const Score *score, size_t size, size_t tokens,
                       double seconds)
{
    double n = (double)score->n, mean = score->sum / n;
    double spread = n > 1 ? (score->squares / n - mean * mean) / (n - 1) : 0;
    double perplexity = exp(mean), error = perplexity * sqrt(spread > 0 ? spread : 0);
    if (!isfinite(perplexity))
        return cli_fail("%s: the model gave logits that are no numbers", m->path);
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack("{s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:f,s:o}", "perplexity",
                                    perplexity, "error", error, "nll", mean, "scored",
                                    (json_int_t)score->n, "windows", (json_int_t)score->windows,
                                    "ctx", (json_int_t)size, "tokens", (json_int_t)tokens,
                                    "seconds", seconds, "model", json_text(m->path)));
    printf("perplexity %.4f +- %.4f (%zu tokens scored in %zu windows of %zu)\n", perplexity, error,
           score->n, score->windows, size);
    return cli_flush();
}

static int score_text(Cli *cli, CliModel *m, const Ids *ids)
{
    bt_session_options options = session_options(cli);
    if (!options.n_ctx) options.n_ctx = 512;
    options.n_logits = SCORED_MOST;
    size_t size = (size_t)options.n_ctx, windows = ids->n / size;
    if (options.n_ctx < 4) return cli_usage(cli, "--ctx must be 4 or more here");
    if (!windows)
        return cli_fail("the text has %zu tokens, a window needs %zu; give more text or a smaller "
                        "--ctx",
                        ids->n, size);
    int64_t most = opts_int(&cli->opts, OPT_WINDOWS);
    if (most && (size_t)most < windows) windows = (size_t)most;

    bt_session *session = NULL;
    bt_error err = {0};
    Progress progress;
    Score score = {0};
    bt_status status = BT_OK;
    int code = session_open(m, &options, &session);
    if (code != CLI_GOOD) return code;
    bt_row *rows = mem_alloc((size_t)bt_session_batch(session) * sizeof *rows);
    if (!rows) {
        bt_session_close(&session);
        return cli_fail("not enough memory for a step");
    }
    interrupt_watch(session);
    progress_start(&progress, cli);
    double start = os_seconds();
    for (size_t w = 0; w < windows && status == BT_OK; w++) {
        status = score_window(m, session, ids->ids + w * size, size, rows, &score, &err);
        score.windows++;
        if (!progress_update(&progress, "perplexity", w + 1, windows) && status == BT_OK)
            status = BT_E_CANCELLED;
    }
    progress_end(&progress);
    interrupt_watch(NULL);
    mem_free(rows);
    bt_session_close(&session);
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK) return model_fail(m, &err);
    return print_score(cli, m, &score, size, ids->n, os_seconds() - start);
}

int cmd_perplexity(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args) return cli_usage(cli, "'%s' is too much; the text is given with -f", *o->args);
    const char *file = opts_text(o, OPT_TEXT_FILE);
    CliModel m = {0};
    Buf text = {0};
    Ids ids = {0};
    unsigned flags;
    int code = read_text(file ? file : "-", true, &text);
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){0}, &m);
    flags = text_flags(cli, &m.info);
    if (code == CLI_GOOD && !ids_of_text(&m, text.data ? text.data : "", text.size, flags, &ids))
        code = CLI_FAILED;
    if (code == CLI_GOOD) code = score_text(cli, &m, &ids);
    ids_close(&ids);
    buf_close(&text);
    model_close(&m);
    return code;
}
