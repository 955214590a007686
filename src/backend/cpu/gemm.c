/* Products for training (see gemm.h). The right operand is packed once, by all members, as much of
 * it as the shared memory holds; then members take runs of rows of the left one, pack them into
 * memory of their own that stays in the second cache, and multiply. k is cut at fixed places, rows
 * and columns do not matter to the bits (kernels/gemm.h): so neither does the number of threads.
 *
 * A frozen weight is dequantised as it is packed, a panel at a time: there is no copy of it; but
 * where a model only reads, its matrices may be packed once for all (cpu_gemm_ahead). */
#include "backend/cpu/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "backend/cpu/back.h"
#include "base/mem.h"
#include "tensor/dtype.h"

enum {
    SHARED_BYTES = 4 << 20, /* of the right operand */
    OWN_BYTES = 640 << 10,  /* of a member: rows of the left one; 32 rows of a weight */
    MOST_K = 1024,          /* k a pass */
    MOST_ROWS = 224,        /* rows a member takes at a time */
    FEW_ROWS = 32,
    FEW_K = 64 /* without work memory */
};

/* A frozen matrix packed ahead, in passes of MOST_K along k, each of all columns. */
typedef struct GemmAhead {
    const Weight *w;
    const unsigned char *data;
    GemmPrecision precision;
} GemmAhead;

typedef struct GemmJob {
    Cpu *c;
    GemmPrecision p;
    size_t m, n, k; /* of this pass */
    GemmMatrix a, x;
    const Weight *w; /* in place of x: rows [row, row + k), columns [column, column + n) */
    int64_t mat;
    const unsigned char *right; /* packed; NULL: packed here, from x or w */
    size_t row, column;
    float *out;
    size_t stride, rows; /* rows: a piece */
    bool add;
} GemmJob;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool cpu_training_memory(Cpu *c)
{
    if (!c->gemm) c->gemm = mem_aligned(SHARED_BYTES + (size_t)c->n_threads * CPU_OWN_BYTES, 4096);
    return c->gemm != NULL;
}

unsigned char *cpu_own_memory(const Cpu *c, int member)
{
    return c->gemm + SHARED_BYTES + (size_t)member * CPU_OWN_BYTES;
}

/* ---- the right operand ---- */

/* Pieces are groups of columns where k lies along the lines, else steps of k. */
static void pack_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const GemmJob *job = arg;
    const Kernels *k = job->c->k;
    (void)member;
    if (job->x.turned) {
        size_t from = (size_t)begin * GEMM_COLUMNS, to = least((size_t)end * GEMM_COLUMNS, job->n);
        k->gemm_pack_x(job->p, gemm_from(job->x, 0, from), to - from, 0, job->k, job->k,
                       job->c->gemm + (size_t)begin * k->gemm_group(job->p, job->k));
    } else {
        size_t from = (size_t)begin * GEMM_STEP, to = least((size_t)end * GEMM_STEP, job->k);
        k->gemm_pack_x(job->p, gemm_from(job->x, from, 0), job->n, from, to - from, job->k,
                       job->c->gemm);
    }
}

/* Row `row` of the weight as floats: where it lies, or dequantised into `to`. */
static const float *weight_row(const Weight *w, int64_t mat, int64_t row, float *to)
{
    if (w->type == DT_F32 && !w->panels)
        return (const float *)(const void *)weight_rows(w, mat, row);
    if (w->panels)
        panel_row(w->type,
                  (const unsigned char *)w->panels +
                      (size_t)(mat * weight_panels(w) + row / PANEL_ROWS) * w->layout.bytes,
                  (size_t)w->k, (size_t)row % PANEL_ROWS, to);
    else
        dequant_row(w->type, weight_rows(w, mat, row), to, (size_t)w->k);
    return to;
}

/* A piece is GEMM_STEP rows of the weight, which are as many k. */
static void weight_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const GemmJob *job = arg;
    const Weight *w = job->w;
    float *rows = (float *)(void *)cpu_own_memory(job->c, member), *raw = job->c->work[member].raw;
    for (int64_t p = begin; p < end; p++) {
        size_t from = (size_t)p * GEMM_STEP, n = least(job->k - from, GEMM_STEP);
        for (size_t r = 0; r < n; r++) {
            const float *row = weight_row(w, job->mat, (int64_t)(job->row + from + r), raw);
            if (w->scale)
                job->c->k->scale(w->scale[job->mat], row + job->column, job->n, rows + r * job->n);
            else
                memcpy(rows + r * job->n, row + job->column, job->n * sizeof *rows);
        }
        job->c->k->gemm_pack_x(job->p, (GemmMatrix){rows, job->n, false}, job->n, from, n, job->k,
                               job->c->gemm);
    }
}

static void pack_right(GemmJob *job)
{
    int64_t steps = (int64_t)((job->k + GEMM_STEP - 1) / GEMM_STEP);
    int64_t groups = (int64_t)((job->n + GEMM_COLUMNS - 1) / GEMM_COLUMNS);
    int64_t work = (int64_t)(job->n * job->k);
    if (job->w)
        cpu_share(job->c, steps, 1, work, weight_pieces, job);
    else
        cpu_share(job->c, job->x.turned ? groups : steps, 4, work / 2, pack_pieces, job);
}

/* ---- the left one ---- */

static void row_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const GemmJob *job = arg;
    const Kernels *k = job->c->k;
    unsigned char *own = cpu_own_memory(job->c, member);
    for (int64_t p = begin; p < end; p++) {
        size_t from = (size_t)p * job->rows, m = least(job->m - from, job->rows);
        k->gemm_pack_a(job->p, gemm_from(job->a, from, 0), m, job->k, own);
        k->gemm(job->p, m, job->n, job->k, job->k, own, job->right, job->out + from * job->stride,
                job->stride, job->add);
    }
}

/* Rows of a piece: four pieces a member, two where rows are few, since each piece reads all of the
 * right operand; as many as fit the member's memory; whole tiles of the kernels, nearly: 28 is 2
 * strips of AVX-512, 32 is one of AMX. */
static size_t piece_rows(const GemmJob *job)
{
    size_t unit = job->p == GEMM_BF16 ? 32 : 28, pieces = job->m < 512 ? 2 : 4;
    size_t rows = job->m / (pieces * (size_t)job->c->n_threads);
    size_t row = (gemm_up(job->k, GEMM_STEP) + GEMM_SPARE) * sizeof(float);
    size_t room = OWN_BYTES / row - GEMM_COLUMNS;
    rows = (least(rows, least(room, MOST_ROWS)) + unit / 2) / unit * unit;
    return rows < unit ? unit : rows > room ? rows - unit : rows;
}

static void multiply(GemmJob *job)
{
    if (!job->right) {
        pack_right(job);
        job->right = job->c->gemm;
    }
    job->rows = piece_rows(job);
    cpu_share(job->c, (int64_t)((job->m + job->rows - 1) / job->rows), 1,
              (int64_t)(job->m * job->n * job->k / 8), row_pieces, job);
}

/* ---- without work memory: the same bits, a little at a time ---- */

static void pinched_part(const GemmJob *job, size_t i, size_t j, size_t from)
{
    enum { SIDE = FEW_ROWS };
    _Alignas(64) unsigned char a[2 * SIDE * (FEW_K + GEMM_SPARE) * sizeof(float)];
    _Alignas(64) unsigned char x[GEMM_COLUMNS * FEW_K * sizeof(float)];
    float rows[GEMM_STEP][SIDE];
    const Kernels *t = job->c->k;
    size_t m = least(job->m - i, SIDE), n = least(job->n - j, SIDE);
    size_t k = least(job->k - from, job->w ? GEMM_STEP : FEW_K);
    GemmMatrix right = job->w ? (GemmMatrix){rows[0], SIDE, false} : gemm_from(job->x, from, j);
    for (size_t r = 0; job->w && r < k; r++) {
        const float *row =
            weight_row(job->w, job->mat, (int64_t)(job->row + from + r), job->c->work[0].raw);
        float factor = job->w->scale ? job->w->scale[job->mat] : 1;
        for (size_t l = 0; l < n; l++) rows[r][l] = factor * row[job->column + j + l];
    }
    t->gemm_pack_a(job->p, gemm_from(job->a, i, from), m, k, a);
    t->gemm_pack_x(job->p, right, n, 0, k, k, x);
    t->gemm(job->p, m, n, k, k, a, x, job->out + i * job->stride + j, job->stride,
            job->add || from);
}

static void pinched(const GemmJob *job)
{
    size_t step = job->w ? GEMM_STEP : FEW_K;
    for (size_t i = 0; i < job->m; i += FEW_ROWS)
        for (size_t j = 0; j < job->n; j += GEMM_COLUMNS)
            for (size_t from = 0; from < job->k; from += step) pinched_part(job, i, j, from);
}

/* ---- whole products ---- */

/* Columns of a pass over `k` that the shared memory holds. */
static size_t columns_a_pass(const Cpu *c, GemmPrecision p, size_t k)
{
    return SHARED_BYTES / c->k->gemm_group(p, k) * GEMM_COLUMNS;
}

static void clear(const GemmJob *job)
{
    for (size_t i = 0; i < job->m && !job->add; i++)
        memset(job->out + i * job->stride, 0, job->n * sizeof(float));
}

/* Products that need no blocks, or have no memory for them. */
static bool without_blocks(const GemmJob *all)
{
    if (all->m == 0 || all->n == 0) return true;
    if (all->k == 0)
        clear(all);
    else if (cpu_training_memory(all->c))
        return false;
    else
        pinched(all);
    return true;
}

void cpu_gemm(Backend *b, size_t m, size_t n, size_t k, GemmMatrix a, GemmMatrix x, float *c,
              size_t c_stride, bool add, GemmPrecision precision)
{
    Cpu *cpu = (Cpu *)b;
    GemmJob all = {.c = cpu,
                   .p = precision,
                   .m = m,
                   .n = n,
                   .k = k,
                   .a = a,
                   .x = x,
                   .out = c,
                   .stride = c_stride,
                   .add = add};
    if (without_blocks(&all)) return;
    size_t deep = least(k, MOST_K), wide = columns_a_pass(cpu, precision, deep);
    for (size_t j = 0; j < n; j += wide)
        for (size_t from = 0; from < k; from += deep) {
            GemmJob job = all;
            job.n = least(n - j, wide), job.k = least(k - from, deep);
            job.a = gemm_from(a, 0, from);
            job.x = gemm_from(x, from, j);
            job.out = c + j;
            job.add = add || from > 0;
            multiply(&job);
        }
}

void cpu_gemm_weight(Backend *b, size_t m, const float *dy, size_t stride, const Weight *w,
                     int64_t mat, float *c, size_t c_stride, bool add, GemmPrecision precision)
{
    Cpu *cpu = (Cpu *)b;
    size_t n = (size_t)w->k, k = (size_t)w->n;
    GemmJob all = {.c = cpu,
                   .p = precision,
                   .m = m,
                   .n = n,
                   .k = k,
                   .a = {dy, stride, false},
                   .out = c,
                   .stride = c_stride,
                   .add = add,
                   .w = w,
                   .mat = mat};
    if (without_blocks(&all)) return;
    /* Rows of a weight are dequantised whole: rather all columns and less k a pass. */
    size_t most = OWN_BYTES / (GEMM_STEP * sizeof(float)) / GEMM_COLUMNS * GEMM_COLUMNS;
    size_t deep = least(k, MOST_K), wide = least(gemm_up(n, GEMM_COLUMNS), most);
    while (deep > 4 * GEMM_STEP && columns_a_pass(cpu, precision, deep) < wide)
        deep = gemm_up(deep / 2, GEMM_STEP);
    wide = least(wide, columns_a_pass(cpu, precision, deep));
    for (size_t j = 0; j < n; j += wide)
        for (size_t from = 0; from < k; from += deep) {
            GemmJob job = all;
            job.n = least(n - j, wide), job.k = least(k - from, deep);
            job.a.data = dy + from;
            job.row = from, job.column = j;
            job.out = c + j;
            job.add = add || from > 0;
            multiply(&job);
        }
}

/* ---- packed ahead ---- */

static bool ahead_takes(const Weight *w)
{
    bool floats = w->type == DT_F32 || w->type == DT_F16 || w->type == DT_BF16;
    return floats && !w->paneled && !w->scale && w->n_mats == 1 && w->k > 0 && w->n > 0;
}

static size_t ahead_bytes(const Kernels *t, const Weight *w, GemmPrecision p)
{
    size_t bytes = 0, groups = ((size_t)w->n + GEMM_COLUMNS - 1) / GEMM_COLUMNS, k = (size_t)w->k;
    for (size_t from = 0; from < k; from += MOST_K)
        bytes += groups * t->gemm_group(p, least(k - from, MOST_K));
    return bytes;
}

uint64_t cpu_gemm_ahead_bytes(const Backend *b, Weight *const *w, size_t n, GemmPrecision precision)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (ahead_takes(w[i])) bytes += ahead_bytes(((const Cpu *)b)->k, w[i], precision);
    return bytes;
}

typedef struct AheadJob {
    Cpu *c;
    const Weight *w;
    GemmPrecision p;
    size_t from, k; /* of this pass */
    unsigned char *to;
} AheadJob;

/* A piece is a group of columns, which are rows of the weight. */
static void ahead_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AheadJob *job = arg;
    const Kernels *t = job->c->k;
    float *rows = (float *)(void *)cpu_own_memory(job->c, member);
    size_t skip = dtype_row_bytes(job->w->type, job->from), n = (size_t)job->w->n;
    for (int64_t p = begin; p < end; p++) {
        size_t first = (size_t)p * GEMM_COLUMNS, some = least(n - first, GEMM_COLUMNS);
        for (size_t r = 0; r < some; r++)
            dequant_row(job->w->type, weight_rows(job->w, 0, (int64_t)(first + r)) + skip,
                        rows + r * job->k, job->k);
        t->gemm_pack_x(job->p, (GemmMatrix){rows, job->k, true}, some, 0, job->k, job->k,
                       job->to + (size_t)p * t->gemm_group(job->p, job->k));
    }
}

static void pack_ahead(Cpu *c, const Weight *w, GemmPrecision p, unsigned char *to)
{
    int64_t groups = (w->n + GEMM_COLUMNS - 1) / GEMM_COLUMNS;
    for (size_t from = 0, k = (size_t)w->k; from < k; from += MOST_K) {
        AheadJob job = {c, w, p, from, least(k - from, MOST_K), to};
        cpu_share(c, groups, 1, w->n * (int64_t)job.k, ahead_pieces, &job);
        to += (size_t)groups * c->k->gemm_group(p, job.k);
    }
}

static int by_weight(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const GemmAhead *)a)->w, y = (uintptr_t)((const GemmAhead *)b)->w;
    return (x > y) - (x < y);
}

bt_status cpu_gemm_ahead(Backend *b, Weight *const *w, size_t n, GemmPrecision precision,
                         bt_error *err)
{
    Cpu *c = (Cpu *)b;
    uint64_t bytes = cpu_gemm_ahead_bytes(b, w, n, precision);
    if (!bytes || c->ahead) return BT_OK;
    GemmAhead *list = mem_zalloc(n, sizeof *list);
    unsigned char *memory = mem_aligned((size_t)bytes, 4096), *at = memory;
    if (!list || !memory || !cpu_training_memory(c)) {
        mem_free(list);
        mem_free(memory);
        return bt_fail_memory(err, "weights as products read them", bytes);
    }
    size_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        if (!ahead_takes(w[i])) continue;
        pack_ahead(c, w[i], precision, at);
        list[taken++] = (GemmAhead){w[i], at, precision};
        at += ahead_bytes(c->k, w[i], precision);
    }
    qsort(list, taken, sizeof *list, by_weight);
    c->ahead = list;
    c->n_ahead = taken;
    c->ahead_memory = memory;
    return BT_OK;
}

static const GemmAhead *find_ahead(const Cpu *c, const Weight *w)
{
    const GemmAhead wanted = {.w = w};
    return c->n_ahead ? bsearch(&wanted, c->ahead, c->n_ahead, sizeof wanted, by_weight) : NULL;
}

bool cpu_gemm_packed(Backend *b, const Weight *w)
{
    return find_ahead((const Cpu *)b, w) != NULL;
}

void cpu_gemm_from_ahead(Cpu *cpu, size_t m, GemmMatrix a, const Weight *w, float *c,
                         size_t c_stride)
{
    const GemmAhead *of = find_ahead(cpu, w);
    const unsigned char *right = of->data;
    size_t n = (size_t)w->n, k = (size_t)w->k, groups = (n + GEMM_COLUMNS - 1) / GEMM_COLUMNS;
    for (size_t from = 0; from < k && m; from += MOST_K) {
        size_t deep = least(k - from, MOST_K), group = cpu->k->gemm_group(of->precision, deep);
        size_t wide = columns_a_pass(cpu, of->precision, deep);
        for (size_t j = 0; j < n; j += wide) {
            GemmJob job = {.c = cpu,
                           .p = of->precision,
                           .m = m,
                           .n = least(n - j, wide),
                           .k = deep,
                           .a = gemm_from(a, 0, from),
                           .out = c + j,
                           .stride = c_stride,
                           .add = from > 0,
                           .right = right + j / GEMM_COLUMNS * group};
            multiply(&job);
        }
        right += groups * group;
    }
}
