/* Two models' answers held against each other (see divergence.h). */
#include "quant/divergence.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* log of the sum of exp(x), and where x is largest. */
static double log_sum(const float *x, int32_t n, int32_t *best)
{
    double sum = 0;
    *best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[*best]) *best = i;
    for (int32_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)x[*best]);
    return (double)x[*best] + log(sum);
}

static void add_score(Score *s, double surprise)
{
    s->sum += surprise;
    s->squares += surprise * surprise;
}

bool divergence_add(Divergence *d, const float *p, const float *q, int32_t n_vocab, bt_token next)
{
    if (d->n == d->capacity) {
        size_t wanted = d->capacity ? 2 * d->capacity : 256;
        double *more = mem_realloc(d->kl, wanted * sizeof *more);
        if (!more) return false;
        d->kl = more;
        d->capacity = wanted;
    }
    int32_t best_p, best_q;
    double all_p = log_sum(p, n_vocab, &best_p), all_q = log_sum(q, n_vocab, &best_q), kl = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        double log_p = (double)p[i] - all_p, share = exp(log_p);
        if (share > 0) kl += share * (log_p - ((double)q[i] - all_q));
    }
    d->kl[d->n++] = isnan(kl) ? INFINITY : kl > 0 ? kl : 0; /* below 0: rounding */
    d->n_same += best_p == best_q;
    add_score(&d->p, all_p - (double)p[next]);
    add_score(&d->q, all_q - (double)q[next]);
    return true;
}

void divergence_close(Divergence *d)
{
    mem_free(d->kl);
    *d = (Divergence){0};
}

double divergence_mean(const Divergence *d)
{
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) sum += d->kl[i];
    return d->n ? sum / (double)d->n : 0;
}

double divergence_error(const Divergence *d)
{
    double mean = divergence_mean(d), sum = 0, n = (double)d->n;
    for (size_t i = 0; i < d->n; i++) sum += (d->kl[i] - mean) * (d->kl[i] - mean);
    return d->n > 1 ? sqrt(sum / (n - 1) / n) : 0;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double divergence_quantile(Divergence *d, double share)
{
    if (!d->n) return 0;
    qsort(d->kl, d->n, sizeof *d->kl, by_value);
    double at = share * (double)(d->n - 1);
    size_t low = (size_t)at;
    if (low + 1 >= d->n) return d->kl[d->n - 1];
    return d->kl[low] + (at - (double)low) * (d->kl[low + 1] - d->kl[low]);
}

double score_perplexity(const Score *s, size_t n, double *error)
{
    double mean = n ? s->sum / (double)n : 0;
    double spread = n > 1 ? (s->squares / (double)n - mean * mean) / (double)(n - 1) : 0;
    *error = exp(mean) * sqrt(spread > 0 ? spread : 0);
    return exp(mean);
}
