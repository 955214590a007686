/* The compiler's tools: instructions, constants, names, tokens (see jinja_code.h), and
 * jinja_compile itself. */
#include "text/jinja_code.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Doubles an array of the heap; the old one is left behind. */
static void *grown(JCompiler *c, void *old, size_t n, size_t *capacity, size_t size, size_t most)
{
    if (n < *capacity) return old;
    size_t more = *capacity ? 2 * *capacity : 64;
    if (more > most) more = most;
    if (n >= more) j_fail(c->j, BT_E_LIMIT, "the template is too large");
    void *data = j_array(c->j, more, size);
    if (n) memcpy(data, old, n * size);
    *capacity = more;
    return data;
}

int32_t jc_here(const JCompiler *c)
{
    return (int32_t)c->t->n_code;
}

int32_t jc_op(JCompiler *c, JOpcode op, int32_t a, unsigned b)
{
    JinjaTemplate *t = c->t;
    t->code = grown(c, t->code, t->n_code, &c->code_capacity, sizeof *t->code, JINJA_MOST_CODE);
    if (b > UINT16_MAX) j_fail(c->j, BT_E_LIMIT, "too many arguments");
    t->code[t->n_code] = (JOp){.op = (uint8_t)op, .a = a, .b = (uint16_t)b, .at = c->token.at};
    return (int32_t)t->n_code++;
}

void jc_patch(JCompiler *c, int32_t jump)
{
    c->t->code[jump].a = jc_here(c) - jump;
}

void jc_jump_to(JCompiler *c, JOpcode op, int32_t target)
{
    int32_t at = jc_op(c, op, 0, 0);
    c->t->code[at].a = target - at;
}

int32_t jc_constant(JCompiler *c, JValue v)
{
    JinjaTemplate *t = c->t;
    t->constants = grown(c, t->constants, c->n_constants, &c->constants_capacity,
                         sizeof *t->constants, JINJA_MOST_CODE);
    t->constants[c->n_constants] = v;
    return (int32_t)c->n_constants++;
}

static size_t name_hash(Span name)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < name.size; i++) h = (h ^ (unsigned char)name.data[i]) * 0x100000001B3u;
    return (size_t)(h ^ h >> 29);
}

static void name_table(JCompiler *c)
{
    size_t size = c->name_mask ? 2 * (c->name_mask + 1) : 256;
    c->name_slots = j_array(c->j, size, sizeof *c->name_slots);
    memset(c->name_slots, 0, size * sizeof *c->name_slots);
    c->name_mask = size - 1;
    for (size_t i = 0; i < c->t->n_names; i++) {
        size_t slot = name_hash(c->t->names[i]) & c->name_mask;
        while (c->name_slots[slot]) slot = (slot + 1) & c->name_mask;
        c->name_slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t jc_name(JCompiler *c, Span name)
{
    JinjaTemplate *t = c->t;
    if (!c->name_mask || t->n_names > c->name_mask / 2) name_table(c);
    size_t slot = name_hash(name) & c->name_mask;
    for (; c->name_slots[slot]; slot = (slot + 1) & c->name_mask)
        if (span_equal(t->names[c->name_slots[slot] - 1], name)) return c->name_slots[slot] - 1;
    t->names = grown(c, t->names, t->n_names, &c->names_capacity, sizeof *t->names, 1u << 20);
    t->names[t->n_names] = name;
    c->name_slots[slot] = (uint32_t)++t->n_names;
    return (uint32_t)t->n_names - 1;
}

uint32_t jc_function(JCompiler *c)
{
    JinjaTemplate *t = c->t;
    t->functions = grown(c, t->functions, t->n_functions, &c->functions_capacity,
                         sizeof *t->functions, 1u << 16);
    t->functions[t->n_functions] = (JFunction){.name = UINT32_MAX};
    return (uint32_t)t->n_functions++;
}

/* Moving code again and again is counted: nested inline ifs cannot make it quadratic. */
size_t jc_cut(JCompiler *c, int32_t start)
{
    size_t n = c->t->n_code - (size_t)start;
    c->moved += n;
    if (c->moved > 8u * JINJA_MOST_CODE)
        j_fail(c->j, BT_E_LIMIT, "inline ifs are nested too deeply");
    while (c->attic_capacity < c->n_attic + n)
        c->attic = grown(c, c->attic, c->attic_capacity, &c->attic_capacity, sizeof *c->attic,
                         2 * JINJA_MOST_CODE);
    if (n) memcpy(c->attic + c->n_attic, c->t->code + start, n * sizeof *c->attic);
    c->n_attic += n;
    c->t->n_code = (size_t)start;
    return n;
}

void jc_copy(JCompiler *c, size_t n)
{
    JinjaTemplate *t = c->t;
    for (size_t i = 0; i < n; i++) {
        t->code = grown(c, t->code, t->n_code, &c->code_capacity, sizeof *t->code, JINJA_MOST_CODE);
        t->code[t->n_code++] = c->attic[c->n_attic - n + i];
    }
}

void jc_paste(JCompiler *c, size_t n)
{
    jc_copy(c, n);
    c->n_attic -= n;
}

/* ---- tokens ---- */

void jc_next(JCompiler *c)
{
    if (c->has_ahead)
        c->token = c->ahead;
    else
        j_lex(&c->lex, &c->token);
    c->has_ahead = false;
    c->j->position = c->token.at;
}

const JToken *jc_ahead(JCompiler *c)
{
    if (!c->has_ahead) j_lex(&c->lex, &c->ahead);
    c->has_ahead = true;
    c->j->position = c->token.at;
    return &c->ahead;
}

bool jc_is_name(const JCompiler *c, const char *name)
{
    return c->token.type == JT_NAME && span_is(c->token.name, name);
}

bool jc_is_op(const JCompiler *c, int op)
{
    return c->token.type == JT_OP && c->token.op == op;
}

bool jc_skip_op(JCompiler *c, int op)
{
    if (!jc_is_op(c, op)) return false;
    jc_next(c);
    return true;
}

bool jc_skip_name(JCompiler *c, const char *name)
{
    if (!jc_is_name(c, name)) return false;
    jc_next(c);
    return true;
}

void jc_unexpected(JCompiler *c, const char *wanted)
{
    const JToken *t = &c->token;
    int n = t->name.size > 40 ? 40 : (int)t->name.size;
    char text[64];
    switch (t->type) {
    case JT_NAME: snprintf(text, sizeof text, "'%.*s'", n, t->name.data); break;
    case JT_OP:
        if (t->op >= 256)
            snprintf(text, sizeof text, "'%c%c'", t->op / 256, t->op % 256);
        else
            snprintf(text, sizeof text, "'%c'", t->op);
        break;
    case JT_STRING: snprintf(text, sizeof text, "a string"); break;
    case JT_INT:
    case JT_FLOAT: snprintf(text, sizeof text, "a number"); break;
    case JT_BLOCK_END: snprintf(text, sizeof text, "'%%}'"); break;
    case JT_PRINT_END: snprintf(text, sizeof text, "'}}'"); break;
    default: snprintf(text, sizeof text, "the end"); break;
    }
    c->j->position = t->at;
    j_fail(c->j, BT_E_FORMAT, "%s where %s should be", text, wanted);
}

void jc_expect_op(JCompiler *c, int op, const char *what)
{
    if (!jc_skip_op(c, op)) jc_unexpected(c, what);
}

Span jc_expect_name(JCompiler *c, const char *what)
{
    Span name = c->token.name;
    if (c->token.type != JT_NAME) jc_unexpected(c, what);
    jc_next(c);
    return name;
}

/* ---- a template ---- */

/* As jinja2: every kind of newline is \n, and the last one of the file goes. */
static Span normalized(J *j, Span source)
{
    char *copy = j_alloc(j, source.size + 1);
    size_t n = 0;
    for (size_t i = 0; i < source.size; i++) {
        if (source.data[i] == '\r' && i + 1 < source.size && source.data[i + 1] == '\n') continue;
        copy[n++] = source.data[i];
        if (source.data[i] == '\r') copy[n - 1] = '\n';
    }
    if (n && copy[n - 1] == '\n') n--;
    copy[n] = '\0';
    return (Span){copy, n};
}

static void compile(JinjaTemplate *t, Span source)
{
    J *j = &t->j;
    if (source.size > JINJA_MOST_SOURCE)
        j_fail(j, BT_E_LIMIT, "the template has over %u bytes", JINJA_MOST_SOURCE);
    t->source = j->source = normalized(j, source);
    JCompiler c = {.t = t, .j = j};
    c.lex = (JLexer){.j = j, .source = t->source, .line_start = true};
    t->loop = jc_name(&c, SPAN("loop"));
    t->caller = jc_name(&c, SPAN("caller"));
    t->varargs = jc_name(&c, SPAN("varargs"));
    t->kwargs = jc_name(&c, SPAN("kwargs"));
    jc_template(&c);
}

bt_status jinja_compile(Span source, JinjaTemplate **out, bt_error *err)
{
    jmp_buf leave;
    *out = NULL;
    JinjaTemplate *t = mem_zalloc(1, sizeof *t);
    if (!t) return bt_fail_memory(err, "a chat template", sizeof *t);
    t->j.leave = &leave;
    t->j.err = err;
    t->j.most_steps = UINT64_MAX;
    t->j.deadline = INFINITY;
    t->j.limit = 256u << 20;
    if (setjmp(leave)) {
        bt_status status = t->j.status;
        jinja_close(&t);
        return status;
    }
    compile(t, source);
    t->j.leave = NULL;
    t->j.err = NULL;
    *out = t;
    return BT_OK;
}

void jinja_close(JinjaTemplate **t)
{
    if (!*t) return;
    j_heap_close(&(*t)->j);
    mem_free(*t);
    *t = NULL;
}

bool jinja_reads(const JinjaTemplate *t, const char *name)
{
    for (size_t i = 0; i < t->n_code; i++)
        if (t->code[i].op == JO_LOAD && span_is(t->names[t->code[i].a], name)) return true;
    return false;
}

bool jinja_says(const JinjaTemplate *t, const char *text)
{
    for (size_t i = 0; i < t->n_code; i++)
        if (t->code[i].op == JO_CONST && j_str_is(t->constants[t->code[i].a], text)) return true;
    return false;
}
