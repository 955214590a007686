/* A teacher that is stored, and a student that writes its own batches: what is read is what was
 * written and belongs to its data, damage is refused, both teach. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "school.h"
#include "support/files.h"
#include "train/on_policy.h"
#include "train/targets.h"

static const SoftLoss forward = {1, 1, 0};

static Packs *packs_of(const bt_model *m, bool in_order, double held_out)
{
    const char *path = scratch_write("d.jsonl", school_data, sizeof school_data - 1);
    PacksOptions o = {.context = CONTEXT, .seed = 1, .in_order = in_order, .held_out = held_out};
    Packs *p;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    return p;
}

/* Stores m's answers to the data with `samples` each; the file's path. */
static const char *store(bt_model *m, int32_t samples)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s", scratch_path("t.targets"));
    TargetsOptions o = {.samples = samples, .seed = 3};
    Teacher *t = open_teacher(m, forward, 0);
    Packs *p = packs_of(m, true, 0);
    if (targets_write(t, m, p, path, &o, &err)) fail_msg("%s", err.text);
    packs_close(&p);
    teacher_close(&t);
    return path;
}

static void samples_teach(void **state)
{
    (void)state;
    bt_model *m = open_model(model_file("t.gguf", 5, 32));
    const char *small = model_file("s.gguf", 6, 16), *path = store(m, 255);
    Packs *p = packs_of(m, false, 0);
    Teacher *t = open_teacher(m, forward, 0);
    Targets *targets;
    if (targets_open(path, m, p, &forward, &targets, &err)) fail_msg("%s", err.text);
    double norm;
    Student judge = open_student(small, teacher_loss, t);
    double first = epoch(&judge, p, &norm);
    close_student(&judge);
    Student s = open_student(small, targets_loss, targets);
    double high = epoch(&s, p, &norm), low = high;
    for (int step = 1; step <= 60; step++) {
        optim_step(s.optim, s.trainer->backend, step, 0.01, 1.0 / 100);
        low = epoch(&s, p, &norm);
    }
    s.trainer->options.loss = teacher_loss; /* what came of it, by the teacher itself */
    s.trainer->options.loss_user = t;
    double last = epoch(&s, p, &norm);
    print_message("# cross entropy %.4f, then %.4f; divergence %.4f, then %.4f\n", high, low, first,
                  last);
    assert_true(last < 0.4 * first && low < high);
    close_student(&s);
    targets_close(&targets);
    teacher_close(&t);
    packs_close(&p);
    bt_model_close(&m);
}

static void it_belongs_to_its_data(void **state)
{
    (void)state;
    bt_model *m = open_model(model_file("t.gguf", 5, 32));
    const char *path = store(m, 12);
    Packs *p = packs_of(m, false, 0);
    Targets *targets;
    size_t size;
    assert_int_equal(targets_open(path, m, p, &forward, &targets, &err), BT_OK);
    targets_close(&targets);
    const SoftLoss reverse = {1, 1, 1};
    assert_int_equal(targets_open(path, m, p, &reverse, &targets, &err), BT_E_ARGUMENT);
    /* Another vocabulary, other data. */
    MakeModel o = {.tokenizer = MAKE_SPM, .chat_template = "chatml"};
    const char *spm = scratch_path("spm.gguf");
    assert_int_equal(make_model(&o, spm, &err), BT_OK);
    bt_model *other = open_model(spm);
    assert_int_equal(targets_open(path, other, p, &forward, &targets, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "vocabulary"));
    bt_model_close(&other);
    const char *text = scratch_write("e.txt", "other data", 10);
    PacksOptions po = {.context = CONTEXT};
    Packs *q;
    assert_int_equal(packs_open(m, &text, 1, &po, &q, &err), BT_OK);
    assert_int_equal(targets_open(path, m, q, &forward, &targets, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "other data"));
    packs_close(&q);
    /* Damage: each byte of the header, some of the rest, every length. */
    char *bytes = files_read(path, &size), copy[4096];
    assert_non_null(bytes);
    snprintf(copy, sizeof copy, "%s", scratch_path("damaged"));
    for (size_t at = 0; at < size; at += at < 80 ? 1 : 37) {
        bytes[at] ^= 0x55;
        assert_int_equal(files_write(copy, bytes, size), 0);
        bt_status status = targets_open(copy, m, p, &forward, &targets, &err);
        bytes[at] ^= 0x55;
        assert_true(status == BT_E_FORMAT || status == BT_E_ARGUMENT);
        targets_close(&targets);
    }
    for (size_t n = 0; n < size; n += n < 80 ? 1 : 41) {
        assert_int_equal(files_write(copy, bytes, n), 0);
        assert_true(targets_open(copy, m, p, &forward, &targets, &err) != BT_OK);
    }
    free(bytes);
    packs_close(&p);
    bt_model_close(&m);
}

/* The record of a row is that of its place in the data, whatever the order, and what is held out.
 */
static void records_follow_their_tokens(void **state)
{
    (void)state;
    bt_model *m = open_model(model_file("t.gguf", 5, 32));
    Packs *a = packs_of(m, true, 0), *b = packs_of(m, false, 0.3);
    int64_t tokens = packs_tokens(a);
    uint64_t rank[CONTEXT];
    bt_token *in_order = mem_zalloc((size_t)tokens, sizeof *in_order);
    Batch batch;
    int64_t n = 0;
    assert_int_equal(packs_number(a, &err), BT_OK);
    assert_int_equal(packs_number(b, &err), BT_OK);
    for (uint64_t i = 0, packs = packs_count(a).packs; i < packs; i++) {
        assert_int_equal(packs_next(a, &batch, &err), BT_OK);
        packs_ranks(a, rank);
        for (int32_t r = 0; r < batch.n_rows; r++) {
            if (batch.weight[r] == 0) continue;
            assert_int_equal(rank[r], n);
            in_order[n++] = batch.target[r];
        }
    }
    assert_int_equal(n, tokens);
    for (uint64_t i = 0, packs = packs_count(b).packs; i < packs; i++) {
        assert_int_equal(packs_next(b, &batch, &err), BT_OK);
        packs_ranks(b, rank);
        for (int32_t r = 0; r < batch.n_rows; r++)
            if (batch.weight[r] != 0) assert_int_equal(in_order[rank[r]], batch.target[r]);
    }
    mem_free(in_order);
    packs_close(&a);
    packs_close(&b);
    bt_model_close(&m);
}

/* ---- on policy ---- */

static void check_own(const Batch *b, const bt_model *m)
{
    int32_t counted = 0;
    assert_true(b->n_rows > 0 && b->n_rows <= CONTEXT);
    for (int32_t r = 0; r < b->n_rows; r++) {
        bool first = r == 0 || b->rows[r].sequence != b->rows[r - 1].sequence;
        assert_int_equal(b->rows[r].position, first ? 0 : b->rows[r - 1].position + 1);
        if (!first) assert_int_equal(b->target[r - 1], b->rows[r].token);
        assert_true(b->target[r] < bt_model_describe(m).n_vocab);
        counted += b->weight[r] != 0;
    }
    assert_true(counted > 0);
}

static void a_student_writes(void **state)
{
    (void)state;
    bt_model *m = open_model(model_file("t.gguf", 5, 32));
    const char *small = model_file("s.gguf", 6, 16);
    Packs *p = packs_of(m, false, 0), *q = packs_of(m, false, 0);
    Teacher *t = open_teacher(m, (SoftLoss){1, 1, 1}, 0);
    Student s = open_student(small, teacher_loss, t);
    OnPolicyOptions o = {.context = CONTEXT, .share = 1, .seed = 4};
    OnPolicy *own, *again;
    if (on_policy_open(s.params, p, &o, &own, &err)) fail_msg("%s", err.text);
    if (on_policy_open(s.params, q, &o, &again, &err)) fail_msg("%s", err.text);
    Batch a, b;
    for (int i = 0; i < 3; i++) {
        if (on_policy_next(own, &a, &err)) fail_msg("%s", err.text);
        if (on_policy_next(again, &b, &err)) fail_msg("%s", err.text);
        assert_true(on_policy_was_own(own));
        check_own(&a, m);
        assert_int_equal(a.n_rows, b.n_rows);
        assert_memory_equal(a.target, b.target, (size_t)a.n_rows * sizeof *a.target);
    }
    on_policy_close(&again);
    /* It comes near to the teacher where it goes. */
    double first = 0, last = 0;
    for (int step = 0; step < 200; step++) {
        double loss = 0, weight = 0;
        params_zero_grads(s.params);
        if (on_policy_next(own, &a, &err)) fail_msg("%s", err.text);
        if (trainer_batch(s.trainer, &a, &loss, &weight, &err)) fail_msg("%s", err.text);
        optim_step(s.optim, s.trainer->backend, step + 1, 0.01, 1 / weight);
        if (step < 10) first += loss / weight / 10;
        if (step >= 190) last += loss / weight / 10;
    }
    print_message("# reverse divergence %.4f, then %.4f\n", first, last);
    assert_true(last < 0.6 * first);
    on_policy_close(&own);
    /* A share of 0 is the data. */
    o.share = 0;
    const int64_t start[3] = {0, 0, 0};
    assert_int_equal(packs_seek(p, start, &err), BT_OK);
    assert_int_equal(packs_seek(q, start, &err), BT_OK);
    assert_int_equal(on_policy_open(s.params, p, &o, &own, &err), BT_OK);
    assert_int_equal(on_policy_next(own, &a, &err), BT_OK);
    assert_int_equal(packs_next(q, &b, &err), BT_OK);
    assert_false(on_policy_was_own(own));
    assert_memory_equal(a.target, b.target, (size_t)a.n_rows * sizeof *a.target);
    on_policy_close(&own);
    close_student(&s);
    teacher_close(&t);
    packs_close(&p);
    packs_close(&q);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_teach),
        cmocka_unit_test(it_belongs_to_its_data),
        cmocka_unit_test(records_follow_their_tokens),
        cmocka_unit_test(a_student_writes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
