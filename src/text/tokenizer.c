/* The tokenizer of a vocabulary: opening, whole texts, questions about tokens (see tokenizer.h). */
#include "text/tokenizer.h"

#include <string.h>

#include "base/mem.h"
#include "text/nfc.h"
#include "text/tok.h"
#include "text/utf8.h"

/* ---- opening ---- */

static bt_status find_kind(Tokenizer *t, const TokSource *source, bt_error *err)
{
    static const char *const others[] = {"rwkv", "plamo2", "hybriddna", "whitespace", NULL};
    Span model = source->model;
    if (span_is(model, "llama")) {
        t->kind = TOK_KIND_SPM;
    } else if (span_is(model, "gpt2") || span_is(model, "gemma4")) {
        t->kind = TOK_KIND_BPE;
        t->raw = span_is(model, "gemma4");
    } else if (span_is(model, "bert")) {
        t->kind = TOK_KIND_WPM;
    } else if (span_is(model, "t5")) {
        t->kind = TOK_KIND_UNIGRAM;
    } else if (span_is(model, "no_vocab") || span_is(model, "none")) {
        t->kind = TOK_KIND_NONE;
    } else {
        for (const char *const *other = others; *other; other++)
            if (span_is(model, *other))
                return bt_fail(err, BT_E_UNSUPPORTED,
                               "tokenizer.ggml.model is '%s', a kind that is not supported (known: "
                               "llama, gpt2, gemma4, bert, t5, no_vocab)",
                               *other);
        return bt_fail(err, BT_E_FORMAT,
                       "tokenizer.ggml.model is '%.*s' (known: llama, gpt2, gemma4, bert, t5, "
                       "no_vocab)",
                       (int)(model.size < 64 ? model.size : 64), model.data ? model.data : "");
    }
    return BT_OK;
}

static bt_status check_id(const char *name, int32_t id, uint64_t n, bt_error *err)
{
    if (id >= -1 && (id < 0 || (uint64_t)id < n)) return BT_OK;
    return bt_fail(err, BT_E_FORMAT,
                   "tokenizer.ggml.%s_token_id is %d, outside the vocabulary of %llu tokens", name,
                   (int)id, (unsigned long long)n);
}

static bt_status check(const TokSource *source, bt_error *err)
{
    const struct {
        const char *name;
        int32_t id;
    } ids[] = {{"bos", source->bos},       {"eos", source->eos},     {"unknown", source->unk},
               {"seperator", source->sep}, {"padding", source->pad}, {"cls", source->cls},
               {"mask", source->mask},     {"eot", source->eot},     {"eom", source->eom}};
    if (source->n_tokens > TOK_MAX_TOKENS || source->n_merges > TOK_MAX_MERGES)
        return bt_fail(err, BT_E_LIMIT,
                       "tokenizer.ggml: %llu tokens and %llu merges, at most %u and %u are allowed",
                       (unsigned long long)source->n_tokens, (unsigned long long)source->n_merges,
                       TOK_MAX_TOKENS, TOK_MAX_MERGES);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        bt_status status = check_id(ids[i].name, ids[i].id, source->n_tokens, err);
        if (status != BT_OK) return status;
    }
    for (uint64_t i = 0; i < source->n_tokens; i++)
        if (source->tokens[i].size > TOK_MAX_LENGTH)
            return bt_fail(err, BT_E_FORMAT,
                           "tokenizer.ggml.tokens[%llu]: %zu bytes long, at most %u are allowed",
                           (unsigned long long)i, source->tokens[i].size, TOK_MAX_LENGTH);
    return BT_OK;
}

static int32_t or_default(const Tokenizer *t, int32_t id, int32_t usual)
{
    return id >= 0 ? id : usual >= 0 && (uint32_t)usual < t->n ? usual : -1;
}

/* XLM-R's is 3, T5's 2: the types say. */
static int32_t own_unknown(const Tokenizer *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->types[i] == TOK_UNKNOWN) return (int32_t)i;
    return 2;
}

/* What a kind means where the file does not say. */
static void set_defaults(Tokenizer *t, const TokSource *source)
{
    bool spm = t->kind == TOK_KIND_SPM, wpm = t->kind == TOK_KIND_WPM;
    bool unigram = t->kind == TOK_KIND_UNIGRAM;
    int32_t cls = source->cls >= 0 ? source->cls : source->bos;
    t->bos = wpm ? or_default(t, cls, 101) : or_default(t, source->bos, spm ? 1 : -1);
    t->eos = or_default(t, source->eos, spm ? 2 : unigram ? 1 : -1);
    t->unk = or_default(t, source->unk, spm ? 0 : wpm ? 100 : unigram ? own_unknown(t) : -1);
    t->sep = or_default(t, source->sep, wpm ? 102 : -1);
    bool usual = spm || wpm || (t->rule && t->rule->add_bos);
    t->add_bos = source->add_bos >= 0 ? source->add_bos != 0 : usual;
    t->add_eos = source->add_eos >= 0 ? source->add_eos != 0 : unigram;
    if (span_is(source->model, "gemma4")) t->add_bos = true; /* released files say false, wrongly */
    t->nfc = source->nfc;
    t->space_prefix = (spm || unigram) && source->add_space_prefix != 0;
}

static bt_status open_tokens(Tokenizer *t, const TokSource *source, bt_error *err)
{
    uint64_t room = t->n + 3 * source->n_merges;
    t->types = mem_alloc(t->n);
    t->ends = mem_zalloc(t->n / 8 + 1, 1);
    if (t->kind == TOK_KIND_BPE) room = t->n + t->n / 4 + 1024;
    bool plain = !tok_writes_spaces(t) || tok_spm_plain(t);
    if (!t->types || !t->ends || !plain || !tok_table_open(&t->table, room))
        return bt_fail_memory(err, "the vocabulary", room * sizeof(TokSlot));
    for (uint32_t i = 0; i < t->n; i++) {
        int32_t type = source->types ? source->types[i] : TOK_NORMAL;
        t->types[i] = (uint8_t)(type >= TOK_NORMAL && type <= TOK_BYTE ? type : TOK_NORMAL);
        if (source->tokens[i].size > t->longest) t->longest = (uint32_t)source->tokens[i].size;
        if (!tok_table_put(t, i))
            return bt_fail(err, BT_E_LIMIT,
                           "tokenizer.ggml.tokens[%u]: the tokens were made to collide; convert "
                           "the model again",
                           i);
    }
    return BT_OK;
}

bt_status tok_open(const TokSource *source, Tokenizer **out, bt_error *err)
{
    *out = NULL;
    bt_status status = check(source, err);
    if (status != BT_OK) return status;
    Tokenizer *t = mem_zalloc(1, sizeof(Tokenizer));
    if (!t) return bt_fail_memory(err, "the tokenizer", sizeof(Tokenizer));
    t->tokens = source->tokens;
    t->n = (uint32_t)source->n_tokens;
    status = find_kind(t, source, err);
    if (status == BT_OK) status = open_tokens(t, source, err);
    if (status == BT_OK && t->kind == TOK_KIND_BPE) status = tok_bpe_open(t, source, err);
    if (status == BT_OK && t->kind == TOK_KIND_SPM) status = tok_spm_open(t, source, err);
    if (status == BT_OK && t->kind == TOK_KIND_UNIGRAM) status = tok_unigram_open(t, source, err);
    if (status == BT_OK) {
        set_defaults(t, source);
        tok_mark_ends(t, source);
        status = tok_special_open(t, source->pre, err);
    }
    if (status != BT_OK) tok_close(&t);
    *out = t;
    return status;
}

void tok_close(Tokenizer **tok)
{
    Tokenizer *t = *tok;
    if (!t) return;
    mem_free(t->types);
    mem_free(t->ends);
    mem_free(t->extra);
    buf_close(&t->extra_text);
    tok_table_close(&t->table);
    mem_free(t->pairs);
    mem_free(t->result);
    tok_unigram_close(t);
    mem_free(t->plain);
    mem_free(t->plain_text);
    mem_free(t->order);
    mem_free(t->joins);
    mem_free(t->special);
    mem_free(t);
    *tok = NULL;
}

/* ---- whole texts ---- */

typedef struct Encode {
    const Tokenizer *t;
    TokIds ids;
    TokMerge *scratch;
    bool first; /* nothing, or a special token, stands before */
    bool failed;
} Encode;

static void encode_text(Encode *e, const char *p, size_t n)
{
    Buf normal = {0};
    if (n == 0 || e->failed) return;
    if (e->t->nfc && nfc_text(p, n, &normal)) {
        p = normal.data;
        n = normal.size;
    }
    bool ok = !normal.failed;
    if (!ok) n = 0;
    switch (e->t->kind) {
    case TOK_KIND_SPM: ok = tok_spm_encode(e->t, p, n, e->first, &e->scratch, &e->ids); break;
    case TOK_KIND_BPE: ok = tok_bpe_encode(e->t, p, n, &e->scratch, &e->ids); break;
    case TOK_KIND_WPM: ok = tok_wpm_encode(e->t, p, n, &e->ids); break;
    case TOK_KIND_UNIGRAM: ok = tok_unigram_encode(e->t, p, n, &e->ids); break;
    case TOK_KIND_NONE: break;
    }
    e->failed = !ok || normal.failed || e->ids.failed;
    e->first = false;
    buf_close(&normal);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* p[0..n) is all the parts, joined. */
static void encode_parts(Encode *e, const char *p, size_t n, const TokPart *parts, size_t n_parts)
{
    const Tokenizer *t = e->t;
    size_t from = 0, at = 0, part = 0, part_end = n_parts ? parts[0].text.size : 0;
    while (at < n && !e->failed) {
        while (at >= part_end && part + 1 < n_parts) part_end += parts[++part].text.size;
        const bool special = parts[part].special;
        const bool *begins = special ? t->begins : t->begins_user;
        const TokSpecial *s = NULL;
        while (at < part_end && !begins[(unsigned char)p[at]]) at++;
        if (at == part_end) continue;
        s = tok_special_match(t, p + at, n - at, special ? part_end - at : 0);
        if (!s) {
            at++;
            continue;
        }
        size_t end = at;
        while (s->lstrip && end > from && is_blank(p[end - 1])) end--;
        encode_text(e, p + from, end - from);
        tok_put(&e->ids, s->id);
        e->first = true;
        at += s->text.size;
        while (s->rstrip && at < n && is_blank(p[at])) at++;
        from = at;
    }
    encode_text(e, p + from, n - from);
}

bt_status tok_encode(const Tokenizer *tok, const TokPart *parts, size_t n_parts, bool add_bos,
                     int32_t **out, size_t *n_out, bt_error *err)
{
    *out = NULL;
    *n_out = 0;
    if (tok->kind == TOK_KIND_NONE)
        return bt_fail(err, BT_E_UNSUPPORTED, "this model has no vocabulary: it takes ids only");
    Encode e = {.t = tok, .first = true};
    Buf joined = {0};
    uint64_t size = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].text.size > TOK_MAX_TEXT - size)
            return bt_fail(err, BT_E_LIMIT, "the text is longer than %u bytes", TOK_MAX_TEXT);
        size += parts[i].text.size;
    }
    const char *text = n_parts == 1 ? parts[0].text.data : "";
    if (n_parts > 1) {
        for (size_t i = 0; i < n_parts; i++)
            buf_add(&joined, parts[i].text.data, parts[i].text.size);
        text = joined.data;
    }
    bool begin = add_bos && tok->bos >= 0, failed = joined.failed;
    if (begin) tok_put(&e.ids, tok->bos);
    if (!failed && size) encode_parts(&e, text, size, parts, n_parts);
    if (begin && e.ids.n > 1 && e.ids.data[1] == tok->bos)
        memmove(e.ids.data, e.ids.data + 1, --e.ids.n * sizeof(int32_t));
    if (add_bos && tok->kind == TOK_KIND_WPM && tok->sep >= 0) tok_put(&e.ids, tok->sep);
    if (!e.ids.data && !failed) e.ids.data = mem_alloc(1); /* no ids are no failure */
    failed = failed || e.failed || e.ids.failed || !e.ids.data;
    buf_close(&joined);
    tok_merge_close(&e.scratch);
    if (failed) {
        mem_free(e.ids.data);
        return bt_fail_memory(err, "the ids of a text", size);
    }
    *out = e.ids.data;
    *n_out = e.ids.n;
    return BT_OK;
}

/* ---- questions ---- */

const char *tok_kind(const Tokenizer *tok)
{
    static const char *const names[] = {"none", "spm", "bpe", "wpm", "unigram"};
    return names[tok->kind];
}

int32_t tok_size(const Tokenizer *tok)
{
    return (int32_t)tok->n;
}

bool tok_adds_bos(const Tokenizer *tok)
{
    return tok->add_bos && tok->bos >= 0;
}

int32_t tok_bos(const Tokenizer *tok)
{
    return tok->bos;
}

int32_t tok_eos(const Tokenizer *tok)
{
    return tok->eos;
}

int32_t tok_closing(const Tokenizer *tok)
{
    if (tok->kind == TOK_KIND_WPM) return tok_adds_bos(tok) ? -1 : tok->sep;
    return tok->add_eos ? tok->eos : -1;
}

static bool inside(const Tokenizer *tok, int32_t id)
{
    return id >= 0 && (uint32_t)id < tok->n;
}

bool tok_ends(const Tokenizer *tok, int32_t id)
{
    return inside(tok, id) && (tok->ends[id / 8] >> id % 8 & 1);
}

bool tok_is_special(const Tokenizer *tok, int32_t id)
{
    return inside(tok, id) && (tok->types[id] == TOK_CONTROL || tok->types[id] == TOK_UNKNOWN);
}

int32_t tok_find(const Tokenizer *tok, Span text)
{
    if (!text.size || text.size > tok->longest) return -1;
    if (!tok_writes_spaces(tok)) {
        uint32_t symbol = tok_symbol(tok, text.data, text.size);
        return symbol < tok->n ? (int32_t)symbol : -1;
    }
    /* Its table knows tokens by another text: a rare question, asked of each token. */
    char plain[TOK_MAX_SPECIAL];
    size_t n = 0;
    if (text.size <= sizeof(plain) && !memchr(text.data, ' ', text.size)) {
        for (size_t i = 0; i < text.size;) {
            bool mark = text.size - i >= 3 && memcmp(text.data + i, "\xE2\x96\x81", 3) == 0;
            plain[n++] = mark ? ' ' : text.data[i];
            i += mark ? 3 : 1;
        }
        uint32_t symbol = tok_symbol(tok, plain, n);
        return symbol < tok->n ? (int32_t)symbol : -1;
    }
    for (uint32_t i = tok->n; i-- > 0;)
        if (span_equal(tok->tokens[i], text)) return (int32_t)i;
    return -1;
}

/* ---- text of a token ---- */

typedef struct Writer {
    char *out;
    size_t capacity, n;
    bool drop_space; /* the first byte, if it is a space */
} Writer;

static void put_byte(Writer *w, char c)
{
    if (w->drop_space && c == ' ') {
        w->drop_space = false;
        return;
    }
    w->drop_space = false;
    if (w->n < w->capacity) w->out[w->n] = c;
    w->n++;
}

int64_t tok_text(const Tokenizer *tok, int32_t id, bool special, bool first, char *out,
                 size_t capacity)
{
    if (!inside(tok, id)) return -1;
    uint8_t type = tok->types[id];
    bool hidden = type == TOK_CONTROL || type == TOK_UNKNOWN;
    if (tok->kind == TOK_KIND_NONE || (hidden && !special)) return 0;
    Span text = tok->tokens[id];
    bool spaces = tok->kind != TOK_KIND_BPE || tok->raw, bytes = !spaces && type != TOK_USER;
    Writer w = {out, capacity, 0, false};
    int byte = tok_hex_byte(text);
    if (type == TOK_BYTE && byte >= 0) {
        put_byte(&w, (char)byte);
        return (int64_t)w.n;
    }
    w.drop_space = first && (tok->kind == TOK_KIND_WPM || tok->space_prefix);
    for (size_t i = 0, length; i < text.size; i += length) {
        uint32_t c = utf8_next(text.data + i, text.size - i, &length);
        if (!hidden && spaces && c == 0x2581)
            put_byte(&w, ' ');
        else if (!hidden && bytes && tok_char_byte(c) >= 0)
            put_byte(&w, (char)tok_char_byte(c));
        else
            for (size_t j = 0; j < length; j++) put_byte(&w, text.data[i + j]);
    }
    return (int64_t)w.n;
}
