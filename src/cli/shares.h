/* How much of this machine's measured limits a model's speed is. */
#ifndef CLI_SHARES_H
#define CLI_SHARES_H

#include "cli/model.h"
#include "kernels/roofline.h"

/* Measures the limits with as many threads as the model uses. CLI_GOOD, or CLI_FAILED after a
 * message. */
int shares_measure(const CliModel *m, Roofline *out);
/* Multiplications with weights for one token of a prompt: the matrices of the layers, of experts
 * those that are used; neither attention nor the head, which works for the last token alone. 0
 * after a message. */
double shares_products(const CliModel *m);
/* Prefill: 2 x products x tokens a second, over int8 arithmetic (bf16 or float32 where the machine
 * has no int8 products). */
double shares_prefill(const Roofline *r, double products, double tokens_per_s);
/* Decode: bytes that must be read (weights once a step, the state of every sequence) a second, over
 * reading memory. */
double shares_decode(const Roofline *r, const CliModel *m, int32_t depth, int32_t sequences,
                     bt_kv_type kv, double steps_per_s);

#endif
