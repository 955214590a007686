/* What is answered at once, without a step: tokens of texts and texts of tokens, rendered and
 * counted conversations, stored responses, the slots. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/worker_inner.h"
#include "text/utf8_stream.h"

static bt_status no_memory(ApiError *err)
{
    return api_fail(err, API_E_INTERNAL, NULL, "not enough memory for the answer");
}

/* ---- tokens ---- */

/* The texts of ids: one after another in *bytes, each piece a part of it. */
static bool pieces_of(const Worker *w, const Prompt *p, Buf *bytes, ApiText **out)
{
    ApiText *pieces = *out = mem_zalloc(p->n + 1, sizeof *pieces);
    if (!pieces) return false;
    for (size_t i = 0; i < p->n; i++) {
        char text[256];
        int64_t n = bt_model_token_text(w->model, p->ids[i], true, text, sizeof text);
        pieces[i].size = n < 0 ? 0 : n > (int64_t)sizeof text ? sizeof text : (size_t)n;
        buf_add(bytes, text, pieces[i].size);
        buf_char(bytes, '\0');
    }
    for (size_t i = 0, at = 0; i < p->n && !bytes->failed; i++) {
        pieces[i].text = bytes->data + at;
        at += pieces[i].size + 1;
    }
    return !bytes->failed;
}

static bt_status tokenize(Job *job, ApiError *err)
{
    const Worker *w = job->w;
    const ApiCall *call = job->call;
    unsigned first = call->add_special && w->info.add_bos ? BT_TOKENIZE_ADD_BOS : 0;
    unsigned flags = call->no_special ? BT_TOKENIZE_NO_SPECIAL : 0;
    Prompt p = {0};
    Buf bytes = {0};
    ApiText *pieces = NULL;
    bt_status status = BT_OK;
    if (call->n_prompts) status = prompt_parts(w, &call->prompts[0], first, flags, &p, err);
    if (!status && call->with_pieces && !pieces_of(w, &p, &bytes, &pieces)) status = no_memory(err);
    if (!status) api_reply_tokens(call, p.ids, pieces, p.n, &job->out);
    mem_free(p.ids);
    mem_free(pieces);
    buf_close(&bytes);
    return status;
}

static bt_status detokenize(Job *job, ApiError *err)
{
    const ApiCall *call = job->call;
    const ApiPart *part =
        call->n_prompts && call->prompts[0].n_parts ? &call->prompts[0].parts[0] : NULL;
    Utf8Stream stream = {0};
    Buf text = {0};
    for (size_t i = 0; part && i < part->n_ids; i++) {
        char piece[256];
        int64_t n = bt_model_token_text(job->w->model, part->ids[i], true, piece, sizeof piece);
        if (n < 0) {
            buf_close(&text);
            return api_fail(err, API_E_INVALID, "tokens", "token %d is outside the vocabulary",
                            (int)part->ids[i]);
        }
        utf8_stream_add(&stream, piece, n < (int64_t)sizeof piece ? (size_t)n : sizeof piece,
                        &text);
    }
    utf8_stream_end(&stream, &text);
    if (!text.failed) api_reply_text(call, text.data ? text.data : "", text.size, &job->out);
    bt_status status = text.failed ? no_memory(err) : BT_OK;
    buf_close(&text);
    return status;
}

/* ---- conversations ---- */

static bt_status count(Job *job, ApiError *err)
{
    bt_token *ids = NULL;
    size_t n = 0;
    bt_status status = prompt_chat(job, &ids, &n, NULL, err);
    if (!status) api_reply_count(job->call, n > INT32_MAX ? INT32_MAX : (int32_t)n, &job->out);
    bt_free(ids);
    return status;
}

static bt_status apply(Job *job, ApiError *err)
{
    Buf text = {0};
    bt_status status = prompt_chat(job, NULL, NULL, &text, err);
    if (!status) api_reply_text(job->call, text.data ? text.data : "", text.size, &job->out);
    buf_close(&text);
    return status;
}

/* ---- stored responses ---- */

static bt_status stored(Job *job, ApiError *err)
{
    const ApiCall *call = job->call;
    ResponsesStore *store = job->w->responses;
    const char *id = call->response_id ? call->response_id : "";
    Buf conversation = {0};
    bool found;
    double now = os_seconds();
    switch (call->kind) {
    case API_RESPONSE_GET:
        found = responses_get(store, job->principal, id, NULL, &job->out, now);
        break;
    case API_RESPONSE_ITEMS:
        found = responses_get(store, job->principal, id, &conversation, NULL, now);
        if (found) api_reply_items(conversation.data ? conversation.data : "[]", &job->out);
        break;
    default:
        found = responses_delete(store, job->principal, id, now);
        if (found) api_reply_simple(call, &job->info, &job->out);
        break;
    }
    bool failed = conversation.failed || job->out.failed;
    buf_close(&conversation);
    if (failed) return no_memory(err);
    if (found) return BT_OK;
    return api_fail(err, API_E_NOT_FOUND, NULL,
                    "there is no response '%.80s': it was not stored, or its time is over", id);
}

static bt_status answer(Job *job, ApiError *err)
{
    switch (job->call->kind) {
    case API_TOKENIZE: return tokenize(job, err);
    case API_DETOKENIZE: return detokenize(job, err);
    case API_COUNT_TOKENS: return count(job, err);
    case API_APPLY_TEMPLATE: return apply(job, err);
    case API_SLOTS: worker_slots(job->w, &job->out); return BT_OK;
    case API_LOAD:
    case API_UNLOAD: api_reply_simple(job->call, &job->info, &job->out); return BT_OK;
    default: return stored(job, err);
    }
}

static bool is_simple(ApiKind kind)
{
    switch (kind) {
    case API_TOKENIZE:
    case API_DETOKENIZE:
    case API_COUNT_TOKENS:
    case API_APPLY_TEMPLATE:
    case API_SLOTS:
    case API_LOAD:
    case API_UNLOAD:
    case API_RESPONSE_GET:
    case API_RESPONSE_ITEMS:
    case API_RESPONSE_DELETE: return true;
    default: return false;
    }
}

bool simple_answer(Job *job, ApiError *err, bt_status *status)
{
    if (!is_simple(job->call->kind)) return false;
    *status = answer(job, err);
    if (*status) return true;
    pthread_mutex_lock(&job->lock);
    job_answer(job, api_reply_type(job->call));
    job_unlock(job);
    return true;
}
