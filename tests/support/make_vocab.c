/* Two small vocabularies that hold what real ones do: bytes, pieces grown from them, control
 * tokens of both common chat formats, and padding up to a round size. */
#include "make_vocab.h"

#include <stdio.h>
#include <string.h>

enum { N_MERGES = 55, N_SPECIAL = 9, MAX_TOKENS = 65536, ROOM = 1 << 21 };

/* Each row joins two pieces that exist above it. */
static const char *const merges[N_MERGES][2] = {
    {" ", "t"},       {" ", "a"},  {"h", "e"}, {"i", "n"}, {"r", "e"},   {"o", "n"},
    {" t", "he"},     {"e", "r"},  {" ", "s"}, {"a", "t"}, {" ", "w"},   {" ", "o"},
    {"e", "n"},       {" ", "c"},  {"i", "t"}, {"i", "s"}, {"a", "n"},   {"o", "r"},
    {"e", "s"},       {" ", "b"},  {"e", "d"}, {" ", "f"}, {"in", "g"},  {" ", "p"},
    {"o", "u"},       {" a", "n"}, {"a", "l"}, {"a", "r"}, {" t", "o"},  {" ", "m"},
    {" o", "f"},      {" ", "in"}, {" ", "d"}, {" ", "h"}, {" an", "d"}, {"i", "c"},
    {"a", "s"},       {"l", "e"},  {"l", "l"}, {"o", "m"}, {"i", "on"},  {"en", "t"},
    {" ", "n"},       {" ", "l"},  {"s", "t"}, {"v", "e"}, {"r", "o"},   {"l", "y"},
    {" b", "e"},      {" ", "g"},  {" ", "e"}, {"c", "t"}, {" s", "t"},  {"\xc3", "\xa9"},
    {"\xe2", "\x80"},
};

static const char *const special[N_SPECIAL] = {
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",      "<|eom_id|>",
    "<|im_start|>",      "<|im_end|>",      "<|endoftext|>",
};

/* Growing lists over static memory: tests make one model at a time. */
typedef struct Vocab {
    Span token[MAX_TOKENS], merge[N_MERGES];
    int32_t type[MAX_TOKENS];
    float score[MAX_TOKENS];
    int n;
    char text[ROOM];
    size_t used;
} Vocab;

static Vocab vocab;

static Span keep(const char *text, size_t size)
{
    char *at = vocab.text + vocab.used;
    if (size > ROOM - vocab.used) return (Span){"", 0};
    memcpy(at, text, size);
    vocab.used += size;
    return (Span){at, size};
}

static void add(Span text, int32_t type, float score)
{
    if (vocab.n >= MAX_TOKENS) return;
    vocab.token[vocab.n] = text;
    vocab.type[vocab.n] = type;
    vocab.score[vocab.n++] = score;
}

/* GPT-2's stand-in character for a byte: itself where that can be seen, else 256 and up. */
static unsigned stand_in(unsigned byte)
{
    unsigned hidden = 0;
    for (unsigned b = 0; b < 256; b++) {
        bool seen = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return seen ? b : 256 + hidden;
        hidden += !seen;
    }
    return 0;
}

/* Writes the piece in stand-ins (one or two UTF-8 bytes each); returns the length. */
static size_t byte_level(const char *piece, char *out)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)piece; *p; p++) {
        unsigned c = stand_in(*p);
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            out[n++] = (char)(0xc0 | c >> 6);
            out[n++] = (char)(0x80 | (c & 63));
        }
    }
    return n;
}

/* SentencePiece shows a space as U+2581. */
static size_t spm_level(const char *piece, char *out)
{
    size_t n = 0;
    for (; *piece; piece++) {
        if (*piece == ' ') {
            memcpy(out + n, "\xe2\x96\x81", 3);
            n += 3;
        } else {
            out[n++] = *piece;
        }
    }
    return n;
}

static void fill_bpe(void)
{
    char text[64];
    for (unsigned b = 0; b < 256; b++) {
        unsigned c = stand_in(b);
        if (c < 0x80) {
            text[0] = (char)c;
            add(keep(text, 1), 1, 0);
        } else {
            text[0] = (char)(0xc0 | c >> 6), text[1] = (char)(0x80 | (c & 63));
            add(keep(text, 2), 1, 0);
        }
    }
    for (int i = 0; i < N_MERGES; i++) {
        size_t left = byte_level(merges[i][0], text);
        size_t right = byte_level(merges[i][1], text + left);
        add(keep(text, left + right), 1, 0);
        memmove(text + left + 1, text + left, right);
        text[left] = ' ';
        vocab.merge[i] = keep(text, left + 1 + right);
    }
}

static void fill_spm(void)
{
    char text[64];
    add(SPAN("<unk>"), 2, 0);
    add(SPAN("<s>"), 3, 0);
    add(SPAN("</s>"), 3, 0);
    for (unsigned b = 0; b < 256; b++) {
        int n = snprintf(text, sizeof text, "<0x%02X>", b);
        add(keep(text, (size_t)n), 6, 0);
    }
    for (int i = 0; i < N_MERGES; i++) {
        if (merges[i][0][0] & 0x80) continue; /* no halves of characters here */
        size_t n = spm_level(merges[i][0], text);
        n += spm_level(merges[i][1], text + n);
        add(keep(text, n), 1, (float)-i);
    }
    add(SPAN("\xe2\x96\x81"), 1, -N_MERGES);
    for (char c = 33; c < 127; c++) add(keep(&c, 1), 1, (float)(-N_MERGES - c));
    add(SPAN("\xc3\xa9"), 1, -300);
}

/* A word's first piece has U+2581 before it, the others are bare. */
static void fill_wpm(void)
{
    static const char *const first[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    static const char *const words[] = {"bird", "hen", "query", "search", "document", "small"};
    char text[32];
    for (int i = 0; i < 5; i++) add(span_of(first[i]), i == 1 ? 2 : 3, 0);
    for (char c = 33; c < 127; c++) {
        if (c >= 'A' && c <= 'Z') continue;
        size_t n = spm_level(" ", text);
        text[n] = c;
        add(keep(text, n + 1), 1, 0);
        add(keep(&c, 1), 1, 0);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = spm_level(" ", text);
        memcpy(text + n, words[i], strlen(words[i]));
        add(keep(text, n + strlen(words[i])), 1, 0);
    }
}

static int32_t find(const char *text)
{
    for (int i = 0; i < vocab.n; i++)
        if (span_is(vocab.token[i], text)) return i;
    return -1;
}

static void put_wpm_keys(GgufWriter *w)
{
    uint64_t n = (uint64_t)vocab.n;
    gguf_put_string(w, "tokenizer.ggml.model", "bert");
    gguf_put_spans(w, "tokenizer.ggml.tokens", vocab.token, n);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", vocab.type, n);
    gguf_put_u32(w, "tokenizer.ggml.padding_token_id", 0);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.cls_token_id", 2);
    gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", 3);
    gguf_put_u32(w, "tokenizer.ggml.mask_token_id", 4);
}

static void put_keys(GgufWriter *w, const MakeModel *o)
{
    if (o->tokenizer == MAKE_WPM) {
        put_wpm_keys(w);
        return;
    }
    bool spm = o->tokenizer == MAKE_SPM;
    bool chatml = o->chat_template && strcmp(o->chat_template, "chatml") == 0;
    bool qwen = strncmp(o->arch, "qwen", 4) == 0;
    uint64_t n = (uint64_t)vocab.n;
    gguf_put_string(w, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
    gguf_put_string(w, "tokenizer.ggml.pre",
                    o->pre ? o->pre
                    : spm  ? "default"
                    : qwen ? "qwen2"
                           : "llama-bpe");
    gguf_put_spans(w, "tokenizer.ggml.tokens", vocab.token, n);
    if (spm)
        gguf_put_f32s(w, "tokenizer.ggml.scores", vocab.score, n);
    else
        gguf_put_spans(w, "tokenizer.ggml.merges", vocab.merge, N_MERGES);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", vocab.type, n);
    const char *bos = spm ? "<s>" : qwen ? "<|endoftext|>" : "<|begin_of_text|>";
    const char *eos = chatml || qwen ? "<|im_end|>" : spm ? "</s>" : "<|eot_id|>";
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)find(bos));
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)find(eos));
    if (spm) gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", !qwen);
    if (o->add_eos) gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
    if (o->chat_template)
        gguf_put_string(w, "tokenizer.chat_template", make_template(o->chat_template));
}

int make_vocab(GgufWriter *w, const MakeModel *o, int least)
{
    char text[32];
    if (o->tokenizer == MAKE_NO_VOCAB) {
        gguf_put_string(w, "tokenizer.ggml.model", "no_vocab");
        return least ? least : 128;
    }
    vocab.n = 0;
    vocab.used = 0;
    if (o->tokenizer == MAKE_SPM)
        fill_spm();
    else if (o->tokenizer == MAKE_WPM)
        fill_wpm();
    else
        fill_bpe();
    for (int i = 0; i < N_SPECIAL && o->tokenizer != MAKE_WPM; i++) add(span_of(special[i]), 3, 0);
    if (!least) least = (vocab.n + 31) / 32 * 32;
    if (least < vocab.n || least > MAX_TOKENS) return -1;
    while (vocab.n < least) {
        int n = snprintf(text, sizeof text, "[PAD%d]", vocab.n);
        add(keep(text, (size_t)n), 5, -1000);
    }
    put_keys(w, o);
    return vocab.n;
}

const char *make_template(const char *name)
{
    if (strcmp(name, "chatml") == 0)
        return "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + "
               "'<|im_end|>\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}"
               "{{ '<|im_start|>assistant\\n' }}{%- endif -%}";
    if (strcmp(name, "llama3") == 0)
        return "{{- bos_token -}}{%- for m in messages -%}{{ '<|start_header_id|>' + m.role + "
               "'<|end_header_id|>\\n\\n' + (m.content | trim) + '<|eot_id|>' }}{%- endfor -%}"
               "{%- if add_generation_prompt -%}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}";
    return name;
}
