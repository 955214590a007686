/* Inside convert/: the plan of a conversion, and the rows of its tables. The first failure sticks
 * (plan_fail), later calls return harmless values: rules read top to bottom without a test a line,
 * as in the model loader. */
#ifndef CONVERT_PLAN_H
#define CONVERT_PLAN_H

#include "base/buf.h"
#include "convert/convert.h"
#include "io/gguf_write.h"
#include "io/jdoc.h"
#include "io/safetensors.h"

#define PLAN_MOST_LAYERS  1024
#define PLAN_MOST_EXPERTS 4096
#define PLAN_MOST_WIDTH   (1 << 20)

/* One tensor of the result: `mats` matrices of rows x cols, made of pieces (experts) that lie one
 * after another. Row r of a piece's result is row row0 + r, or row_of[r], of its source; columns
 * likewise; `transposed` swaps rows and columns of the source first. A vector has cols = 1. */
typedef struct ConvOut {
    char name[96];
    uint32_t type;   /* DType; set when all is planned */
    uint32_t n_dims; /* and ne: the shape that is written */
    uint64_t ne[GGUF_MAX_DIMS];
    uint64_t cols, rows, mats; /* of one piece's result */
    uint64_t src_cols, src_rows;
    uint64_t row0;
    const uint32_t *row_of, *col_of; /* NULL: in order */
    bool transposed;
    bool f32;                /* whatever type is asked */
    bool mxfp4;              /* pieces are 4-bit blocks, scales beside them */
    const float *row_factor; /* (rows) what each row is multiplied by; NULL: 1 */
    float (*value)(float x); /* applied to each number; NULL: none */
    const float *made;       /* numbers without a source (rope factors) */
    const StTensor **pieces; /* (n_pieces) */
    const StTensor **scales; /* (n_pieces) of F8 and MXFP4 pieces; NULL: none */
    uint32_t n_pieces;
    const Convert *plan;
} ConvOut;

/* Sizes that rules ask for; 0 where config.json has none. */
typedef struct ConvSize {
    int32_t layers, embd, heads, kv_heads, head_dim, ff, experts, vocab, rotary;
    int32_t ssm_heads, ssm_groups, ssm_inner, ssm_state; /* value heads, key heads or groups ... */
} ConvSize;

enum {
    OWN_HEADS = 1,
    OWN_KV = 2,
    OWN_FF = 4,
    OWN_CONTEXT = 8,
    OWN_WIDTH = 16,
    OWN_ROPE = 32,
    OWN_EPS = 64
};

typedef void (*ConvOp)(Convert *c, ConvOut *o, int arg);

/* A tensor's way. `from`: the maker's name without prefix, '#' for the layer, '*' for the expert,
 * and without ".weight" or ".bias" unless it has neither. `to`: GGUF's name ("blk.#." stands before
 * it where `from` has a layer; the suffix follows); NULL: left out on purpose. One source may have
 * several rows: the table is searched for all that fit. */
typedef struct TensorRule {
    const char *from, *to;
    ConvOp op; /* NULL: as it is */
    int arg;   /* of op; without op, what '*' counts: STACK_... */
} TensorRule;

enum {
    MULTIPLIED_EMBEDDING,
    MULTIPLIED_HEAD,
    MULTIPLIED_Q,
    MULTIPLIED_K,
    MULTIPLIED_O,
    MULTIPLIED_GATE,
    MULTIPLIED_DOWN,
    MULTIPLIED_SSM_OUT,
    MULTIPLIED_SSM_IN
};
enum { DELTA_AFTER_QK = 1, DELTA_WIDE = 2, DELTA_COLUMNS = 4, DELTA_NEG_EXP = 8, DELTA_CONV = 16 };
enum { STACK_EXPERTS, STACK_HEADS, STACK_KV_HEADS, STACK_STREAMS };

typedef enum KeyKind { KEY_END, KEY_U32, KEY_F32, KEY_BOOL, KEY_TEXT } KeyKind;

/* A number of config.json: `from` are names tried in turn, "a|b.c" (c inside b). */
typedef struct KeyRule {
    KeyKind kind;
    const char *to; /* under the architecture's prefix */
    const char *from;
} KeyRule;

typedef struct Family {
    const char *models;        /* model_type of config.json, each between two spaces */
    const char *arch;          /* general.architecture */
    const TensorRule *tensors; /* before the common ones; NULL: none */
    const KeyRule *keys;       /* besides the common ones; NULL: none */
    const char *activations;   /* that its forward computes, between spaces */
    void (*setup)(Convert *c); /* keys and sizes no table can say; before tensors; NULL: none */
    const char *pre;           /* names of tokenizer.ggml.pre its files usually carry */
} Family;

/* A folder in memory: for fuzzing and tests. Files that are not there have data NULL. */
typedef struct ConvertFiles {
    Span config, tokenizer, tok_config, spm, weights;
} ConvertFiles;

/* As convert_open; the files must live until the plan closes. */
bt_status convert_open_memory(const ConvertFiles *files, const ConvertOptions *options,
                              Convert **out, bt_error *err);

struct Convert {
    const ConvertFiles *files;     /* NULL: a folder on disk */
    const ConvertScratch *scratch; /* NULL: there are weights */
    char *folder;
    ConvertOptions options;
    const Family *family;
    const char *arch;          /* the family\'s, or the one its config chose */
    const TensorRule *tensors; /* the family's, or those its setup chose */
    Jdoc *config, *tokenizer, *tok_config, *generation; /* NULL: the folder has none */
    JdocRef text;                                       /* of config: text_config, or the whole */
    Safetensors *st;
    bool *used; /* (tensors of st) a rule has taken it */
    GgufWriter *writer;
    ConvOut **outs;
    size_t n_outs, outs_capacity;
    ConvSize size;
    int32_t skipped; /* rows of the table of positions that no token gets */
    int32_t labels;  /* of a reranker's head; 0: it has none */
    bool windowed;   /* the window of config.json is kept */
    unsigned own;    /* OWN_ bits: keys that the family wrote itself */
    bool put;        /* the tensors were given to the writer */
    void **items;    /* memory that lives as long as the plan */
    size_t n_items, items_capacity;
    Buf notes;
    uint64_t bytes_done, bytes_all; /* of progress */
    bt_status status;
    bt_error *err;
};

/* ---- plan.c ---- */
void plan_fail(Convert *c, bt_status status, const char *format, ...) BT_PRINTF(3, 4);
static inline bool plan_failed(const Convert *c)
{
    return c->status != BT_OK;
}
void plan_note(Convert *c, const char *format, ...) BT_PRINTF(2, 3);
void *plan_memory(Convert *c, size_t count, size_t size); /* zeroed; NULL after a failure */
/* Opens FOLDER/name as JSON; *out stays NULL when there is no such file. */
void plan_json(Convert *c, const char *name, Jdoc **out);
/* Reads FOLDER/name into memory of the plan; {NULL, 0} when there is no such file. */
Span plan_file(Convert *c, const char *name);
const char *plan_path(Convert *c, const char *name); /* FOLDER/name; NULL after a failure */
/* Adds a tensor without a source. */
void plan_made(Convert *c, const char *name, const float *values, uint64_t n);

void plan_made_matrix(Convert *c, const char *name, const float *values, uint64_t cols,
                      uint64_t rows);

/* ---- config.c: numbers of config.json, in the text model's part first ---- */
JdocRef conf_find(const Convert *c, const char *from);
bool conf_has(const Convert *c, const char *from); /* there and not null */
int32_t conf_int(Convert *c, const char *from, int32_t fallback);
#define CONF_REQUIRED INT32_MIN /* as fallback */
double conf_real(Convert *c, const char *from, double fallback);
bool conf_bool(Convert *c, const char *from, bool fallback);
Span conf_text(const Convert *c, const char *from);
void put_int(Convert *c, const char *key, int64_t value);
void put_real(Convert *c, const char *key, double value);
void put_bool(Convert *c, const char *key, bool value);
void put_text(Convert *c, const char *key, Span value);
void put_ints(Convert *c, const char *key, const int32_t *values, uint64_t n);
void put_reals(Convert *c, const char *key, const float *values, uint64_t n);
void put_bools(Convert *c, const char *key, const bool *values, uint64_t n);

/* ---- keys.c, rope.c ---- */
/* Sizes, then general.* and the architecture's keys. */
void plan_keys(Convert *c);
void plan_rope(Convert *c);

/* ---- tensors.c ---- */
void plan_tensors(Convert *c);
extern const TensorRule rules_common[];
/* For a tensor that is described and not there (adapters): c->outs holds then what its name and
 * shape become, and nothing else; *expert its number, -1: none. False: no rule knows the name. */
bool plan_lead(Convert *c, const StTensor *t, int32_t *expert);
/* Rows as in tables of rules; ends with from NULL. */
const Family *family_find(Span model);
const Family *family_of_arch(Span arch, size_t i); /* the i-th that writes it; NULL: no more */

/* ---- ops.c: what a rule does to a tensor ---- */
void op_heads(Convert *c, ConvOut *o, int arg); /* arg 0: query, 1: key; halves to adjacent */
void op_add_one(Convert *c, ConvOut *o, int arg);
void op_neg_exp(Convert *c, ConvOut *o, int arg);
void op_transpose(Convert *c, ConvOut *o, int arg);
void op_rows(Convert *c, ConvOut *o, int arg);    /* part arg & 15 of arg >> 4 equal ones */
void op_squeeze(Convert *c, ConvOut *o, int arg); /* (n, 1, k) becomes (n, k) */
void op_f32(Convert *c, ConvOut *o, int arg);
void op_transpose_rows(Convert *c, ConvOut *o, int arg); /* op_transpose, then op_rows */
void op_experts_below(Convert *c, ConvOut *o, int arg);  /* (n x rows, cols) to n; arg 1: turned */
void op_positions(Convert *c, ConvOut *o, int arg);      /* without the rows that RoBERTa skips */
void op_either_rows(Convert *c, ConvOut *o, int arg);    /* turned if that makes its rows as wide as
                                                          * the stream, then op_rows */
void op_either_columns(Convert *c, ConvOut *o, int arg); /* turned if that makes them as many */
void op_alternate(Convert *c, ConvOut *o, int arg);      /* every second row, from row arg */
void op_experts_turned(Convert *c, ConvOut *o, int arg);
void op_group_qkv(Convert *c, ConvOut *o, int arg);
void op_ungroup_qkv(Convert *c, ConvOut *o, int arg);
void op_kv_b(Convert *c, ConvOut *o, int arg);
void op_vector(Convert *c, ConvOut *o, int arg);
void op_column(Convert *c, ConvOut *o, int arg);     /* arg 1: -exp(x) */
void op_multiplied(Convert *c, ConvOut *o, int arg); /* by numbers of config.json: MULTIPLIED_... */
void op_delta_qkvz(Convert *c, ConvOut *o, int arg); /* arg 0: q, k, v; 1: z */
void op_delta_heads(Convert *c, ConvOut *o, int arg); /* value heads in GGUF's order: DELTA_... */
void op_groups(Convert *c, ConvOut *o, int arg);
#define PART(i, n) ((n) << 4 | (i))
/* "tensor 'NAME' is A x B; C x D is expected" */
void plan_misshapen(Convert *c, const StTensor *t, const char *expected);

/* ---- values.c ---- */
/* Rows [row, row + n) of the result, counted over all matrices, as they are written. `work` holds
 * out_work_floats(o, n) floats. */
bt_status out_rows(const ConvOut *o, uint64_t row, uint64_t n, void *dst, float *work,
                   bt_error *err);
/* The source's bytes serve as they are: where they start, or NULL. */
const void *out_plain(const ConvOut *o);
uint64_t out_bytes(const ConvOut *o);
uint64_t out_row_bytes(const ConvOut *o);

/* ---- scratch.c: a model without weights ---- */
/* Opens c->st over a header that lists its tensors. After plan_keys. */
void plan_scratch(Convert *c);
/* The vocabulary's keys as the tokenizer's file has them. */
void plan_vocab_copy(Convert *c);

/* ---- ranker.c: before the tensors are planned, and after ---- */
void plan_ranker(Convert *c);
void plan_ranker_head(Convert *c);

/* ---- vocab.c, pooling.c ---- */
void plan_vocab(Convert *c);
void plan_pooling(Convert *c);

#endif
