/* A teacher at hand: its logits against the reference, document by document, whatever the chunks;
 * a student that is the teacher learns nothing; another comes near to it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "school.h"
#include "support/reference.h"

/* Logits of one row by the reference: its document up to it. */
static double *reference_row(const char *path, const Batch *b, int32_t row, int *n_vocab)
{
    int32_t ids[CONTEXT], first = row, n;
    while (first > 0 && b->rows[first - 1].sequence == b->rows[row].sequence) first--;
    for (n = 0; first + n <= row; n++) ids[n] = b->rows[first + n].token;
    double *all = reference_logits(path, ids, n, n_vocab);
    assert_non_null(all);
    memmove(all, all + (size_t)(n - 1) * (size_t)*n_vocab, (size_t)*n_vocab * sizeof *all);
    return all;
}

static void its_logits_are_the_references(void **state)
{
    (void)state;
    const char *path = model_file("t.gguf", 5, 32);
    bt_model *m = open_model(path);
    Packs *p = open_packs(m);
    int n_vocab = bt_model_describe(m).n_vocab;
    Teacher *t = open_teacher(m, (SoftLoss){1, 1, 0}, 7 * (size_t)n_vocab * sizeof(float));
    for (int turn = 0; turn < 2 * (int)packs_count(p).packs; turn++) {
        Batch b;
        int32_t row[CONTEXT], n = 0;
        if (packs_next(p, &b, &err)) fail_msg("%s", err.text);
        for (int32_t i = 0; i < b.n_rows; i++)
            if (b.weight[i] != 0) row[n++] = i;
        for (int32_t at = 0; at < n; at += 7) {
            int32_t some = n - at < 7 ? n - at : 7;
            TeacherLogits logits;
            if (teacher_logits(t, &b, row + at, some, &logits, &err)) fail_msg("%s", err.text);
            for (int32_t i = 0; i < some; i++) {
                double *want = reference_row(path, &b, row[at + i], &n_vocab);
                assert_true(reference_nmse(logits.data + (size_t)i * logits.stride, want, n_vocab) <
                            1e-8);
                free(want);
            }
        }
    }
    teacher_close(&t);
    packs_close(&p);
    bt_model_close(&m);
}

/* A batch read at once, and through a session; matrices in bf16 and quantised; a vocabulary of the
 * student's that is wider. */
static void at_once_and_by_session(void **state)
{
    (void)state;
    for (int c = 0; c < 4; c++) {
        MakeModel o = {.tokenizer = MAKE_BPE,
                       .arch = c & 1 ? "qwen3" : "llama",
                       .chat_template = "chatml",
                       .seed = 9,
                       .tied = c & 1,
                       .type = c < 2 ? DT_BF16 : DT_Q8_0};
        const char *path = scratch_path("b.gguf");
        if (make_model(&o, path, &err)) fail_msg("%s", err.text);
        bt_model *m = open_model(path);
        Packs *p = open_packs(m);
        int n = bt_model_describe(m).n_vocab, wide = c == 1 ? n + 5 : n;
        double worst = 0;
        Teacher *t[2];
        for (int i = 0; i < 2; i++) {
            TeacherOptions own = {.context = CONTEXT,
                                  .logits_bytes = 6 * (size_t)wide * sizeof(float),
                                  .bf16 = true,
                                  .by_session = i};
            if (teacher_open(m, wide, &own, &t[i], &err)) fail_msg("%s", err.text);
        }
        for (uint64_t pack = 0; pack < packs_count(p).packs; pack++) {
            Batch b;
            int32_t row[CONTEXT], counted = 0;
            if (packs_next(p, &b, &err)) fail_msg("%s", err.text);
            for (int32_t i = 0; i < b.n_rows; i++)
                if (b.weight[i] != 0) row[counted++] = i;
            for (int32_t at = 0; at < counted; at += 6) {
                int32_t some = counted - at < 6 ? counted - at : 6;
                TeacherLogits x, y;
                assert_int_equal(teacher_logits(t[0], &b, row + at, some, &x, &err), BT_OK);
                assert_int_equal(teacher_logits(t[1], &b, row + at, some, &y, &err), BT_OK);
                for (size_t i = 0; i < (size_t)some; i++) {
                    double want[1024];
                    assert_true(n <= 1024);
                    for (int j = 0; j < n; j++) want[j] = (double)y.data[i * y.stride + (size_t)j];
                    worst = fmax(worst, reference_nmse(x.data + i * x.stride, want, n));
                    for (int j = n; j < wide; j++)
                        assert_true(x.data[i * x.stride + (size_t)j] == -1e30f);
                }
            }
        }
        print_message("# %s, type %d: nmse %.1e\n", o.arch, (int)o.type, worst);
        assert_true(worst < 1e-3);
        teacher_close(&t[0]);
        teacher_close(&t[1]);
        packs_close(&p);
        bt_model_close(&m);
    }
}

/* ---- students ---- */

static void who_is_the_teacher_learns_nothing(void **state)
{
    (void)state;
    static const float mixes[] = {0, 0.5f, 1};
    const char *path = model_file("t.gguf", 5, 32);
    bt_model *m = open_model(path);
    Packs *p = open_packs(m);
    for (int i = 0; i < 3; i++) {
        double norm;
        Teacher *t = open_teacher(m, (SoftLoss){1, 2, mixes[i]}, 0);
        Student s = open_student(path, teacher_loss, t);
        assert_true(fabs(epoch(&s, p, &norm)) < 1e-5);
        assert_true(norm < 1e-3);
        close_student(&s);
        teacher_close(&t);
    }
    packs_close(&p);
    bt_model_close(&m);
}

static void another_comes_near(void **state)
{
    (void)state;
    static const float mixes[] = {0, 0.5f, 1};
    bt_model *m = open_model(model_file("t.gguf", 5, 32));
    const char *small = model_file("s.gguf", 6, 16);
    Packs *p = open_packs(m);
    for (int i = 0; i < 3; i++) {
        Teacher *t = open_teacher(m, (SoftLoss){1, 1, mixes[i]}, 0);
        Student s = open_student(small, teacher_loss, t);
        double norm, first = epoch(&s, p, &norm), last = first;
        assert_true(first > 0 && norm > 0);
        for (int step = 1; step <= 60; step++) {
            optim_step(s.optim, s.trainer->backend, step, 0.01, 1.0 / 100);
            last = epoch(&s, p, &norm);
        }
        print_message("# mix %g: divergence %.4f, then %.4f\n", (double)mixes[i], first, last);
        assert_true(last < 0.2 * first);
        close_student(&s);
        teacher_close(&t);
    }
    packs_close(&p);
    bt_model_close(&m);
}

static void another_vocabulary_is_refused(void **state)
{
    (void)state;
    MakeModel o = {.tokenizer = MAKE_SPM};
    const char *spm = scratch_path("spm.gguf");
    if (make_model(&o, spm, &err)) fail_msg("%s", err.text);
    bt_model *a = open_model(model_file("t.gguf", 5, 32)), *b = open_model(spm);
    assert_int_equal(teacher_check(a, a, &err), BT_OK);
    assert_int_equal(teacher_check(a, b, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "vocabulary"));
    bt_model_close(&a);
    bt_model_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_logits_are_the_references),
        cmocka_unit_test(at_once_and_by_session),
        cmocka_unit_test(who_is_the_teacher_learns_nothing),
        cmocka_unit_test(another_comes_near),
        cmocka_unit_test(another_vocabulary_is_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
