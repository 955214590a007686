/* A text read in windows by a model, so that its answers can be scored: windows of n_ctx tokens
 * that do not overlap, each from an empty context, its first token BOS where the model wants one;
 * the second half is scored, so that every scored token has half a window before it. A window of n
 * tokens scores its last n - n/2 - 1 (as `bantam perplexity` does). */
#ifndef QUANT_READER_H
#define QUANT_READER_H

#include "bantam/bantam.h"

#define READER_SCORED 64 /* logits of a step at most */

typedef struct Reader {
    bt_model_info info;
    bt_session *session;
    bt_row *rows;
    const bt_token *window;
    size_t size, batch, at;
    double seconds; /* spent in steps */
    size_t tokens;  /* read so far */
} Reader;

bt_status reader_open(bt_model *model, int32_t n_ctx, bt_kv_type kv, Reader *out, bt_error *err);
void reader_close(Reader *r);
/* Begins a window of n_ctx tokens, which must live until its last step. */
bt_status reader_window(Reader *r, const bt_token *window, bt_error *err);
/* The next step; false in *more when the window is read. *n answers are there, by reader_logits;
 * answer i is about window[*first + i]. Readers of models with one vocabulary keep step. */
bt_status reader_step(Reader *r, size_t *first, size_t *n, bool *more, bt_error *err);
/* Answer i of the last step (n_vocab floats, the caller may change them); NULL: none. */
float *reader_logits(Reader *r, size_t i);
/* Seconds that a token takes to be written after what was read, over n tokens. */
bt_status reader_write(Reader *r, int32_t n, double *seconds, bt_error *err);

#endif
