/* See rank.h. The question's form is that of the makers' model card; the text around it is cut at
 * its control tokens, so that what stands between two of them is made tokens of as one text. */
#include "engine/rank.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/session.h"

static const char qwen3_question[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    "the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n";

static const char query_mark[] = "{query}", document_mark[] = "{document}";

/* ---- what a model is ---- */

static const char *find(Span text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= text.size; i++)
        if (memcmp(text.data + i, what, n) == 0) return text.data + i;
    return NULL;
}

static bool is_called_reranker(const bt_model *m)
{
    static const char word[] = "rerank";
    for (const char *at = m->name ? m->name : ""; *at; at++) {
        size_t n = 0;
        while (word[n] && tolower((unsigned char)at[n]) == word[n]) n++;
        if (!word[n]) return true;
    }
    return false;
}

/* Between the texts of a pair RoBERTa and its kin write two separators, BERT and ModernBERT one. */
static bool separates_twice(const bt_model *m)
{
    Span kind = {"", 0};
    bool twice = false;
    if (gguf_find_key(m->gguf, "tokenizer.ggml.add_sep_token") >= 0 &&
        gguf_get_bool(m->gguf, "tokenizer.ggml.add_sep_token", false, &twice, NULL) == BT_OK)
        return twice;
    gguf_get_span(m->gguf, "tokenizer.ggml.model", false, &kind, NULL);
    return !span_is(kind, "bert") && strcmp(m->architecture, "modern-bert") != 0;
}

Rank rank_of(const bt_model *m)
{
    Rank r = {.question = {qwen3_question, sizeof qwen3_question - 1}, .yes = -1, .no = -1};
    const Tokenizer *tok = model_tokenizer(m);
    Span own = {NULL, 0};
    bool head = gguf_find_tensor(m->gguf, "cls.weight") ||
                gguf_find_tensor(m->gguf, "cls.output.weight");
    if (m->hyper.pooling == POOLING_RANK && head) {
        r.kind = m->hyper.causal ? RANK_ASKED : RANK_PAIR;
        r.twice = !m->hyper.causal && separates_twice(m);
        gguf_get_span(m->gguf, "tokenizer.chat_template.rerank", false, &own, NULL);
        const char *query = find(own, query_mark), *document = find(own, document_mark);
        if (query && document && query < document) r.question = own;
    } else if (!m->hyper.embeds && strcmp(m->architecture, "qwen3") == 0 && is_called_reranker(m)) {
        r.yes = tok_find(tok, SPAN("yes"));
        r.no = tok_find(tok, SPAN("no"));
        if (r.yes >= 0 && r.no >= 0) r.kind = RANK_ANSWERED;
    }
    return r;
}

/* ---- tokens ---- */

typedef struct Ids {
    const bt_model *model;
    bt_token *list;
    size_t n;
    bt_error *err;
} Ids;

static bt_status add(Ids *out, Span text, unsigned flags)
{
    size_t room = text.size + 8;
    bt_token *list = mem_realloc(out->list, (out->n + room) * sizeof *list);
    if (!list) return bt_fail_memory(out->err, "a pair of texts", room * sizeof *list);
    out->list = list;
    int64_t n = bt_model_tokenize(out->model, text.data ? text.data : "", text.size, flags,
                                  list + out->n, room, out->err);
    if (n < 0) return (bt_status)n;
    if ((size_t)n > room)
        return bt_fail(out->err, BT_E_INTERNAL, "%zu bytes are %lld tokens", text.size,
                       (long long)n);
    out->n += (size_t)n;
    return BT_OK;
}

/* Both as whole texts, the second without what opens it. */
static bt_status add_pair(Ids *out, const Rank *r, Span query, Span document)
{
    const unsigned flags = BT_TOKENIZE_WHOLE | BT_TOKENIZE_NO_SPECIAL;
    bt_status status = add(out, query, flags);
    size_t begin = out->n;
    if (!status) status = add(out, document, flags);
    if (status || !begin) return status;
    bool opened = tok_adds_bos(model_tokenizer(out->model));
    if (r->twice && opened) { /* a separator in the place of what opens the second */
        out->list[begin] = out->list[begin - 1];
    } else if (opened) {
        memmove(out->list + begin, out->list + begin + 1, (out->n - begin - 1) * sizeof *out->list);
        out->n--;
    }
    return BT_OK;
}

/* Bytes at the end of a text (or, `front`, at its beginning) that no control token has a part in.
 */
static bt_status plain_part(Ids *scratch, Span text, bool front, size_t *bytes)
{
    const Tokenizer *tok = model_tokenizer(scratch->model);
    scratch->n = 0;
    *bytes = 0;
    bt_status status = add(scratch, text, 0);
    for (size_t i = 0; i < scratch->n && !status; i++) {
        bt_token id = scratch->list[front ? i : scratch->n - 1 - i];
        if (tok_is_special(tok, id)) return BT_OK;
        int64_t n = bt_model_token_text(scratch->model, id, true, NULL, 0);
        *bytes += n > 0 ? (size_t)n : 0;
        if (*bytes > text.size) *bytes = text.size;
    }
    return status;
}

static bt_status add_question(Ids *out, const Rank *r, Span query, Span document)
{
    const char *at = find(r->question, query_mark), *end = r->question.data + r->question.size;
    const char *to = find(r->question, document_mark);
    Span head = {r->question.data, (size_t)(at - r->question.data)};
    Span between = {at + strlen(query_mark), (size_t)(to - at) - strlen(query_mark)};
    Span tail = {to + strlen(document_mark), (size_t)(end - to) - strlen(document_mark)};
    Ids scratch = {.model = out->model, .err = out->err};
    Buf middle = {0};
    size_t before, after = 0;
    bt_status status = plain_part(&scratch, head, false, &before);
    if (!status) status = plain_part(&scratch, tail, true, &after);
    mem_free(scratch.list);
    if (status) return status;
    buf_add(&middle, head.data + head.size - before, before);
    buf_add(&middle, query.data, query.size);
    buf_add(&middle, between.data, between.size);
    buf_add(&middle, document.data, document.size);
    buf_add(&middle, tail.data, after);
    if (middle.failed) status = bt_fail_memory(out->err, "a question", middle.size);
    if (!status) status = add(out, (Span){head.data, head.size - before}, 0);
    if (!status) status = add(out, (Span){middle.data, middle.size}, BT_TOKENIZE_NO_SPECIAL);
    if (!status) status = add(out, (Span){tail.data + after, tail.size - after}, 0);
    buf_close(&middle);
    return status;
}

bt_status rank_ids(const bt_model *model, const Rank *r, Span query, Span document, bt_token **ids,
                   size_t *n, bt_error *err)
{
    Ids out = {.model = model, .err = err};
    bt_status status = r->kind == RANK_PAIR ? add_pair(&out, r, query, document)
                                            : add_question(&out, r, query, document);
    if (status) mem_free(out.list);
    *ids = status ? NULL : out.list;
    *n = status ? 0 : out.n;
    return status;
}

/* ---- scores ---- */

/* The sequence keeps what the pairs begin with alike. */
static bt_status answered(bt_session *s, const Rank *r, const bt_ids *pair, float *out,
                          bt_error *err)
{
    const bt_token *held = session_tokens(s, 0);
    int32_t same = 0, n = bt_session_length(s, 0);
    if (pair->n > (size_t)bt_session_context(s))
        return bt_fail(err, BT_E_CONTEXT, "a pair has %zu tokens, and at most %d are read", pair->n,
                       bt_session_context(s));
    while (same < n && (size_t)same + 1 < pair->n && held[same] == pair->ids[same]) same++;
    bt_status status = bt_session_truncate(s, 0, same, err);
    if (status) status = bt_session_truncate(s, 0, same = 0, err);
    if (!status) status = bt_session_feed(s, 0, pair->ids + same, pair->n - (size_t)same, err);
    if (status) return status;
    const float *logits = bt_session_logits(s, -1);
    *out = (float)(1 / (1 + exp((double)logits[r->no] - (double)logits[r->yes])));
    return BT_OK;
}

bt_status rank_scores(bt_session *s, const Rank *r, const bt_ids *pairs, size_t n, float *out,
                      bt_error *err)
{
    if (r->kind != RANK_ANSWERED) return session_score(s, pairs, n, out, err);
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) status = answered(s, r, &pairs[i], out + i, err);
    return status;
}
