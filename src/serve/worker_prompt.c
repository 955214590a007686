/* From what was asked to tokens: conversations through the model's template, prompts as they stand,
 * the two sides of a gap for models that fill it. */
#include <string.h>

#include "base/mem.h"
#include "engine/chat.h"
#include "serve/worker_inner.h"

enum { TAIL = 256 }; /* of a rendered prompt: enough for all marks that may end it */

static bt_status no_memory(ApiError *err)
{
    return api_fail(err, API_E_INTERNAL, NULL, "not enough memory for the prompt");
}

/* ---- runs of tokens ---- */

static bool grow(Prompt *p, size_t n)
{
    bt_token *ids = mem_realloc(p->ids, (p->n + n + 1) * sizeof *ids);
    if (ids) p->ids = ids;
    return ids != NULL;
}

static bool add_ids(Prompt *p, const bt_token *ids, size_t n)
{
    if (!grow(p, n)) return false;
    if (n) memcpy(p->ids + p->n, ids, n * sizeof *ids);
    p->n += n;
    return true;
}

static bool add_id(Prompt *p, bt_token id)
{
    return id < 0 || add_ids(p, &id, 1);
}

/* A guess of the count first (most texts have more than two bytes a token), then the rest. */
bt_status prompt_text(const Worker *w, const char *text, size_t size, unsigned flags, Prompt *p,
                      ApiError *err)
{
    bt_error why = {0};
    size_t room = size / 2 + 16;
    for (;;) {
        if (!grow(p, room)) return no_memory(err);
        int64_t n = bt_model_tokenize(w->model, text, size, flags, p->ids + p->n, room, &why);
        if (n < 0) {
            api_error_from(err, &why);
            return (bt_status)n;
        }
        if ((size_t)n <= room) {
            p->n += (size_t)n;
            return BT_OK;
        }
        room = (size_t)n;
    }
}

bt_status prompt_parts(const Worker *w, const ApiPrompt *prompt, unsigned first, unsigned flags,
                       Prompt *out, ApiError *err)
{
    for (size_t i = 0; i < prompt->n_parts; i++) {
        const ApiPart *part = &prompt->parts[i];
        bt_status status = BT_OK;
        if (part->ids ? !add_ids(out, part->ids, part->n_ids) : false) return no_memory(err);
        if (!part->ids)
            status = prompt_text(w, part->text, part->size, flags | (i ? 0 : first), out, err);
        if (status) return status;
    }
    return BT_OK;
}

/* ---- chats ---- */

static bt_status render(const Job *job, bt_token **ids, size_t *n, Buf *text, ApiError *err)
{
    const ApiCall *call = job->call;
    bt_error why = {0};
    Buf all = {0};
    const char *messages = call->messages;
    if (call->flavour == API_RESPONSES) {
        api_responses_messages(call, job->before.size ? job->before.data : NULL, &all);
        messages = all.failed ? NULL : all.data;
    }
    const bt_chat_request request = {.messages = messages,
                                     .tools = call->tools,
                                     .variables = call->variables,
                                     .think = call->think,
                                     .generation = true};
    bt_status status = messages ? chat_write(job->w->chat, &request, ids, n, text, &why)
                                : bt_fail_memory(&why, "the conversation", 0);
    if (status) api_error_from(err, &why);
    buf_close(&all);
    return status;
}

bt_status prompt_chat(Job *job, bt_token **ids, size_t *n, Buf *text, ApiError *err)
{
    const Worker *w = job->w;
    if (!w->chat)
        return api_fail(err, API_E_UNSUPPORTED, "messages",
                        "this model takes no conversations: %.800s", w->chat_error);
    if (job->call->tools && !bt_chat_takes_tools(w->chat))
        return api_fail(err, API_E_UNSUPPORTED, "tools",
                        "the chat template of this model takes no tools");
    return render(job, ids, n, text, err);
}

/* The end of the prompt, from which answers are read. Where the template wrote all of what is its
 * own there, that alone: it is the same for all conversations, and so are their grammars. */
static bool keep_tail(Job *job, Span text)
{
    const char *prefill = job->call->prefill ? job->call->prefill : "";
    const char *own = job->w->ends[job->call->think];
    size_t n = text.size, m = strlen(prefill), k = own ? strlen(own) : 0;
    if (!m && k && n >= k && memcmp(text.data + n - k, own, k) == 0) {
        job->tail = mem_strdup(own);
        return job->tail != NULL;
    }
    Buf tail = {0};
    size_t from = n > TAIL ? n - TAIL : 0;
    for (size_t i = from; i < n; i++) /* it is read as a C string, and only its end counts */
        if (!text.data[i]) from = i + 1;
    buf_add(&tail, text.data + from, n - from);
    buf_add(&tail, m > TAIL ? prefill + m - TAIL : prefill, m > TAIL ? TAIL : m);
    job->tail = buf_take(&tail);
    buf_close(&tail);
    return job->tail != NULL;
}

/* Tokens before those that open the answer, which the next turn's prompt has too: from the end, as
 * many as their texts are long. */
static size_t count_stable(const Job *job, const bt_token *ids, size_t n, Span text)
{
    const char *opens = job->w->opens[job->call->think];
    size_t tail = opens ? strlen(opens) : 0;
    if (!tail || text.size < tail || memcmp(text.data + text.size - tail, opens, tail) != 0)
        return 0;
    for (size_t left = tail; n && left;) {
        char piece[64];
        int64_t k = bt_model_token_text(job->w->model, ids[--n], true, piece, sizeof piece);
        left -= k > 0 && (size_t)k < left ? (size_t)k : left;
    }
    return n;
}

static bt_status make_chat(Job *job, Prompt *out, ApiError *err)
{
    bt_token *ids = NULL;
    Buf buf = {0};
    size_t n = 0;
    bt_status status = prompt_chat(job, &ids, &n, &buf, err);
    Span text = {buf.data ? buf.data : "", buf.size};
    bool good = status || (keep_tail(job, text) && add_ids(out, ids, n));
    if (!status) out->stable = count_stable(job, ids, n, text);
    bt_free(ids);
    buf_close(&buf);
    if (status) return status;
    if (!good) return no_memory(err);
    const char *prefill = job->call->prefill;
    return prefill ? prompt_text(job->w, prefill, strlen(prefill), BT_TOKENIZE_NO_SPECIAL, out, err)
                   : BT_OK;
}

/* ---- prompts as they stand ---- */

static bt_status make_prompt(const Job *job, size_t i, Prompt *out, ApiError *err)
{
    const Worker *w = job->w;
    unsigned first = w->info.add_bos ? BT_TOKENIZE_ADD_BOS : 0;
    bt_status status = prompt_parts(w, &job->call->prompts[i], first, 0, out, err);
    if (status || out->n) return status;
    if (w->info.bos < 0 && w->info.eos < 0)
        return api_fail(err, API_E_INVALID, "prompt", "the prompt is empty");
    return add_id(out, w->info.bos >= 0 ? w->info.bos : w->info.eos) ? BT_OK : no_memory(err);
}

/* ---- what stands between ---- */

static bt_status add_file(const Worker *w, const ApiPair *file, Prompt *out, ApiError *err)
{
    const unsigned flags = BT_TOKENIZE_NO_SPECIAL;
    if (w->fim.file < 0) return BT_OK;
    if (!add_id(out, w->fim.file)) return no_memory(err);
    bt_status status = prompt_text(w, file->key, strlen(file->key), flags, out, err);
    if (!status) status = prompt_text(w, "\n", 1, flags, out, err);
    return status ? status : prompt_text(w, file->value, strlen(file->value), flags, out, err);
}

/* Other files of the work come first, where the family has a form for them: the repository's name,
 * then each with its own, the one with the gap last. */
static bt_status add_files(const Job *job, Prompt *out, ApiError *err)
{
    static const ApiPair self = {"filename", ""};
    const Worker *w = job->w;
    bt_status status = BT_OK;
    if (!job->call->n_extra || w->fim.file < 0) return BT_OK;
    if (w->fim.repository >= 0) {
        if (!add_id(out, w->fim.repository)) return no_memory(err);
        status = prompt_text(w, "project\n", 8, BT_TOKENIZE_NO_SPECIAL, out, err);
    }
    for (size_t i = 0; i < job->call->n_extra && !status; i++)
        status = add_file(w, &job->call->extra[i], out, err);
    return status ? status : add_file(w, &self, out, err);
}

static bt_status between(const Job *job, ApiText prefix, ApiText suffix, const ApiPrompt *after,
                         Prompt *out, ApiError *err)
{
    const Worker *w = job->w;
    const unsigned flags = BT_TOKENIZE_NO_SPECIAL;
    if (!w->fills)
        return api_fail(err, API_E_UNSUPPORTED, "suffix",
                        "this model was not trained to fill a gap: its vocabulary has no tokens "
                        "for that");
    if (w->info.add_bos && !add_id(out, w->info.bos)) return no_memory(err);
    bt_status status = add_files(job, out, err);
    if (!status && !add_id(out, w->fim.prefix)) return no_memory(err);
    if (!status) status = prompt_text(w, prefix.text, prefix.size, flags, out, err);
    if (!status && !add_id(out, w->fim.suffix)) return no_memory(err);
    if (!status) status = prompt_text(w, suffix.text, suffix.size, flags, out, err);
    if (!status && !add_id(out, w->fim.middle)) return no_memory(err);
    return status || !after ? status : prompt_parts(w, after, 0, flags, out, err);
}

static bt_status make_infill(const Job *job, Prompt *out, ApiError *err)
{
    const ApiCall *call = job->call;
    return between(job, call->prefix, call->infill_suffix,
                   call->n_prompts ? &call->prompts[0] : NULL, out, err);
}

/* A completion with a suffix: its prompt is the prefix. */
static bt_status make_gap(const Job *job, size_t i, Prompt *out, ApiError *err)
{
    const ApiCall *call = job->call;
    const ApiPrompt *prompt = &call->prompts[i];
    if (prompt->n_parts != 1 || prompt->parts[0].ids)
        return api_fail(err, API_E_INVALID, "suffix", "a suffix needs a prompt that is one text");
    const ApiText prefix = {prompt->parts[0].text, prompt->parts[0].size};
    return between(job, prefix, (ApiText){call->suffix, strlen(call->suffix)}, NULL, out, err);
}

bt_status prompt_make(Job *job, ApiError *err)
{
    const ApiCall *call = job->call;
    size_t n = call->kind == API_COMPLETION ? call->n_prompts : 1;
    if (!n) return api_fail(err, API_E_INVALID, "prompt", "there is no prompt");
    if (n * (size_t)call->n > WORKER_MOST_CHOICES)
        return api_fail(err, API_E_INVALID, "n",
                        "%zu prompts of %d answers each; at most %d "
                        "answers are given to one request",
                        n, (int)call->n, WORKER_MOST_CHOICES);
    job->prompts = mem_zalloc(n, sizeof *job->prompts);
    if (!job->prompts) return no_memory(err);
    job->n_prompts = n;
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) {
        Prompt *p = &job->prompts[i];
        if (call->kind == API_CHAT)
            status = make_chat(job, p, err);
        else if (call->kind == API_INFILL)
            status = make_infill(job, p, err);
        else
            status = call->suffix ? make_gap(job, i, p, err) : make_prompt(job, i, p, err);
    }
    return status;
}
