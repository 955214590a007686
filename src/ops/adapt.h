/* Adapters at work inside ops: what those of the rows add to a product that was made. */
#ifndef OPS_ADAPT_H
#define OPS_ADAPT_H

#include "ops/step.h"

/* Whether some row of the step may have adapters that touch w; w NULL: no. */
bool step_adapts(const Step *s, const Weight *w);

/* out, which holds the product of w with x, becomes what the adapters of the rows make of it. Both
 * have a row for each row of the step, or for each wanted one, and a head for each matrix of w. */
void step_adapt(Step *s, Tensor x, const Weight *w, Tensor out);
/* The same of rows that were looked up, before they are scaled. ids: (rows) */
void step_adapt_embedding(Step *s, const Weight *table, const int32_t *ids, Tensor out);
/* Floats for A x of `rows` rows with any of these (each may be NULL). */
float *step_adapt_room(Step *s, const Weight *const *w, int count, int64_t rows);

#endif
