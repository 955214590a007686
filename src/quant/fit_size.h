/* bt_quantize with a size in place of a type: the model is measured, types are searched, and what
 * was written is measured again, on a part of the text that the search did not see. */
#ifndef QUANT_FIT_SIZE_H
#define QUANT_FIT_SIZE_H

#include "quant/probe.h"
#include "quant/source.h"

typedef struct FitSize {
    bt_token *ids;
    Answers held; /* the original's, to windows that the search did not read */
    uint64_t done, all;
    bool same; /* the text was too short to hold any back */
    const bt_quantize_options *options;
    int mix; /* whose number the file will carry */
} FitSize;

/* Fills choices (one a tensor of the source) and *imatrix, unless one is there. `header`: bytes of
 * the file that are no tensors. */
bt_status fit_size(FitSize *f, const char *from, const Source *source, uint64_t header, Team *team,
                   Imatrix **imatrix, Choice *choices, bt_quantize_result *result, bt_error *err);
/* Measures the file that was written. */
bt_status fit_size_check(FitSize *f, const char *path, bt_quantize_result *result, bt_error *err);
void fit_size_close(FitSize *f);

/* A text of some two thousand tokens for those who bring none. */
extern const char calibration_text[];

#endif
