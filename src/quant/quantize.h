/* What bt_quantize is made of, for those who quantise parts of a model to measure them. */
#ifndef QUANT_QUANTIZE_H
#define QUANT_QUANTIZE_H

#include "base/team.h"
#include "io/gguf_write.h"
#include "quant/choose.h"
#include "quant/source.h"

#define GGUF_MAX_NAME_BYTES 256

/* Rows [first, first + n) of t, at `from` in its type, to `to` in the chosen one. `floats` holds a
 * row for each member of the team. BT_E_FORMAT: a weight is no number. */
bt_status quantize_rows(Team *team, const GgufTensor *t, const Choice *choice, uint64_t first,
                        uint64_t n, const void *from, float *floats, void *to, bt_error *err);
/* A file that is there and no GGUF was not made by us: a mistyped name must not cost it; nor may
 * the source itself be written over. */
bt_status quantize_check_target(const Source *source, const char *from, const char *to,
                                bt_error *err);
/* All keys of a model whose weights were changed; `mix` as choose_again gives it. */
void quantize_put_keys(GgufWriter *w, const Gguf *g, int mix);
/* How many rows go together. */
uint64_t quantize_run_rows(const GgufTensor *t);

#endif
