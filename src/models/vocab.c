/* Vocabulary of a GGUF (see vocab.h). Key names are those of the GGUF specification. */
#include "models/vocab.h"

#include <stdio.h>

#include "base/mem.h"
#include "io/gguf.h"

/* More would not be told from damage, and is never read. */
#define MOST_STRINGS (1u << 24)

#define KEY(name) "tokenizer.ggml." name

/* What is needed only until the tokenizer is open. */
typedef struct Reading {
    const Gguf *g;
    TokSource source;
    Span *merges;
    float *scores;
    int32_t *types;
} Reading;

static bt_status strings(const Gguf *g, const char *key, Span **out, uint64_t *count, bt_error *err)
{
    int64_t i = gguf_find_key(g, key);
    if (i < 0) return BT_OK;
    if (gguf_key_type(g, (size_t)i) != GGUF_ARRAY || gguf_array_type(g, (size_t)i) != GGUF_STRING)
        return bt_fail(err, BT_E_FORMAT, "%s: %s is not an array of strings", gguf_path(g), key);
    *count = gguf_array_count(g, (size_t)i);
    if (*count > MOST_STRINGS)
        return bt_fail(err, BT_E_LIMIT, "%s: %s has %llu strings, at most %u are allowed",
                       gguf_path(g), key, (unsigned long long)*count, MOST_STRINGS);
    *out = mem_alloc(*count * sizeof(Span));
    if (!*out) return bt_fail_memory(err, key, *count * sizeof(Span));
    return gguf_get_spans(g, key, *out, *count, err);
}

static bt_status wrong_count(const Gguf *g, const char *key, uint64_t count, uint64_t n,
                             bt_error *err)
{
    return bt_fail(err, BT_E_FORMAT, "%s: %s has %llu elements for %llu tokens", gguf_path(g), key,
                   (unsigned long long)count, (unsigned long long)n);
}

static bt_status numbers(Reading *r, bt_error *err)
{
    uint64_t n = r->source.n_tokens, count = n;
    bt_status status;
    if (gguf_find_key(r->g, KEY("scores")) >= 0) {
        r->scores = mem_alloc(n * sizeof(float));
        if (!r->scores) return bt_fail_memory(err, KEY("scores"), n * sizeof(float));
        status = gguf_get_f32s(r->g, KEY("scores"), false, r->scores, n, &count, err);
        if (status != BT_OK) return status;
        if (count != n) return wrong_count(r->g, KEY("scores"), count, n, err);
    }
    if (gguf_find_key(r->g, KEY("token_type")) >= 0) {
        r->types = mem_alloc(n * sizeof(int32_t));
        if (!r->types) return bt_fail_memory(err, KEY("token_type"), n * sizeof(int32_t));
        status = gguf_get_i32s(r->g, KEY("token_type"), false, r->types, n, &count, err);
        if (status != BT_OK) return status;
        if (count != n) return wrong_count(r->g, KEY("token_type"), count, n, err);
    }
    r->source.scores = r->scores;
    r->source.types = r->types;
    return BT_OK;
}

static bt_status ids(Reading *r, bt_error *err)
{
    TokSource *s = &r->source;
    const struct {
        const char *key;
        int32_t *id;
    } all[] = {
        {KEY("bos_token_id"), &s->bos},       {KEY("eos_token_id"), &s->eos},
        {KEY("unknown_token_id"), &s->unk},   {KEY("seperator_token_id"), &s->sep},
        {KEY("separator_token_id"), &s->sep}, {KEY("padding_token_id"), &s->pad},
        {KEY("cls_token_id"), &s->cls},       {KEY("mask_token_id"), &s->mask},
        {KEY("eot_token_id"), &s->eot},       {KEY("eom_token_id"), &s->eom},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        /* Some converters write "none" as 2^32 - 1. */
        uint32_t id;
        int64_t key = gguf_find_key(r->g, all[i].key);
        *all[i].id = key < 0 ? *all[i].id : -1;
        if (key < 0) continue;
        if (gguf_key_type(r->g, (size_t)key) == GGUF_U32) {
            bt_status status = gguf_get_u32(r->g, all[i].key, false, &id, err);
            if (status != BT_OK) return status;
            if (id == UINT32_MAX) continue;
        }
        bt_status status = gguf_get_i32(r->g, all[i].key, false, all[i].id, err);
        if (status != BT_OK) return status;
    }
    return BT_OK;
}

static bt_status flags(Reading *r, bt_error *err)
{
    TokSource *s = &r->source;
    const struct {
        const char *key;
        int *flag;
    } all[] = {
        {KEY("add_bos_token"), &s->add_bos},
        {KEY("add_eos_token"), &s->add_eos},
        {KEY("add_space_prefix"), &s->add_space_prefix},
        {KEY("remove_extra_whitespaces"), &s->remove_extra_whitespaces},
        {KEY("clean_up_tokenization_spaces"), &s->clean_spaces},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool value = false;
        if (gguf_find_key(r->g, all[i].key) < 0) continue;
        bt_status status = gguf_get_bool(r->g, all[i].key, false, &value, err);
        if (status != BT_OK) return status;
        *all[i].flag = value;
    }
    return BT_OK;
}

static bt_status read_keys(Reading *r, Vocab *v, bt_error *err)
{
    TokSource *s = &r->source;
    s->bos = s->eos = s->unk = s->sep = s->pad = s->cls = s->mask = s->eot = s->eom = -1;
    s->add_bos = s->add_eos = s->add_space_prefix = -1;
    s->remove_extra_whitespaces = s->clean_spaces = -1;
    s->model = SPAN("no_vocab");
    Span normalizer = SPAN("");
    bool unigram = false;
    bt_status status = gguf_get_span(r->g, KEY("model"), false, &s->model, err);
    if (status == BT_OK) status = gguf_get_span(r->g, KEY("pre"), false, &s->pre, err);
    if (status == BT_OK)
        status = gguf_get_span(r->g, "tokenizer.chat_template", false, &v->chat_template, err);
    if (status == BT_OK) status = gguf_get_span(r->g, KEY("normalizer"), false, &normalizer, err);
    if (status == BT_OK) status = strings(r->g, KEY("tokens"), &v->tokens, &s->n_tokens, err);
    if (status == BT_OK) status = strings(r->g, KEY("merges"), &r->merges, &s->n_merges, err);
    if (status == BT_OK) status = numbers(r, err);
    if (status == BT_OK) status = ids(r, err);
    if (status == BT_OK) status = flags(r, err);
    unigram = span_is(s->model, "t5");
    if (status == BT_OK && unigram)
        status = gguf_get_bytes(r->g, KEY("precompiled_charsmap"), false, &s->charsmap, err);
    if (status != BT_OK) return status;
    s->tokens = v->tokens;
    s->merges = r->merges;
    s->nfc = span_is(normalizer, "NFC");
    if (normalizer.size && !s->nfc)
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: " KEY("normalizer") " is '%.*s' (NFC is known)",
                       gguf_path(r->g), (int)(normalizer.size < 40 ? normalizer.size : 40),
                       normalizer.data);
    bool none = span_is(s->model, "no_vocab") || span_is(s->model, "none");
    if (!none && !s->n_tokens)
        return bt_fail(err, BT_E_FORMAT, "%s: " KEY("tokens") " is missing or empty",
                       gguf_path(r->g));
    return BT_OK;
}

bt_status vocab_load(const Gguf *g, Vocab **out, bt_error *err)
{
    Reading r = {.g = g};
    *out = NULL;
    Vocab *v = mem_zalloc(1, sizeof(Vocab));
    if (!v) return bt_fail_memory(err, "the vocabulary", sizeof(Vocab));
    bt_status status = read_keys(&r, v, err);
    if (status == BT_OK) {
        status = tok_open(&r.source, &v->tok, err);
        if (status != BT_OK && status != BT_E_MEMORY) bt_error_prefix(err, gguf_path(g));
    }
    mem_free(r.merges);
    mem_free(r.scores);
    mem_free(r.types);
    if (status != BT_OK) vocab_close(&v);
    *out = v;
    return status;
}

void vocab_close(Vocab **vocab)
{
    Vocab *v = *vocab;
    if (!v) return;
    tok_close(&v->tok);
    mem_free(v->tokens);
    mem_free(v);
    *vocab = NULL;
}
