/* Rows of the kernels over quantised weights. */
#include "check.h"

CHECK_ROW(quantize_act, CHECK_EXACT, 0, NULL, NULL);
CHECK_ROW(panel_scales, CHECK_EXACT, 0, NULL, NULL);
CHECK_ROW(panel_matmul, CHECK_EPSILON, 1e-6, NULL, NULL);
