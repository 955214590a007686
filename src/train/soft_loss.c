/* Losses of distillation, row by row (see soft_loss.h). */
#include "train/soft_loss.h"

#include <math.h>
#include <string.h>

#define SAME 1e-5 /* probabilities of the same size: rounding must not pull */

/* p = softmax(x / T); gives log(sum of exp(x / T)). */
static double softmax_of(const Kernels *k, const float *x, float inverse, size_t n, float *p)
{
    size_t best = 0;
    for (size_t i = 0; i < n; i++) p[i] = x[i] * inverse;
    for (size_t i = 1; i < n; i++)
        if (p[i] > p[best]) best = i;
    double most = (double)p[best];
    k->softmax(p, n);
    return most - log((double)p[best]);
}

/* One of the two distributions at temperature T. */
typedef struct Side {
    const float *x; /* logits */
    float *p;       /* softmax(x / T) */
    double sum;     /* log of the sum of exp(x / T) */
} Side;

/* Cross entropy with the target; d += w (s - onehot), s being softmax(x). */
static double cross(const Side *s, int32_t target, float w, size_t n, float *d)
{
    if (d) {
        for (size_t i = 0; i < n; i++) d[i] += w * s->p[i];
        d[target] -= w;
    }
    return s->sum - (double)s->x[target];
}

/* The cross entropy's share; s: the student's side, made anew where T is not 1. */
static double hard_part(const SoftLoss *loss, const Kernels *k, Side *s, int32_t target,
                        float weight, size_t n, float *d)
{
    if (loss->soft >= 1 || target < 0) return 0;
    if (loss->temperature != 1 || loss->soft <= 0) s->sum = softmax_of(k, s->x, 1, n, s->p);
    return (1 - (double)loss->soft) * cross(s, target, weight * (1 - loss->soft), n, d);
}

double soft_loss_row(const SoftLoss *loss, const Kernels *k, const float *x, const float *teacher,
                     int32_t target, float weight, size_t n, float *room, float *d)
{
    float soft = loss->soft, temperature = loss->temperature, by = weight * (1 - soft);
    double square = (double)temperature * (double)temperature, sum = 0;
    bool hard = soft < 1 && target >= 0;
    if (soft > 0)
        sum = (double)soft * square *
              (double)k->divergence(x, teacher, 1 / temperature, loss->mix,
                                    weight * soft * temperature * temperature, n, d);
    else if (d && !hard)
        memset(d, 0, n * sizeof *d);
    if (hard) {
        float *to = d && soft > 0 ? room : d;
        float all = k->softmax_times(x, 1, by, n, to);
        sum += (1 - (double)soft) * ((double)all - (double)x[target]);
        if (d && soft > 0) k->add(d, room, n, d);
        if (d) d[target] -= by;
    }
    return (double)weight * sum;
}

/* Cross entropy with the part; d += w times its gradient. Of -p log s that is s - p; of
 * -rest log(sum of the others) it is s, less s rest / sum for each of the others. */
static double part_cross(const Side *s, const SoftPart *part, double inverse, float w, size_t n,
                         float *d)
{
    double loss = 0, other = 1, rest = (double)part->rest;
    for (size_t i = 0; i < part->n; i++) {
        loss += (double)part->p[i] * (s->sum - (double)s->x[part->id[i]] * inverse);
        other -= (double)s->p[part->id[i]];
    }
    if (other < 1e-6) other = 1e-6; /* what the student gives to all others */
    if (rest > 0) loss -= rest * log(other);
    if (!d) return loss;
    float share = (float)(1 - rest / other);
    for (size_t i = 0; i < n; i++) d[i] += w * share * s->p[i];
    for (size_t i = 0; i < part->n; i++) {
        int32_t id = part->id[i];
        d[id] += w * ((1 - share) * s->p[id] - part->p[i]);
    }
    return loss;
}

/* Logarithms of a probability; what is less likely than exp(-100) counts as that much. */
static double log_of(double p)
{
    return p > 0 ? fmax(log(p), -100) : -100;
}

/* A term of mix KL(t || m) + (1 - mix) KL(s || m), for mix 1 of KL(s || t), with t and s the same
 * outcome's probabilities; *slope: its derivative by s, but for a constant that is the same for all
 * outcomes. */
static double term(double t, double s, double mix, double *slope)
{
    if (mix >= 1) return s * (*slope = log_of(s) - log_of(t));
    double m = mix * t + (1 - mix) * s;
    *slope = (1 - mix) * (log_of(s) - log_of(m));
    return mix * t * (log_of(t) - log_of(m)) + s * *slope;
}

/* Any other divergence, of the outcomes that are known: each token of the part, and all others as
 * one. By x_j that is s_j (g_j - sum of s g) / T. */
static double part_diverges(const Side *s, const SoftPart *part, double mix, float w, size_t n,
                            float *d)
{
    double other = 1, sum = 0, mean = 0, slope, rest;
    for (size_t i = 0; i < part->n; i++) other -= (double)s->p[part->id[i]];
    if (other < 0) other = 0;
    sum += term((double)part->rest, other, mix, &rest);
    mean += other * rest;
    for (size_t i = 0; i < part->n; i++) {
        double p = (double)s->p[part->id[i]];
        sum += term((double)part->p[i], p, mix, &slope);
        mean += p * slope;
    }
    if (!d) return sum;
    for (size_t i = 0; i < n; i++) d[i] += w * (float)((double)s->p[i] * (rest - mean));
    for (size_t i = 0; i < part->n; i++) {
        double p = (double)s->p[part->id[i]];
        term((double)part->p[i], p, mix, &slope);
        d[part->id[i]] += w * (float)(p * (slope - rest));
    }
    return sum;
}

double soft_loss_part(const SoftLoss *loss, const Kernels *k, const float *x, const SoftPart *part,
                      int32_t target, float weight, size_t n, float *room, float *d)
{
    double inverse = 1 / (double)loss->temperature, soft = 0, mix = (double)loss->mix;
    float w = weight * loss->soft * loss->temperature; /* T^2 times the 1 / T of the softmax */
    Side s = {x, room, 0};
    if (loss->soft > 0) {
        s.sum = softmax_of(k, x, (float)inverse, n, s.p);
        soft = mix <= 0 ? part_cross(&s, part, inverse, w, n, d)
                        : part_diverges(&s, part, mix, w, n, d);
        soft *= (double)loss->soft / (inverse * inverse);
    }
    return (double)weight * (soft + hard_part(loss, k, &s, target, weight, n, d));
}

double soft_loss_sorted(const SoftLoss *loss, const Kernels *k, const float *x,
                        const unsigned char *matched, const float *sorted, size_t n_sorted,
                        float weight, size_t n, float *room, float *d)
{
    enum { MOST = 64 };
    size_t best[MOST], found = 0;
    float sign[MOST];
    float w = weight * loss->soft * loss->temperature;
    double sum = 0, pull = 0, square = (double)loss->temperature * (double)loss->temperature;
    if (n_sorted > MOST) n_sorted = MOST;
    softmax_of(k, x, 1 / loss->temperature, n, room);
    for (size_t i = 0; i < n && n_sorted; i++) {
        if (matched[i] || (found == n_sorted && room[i] <= room[best[found - 1]])) continue;
        size_t at = found < n_sorted ? found++ : found - 1;
        for (; at > 0 && room[best[at - 1]] < room[i]; at--) best[at] = best[at - 1];
        best[at] = i;
    }
    for (size_t i = 0; i < n_sorted; i++) {
        double s = i < found ? (double)room[best[i]] : 0, apart = s - (double)sorted[i];
        sum += apart < 0 ? -apart : apart;
        sign[i] = i >= found || fabs(apart) < SAME ? 0 : apart < 0 ? -1 : 1;
        pull += (double)sign[i] * s;
    }
    /* d |s_i - t| / d x_j = sign (s_i [i = j] - s_i s_j) / T */
    for (size_t i = 0; d && i < n; i++) d[i] -= w * room[i] * (float)pull;
    for (size_t i = 0; d && i < found; i++) d[best[i]] += w * sign[i] * room[best[i]];
    return (double)weight * (double)loss->soft * square * sum;
}
