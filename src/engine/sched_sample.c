/* Drawing tokens for many sequences: they share the team, one sequence a piece. */
#include <math.h>
#include <string.h>

#include "engine/sampler.h"
#include "engine/sampler_math.h"
#include "engine/sampler_select.h"
#include "engine/sched_parts.h"
#include "kernels/kernels.h"

/* Below so many logits altogether one thread is done before the others have come. */
#define WORTH_A_TEAM 16384

/* Log-probabilities as the model gave them: from a copy, since samplers change what they read. */
static const float *likeliest(Sched *s, Request *r, const float *logits, int member, double *sum)
{
    size_t n = (size_t)s->n_vocab;
    float *copy = s->copies + (size_t)member * (n + SAMPLER_PEAKS(n));
    SamplerRow row = {.x = copy, .peak = copy + n, .n = n};
    SamplerCandidate *c = (SamplerCandidate *)s->candidates + (size_t)member * SCHED_MOST_TOP;
    memcpy(copy, logits, n * sizeof *copy);
    kernels_select(s->model->features)->peaks(copy, NULL, n, row.peak);
    sampler_find_max(&row);
    *sum = row.max > -INFINITY ? row.max + sampler_log(sampler_sum(&row, 1)) : 0;
    size_t most = r->asked.n_top > 0 ? (size_t)r->asked.n_top : 0;
    if (most > n) most = n;
    size_t found = most ? sampler_top(&row, most, c) : 0;
    r->n_top = (int32_t)found;
    for (size_t i = 0; i < found; i++) {
        r->top[i] = c[i].id;
        r->top_logprob[i] = (float)(c[i].logit - *sum);
    }
    return copy;
}

static void pick_one(Sched *s, Request *r, int member)
{
    float *logits = bt_session_logits(s->session, r->logits);
    const float *copy = NULL;
    double sum = 0;
    r->n_top = 0;
    r->logprob = 0;
    if (r->asked.n_top >= 0) copy = likeliest(s, r, logits, member, &sum);
    if (r->n_forced) {
        r->picked = r->forced[r->asked.n_forced - r->n_forced];
        sampler_take(r->sampler, r->picked);
    } else {
        r->picked = bt_sampler_pick(r->sampler, logits);
    }
    if (copy) r->logprob = (float)(copy[r->picked] - sum);
}

typedef struct PickJob {
    Sched *s;
    TeamQueue queue;
} PickJob;

static void pick_some(void *arg, int member, int n_members)
{
    PickJob *job = arg;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) pick_one(job->s, job->s->picking[i], member);
}

void sched_pick(Sched *s)
{
    if (s->n_picking < 2 || (int64_t)s->n_picking * s->n_vocab < WORTH_A_TEAM) {
        for (int32_t i = 0; i < s->n_picking; i++) pick_one(s, s->picking[i], 0);
        return;
    }
    PickJob job = {.s = s};
    queue_start(&job.queue, s->n_picking, 1);
    pthread_mutex_lock(&s->model->lock);
    team_run(s->model->team, pick_some, &job);
    pthread_mutex_unlock(&s->model->lock);
}
