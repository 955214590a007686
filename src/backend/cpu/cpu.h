/* The CPU backend: kernels of this machine on a persistent team of threads. Each member has its own
 * work memory, reserved at open for the largest step. */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "base/status.h"
#include "base/team.h"

#define CPU_TILE_ROWS  256 /* query rows (tokens x grouped heads) of one attention tile */
#define CPU_TILE_FEW   64  /* the same where there are fewer pieces than threads can share: */
#define CPU_FEW_PIECES 4   /* a thread; then runs are shared too */
#define CPU_PARTS      8   /* a thread: answers for runs that wait to be added up */
#define CPU_PANELS     4   /* of a hidden layer that are quantised before they are spread */
#define CPU_RUN        8   /* of a hidden layer of up to PANEL_FEW rows that are read in one run */
#define CPU_HIDDEN     52  /* bytes of a row of such a panel: scale, sums, 32 codes */
#define CPU_RAW_ROWS   8   /* rows of a type without panels that are dequantised at a time */

/* The largest sizes of a model that the work memory must serve. */
typedef struct CpuSizes {
    int64_t most_k;     /* inputs of any weight */
    int32_t most_head;  /* e_k or e_v */
    int32_t most_group; /* query heads of a kv head */
    int32_t n_batch;    /* rows of a step */
} CpuSizes;

/* Bytes of work memory that the backend will hold. */
size_t cpu_work_bytes(const CpuSizes *sizes, int n_threads);
/* `features`: CPU_* bits that may be used. The team is the caller's and outlives the backend. */
bt_status cpu_open(const CpuSizes *sizes, Team *team, uint32_t features, Backend **out,
                   bt_error *err);

/* ---- inside the folder ---- */

/* The run of keys that a member was told to fetch ahead. */
typedef struct AttendNext {
    bool known;
    int32_t head, start; /* position of its first key */
    int32_t row;         /* the tile's first */
} AttendNext;

typedef struct CpuWork {                   /* of one member */
    float *scale, *min;                    /* (K / 16, 32) decoded scales of a panel */
    float *tile;                           /* (2, rows, 32) outputs; (2, PANEL_FEW, 32 CPU_RUN) */
    unsigned char *hidden;                 /* (CPU_PANELS, rows, CPU_HIDDEN) */
    float *raw;                            /* (CPU_RAW_ROWS, K) dequantised rows */
    float *q, *acc;                        /* (tile rows, head) */
    float *max, *sum;                      /* (tile rows) */
    float *part_max, *part_sum, *part_acc; /* the same of one run */
    int32_t *first, *limit;
    float *attend; /* what kernel `attend` asks for */
    AttendNext next;
} CpuWork;

typedef struct AttendTile { /* rows [row, row + count) of one sequence, consecutive positions */
    int32_t row, count;
    int32_t last;       /* the newest position of the sequence; encoders' rows follow each other */
    int32_t begin, end; /* keys that some row sees */
} AttendTile;

typedef struct Cpu {
    Backend base;
    Team *team;
    const Kernels *k;
    int n_threads;
    CpuWork *work;     /* (n_threads) */
    TeamPart *parts;   /* (n_threads) of the job at work */
    AttendTile *tiles; /* (n_batch) */
    bool quantises;    /* some matrix has read a twin: norms fill theirs at once */
    float *sums;       /* slots: CPU_FEW_PIECES, then CPU_PARTS a thread */
    size_t slot, slot_rows;
    void *memory;
    unsigned char *gemm;     /* work memory of products (gemm.c), once there has been one */
    struct GemmAhead *ahead; /* (n_ahead) matrices that are packed, by address (gemm_ahead.c) */
    size_t n_ahead;
    unsigned char *ahead_memory;
} Cpu;

/* Runs fn(arg, member, begin, end) over [0, total) in chunks on the team, or right here when the
 * work (about the number of elements touched) is too small to be worth waking anybody. */
typedef void (*CpuPieceFn)(void *arg, int member, int64_t begin, int64_t end);
void cpu_share(Cpu *c, int64_t total, int64_t chunk, int64_t work, CpuPieceFn fn, void *arg);

/* fn over rows of `row` elements. */
void cpu_share_rows(Cpu *c, int64_t rows, size_t row, CpuPieceFn fn, void *arg);

/* Quantises the rows of x into its twin, unless that was done or x has none. */
void cpu_quantise(Cpu *c, Tensor x);
void cpu_quantise_row(const Cpu *c, Tensor x, int64_t row); /* which has a twin */

/* One head of a row in place: the norm (NULL: none), then the rotation while it is in cache. */
void cpu_rope_head(const Cpu *c, Tensor x, int64_t row, int32_t h, const Norm *norm,
                   const RopeTable *table);

/* After x was written in place. */
static inline void cpu_changed(Tensor x)
{
    if (x.twin) x.twin->ready = false;
}

/* Where a product reads: head `head` of x, from this row on. A head of which panels read begins at
 * a multiple of ACT_GROUP. */
typedef struct CpuInput {
    const float *data;
    size_t stride; /* floats from row to row */
    PanelAct act;
} CpuInput;
CpuInput cpu_input(Tensor x, int64_t row, int32_t head);
/* Columns that panels [panel, panel + n) of a matrix have. */
static inline size_t cpu_columns(const Weight *w, int64_t panel, int64_t n)
{
    int64_t first = panel * PANEL_ROWS, last = first + n * PANEL_ROWS;
    return (size_t)((last < w->n ? last : w->n) - first);
}

/* Those outputs of matrix `mat` for m rows, with its factor and bias, to out (m, 32 n) with
 * out_stride. May write 32 n columns also where the matrix has fewer. */
void cpu_panels(const Cpu *c, CpuWork *work, const Weight *w, int64_t mat, int64_t panel, int64_t n,
                CpuInput in, size_t m, float *out, size_t out_stride);
/* The same into a tensor: `out` is row 0, column 32 panel of w's columns; none beyond is touched.
 */
void cpu_product(const Cpu *c, CpuWork *work, const Weight *w, int64_t mat, int64_t panel,
                 int64_t n, CpuInput in, size_t m, float *out, size_t out_stride);

/* Work memory of training: taken once, kept; false where there is none. Of a member, from then on:
 * CPU_OWN_BYTES, 64-byte aligned. */
#define CPU_OWN_BYTES ((size_t)1280 << 10)
bool cpu_training_memory(Cpu *c);
unsigned char *cpu_own_memory(const Cpu *c, int member);

/* activation(gate) * up into gate; gate NULL: activation(up) into up. */
void cpu_activate(const Kernels *k, Activation activation, float *gate, float *up, size_t n);
/* activation(x gate') * (x up'); gate NULL: activation(x up'). */
typedef struct CpuGated {
    const Weight *gate, *up;
    Activation activation;
    Tensor out;
} CpuGated;
/* Panels [panel, panel + n) of matrices `mat` for m rows, which are rows `row` on of out. */
void cpu_gated_panels(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                      int64_t n, CpuInput in, size_t m, int64_t row);
/* Whether it fills out's twin, and not its floats; the caller sets `ready` at the end. */
bool cpu_gated_quantises(Tensor out);
/* Chooses experts and sorts the pairs: fills all of work but its tensors. Returns how many experts
 * have pairs; work->active lists them. */
int64_t cpu_moe_route(Cpu *c, Tensor logits, const MoeOptions *options, const MoeWork *work);
/* out (P, n of w) = in (P, K) times each pair's matrix of w transposed. active > 0. */
void cpu_moe_product(Cpu *c, const MoeWork *work, int64_t active, Tensor in, const Weight *w,
                     Tensor out);
/* Pieces small enough that members finish together, large enough to stream. */
int64_t cpu_panel_chunk(const Cpu *c, int64_t panels, int64_t rows);

void cpu_linear(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count);
void cpu_linear_heads(Backend *b, Tensor x, const Weight *w, Tensor out);
void cpu_gated(Backend *b, Tensor x, const Weight *gate, const Weight *up, Activation activation,
               Tensor out);
void cpu_attend(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                const AttendOptions *options, Tensor out);
void cpu_remember(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v,
                  const Norm *norm, const RopeTable *table);
void cpu_moe(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
             const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out);
void cpu_adapt(Backend *b, const AdaptRun *run);
/* From the gathered rows to work->result where adapters touch the experts; `active` of them have
 * rows. */
void cpu_moe_adapted(Cpu *c, const Weight *gate, const Weight *up, const Weight *down,
                     const MoeOptions *options, const MoeWork *work, int64_t active);
void cpu_conv(Backend *b, const RecurrentLayer *layer, const StepRow *rows, const RowChains *chains,
              Tensor x, const ConvOptions *options, Tensor out);
void cpu_recur(Backend *b, const RecurrentLayer *layer, const StepRow *rows,
               const RowChains *chains, const Recurrence *r, Tensor out);
void cpu_embed(Backend *b, const Weight *table, const int32_t *ids, Tensor out);
void cpu_norm(Backend *b, Tensor x, const Norm *norm, Tensor out);
void cpu_norm_rope(Backend *b, Tensor x, const Norm *norm, const RopeTable *table);
void cpu_add(Backend *b, Tensor x, Tensor y, Tensor out);
void cpu_element(Backend *b, Tensor x, Tensor y, const ElementOptions *options, Tensor out);
void cpu_wanted(Backend *b, Tensor x, const StepRow *rows, Tensor out);

#endif
