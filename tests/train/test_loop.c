/* Whole runs: a page is learned by heart; the same bits come out on any number of threads, stopped
 * and continued, killed at any moment and continued, on a disk that was full for a while; loss and
 * packing held against sequences that a session reads one by one; numbers that explode stop the run
 * and say where. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "support/files.h"
#include "support/torture.h"
#include "tiny.h"
#include "train/batch.h"
#include "train/trainer.h"

static bt_error err;

static const char config[] =
    "{\"model_type\":\"qwen3\",\"hidden_size\":64,\"intermediate_size\":128,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
    "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":true}";

static const char page[] =
    "A bantam is a small hen. Any small kind of fowl may be called so, and most large breeds have "
    "a "
    "bantam beside them, a third or a quarter of their size. Some have no large one beside them: "
    "these are the true bantams. They lay small eggs, eat little, need little room, and will sit "
    "on "
    "eggs of any hen, so that farmers kept them to hatch what others would not.\n";

static char folder[300], model[340];

/* config.json, a vocabulary and data in the scratch folder. */
static int set_up(void **state)
{
    MakeModel o = {.arch = "qwen3", .chat_template = "chatml"};
    if (scratch_setup(state)) return 1;
    snprintf(folder, sizeof folder, "%s", scratch_path("run"));
    snprintf(model, sizeof model, "%s", scratch_path("out.gguf"));
    if (!scratch_write("config.json", config, strlen(config))) return 1;
    if (!scratch_write("data/page.txt", page, strlen(page))) return 1;
    return make_model(&o, scratch_path("tok.gguf"), &err) != BT_OK;
}

static bt_train_options options(void)
{
    static char paths[3][340];
    static const char *data[1];
    snprintf(paths[0], sizeof paths[0], "%s", scratch_path("config.json"));
    snprintf(paths[1], sizeof paths[1], "%s", scratch_path("tok.gguf"));
    snprintf(paths[2], sizeof paths[2], "%s", scratch_path("data"));
    data[0] = paths[2];
    return (bt_train_options){.config = paths[0],
                              .tokenizer = paths[1],
                              .data = data,
                              .n_data = 1,
                              .out = model,
                              .folder = folder,
                              .type = "f32",
                              .n_ctx = 64,
                              .batch = 128,
                              .steps = 12,
                              .rate = 5e-3,
                              .restart = true,
                              .n_threads = 2};
}

typedef struct Bytes {
    char *data;
    size_t n;
} Bytes;

static Bytes read_all(const char *path)
{
    Bytes b;
    b.data = files_read(path, &b.n);
    assert_non_null(b.data);
    return b;
}

static void train(const bt_train_options *o, bt_train_result *r)
{
    if (bt_train(o, r, &err)) fail_msg("%s", err.text);
}

/* The model that a run without disturbance makes. */
static Bytes undisturbed(void)
{
    bt_train_options o = options();
    train(&o, NULL);
    return read_all(model);
}

static void same_as(Bytes want)
{
    Bytes b = read_all(model);
    assert_int_equal(b.n, want.n);
    assert_memory_equal(b.data, want.data, b.n);
    free(b.data);
    unlink(model);
}

static void a_page_is_learned_by_heart(void **state)
{
    bt_train_options o = options();
    bt_train_result r;
    (void)state;
    o.n_ctx = 256;
    o.batch = 512;
    o.steps = 110;
    o.rate = 1e-2;
    o.eval = o.data;
    o.n_eval = 1;
    train(&o, &r);
    assert_true(r.n_params > 80000 && r.n_params < 120000);
    assert_true(fabs(r.first_loss - log(320)) < 0.2); /* a guess, at first */
    assert_true(r.eval_loss < 0.1);
    /* and the model that was written says it */
    bt_model *m;
    bt_session *s;
    bt_token ids[512], best;
    bt_model_options mo = {.no_cache = true};
    bt_session_options so = {.n_ctx = 256};
    if (bt_model_open(model, &mo, &m, &err)) fail_msg("%s", err.text);
    int64_t n = bt_model_tokenize(m, page, strlen(page), 0, ids, 512, &err);
    assert_true(n > 150 && n <= 512);
    if (n > 200) n = 200;
    if (bt_session_open(m, &so, &s, &err)) fail_msg("%s", err.text);
    if (bt_session_feed(s, 0, ids, 12, &err)) fail_msg("%s", err.text);
    int right = 0;
    for (int64_t i = 12; i < n; i++) {
        const float *logits = bt_session_logits(s, -1);
        best = 0;
        for (int32_t v = 1; v < 320; v++)
            if (logits[v] > logits[best]) best = v;
        right += best == ids[i];
        if (bt_session_feed(s, 0, &ids[i], 1, &err)) fail_msg("%s", err.text);
    }
    assert_true(right >= (int)(n - 12) * 95 / 100);
    bt_session_close(&s);
    bt_model_close(&m);
}

static void the_same_on_any_number_of_threads(void **state)
{
    static const bool ways[][3] = {{false, false, false}, {true, false, false}, {true, true, true}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bt_train_options o = options();
        Bytes want = {0};
        o.f32 = ways[i][0];
        o.recompute = ways[i][1];
        o.optimizer = ways[i][2] ? "muon" : NULL;
        for (int threads = 1; threads <= 3; threads++) {
            o.n_threads = threads;
            train(&o, NULL);
            if (threads == 1)
                want = read_all(model);
            else
                same_as(want);
        }
        free(want.data);
    }
}

/* ---- stopped and continued ---- */

static int64_t stop_at;

static bool stop_there(void *user, const bt_train_report *r)
{
    (void)user;
    return r->step != stop_at;
}

static void stopped_and_continued(void **state)
{
    Bytes want = undisturbed();
    (void)state;
    bt_train_options o = options();
    o.report = stop_there;
    for (stop_at = 1; stop_at < o.steps; stop_at += 5) {
        bt_train_result r;
        o.restart = true;
        o.resume = false;
        assert_int_equal(bt_train(&o, &r, &err), BT_E_CANCELLED);
        assert_int_equal(r.step, stop_at);
        assert_non_null(strstr(err.text, "a checkpoint is in"));
        o.restart = false;
        assert_int_equal(bt_train(&o, NULL, &err), BT_E_ARGUMENT); /* neither was said */
        assert_non_null(strstr(err.text, "--resume"));
        o.resume = true;
        o.n_threads = 1 + (int)(stop_at % 3);
        train(&o, &r);
        assert_int_equal(r.step, o.steps);
        same_as(want);
    }
    train(&o, NULL); /* a run that is over is written again */
    same_as(want);
    /* the lines of metrics are those of one run */
    char path[400];
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    Bytes lines = read_all(path);
    int64_t step = 0;
    for (char *p = lines.data; *p; p = strchr(p, '\n') + 1) {
        char begin[40];
        snprintf(begin, sizeof begin, "{\"step\":%lld,", (long long)++step);
        assert_memory_equal(p, begin, strlen(begin));
    }
    assert_int_equal(step, o.steps);
    free(lines.data);
    free(want.data);
}

static void what_may_not_change_is_said(void **state)
{
    (void)state;
    bt_train_options o = options();
    o.steps = 2;
    train(&o, NULL);
    o.restart = false;
    o.resume = true;
    o.steps = 4;
    bt_train_options changed = o;
    changed.seed = 9;
    assert_int_equal(bt_train(&changed, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "--seed"));
    changed = o;
    changed.n_ctx = 32;
    assert_int_equal(bt_train(&changed, NULL, &err), BT_E_ARGUMENT);
    changed = o;
    changed.batch = 512;
    assert_int_equal(bt_train(&changed, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "--batch"));
    changed = o;
    changed.optimizer = "muon";
    assert_int_equal(bt_train(&changed, NULL, &err), BT_E_ARGUMENT);
    if (!scratch_write("data/more.txt", page, 60)) fail();
    assert_int_equal(bt_train(&o, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "data"));
}

/* ---- killed ---- */

static void sleep_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* Children that checkpoint after every step, each killed a little later than the one before, until
 * one is left to end. Most of their time goes into checkpoints. */
static void killed_at_any_moment_and_continued(void **state)
{
    Bytes want = undisturbed();
    int killed = 0;
    (void)state;
    bt_train_options o = options();
    unlink(model);
    o.restart = true;
    o.save_every = 1;
    for (int turn = 0;; turn++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) _exit(bt_train(&o, NULL, NULL) == BT_OK ? 0 : 1);
        sleep_for(turn < 25 ? 0.004 + 0.0023 * turn : 20);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        killed++;
        o.restart = false;
        o.resume = true;
        assert_true(turn < 40);
    }
    assert_true(killed > 3);
    same_as(want);
    free(want.data);
}

/* ---- a full disk ---- */

static struct rlimit whole;

/* After step 4 no file may grow beyond 8 KB. */
static bool fill_disk(void *user, const bt_train_report *r)
{
    struct rlimit small = {8192, whole.rlim_max};
    (void)user;
    if (r->step == 4) setrlimit(RLIMIT_FSIZE, &small);
    return true;
}

static void a_full_disk_keeps_the_checkpoint(void **state)
{
    Bytes want = undisturbed();
    bt_train_result r;
    (void)state;
    bt_train_options o = options();
    unlink(model);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    o.save_every = 2;
    o.report = fill_disk;
    bt_status status = bt_train(&o, &r, &err);
    setrlimit(RLIMIT_FSIZE, &whole);
    assert_int_equal(status, BT_E_IO); /* the model did not fit; the run went on to its end */
    assert_int_equal(r.step, o.steps);
    assert_int_not_equal(access(model, F_OK), 0);
    o.report = NULL;
    o.restart = false;
    o.resume = true;
    stop_at = 3; /* what was kept is step 2: the one before the disk was full */
    o.report = stop_there;
    assert_int_equal(bt_train(&o, &r, &err), BT_E_CANCELLED);
    o.report = NULL;
    train(&o, NULL);
    same_as(want);
    free(want.data);
}

/* ---- numbers that explode ---- */

static void explosions_stop_and_say_where(void **state)
{
    (void)state;
    bt_train_options o = options();
    o.rate = 30;
    o.warmup = -1;
    o.save_every = 1;
    o.steps = 60;
    assert_int_equal(bt_train(&o, NULL, &err), BT_E_LIMIT);
    assert_non_null(strstr(err.text, "stopped at step "));
    assert_non_null(strstr(err.text, "page.txt"));
    assert_non_null(strstr(err.text, "the last good checkpoint is of step "));
    o = options();
    o.stop_loss = 0.5;
    assert_int_equal(bt_train(&o, NULL, &err), BT_E_LIMIT);
    assert_non_null(strstr(err.text, "stopped at step 1: the loss"));
    assert_non_null(strstr(err.text, "no checkpoint"));
}

static void bad_options_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t at;
        const char *value;
    } texts[] = {{"either a model", offsetof(bt_train_options, model), "m.gguf"},
                 {"type 'q4_k'", offsetof(bt_train_options, type), "q4_k"},
                 {"schedule 'flat'", offsetof(bt_train_options, schedule), "flat"},
                 {"optimizer 'sgd'", offsetof(bt_train_options, optimizer), "sgd"},
                 {"needs a vocabulary", offsetof(bt_train_options, tokenizer), NULL},
                 {"not named", offsetof(bt_train_options, out), ""},
                 {"nothing-there", offsetof(bt_train_options, config), "/nothing-there"}};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        bt_train_options o = options();
        memcpy((char *)&o + texts[i].at, &texts[i].value, sizeof texts[i].value);
        assert_true(bt_train(&o, NULL, &err) != BT_OK);
        if (!strstr(err.text, texts[i].text)) fail_msg("%s: %s", texts[i].text, err.text);
    }
    bt_train_options o = options();
    o.n_ctx = 512;
    assert_int_equal(bt_train(&o, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "at most 256"));
}

/* ---- the loss ---- */

/* -log of what a session thinks of each next token, added up. */
static double read_one_by_one(bt_model *m, const bt_token *ids, int n)
{
    bt_session *s;
    bt_session_options o = {.n_ctx = 64, .kv = BT_KV_F32};
    double sum = 0;
    int vocab = bt_model_describe(m).n_vocab;
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    for (int i = 0; i + 1 < n; i++) {
        double all = 0;
        if (bt_session_feed(s, 0, &ids[i], 1, &err)) fail_msg("%s", err.text);
        const float *x = bt_session_logits(s, -1);
        for (int v = 0; v < vocab; v++) all += exp((double)x[v]);
        sum += log(all) - (double)x[ids[i + 1]];
    }
    bt_session_close(&s);
    return sum;
}

/* Documents of 9, 1 + 5 and 20 tokens in one pack, the weights of the second doubled. */
static void packed_documents_are_read_apart(void **state)
{
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    enum { N = 9 + 6 + 20 };
    static const int length[] = {9, 6, 20};
    bt_token ids[N];
    StepRow rows[N];
    int32_t target[N];
    float weight[N];
    (void)state;
    for (size_t a = 0; a < 4; a++) {
        Params *p = tiny_params(archs[a], a % 2, 2, &err);
        Trainer *t;
        double want = 0, loss = 0, sum = 0, wanted = 0, back = 0;
        assert_non_null(p);
        TrainerOptions o = {.rows = N, .logits_bytes = 8 * 320 * sizeof(float)};
        if (trainer_open(p, &o, &t, &err)) fail_msg("%s", err.text);
        for (int i = 0, d = 0, at = 0; i < N; i++, at++) {
            if (at == length[d]) {
                at = 0;
                d++;
            }
            ids[i] = 32 + (i * 7) % 90;
            rows[i] =
                (StepRow){.token = ids[i], .sequence = d, .position = at, .axis = {at, at, at}};
            weight[i] = d == 1 ? 2 : 1;
            if (at > 0) target[i - 1] = ids[i];
            target[i] = -1;
            if (at == 0) {
                double one;
                for (int j = 0; j < length[d]; j++) ids[i + j] = 32 + ((i + j) * 7) % 90;
                one = read_one_by_one(p->model, ids + i, length[d]);
                want += d == 1 ? 2 * one : one;
                wanted += (length[d] - 1) * (d == 1 ? 2 : 1);
            }
        }
        Batch b = {N, rows, target, weight};
        if (trainer_evaluate(t, &b, &loss, &sum, &err)) fail_msg("%s", err.text);
        assert_true(sum == wanted);
        assert_true(fabs(loss - want) < 1e-3);
        sum = 0;
        if (trainer_batch(t, &b, &back, &sum, &err)) fail_msg("%s", err.text);
        assert_true(fabs(back - want) < 1e-3);
        /* twice the batch, twice the gradient */
        double norm = 0, twice = 0;
        for (size_t i = 0; i < p->n_values; i++) norm += pow((double)p->grads[i], 2);
        if (trainer_batch(t, &b, &back, &sum, &err)) fail_msg("%s", err.text);
        for (size_t i = 0; i < p->n_values; i++) twice += pow((double)p->grads[i], 2);
        assert_true(norm > 1e-6 && fabs(twice / norm - 4) < 1e-4);
        trainer_close(&t);
        params_close(&p);
    }
}

/* However little memory there is, some layers kept or none: the same gradients. */
static void memory_changes_no_bit(void **state)
{
    enum { N = 40 };
    StepRow rows[N];
    int32_t target[N], kept[3] = {0};
    float weight[N], *want = NULL;
    uint64_t memory = 0;
    (void)state;
    for (int i = 0; i < N; i++) {
        rows[i] = (StepRow){.token = 40 + i, .position = i, .axis = {i, i, i}};
        target[i] = 41 + i;
        weight[i] = 1;
    }
    for (int i = 0; i < 3; i++) {
        Params *p = tiny_params("qwen3", true, 2, &err);
        Trainer *t;
        Batch b = {N, rows, target, weight};
        double loss = 0, sum = 0;
        TrainerOptions o = {.rows = N, .recompute = i == 1, .memory = i == 2 ? memory : 0};
        if (trainer_open(p, &o, &t, &err)) fail_msg("%s", err.text);
        kept[i] = t->keep_from;
        if (i < 2) memory = i ? (memory + 2 * t->arena.size) / 2 : 2 * t->arena.size;
        if (trainer_batch(t, &b, &loss, &sum, &err)) fail_msg("%s", err.text);
        if (!want) {
            want = malloc(p->n_values * sizeof *want);
            memcpy(want, p->grads, p->n_values * sizeof *want);
        }
        assert_memory_equal(want, p->grads, p->n_values * sizeof *want);
        trainer_close(&t);
        params_close(&p);
    }
    assert_int_equal(kept[0], 0); /* of two layers */
    assert_int_equal(kept[1], 2);
    assert_int_equal(kept[2], 1);
    free(want);
}

/* Every allocation of a short run fails in turn. */
static bt_status life(void *user, bt_error *told)
{
    bt_status status = bt_train(user, NULL, told);
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status;
}

/* Every allocation of a short run fails in turn. */
static void memory_that_runs_out(void **state)
{
    (void)state;
    bt_train_options o = options();
    o.steps = 1;
    o.n_threads = 1;
    torture_some("a run", life, &o, 40);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_at_any_moment_and_continued), /* first: it forks */
        TEST(packed_documents_are_read_apart),
        TEST(a_page_is_learned_by_heart),
        TEST(the_same_on_any_number_of_threads),
        TEST(stopped_and_continued),
        TEST(what_may_not_change_is_said),
        TEST(a_full_disk_keeps_the_checkpoint),
        TEST(explosions_stop_and_say_where),
        TEST(bad_options_are_refused),
        TEST(memory_changes_no_bit),
        TEST(memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
