/* Which layers see a window only, as files say it: attention.sliding_window is the length,
 * attention.sliding_window_pattern an array of a truth a layer, or one number, the period. Files of
 * several families leave the pattern out. */
#ifndef MODELS_BLOCK_WINDOW_H
#define MODELS_BLOCK_WINDOW_H

#include "models/block_decoder.h"

typedef struct Windows {
    int32_t span;         /* tokens; 0: no layer has a window */
    const int32_t *layer; /* (n_layers) not 0 where there is one */
} Windows;

/* Without a pattern in the file one layer in `period` sees all: the last of each period, or with
 * `first_full` the first. */
Windows block_windows(Loader *ld, int32_t period, bool first_full);
/* Gives the attention of these layers its window; `rope` is the table that they use. */
void block_windows_apply(Loader *ld, Decoder *m, const Windows *w, int rope);

#endif
