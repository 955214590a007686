/* Strings that are spans of words of given texts (see copied.h): `"x-copied": ["texts", ...]`, or
 * one of the texts of `x-or`. Lengths hold too; other keywords of strings beside it are refused.
 *
 * Patterns of the same spans took several milliseconds a schema, in derivatives. Here each word
 * that a span may begin with is a chain of states: half a millisecond for COPIED_WORDS. */
#include "base/mem.h"
#include "text/copied.h"
#include "text/schema_parts.h"
#include "text/utf8.h"

typedef struct Spans {
    Schema *s;
    uint32_t close;       /* before the closing quote */
    uint32_t at, n;       /* a text that is being written: its end so far, its characters */
    uint32_t least, most; /* characters */
    Buf json;
} Spans;

uint32_t schema_copied_of(const Schema *s, const AtomList *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t at = schema_get(s, atom_node(set->atoms[i]), "x-copied");
        if (at && s->tree.nodes[at].kind == JSON_KIND_ARRAY) return at;
    }
    return 0;
}

/* Goes on with these bytes. False: too long, or no memory. */
static bool more(Spans *p, Span text)
{
    size_t step;
    for (size_t i = 0; i < text.size; i += step, p->n++)
        utf8_next(text.data + i, text.size - i, &step);
    if (p->n > p->most) return false;
    buf_clear(&p->json);
    json_string_write(&p->json, text);
    if (p->json.failed) return schema_no_memory(p->s);
    p->at = builder_text(p->s->b, p->at, (Span){p->json.data + 1, p->json.size - 2});
    return true;
}

/* The text may end here. */
static void may_end(const Spans *p)
{
    if (p->n >= p->least) builder_empty(p->s->b, p->at, p->close);
}

static void spans_from(Spans *p, const CopiedWord *words, size_t n, uint32_t open)
{
    size_t lead = words[0].lead;
    p->at = open;
    p->n = 0;
    for (size_t i = 0; i < n && i < COPIED_SPAN; i++) {
        const CopiedWord *w = &words[i];
        if (i && (!w->joins || !more(p, SPAN(" ")))) return;
        if (!more(p, (Span){w->text.data + lead, w->core - lead})) return;
        may_end(p);
        if (w->core < w->text.size) {
            if (!more(p, (Span){w->text.data + w->core, w->text.size - w->core})) return;
            may_end(p);
        }
        lead = 0;
    }
}

/* The strings of an array, to be freed. */
static Span *texts_of(Schema *s, uint32_t array, size_t *n)
{
    Span *texts = mem_alloc((s->tree.nodes[array].n + 1) * sizeof *texts);
    *n = 0;
    if (!texts) schema_no_memory(s);
    for (uint32_t c = s->tree.nodes[array].child; c && texts; c = s->tree.nodes[c].next)
        if (s->tree.nodes[c].kind == JSON_KIND_STRING) texts[(*n)++] = s->tree.nodes[c].text;
    return texts;
}

/* Lengths, and that nothing else is said of the string. */
static bool read_set(Spans *p, const AtomList *set, uint32_t copied)
{
    static const char *const others[] = {"pattern", "format", "x-copied"};
    Schema *s = p->s;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]), n;
        if (schema_count(s, node, "minLength", &n) && n > p->least) p->least = n;
        if (schema_count(s, node, "maxLength", &n) && n < p->most) p->most = n;
        bool other = schema_is_own(s, node);
        for (size_t k = 0; k < 3; k++) {
            uint32_t at = schema_get(s, node, others[k]);
            other = other || (at && at != copied && s->tree.nodes[at].kind != JSON_KIND_TRUE);
        }
        if (other)
            return schema_fail(s, s->tree.nodes[copied].parent, BT_E_UNSUPPORTED,
                               "beside 'x-copied' only lengths can be held");
    }
    return true;
}

void schema_copied(Schema *s, const AtomList *set, uint32_t copied, uint32_t from, uint32_t to)
{
    CopiedWord words[COPIED_WORDS];
    Spans p = {.s = s, .least = 1, .most = COPIED_CHARS};
    size_t n, n_words, n_or = 0;
    if (!read_set(&p, set, copied)) return;
    uint32_t or = schema_get(s, s->tree.nodes[copied].parent, "x-or");
    Span *texts = texts_of(s, copied, &n), *others = or ? texts_of(s, or, &n_or) : NULL;
    uint32_t open = builder_state(s->b);
    p.close = builder_state(s->b);
    builder_bytes(s->b, from, '"', '"', open);
    builder_bytes(s->b, p.close, '"', '"', to);
    n_words = texts ? copied_words(texts, n, words) : 0;
    for (size_t i = 0; i < n_words && s->status == BT_OK; i++)
        if (words[i].lead < words[i].text.size) spans_from(&p, words + i, n_words - i, open);
    for (size_t i = 0; i < n_or && s->status == BT_OK; i++) {
        p.at = open;
        p.n = 0;
        if (more(&p, others[i])) may_end(&p);
    }
    buf_close(&p.json);
    mem_free(texts);
    mem_free(others);
}
