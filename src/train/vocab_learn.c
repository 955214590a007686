/* From data to a vocabulary file (see vocab_learn.h). */
#include "train/vocab_learn.h"

#include <string.h>

#include "base/mem.h"
#include "engine/chat.h"
#include "io/gguf_write.h"
#include "text/pretokenize.h"
#include "text/tok.h"
#include "text/utf8.h"
#include "train/bpe.h"

/* A special token or a marker. */
typedef struct Own {
    Span text;
    bool marker;
} Own;

typedef struct Learning {
    const VocabOptions *options;
    const PreRule *rule;
    Own own[VOCAB_MOST_OWN];
    size_t n_own;
    bool begins[256]; /* bytes that one of them begins with */
    Words words;
    /* The bytes and our own tokens: what the chat template asks of a tokenizer. */
    Tokenizer *boot;
    char chars[256][4];
    Span tokens[256 + VOCAB_MOST_OWN];
    int32_t types[256 + VOCAB_MOST_OWN];
    Chat chat;
    Buf text, run;
    ChatParts parts;
} Learning;

static const char *const usual_special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

/* ---- our own tokens ---- */

static bt_status add_own(Learning *l, const char *text, bool marker, bt_error *err)
{
    size_t n = strlen(text);
    if (n == 0 || n > TOK_MAX_SPECIAL)
        return bt_fail(err, BT_E_ARGUMENT, "a special token must have 1 to %u bytes: '%.40s'",
                       TOK_MAX_SPECIAL, text);
    for (size_t i = 0; i < l->n_own; i++)
        if (span_is(l->own[i].text, text))
            return bt_fail(err, BT_E_ARGUMENT, "the token '%.40s' is given twice", text);
    if (l->n_own == VOCAB_MOST_OWN)
        return bt_fail(err, BT_E_ARGUMENT, "over %d special tokens and markers", VOCAB_MOST_OWN);
    l->own[l->n_own++] = (Own){{text, n}, marker};
    l->begins[(unsigned char)*text] = true;
    return BT_OK;
}

static bt_status read_own(Learning *l, bt_error *err)
{
    const VocabOptions *o = l->options;
    const char *const *special = o->special ? o->special : usual_special;
    size_t n = o->special ? o->n_special : sizeof usual_special / sizeof *usual_special;
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) status = add_own(l, special[i], false, err);
    for (size_t i = 0; i < o->n_markers && !status; i++)
        status = add_own(l, o->markers[i], true, err);
    if (!status && o->size < 256 + l->n_own)
        status = bt_fail(err, BT_E_ARGUMENT,
                         "a vocabulary of %u tokens cannot hold the 256 bytes and %zu special "
                         "tokens and markers",
                         o->size, l->n_own);
    return status;
}

static int32_t own_id(const Learning *l, uint32_t n_learned, const char *text)
{
    for (size_t i = 0; i < l->n_own; i++)
        if (span_is(l->own[i].text, text)) return (int32_t)(n_learned + i);
    return -1;
}

/* The longest of our tokens that p[0..n) begins with; its length or 0. */
static size_t own_at(const Learning *l, const char *p, size_t n, bool only_markers)
{
    size_t longest = 0;
    if (!l->begins[(unsigned char)*p]) return 0;
    for (size_t i = 0; i < l->n_own; i++) {
        Span t = l->own[i].text;
        if ((l->own[i].marker || !only_markers) && t.size > longest && t.size <= n &&
            memcmp(t.data, p, t.size) == 0)
            longest = t.size;
    }
    return longest;
}

/* ---- counting ---- */

static bool count_word(void *user, const char *word, size_t n)
{
    return words_add(user, word, n);
}

static bool count_run(Learning *l)
{
    bool good = !l->run.failed && (!l->run.size || pre_split(l->rule, l->run.data, l->run.size,
                                                             count_word, &l->words));
    buf_clear(&l->run);
    return good;
}

/* Words between our tokens. `special`: control tokens are meant, not only markers. */
static bool count_part(Learning *l, Span part, bool special)
{
    size_t start = 0;
    for (size_t i = 0; i < part.size;) {
        size_t own = own_at(l, part.data + i, part.size - i, !special);
        if (!own) {
            i++;
            continue;
        }
        buf_add(&l->run, part.data + start, i - start);
        if (!count_run(l)) return false;
        start = i += own;
    }
    buf_add(&l->run, part.data + start, part.size - start);
    return true;
}

static bt_status count_document(void *user, const DataDoc *doc, bt_error *err)
{
    Learning *l = user;
    bool good = true;
    if (doc->kind == DATA_CHAT) {
        const ChatAsk ask = {
            .messages = doc->messages, .tools = doc->tools, .variables = doc->variables};
        buf_clear(&l->text);
        bt_status status = chat_apply(&l->chat, &ask, &l->text, &l->parts, err);
        if (status) return status;
        for (size_t i = 0; i < l->parts.n && good; i++)
            good = count_part(l, l->parts.items[i].text, l->parts.items[i].special);
    } else {
        if (doc->kind == DATA_PAIR) good = count_part(l, doc->prompt, false);
        good = good && count_part(l, doc->text, false);
    }
    good = count_run(l) && good;
    return good ? BT_OK : bt_fail_memory(err, "the words of the data", l->words.bytes.size);
}

/* ---- the tokenizer that the chat template sees ---- */

static const char *pre_of(const VocabOptions *o)
{
    return o->pre ? o->pre : "qwen2";
}

static bt_status open_boot(Learning *l, bt_error *err)
{
    size_t n = 0;
    for (int byte = 0; byte < 256; byte++, n++) {
        l->tokens[n] =
            (Span){l->chars[n], utf8_put(tok_byte_char((unsigned char)byte), l->chars[n])};
        l->types[n] = TOK_NORMAL;
    }
    for (size_t i = 0; i < l->n_own; i++, n++) {
        l->tokens[n] = l->own[i].text;
        l->types[n] = l->own[i].marker ? TOK_USER : TOK_CONTROL;
    }
    TokSource source = tok_source(SPAN("gpt2"), span_of(pre_of(l->options)));
    source.tokens = l->tokens;
    source.n_tokens = n;
    source.types = l->types;
    source.eos = own_id(l, 256, "<|endoftext|>");
    source.add_bos = source.add_eos = 0;
    return tok_open(&source, &l->boot, err);
}

/* NUL-terminated; mem_free it. */
static char *template_of(const VocabOptions *o)
{
    return o->chat_template.size ? mem_strndup(o->chat_template.data, o->chat_template.size)
                                 : mem_strdup(vocab_template);
}

static bt_status open_all(Learning *l, bt_error *err)
{
    const VocabOptions *o = l->options;
    l->rule = pre_find(span_of(pre_of(o)));
    if (!l->rule || l->rule == pre_find(SPAN("gemma4")))
        return bt_fail(err, BT_E_ARGUMENT,
                       "'%.40s' is no known way to cut text into words for bytes "
                       "(docs/tokenizers.md lists them)",
                       pre_of(o));
    bt_status status = read_own(l, err);
    if (!status) status = open_boot(l, err);
    if (status) return status;
    char *text = template_of(o);
    if (!text) return bt_fail_memory(err, "a chat template", o->chat_template.size);
    const ChatSource from = {l->boot, text};
    status = chat_open(&from, NULL, &l->chat, err);
    mem_free(text);
    if (!status && !words_open(&l->words, o->most_bytes))
        status = bt_fail_memory(err, "the words of the data", sizeof(uint32_t));
    return status;
}

/* ---- writing ---- */

typedef struct Texts {
    Buf bytes;
    size_t *end; /* (n) in `bytes` */
    Span *spans; /* (n) */
    size_t n;
} Texts;

static bool texts_open(Texts *t, size_t most)
{
    t->end = mem_alloc(most * sizeof *t->end);
    t->spans = mem_alloc(most * sizeof *t->spans);
    return t->end && t->spans;
}

static void texts_close(Texts *t)
{
    buf_close(&t->bytes);
    mem_free(t->end);
    mem_free(t->spans);
}

static void add_bytes(Buf *out, const char *p, size_t n)
{
    char c[4];
    for (size_t i = 0; i < n; i++) buf_add(out, c, utf8_put(tok_byte_char((unsigned char)p[i]), c));
}

static const Span *texts_spans(Texts *t)
{
    for (size_t i = 0, at = 0; i < t->n; at = t->end[i++])
        t->spans[i] = (Span){t->bytes.data + at, t->end[i] - at};
    return t->spans;
}

static void make_texts(const Learning *l, const Bpe *bpe, Texts *tokens, Texts *merges,
                       int32_t *types)
{
    size_t n;
    const char *p;
    for (uint32_t i = 0; i < bpe->n_tokens; i++) {
        p = bpe_token(bpe, i, &n);
        add_bytes(&tokens->bytes, p, n);
        types[tokens->n] = TOK_NORMAL;
        tokens->end[tokens->n++] = tokens->bytes.size;
    }
    for (size_t i = 0; i < l->n_own; i++) {
        buf_add(&tokens->bytes, l->own[i].text.data, l->own[i].text.size);
        types[tokens->n] = l->own[i].marker ? TOK_USER : TOK_CONTROL;
        tokens->end[tokens->n++] = tokens->bytes.size;
    }
    for (uint32_t i = 0; i < bpe->n_merges; i++) {
        p = bpe_token(bpe, bpe->merges[i].left, &n);
        add_bytes(&merges->bytes, p, n);
        buf_char(&merges->bytes, ' ');
        p = bpe_token(bpe, bpe->merges[i].right, &n);
        add_bytes(&merges->bytes, p, n);
        merges->end[merges->n++] = merges->bytes.size;
    }
}

static void put_id(GgufWriter *w, const char *key, int32_t id)
{
    if (id >= 0) gguf_put_u32(w, key, (uint32_t)id);
}

static bt_status put_all(const Learning *l, const Bpe *bpe, Texts *tokens, Texts *merges,
                         const int32_t *types, const char *out, bt_error *err)
{
    const VocabOptions *o = l->options;
    GgufWriter *w = gguf_writer_open();
    char *template = template_of(o);
    bt_status status = BT_OK;
    if (!w || !template) status = bt_fail_memory(err, out, sizeof(void *));
    if (!status) {
        int32_t end = own_id(l, bpe->n_tokens, "<|endoftext|>");
        int32_t turn = own_id(l, bpe->n_tokens, "<|im_end|>");
        gguf_put_string(w, "general.architecture", "llama");
        gguf_put_string(w, "general.type", "vocab");
        if (o->name) gguf_put_string(w, "general.name", o->name);
        if (o->assistant) gguf_put_string(w, "bantam.assistant", o->assistant);
        gguf_put_string(w, "tokenizer.ggml.model", "gpt2");
        gguf_put_string(w, "tokenizer.ggml.pre", pre_of(o));
        gguf_put_spans(w, "tokenizer.ggml.tokens", texts_spans(tokens), tokens->n);
        gguf_put_i32s(w, "tokenizer.ggml.token_type", types, tokens->n);
        gguf_put_spans(w, "tokenizer.ggml.merges", texts_spans(merges), merges->n);
        put_id(w, "tokenizer.ggml.eos_token_id", end >= 0 ? end : turn);
        put_id(w, "tokenizer.ggml.eot_token_id", turn);
        put_id(w, "tokenizer.ggml.padding_token_id", end);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
        gguf_put_string(w, "tokenizer.chat_template", template);
        status = gguf_writer_save(w, out, err);
    }
    gguf_writer_close(&w);
    mem_free(template);
    return status;
}

static bt_status write_vocab(const Learning *l, const Bpe *bpe, const char *out, bt_error *err)
{
    size_t n = bpe->n_tokens + l->n_own;
    Texts tokens = {0}, merges = {0};
    int32_t *types = mem_alloc(n * sizeof *types);
    bt_status status = BT_OK;
    bool good = types && texts_open(&tokens, n) && texts_open(&merges, bpe->n_merges);
    if (good) make_texts(l, bpe, &tokens, &merges, types);
    if (!good || tokens.bytes.failed || merges.bytes.failed)
        status = bt_fail_memory(err, out, n * sizeof(Span));
    for (uint32_t i = 0; i < bpe->n_tokens && !status; i++)
        for (size_t j = 0, size; j < l->n_own && !status; j++) {
            const char *p = bpe_token(bpe, i, &size);
            if (span_equal((Span){p, size}, l->own[j].text))
                status = bt_fail(err, BT_E_ARGUMENT,
                                 "'%.40s' cannot be a special token: it is a byte, or was learned "
                                 "as a word",
                                 l->own[j].text.data);
        }
    if (!status) status = put_all(l, bpe, &tokens, &merges, types, out, err);
    mem_free(types);
    texts_close(&tokens);
    texts_close(&merges);
    return status;
}

/* ---- all of it ---- */

static bt_status learn(Learning *l, const char *const *paths, size_t n, const char *out,
                       VocabResult *r, bt_error *err)
{
    const VocabOptions *o = l->options;
    Bpe bpe = {0};
    bt_status status = open_all(l, err);
    if (!status) status = data_read(paths, n, &o->data, count_document, l, &r->data, err);
    const BpeOptions options = {.n_tokens = (uint32_t)(o->size - l->n_own),
                                .least = o->least,
                                .progress = o->data.progress,
                                .progress_user = o->data.progress_user};
    if (!status) status = bpe_learn(&l->words, &options, &bpe, err);
    if (status) return status;
    r->n_tokens = bpe.n_tokens + (uint32_t)l->n_own;
    r->n_merges = bpe.n_merges;
    r->n_own = (uint32_t)l->n_own;
    r->words = l->words.total;
    r->different = l->words.n;
    r->forgot = l->words.forgot;
    r->tokens = bpe.tokens;
    for (size_t i = 0; i < l->words.n; i++)
        r->bytes += l->words.items[i].size * l->words.items[i].count;
    status = write_vocab(l, &bpe, out, err);
    bpe_close(&bpe);
    return status;
}

bt_status vocab_learn(const char *const *paths, size_t n, const VocabOptions *options,
                      const char *out, VocabResult *result, bt_error *err)
{
    VocabResult own;
    VocabResult *r = result ? result : &own;
    *r = (VocabResult){0};
    Learning *l = mem_zalloc(1, sizeof *l);
    if (!l) return bt_fail_memory(err, "a vocabulary", sizeof *l);
    l->options = options;
    bt_status status = learn(l, paths, n, out, r, err);
    words_close(&l->words);
    chat_close(&l->chat);
    tok_close(&l->boot);
    chat_parts_close(&l->parts);
    buf_close(&l->text);
    buf_close(&l->run);
    mem_free(l);
    return status;
}
