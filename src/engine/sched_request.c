/* One request, from what the caller asks (see sched.h): checked and made whole on the caller's
 * thread, so that the stepping thread allocates nothing for it later. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/sched_parts.h"

#define MOST_PRIORITY 16

static bt_status check(const Sched *s, const SchedRequest *a, bt_error *err)
{
    if (!a->end || !a->token || !a->prompt || a->n_prompt < 1)
        return bt_fail(err, BT_E_ARGUMENT,
                       "a request needs a prompt of at least one token, and "
                       "somebody to tell");
    if (a->n_prompt >= (size_t)s->n_ctx + (a->n_predict == 0))
        return bt_fail(err, BT_E_CONTEXT,
                       "the prompt has %zu tokens, but the context holds %d, the answer among them",
                       a->n_prompt, s->n_ctx);
    if (a->n_predict < -1 || a->n_top < -1 || a->n_top > SCHED_MOST_TOP)
        return bt_fail(
            err, BT_E_ARGUMENT,
            "%d tokens of answer, %d log-probabilities: at least -1, at most %d of these",
            a->n_predict, a->n_top, SCHED_MOST_TOP);
    for (size_t i = 0; i < a->n_prompt; i++)
        if (a->prompt[i] < 0 || a->prompt[i] >= s->n_vocab)
            return bt_fail(err, BT_E_ARGUMENT, "token %d is outside the vocabulary of %d",
                           a->prompt[i], s->n_vocab);
    for (size_t i = 0; i < a->n_forced; i++)
        if (!a->forced || a->forced[i] < 0 || a->forced[i] >= s->n_vocab)
            return bt_fail(err, BT_E_ARGUMENT, "a forced token is outside the vocabulary of %d",
                           s->n_vocab);
    for (size_t i = 0; i < a->n_adapters; i++)
        if (!a->adapters || !a->adapters[i].adapter || a->adapters[i].adapter->model != s->model ||
            !isfinite(a->adapters[i].scale))
            return bt_fail(err, BT_E_ARGUMENT, "adapter %zu of %zu is not one of this model", i + 1,
                           a->n_adapters);
    return BT_OK;
}

static bt_status hold_adapters(Request *r, const SchedRequest *a, bt_error *err)
{
    if (a->n_adapters == 0) return BT_OK;
    r->uses = mem_zalloc(a->n_adapters, sizeof *r->uses);
    if (!r->uses) return bt_fail_memory(err, "a request", a->n_adapters * sizeof *r->uses);
    for (size_t i = 0; i < a->n_adapters; i++) {
        struct {
            uint64_t hash;
            double scale;
        } row = {a->adapters[i].adapter->hash, (double)a->adapters[i].scale};
        r->uses[i] = a->adapters[i];
        adapter_hold(r->uses[i].adapter);
        r->key.adapters = hash_bytes(&row, sizeof row, r->key.adapters + i + 1);
    }
    return BT_OK;
}

/* The caller's biases, and those that keep answers from ending. */
static bt_status open_sampler(Sched *s, Request *r, const SchedRequest *a, bt_error *err)
{
    bt_sampler_options o = a->sampling;
    bt_logit_bias *bias = NULL;
    if (a->ignore_eos && s->n_enders) {
        size_t n = o.n_bias + s->n_enders;
        bias = mem_alloc(n * sizeof *bias);
        if (!bias) return bt_fail_memory(err, "a request", n * sizeof *bias);
        if (o.n_bias) memcpy(bias, o.bias, o.n_bias * sizeof *bias);
        for (size_t i = 0; i < s->n_enders; i++)
            bias[o.n_bias + i] = (bt_logit_bias){s->enders[i], -INFINITY};
        o.bias = bias;
        o.n_bias = n;
    }
    bt_status status = bt_sampler_open(s->model, &o, &r->sampler, err);
    mem_free(bias);
    if (!status && a->grammar) status = bt_sampler_set_grammar(r->sampler, a->grammar, err);
    for (size_t i = 0; i < a->n_prompt && !status; i++) bt_sampler_accept(r->sampler, a->prompt[i]);
    return status;
}

bt_status request_open(Sched *s, const SchedRequest *a, Request **out, bt_error *err)
{
    *out = NULL;
    bt_status status = check(s, a, err);
    if (status) return status;
    Request *r = mem_zalloc(1, sizeof *r);
    if (!r) return bt_fail_memory(err, "a request", sizeof *r);
    r->asked = *a;
    r->asked.prompt = NULL;
    r->asked.adapters = NULL;
    r->asked.grammar = NULL; /* the sampler holds it */
    r->asked.forced = NULL;
    if (a->priority > MOST_PRIORITY) r->asked.priority = MOST_PRIORITY;
    if (a->priority < -MOST_PRIORITY) r->asked.priority = -MOST_PRIORITY;
    r->slot = SCHED_NO_SLOT;
    r->key.principal = a->principal;
    r->n_prompt = r->n_tokens = (int32_t)a->n_prompt;
    r->stable = a->n_stable < a->n_prompt ? (int32_t)a->n_stable : 0;
    r->most = s->n_ctx - r->n_prompt;
    if (a->n_predict >= 0 && a->n_predict < r->most) r->most = a->n_predict;
    r->usage.prompt = r->n_prompt;
    r->submitted = os_seconds();
    r->asked.n_adapters = 0; /* those in uses, as they are held */
    status = hold_adapters(r, a, err);
    if (!status && a->n_adapters) r->asked.n_adapters = a->n_adapters;
    size_t top = a->n_top > 0 ? (size_t)a->n_top : 0;
    if (!status) {
        r->tokens = mem_alloc(a->n_prompt * sizeof *r->tokens);
        r->top = mem_alloc(top * sizeof *r->top);
        r->top_logprob = mem_alloc(top * sizeof *r->top_logprob);
        r->forced = mem_alloc(a->n_forced * sizeof *r->forced);
        if (r->tokens && r->top && r->top_logprob && r->forced)
            memcpy(r->tokens, a->prompt, a->n_prompt * sizeof *r->tokens);
        else
            status = bt_fail_memory(err, "a request", a->n_prompt * sizeof *r->tokens);
    }
    if (!status && a->n_forced) memcpy(r->forced, a->forced, a->n_forced * sizeof *r->forced);
    if (!status) status = open_sampler(s, r, a, err);
    if (status) request_close(&r);
    *out = r;
    return status;
}

void request_close(Request **request)
{
    Request *r = *request;
    if (!r) return;
    for (size_t i = 0; i < r->asked.n_adapters; i++) bt_adapter_close(&r->uses[i].adapter);
    mem_free(r->uses);
    bt_sampler_close(&r->sampler);
    mem_free(r->tokens);
    mem_free(r->top);
    mem_free(r->top_logprob);
    mem_free(r->forced);
    mem_free(r);
    *request = NULL;
}
