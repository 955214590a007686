/* Inside convert/: what reading and writing PEFT folders share. */
#ifndef CONVERT_PEFT_PARTS_H
#define CONVERT_PEFT_PARTS_H

#include "convert/peft.h"
#include "convert/plan.h"
#include "text/regex.h"

/* A plan without files: sizes and rules of the base, to lead tensors by name. `folder` stands in
 * messages. */
bt_status peft_plan_open(const char *folder, const Gguf *base, Convert **out, bt_error *err);

/* How a matrix of the maker's, `rows` outputs of `cols` inputs, becomes one of GGUF's. */
typedef struct PeftWay {
    const ConvOut *out;
    int64_t k, n, n_mats; /* of the result */
    int32_t expert;       /* which of n_mats this is; -1: all of them */
} PeftWay;

#define PEFT_MOST_WAYS 4
/* Ways of "PATH" (without ".weight"; of experts' parameters whole) with mats stacked matrices; how
 * many, 0 after a failure. They hold until the next call. */
int peft_ways(Convert *c, const char *path, int64_t mats, int64_t rows, int64_t cols,
              PeftWay ways[PEFT_MOST_WAYS]);
/* Row and column of the maker's matrix that row or column i of the result is. */
static inline int64_t peft_row(const ConvOut *o, int64_t i)
{
    return o->row_of ? (int64_t)o->row_of[i] : (int64_t)o->row0 + i;
}
static inline int64_t peft_column(const ConvOut *o, int64_t i)
{
    return o->col_of ? (int64_t)o->col_of[i] : i;
}

/* ---- peft_config.c: adapter_config.json ---- */

typedef struct PeftConfig {
    Jdoc *doc;
    double alpha;
    bool rslora, dora;
    Regex *regex;
    RegexTerm *patterns; /* of alpha_pattern */
    double *alphas;
    uint32_t n_patterns;
    Span base;
} PeftConfig;

bt_status peft_config_read(Jdoc *doc, const char *folder, PeftConfig *out, bt_error *err);
void peft_config_close(PeftConfig *c);
/* What B A of a module is multiplied by. */
float peft_scale(const PeftConfig *c, const char *path, int32_t rank);

#endif
