/* tokenizer.json's model of type Unigram, which becomes GGUF's "t5": pieces with their scores, the
 * compiled normaliser (in base64), and what is done about spaces. Known are the forms of
 * SentencePiece's vocabularies: words cut at spaces, or runs of spaces replaced, then Metaspace. */
#include "convert/vocab.h"

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648. False: no base64, or no memory. */
static bool from_base64(Convert *c, Span text, Span *out)
{
    char *to = plan_memory(c, text.size / 4 * 3 + 3, 1);
    size_t n = 0, ends = 0;
    uint32_t bits = 0;
    if (!to || text.size % 4) return false;
    for (size_t i = 0; i < text.size; i++) {
        bool end = text.data[i] == '=' && i + 2 >= text.size;
        int value = end ? 0 : sextet(text.data[i]);
        if (value < 0 || (ends && !end)) return false;
        ends += end;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3) continue;
        to[n++] = (char)(bits >> 16 & 0xFF);
        to[n++] = (char)(bits >> 8 & 0xFF);
        to[n++] = (char)(bits & 0xFF);
    }
    *out = (Span){to, n - ends};
    return true;
}

/* The compiled map, runs of spaces made one, spaces at the end dropped. */
static bool unigram_normalizer(const Convert *c, JdocRef n, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef type = jdoc_get(d, n, "type"), pattern = jdoc_get(d, n, "pattern");
    if (jdoc_is(d, type, "Precompiled")) {
        v->charsmap = jdoc_text(d, jdoc_get(d, n, "precompiled_charsmap"));
        return true;
    }
    if (jdoc_is(d, type, "Strip"))
        return jdoc_type(d, jdoc_get(d, n, "strip_left")) != JDOC_TRUE &&
               jdoc_type(d, jdoc_get(d, n, "strip_right")) == JDOC_TRUE;
    JdocRef to = jdoc_get(d, n, "content");
    v->squeeze = 1;
    return jdoc_is(d, type, "Replace") && jdoc_is(d, jdoc_get(d, pattern, "Regex"), " {2,}") &&
           (jdoc_is(d, to, " ") || jdoc_is(d, to, "\xE2\x96\x81"));
}

/* Metaspace with its usual mark, alone or behind WhitespaceSplit. */
static void read_spaces(Convert *c, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef pre = jdoc_get(d, 0, "pre_tokenizer"), list = jdoc_get(d, pre, "pretokenizers");
    bool several = jdoc_is(d, jdoc_get(d, pre, "type"), "Sequence"), split = false, known = true;
    JdocRef e = several ? jdoc_first(d, list) : pre, meta = JDOC_NO;
    for (uint32_t i = 0; i < (several ? jdoc_count(d, list) : 1); i++, e = jdoc_next(d, e)) {
        JdocRef type = jdoc_get(d, e, "type");
        if (jdoc_is(d, type, "WhitespaceSplit") && meta == JDOC_NO)
            split = true;
        else if (jdoc_is(d, type, "Metaspace") && meta == JDOC_NO)
            meta = e;
        else
            known = false;
    }
    JdocRef scheme = jdoc_get(d, meta, "prepend_scheme"), mark = jdoc_get(d, meta, "replacement");
    if (!known || meta == JDOC_NO || !jdoc_is(d, mark, "\xE2\x96\x81")) {
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.json: a Unigram model with another pre_tokenizer than Metaspace, or "
                  "WhitespaceSplit and Metaspace, is not known");
        return;
    }
    if (split) v->squeeze = 1;
    v->space_prefix = !jdoc_is(d, scheme, "never") &&
                      jdoc_type(d, jdoc_get(d, meta, "add_prefix_space")) != JDOC_FALSE;
    if (v->squeeze < 1)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.json: a Unigram model that keeps runs of spaces is not known");
    if (split && !v->charsmap.size)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.json: a Unigram model without Precompiled that cuts at all white "
                  "space is not known");
}

static void read_pieces(Convert *c, JdocRef model, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef list = jdoc_get(d, model, "vocab"), e = jdoc_first(d, list);
    bool bytes = jdoc_type(d, jdoc_get(d, model, "byte_fallback")) == JDOC_TRUE;
    uint32_t n = jdoc_count(d, list);
    int64_t unknown = -1;
    if (jdoc_type(d, list) != JDOC_ARRAY || !n || !voc_grow(c, v, n)) {
        plan_fail(c, BT_E_FORMAT, "tokenizer.json: model.vocab is no list of pieces");
        return;
    }
    for (uint32_t i = 0; i < n; i++, e = jdoc_next(d, e)) {
        JdocRef text = jdoc_at(d, e, 0);
        double score = 0;
        if (jdoc_type(d, text) != JDOC_STRING || !jdoc_number(d, jdoc_at(d, e, 1), &score) ||
            !(score > -1e30 && score < 1e30)) {
            plan_fail(c, BT_E_FORMAT, "tokenizer.json: piece %u is no text with a score", i);
            return;
        }
        v->tokens[i] = jdoc_text(d, text);
        v->scores[i] = (float)score;
        v->types[i] =
            bytes && v->tokens[i].size == 6 && !memcmp(v->tokens[i].data, "<0x", 3) ? 6 : 1;
    }
    jdoc_integer(d, jdoc_get(d, model, "unk_id"), &unknown);
    if (unknown >= 0 && unknown < n) v->types[unknown] = 2;
}

void voc_read_unigram(Convert *c, JdocRef model, Voc *v)
{
    read_pieces(c, model, v);
    if (plan_failed(c)) return;
    voc_normalizer(c, v, unigram_normalizer);
    if (!plan_failed(c)) read_spaces(c, v);
    if (!plan_failed(c) && v->charsmap.size && !from_base64(c, v->charsmap, &v->charsmap))
        plan_fail(c, BT_E_FORMAT, "tokenizer.json: precompiled_charsmap is no base64");
    v->model = "t5";
    v->pre = "default";
}
