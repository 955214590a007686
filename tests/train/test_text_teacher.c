/* A teacher with another vocabulary: with the same one it says of every row what it says; with
 * another it is compared where both cut the text alike, and teaches. */
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
#include "train/text_teacher.h"

static const SoftLoss forward = {1, 1, 0};

static TextTeacher *open_text(bt_model *teacher, const bt_model *student, const SoftLoss *loss)
{
    TextTeacher *t;
    if (text_teacher_open(teacher, student, CONTEXT, loss, &t, &err)) fail_msg("%s", err.text);
    return t;
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Of one row: cross entropy of a distribution with itself, all but the 64 likeliest taken together.
 */
static double of_itself(const float *logits, int n)
{
    double p[1024], most = -INFINITY, sum = 0, loss = 0, rest = 1;
    for (int i = 0; i < n; i++)
        if ((double)logits[i] > most) most = (double)logits[i];
    for (int i = 0; i < n; i++) sum += p[i] = exp((double)logits[i] - most);
    qsort(p, (size_t)n, sizeof *p, falling);
    for (int i = 0; i < 64; i++) {
        loss -= p[i] / sum * log(p[i] / sum);
        rest -= p[i] / sum;
    }
    return loss - rest * log(rest);
}

/* The teacher puts its own BOS before each document, where it has one. */
static const char *without_bos(void)
{
    MakeModel o = {.tokenizer = MAKE_BPE,
                   .arch = "qwen2",
                   .chat_template = "chatml",
                   .seed = 5,
                   .embd = 32,
                   .ff = 48,
                   .heads = 2,
                   .kv_heads = 1};
    const char *path = scratch_path("t.gguf");
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static void the_same_vocabulary(void **state)
{
    (void)state;
    const char *path = without_bos();
    bt_model *m = open_model(path);
    Packs *p = open_packs(m);
    Teacher *logits_of = open_teacher(m, forward, 0);
    TextTeacher *t = open_text(m, m, &forward);
    Student s = open_student(path, text_teacher_loss, t);
    double norm, want = 0, got = epoch(&s, p, &norm);
    int64_t counted = 0;
    int n = bt_model_describe(m).n_vocab;
    assert_true(n <= 1024);
    for (uint64_t i = 0, packs = packs_count(p).packs; i < packs; i++) {
        Batch b;
        TeacherLogits logits;
        assert_int_equal(packs_next(p, &b, &err), BT_OK);
        for (int32_t r = 0; r < b.n_rows; r++) {
            if (b.weight[r] == 0) continue;
            assert_int_equal(teacher_logits(logits_of, &b, &r, 1, &logits, &err), BT_OK);
            want += of_itself(logits.data, n);
            counted++;
        }
    }
    assert_true(text_teacher_share(t) > 0.999);
    assert_true(fabs(got - want / (double)counted) < 1e-4);
    assert_true(norm < 1e-3); /* nothing to learn */
    close_student(&s);
    text_teacher_close(&t);
    teacher_close(&logits_of);
    packs_close(&p);
    bt_model_close(&m);
}

/* Whoever is the teacher is not pulled by the other divergences either. */
static void the_same_by_other_divergences(void **state)
{
    static const float mixes[] = {0.5f, 1};
    (void)state;
    const char *path = without_bos();
    bt_model *m = open_model(path);
    Packs *p = open_packs(m);
    for (int i = 0; i < 2; i++) {
        const SoftLoss loss = {1, 1, mixes[i]};
        TextTeacher *t = open_text(m, m, &loss);
        Student s = open_student(path, text_teacher_loss, t);
        double norm;
        text_teacher_judge(t, true); /* rows that are not compared teach nothing */
        assert_true(fabs(epoch(&s, p, &norm)) < 1e-5);
        assert_true(norm < 1e-3);
        close_student(&s);
        text_teacher_close(&t);
    }
    packs_close(&p);
    bt_model_close(&m);
}

static void another_vocabulary_teaches(void **state)
{
    static const float mixes[] = {0, 0.5f, 1};
    (void)state;
    MakeModel o = {
        .tokenizer = MAKE_SPM, .seed = 5, .embd = 32, .ff = 48, .heads = 2, .kv_heads = 1};
    const char *other = scratch_path("spm.gguf"), *small = model_file("s.gguf", 6, 32);
    if (make_model(&o, other, &err)) fail_msg("%s", err.text);
    bt_model *m = open_model(other), *student = open_model(small);
    Packs *p = open_packs(student);
    for (int i = 0; i < 3; i++) {
        const SoftLoss loss = {1, 1, mixes[i]};
        TextTeacher *t = open_text(m, student, &loss);
        Student s = open_student(small, text_teacher_loss, t);
        double norm, first = epoch(&s, p, &norm), last = first;
        print_message("# compared: %.2f of the rows\n", text_teacher_share(t));
        assert_true(text_teacher_share(t) > 0.2 && text_teacher_share(t) < 1);
        for (int step = 1; step <= 60; step++) {
            optim_step(s.optim, s.trainer->backend, step, 0.01, 1.0 / 100);
            last = epoch(&s, p, &norm);
        }
        print_message("# mix %g: loss %.4f, then %.4f\n", (double)mixes[i], first, last);
        assert_true(isfinite(last) && last < 0.9 * first);
        close_student(&s);
        text_teacher_close(&t);
    }
    packs_close(&p);
    bt_model_close(&student);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_vocabulary),
        cmocka_unit_test(the_same_by_other_divergences),
        cmocka_unit_test(another_vocabulary_teaches),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
