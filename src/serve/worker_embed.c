/* Vectors of texts, and documents ranked by them. Texts are read on the intake thread; the stepping
 * thread makes their vectors a batch at a time, of each request in turn, so that answers that come
 * meanwhile wait for one batch at most. The session is opened when it is first needed, and again
 * when a longer text comes.
 *
 * Documents are ranked by rerankers (engine/rank.h), which read each with the query; with models
 * that make vectors by the cosine of those of query and document, each with what the model's makers
 * put before such texts. Models that only chat are refused, because their vectors rank badly. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/worker_inner.h"

enum { LEAST_CTX = 512, SEQUENCES = 16, BATCH = 512, MOST_WAITING = 512 };

void embed_close(EmbedWork *e)
{
    for (size_t i = 0; i < e->n && e->lists; i++) mem_free(e->lists[i]);
    mem_free(e->lists);
    mem_free(e->sizes);
    mem_free(e->vectors);
}

static bt_status no_memory(ApiError *err)
{
    return api_fail(err, API_E_INTERNAL, NULL, "not enough memory for the texts");
}

/* ---- texts to tokens ---- */

/* A text may fill the context and no more. What is cut loses its end but not the token that closes
 * texts. */
static bt_status fit(const Job *job, size_t i, Prompt *p, ApiError *err)
{
    size_t most = (size_t)job->w->n_ctx;
    char field[32];
    if (p->n <= most && p->n) return BT_OK;
    bool ranks = job->call->kind == API_RERANK, pairs = job->w->rank.kind != RANK_NONE;
    if (ranks && !pairs && i == 0)
        snprintf(field, sizeof field, "query");
    else
        snprintf(field, sizeof field, "%s[%zu]", ranks ? "documents" : "input",
                 i - (ranks && !pairs));
    if (!p->n) return api_fail(err, API_E_INVALID, field, "the text is empty");
    if (!job->call->cut_inputs)
        return api_fail(err, API_E_CONTEXT, field,
                        "text %zu has %zu tokens, but the context of this model holds %zu", i + 1,
                        p->n, most);
    p->ids[most - 1] = p->ids[p->n - 1];
    p->n = most;
    return BT_OK;
}

static bt_status take(Job *job, size_t i, const ApiPrompt *prompt, ApiError *err)
{
    Prompt p = {0};
    bt_status status =
        prompt_parts(job->w, prompt, BT_TOKENIZE_WHOLE, BT_TOKENIZE_NO_SPECIAL, &p, err);
    if (!status) status = fit(job, i, &p, err);
    job->embed.lists[i] = p.ids;
    job->embed.sizes[i] = p.n;
    if (!status) job->usage.prompt += (int32_t)p.n;
    return status;
}

static bt_status take_text(Job *job, size_t i, const char *prefix, ApiText text, ApiError *err)
{
    Buf all = {0};
    buf_text(&all, prefix ? prefix : "");
    buf_add(&all, text.text, text.size);
    const ApiPart part = {.text = all.data, .size = all.size};
    const ApiPrompt prompt = {&part, 1};
    bt_status status = all.failed ? no_memory(err) : take(job, i, &prompt, err);
    buf_close(&all);
    return status;
}

static bt_status take_pair(Job *job, size_t i, ApiError *err)
{
    const ApiCall *call = job->call;
    const Span query = {call->query.text, call->query.size};
    const Span document = {call->documents[i].text, call->documents[i].size};
    Prompt p = {0};
    bt_error why = {0};
    bt_status status = rank_ids(job->w->model, &job->w->rank, query, document, &p.ids, &p.n, &why);
    if (status)
        api_error_from(err, &why);
    else
        status = fit(job, i, &p, err);
    job->embed.lists[i] = p.ids;
    job->embed.sizes[i] = p.n;
    if (!status) job->usage.prompt += (int32_t)p.n;
    return status;
}

static bt_status take_all(Job *job, ApiError *err)
{
    const ApiCall *call = job->call;
    const bt_embedding_info *e = &job->w->embedding;
    bt_status status = BT_OK;
    if (call->kind == API_EMBED) {
        for (size_t i = 0; i < call->n_prompts && !status; i++)
            status = take(job, i, &call->prompts[i], err);
        return status;
    }
    if (job->w->rank.kind != RANK_NONE) {
        for (size_t i = 0; i < call->n_documents && !status; i++) status = take_pair(job, i, err);
        return status;
    }
    status = take_text(job, 0, e->query_prefix, call->query, err);
    for (size_t i = 0; i < call->n_documents && !status; i++)
        status = take_text(job, i + 1, e->document_prefix, call->documents[i], err);
    return status;
}

static bt_status check(const Job *job, ApiError *err)
{
    const Worker *w = job->w;
    if (job->call->kind == API_EMBED && w->rank.kind != RANK_NONE)
        return api_fail(err, API_E_UNSUPPORTED, "model",
                        "this model scores pairs of texts (/v1/rerank); it makes no vectors");
    if (job->call->kind == API_RERANK && w->rank.kind == RANK_NONE && !w->embedding.embeds)
        return api_fail(err, API_E_UNSUPPORTED, "model",
                        "this model does not rank: take a reranker, or one that was made for "
                        "embeddings");
    if (job->call->dimensions > w->embedding.n_dims)
        return api_fail(err, API_E_INVALID, "dimensions",
                        "%d are asked, vectors of this model "
                        "have %d",
                        (int)job->call->dimensions, (int)w->embedding.n_dims);
    return BT_OK;
}

/* ---- the queue ---- */

static void enqueue(Worker *w, Job *job)
{
    Job **last = &w->embed_first;
    while (*last) last = &(*last)->embed.next;
    job->embed.next = NULL;
    *last = job;
    w->n_embed++;
}

static Job *dequeue(Worker *w)
{
    pthread_mutex_lock(&w->lock);
    Job *job = w->embed_first;
    if (job) {
        w->embed_first = job->embed.next;
        w->n_embed--;
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

bt_status embed_start(Job *job, ApiError *err)
{
    Worker *w = job->w;
    const ApiCall *call = job->call;
    EmbedWork *e = &job->embed;
    bool pairs = call->kind == API_RERANK && w->rank.kind != RANK_NONE;
    size_t n = call->kind == API_EMBED ? call->n_prompts : call->n_documents + !pairs;
    bt_status status = check(job, err);
    if (status) return status;
    e->dims = pairs ? 1 : call->dimensions ? call->dimensions : w->embedding.n_dims;
    e->lists = mem_zalloc(n + 1, sizeof *e->lists);
    e->sizes = mem_zalloc(n + 1, sizeof *e->sizes);
    e->n = n;
    if (!e->lists || !e->sizes) return no_memory(err);
    status = take_all(job, err);
    if (status) return status;
    e->vectors = mem_zalloc(n + 1, (size_t)e->dims * sizeof(float));
    if (!e->vectors) return no_memory(err);
    pthread_mutex_lock(&w->lock);
    bool full = w->n_embed >= MOST_WAITING;
    if (!full) {
        job_hold(job);
        enqueue(w, job);
        w->n_embedded += n;
    }
    pthread_mutex_unlock(&w->lock);
    if (full) {
        err->retry_after = 1;
        return api_fail(err, API_E_BUSY, NULL, "%d requests for vectors are waiting already",
                        MOST_WAITING);
    }
    worker_wake(w);
    return BT_OK;
}

/* ---- a batch ---- */

static bt_status open_session(Worker *w, size_t longest, bt_error *err)
{
    int32_t n_ctx = LEAST_CTX;
    if (w->embedder && (size_t)bt_session_context(w->embedder) >= longest) return BT_OK;
    bt_session_close(&w->embedder);
    while ((size_t)n_ctx < longest) n_ctx *= 2; /* longest is at most the model's context */
    if (n_ctx > w->n_ctx) n_ctx = w->n_ctx;
    bt_session_options o = {.n_ctx = n_ctx,
                            .n_sequences = w->embedding.encoder ? SEQUENCES : SEQUENCES / 4,
                            .n_batch = w->embedding.encoder && n_ctx > BATCH ? n_ctx : BATCH,
                            .memory_limit = w->memory_limit,
                            .embeddings = w->rank.kind != RANK_ANSWERED};
    return bt_session_open(w->model, &o, &w->embedder, err);
}

/* The next texts that fit one step, at least one. */
static size_t batch_of(const EmbedWork *e, const bt_session *session, bt_ids *batch, size_t most,
                       size_t *longest)
{
    size_t rows = 0, n = 0;
    size_t room = session ? (size_t)bt_session_batch(session) : BATCH;
    *longest = 1;
    for (size_t i = e->done; i < e->n && n < most; i++, n++) {
        if (n && rows + e->sizes[i] > room) break;
        rows += e->sizes[i];
        if (e->sizes[i] > *longest) *longest = e->sizes[i];
        batch[n] = (bt_ids){e->lists[i], e->sizes[i]};
    }
    return n;
}

static bt_status run_batch(Job *job, bt_error *err)
{
    Worker *w = job->w;
    EmbedWork *e = &job->embed;
    bt_ids batch[SEQUENCES];
    bool pairs = job->call->kind == API_RERANK && w->rank.kind != RANK_NONE;
    size_t longest, most = w->embedding.encoder ? SEQUENCES : SEQUENCES / 4;
    bool each = w->embedding.pooling == BT_POOLING_NONE;
    const bt_embed_options options = {.pooling = !each                  ? BT_POOLING_DEFAULT
                                                 : w->embedding.encoder ? BT_POOLING_MEAN
                                                                        : BT_POOLING_LAST,
                                      .dimensions = job->call->dimensions,
                                      .keep_length = job->call->keep_length};
    size_t n = batch_of(e, w->embedder, batch, most, &longest);
    bt_status status = open_session(w, longest, err);
    if (!status && w->n_adapters)
        status = bt_session_adapt(w->embedder, -1, job->uses, job->n_uses, err);
    float *out = e->vectors + e->done * (size_t)e->dims;
    if (!status && pairs)
        status = rank_scores(w->embedder, &w->rank, batch, n, out, err);
    else if (!status)
        status = bt_session_embed(w->embedder, batch, n, &options, out, err);
    e->done += n;
    return status;
}

static bt_status rank(Job *job, Buf *out)
{
    const EmbedWork *e = &job->embed;
    size_t dims = (size_t)e->dims;
    if (job->w->rank.kind != RANK_NONE)
        return api_reply_rerank(job->call, &job->info, e->vectors, &job->usage, out);
    float *scores = mem_alloc(e->n * sizeof *scores);
    if (!scores) return BT_E_MEMORY;
    for (size_t i = 1; i < e->n; i++) {
        double dot = 0;
        for (size_t d = 0; d < dims; d++)
            dot += (double)e->vectors[d] * (double)e->vectors[i * dims + d];
        scores[i - 1] = (float)dot;
    }
    bt_status status = api_reply_rerank(job->call, &job->info, scores, &job->usage, out);
    mem_free(scores);
    return status;
}

/* Answers. Under the lock. */
static void finish(Job *job, bt_status status, const bt_error *why)
{
    ApiError error = {0};
    job->usage.total_us = (uint64_t)((os_seconds() - job->began) * 1e6);
    job->usage.prefill_us = job->usage.total_us - job->usage.queued_us;
    if (!status && job->call->kind == API_RERANK) {
        if (rank(job, &job->out) != BT_OK) job->out.failed = true;
    } else if (!status) {
        api_reply_embeddings(job->call, &job->info, job->embed.vectors, job->embed.n,
                             job->embed.dims, &job->usage, &job->out);
    }
    if (status) {
        api_error_from(&error, why);
        job_fail(job, &error);
        job_end(job);
    } else {
        job_answer(job, api_reply_type(job->call));
    }
}

bool embed_step(Worker *w)
{
    Job *job = dequeue(w);
    bt_error why = {0};
    if (!job) return false;
    bool cancelled = atomic_load(&job->cancelled);
    if (!job->embed.done) job->usage.queued_us = (uint64_t)((os_seconds() - job->began) * 1e6);
    bt_status status = cancelled ? BT_E_CANCELLED : run_batch(job, &why);
    if (!status && job->embed.done < job->embed.n) {
        pthread_mutex_lock(&w->lock);
        enqueue(w, job);
        pthread_mutex_unlock(&w->lock);
        return true;
    }
    pthread_mutex_lock(&job->lock);
    finish(job, status, &why);
    job_unlock(job);
    job_drop(job); /* the queue's hold */
    return true;
}
