/* Rows of the conversions: the same bits from every version. */
#include "check.h"
#include "tensor/dtype.h"

static const uint32_t types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0};
enum { TYPES = sizeof types / sizeof types[0] };

static size_t draw_size(Check *c, uint32_t type)
{
    size_t n = check_size(c, 700);
    return n - n % (size_t)dtype_info(type)->block;
}

static void test_to_f32(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        uint32_t type = types[round % TYPES];
        size_t n = draw_size(c, type), bytes = (size_t)dtype_row_bytes(type, n);
        unsigned char *src = check_in(c, bytes, type == DT_F32 ? 4 : 2); /* any bits: NaN too */
        for (size_t i = 0; i < bytes; i++) src[i] = (unsigned char)check_random(c);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->to_f32(type, src, want, n);
        c->fast->to_f32(type, src, got, n);
        check_equal(c, want, got, n, NULL, "%s n=%zu", dtype_name(type), n);
        check_done(c);
    }
}

static void test_from_f32(Check *c)
{
    for (int round = 0; round < 2 * c->rounds; round++) {
        uint32_t type = types[round % TYPES];
        size_t n = draw_size(c, type), bytes = (size_t)dtype_row_bytes(type, n);
        const float magnitudes[] = {1, 60000, 1e-6f, 1e-38f};
        float *src = check_floats(c, n, magnitudes[check_below(c, 4)]);
        unsigned char *want = check_out(c, bytes, 2), *got = check_out(c, bytes, 2);
        c->ref->from_f32(type, src, want, n);
        c->fast->from_f32(type, src, got, n);
        check_bytes(c, want, got, bytes, "%s n=%zu", dtype_name(type), n);
        check_done(c);
    }
}

enum { N = 4096 };
typedef struct Case {
    uint32_t type;
    float *floats;
    void *packed;
} Case;

static void run_to(Check *c, void *arg)
{
    Case *t = arg;
    c->fast->to_f32(t->type, t->packed, t->floats, N);
}

static void run_from(Check *c, void *arg)
{
    Case *t = arg;
    c->fast->from_f32(t->type, t->floats, t->packed, N);
}

static void bench(Check *c, void (*run)(Check *, void *))
{
    for (int i = 1; i < TYPES; i++) {
        Case t = {types[i], check_memory(c, N * 4), check_memory(c, N * 4)};
        for (int j = 0; j < N; j++) t.floats[j] = (float)(j % 37) / 8;
        double bytes = 4.0 * N + (double)dtype_row_bytes(t.type, N);
        check_time(c, dtype_name(t.type), bytes, N, LIMIT_MEMORY, run, &t);
    }
}

static void bench_to_f32(Check *c)
{
    bench(c, run_to);
}

static void bench_from_f32(Check *c)
{
    bench(c, run_from);
}

CHECK_ROW(to_f32, CHECK_EXACT, 0, test_to_f32, bench_to_f32);
CHECK_ROW(from_f32, CHECK_EXACT, 0, test_from_f32, bench_from_f32);
