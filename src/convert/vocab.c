/* The vocabulary's keys: whichever of tokenizer.model and tokenizer.json the folder has, its added
 * and special tokens, and the chat template. A folder without both (a fixture, a base for a draft)
 * gives "no_vocab". */
#include "convert/vocab.h"

#include <stdio.h>

#define GGML(name) "tokenizer.ggml." name

/* ---- added tokens ---- */

/* Texts that are control tokens although some makers do not say so. */
static bool looks_special(Span t)
{
    static const char *const names[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]", "[PAD]", NULL};
    static const char left[] = "<\xEF\xBD\x9C", right[] = "\xEF\xBD\x9C>";
    for (const char *const *n = names; *n; n++)
        if (span_is(t, *n)) return true;
    if (t.size < 4) return false;
    const char *end = t.data + t.size;
    if (memcmp(t.data, "<|", 2) == 0 && memcmp(end - 2, "|>", 2) == 0) return true;
    if (t.size >= 8 && memcmp(t.data, left, 4) == 0 && memcmp(end - 4, right, 4) == 0) return true;
    return t.size > 8 && memcmp(t.data, "<unused", 7) == 0 && end[-1] == '>';
}

/* A user's token is looked for in text as typed: with spaces. */
static Span with_spaces(Convert *c, Span t)
{
    size_t n = 0;
    bool any = false;
    for (size_t i = 0; i + 2 < t.size && !any; i++)
        any = memcmp(t.data + i, "\xE2\x96\x81", 3) == 0;
    char *out = any ? plan_memory(c, t.size, 1) : NULL;
    if (!out) return t;
    for (size_t i = 0; i < t.size;) {
        bool low = i + 2 < t.size && memcmp(t.data + i, "\xE2\x96\x81", 3) == 0;
        out[n++] = low ? ' ' : t.data[i];
        i += low ? 3 : 1;
    }
    return (Span){out, n};
}

static void add_token(Convert *c, Voc *v, int64_t id, Span text, bool special)
{
    int64_t most = c->size.vocab ? c->size.vocab : (int64_t)VOCAB_MOST_TOKENS;
    if (id < 0 || id >= VOCAB_MOST_TOKENS) {
        plan_fail(c, BT_E_FORMAT, "the added token '%.*s' has no id from 0 to %u",
                  (int)(text.size < 60 ? text.size : 60), text.data, VOCAB_MOST_TOKENS - 1);
        return;
    }
    if (id >= most) { /* Gemma 3's text models carry tokens for images they cannot take */
        plan_note(c, "the added token '%.*s' has no row in the weights and is left out",
                  (int)(text.size < 60 ? text.size : 60), text.data);
        return;
    }
    if (!voc_grow(c, v, (uint32_t)id + 1)) return;
    bool control = special || looks_special(text);
    if (v->types[id] == 0) v->scores[id] = -1000;
    v->tokens[id] = control || strcmp(v->model, "gpt2") == 0 ? text : with_spaces(c, text);
    v->types[id] = v->types[id] == 2 || v->types[id] == 6 ? v->types[id] : control ? 3 : 4;
}

void voc_add_tokens(Convert *c, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef list = d ? jdoc_get(d, 0, "added_tokens") : JDOC_NO;
    if (d && jdoc_type(d, list) == JDOC_ARRAY) {
        JdocRef e = jdoc_first(d, list);
        for (uint32_t i = 0; i < jdoc_count(d, list) && !plan_failed(c); i++, e = jdoc_next(d, e)) {
            int64_t id = -1;
            jdoc_integer(d, jdoc_get(d, e, "id"), &id);
            add_token(c, v, id, jdoc_text(d, jdoc_get(d, e, "content")),
                      jdoc_type(d, jdoc_get(d, e, "special")) == JDOC_TRUE);
        }
        return;
    }
    d = c->tok_config;
    list = d ? jdoc_get(d, 0, "added_tokens_decoder") : JDOC_NO;
    if (!d || jdoc_type(d, list) != JDOC_OBJECT) return;
    JdocRef k = jdoc_first(d, list);
    for (uint32_t i = 0; i < jdoc_count(d, list) && !plan_failed(c); i++) {
        JdocRef e = jdoc_next(d, k);
        Span digits = jdoc_text(d, k);
        int64_t id = digits.size && digits.size < 9 ? 0 : -1;
        for (size_t j = 0; j < digits.size && id >= 0; j++)
            id = digits.data[j] >= '0' && digits.data[j] <= '9' ? id * 10 + digits.data[j] - '0'
                                                                : -1;
        add_token(c, v, id, jdoc_text(d, jdoc_get(d, e, "content")),
                  jdoc_type(d, jdoc_get(d, e, "special")) == JDOC_TRUE);
        k = jdoc_next(d, e);
    }
}

/* Rows of the weights that no token has: "[PAD7]", unused. */
static void fill_gaps(Convert *c, Voc *v)
{
    if (c->size.vocab && !voc_grow(c, v, (uint32_t)c->size.vocab)) return;
    for (uint32_t i = 0; i < v->n && !plan_failed(c); i++) {
        if (v->types[i]) continue;
        char *text = plan_memory(c, 20, 1);
        if (!text) return;
        snprintf(text, 20, "[PAD%u]", i);
        v->tokens[i] = span_of(text);
        v->types[i] = 5;
        v->scores[i] = -1000;
    }
}

/* ---- special tokens ---- */

/* "<s>", or {"content": "<s>"}. */
static Span token_text(const Jdoc *d, JdocRef v)
{
    if (jdoc_type(d, v) == JDOC_OBJECT) v = jdoc_get(d, v, "content");
    return jdoc_text(d, v);
}

static bool put_id(Convert *c, const Voc *v, const char *key, int64_t id)
{
    if (id < 0 || id >= v->n) return false;
    gguf_put_u32(c->writer, key, (uint32_t)id);
    return true;
}

static int64_t config_id(const Convert *c, const char *name)
{
    char key[40];
    int64_t id = -1;
    snprintf(key, sizeof key, "%s_token_id", name);
    JdocRef v = conf_find(c, key);
    if (jdoc_type(c->config, v) == JDOC_ARRAY) v = jdoc_at(c->config, v, 0);
    jdoc_integer(c->config, v, &id);
    return id;
}

/* tokenizer_config.json names the text, config.json the id. */
static int64_t special_id(Convert *c, const Voc *v, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "%s_token", name);
    Span text =
        c->tok_config ? token_text(c->tok_config, jdoc_get(c->tok_config, 0, key)) : SPAN("");
    int64_t id = text.size ? voc_find(v, text) : -1;
    return id >= 0 ? id : config_id(c, name);
}

/* generation_config.json may end an answer with more tokens than one: those are eot and eom. */
static void put_more_ends(Convert *c, const Voc *v, int64_t eos)
{
    const Jdoc *d = c->generation;
    JdocRef list = d ? jdoc_get(d, 0, "eos_token_id") : JDOC_NO;
    const char *const keys[] = {GGML("eot_token_id"), GGML("eom_token_id")};
    JdocRef e = d && jdoc_type(d, list) == JDOC_ARRAY ? jdoc_first(d, list) : JDOC_NO;
    size_t used = 0;
    for (uint32_t i = 0; e != JDOC_NO && i < jdoc_count(d, list) && used < 2; i++) {
        int64_t id = -1;
        jdoc_integer(d, e, &id);
        if (id != eos && put_id(c, v, keys[used], id)) used++;
        e = jdoc_next(d, e);
    }
}

static void put_specials(Convert *c, const Voc *v, int32_t closing)
{
    static const struct {
        const char *name, *key;
        int32_t type; /* of the token if nothing names it; 0: none */
    } all[] = {{"bos", GGML("bos_token_id")},        {"eos", GGML("eos_token_id")},
               {"unk", GGML("unknown_token_id"), 2}, {"sep", GGML("seperator_token_id")},
               {"pad", GGML("padding_token_id")},    {"cls", GGML("cls_token_id")},
               {"mask", GGML("mask_token_id")}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int64_t id = special_id(c, v, all[i].name);
        /* Qwen3-Embedding names another one than it puts last. */
        if (i == 1 && closing >= 0) id = closing;
        for (uint32_t t = 0; all[i].type && id < 0 && t < v->n; t++)
            if (v->types[t] == all[i].type) id = t;
        put_id(c, v, all[i].key, id);
        if (i == 1) put_more_ends(c, v, id);
    }
}

/* The token that the post-processor puts first, or last; -1: none. */
static int32_t processor_token(const Convert *c, const Voc *v, bool last)
{
    const Jdoc *d = c->tokenizer;
    JdocRef post = d ? jdoc_get(d, 0, "post_processor") : JDOC_NO;
    JdocRef list = d ? jdoc_get(d, post, "processors") : JDOC_NO;
    uint32_t n = d && jdoc_type(d, list) == JDOC_ARRAY ? jdoc_count(d, list) : 1;
    JdocRef p = n && d && jdoc_type(d, list) == JDOC_ARRAY ? jdoc_first(d, list) : post;
    for (uint32_t i = 0; d && i < n; i++, p = jdoc_next(d, p)) {
        JdocRef type = jdoc_get(d, p, "type"), single = jdoc_get(d, p, "single");
        Span name = SPAN("");
        if (jdoc_is(d, type, "RobertaProcessing") || jdoc_is(d, type, "BertProcessing")) {
            name = jdoc_text(d, jdoc_at(d, jdoc_get(d, p, last ? "sep" : "cls"), 0));
        } else if (jdoc_is(d, type, "TemplateProcessing")) {
            JdocRef e = jdoc_at(d, single, last ? jdoc_count(d, single) - 1 : 0);
            name = jdoc_text(d, jdoc_get(d, jdoc_get(d, e, "SpecialToken"), "id"));
        }
        if (name.size && voc_find(v, name) >= 0) return voc_find(v, name);
    }
    return -1;
}

/* Whether a text begins with BOS and ends with EOS: tokenizer_config.json says so, else the
 * post-processor does. */
static void put_flags(Convert *c, const Voc *v, int32_t closing)
{
    static const char *const names[] = {"bos", "eos"};
    for (int i = 0; i < 2; i++) {
        char from[32], key[48];
        snprintf(from, sizeof from, "add_%s_token", names[i]);
        snprintf(key, sizeof key, GGML("add_%s_token"), names[i]);
        const Jdoc *d = c->tok_config;
        JdocType type = d ? jdoc_type(d, jdoc_get(d, 0, from)) : JDOC_NONE;
        if (type == JDOC_TRUE || type == JDOC_FALSE)
            gguf_put_bool(c->writer, key, type == JDOC_TRUE);
        else if (c->tokenizer && (i == 0 || closing >= 0))
            gguf_put_bool(c->writer, key, i == 1 || processor_token(c, v, false) >= 0);
    }
    if (v->space_prefix >= 0)
        gguf_put_bool(c->writer, GGML("add_space_prefix"), v->space_prefix != 0);
    if (v->squeeze >= 0)
        gguf_put_bool(c->writer, GGML("remove_extra_whitespaces"), v->squeeze != 0);
    if (v->nfc) gguf_put_string(c->writer, GGML("normalizer"), "NFC");
}

/* ---- chat template ---- */

/* One text, or a list of named ones. */
static void put_templates(Convert *c, const Jdoc *d, JdocRef v)
{
    char key[120];
    JdocRef e = jdoc_first(d, v);
    if (jdoc_type(d, v) == JDOC_STRING)
        gguf_put_span(c->writer, "tokenizer.chat_template", jdoc_text(d, v));
    if (jdoc_type(d, v) != JDOC_ARRAY) return;
    for (uint32_t i = 0; i < jdoc_count(d, v) && i < 32; i++, e = jdoc_next(d, e)) {
        Span name = jdoc_text(d, jdoc_get(d, e, "name")),
             text = jdoc_text(d, jdoc_get(d, e, "template"));
        if (!name.size || name.size > 64 || !text.size) continue;
        bool usual = span_is(name, "default");
        snprintf(key, sizeof key, "tokenizer.chat_template%s%.*s", usual ? "" : ".",
                 usual ? 0 : (int)name.size, name.data);
        gguf_put_span(c->writer, key, text);
    }
}

static void put_chat_template(Convert *c)
{
    Jdoc *json = NULL;
    JdocRef v = c->tok_config ? jdoc_get(c->tok_config, 0, "chat_template") : JDOC_NO;
    if (v != JDOC_NO && jdoc_type(c->tok_config, v) != JDOC_NULL) {
        put_templates(c, c->tok_config, v);
        return;
    }
    Span file = plan_file(c, "chat_template.jinja");
    if (file.size) {
        gguf_put_span(c->writer, "tokenizer.chat_template", file);
        return;
    }
    plan_json(c, "chat_template.json", &json);
    if (json && !plan_failed(c)) put_templates(c, json, jdoc_get(json, 0, "chat_template"));
    jdoc_close(&json);
}

/* ---- all ---- */

static void put_vocab(Convert *c, const Voc *v)
{
    bool unigram = strcmp(v->model, "t5") == 0, words = strcmp(v->model, "bert") == 0;
    bool scored = unigram || strcmp(v->model, "llama") == 0;
    int32_t closing = words ? -1 : processor_token(c, v, true); /* "bert" means SEP */
    gguf_put_string(c->writer, GGML("model"), v->model);
    if (v->pre) gguf_put_string(c->writer, GGML("pre"), v->pre);
    gguf_put_spans(c->writer, GGML("tokens"), v->tokens, v->n);
    if (scored) gguf_put_f32s(c->writer, GGML("scores"), v->scores, v->n);
    gguf_put_i32s(c->writer, GGML("token_type"), v->types, v->n);
    if (v->n_merges) gguf_put_spans(c->writer, GGML("merges"), v->merges, v->n_merges);
    if (v->charsmap.size) gguf_put_bytes(c->writer, GGML("precompiled_charsmap"), v->charsmap);
    put_specials(c, v, closing);
    put_flags(c, v, closing);
}

void plan_vocab(Convert *c)
{
    Voc v = {.space_prefix = -1, .squeeze = -1};
    if (plan_failed(c)) return;
    bool level = c->tokenizer && voc_has_pre(c, "ByteLevel");
    Span spm = level ? (Span){0} : plan_file(c, "tokenizer.model");
    if (spm.size)
        voc_read_spm(c, spm, &v);
    else if (c->tokenizer)
        voc_read_json(c, &v);
    if (plan_failed(c)) return;
    if (!v.model) {
        gguf_put_string(c->writer, GGML("model"), "no_vocab");
        plan_note(c, "neither tokenizer.json nor tokenizer.model: the result has no vocabulary");
        return;
    }
    voc_add_tokens(c, &v);
    fill_gaps(c, &v);
    if (plan_failed(c)) return;
    put_vocab(c, &v);
    put_chat_template(c);
}
