/* Remembered beginnings on disk: what is written is read back after a restart, to the bit, by
 * those whose it is; the budget holds; damage, full disks and failed allocations cost time, never
 * an answer. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sched_jobs.h"
#include "support/files.h"
#include "support/scratch.h"
#include "support/torture.h"

#define PLENTY ((uint64_t)1 << 30)

static char folder[1024];

/* An empty folder's name, which is not made yet. */
static void new_folder(void)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "spill-%d", n++);
    snprintf(folder, sizeof folder, "%s", scratch_path(name));
}

/* Files in the folder, and their bytes; the last one's path. */
static int count_files(uint64_t *bytes, char *path)
{
    int n = 0;
    DIR *dir = opendir(folder);
    *bytes = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char name[2048];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        if (stat(name, &st) || !S_ISREG(st.st_mode)) continue;
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_non_null(strstr(e->d_name, ".prefix"));
        *bytes += (uint64_t)st.st_size;
        if (path) snprintf(path, 2048, "%s", name);
        n++;
    }
    if (dir) closedir(dir);
    return n;
}

static Sched *open_spilling(bt_model *m, int32_t n_sequences, uint64_t budget)
{
    return jobs_open_sched(m, (SchedOptions){.n_sequences = n_sequences,
                                             .kv = BT_KV_F32,
                                             .spill_dir = folder,
                                             .spill_bytes = budget});
}

/* Goes on from `before` (its prompt and answer), as the next turn of a conversation does. */
static Job *next_turn(const Job *before)
{
    Job *j = job_greedy(before->n_prompt + before->n_answer + 9, 12);
    memcpy(j->prompt, before->prompt, (size_t)before->n_prompt * sizeof *j->prompt);
    memcpy(j->prompt + before->n_prompt, before->answer,
           (size_t)before->n_answer * sizeof *j->prompt);
    return j;
}

static void run_one(bt_model *m, Sched *s, Job *j)
{
    bt_session *session = jobs_open_session(m);
    job_alone(m, session, j);
    bt_session_close(&session);
    job_submit(s, j);
    jobs_run(s);
    job_check(j, 0);
}

static void a_restart_forgets_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {NULL,        "exaone4-window", "gemma3n",     "mamba2",
                                        "qwen3next", "deepseek2-lite", "gpt-oss-yarn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bt_model *m = jobs_open_family(names[i]);
        uint64_t bytes;
        new_folder();
        jobs_seed = 30;
        Sched *s = open_spilling(m, 4, PLENTY);
        Job *a = job_greedy(150, 20);
        run_one(m, s, a);
        sched_close(&s);
        assert_int_equal(count_files(&bytes, NULL), 1);

        s = open_spilling(m, 4, PLENTY);
        assert_int_equal(sched_stats(s).spilled_bytes, bytes);
        Job *b = next_turn(a), *c = next_turn(a);
        c->principal = 3;
        run_one(m, s, c);
        run_one(m, s, b);
        assert_int_equal(c->usage.cached, 0); /* another's */
        assert_int_equal(b->usage.cached, 169);
        assert_int_equal(sched_stats(s).n_reloaded, 1);
        free(a), free(b), free(c);
        sched_close(&s);
        bt_model_close(&m);
    }
}

/* More conversations than sequences, turn by turn: what had to go comes back from the disk. */
static void what_goes_comes_back(void **state)
{
    (void)state;
    enum { TALKS = 8 };
    bt_model *m = jobs_open_made();
    new_folder();
    jobs_seed = 31;
    Sched *s = open_spilling(m, 4, PLENTY);
    Job *talks[TALKS];
    int32_t cached = 0;
    for (int i = 0; i < TALKS; i++) {
        run_one(m, s, talks[i] = job_greedy(100, 12));
        /* time to write, which other requests would give */
        for (int n = 0; n < 1000 && sched_stats(s).n_spilled + 3 < (uint64_t)i + 1; n++) {
            jobs_step(s);
            usleep(2000);
        }
    }
    for (int i = 0; i < TALKS; i++) {
        Job *next = next_turn(talks[i]);
        run_one(m, s, next);
        cached += next->usage.cached;
        free(next);
        free(talks[i]);
    }
    SchedStats stats = sched_stats(s);
    assert_true(stats.n_spilled > 2 && stats.n_reloaded > 2);
    assert_true(cached > TALKS * 100 / 2);
    assert_false(stats.spill_stopped);
    sched_close(&s);
    bt_model_close(&m);
}

static void the_budget_holds(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    uint64_t bytes, one;
    new_folder();
    jobs_seed = 32;
    Sched *s = open_spilling(m, 6, PLENTY);
    Job *j = job_greedy(100, 1);
    run_one(m, s, j);
    sched_close(&s);
    assert_int_equal(count_files(&one, NULL), 1);
    free(j);
    for (int round = 0; round < 2; round++) {
        Job *last = NULL;
        s = open_spilling(m, 6, 3 * one + one / 2);
        for (int i = 0; i < 5; i++) {
            free(last);
            run_one(m, s, last = job_greedy(100, 1));
        }
        sched_close(&s);
        assert_int_equal(count_files(&bytes, NULL), 3);
        assert_true(bytes <= 3 * one + one / 2);
        s = open_spilling(m, 6, 3 * one + one / 2);
        Job *again = job_greedy(100, 1);
        memcpy(again->prompt, last->prompt, sizeof last->prompt);
        run_one(m, s, again);
        assert_int_equal(again->usage.cached, 99); /* what was used last was kept */
        free(again);
        free(last);
        sched_close(&s);
    }
    s = open_spilling(m, 6, 2 * one); /* less than there is */
    assert_true(sched_stats(s).spilled_bytes <= 2 * one);
    sched_close(&s);
    s = open_spilling(m, 6, 10); /* less than anything takes */
    run_one(m, s, j = job_greedy(100, 1));
    sched_close(&s);
    assert_int_equal(count_files(&bytes, NULL), 0);
    free(j);
    bt_model_close(&m);
}

/* One byte of each part of the file, and its end. */
static void damage_is_computed_anew(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    static char path[2048];
    uint64_t bytes;
    size_t size;
    new_folder();
    jobs_seed = 33;
    Sched *s = open_spilling(m, 4, PLENTY);
    Job *a = job_greedy(120, 1);
    run_one(m, s, a);
    sched_close(&s);
    assert_int_equal(count_files(&bytes, path), 1);
    char *whole = files_read(path, &size), *wrong = malloc(size);
    static const size_t places[] = {2, 9, 20, 40, 60, 70, 200, 900, 5000, 40000};
    for (size_t i = 0; i <= sizeof places / sizeof *places; i++) {
        bool cut = i == sizeof places / sizeof *places;
        memcpy(wrong, whole, size);
        if (!cut) wrong[places[i] % size] ^= 4;
        assert_int_equal(files_write(path, wrong, cut ? size / 2 : size), 0);
        s = open_spilling(m, 4, PLENTY);
        Job *b = next_turn(a);
        run_one(m, s, b);
        assert_int_equal(b->usage.cached, 0);
        assert_int_equal(sched_stats(s).spilled_bytes, 0);
        free(b);
        sched_close(&s); /* writes its own */
        while (count_files(&bytes, path)) unlink(path);
    }
    /* a whole file under another's name is not that other's */
    assert_int_equal(files_write(path, whole, size), 0);
    char other[2048];
    snprintf(other, sizeof other, "%s", path);
    memcpy(strrchr(other, '/') + 1 + 3 * 17, "0123456789abcdef", 16);
    assert_int_equal(rename(path, other), 0);
    s = open_spilling(m, 4, PLENTY);
    assert_int_equal(sched_stats(s).spilled_bytes, 0);
    assert_int_equal(count_files(&bytes, NULL), 0);
    sched_close(&s);
    free(a);
    free(whole);
    free(wrong);
    bt_model_close(&m);
}

static void a_full_disk_only_stops_writing(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    struct rlimit before, full;
    uint64_t bytes;
    new_folder();
    jobs_seed = 34;
    Sched *s = open_spilling(m, 2, PLENTY);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    full = before;
    full.rlim_cur = 3000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    for (int i = 0; i < 4 || (i < 200 && !sched_stats(s).spill_stopped); i++) {
        Job *j = job_greedy(100, 8);
        run_one(m, s, j);
        free(j);
        usleep(2000); /* the thread that writes may be slow to come */
    }
    bool stopped = sched_stats(s).spill_stopped;
    sched_close(&s);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(stopped);
    assert_int_equal(count_files(&bytes, NULL), 0);

    char file[2048]; /* a folder that cannot be */
    snprintf(file, sizeof file, "%s/file", folder);
    assert_int_equal(files_write(file, "x", 1), 0);
    snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/file/below");
    s = open_spilling(m, 2, PLENTY);
    assert_true(sched_stats(s).spill_stopped);
    Job *j = job_greedy(100, 8);
    run_one(m, s, j);
    sched_close(&s);
    free(j);
    bt_model_close(&m);
}

/* Two lives with one folder. The first error. */
static bt_status live(bt_model *m, Job *jobs, int n, int *accepted, bt_error *err)
{
    bt_status first = BT_OK;
    *accepted = 0;
    for (int i = 0; i < n; i++) {
        SchedOptions o = {
            .n_ctx = 128, .n_sequences = 2, .spill_dir = folder, .spill_bytes = PLENTY};
        Sched *s = NULL;
        bt_error *told = first ? &jobs_err : err;
        bt_status status = sched_open(m, &o, &s, told);
        jobs[i].ends = jobs[i].n_answer = 0;
        jobs[i].last_seen = false;
        if (!status) {
            SchedRequest r = job_request(&jobs[i]);
            status = sched_submit(s, &r, NULL, told);
            *accepted += !status;
            jobs_run(s);
            sched_close(&s);
        }
        if (status && !first) first = status;
    }
    return first;
}

enum { LIVES = 2 };

typedef struct Life {
    bt_model *m;
    Job jobs[LIVES];
} Life;

static bt_status life(void *user, bt_error *err)
{
    Life *l = user;
    int ends = 0, accepted;
    new_folder();
    for (int i = 0; i < LIVES; i++) l->jobs[i].ends = 0;
    bt_status status = live(l->m, l->jobs, LIVES, &accepted, err);
    for (int i = 0; i < LIVES; i++) ends += l->jobs[i].ends;
    assert_int_equal(ends, accepted);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static Life l;
    bt_error err;
    l.m = jobs_open_made();
    jobs_seed = 35;
    for (int i = 0; i < LIVES; i++) {
        Job *j = job_greedy(90 + i, 4);
        l.jobs[i] = *j;
        if (i) memcpy(l.jobs[i].prompt, l.jobs[0].prompt, 90 * sizeof *j->prompt);
        free(j);
    }
    assert_int_equal(life(&l, &err), BT_OK); /* what is made once stays with the model */
    assert_int_equal(l.jobs[1].usage.cached, 90);
    torture("lives with one folder", life, &l);
    bt_model_close(&l.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_forgets_nothing),
        cmocka_unit_test(what_goes_comes_back),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(damage_is_computed_anew),
        cmocka_unit_test(a_full_disk_only_stops_writing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
