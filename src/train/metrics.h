/* What a run tells as it goes: one JSON object a line in metrics.jsonl of its folder, and loss.svg,
 * a plot of the loss that any browser shows. A run that continues cuts off the lines of steps that
 * its checkpoint does not have. A disk that is full costs lines, never the run: it is told once. */
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include "base/status.h"

typedef struct MetricsLine {
    int64_t step;
    double loss, rate, grad_norm;
    uint64_t tokens;
    double tokens_per_s;
    double eval_loss; /* NaN: not evaluated at this step */
    uint64_t eval_tokens;
} MetricsLine;

typedef struct Metrics Metrics;

/* `keep`: bytes of the file that stay; 0: it begins anew. */
bt_status metrics_open(const char *folder, uint64_t keep, Metrics **out, bt_error *err);
void metrics_close(Metrics **metrics);
void metrics_add(Metrics *metrics, const MetricsLine *line);
uint64_t metrics_bytes(const Metrics *metrics); /* written so far */
/* Writes loss.svg, whole. */
void metrics_plot(Metrics *metrics);

/* ---- plot.c ---- */

typedef struct PlotPoint {
    double x, y;
} PlotPoint;

/* The picture as text (mem_free); NULL: no memory. Points in order of x; numbers that are not
 * finite are left out. */
char *plot_svg(const PlotPoint *loss, size_t n_loss, const PlotPoint *eval, size_t n_eval);

#endif
