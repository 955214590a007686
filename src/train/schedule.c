/* Learning rates (see schedule.h). */
#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

double schedule_rate(const Schedule *s, int64_t step)
{
    if (step > s->steps) step = s->steps;
    if (step <= s->warmup) return s->peak * (double)step / (double)s->warmup;
    double low = s->floor;
    if (s->kind == SCHEDULE_COSINE) {
        double way = (double)(step - s->warmup) / (double)(s->steps - s->warmup);
        return s->peak * (low + (1 - low) * 0.5 * (1 + cos(PI * way)));
    }
    int64_t begin = s->steps - s->decay;
    if (s->kind == SCHEDULE_CONSTANT || step <= begin) return s->peak;
    double way = (double)(step - begin) / (double)s->decay;
    return s->peak * (low + (1 - low) * (1 - sqrt(way)));
}
