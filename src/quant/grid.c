/* Nearest entries of codebooks (see grid.h). */
#include "quant/grid.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tensor/grids.h"

/* Which levels, and where the tables of a codebook lie. */
static struct Source {
    const uint64_t *eights;
    const uint32_t *fours;
    int entries, levels;
    int16_t level[8];
} const sources[GRID_COUNT] = {
    [GRID_IQ1] = {grid_iq1, NULL, GRID_IQ1_SIZE, 3, {-1, 0, 1}},
    [GRID_IQ2_XXS] = {grid_iq2_xxs, NULL, GRID_IQ2_XXS_SIZE, 3, {8, 25, 43}},
    [GRID_IQ2_XS] = {grid_iq2_xs, NULL, GRID_IQ2_XS_SIZE, 3, {8, 25, 43}},
    [GRID_IQ2_S] = {grid_iq2_s, NULL, GRID_IQ2_S_SIZE, 3, {8, 25, 43}},
    [GRID_IQ3_XXS] = {NULL, grid_iq3_xxs, GRID_IQ3_XXS_SIZE, 8, {4, 12, 20, 28, 36, 44, 52, 62}},
    [GRID_IQ3_S] = {NULL, grid_iq3_s, GRID_IQ3_S_SIZE, 8, {1, 3, 5, 7, 9, 11, 13, 15}},
};

static float numbers_iq1[8 * GRID_IQ1_SIZE], numbers_iq2_xxs[8 * GRID_IQ2_XXS_SIZE];
static float numbers_iq2_xs[8 * GRID_IQ2_XS_SIZE], numbers_iq2_s[8 * GRID_IQ2_S_SIZE];
static float numbers_iq3_xxs[4 * GRID_IQ3_XXS_SIZE], numbers_iq3_s[4 * GRID_IQ3_S_SIZE];
static float *const numbers[GRID_COUNT] = {numbers_iq1,   numbers_iq2_xxs, numbers_iq2_xs,
                                           numbers_iq2_s, numbers_iq3_xxs, numbers_iq3_s};
static uint16_t lists[GRID_COUNT][GRID_MOST_POINTS * GRID_NEAR];
static Grid grids[GRID_COUNT];
static atomic_bool ready[GRID_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Squared distances of a point from all entries. `columns`: (numbers, entries). */
static void distances(const Grid *g, const int16_t *columns, const int16_t *point, int32_t *out)
{
    for (int e = 0; e < g->entries; e++) out[e] = 0;
    for (int i = 0; i < g->numbers; i++) {
        const int16_t *column = columns + (size_t)i * (size_t)g->entries;
        int16_t at = point[i];
        for (int e = 0; e < g->entries; e++) {
            int32_t d = column[e] - at;
            out[e] += d * d;
        }
    }
}

/* The GRID_NEAR nearest, by insertion; of equals the first. */
static void nearest_of(const int32_t *distance, int entries, uint16_t *list)
{
    int32_t kept[GRID_NEAR];
    int n = 0;
    for (int e = 0; e < entries; e++) {
        if (n == GRID_NEAR && distance[e] >= kept[n - 1]) continue;
        int i = n < GRID_NEAR ? n++ : n - 1;
        for (; i > 0 && kept[i - 1] > distance[e]; i--) {
            kept[i] = kept[i - 1];
            list[i] = list[i - 1];
        }
        kept[i] = distance[e];
        list[i] = (uint16_t)e;
    }
}

static void build(GridName name)
{
    static int16_t columns[8 * GRID_MOST_ENTRIES]; /* one build at a time */
    static int32_t distance[GRID_MOST_ENTRIES];
    const struct Source *s = &sources[name];
    Grid *g = &grids[name];
    *g = (Grid){s->eights ? 8 : 4, s->levels, s->entries, {0}, {0}, numbers[name], lists[name]};
    int points = 1;
    for (int i = 0; i < g->numbers; i++, points *= g->levels) g->place[i] = (float)points;
    for (int k = 0; k + 1 < g->levels; k++)
        g->middle[k] = 0.5f * (float)(s->level[k] + s->level[k + 1]);
    for (int e = 0; e < g->entries; e++)
        for (int i = 0; i < g->numbers; i++) {
            int v = (int)((s->eights ? s->eights[e] : s->fours[e]) >> 8 * i & 255);
            if (name == GRID_IQ1) v--;
            columns[i * g->entries + e] = (int16_t)v;
            numbers[name][e * g->numbers + i] = (float)v;
        }
    for (int p = 0; p < points; p++) {
        int16_t point[8] = {0};
        for (int i = 0, rest = p; i < g->numbers; i++, rest /= g->levels)
            point[i] = s->level[rest % g->levels];
        distances(g, columns, point, distance);
        nearest_of(distance, g->entries, lists[name] + p * GRID_NEAR);
    }
}

const Grid *grid_open(GridName name)
{
    if (!atomic_load_explicit(&ready[name], memory_order_acquire)) {
        pthread_mutex_lock(&lock);
        if (!atomic_load_explicit(&ready[name], memory_order_relaxed)) build(name);
        atomic_store_explicit(&ready[name], true, memory_order_release);
        pthread_mutex_unlock(&lock);
    }
    return &grids[name];
}

/* The number of the point nearest to y. */
static int point_of(const Grid *g, const float *y)
{
    Lanes sum = lanes_set(0), one = lanes_set(1);
    for (int i = 0; i < g->numbers; i += 4) {
        Lanes v = lanes_load(y + i), digit = lanes_set(0);
        for (int k = 0; k + 1 < g->levels; k++)
            digit += (Lanes)((v > lanes_set(g->middle[k])) & (LaneMask)one);
        sum += digit * lanes_load(g->place + i);
    }
    return (int)lanes_sum(sum);
}

/* Lane i: the sum of vector i. */
static Lanes sum_each(Lanes a, Lanes b, Lanes c, Lanes d)
{
    Lanes ab =
        __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    Lanes cd =
        __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
           __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

int grid_nearest(const Grid *g, const float *y, const float *w, int limit)
{
    const uint16_t *list = g->near + point_of(g, y) * GRID_NEAR;
    Lanes w0 = lanes_load(w), w1 = w0, a0 = 2 * w0 * lanes_load(y), a1 = a0;
    Lanes least = lanes_set(INFINITY), place = lanes_set(0);
    if (g->numbers == 8) {
        w1 = lanes_load(w + 4);
        a1 = 2 * w1 * lanes_load(y + 4);
    }
    for (int i = 0; i < limit; i += 4) {
        Lanes cost[4];
        for (int k = 0; k < 4; k++) {
            const float *e = g->entry + g->numbers * list[i + k];
            Lanes e0 = lanes_load(e);
            cost[k] = e0 * (w0 * e0 - a0);
            if (g->numbers == 4) continue;
            Lanes e1 = lanes_load(e + 4);
            cost[k] += e1 * (w1 * e1 - a1);
        }
        Lanes costs = sum_each(cost[0], cost[1], cost[2], cost[3]);
        LaneMask less = costs < least;
        place = lanes_pick(less, lanes_set((float)i), place);
        least = lanes_pick(less, costs, least);
    }
    float costs[4], places[4];
    lanes_store(costs, least);
    lanes_store(places, place);
    int best = 0;
    for (int k = 1; k < 4; k++)
        if (costs[k] < costs[best]) best = k;
    return list[(int)places[best] + best];
}
