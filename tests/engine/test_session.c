/* Sessions by their contract: whatever way tokens are fed gives the same bits; cutting, shifting
 * and refusing leave what the header says; state types lose no more than they must. The model is
 * made here and held against a double-precision forward written apart. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "support/make_model.h"
#include "support/reference.h"
#include "support/run_model.h"
#include "support/scratch.h"

#define N 150 /* crosses two blocks of state */
static bt_token tokens[N];

static const char *make_with(MakeModel spec)
{
    static char path[1024];
    bt_error err;
    snprintf(path, sizeof path, "%s", scratch_path("m.gguf"));
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    return path;
}

/* Wide enough for every block type. */
static const char *make(const char *arch, DType type)
{
    bool wide = type != DT_F32;
    return make_with((MakeModel){.arch = arch,
                                 .type = type,
                                 .embd = wide ? 256 : 0,
                                 .ff = wide ? 512 : 0,
                                 .head_dim = wide ? 64 : 0,
                                 .rope_freqs = strcmp(arch, "llama") == 0});
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) tokens[i] = (i * 37 + i * i) % 250;
    return scratch_open() ? 0 : -1;
}

static void families_agree_with_the_reference(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "llama-moe", "qwen2", "qwen3", "qwen3moe"};
    for (size_t a = 0; a < 5; a++) {
        const char *path = make(archs[a], DT_F32);
        int vocab, again;
        double *want = reference_logits(path, tokens, N, &vocab);
        assert_non_null(want);
        float *first = NULL;
        for (FeedMode mode = FEED_AT_ONCE; mode <= FEED_INTERLEAVED; mode++) {
            float *got = run_model(path, tokens, N, mode, BT_KV_F32, 0, &again);
            assert_non_null(got);
            assert_int_equal(again, vocab);
            double error = reference_nmse(got, want, (long)N * vocab);
            if (!(error <= 1e-9)) print_error("%s, mode %d: %g\n", archs[a], mode, error);
            assert_true(error <= 1e-9);
            if (first) assert_memory_equal(got, first, (size_t)N * (size_t)vocab * sizeof *got);
            if (first)
                free(got);
            else
                first = got;
        }
        free(first);
        free(want);
    }
}

/* Every weight type: the reference reads the same rows in double; only activations are rounded. */
static void weight_types_stay_close(void **state)
{
    (void)state;
    static const struct {
        DType type;
        double most; /* of the other engine's paths on a model of this size: 2e-4 to 4e-4 */
    } rows[] = {{DT_F16, 1e-9},    {DT_BF16, 1e-9},    {DT_Q8_0, 3e-4},    {DT_Q4_0, 3e-4},
                {DT_Q4_1, 3e-4},   {DT_Q5_0, 3e-4},    {DT_Q5_1, 3e-4},    {DT_Q2_K, 3e-4},
                {DT_Q3_K, 3e-4},   {DT_Q4_K, 3e-4},    {DT_Q5_K, 3e-4},    {DT_Q6_K, 3e-4},
                {DT_IQ4_NL, 3e-4}, {DT_IQ4_XS, 3e-4},  {DT_MXFP4, 3e-4},   {DT_NVFP4, 3e-4},
                {DT_IQ1_S, 3e-4},  {DT_IQ1_M, 3e-4},   {DT_IQ2_XXS, 3e-4}, {DT_IQ2_XS, 3e-4},
                {DT_IQ2_S, 3e-4},  {DT_IQ3_XXS, 3e-4}, {DT_IQ3_S, 3e-4},   {DT_TQ1_0, 3e-4},
                {DT_TQ2_0, 3e-4},  {DT_Q1_0, 3e-4},    {DT_Q2_0, 3e-4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = make("llama", rows[i].type);
        int vocab;
        double *want = reference_logits(path, tokens, 40, &vocab);
        float *got = run_model(path, tokens, 40, FEED_AT_ONCE, BT_KV_F32, 0, &vocab);
        float *sevens = run_model(path, tokens, 40, FEED_SEVENS, BT_KV_F32, 0, &vocab);
        assert_non_null(want);
        assert_non_null(got);
        assert_non_null(sevens);
        double error = reference_nmse(got, want, 40l * vocab);
        if (!(error <= rows[i].most)) print_error("%s: %g\n", dtype_name(rows[i].type), error);
        assert_true(error <= rows[i].most);
        assert_memory_equal(got, sevens, 40u * (size_t)vocab * sizeof *got);
        free(want), free(got), free(sevens);
    }
}

static void state_types_lose_what_they_must(void **state)
{
    (void)state;
    static const struct {
        bt_kv_type kv;
        double most;
    } rows[] = {{BT_KV_F32, 1e-9},
                {BT_KV_F16, 1e-5},
                {BT_KV_BF16, 5e-4},
                {BT_KV_Q8_0, 5e-4},
                {BT_KV_PAIR(BT_KV_Q8_0, BT_KV_Q4_0), 3e-2},
                {BT_KV_Q4_0, 6e-2}};
    const char *path = make_with((MakeModel){.arch = "qwen3", .head_dim = 32});
    int vocab;
    double *want = reference_logits(path, tokens, N, &vocab);
    double before = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float *got = run_model(path, tokens, N, FEED_SEVENS, rows[i].kv, 0, &vocab);
        assert_non_null(got);
        double error = reference_nmse(got, want, (long)N * vocab);
        if (!(error <= rows[i].most)) print_error("kv %d: %g\n", (int)rows[i].kv, error);
        assert_true(error <= rows[i].most);
        if (i == 1) assert_true(error > before); /* a type that is not used would show here */
        before = error;
        free(got);
    }
    free(want);
}

static void cpu_masks_agree(void **state)
{
    (void)state;
    const char *path = make("llama", DT_Q4_K);
    int vocab;
    float *want = run_model(path, tokens, 40, FEED_AT_ONCE, BT_KV_F32, CPU_NONE, &vocab);
    static const uint32_t masks[] = {CPU_AVX2, CPU_AVX2 | CPU_AVXVNNI, 0};
    for (size_t i = 0; i < 3; i++) {
        float *got = run_model(path, tokens, 40, FEED_AT_ONCE, BT_KV_F32, masks[i], &vocab);
        double wrong = 0, all = 0;
        assert_non_null(got);
        for (long j = 0; j < 40l * vocab; j++) {
            wrong += pow((double)got[j] - (double)want[j], 2);
            all += pow((double)want[j], 2);
        }
        assert_true(wrong / all < 1e-4);
        free(got);
    }
    free(want);
}

/* bf16 weights and state, by the kernels chosen here and by products of bf16 (which some CPUs leave
 * out, see cpu_choose): near the reference, and the same bits however fed. */
static void bf16_is_as_exact_as_it_can_be(void **state)
{
    (void)state;
    static const bt_kv_type kv[] = {BT_KV_F32, BT_KV_BF16};
    static const double most[] = {1e-9, 5e-4};
    uint32_t masks[] = {0, cpu_features()};
    const char *path = make("llama", DT_BF16);
    int vocab;
    double *want = reference_logits(path, tokens, N, &vocab);
    assert_non_null(want);
    for (size_t i = 0; i < 4; i++) {
        float *first = NULL;
        for (FeedMode mode = FEED_AT_ONCE; mode <= FEED_INTERLEAVED; mode++) {
            float *got = run_model(path, tokens, N, mode, kv[i / 2], masks[i % 2], &vocab);
            assert_non_null(got);
            double error = reference_nmse(got, want, (long)N * vocab);
            if (!(error <= most[i / 2])) print_error("case %zu, mode %d: %g\n", i, mode, error);
            assert_true(error <= most[i / 2]);
            if (first) assert_memory_equal(got, first, (size_t)N * (size_t)vocab * sizeof *got);
            if (first)
                free(got);
            else
                first = got;
        }
        free(first);
    }
    free(want);
}

typedef struct Opened {
    bt_model *model;
    bt_session *session;
    size_t vocab;
} Opened;

static Opened open_small(const bt_session_options *options)
{
    Opened o = {0};
    bt_error err;
    assert_int_equal(bt_model_open(make("llama", DT_F32), NULL, &o.model, &err), BT_OK);
    assert_int_equal(bt_session_open(o.model, options, &o.session, &err), BT_OK);
    o.vocab = (size_t)bt_model_describe(o.model).n_vocab;
    return o;
}

static void close_small(Opened *o)
{
    bt_session_close(&o->session);
    bt_model_close(&o->model);
}

static float *last_logits(Opened *o)
{
    float *copy = malloc(o->vocab * sizeof *copy);
    memcpy(copy, bt_session_logits(o->session, -1), o->vocab * sizeof *copy);
    return copy;
}

static void cutting_back_forgets_the_rest(void **state)
{
    (void)state;
    bt_error err;
    Opened o = open_small(&(bt_session_options){.n_ctx = 200, .kv = BT_KV_F32});
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 100, &err), BT_OK);
    float *want = last_logits(&o);
    assert_int_equal(bt_session_feed(o.session, 0, tokens + 20, 50, &err), BT_OK);
    assert_int_equal(bt_session_truncate(o.session, 0, 90, &err), BT_OK);
    assert_int_equal(bt_session_length(o.session, 0), 90);
    assert_int_equal(bt_session_feed(o.session, 0, tokens + 90, 10, &err), BT_OK);
    assert_memory_equal(bt_session_logits(o.session, -1), want, o.vocab * sizeof *want);
    assert_int_equal(bt_session_truncate(o.session, 0, 101, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_truncate(o.session, 7, 0, &err), BT_E_ARGUMENT);
    free(want);
    close_small(&o);
}

static void shifting_is_feeding_what_stays(void **state)
{
    (void)state;
    bt_error err;
    bt_token left[80];
    Opened o = open_small(&(bt_session_options){.n_ctx = 200, .kv = BT_KV_F32});
    memcpy(left, tokens, 10 * sizeof *left);
    memcpy(left + 10, tokens + 30, 70 * sizeof *left);
    assert_int_equal(bt_session_feed(o.session, 0, left, 80, &err), BT_OK);
    float *want = last_logits(&o);
    assert_int_equal(bt_session_truncate(o.session, 0, 0, &err), BT_OK);
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 100, &err), BT_OK);
    assert_int_equal(bt_session_shift(o.session, 0, 10, 20, &err), BT_OK);
    assert_int_equal(bt_session_length(o.session, 0), 80);
    assert_memory_equal(bt_session_logits(o.session, -1), want, o.vocab * sizeof *want);
    free(want);
    close_small(&o);
}

static void what_does_not_fit_is_refused_whole(void **state)
{
    (void)state;
    bt_error err;
    Opened o = open_small(&(bt_session_options){.n_ctx = 70, .n_batch = 32, .n_sequences = 2});
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 60, &err), BT_OK);
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 11, &err), BT_E_CONTEXT);
    assert_string_equal(err.text, "60 tokens are held and 11 come, but the context holds 70");
    assert_int_equal(bt_session_length(o.session, 0), 60);
    bt_row rows[] = {{1, 1, false}, {300000, 1, true}};
    assert_int_equal(bt_session_step(o.session, rows, 2, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_length(o.session, 1), 0);
    rows[1] = (bt_row){1, 5, true};
    assert_int_equal(bt_session_step(o.session, rows, 2, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_step(o.session, rows, 0, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_step(o.session, rows, 33, &err), BT_E_ARGUMENT);
    assert_null(bt_session_logits(o.session, 0));
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 10, &err), BT_OK);
    assert_non_null(bt_session_logits(o.session, -1));
    assert_null(bt_session_logits(o.session, 1));
    close_small(&o);
}

static void a_cancelled_step_leaves_no_trace(void **state)
{
    (void)state;
    bt_error err;
    Opened o = open_small(&(bt_session_options){.n_ctx = 200, .kv = BT_KV_F32});
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 50, &err), BT_OK);
    float *want = last_logits(&o);
    bt_session_cancel(o.session);
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 30, &err), BT_E_CANCELLED);
    assert_int_equal(bt_session_length(o.session, 0), 50);
    assert_int_equal(bt_session_truncate(o.session, 0, 49, &err), BT_OK);
    assert_int_equal(bt_session_feed(o.session, 0, tokens + 49, 1, &err), BT_OK);
    assert_memory_equal(bt_session_logits(o.session, -1), want, o.vocab * sizeof *want);
    free(want);
    close_small(&o);
}

static void decoding_allocates_nothing(void **state)
{
    (void)state;
    bt_error err;
    Opened o = open_small(&(bt_session_options){.n_ctx = 200});
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 10, &err), BT_OK);
    uint64_t before = mem_count();
    for (int i = 0; i < 100; i++)
        assert_int_equal(bt_session_feed(o.session, 0, tokens + i, 1, &err), BT_OK);
    assert_int_equal(mem_count(), before);
    close_small(&o);
}

static void plans_say_what_is_needed(void **state)
{
    (void)state;
    bt_error err;
    bt_memory_plan plan, twice;
    bt_model *m;
    assert_int_equal(bt_model_open(make("llama", DT_F32), NULL, &m, &err), BT_OK);
    int32_t ctx = 0;
    assert_int_equal(bt_model_plan(m, &ctx, 1, 0, BT_KV_F32, &plan, &err), BT_OK);
    assert_int_equal(ctx, bt_model_describe(m).n_ctx_train);
    ctx = 128;
    assert_int_equal(bt_model_plan(m, &ctx, 1, 0, BT_KV_F32, &plan, &err), BT_OK);
    assert_int_equal(bt_model_plan(m, &ctx, 2, 0, BT_KV_F32, &twice, &err), BT_OK);
    assert_int_equal(twice.state, 2 * plan.state);
    assert_int_equal(plan.total, plan.weights + plan.state + plan.scratch);
    bt_session *s;
    bt_session_options o = {.n_ctx = 4096, .memory_limit = 1 << 20};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    assert_null(s);
    assert_non_null(strstr(err.text, "MiB"));
    bt_model_close(&m);
}

/* Blocks of q8_0 hold 32 values; heads of 16 would take no bytes at all. */
static void state_types_must_fit_the_heads(void **state)
{
    (void)state;
    bt_error err;
    bt_memory_plan plan;
    bt_model *m;
    bt_session *s;
    int32_t ctx = 0;
    assert_int_equal(bt_model_open(make("llama", DT_F32), NULL, &m, &err), BT_OK);
    assert_int_equal(bt_model_plan(m, &ctx, 1, 0, BT_KV_Q8_0, &plan, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "multiple of 32"));
    bt_session_options o = {.kv = BT_KV_Q8_0};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_ARGUMENT);
    bt_model_close(&m);
}

/* What the refusal says would fit does fit, and one block more does not. */
static void a_refusal_names_a_context_that_fits(void **state)
{
    (void)state;
    bt_error err;
    bt_model *m;
    bt_session *s;
    long long fits = 0;
    unsigned long long needs, available, spared;
    assert_int_equal(bt_model_open(make("llama", DT_F32), NULL, &m, &err), BT_OK);
    bt_session_options o = {.n_ctx = 1 << 20, .memory_limit = 8 << 20, .n_batch = 16};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    const char *said = strstr(err.text, "context 1048576 needs ");
    assert_non_null(said);
    assert_int_equal(sscanf(said,
                            "context 1048576 needs %llu MiB, %llu MiB are available "
                            "(%llu of them spared); a context of %lld fits",
                            &needs, &available, &spared, &fits),
                     4);
    assert_int_equal(available, 8);
    assert_in_range(needs, 200, 400); /* 2 layers x 2 heads x (16 + 16) bf16, and the token */
    o.n_ctx = (int32_t)fits + 64;
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    o.n_ctx = (int32_t)fits;
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_OK);
    assert_int_equal(bt_session_context(s), fits);
    bt_session_close(&s);
    o = (bt_session_options){.memory_limit = 1};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    assert_non_null(strstr(err.text, "no context fits"));
    bt_model_close(&m);
}

/* Steps are of 512 rows, of fewer where memory is short, unless a number was named. */
static void steps_shrink_where_memory_is_short(void **state)
{
    (void)state;
    bt_error err;
    bt_model *m;
    bt_session *s;
    bt_memory_plan plan[2];
    int32_t n_ctx = 4096;
    assert_int_equal(bt_model_open(make("llama", DT_F32), NULL, &m, &err), BT_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bt_model_plan(m, &n_ctx, 1, i ? 128 : 512, 0, &plan[i], &err), BT_OK);
    assert_true(plan[1].total < plan[0].total && plan[1].state == plan[0].state);
    /* of a small limit of its own a twentieth is spared */
    uint64_t enough = plan[0].total + plan[0].total / 10, scarce = plan[1].total * 20 / 19 + 64;
    assert_true(scarce < plan[0].total);
    bt_session_options o = {.n_ctx = n_ctx, .memory_limit = enough};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_OK);
    assert_int_equal(bt_session_batch(s), 512);
    bt_session_close(&s);
    o.memory_limit = scarce;
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_OK);
    assert_int_equal(bt_session_batch(s), 128);
    assert_int_equal(bt_session_context(s), n_ctx);
    bt_session_close(&s);
    o.n_batch = 512;
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    o = (bt_session_options){.n_ctx = n_ctx, .memory_limit = plan[1].total};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_E_MEMORY);
    bt_model_close(&m);
}

/* Memory is planned for steps with logits of all rows; one row fewer needs a copy of the others. */
static void any_share_of_rows_may_want_logits(void **state)
{
    (void)state;
    bt_error err;
    enum { ROWS = 100 };
    bt_row rows[ROWS];
    Opened o = open_small(&(bt_session_options){.n_ctx = 200, .n_batch = ROWS, .n_logits = ROWS});
    for (int want = ROWS; want >= 0; want -= want > ROWS - 3 ? 1 : 30) {
        for (int i = 0; i < ROWS; i++) rows[i] = (bt_row){tokens[i], 0, i < want};
        bt_status status = bt_session_step(o.session, rows, ROWS, &err);
        if (status) fail_msg("%d of %d: %s", want, ROWS, err.text);
        assert_int_equal(bt_session_logits(o.session, want) != NULL, false);
        assert_int_equal(bt_session_logits(o.session, -1) != NULL, want > 0);
        assert_int_equal(bt_session_truncate(o.session, 0, 0, &err), BT_OK);
    }
    close_small(&o);
}

/* Cancelling is for one step, also one that is refused. */
static void a_refused_step_takes_the_cancellation(void **state)
{
    (void)state;
    bt_error err;
    Opened o = open_small(&(bt_session_options){.n_ctx = 70});
    bt_row outside = {-1, 0, true};
    bt_session_cancel(o.session);
    assert_int_equal(bt_session_step(o.session, &outside, 1, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_feed(o.session, 0, tokens, 2, &err), BT_OK);
    close_small(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_agree_with_the_reference),
        cmocka_unit_test(weight_types_stay_close),
        cmocka_unit_test(state_types_lose_what_they_must),
        cmocka_unit_test(cpu_masks_agree),
        cmocka_unit_test(bf16_is_as_exact_as_it_can_be),
        cmocka_unit_test(cutting_back_forgets_the_rest),
        cmocka_unit_test(shifting_is_feeding_what_stays),
        cmocka_unit_test(what_does_not_fit_is_refused_whole),
        cmocka_unit_test(steps_shrink_where_memory_is_short),
        cmocka_unit_test(a_cancelled_step_leaves_no_trace),
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(plans_say_what_is_needed),
        cmocka_unit_test(state_types_must_fit_the_heads),
        cmocka_unit_test(a_refusal_names_a_context_that_fits),
        cmocka_unit_test(any_share_of_rows_may_want_logits),
        cmocka_unit_test(a_refused_step_takes_the_cancellation),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
