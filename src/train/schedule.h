/* The learning rate of each step: a linear warm-up from 0, then one of
 *   constant   the peak
 *   cosine     half a cosine from the peak to `floor` of it at the last step (Loshchilov and
 * Hutter, arXiv 1608.03983) wsd        the peak, then over the last `decay` steps down to `floor`
 * by 1 - sqrt (Hägele et al., arXiv 2405.18392): how long a run is need only be known when it ends
 */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum ScheduleKind { SCHEDULE_COSINE, SCHEDULE_WSD, SCHEDULE_CONSTANT } ScheduleKind;

typedef struct Schedule {
    ScheduleKind kind;
    double peak;  /* learning rate */
    double floor; /* share of the peak at the end */
    int64_t warmup, decay, steps;
} Schedule;

/* Of step 1 .. steps; of later ones that of the last. */
double schedule_rate(const Schedule *s, int64_t step);

#endif
