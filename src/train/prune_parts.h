/* What the files of pruning share. */
#ifndef TRAIN_PRUNE_PARTS_H
#define TRAIN_PRUNE_PARTS_H

#include "io/gguf_write.h"
#include "train/prune.h"

typedef enum CutAxis { CUT_NONE, CUT_ROWS, CUT_COLUMNS } CutAxis;
typedef enum CutUnit { CUT_CHANNEL, CUT_KV, CUT_QUERY } CutUnit;

/* How a tensor of a layer is cut. */
typedef struct CutPart {
    const char *name;
    CutAxis axis;
    CutUnit unit;
} CutPart;

typedef struct CutSizes {
    char arch[64];
    int32_t layers, ff, heads, kv_heads, head_dim, embd;
} CutSizes;

/* The part that a tensor's name says from `rest` on; NULL: not known. */
const CutPart *cut_part(Span name, size_t rest);
bt_status cut_sizes(const Gguf *g, CutSizes *out, bt_error *err);
/* A key of the architecture; BT_E_UNSUPPORTED where it differs from layer to layer. */
bt_status cut_key(const Gguf *g, const CutSizes *s, const char *name, bool needed, int32_t *out,
                  bt_error *err);
/* How much of a tensor's axis a unit takes. */
int64_t cut_unit(const Cut *c, CutUnit unit);
/* Puts all keys, with the sizes of what is left. */
void cut_put_keys(GgufWriter *w, const Gguf *g, const Cut *c);
/* The tensor's name in the smaller model; false: its layer goes. *layer: -1 for none. */
bool cut_name(const Cut *c, const GgufTensor *t, char out[256], const CutPart **part,
              int32_t *layer);

#endif
