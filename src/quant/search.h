/* The best types under a size. What a tensor's type does to the answers is taken as the product of
 * two things that are both measured:
 *   - the tensor's own error, importance-weighted and relative, of rows that are really written in
 *     each type and read back;
 *   - how much the answers suffer from such errors there: tensors of one part (attention values,
 * the last matrix of the feed-forward ...) are all written in a coarse type, the model reads the
 *     text, and its answers are held against the original's; so are all matrices of one part of
 *     the layers (the first quarter ...).
 * That the divergence is a sum of such products, while they are small, is the linearity theorem of
 * arXiv 2411.17525. What remains is a knapsack: all start in the smallest type, and the step with
 * most gain a byte (over each tensor's convex hull) is taken until nothing more fits. */
#ifndef QUANT_SEARCH_H
#define QUANT_SEARCH_H

#include "quant/probe.h"

typedef struct SearchOptions {
    uint64_t limit;              /* bytes that all tensors may take, padding included */
    uint64_t alignment;          /* of tensors */
    const ChooseOptions *choose; /* patterns and keep_output hold here too */
    const Answers *answers;
    const ProbeTurn *turn;
    Team *team;
} SearchOptions;

/* How many probes search_types will run, each of answers->windows windows. */
size_t search_probes(const bt_model *base);

/* Fills choices (one a tensor of the base) and *harm, the divergence to be expected; *parts (at
 * most BT_QUANTIZE_MOST_PARTS) and their number say what was measured. BT_E_LIMIT: it cannot be
 * made so small; the text says how small. */
bt_status search_types(bt_model *base, const SearchOptions *options, Choice *choices, double *harm,
                       bt_quantize_part *parts, int32_t *n_parts, bt_error *err);

#endif
