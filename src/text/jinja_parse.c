/* Statements: what is open stands on a stack in the heap, each with the jumps to mend when it ends.
 * Tags as jinja2 has them with loop controls, and Hugging Face's `generation`, which marks what an
 * assistant said and prints it unchanged. Refused by name: extends, block, include, import, from,
 * autoescape, do, trans, and recursive loops. */
#include <string.h>

#include "text/jinja_code.h"

typedef enum BlockKind {
    B_IF,
    B_FOR,
    B_FOR_ELSE,
    B_MACRO,
    B_CALL,
    B_FILTER,
    B_SET,
    B_WITH,
    B_GENERATION,
} BlockKind;

typedef struct Block {
    BlockKind kind;
    uint32_t at;
    unsigned soft; /* of what encloses it */
    int32_t no;    /* B_IF: jump if false, -1 after else; B_FOR: JO_NEXT; B_MACRO: over it */
    int32_t ends;  /* chain of jumps to the end; B_FOR: of breaks */
    uint32_t function;
    int32_t start;           /* B_MACRO: of its code */
    size_t filters, targets; /* B_SET, B_FILTER: code set aside */
} Block;

typedef struct Blocks {
    Block list[JINJA_MOST_NEST];
    size_t n;
} Blocks;

static const char *const end_names[] = {"endif",     "endfor", "endfor",  "endmacro",     "endcall",
                                        "endfilter", "endset", "endwith", "endgeneration"};

static Block *push(JCompiler *c, Blocks *b, BlockKind kind)
{
    if (b->n == JINJA_MOST_NEST)
        j_fail(c->j, BT_E_LIMIT, "blocks are nested more than %u deep", JINJA_MOST_NEST);
    Block *block = &b->list[b->n++];
    *block = (Block){.kind = kind, .at = c->token.at, .soft = c->soft, .no = -1, .ends = -1};
    c->soft = kind == B_IF;
    return block;
}

/* Adds a jump to a chain that is mended later. */
static void chain(JCompiler *c, JOpcode op, int32_t *list)
{
    *list = jc_op(c, op, *list, 0);
}

static void mend(JCompiler *c, int32_t list)
{
    while (list >= 0) {
        int32_t before = c->t->code[list].a;
        jc_patch(c, list);
        list = before;
    }
}

static void end_tag(JCompiler *c)
{
    if (c->token.type != JT_BLOCK_END) jc_unexpected(c, "the end of the tag");
    jc_next(c);
}

/* ---- targets of assignments ---- */

static void target_name(JCompiler *c, bool attributes)
{
    static const char *const words[] = {"true", "false", "none", "True", "False", "None"};
    Span name = c->token.name;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (c->token.type == JT_NAME && span_is(name, words[i])) jc_unexpected(c, "a name");
    jc_expect_name(c, "a name");
    if (!attributes || !jc_skip_op(c, '.')) {
        jc_op(c, JO_STORE, (int32_t)jc_name(c, name), 0);
        return;
    }
    Span field = jc_expect_name(c, "a name");
    int32_t constant = jc_constant(c, j_text_n(c->j, field.data, field.size, false));
    int32_t at = jc_op(c, JO_STORE_ATTR, (int32_t)jc_name(c, name), 0);
    c->t->code[at].c = constant;
}

/* "a", "a, b", "a, (b, c)": code that takes the value apart. An instruction that takes one value
 * "apart" does nothing, so that it need not be removed. */
static void targets(JCompiler *c, bool attributes)
{
    int32_t open[16];
    size_t n = 0;
    bool tuple[16] = {false};
    open[n++] = jc_op(c, JO_UNPACK, 0, 0);
    for (;;) {
        if (jc_skip_op(c, '(')) {
            if (n == 16) j_fail(c->j, BT_E_LIMIT, "names are nested too deeply");
            tuple[n] = false;
            open[n++] = jc_op(c, JO_UNPACK, 0, 0);
            continue;
        }
        target_name(c, attributes);
        for (;;) {
            JOp *op = &c->t->code[open[n - 1]];
            op->a++;
            bool comma = jc_skip_op(c, ',');
            tuple[n - 1] |= comma;
            op->flags = tuple[n - 1];
            if (op->a > (int32_t)JINJA_MOST_ARGS) j_fail(c->j, BT_E_LIMIT, "too many names");
            bool closes = n > 1 && jc_is_op(c, ')');
            if (comma && !closes && !jc_is_op(c, '=') && !jc_is_name(c, "in")) break;
            if (n == 1) return;
            jc_expect_op(c, ')', "')'");
            n--;
        }
    }
}

/* ---- tags ---- */

static void tag_if(JCompiler *c, Blocks *b)
{
    Block *block = push(c, b, B_IF);
    jc_expression(c, JX_TUPLE | JX_NO_IF);
    block->no = jc_op(c, JO_JUMP_FALSE, 0, 0);
}

static void tag_elif(JCompiler *c, Blocks *b, bool condition)
{
    Block *block = &b->list[b->n - 1];
    if (block->no < 0) jc_unexpected(c, "endif");
    chain(c, JO_JUMP, &block->ends);
    jc_patch(c, block->no);
    block->no = -1;
    if (!condition) return;
    jc_expression(c, JX_TUPLE | JX_NO_IF);
    block->no = jc_op(c, JO_JUMP_FALSE, 0, 0);
}

static void tag_for(JCompiler *c, Blocks *b)
{
    int32_t start = jc_here(c);
    targets(c, false);
    size_t cut = jc_cut(c, start);
    if (!jc_skip_name(c, "in")) jc_unexpected(c, "'in'");
    jc_expression(c, JX_TUPLE | JX_NO_IF);
    if (jc_skip_name(c, "if")) {
        jc_op(c, JO_CHOOSE, 0, 0);
        int32_t next = jc_op(c, JO_CHOOSE_NEXT, 0, 0);
        jc_copy(c, cut);
        jc_expression(c, 0);
        jc_jump_to(c, JO_CHOSEN, next);
        jc_patch(c, next);
    }
    if (jc_is_name(c, "recursive"))
        j_fail(c->j, BT_E_UNSUPPORTED, "recursive loops are not supported");
    Block *block = push(c, b, B_FOR);
    jc_op(c, JO_FOR, 0, 0);
    block->no = jc_op(c, JO_NEXT, 0, 0);
    jc_paste(c, cut);
}

/* The end of a loop's body: what comes after it runs where no round was done. */
static void end_rounds(JCompiler *c, Block *block)
{
    jc_op(c, JO_ROUND, 0, 0);
    jc_jump_to(c, JO_JUMP, block->no);
    jc_patch(c, block->no);
    mend(c, block->ends);
    block->ends = -1;
    block->no = jc_op(c, JO_END_FOR, 0, 0);
}

static void tag_loop_control(JCompiler *c, Blocks *b, bool leaves)
{
    size_t i = b->n;
    while (i && b->list[i - 1].kind != B_FOR && b->list[i - 1].kind != B_MACRO &&
           b->list[i - 1].kind != B_CALL)
        i--;
    if (!i || b->list[i - 1].kind != B_FOR)
        j_fail(c->j, BT_E_FORMAT, "%s outside of a loop", leaves ? "break" : "continue");
    if (leaves)
        chain(c, JO_BREAK, &b->list[i - 1].ends);
    else
        jc_jump_to(c, JO_BREAK, b->list[i - 1].no);
}

/* "(a, b=1)": arguments of a macro, with the code of their defaults. */
static void signature(JCompiler *c, uint32_t function)
{
    uint32_t *args = j_array(c->j, JINJA_MOST_ARGS, sizeof *args), n = 0;
    bool defaults = false;
    jc_expect_op(c, '(', "'('");
    while (!jc_skip_op(c, ')')) {
        if (n) jc_expect_op(c, ',', "',' or ')'");
        if (n == JINJA_MOST_ARGS) j_fail(c->j, BT_E_LIMIT, "too many arguments");
        args[n] = jc_name(c, jc_expect_name(c, "a name"));
        if (jc_skip_op(c, '=')) {
            int32_t given = jc_op(c, JO_GIVEN, 0, n);
            jc_expression(c, 0);
            jc_op(c, JO_STORE, (int32_t)args[n], 0);
            jc_patch(c, given);
            defaults = true;
        } else if (defaults) {
            j_fail(c->j, BT_E_FORMAT, "an argument without a default follows one with it");
        }
        n++;
    }
    c->t->functions[function].args = args;
    c->t->functions[function].n_args = n;
}

static void tag_macro(JCompiler *c, Blocks *b)
{
    Block *block = push(c, b, B_MACRO);
    uint32_t function = jc_function(c), name = jc_name(c, jc_expect_name(c, "the macro's name"));
    c->t->functions[function].name = name;
    jc_op(c, JO_MACRO, (int32_t)function, 0);
    jc_op(c, JO_STORE, (int32_t)name, 0);
    block->function = function;
    block->no = jc_op(c, JO_JUMP, 0, 0);
    block->start = jc_here(c);
    c->open[c->n_open++] = function;
    signature(c, function);
}

static void tag_call(JCompiler *c, Blocks *b)
{
    Block *block = push(c, b, B_CALL);
    uint32_t function = jc_function(c);
    int32_t start = jc_here(c);
    if (jc_is_op(c, '(')) signature(c, function);
    size_t defaults = jc_cut(c, start);
    jc_expression(c, 0);
    JinjaTemplate *t = c->t;
    JOp call = t->code[t->n_code - 1];
    if (call.op != JO_CALL) jc_unexpected(c, "the call of a macro");
    if (call.flags & (JCALL_LIST | JCALL_DICT))
        j_fail(c->j, BT_E_UNSUPPORTED, "* and ** in a call block are not supported");
    t->n_code--;
    jc_op(c, JO_CONST, jc_constant(c, j_text(c->j, "caller")), 0);
    jc_op(c, JO_MACRO, (int32_t)function, 0);
    int32_t at = jc_op(c, JO_CALL, call.a, call.b + 1u);
    t->code[at].at = call.at;
    jc_op(c, JO_EMIT, 0, 0);
    block->function = function;
    block->no = jc_op(c, JO_JUMP, 0, 0);
    t->functions[function].start = jc_here(c);
    jc_paste(c, defaults);
}

static void end_function(JCompiler *c, const Block *block)
{
    jc_op(c, JO_RETURN, 0, 0);
    if (block->kind == B_MACRO) {
        c->t->functions[block->function].start = block->start;
        c->n_open--;
    }
    jc_patch(c, block->no);
}

static void tag_filter(JCompiler *c, Blocks *b)
{
    int32_t start = jc_here(c);
    jc_filters(c);
    size_t cut = jc_cut(c, start);
    push(c, b, B_FILTER)->filters = cut;
    jc_op(c, JO_SCOPE, 0, 0);
    jc_op(c, JO_CAPTURE, 0, 0);
}

static void tag_set(JCompiler *c, Blocks *b)
{
    int32_t start = jc_here(c);
    targets(c, true);
    size_t names = jc_cut(c, start);
    if (jc_skip_op(c, '=')) {
        jc_expression(c, JX_TUPLE);
        jc_paste(c, names);
        return;
    }
    start = jc_here(c);
    if (jc_skip_op(c, '|')) jc_filters(c);
    size_t filters = jc_cut(c, start);
    Block *block = push(c, b, B_SET);
    block->filters = filters;
    block->targets = names;
    jc_op(c, JO_SCOPE, 0, 0);
    jc_op(c, JO_CAPTURE, 0, 0);
}

static void end_capture(JCompiler *c, const Block *block)
{
    jc_op(c, JO_CAPTURED, 0, 0);
    jc_op(c, JO_UNSCOPE, 0, 0);
    jc_paste(c, block->filters);
    if (block->kind == B_SET)
        jc_paste(c, block->targets);
    else
        jc_op(c, JO_EMIT, 0, 0);
}

static void tag_with(JCompiler *c, Blocks *b)
{
    size_t cuts[JINJA_MOST_ARGS], n = 0;
    push(c, b, B_WITH);
    while (c->token.type != JT_BLOCK_END) {
        if (n) jc_expect_op(c, ',', "','");
        if (n == JINJA_MOST_ARGS) j_fail(c->j, BT_E_LIMIT, "too many names");
        int32_t start = jc_here(c);
        target_name(c, false);
        cuts[n++] = jc_cut(c, start);
        jc_expect_op(c, '=', "'='");
        jc_expression(c, 0);
    }
    jc_op(c, JO_SCOPE, 0, 0);
    while (n) jc_paste(c, cuts[--n]);
}

/* ---- ends ---- */

static void tag_else(JCompiler *c, Blocks *b)
{
    Block *block = b->n ? &b->list[b->n - 1] : NULL;
    if (block && block->kind == B_IF) {
        tag_elif(c, b, false);
    } else if (block && block->kind == B_FOR) {
        end_rounds(c, block);
        jc_op(c, JO_SCOPE, 0, 0);
        block->kind = B_FOR_ELSE;
    } else {
        j_fail(c->j, BT_E_FORMAT, "this else belongs to no if and no for");
    }
}

static void tag_end(JCompiler *c, Blocks *b, Span name)
{
    if (!b->n) j_fail(c->j, BT_E_FORMAT, "%.*s ends nothing", (int)name.size, name.data);
    Block *block = &b->list[b->n - 1];
    const char *wanted = end_names[block->kind];
    if (!span_is(name, wanted))
        j_fail(c->j, BT_E_FORMAT, "%.*s where %s should be", (int)name.size, name.data, wanted);
    switch (block->kind) {
    case B_IF:
        if (block->no >= 0) jc_patch(c, block->no);
        mend(c, block->ends);
        break;
    case B_FOR:
        end_rounds(c, block);
        jc_patch(c, block->no);
        break;
    case B_FOR_ELSE:
        jc_op(c, JO_UNSCOPE, 0, 0);
        jc_patch(c, block->no);
        break;
    case B_MACRO:
    case B_CALL: end_function(c, block); break;
    case B_FILTER:
    case B_SET: end_capture(c, block); break;
    case B_WITH:
    case B_GENERATION: jc_op(c, JO_UNSCOPE, 0, 0); break;
    }
    c->soft = block->soft;
    b->n--;
}

static void statement(JCompiler *c, Blocks *b)
{
    jc_next(c);
    Span name = c->token.name;
    uint32_t at = c->token.at;
    if (c->token.type != JT_NAME) jc_unexpected(c, "the name of a tag");
    jc_next(c);
    if (span_is(name, "if")) {
        tag_if(c, b);
    } else if (span_is(name, "elif")) {
        if (!b->n || b->list[b->n - 1].kind != B_IF)
            j_fail(c->j, BT_E_FORMAT, "this elif belongs to no if");
        tag_elif(c, b, true);
    } else if (span_is(name, "else")) {
        tag_else(c, b);
    } else if (span_is(name, "for")) {
        tag_for(c, b);
    } else if (span_is(name, "set")) {
        tag_set(c, b);
    } else if (span_is(name, "macro")) {
        tag_macro(c, b);
    } else if (span_is(name, "call")) {
        tag_call(c, b);
    } else if (span_is(name, "filter")) {
        tag_filter(c, b);
    } else if (span_is(name, "with")) {
        tag_with(c, b);
    } else if (span_is(name, "break") || span_is(name, "continue")) {
        tag_loop_control(c, b, name.data[0] == 'b');
    } else if (span_is(name, "generation")) {
        push(c, b, B_GENERATION);
        jc_op(c, JO_SCOPE, 0, 0);
    } else if (name.size > 3 && memcmp(name.data, "end", 3) == 0) {
        c->j->position = at;
        tag_end(c, b, name);
    } else {
        c->j->position = at;
        j_fail(c->j, BT_E_UNSUPPORTED, "the tag '%.*s' is not known",
               name.size > 40 ? 40 : (int)name.size, name.data);
    }
    end_tag(c);
}

/* A filter that does not exist is an error at once, unless it stands inside an if. */
static void check_names(JCompiler *c)
{
    for (size_t i = 0; i < c->t->n_code; i++) {
        const JOp *op = &c->t->code[i];
        if ((op->op != JO_FILTER && op->op != JO_TEST) || op->id != JCALL_UNKNOWN) continue;
        if (op->flags & JCALL_SOFT) continue;
        c->j->position = op->at;
        j_fail(c->j, BT_E_FORMAT, "No %s named '%s'.", op->op == JO_TEST ? "test" : "filter",
               j_utf8(c->j, c->t->constants[op->c]));
    }
}

void jc_template(JCompiler *c)
{
    Blocks *b = j_alloc(c->j, sizeof *b);
    b->n = 0;
    jc_next(c);
    while (c->token.type != JT_END) {
        if (c->token.type == JT_TEXT) {
            JValue text = j_text_n(c->j, c->token.name.data, c->token.name.size, false);
            jc_op(c, JO_TEXT, jc_constant(c, text), 0);
            jc_next(c);
        } else if (c->token.type == JT_PRINT) {
            jc_next(c);
            jc_expression(c, JX_TUPLE);
            jc_op(c, JO_EMIT, 0, 0);
            if (c->token.type != JT_PRINT_END) jc_unexpected(c, "'}}'");
            jc_next(c);
        } else {
            statement(c, b);
        }
    }
    if (b->n) {
        const Block *open = &b->list[b->n - 1];
        c->j->position = open->at;
        j_fail(c->j, BT_E_FORMAT, "this block has no %s", end_names[open->kind]);
    }
    jc_op(c, JO_END, 0, 0);
    check_names(c);
}
