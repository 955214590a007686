/* Penalties for what the text already says: repetition (Keskar and others 2019, "CTRL"), presence
 * and frequency (as the OpenAI API defines them), and DRY ("don't repeat yourself", by p-e-w,
 * 2024): a token that would continue a run already seen is penalised the more the longer the run.
 * Each pick costs time linear in the tokens remembered, whatever they are. */
#include "engine/sampler_history.h"

#include <string.h>

void sampler_history_place(SamplerHistory *h, Arena *arena)
{
    size_t n_vocab = (size_t)h->n_vocab;
    /* One more than the window: the token that leaves it is still looked at. */
    h->keep = (h->window > h->dry_window ? h->window : h->dry_window) + 1;
    if (h->window || h->dry_window) h->tokens = arena_alloc(arena, 2 * h->keep * sizeof(int32_t));
    if (h->window) {
        size_t most = h->window < n_vocab ? h->window : n_vocab;
        h->count = arena_alloc(arena, n_vocab * sizeof(int32_t));
        h->place = arena_alloc(arena, n_vocab * sizeof(int32_t));
        h->present = arena_alloc(arena, (most + 1) * sizeof(int32_t));
    }
    if (h->dry_window) {
        h->match = arena_alloc(arena, h->dry_window * sizeof(int32_t));
        h->longest = arena_alloc(arena, n_vocab * sizeof(int32_t));
        h->breaker = arena_alloc(arena, n_vocab);
    }
}

static void forget(SamplerHistory *h, int32_t token)
{
    if (--h->count[token] > 0) return;
    int32_t last = h->present[--h->n_present];
    h->present[h->place[token]] = last;
    h->place[last] = h->place[token];
}

void sampler_history_add(SamplerHistory *h, int32_t token)
{
    if (!h->tokens) return;
    if (h->used == 2 * h->keep) {
        memmove(h->tokens, h->tokens + h->keep, h->keep * sizeof(int32_t));
        h->used = h->keep;
    }
    h->tokens[h->used++] = token;
    if (!h->window) return;
    if (h->used > h->window) forget(h, h->tokens[h->used - h->window - 1]);
    if (h->count[token]++ == 0) {
        h->place[token] = (int32_t)h->n_present;
        h->present[h->n_present++] = token;
    }
}

static void penalise_present(const SamplerHistory *h, float *logits)
{
    for (size_t i = 0; i < h->n_present; i++) {
        int32_t id = h->present[i];
        float x = logits[id];
        x = x > 0 ? x / h->repeat : x * h->repeat;
        logits[id] = x - (float)h->count[id] * h->frequency - h->presence;
    }
}

/* multiplier * base^n, at most 1e30. */
static float dry_penalty(const SamplerHistory *h, size_t n)
{
    double power = 1;
    for (size_t i = 0; i < n && power < 1e30; i++) {
        power *= h->dry_base;
        if (h->dry_base <= 1) break;
    }
    double penalty = power * h->dry_multiplier;
    return penalty < 1e30 ? (float)penalty : 1e30f;
}

/* Read backwards from the end, the text is r[0], r[1], ...; r[i - 1] once followed r[i]. The run
 * r[i], r[i + 1] ... that equals r[0], r[1] ... is what would be repeated: its length for all i is
 * the Z function of r (Gusfield 1997), linear in n. Runs do not reach across a breaker. */
static void penalise_repeats(SamplerHistory *h, float *logits)
{
    size_t n = h->used < h->dry_window ? h->used : h->dry_window;
    if (n < 2) return;
    const int32_t *last = h->tokens + h->used - 1; /* r[i] is last[-i] */
#define R(i) last[-(ptrdiff_t)(i)]
    size_t limit = 0;
    while (limit < n && !h->breaker[R(limit)]) limit++;
    if (limit < h->dry_allowed) return;

    int32_t *z = h->match;
    size_t left = 0, right = 0; /* r[left .. right) equals the beginning */
    z[0] = (int32_t)n;
    for (size_t i = 1; i < n; i++) {
        size_t k = 0;
        if (i < right) {
            k = (size_t)z[i - left];
            if (k > right - i) k = right - i;
        }
        if (i + k >= right) {
            while (i + k < n && R(k) == R(i + k)) k++;
            left = i;
            right = i + k;
        }
        z[i] = (int32_t)k;
        size_t length = k < limit ? k : limit;
        int32_t next = R(i - 1);
        if (length >= h->dry_allowed && (int32_t)length > h->longest[next])
            h->longest[next] = (int32_t)length;
    }
    for (size_t i = 1; i < n; i++) {
        int32_t next = R(i - 1), length = h->longest[next];
        if (!length) continue;
        logits[next] -= dry_penalty(h, (size_t)length - h->dry_allowed);
        h->longest[next] = 0;
    }
#undef R
}

void sampler_history_penalise(SamplerHistory *h, float *logits)
{
    if (h->window) penalise_present(h, logits);
    if (h->dry_window) penalise_repeats(h, logits);
}
