/* Checkpoints: what is read back is what was written; a file cut or changed at any place counts as
 * not there, and the one before it is taken; a full disk and failing memory leave what was. Metrics
 * and the plot: lines that any reader takes, cut to what a checkpoint knows. */
#include <fcntl.h>
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
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/jdoc.h"
#include "support/files.h"
#include "support/torture.h"
#include "tiny.h"
#include "train/checkpoint.h"
#include "train/metrics.h"

static bt_error err;

typedef struct Run {
    Params *params;
    Optim *optim;
    char folder[400];
} Run;

static void open_run(Run *r)
{
    OptimOptions o = optim_defaults();
    r->params = tiny_params("llama", true, 1, &err);
    assert_non_null(r->params);
    if (optim_open(r->params, &o, &r->optim, &err)) fail_msg("%s", err.text);
    snprintf(r->folder, sizeof r->folder, "%s", scratch_path("run"));
    if (os_make_dirs(r->folder, &err)) fail_msg("%s", err.text);
}

static void close_run(Run *r)
{
    optim_close(&r->optim);
    params_close(&r->params);
}

/* Numbers that tell the step they are of. */
static void fill(Run *r, int64_t step)
{
    uint64_t key = (uint64_t)step * 1000;
    random_normals(key, 1, r->params->values, r->params->n_values);
    random_normals(key + 1, 1, r->optim->first, r->params->n_values);
    random_normals(key + 2, 1, r->optim->second, r->params->n_values);
}

static bt_status save(Run *r, int64_t step)
{
    RunState s = {.step = step, .at = {1, 2, step}, .smooth_loss = 0.1 * (double)step};
    fill(r, step);
    return checkpoint_save(r->folder, r->params, r->optim, &s, &err);
}

/* What the folder gives back: the step, whose numbers it has; -1: none. */
static int64_t load(Run *r)
{
    RunState s = {0}, peeked = {0};
    bool found, peek;
    float want[3];
    size_t last = r->params->n_values - 1;
    fill(r, 999);
    if (checkpoint_load(r->folder, r->params, r->optim, &s, &found, &err)) fail_msg("%s", err.text);
    assert_int_equal(checkpoint_peek(r->folder, &peeked, &peek, &err), BT_OK);
    assert_int_equal(found, peek);
    if (!found) return -1;
    assert_memory_equal(&s, &peeked, sizeof s);
    assert_int_equal(s.at[2], s.step);
    for (uint64_t i = 0; i < 3; i++)
        want[i] = random_normal((uint64_t)s.step * 1000 + i, i == 1 ? 7 : last);
    assert_true(want[0] == r->params->values[last] && want[1] == r->optim->first[7] &&
                want[2] == r->optim->second[last]);
    return s.step;
}

static void the_newest_is_read_back(void **state)
{
    Run r;
    (void)state;
    open_run(&r);
    assert_int_equal(load(&r), -1);
    for (int64_t step = 1; step < 6; step++) {
        if (save(&r, step)) fail_msg("%s", err.text);
        assert_int_equal(load(&r), step);
    }
    close_run(&r);
}

/* Steps 1 and 2 lie in the files a and b; b is damaged, so 1 is what counts. */
static void damage_at_any_place_is_seen(void **state)
{
    Run r;
    size_t n;
    char path[440];
    (void)state;
    open_run(&r);
    if (save(&r, 1) || save(&r, 2)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/b.checkpoint", r.folder);
    char *all = files_read(path, &n);
    assert_non_null(all);
    for (size_t at = 0; at < n; at = at < 200 ? at + 9 : at * 5 / 4 + 1) {
        assert_int_equal(files_write(path, all, at), 0);
        assert_int_equal(load(&r), 1);
        char kept = all[at];
        bool counts = at < sizeof(RunState) + 40 || at >= 4096; /* the header's rest is zeros */
        all[at] ^= 0x10;
        assert_int_equal(files_write(path, all, n), 0);
        assert_int_equal(load(&r), counts ? 1 : 2);
        all[at] = kept;
    }
    assert_int_equal(files_write(path, all, n), 0);
    assert_int_equal(load(&r), 2);
    if (save(&r, 3)) fail_msg("%s", err.text); /* over the older */
    assert_int_equal(load(&r), 3);
    unlink(path);
    assert_int_equal(load(&r), 3);
    /* The only one damaged: not the same as none. */
    snprintf(path, sizeof path, "%s/a.checkpoint", r.folder);
    assert_int_equal(files_write(path, all, n - 1), 0);
    RunState s;
    bool found;
    assert_int_equal(checkpoint_load(r.folder, r.params, r.optim, &s, &found, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "a.checkpoint is damaged"));
    unlink(path);
    assert_int_equal(load(&r), -1);
    free(all);
    close_run(&r);
}

static void of_another_model_is_refused(void **state)
{
    Run r, other;
    RunState s;
    bool found;
    (void)state;
    open_run(&r);
    open_run(&other);
    if (save(&r, 1)) fail_msg("%s", err.text);
    other.params->fingerprint++;
    assert_int_equal(checkpoint_load(r.folder, other.params, other.optim, &s, &found, &err),
                     BT_E_FORMAT);
    assert_non_null(strstr(err.text, "other sizes"));
    close_run(&r);
    close_run(&other);
}

/* A limit on the size of files stands for a disk that is full. */
static void a_full_disk_keeps_what_was(void **state)
{
    Run r;
    struct rlimit old, small;
    (void)state;
    open_run(&r);
    if (save(&r, 1) || save(&r, 2)) fail_msg("%s", err.text);
    rlim_t size = 4096 + 3 * r.params->n_values * sizeof(float) + 8;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t limit = 0; limit < size; limit = limit * 3 + 1000) {
        small = (struct rlimit){limit, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        bt_status status = save(&r, 3);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, BT_E_IO);
        assert_int_equal(load(&r), 2);
    }
    if (save(&r, 3)) fail_msg("%s", err.text);
    assert_int_equal(load(&r), 3);
    close_run(&r);
}

typedef struct Saved {
    Run r;
    int64_t step; /* the last that was saved */
} Saved;

static bt_status life(void *user, bt_error *told)
{
    Saved *s = user;
    bt_error_clear(&err);
    bt_status status = save(&s->r, s->step + 1);
    *told = err;
    torture_pause();
    s->step += !status;
    assert_int_equal(load(&s->r), s->step);
    return status;
}

static void memory_that_runs_out(void **state)
{
    Saved s = {.step = 1};
    (void)state;
    open_run(&s.r);
    if (save(&s.r, s.step)) fail_msg("%s", err.text);
    torture("a checkpoint", life, &s);
    close_run(&s.r);
}

static void half_written_files_are_swept(void **state)
{
    Run r;
    char path[440];
    (void)state;
    open_run(&r);
    if (save(&r, 1)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/.bantam-01234567.tmp", r.folder);
    assert_int_equal(files_write(path, "half", 4), 0);
    checkpoint_sweep(r.folder);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(load(&r), 1);
    close_run(&r);
}

/* ---- metrics ---- */

static void add(Metrics *m, int64_t step, double eval)
{
    MetricsLine l = {step, 4.0 / (double)step, 1e-3, 0.5, 100 * (uint64_t)step, 1234.5, eval, 50};
    metrics_add(m, &l);
}

static double number(const Jdoc *d, const char *key)
{
    double value = NAN;
    jdoc_number(d, jdoc_get(d, 0, key), &value);
    return value;
}

static void lines_that_any_reader_takes(void **state)
{
    Run r;
    Metrics *m;
    size_t n;
    char path[440];
    (void)state;
    open_run(&r);
    if (metrics_open(r.folder, 0, &m, &err)) fail_msg("%s", err.text);
    for (int64_t s = 1; s <= 10; s++) add(m, s, s % 5 ? NAN : 3);
    uint64_t keep = metrics_bytes(m);
    add(m, 11, NAN);
    metrics_plot(m);
    metrics_close(&m);
    if (metrics_open(r.folder, keep, &m, &err)) fail_msg("%s", err.text); /* step 11 again */
    add(m, 11, INFINITY);
    add(m, 12, 2.5);
    metrics_plot(m);
    metrics_close(&m);
    snprintf(path, sizeof path, "%s/metrics.jsonl", r.folder);
    char *all = files_read(path, &n);
    assert_non_null(all);
    int64_t step = 0;
    for (char *line = all, *end; line < all + n; line = end + 1) {
        Jdoc *d;
        end = memchr(line, '\n', n - (size_t)(line - all));
        assert_non_null(end);
        if (jdoc_open(line, (size_t)(end - line), "line", &d, &err)) fail_msg("%s", err.text);
        step++;
        assert_true(number(d, "step") == (double)step);
        assert_true(fabs(number(d, "loss") - 4.0 / (double)step) < 1e-6);
        assert_true(number(d, "tokens") == 100 * (double)step);
        assert_true((jdoc_get(d, 0, "eval/loss") != JDOC_NO) == (step % 5 == 0 || step > 10));
        jdoc_close(&d);
    }
    assert_int_equal(step, 12);
    free(all);
    snprintf(path, sizeof path, "%s/loss.svg", r.folder);
    all = files_read(path, &n);
    assert_non_null(all);
    assert_true(n > 500 && memcmp(all, "<svg ", 5) == 0);
    assert_true(memcmp(all + n - 7, "</svg>\n", 7) == 0);
    free(all);
    close_run(&r);
}

static void plots_of_odd_runs(void **state)
{
    PlotPoint p[3000];
    (void)state;
    for (size_t n = 0; n <= 3000; n = n < 3 ? n + 1 : n * 10) {
        for (size_t i = 0; i < n; i++) p[i] = (PlotPoint){(double)i + 1, i % 7 ? 2 : NAN};
        char *svg = plot_svg(p, n, p, n < 2 ? n : 2);
        assert_non_null(svg);
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        assert_true(strlen(svg) < 100000);
        mem_free(svg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_newest_is_read_back, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(damage_at_any_place_is_seen, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(of_another_model_is_refused, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_keeps_what_was, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(half_written_files_are_swept, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(lines_that_any_reader_takes, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(plots_of_odd_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
