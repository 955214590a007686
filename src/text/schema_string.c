/* Strings (see schema_parts.h). A string of which nothing, or only a length, is said may use every
 * escape of JSON; one under a pattern or format stands for itself, with the escapes that JSON
 * requires. U+0000 is never written: too many programs end a string there. */
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

/* ---- formats -------------------------------------------------------------------------- */

#define DATE                                                                                       \
    "(?!0000)(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|"    \
    "[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|"           \
    "(?:[02468][048]|[13579][26])00)-02-29)"
#define TIME                                                                                       \
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4  OCTET "(?:\\." OCTET "){3}"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST  LABEL "(?:\\." LABEL "){0,7}"
#define HEX   "[0-9A-Fa-f]{1,4}"
#define PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

static const struct {
    const char *name, *pattern; /* NULL: says nothing about the text */
    const char *shape;          /* found in all that any program takes for it */
} formats[] = {
    {"date", "^" DATE "$", "^\\d{4}-\\d\\d-\\d\\d$"},
    {"time", "^" TIME "$", "^\\d\\d:\\d\\d"},
    {"date-time", "^" DATE "T" TIME "$", "^\\d{4}-\\d\\d-\\d\\d[Tt ]\\d\\d:\\d\\d"},
    {"duration",
     "^P(?=.)(?:\\d{1,4}W|(?:\\d{1,4}Y)?(?:\\d{1,4}M)?(?:\\d{1,4}D)?"
     "(?:T(?=\\d)(?:\\d{1,4}H)?(?:\\d{1,4}M)?(?:\\d{1,4}S)?)?)$",
     "^P"},
    {"uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
     "^[0-9A-Fa-f-]{36}$"},
    {"email",
     "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@" LABEL "(?:\\." LABEL "){0,6}\\.[A-Za-z]{2,18}$",
     "@"},
    {"hostname", "^" HOST "$", "^[^ /@:]*$"},
    {"ipv4", "^" IPV4 "$", "^[\\d.]+$"},
    {"ipv6",
     "^(?:(?:" HEX ":){7}" HEX "|(?=(?:[^:]*:){2,7}[^:]*$)(?!.*::.*::)(?=.*::)"
     "(?:" HEX "(?::" HEX ")*)?::(?:" HEX "(?::" HEX ")*)?)$",
     ":"},
    {"uri",
     "^[A-Za-z][A-Za-z0-9+.-]{0,31}:(?://(?:[A-Za-z0-9._~-]+@)?(?:" HOST ")(?::\\d{1,4})?(?:/" PCHAR
     "*)*|" PCHAR "+(?:/" PCHAR "*)*)(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?$",
     ":"},
    {"int8", NULL, NULL},
    {"int16", NULL, NULL},
    {"int32", NULL, NULL},
    {"int64", NULL, NULL},
    {"uint8", NULL, NULL},
    {"uint16", NULL, NULL},
    {"uint32", NULL, NULL},
    {"uint64", NULL, NULL},
    {"float", NULL, NULL},
    {"double", NULL, NULL},
    {"decimal", NULL, NULL},
    {"password", NULL, NULL},
};

/* Formats that zod always writes beside the pattern that says all of them. */
static bool told_by_pattern(Span name)
{
    static const char *const names[] = {"base64", "base64url",   "cuid",      "cuid2",   "ulid",
                                        "nanoid", "e164",        "cidrv4",    "xid",     "cidrv6",
                                        "ksuid",  "starts_with", "ends_with", "includes"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_is(name, names[i])) return true;
    return false;
}

const char *schema_format(Span name, bool *note)
{
    *note = false;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (!span_is(name, formats[i].name)) continue;
        *note = !formats[i].pattern;
        return formats[i].pattern;
    }
    return NULL;
}

const char *schema_format_shape(Span name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (span_is(name, formats[i].name)) return formats[i].shape;
    return NULL;
}

/* ---- terms ------------------------------------------------------------------------------ */

/* Patterns are read one by one so that the first that is wrong can be named. */
static RegexTerm add_pattern(Schema *s, Regex *re, uint32_t node, Span pattern, const char *what,
                             RegexTerm term)
{
    bt_error err;
    RegexTerm found = regex_pattern(re, pattern);
    bt_status status = regex_status(re, &err);
    if (status != BT_OK)
        schema_fail(s, node, status, "%s '%.*s': %s", what,
                    pattern.size > 100 ? 100 : (int)pattern.size, pattern.data, err.text);
    return status == BT_OK ? regex_and(re, term, found) : REGEX_NOTHING;
}

/* Strings in which a pattern is not found, whoever looks: of characters that programs classify
 * alike, and where the pattern speaks of classes, of ASCII alone. */
static RegexTerm without(Schema *s, Regex *re, uint32_t keyword, RegexTerm term)
{
    Span pattern = s->tree.nodes[keyword].text;
    bool format = span_is(s->tree.nodes[keyword].key, "format"), ascii = format;
    if (format) pattern = span_of(schema_format_shape(pattern));
    for (size_t i = 0; i < pattern.size; i++) {
        unsigned char c = (unsigned char)pattern.data[i];
        if (c >= 0x80 || (c == '\\' && i + 1 < pattern.size && pattern.data[i + 1] != '\\' &&
                          strchr("sSwWdDpPu", pattern.data[i + 1])))
            ascii = true;
    }
    RegexTerm found = add_pattern(s, re, keyword, pattern, "the pattern", REGEX_ALL);
    RegexTerm alike = regex_pattern(re, ascii ? SPAN("^[ -~]*$")
                                              : SPAN("^[ -~\\u00a0-\\u2027\\u202a-\\ud7ff]*$"));
    return regex_and(re, term, regex_and(re, regex_not(re, found), alike));
}

/* What the words of our own say of strings. */
static RegexTerm add_own(Schema *s, Regex *re, uint32_t node, bool *plain, RegexTerm term)
{
    uint32_t at = schema_own(s, node, 0, OWN_FAILS);
    if (at) term = without(s, re, s->tree.nodes[at].child, term);
    *plain = *plain && !at;
    at = schema_own(s, node, 0, OWN_OTHER);
    if (!at) return term;
    bool alone = s->tree.nodes[at].n;
    uint32_t keyword = s->tree.nodes[at].child, n = 0;
    Span *texts = mem_alloc(((alone ? 0 : s->tree.nodes[keyword].n) + 1) * sizeof *texts);
    *plain = false;
    if (!texts) return schema_no_memory(s), term;
    for (at = alone ? keyword : s->tree.nodes[keyword].child; at;
         at = alone ? 0 : s->tree.nodes[at].next)
        if (s->tree.nodes[at].kind == JSON_KIND_STRING) texts[n++] = s->tree.nodes[at].text;
    term = regex_and(re, term, regex_not(re, regex_texts(re, texts, n)));
    mem_free(texts);
    return regex_and(re, term, regex_length(re, 0, REGEX_NO_LIMIT));
}

RegexTerm schema_string_term(Schema *s, Regex *re, const AtomList *set, bool *plain,
                             uint32_t *least, uint32_t *most)
{
    RegexTerm term = REGEX_ALL;
    *plain = true;
    *least = 0;
    *most = REGEX_NO_LIMIT;
    for (uint32_t i = 0; i < set->n && s->status == BT_OK; i++) {
        uint32_t node = atom_node(set->atoms[i]), n;
        uint32_t pattern = schema_get(s, node, "pattern"), format = schema_get(s, node, "format");
        if (schema_is_own(s, node)) term = add_own(s, re, node, plain, term);
        if (schema_count(s, node, "minLength", &n) && n > *least) *least = n;
        if (schema_count(s, node, "maxLength", &n) && n < *most) *most = n;
        if (pattern) {
            *plain = false;
            term = add_pattern(s, re, node, s->tree.nodes[pattern].text, "the pattern", term);
        }
        if (format) {
            bool note;
            Span name = s->tree.nodes[format].text;
            const char *text = schema_format(name, &note);
            if (!text && !note && !(pattern && told_by_pattern(name)))
                schema_fail(s, node, BT_E_UNSUPPORTED, "the format '%.*s' is not supported",
                            name.size > 64 ? 64 : (int)name.size, name.data);
            if (!text) continue;
            *plain = false;
            term = add_pattern(s, re, node, span_of(text), "the format", term);
        }
    }
    if (!*plain && (*least || *most != REGEX_NO_LIMIT))
        term = regex_and(re, term, regex_length(re, *least, *most));
    return term;
}

/* ---- any string ---------------------------------------------------------------------------- */

static void hex(GrammarBuilder *b, uint32_t from, const char *digits, uint32_t to)
{
    for (; *digits; digits++)
        builder_bytes(b, from, (unsigned char)*digits, (unsigned char)*digits, to);
}

static const char hex_all[] = "0123456789abcdefABCDEF";

/* n hexadecimal digits from `from` to `to`. */
static void hex_digits(GrammarBuilder *b, uint32_t from, int n, uint32_t to)
{
    for (int i = 0; i < n; i++) {
        uint32_t next = i == n - 1 ? to : builder_state(b);
        hex(b, from, hex_all, next);
        from = next;
    }
}

/* What may follow \u: not 0000, no half of a surrogate pair. */
static void unicode_escape(GrammarBuilder *b, uint32_t from, uint32_t to)
{
    uint32_t three = builder_state(b), zero = builder_state(b), two = builder_state(b);
    uint32_t zeros = builder_state(b), one = builder_state(b), d = builder_state(b);
    uint32_t zeros3 = builder_state(b), high = builder_state(b);
    hex(b, from, "123456789abcefABCEF", three);
    hex_digits(b, three, 3, to);
    hex(b, from, "0", zero);
    hex(b, zero, "123456789abcdefABCDEF", two);
    hex_digits(b, two, 2, to);
    hex(b, zero, "0", zeros);
    hex(b, zeros, "123456789abcdefABCDEF", one);
    hex(b, one, hex_all, to);
    hex(b, zeros, "0", zeros3);
    hex(b, zeros3, "123456789abcdefABCDEF", to);
    hex(b, from, "dD", d);
    hex(b, d, "01234567", two);
    hex(b, d, "89abAB", high);
    uint32_t slash = builder_state(b);
    hex_digits(b, high, 2, slash);
    uint32_t low = builder_text(b, slash, SPAN("\\u"));
    uint32_t d2 = builder_state(b), last = builder_state(b);
    hex(b, low, "dD", d2);
    hex(b, d2, "cdefCDEF", last);
    hex_digits(b, last, 2, to);
}

/* One character of a string, as it stands or escaped. */
static void character(GrammarBuilder *b, uint32_t from, uint32_t to)
{
    uint32_t slash = builder_state(b), u = builder_state(b);
    builder_range(b, from, 0x20, 0x21, to);
    builder_range(b, from, 0x23, 0x5B, to);
    builder_range(b, from, 0x5D, 0x10FFFF, to);
    builder_bytes(b, from, '\\', '\\', slash);
    hex(b, slash, "\"\\/bfnrt", to);
    hex(b, slash, "u", u);
    unicode_escape(b, u, to);
}

uint32_t schema_any_string(Schema *s)
{
    GrammarBuilder *b = s->b;
    bool fresh;
    uint32_t rule = builder_shared(b, SPAN("string"), &fresh), loop;
    if (!fresh) return rule;
    loop = builder_state(b);
    builder_bytes(b, b->rules[rule].start, '"', '"', loop);
    character(b, loop, loop);
    b->json_string = loop;
    builder_bytes(b, loop, '"', '"', b->rules[rule].end);
    return rule;
}

static uint32_t one_character(Schema *s)
{
    GrammarBuilder *b = s->b;
    bool fresh;
    uint32_t rule = builder_shared(b, SPAN("character"), &fresh);
    if (!fresh) return rule;
    b->json_char = b->rules[rule].start;
    character(b, b->json_char, b->rules[rule].end);
    return rule;
}

/* ---- strings under a pattern ----------------------------------------------------------------- */

/* Characters of [low, high] that stand for themselves. */
static void bare(GrammarBuilder *b, uint32_t from, RegexRange r, uint32_t to)
{
    static const RegexRange part[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
    for (int i = 0; i < 3; i++) {
        uint32_t low = r.low > part[i].low ? r.low : part[i].low;
        uint32_t high = r.high < part[i].high ? r.high : part[i].high;
        if (low <= high) builder_range(b, from, low, high, to);
    }
}

/* States after "\", "\u00" and "\u001", made when they are needed. */
typedef struct Escapes {
    uint32_t slash, zeros, ones;
} Escapes;

static void escaped(GrammarBuilder *b, uint32_t from, uint32_t c, Escapes *e, uint32_t to)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt",
                      digits[] = "0123456789abcdef";
    const char *found = strchr(plain, (int)c);
    if (!e->slash) {
        e->slash = builder_state(b);
        builder_bytes(b, from, '\\', '\\', e->slash);
    }
    if (found) {
        unsigned letter = (unsigned char)letters[found - plain];
        builder_bytes(b, e->slash, letter, letter, to);
        return;
    }
    if (!e->zeros) {
        e->zeros = builder_text(b, e->slash, SPAN("u00"));
        e->ones = builder_text(b, e->zeros, SPAN("1"));
    }
    uint32_t at = e->ones;
    if (c < 0x10) {
        at = builder_state(b);
        builder_bytes(b, e->zeros, '0', '0', at);
    }
    builder_bytes(b, at, (unsigned char)digits[c & 15], (unsigned char)digits[c & 15], to);
}

/* Ranges of characters by the state they lead to from one state: chains through `next`. */
typedef struct Leads {
    uint32_t *first, *last; /* of a state: range + 1; 0: none */
    uint32_t *next;         /* of a range */
    uint32_t *targets, n_targets;
} Leads;

static void find_leads(const RegexAutomaton *a, uint32_t state, Leads *l)
{
    l->n_targets = 0;
    for (uint32_t i = 0; i < a->n_ranges; i++) {
        uint32_t to = a->next[(size_t)state * a->n_classes + a->class_of[i]];
        if (to == REGEX_NONE) continue;
        l->next[i] = 0;
        if (l->first[to])
            l->next[l->last[to] - 1] = i + 1;
        else
            l->targets[l->n_targets++] = to, l->first[to] = i + 1;
        l->last[to] = i + 1;
    }
}

/* All that leads to one state: neighbours are one range. */
static void add_leads(GrammarBuilder *b, const RegexAutomaton *a, Leads *l, uint32_t target,
                      uint32_t from, Escapes *e, uint32_t to)
{
    for (uint32_t i = l->first[target], next; i; i = next) {
        RegexRange r = a->ranges[i - 1];
        next = l->next[i - 1];
        for (; next && a->ranges[next - 1].low == r.high + 1; next = l->next[next - 1])
            r.high = a->ranges[next - 1].high;
        bare(b, from, r, to);
        for (uint32_t c = r.low; c <= r.high && c <= 0x5C; c++)
            if (c < 0x20 || c == '"' || c == '\\') escaped(b, from, c, e, to);
    }
    l->first[target] = 0;
}

void schema_automaton(Schema *s, const RegexAutomaton *a, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    if (!a->n_states) return;
    Leads l = {.first = mem_zalloc(a->n_states, sizeof *l.first),
               .last = mem_alloc(a->n_states * sizeof *l.last),
               .next = mem_alloc(a->n_ranges * sizeof *l.next),
               .targets = mem_alloc(a->n_ranges * sizeof *l.targets)};
    bool room = l.first && l.last && l.next && l.targets;
    if (!room) schema_no_memory(s);
    uint32_t first = builder_state(b);
    for (uint32_t i = 1; i < a->n_states; i++) builder_state(b); /* first + i is state i */
    builder_bytes(b, from, '"', '"', first);
    for (uint32_t i = 0; room && i < a->n_states && !b->no_memory && !b->too_large; i++) {
        Escapes escapes = {0};
        if (a->ends[i]) builder_bytes(b, first + i, '"', '"', to);
        find_leads(a, i, &l);
        for (uint32_t k = 0; k < l.n_targets; k++)
            add_leads(b, a, &l, l.targets[k], first + i, &escapes, first + l.targets[k]);
    }
    mem_free(l.first);
    mem_free(l.last);
    mem_free(l.next);
    mem_free(l.targets);
}

bool schema_regex_close(Schema *s, Regex **re)
{
    if (*re) s->work_done += regex_work(*re);
    regex_close(re);
    return s->work_done <= SCHEMA_MAX_WORK ||
           schema_fail(s, 0, BT_E_LIMIT, "the patterns and formats together take too long");
}

/* What is said of a string, for builder_shared. False: nothing but lengths. */
static bool write_key(Schema *s, const AtomList *set, uint32_t *least, uint32_t *most)
{
    static const char *const words[] = {"pattern", "format"};
    bool more = false;
    *least = 0;
    *most = REGEX_NO_LIMIT;
    buf_clear(&s->key);
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]), n;
        uint32_t own = schema_own(s, node, 0, OWN_FAILS);
        if (!own) own = schema_own(s, node, 0, OWN_OTHER);
        if (own) /* by its place: for this schema alone */
            buf_printf(&s->key, "!%u/%u", s->tree.nodes[own].child, s->n_rules_before);
        more = more || own;
        for (int k = 0; k < 2; k++) {
            uint32_t at = schema_get(s, node, words[k]);
            if (!at) continue;
            more = true;
            buf_printf(&s->key, "%c%zu:", words[k][0], s->tree.nodes[at].text.size);
            buf_add(&s->key, s->tree.nodes[at].text.data, s->tree.nodes[at].text.size);
        }
        if (more) buf_char(&s->key, ';');
        if (schema_count(s, node, "minLength", &n) && n > *least) *least = n;
        if (schema_count(s, node, "maxLength", &n) && n < *most) *most = n;
    }
    buf_printf(&s->key, "string %u %u", *least, *most);
    if (s->key.failed) schema_no_memory(s);
    return more;
}

/* A string of which nothing but lengths are said. */
static void counted_string(Schema *s, uint32_t least, uint32_t most, uint32_t rule)
{
    GrammarBuilder *b = s->b;
    uint32_t open = builder_state(b), close = builder_state(b);
    builder_bytes(b, b->rules[rule].start, '"', '"', open);
    if (least <= most) builder_repeat(b, open, one_character(s), least, most, close);
    builder_bytes(b, close, '"', '"', b->rules[rule].end);
}

/* A string under patterns or formats. */
static void held_string(Schema *s, const AtomList *set, uint32_t rule)
{
    Regex *re;
    RegexAutomaton a = {0};
    bool plain;
    uint32_t least, most;
    if ((s->status = regex_open(&re, s->err)) != BT_OK) return;
    RegexTerm term = schema_string_term(s, re, set, &plain, &least, &most);
    if (s->status == BT_OK && plain) { /* a format that says nothing */
        counted_string(s, least, most, rule);
    } else if (s->status == BT_OK) {
        bt_error err;
        bt_status status = regex_automaton(re, term, &a, &err);
        if (status != BT_OK)
            schema_fail(s, set->n ? atom_node(set->atoms[0]) : 0, status, "%s", err.text);
        else if (!s->b->no_memory && !s->b->too_large)
            schema_automaton(s, &a, s->b->rules[rule].start, s->b->rules[rule].end);
    }
    regex_automaton_close(&a);
    schema_regex_close(s, &re);
}

void schema_string(Schema *s, const AtomList *set, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    bool fresh;
    uint32_t least, most, copied = schema_copied_of(s, set);
    if (s->status != BT_OK) return;
    if (copied) {
        schema_copied(s, set, copied, from, to);
        return;
    }
    bool more = write_key(s, set, &least, &most);
    if (!more && least == 0 && most == REGEX_NO_LIMIT) {
        builder_call(b, from, schema_any_string(s), to);
        return;
    }
    if (s->status != BT_OK) return;
    uint32_t rule = builder_shared(b, (Span){s->key.data, s->key.size}, &fresh);
    if (fresh && more) held_string(s, set, rule);
    if (fresh && !more) counted_string(s, least, most, rule);
    builder_call(b, from, rule, to);
}
