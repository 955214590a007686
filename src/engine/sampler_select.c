/* The stages that cut (see sampler_select.h). Top-k is a scan of the peaks with a small heap, then
 * of what lies below the highest of them; top-p and typical divide the candidates around pivots and
 * look only at the side the boundary lies on (Hoare's selection, by weight), linear in their number
 * on average. Nothing sorts a vocabulary. */
#include "engine/sampler_select.h"

#include <float.h>
#include <math.h>

#include "engine/sampler_math.h"

void sampler_find_max(SamplerRow *row)
{
    float lane[8], best = -INFINITY;
    size_t n = SAMPLER_PEAKS(row->n), i = 0;
    for (int j = 0; j < 8; j++) lane[j] = -INFINITY;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            lane[j] = row->peak[i + j] > lane[j] ? row->peak[i + j] : lane[j];
    for (; i < n; i++) best = row->peak[i] > best ? row->peak[i] : best;
    for (int j = 0; j < 8; j++) best = lane[j] > best ? lane[j] : best;
    row->max = best;
}

bt_token sampler_first(const SamplerRow *row)
{
    size_t i = 0;
    if (row->max == -INFINITY) return 0;
    while (row->peak[i / 64] != row->max) i += 64;
    while (row->x[i] != row->max) i++;
    return (bt_token)i;
}

/* ---- top-k: a heap whose root is the least likely of the k best so far ---- */

static bool less_likely(const SamplerCandidate *a, const SamplerCandidate *b)
{
    return a->logit < b->logit || (a->logit == b->logit && a->id > b->id);
}

static void sift_down(SamplerCandidate *heap, size_t n, size_t at, SamplerCandidate value)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && less_likely(&heap[child + 1], &heap[child])) child++;
        if (!less_likely(&heap[child], &value)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

/* Adds x, whose first has number `id`, to the heap of the k best of those that are at least `least`
 * and more than -inf; `used` are in it, ordered once it is full. */
static size_t add_best(const float *x, size_t n, size_t id, float least, size_t k, size_t used,
                       SamplerCandidate *heap)
{
    for (size_t i = 0; i < n; i++) {
        SamplerCandidate one = {.id = (bt_token)(id + i), .logit = x[i]};
        if (used == k) {
            if (one.logit > heap[0].logit) sift_down(heap, k, 0, one);
        } else if (one.logit >= least && one.logit > -INFINITY) {
            heap[used++] = one;
            for (size_t at = used == k ? k / 2 : 0; at-- > 0;) sift_down(heap, k, at, heap[at]);
        }
    }
    return used;
}

static bool any_above(const float *x, size_t n, float bound)
{
    int any = 0;
    for (size_t i = 0; i < n; i++) any |= x[i] > bound;
    return any;
}

/* The k highest peaks say which logit the k best have at least: of the others nothing is read. */
static float bound_of(const SamplerRow *row, size_t k, SamplerCandidate *heap)
{
    size_t n = SAMPLER_PEAKS(row->n), used = 0;
    if (k > n) return -INFINITY;
    for (size_t i = 0; i < n; i += 64) {
        size_t some = n - i < 64 ? n - i : 64;
        if (used < k || any_above(row->peak + i, some, heap[0].logit))
            used = add_best(row->peak + i, some, i, -INFINITY, k, used, heap);
    }
    return used == k ? heap[0].logit : -INFINITY;
}

size_t sampler_top(const SamplerRow *row, size_t k, SamplerCandidate *out)
{
    float least = bound_of(row, k, out);
    size_t used = 0;
    for (size_t i = 0; i < row->n; i += 64) {
        size_t some = row->n - i < 64 ? row->n - i : 64;
        float peak = row->peak[i / 64];
        if (peak == -INFINITY || (used < k ? peak < least : peak <= out[0].logit)) continue;
        used = add_best(row->x + i, some, i, least, k, used, out);
    }
    for (size_t at = used < k ? used / 2 : 0; at-- > 0;) sift_down(out, used, at, out[at]);
    for (size_t left = used; left > 1;) { /* heap sort: the least likely go to the end */
        SamplerCandidate last = out[0], value = out[--left];
        sift_down(out, left, 0, value);
        out[left] = last;
    }
    return used;
}

size_t sampler_above(const SamplerRow *row, double least, SamplerCandidate *out)
{
    size_t used = 0;
    float bound = least > -FLT_MAX ? (float)least : -FLT_MAX; /* the cast may round up: see cut() */
    for (size_t i = 0; i < row->n;) {
        size_t end = i + 64 < row->n ? i + 64 : row->n;
        bool any = row->peak[i / 64] >= bound;
        for (; any && i < end; i++)
            if (row->x[i] >= bound)
                out[used++] = (SamplerCandidate){.id = (bt_token)i, .logit = row->x[i]};
        i = end;
    }
    return used;
}

/* 1 / temperature; a very small one is as good as greedy, and 0 * scale must stay 0. */
static double scale_of(double temperature)
{
    double scale = 1 / temperature;
    return scale < 1e12 ? scale : 1e12;
}

/* What is -inf adds nothing that a sum of at least 1 would show. */
double sampler_sum(const SamplerRow *row, double temperature)
{
    double lane[8] = {0}, scale = scale_of(temperature), sum = 0;
    for (size_t i = 0; i < row->n; i += 64) {
        size_t end = i + 64 < row->n ? i + 64 : row->n, at = i;
        if (row->peak[i / 64] == -INFINITY) continue;
        for (; at + 8 <= end; at += 8)
            for (size_t j = 0; j < 8; j++)
                lane[j] += sampler_exp(((double)row->x[at + j] - row->max) * scale);
        for (; at < end; at++) sum += sampler_exp(((double)row->x[at] - row->max) * scale);
    }
    for (int j = 0; j < 8; j++) sum += lane[j];
    return sum;
}

/* ---- selection by weight ---- */

static bool before(const SamplerCandidate *a, const SamplerCandidate *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

static void swap(SamplerCandidate *a, SamplerCandidate *b)
{
    SamplerCandidate t = *a;
    *a = *b;
    *b = t;
}

static size_t finish_sorted(SamplerCandidate *c, size_t low, size_t high, double sum, double mass)
{
    for (size_t i = low + 1; i < high; i++)
        for (size_t j = i; j > low && before(&c[j], &c[j - 1]); j--) swap(&c[j], &c[j - 1]);
    for (size_t i = low; i < high; i++) {
        sum += c[i].p;
        if (sum >= mass) return i + 1;
    }
    return high;
}

size_t sampler_keep_mass(SamplerCandidate *c, size_t n, double mass)
{
    size_t low = 0, high = n; /* the boundary lies in (low, high] */
    double sum = 0;           /* of c[0 .. low), which stay */
    uint64_t draw = n;
    while (high - low > 24) {
        /* Pivots from a generator (Knuth's MMIX), so that no order of logits is slow. */
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        swap(&c[low + (size_t)((draw >> 33) % (high - low))], &c[high - 1]);
        SamplerCandidate pivot = c[high - 1];
        size_t middle = low;
        double part = 0;
        for (size_t i = low; i + 1 < high; i++) {
            if (!before(&c[i], &pivot)) continue;
            part += c[i].p;
            swap(&c[i], &c[middle++]);
        }
        swap(&c[middle], &c[high - 1]);
        if (middle > low && sum + part >= mass) {
            high = middle;
        } else if (sum + part + pivot.p >= mass) {
            return middle + 1;
        } else {
            sum += part + pivot.p;
            low = middle + 1;
        }
    }
    return finish_sorted(c, low, high, sum, mass);
}

/* ---- stages ---- */

static float largest(const SamplerCandidate *c, size_t n)
{
    float max = c[0].logit;
    for (size_t i = 1; i < n; i++) max = c[i].logit > max ? c[i].logit : max;
    return max;
}

/* p = exp((logit - max) / temperature); returns the sum, which is at least 1. */
static double weigh(SamplerCandidate *c, size_t n, double temperature)
{
    double max = largest(c, n), scale = scale_of(temperature), sum = 0;
    for (size_t i = 0; i < n; i++) c[i].p = sampler_exp((c[i].logit - max) * scale);
    for (size_t i = 0; i < n; i++) sum += c[i].p;
    return sum;
}

size_t sampler_cut_typical(SamplerCandidate *c, size_t n, double typical_p)
{
    double sum = weigh(c, n, 1), log_sum = sampler_log(sum), max = largest(c, n), entropy = 0;
    for (size_t i = 0; i < n; i++) entropy += c[i].p / sum * (log_sum - (c[i].logit - max));
    for (size_t i = 0; i < n; i++) c[i].key = -fabs(log_sum - (c[i].logit - max) - entropy);
    return sampler_keep_mass(c, n, typical_p * sum);
}

size_t sampler_cut_top_p(SamplerCandidate *c, size_t n, double top_p, double total)
{
    double sum = weigh(c, n, 1);
    for (size_t i = 0; i < n; i++) c[i].key = c[i].logit;
    return sampler_keep_mass(c, n, top_p * (total > 0 ? total : sum));
}

size_t sampler_cut_min_p(SamplerCandidate *c, size_t n, double min_p)
{
    size_t kept = 0;
    weigh(c, n, 1);
    for (size_t i = 0; i < n; i++) {
        if (c[i].p < min_p && c[i].p < 1) continue; /* the most likely has p = 1 here */
        SamplerCandidate keep = c[i];
        c[kept++] = keep;
    }
    return kept;
}

void sampler_softmax(SamplerCandidate *c, size_t n, double temperature, double total)
{
    double sum = weigh(c, n, temperature);
    if (total > 0) sum = total;
    for (size_t i = 0; i < n; i++) c[i].p /= sum;
}

size_t sampler_cut_surprise(SamplerCandidate *c, size_t n, double bound, double *kept)
{
    size_t stay = 0, top = 0;
    double least = sampler_exp(-(bound > 0 ? bound : 0) * SAMPLER_LN2), sum = 0;
    for (size_t i = 1; i < n; i++)
        if (c[i].p > c[top].p) top = i;
    for (size_t i = 0; i < n; i++) {
        if (c[i].p < least && i != top) continue;
        SamplerCandidate keep = c[i];
        sum += keep.p;
        c[stay++] = keep;
    }
    for (size_t i = 0; i < stay; i++) c[i].p /= sum;
    *kept = sum;
    return stay;
}
