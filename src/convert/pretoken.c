/* Which rule splits texts: recognised by what tokenizer.json says, its regular expressions above
 * all, and never by a model's name alone. Expressions are compared after spellings that mean the
 * same were made one: literal line breaks and their escapes, possessive quantifiers where nothing
 * could be given back, "'(?i:[sdmt]|ll|ve|re)" for the English endings. */
#include <stdio.h>

#include "convert/vocab.h"
#include "text/pretokenize.h"

#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CL100K(digits)                                                                             \
    ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits "| "                                    \
            "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(digits, endings)                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" endings "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
    "*" endings "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES
#define GPT2  "B1"
#define BYTES "B0"
#define S(re) "S<" re ">"
#define EAST  "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#define DEEP3                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"           \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES

/* What the elements of pre_tokenizer are written as, one after another: S<regex> a split that keeps
 * both sides, D1 single digits, P punctuation, B0 and B1 bytes without and with GPT-2's own
 * expression. `whole`: of the two names of a rule, the one that takes known words whole. */
static const struct {
    const char *elements, *name;
    bool whole;
} known[] = {
    {S(CL100K("{1,3}")) BYTES, "llama-bpe", true},
    {S(CL100K("{1,3}")) BYTES, "dbrx", false},
    {S(CL100K("")) BYTES, "qwen2", false},
    {S(ENDINGS
       "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES)
         BYTES,
     "qwen35", false},
    {S(CASED("{1,3}", ENDINGS "?")) BYTES, "gpt-4o", false},
    {S(CASED("", "")) BYTES, "tekken", true},
    {S("\\p{N}{1,3}") S(EAST) S(DEEP3) BYTES, "deepseek-v3", false},
    {S("[\\r\\n]") S("\\s?\\p{L}+") S("\\s?\\p{P}+")
         S("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+") "D1" BYTES,
     "deepseek-coder", false},
    {GPT2, "gpt-2", false},
    {"D1" GPT2, "starcoder", false},
    {S("\\p{N}") GPT2, "starcoder", false},
    {"P" GPT2 S("[0-9][0-9][0-9]"), "falcon", false},
    {S(ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES) BYTES,
     "seed-coder", false},
    {S(" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+") BYTES, "bloom", false},
    {S(ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|"
               " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?" SPACES) BYTES,
     "exaone-moe", false},
};

/* ---- one spelling ---- */

static bool replace(const char *p, const char *from, const char *to, Buf *out, size_t *length)
{
    size_t n = strlen(from);
    if (strncmp(p, from, n) != 0) return false;
    buf_text(out, to);
    *length = n;
    return true;
}

static void one_spelling(Span regex, Buf *out)
{
    static const struct {
        const char *from, *to;
    } same[] = {
        {"\r", "\\r"},
        {"\n", "\\n"},
        {"'(?i:[sdmt]|ll|ve|re)", ENDINGS},
        {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", ENDINGS},
        {"]?+", "]?"},
        {"]++", "]+"},
        {"\\p{N}{1}", "\\p{N}"},
        {"|\\s*[\\r\\n]|", "|\\s*[\\r\\n]+|"},
        {"|\\s*[\r\n]|", "|\\s*[\\r\\n]+|"},
    };
    Buf text = {0};
    buf_add(&text, regex.data, regex.size);
    for (size_t at = 0, length; !text.failed && at < regex.size; at += length) {
        bool done = false;
        length = 1;
        for (size_t i = 0; i < sizeof same / sizeof same[0] && !done; i++)
            done = replace(text.data + at, same[i].from, same[i].to, out, &length);
        if (!done) buf_char(out, text.data[at]);
        if (done && text.data[at] == '|') { /* its last bar may begin another one */
            length--;
            out->size--;
        }
    }
    out->failed = out->failed || text.failed;
    buf_close(&text);
}

/* ---- elements ---- */

static bool element(Convert *c, JdocRef v, Buf *out)
{
    const Jdoc *d = c->tokenizer;
    JdocRef type = jdoc_get(d, v, "type"), pattern = jdoc_get(d, v, "pattern");
    if (jdoc_is(d, type, "Split")) {
        Span regex = jdoc_text(d, jdoc_get(d, pattern, "Regex"));
        bool kept = jdoc_is(d, jdoc_get(d, v, "behavior"), "Isolated") ||
                    jdoc_is(d, jdoc_get(d, v, "behavior"), "Removed");
        bool invert = jdoc_type(d, jdoc_get(d, v, "invert")) == JDOC_TRUE;
        bool removed = jdoc_is(d, jdoc_get(d, v, "behavior"), "Removed");
        /* "Removed" with "invert" keeps the matches, which cover all of a text. */
        if (!regex.size || !kept || removed != invert) return false;
        buf_text(out, "S<");
        one_spelling(regex, out);
        buf_char(out, '>');
    } else if (jdoc_is(d, type, "ByteLevel")) {
        if (jdoc_type(d, jdoc_get(d, v, "add_prefix_space")) == JDOC_TRUE) return false;
        bool plain = jdoc_type(d, jdoc_get(d, v, "use_regex")) == JDOC_FALSE;
        buf_text(out, plain ? "B0" : "B1");
    } else if (jdoc_is(d, type, "Digits")) {
        if (jdoc_type(d, jdoc_get(d, v, "individual_digits")) != JDOC_TRUE) return false;
        buf_text(out, "D1");
    } else if (jdoc_is(d, type, "Punctuation")) {
        buf_char(out, 'P');
    } else {
        return false;
    }
    return true;
}

/* The elements of pre_tokenizer, a list or one. */
static uint32_t elements_of(const Convert *c, JdocRef *first)
{
    const Jdoc *d = c->tokenizer;
    JdocRef pre = jdoc_get(d, 0, "pre_tokenizer");
    *first = pre;
    if (jdoc_type(d, pre) != JDOC_OBJECT) return 0;
    if (!jdoc_is(d, jdoc_get(d, pre, "type"), "Sequence")) return 1;
    JdocRef list = jdoc_get(d, pre, "pretokenizers");
    *first = jdoc_first(d, list);
    return jdoc_count(d, list);
}

bool voc_has_pre(const Convert *c, const char *type)
{
    JdocRef v;
    uint32_t n = c->tokenizer ? elements_of(c, &v) : 0;
    for (uint32_t i = 0; i < n; i++, v = jdoc_next(c->tokenizer, v))
        if (jdoc_is(c->tokenizer, jdoc_get(c->tokenizer, v, "type"), type)) return true;
    return false;
}

/* The family's own name for the rule, if it has one: other programs may tell more by it. */
static const char *family_name(Convert *c, const char *name)
{
    const PreRule *rule = pre_find(span_of(name));
    const char *at = c->family->pre ? c->family->pre + 1 : "";
    while (*at) {
        size_t n = strcspn(at, " ");
        if (pre_find((Span){at, n}) == rule) {
            char *copy = plan_memory(c, n + 1, 1);
            if (copy) memcpy(copy, at, n);
            return copy;
        }
        at += n + 1;
    }
    return name;
}

const char *voc_pre(Convert *c, bool ignore_merges)
{
    Buf text = {0};
    JdocRef v;
    const char *name = NULL;
    uint32_t n = elements_of(c, &v);
    bool good = n > 0;
    for (uint32_t i = 0; i < n && good; i++, v = jdoc_next(c->tokenizer, v))
        good = element(c, v, &text);
    for (int turn = 0; turn < 2 && good && !text.failed && !name; turn++)
        for (size_t i = 0; i < sizeof known / sizeof known[0] && !name; i++)
            if (strcmp(known[i].elements, text.data) == 0 &&
                (turn == 1 || known[i].whole == ignore_merges))
                name = known[i].name;
    if (name)
        name = family_name(c, name);
    else if (text.failed)
        plan_fail(c, BT_E_MEMORY, "not enough memory for the pre_tokenizer");
    else if (!plan_failed(c))
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.json: its pre_tokenizer is not known (%.*s); docs/convert.md says "
                  "what to do",
                  200, text.data && text.size ? text.data : "an element of another type");
    buf_close(&text);
    return name;
}
