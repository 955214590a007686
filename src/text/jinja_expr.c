/* Expressions: an operator-precedence parser with its stack in the heap. What is open is either a
 * bracket (with the outermost expression as one) or an operator that waits for its right side;
 * an operator of lower or equal precedence finishes those before it. Precedences as in jinja2's
 * parser: inline if, or, and, not, comparisons, + -, ~, * / // %, **, sign, then filters and tests,
 * then . [ ] ( ). */
#include "text/jinja_code.h"

#include <string.h>

typedef enum Kind {
    X_BASE, /* the brackets */
    X_PAREN,
    X_LIST,
    X_DICT,
    X_CALL,
    X_INDEX,
    X_IF, /* the operators */
    X_ELSE,
    X_OR,
    X_AND,
    X_NOT,
    X_COMPARE,
    X_BINARY,
    X_SIGN,
    X_TEST, /* waits for the one argument without parentheses */
} Kind;

enum { P_IF = 1, P_OR, P_AND, P_NOT, P_COMPARE, P_ADD, P_CONCAT, P_MUL, P_POW, P_SIGN, P_TEST };

typedef struct JExpr {
    Kind kind;
    int precedence; /* 0: a bracket */
    int op;         /* of the instruction to add */
    uint32_t at;    /* in the source */
    int32_t start;  /* where the code of the present element begins */
    int32_t patch;  /* jump to mend, or -1 */
    unsigned n, n_kw;
    unsigned how; /* JX_ flags of the base */
    bool fresh;   /* nothing of the present element was read yet */
    bool comma;   /* X_PAREN, X_BASE: it is a tuple */
    bool colon;   /* X_DICT: the value comes; X_INDEX: it is a slice */
    bool keyword; /* X_CALL: the present argument has a name */
    bool star;    /* ... or is *x or **x */
    unsigned flags;
    uint16_t id;
    int32_t name; /* constant: the filter's or test's */
    size_t cut;
} JExpr;

static JExpr *top(JCompiler *c)
{
    return &c->exprs[c->n_exprs - 1];
}

static JExpr *push(JCompiler *c, Kind kind, int precedence)
{
    if (c->n_exprs == JINJA_MOST_NEST)
        j_fail(c->j, BT_E_LIMIT, "an expression is nested more than %u deep", JINJA_MOST_NEST);
    JExpr *x = &c->exprs[c->n_exprs++];
    *x = (JExpr){.kind = kind, .precedence = precedence, .at = c->token.at, .patch = -1};
    x->start = jc_here(c);
    x->fresh = precedence == 0;
    return x;
}

static int32_t emit(JCompiler *c, const JExpr *x, int op, int32_t a, unsigned b)
{
    int32_t at = jc_op(c, (JOpcode)op, a, b);
    c->t->code[at].at = x->at;
    return at;
}

static void emit_call(JCompiler *c, const JExpr *x)
{
    int32_t at = emit(c, x, x->op, (int32_t)x->n, x->n_kw);
    JOp *op = &c->t->code[at];
    op->flags = (uint8_t)x->flags;
    op->id = x->id;
    op->c = x->name;
}

/* ---- finishing operators ---- */

/* The value of an inline if, which was set aside, goes behind its condition. Gives the jump over
 * the else part. */
static int32_t place_value(JCompiler *c, const JExpr *x)
{
    int32_t no = emit(c, x, JO_JUMP_FALSE, 0, 0);
    for (size_t i = c->n_attic - x->cut; i < c->n_attic; i++) c->attic[i].flags |= JCALL_SOFT;
    jc_paste(c, x->cut);
    int32_t end = emit(c, x, JO_JUMP, 0, 0);
    jc_patch(c, no);
    return end;
}

static void finish(JCompiler *c)
{
    JExpr x = c->exprs[--c->n_exprs];
    switch (x.kind) {
    case X_IF: {
        int32_t end = place_value(c, &x);
        emit(c, &x, JO_NO_ELSE, 0, 0);
        jc_patch(c, end);
        break;
    }
    case X_ELSE:
    case X_OR:
    case X_AND: jc_patch(c, x.patch); break;
    case X_NOT:
    case X_BINARY:
    case X_SIGN: emit(c, &x, x.op, 0, 0); break;
    case X_COMPARE:
        emit(c, &x, x.op, 0, 0);
        while (x.patch >= 0) {
            int32_t before = c->t->code[x.patch].a;
            jc_patch(c, x.patch);
            x.patch = before;
        }
        break;
    case X_TEST:
        x.n++;
        emit_call(c, &x);
        break;
    default: break;
    }
}

static void reduce(JCompiler *c, int precedence)
{
    while (top(c)->precedence >= precedence && top(c)->precedence > 0) finish(c);
}

/* ---- operands ---- */

static void constant(JCompiler *c, JValue v)
{
    jc_op(c, JO_CONST, jc_constant(c, v), 0);
}

static void load(JCompiler *c, Span name)
{
    uint32_t id = jc_name(c, name);
    JinjaTemplate *t = c->t;
    bool special = id == t->caller || id == t->varargs || id == t->kwargs;
    for (size_t i = 0; special && i < c->n_open; i++) {
        JFunction *f = &t->functions[c->open[i]];
        f->caller |= id == t->caller;
        f->varargs |= id == t->varargs;
        f->kwargs |= id == t->kwargs;
    }
    jc_op(c, JO_LOAD, (int32_t)id, 0);
}

static bool name_operand(JCompiler *c)
{
    static const char *const words[] = {"if", "else", "in", "and", "or", "is"};
    JExpr *x = top(c);
    Span name = c->token.name;
    if (span_is(name, "not")) {
        if (x->precedence > P_NOT) jc_unexpected(c, "a value");
        x->fresh = false;
        push(c, X_NOT, P_NOT)->op = JO_NOT;
        jc_next(c);
        return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_is(name, words[i])) jc_unexpected(c, "a value");
    const JToken *ahead = jc_ahead(c);
    if (x->kind == X_CALL && x->fresh && ahead->type == JT_OP && ahead->op == '=') {
        if (x->flags & JCALL_DICT) jc_unexpected(c, "the end of the arguments");
        constant(c, j_text_n(c->j, name.data, name.size, false));
        x->keyword = true;
        x->fresh = false;
        x->start = jc_here(c);
        jc_next(c);
        jc_next(c);
        return false;
    }
    x->fresh = false;
    if (span_is(name, "true") || span_is(name, "True"))
        constant(c, j_bool(true));
    else if (span_is(name, "false") || span_is(name, "False"))
        constant(c, j_bool(false));
    else if (span_is(name, "none") || span_is(name, "None"))
        constant(c, j_none());
    else
        load(c, name);
    jc_next(c);
    return true;
}

static bool open_bracket(JCompiler *c, Kind kind)
{
    top(c)->fresh = false;
    push(c, kind, 0);
    jc_next(c);
    return false;
}

static bool close_bracket(JCompiler *c);

/* What may stand where an element of a bracket could begin, but is none. */
static bool instead_of_element(JCompiler *c, bool *complete)
{
    JExpr *x = top(c);
    int op = c->token.op;
    *complete = false;
    if (!x->fresh) return false;
    bool closes = (x->kind == X_PAREN && op == ')' && (x->comma || x->n == 0)) ||
                  (x->kind == X_LIST && op == ']') || (x->kind == X_CALL && op == ')') ||
                  (x->kind == X_DICT && op == '}' && !x->colon) ||
                  (x->kind == X_INDEX && x->colon && (op == ']' || op == ':')) ||
                  (x->kind == X_INDEX && op == ':');
    if (closes) {
        *complete = close_bracket(c);
        return true;
    }
    unsigned star = op == '*' ? JCALL_LIST : op == JOP2('*', '*') ? JCALL_DICT : 0;
    if (x->kind != X_CALL || !star || (x->flags & (star | JCALL_DICT))) return false;
    x->flags |= star;
    x->star = true;
    x->fresh = false;
    jc_next(c);
    return true;
}

/* Reads an operand, or what comes before one. True: its value is complete. */
static bool operand(JCompiler *c)
{
    const JToken *t = &c->token;
    bool complete;
    switch (t->type) {
    case JT_NAME: return name_operand(c);
    case JT_STRING: {
        JValue s = t->value;
        top(c)->fresh = false;
        for (jc_next(c); t->type == JT_STRING; jc_next(c)) s = j_join(c->j, s, t->value);
        constant(c, s);
        return true;
    }
    case JT_INT:
    case JT_FLOAT:
        top(c)->fresh = false;
        constant(c, t->value);
        jc_next(c);
        return true;
    case JT_OP: break;
    default: jc_unexpected(c, "a value");
    }
    if (instead_of_element(c, &complete)) return complete;
    switch (t->op) {
    case '(': return open_bracket(c, X_PAREN);
    case '[': return open_bracket(c, X_LIST);
    case '{': return open_bracket(c, X_DICT);
    case '-':
    case '+':
        if (top(c)->precedence > P_SIGN) break;
        top(c)->fresh = false;
        push(c, X_SIGN, P_SIGN)->op = t->op == '-' ? JO_NEG : JO_POS;
        jc_next(c);
        return false;
    default: break;
    }
    jc_unexpected(c, "a value");
}

/* ---- brackets ---- */

static void end_argument(JCompiler *c, JExpr *x)
{
    if (x->fresh) return;
    if (!x->star && (x->flags & (JCALL_LIST | JCALL_DICT)))
        j_fail(c->j, BT_E_UNSUPPORTED, "an argument after * or ** is not supported");
    if (x->keyword) {
        x->n_kw++;
    } else if (!x->star) {
        if (x->n_kw) j_fail(c->j, BT_E_FORMAT, "an argument without name follows a named one");
        x->n++;
    }
    x->keyword = x->star = false;
}

static void end_index(JCompiler *c, JExpr *x)
{
    if (!x->colon) {
        emit(c, x, JO_ITEM, 0, 0);
        return;
    }
    if (x->fresh) constant(c, j_none());
    for (x->n++; x->n < 3; x->n++) constant(c, j_none());
    if (x->n > 3) j_fail(c->j, BT_E_FORMAT, "a slice has three parts at most");
    emit(c, x, JO_SLICE, 0, 0);
}

/* The token closes the bracket on top, or (":") ends a part of a slice. True: a value is there. */
static bool close_bracket(JCompiler *c)
{
    JExpr *x = top(c);
    if (x->kind == X_INDEX && c->token.op == ':') {
        if (x->fresh) constant(c, j_none());
        x->colon = x->fresh = true;
        x->n++;
        x->start = jc_here(c);
        jc_next(c);
        return false;
    }
    bool element = !x->fresh;
    switch (x->kind) {
    case X_PAREN:
        if (element) x->n++;
        if (x->comma || x->n == 0) emit(c, x, JO_TUPLE, (int32_t)x->n, 0);
        break;
    case X_LIST: emit(c, x, JO_LIST, (int32_t)(x->n + element), 0); break;
    case X_DICT:
        if (element && !x->colon) jc_unexpected(c, "':'");
        emit(c, x, JO_DICT, (int32_t)(x->n + element), 0);
        break;
    case X_CALL:
        end_argument(c, x);
        emit_call(c, x);
        break;
    case X_INDEX: end_index(c, x); break;
    default: break;
    }
    c->n_exprs--;
    jc_next(c);
    return true;
}

static int closing(const JExpr *x)
{
    switch (x->kind) {
    case X_PAREN:
    case X_CALL: return ')';
    case X_LIST:
    case X_INDEX: return ']';
    case X_DICT: return '}';
    default: return -1;
    }
}

typedef enum After { WANT_OPERAND, HAVE_VALUE, ALL_DONE } After;

/* ',' ':' or the end of a bracket, after a value. */
static After at_bracket(JCompiler *c)
{
    reduce(c, P_IF);
    JExpr *x = top(c);
    bool comma = jc_is_op(c, ',');
    if (x->kind == X_BASE && !(comma && (x->how & JX_TUPLE))) return ALL_DONE;
    if (c->token.type == JT_OP && c->token.op == closing(x))
        return close_bracket(c) ? HAVE_VALUE : WANT_OPERAND;
    if (x->kind == X_INDEX && jc_is_op(c, ':')) {
        close_bracket(c);
        return WANT_OPERAND;
    }
    if (x->kind == X_DICT && jc_is_op(c, ':') && !x->colon) {
        x->colon = true;
    } else if (comma && (x->kind == X_PAREN || x->kind == X_LIST || x->kind == X_BASE)) {
        x->comma = x->fresh = true;
        x->n++;
    } else if (comma && x->kind == X_CALL) {
        end_argument(c, x);
        x->fresh = true;
    } else if (comma && x->kind == X_DICT && x->colon) {
        x->colon = false;
        x->fresh = true;
        x->n++;
    } else {
        jc_unexpected(c, x->kind == X_DICT && !x->colon ? "':'" : "the end of a bracket");
    }
    jc_next(c);
    x->start = jc_here(c);
    return WANT_OPERAND;
}

/* ---- after an operand ---- */

static After postfix(JCompiler *c)
{
    if (jc_is_op(c, '[')) {
        open_bracket(c, X_INDEX);
        return WANT_OPERAND;
    }
    if (jc_is_op(c, '(')) {
        JExpr *x = push(c, X_CALL, 0);
        x->op = JO_CALL;
        jc_next(c);
        return WANT_OPERAND;
    }
    jc_next(c);
    if (c->token.type == JT_INT) {
        constant(c, c->token.value);
        jc_op(c, JO_ITEM, 0, 0);
    } else {
        if (c->token.type != JT_NAME) jc_unexpected(c, "a name");
        JValue name = j_text_n(c->j, c->token.name.data, c->token.name.size, false);
        jc_op(c, JO_ATTR, jc_constant(c, name), 0);
    }
    jc_next(c);
    return HAVE_VALUE;
}

/* A filter's or test's name, which may have dots (and then is unknown). */
static JExpr named_call(JCompiler *c, int op)
{
    JExpr x = {.kind = X_CALL, .op = op, .at = c->token.at, .patch = -1, .fresh = true};
    Span name = jc_expect_name(c, op == JO_FILTER ? "the name of a filter" : "the name of a test");
    while (jc_skip_op(c, '.')) {
        Span more = jc_expect_name(c, "a name");
        name.size = (size_t)(more.data + more.size - name.data);
    }
    int id = op == JO_FILTER ? j_filter_find(name) : j_test_find(name);
    x.id = id < 0 ? JCALL_UNKNOWN : (uint16_t)id;
    x.name = -1;
    if (id < 0) x.name = jc_constant(c, j_text_n(c->j, name.data, name.size, false));
    bool soft = c->soft > 0;
    for (size_t i = 0; i < c->n_exprs; i++)
        soft |= c->exprs[i].kind == X_IF || c->exprs[i].kind == X_ELSE;
    if (soft) x.flags |= JCALL_SOFT;
    return x;
}

static void push_call(JCompiler *c, JExpr x)
{
    JExpr *on = push(c, X_CALL, 0);
    x.at = on->at;
    x.start = on->start;
    *on = x;
    jc_next(c);
}

static After filter(JCompiler *c)
{
    JExpr x = named_call(c, JO_FILTER);
    if (jc_is_op(c, '(')) {
        push_call(c, x);
        return WANT_OPERAND;
    }
    emit_call(c, &x);
    return HAVE_VALUE;
}

static After test(JCompiler *c)
{
    bool negated = jc_skip_name(c, "not");
    JExpr x = named_call(c, JO_TEST);
    const JToken *t = &c->token;
    if (negated) x.flags |= JCALL_NOT;
    if (jc_is_op(c, '(')) {
        push_call(c, x);
        return WANT_OPERAND;
    }
    bool argument = t->type == JT_NAME || t->type == JT_STRING || t->type == JT_INT ||
                    t->type == JT_FLOAT || jc_is_op(c, '[') || jc_is_op(c, '{');
    static const char *const words[] = {"else", "or", "and", "if", "is", "in", "not"};
    for (size_t i = 0; t->type == JT_NAME && i < sizeof words / sizeof *words; i++)
        argument &= !span_is(t->name, words[i]);
    if (!argument) {
        emit_call(c, &x);
        return HAVE_VALUE;
    }
    JExpr *on = push(c, X_TEST, P_TEST);
    x.start = on->start;
    x.precedence = P_TEST;
    x.kind = X_TEST;
    *on = x;
    return WANT_OPERAND;
}

static After binary(JCompiler *c, Kind kind, int precedence, int op)
{
    reduce(c, precedence);
    push(c, kind, precedence)->op = op;
    jc_next(c);
    return WANT_OPERAND;
}

static After compare(JCompiler *c, int op)
{
    reduce(c, P_ADD);
    JExpr *x = top(c);
    if (x->kind == X_COMPARE) {
        x->patch = emit(c, x, JO_CHAIN, x->patch, (unsigned)x->op);
        x->op = op;
        x->at = c->token.at;
    } else {
        push(c, X_COMPARE, P_COMPARE)->op = op;
    }
    jc_next(c);
    return WANT_OPERAND;
}

static After logical(JCompiler *c, Kind kind, int precedence, JOpcode op)
{
    reduce(c, precedence);
    JExpr *x = push(c, kind, precedence);
    x->patch = jc_op(c, op, 0, 0);
    jc_next(c);
    return WANT_OPERAND;
}

static After inline_if(JCompiler *c)
{
    reduce(c, P_OR);
    if (top(c)->kind == X_IF) finish(c);
    JExpr *x = top(c);
    if (x->kind == X_BASE && (x->how & JX_NO_IF)) return ALL_DONE;
    int32_t start = x->start;
    JExpr *on = push(c, X_IF, P_IF);
    on->start = start;
    on->cut = jc_cut(c, start);
    jc_next(c);
    return WANT_OPERAND;
}

static After inline_else(JCompiler *c)
{
    reduce(c, P_OR);
    if (top(c)->kind != X_IF) return at_bracket(c);
    JExpr x = c->exprs[--c->n_exprs];
    int32_t end = place_value(c, &x);
    JExpr *on = push(c, X_ELSE, P_IF);
    on->patch = end;
    on->start = jc_here(c);
    jc_next(c);
    return WANT_OPERAND;
}

static After after_name(JCompiler *c)
{
    if (jc_is_name(c, "is")) {
        reduce(c, P_SIGN);
        jc_next(c);
        return test(c);
    }
    if (jc_is_name(c, "and")) return logical(c, X_AND, P_AND, JO_AND);
    if (jc_is_name(c, "or")) return logical(c, X_OR, P_OR, JO_OR);
    if (jc_is_name(c, "in")) return compare(c, JO_IN);
    if (jc_is_name(c, "if")) return inline_if(c);
    if (jc_is_name(c, "else")) return inline_else(c);
    if (jc_is_name(c, "not")) {
        const JToken *ahead = jc_ahead(c);
        if (ahead->type == JT_NAME && span_is(ahead->name, "in")) {
            jc_next(c);
            return compare(c, JO_NOT_IN);
        }
    }
    return at_bracket(c);
}

static After after(JCompiler *c)
{
    if (c->token.type == JT_NAME) return after_name(c);
    if (c->token.type != JT_OP) return at_bracket(c);
    switch (c->token.op) {
    case '.':
    case '[':
    case '(': return postfix(c);
    case '|':
        reduce(c, P_SIGN);
        jc_next(c);
        return filter(c);
    case '+': return binary(c, X_BINARY, P_ADD, JO_ADD);
    case '-': return binary(c, X_BINARY, P_ADD, JO_SUB);
    case '~': return binary(c, X_BINARY, P_CONCAT, JO_CONCAT);
    case '*': return binary(c, X_BINARY, P_MUL, JO_MUL);
    case '/': return binary(c, X_BINARY, P_MUL, JO_DIV);
    case '%': return binary(c, X_BINARY, P_MUL, JO_MOD);
    case JOP2('/', '/'): return binary(c, X_BINARY, P_MUL, JO_FLOORDIV);
    case JOP2('*', '*'): return binary(c, X_BINARY, P_POW, JO_POW);
    case JOP2('=', '='): return compare(c, JO_EQ);
    case JOP2('!', '='): return compare(c, JO_NE);
    case JOP2('<', '='): return compare(c, JO_LE);
    case JOP2('>', '='): return compare(c, JO_GE);
    case '<': return compare(c, JO_LT);
    case '>': return compare(c, JO_GT);
    default: break;
    }
    return at_bracket(c);
}

/* Goes on until the base on the stack is all that is open. */
static void run(JCompiler *c, bool have_value)
{
    for (;;) {
        while (!have_value) have_value = operand(c);
        After next = after(c);
        if (next == ALL_DONE) break;
        have_value = next == HAVE_VALUE;
        JExpr *x = top(c);
        /* "a," may be all of a tuple. */
        if (x->kind == X_BASE && x->fresh && x->comma &&
            (c->token.type == JT_BLOCK_END || c->token.type == JT_PRINT_END))
            break;
    }
}

static JExpr *base(JCompiler *c, unsigned how)
{
    if (!c->exprs) c->exprs = j_array(c->j, JINJA_MOST_NEST, sizeof *c->exprs);
    JExpr *x = push(c, X_BASE, 0);
    x->how = how;
    return x;
}

void jc_expression(JCompiler *c, unsigned how)
{
    base(c, how);
    run(c, false);
    JExpr x = c->exprs[--c->n_exprs];
    if (x.comma) jc_op(c, JO_TUPLE, (int32_t)(x.n + !x.fresh), 0);
}

void jc_filters(JCompiler *c)
{
    base(c, 0)->fresh = false;
    run(c, filter(c) == HAVE_VALUE);
    c->n_exprs--;
}
