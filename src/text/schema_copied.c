/* Strings that are spans of words of given texts (see copied.h): `"x-copied": ["texts", ...]`, or
 * one of the texts of `x-or`. Lengths hold too; other keywords of strings beside it are refused.
 *
 * Patterns of the same spans took several milliseconds a schema, in derivatives. Here spans that
 * begin alike are one way, so that what comes next is known from one state: a third of a
 * millisecond for COPIED_WORDS. Schemas with the same texts share them. */
#include "base/mem.h"
#include "text/copied.h"
#include "text/schema_parts.h"
#include "text/utf8.h"

typedef struct Spans {
    Schema *s;
    uint32_t to;          /* after the closing quote */
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

/* Where a byte leads, on the way of a text before or a new one. */
static uint32_t step_of(GrammarBuilder *b, uint32_t from, char byte)
{
    uint32_t c = (unsigned char)byte;
    if (b->no_memory || b->too_large) return 0;
    for (uint32_t e = b->first[from]; e; e = b->edges[e].next)
        if (b->edges[e].label == (c | c << 8)) return b->edges[e].target;
    uint32_t next = builder_state(b);
    builder_bytes(b, from, c, c, next);
    return next;
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
    for (size_t i = 1; i + 1 < p->json.size; i++) p->at = step_of(p->s->b, p->at, p->json.data[i]);
    return true;
}

/* The text may end here. */
static void may_end(const Spans *p)
{
    GrammarBuilder *b = p->s->b;
    if (p->n < p->least || b->no_memory || b->too_large) return;
    for (uint32_t e = b->first[p->at]; e; e = b->edges[e].next)
        if (b->edges[e].target == p->to) return; /* by another text */
    builder_bytes(b, p->at, '"', '"', p->to);
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

static void add_key(Buf *key, const Span *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(key, " %zu:", texts[i].size);
        buf_add(key, texts[i].data, texts[i].size);
    }
}

/* The spans of the texts, and the others, as a rule that strings of which the same is said share.
 */
static uint32_t spans_rule(Spans *p, const Span *texts, size_t n, const Span *others, size_t n_or)
{
    CopiedWord words[COPIED_WORDS];
    Schema *s = p->s;
    bool fresh;
    buf_clear(&s->key);
    buf_printf(&s->key, "copied %u %u %zu", p->least, p->most, n);
    add_key(&s->key, texts, n);
    add_key(&s->key, others, n_or);
    if (s->key.failed) return schema_no_memory(s), 0;
    uint32_t rule = builder_shared(s->b, (Span){s->key.data, s->key.size}, &fresh);
    if (!fresh) return rule;
    uint32_t open = builder_state(s->b);
    p->to = s->b->rules[rule].end;
    builder_bytes(s->b, s->b->rules[rule].start, '"', '"', open);
    size_t n_words = copied_words(texts, n, words);
    for (size_t i = 0; i < n_words && s->status == BT_OK; i++)
        if (words[i].lead < words[i].text.size) spans_from(p, words + i, n_words - i, open);
    for (size_t i = 0; i < n_or && s->status == BT_OK; i++) {
        p->at = open;
        p->n = 0;
        if (more(p, others[i])) may_end(p);
    }
    return rule;
}

void schema_copied(Schema *s, const AtomList *set, uint32_t copied, uint32_t from, uint32_t to)
{
    Spans p = {.s = s, .least = 1, .most = COPIED_CHARS};
    size_t n, n_or = 0;
    if (!read_set(&p, set, copied)) return;
    uint32_t or = schema_get(s, s->tree.nodes[copied].parent, "x-or");
    Span *texts = texts_of(s, copied, &n), *others = or ? texts_of(s, or, &n_or) : NULL;
    if (texts && (others || !n_or))
        builder_call(s->b, from, spans_rule(&p, texts, n, others, n_or), to);
    buf_close(&p.json);
    mem_free(texts);
    mem_free(others);
}
