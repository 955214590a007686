/* What the files of the checker share among themselves. */
#ifndef CHECK_PRIVATE_H
#define CHECK_PRIVATE_H

#include "check.h"

extern const CheckRow *const check_rows[];
extern const int check_n_rows;

/* This machine's limits by CheckLimit, one thread: GB/s and T(FL)OP/s; 0: not known. */
const double *check_limits(void);

#endif
