/* What a template is compiled to: instructions of a machine with one stack of values. Inside text/.
 * Jumps are relative to the instruction that holds them, so that code can be moved: the value of an
 * inline `if` stands before its condition in the text and after it in the code. */
#ifndef TEXT_JINJA_CODE_H
#define TEXT_JINJA_CODE_H

#include "text/jinja_value.h"

#define JINJA_MOST_SOURCE (1u << 20) /* bytes of a template */
#define JINJA_MOST_NEST   200u       /* blocks, brackets and operators open at once */
#define JINJA_MOST_CODE   (1u << 21)
#define JINJA_MOST_ARGS   64u /* names of a macro, targets of an assignment */

/* a: operand or jump; b: second operand. The stack before -> after is in brackets. */
typedef enum JOpcode {
    JO_CONST,      /* [-> constants[a]] */
    JO_LOAD,       /* [-> variable names[a]] */
    JO_STORE,      /* [v ->] */
    JO_STORE_ATTR, /* names[a].constants[c] [v ->] */
    JO_POP,
    JO_ATTR,  /* [v -> v.constants[a]] */
    JO_ITEM,  /* [v k -> v[k]] */
    JO_SLICE, /* [v from to step -> v[from:to:step]] */
    JO_NOT,
    JO_NEG,
    JO_POS,
    JO_ADD, /* [x y -> x + y], and so on */
    JO_SUB,
    JO_MUL,
    JO_DIV,
    JO_FLOORDIV,
    JO_MOD,
    JO_POW,
    JO_CONCAT, /* ~ */
    JO_EQ,
    JO_NE,
    JO_LT,
    JO_LE,
    JO_GT,
    JO_GE,
    JO_IN,
    JO_NOT_IN,
    JO_CHAIN, /* comparison b in a chain: [x y -> y], or [x y -> False] and jump */
    JO_AND,   /* false: jump, else pop */
    JO_OR,
    JO_JUMP,
    JO_JUMP_FALSE, /* [v ->] */
    JO_LIST,       /* [a values -> list] */
    JO_TUPLE,
    JO_DICT,    /* [a pairs -> dict] */
    JO_CALL,    /* [f, a values, b pairs (, list)(, dict) -> result]; flags: see JCALL_ */
    JO_FILTER,  /* as JO_CALL; which: `id` */
    JO_TEST,    /* the same; flag JCALL_NOT: the opposite */
    JO_NO_ELSE, /* [-> undefined], of an inline `if` without else */
    JO_EMIT,    /* [v ->] */
    JO_TEXT,    /* prints constants[a] */
    JO_SCOPE,
    JO_UNSCOPE,
    JO_CAPTURE,
    JO_CAPTURED,    /* [-> text] */
    JO_FOR,         /* [iterable ->] begins a loop */
    JO_NEXT,        /* [-> item], or jump when there is none */
    JO_ROUND,       /* a round is done */
    JO_END_FOR,     /* jump if a round was done (there is no else part to run) */
    JO_BREAK,       /* leaves what was opened inside the loop, and jumps */
    JO_CHOOSE,      /* [iterable ->] begins to choose items */
    JO_CHOOSE_NEXT, /* [-> item], or [-> list] and jump */
    JO_CHOSEN,      /* [v ->] keeps the item if true; jumps */
    JO_UNPACK,      /* [v -> a values, the first on top] */
    JO_MACRO,       /* [-> macro a] */
    JO_GIVEN,       /* argument b was given: jump */
    JO_RETURN,
    JO_END,
} JOpcode;

#define JCALL_LIST 1u /* *args */
#define JCALL_DICT 2u /* **kwargs */
#define JCALL_SOFT 4u /* of an unknown filter or test: fails only when it runs */
#define JCALL_NOT  8u

typedef struct JOp {
    uint8_t op, flags;
    uint16_t id; /* of a filter or a test; JCALL_UNKNOWN: no such name, which is constants[c] */
    int32_t a, c;
    uint16_t b;
    uint32_t at; /* offset in the source */
} JOp;

#define JCALL_UNKNOWN 0xFFFFu

typedef struct JFunction {
    uint32_t name; /* UINT32_MAX: a caller */
    int32_t start; /* of its code */
    uint32_t *args;
    uint32_t n_args;
    bool varargs, kwargs, caller; /* its body names these */
} JFunction;

struct JinjaTemplate {
    J j; /* heap */
    Span source;
    JOp *code;
    size_t n_code;
    JValue *constants;
    Span *names;
    size_t n_names;
    JFunction *functions;
    size_t n_functions;
    uint32_t loop, caller, varargs, kwargs; /* ids of these names */
};

/* ---- tokens (jinja_lex.c) ---- */

typedef enum JTokenType {
    JT_TEXT,  /* template data, trimmed as blocks ask */
    JT_PRINT, /* {{ */
    JT_PRINT_END,
    JT_BLOCK, /* {% */
    JT_BLOCK_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_OP, /* `op` says which: one character, or two as 'a' * 256 + 'b' */
    JT_END,
} JTokenType;

#define JOP2(a, b) ((a)*256 + (b))

typedef struct JToken {
    JTokenType type;
    uint32_t at;
    int op;
    Span name;    /* JT_NAME, JT_TEXT */
    JValue value; /* strings and numbers */
} JToken;

typedef struct JLexer {
    J *j;
    Span source;
    size_t at;
    bool inside;     /* a tag */
    bool block;      /* ... of statements */
    bool line_start; /* the text begins at the start of a line */
    char open[JINJA_MOST_NEST];
    unsigned n_open; /* brackets */
} JLexer;

void j_lex(JLexer *lex, JToken *out);

/* ---- the compiler (jinja_code.c, jinja_expr.c, jinja_parse.c) ---- */

typedef struct JCompiler {
    JinjaTemplate *t;
    J *j;
    JLexer lex;
    JToken token, ahead;
    bool has_ahead;
    size_t code_capacity, constants_capacity, names_capacity, functions_capacity, n_constants;
    uint32_t *name_slots;
    size_t name_mask;
    /* Code set aside, the last first. */
    JOp *attic;
    size_t n_attic, attic_capacity;
    struct JExpr *exprs; /* open operators and brackets */
    size_t n_exprs;
    uint32_t open[JINJA_MOST_NEST]; /* macros whose bodies are read */
    size_t n_open;
    unsigned soft; /* inside `if`: an unknown filter fails only when it runs */
    uint64_t moved;
} JCompiler;

int32_t jc_here(const JCompiler *c);
/* Adds an instruction; gives its index. */
int32_t jc_op(JCompiler *c, JOpcode op, int32_t a, unsigned b);
void jc_patch(JCompiler *c, int32_t jump); /* makes it land here */
void jc_jump_to(JCompiler *c, JOpcode op, int32_t target);
int32_t jc_constant(JCompiler *c, JValue v);
uint32_t jc_name(JCompiler *c, Span name);
uint32_t jc_function(JCompiler *c);
/* Takes the code from `start` on away; gives how much. jc_paste appends what was cut last, jc_copy
 * does so and keeps it for another time. */
size_t jc_cut(JCompiler *c, int32_t start);
void jc_paste(JCompiler *c, size_t n);
void jc_copy(JCompiler *c, size_t n);

void jc_next(JCompiler *c);
const JToken *jc_ahead(JCompiler *c);
bool jc_is_name(const JCompiler *c, const char *name);
bool jc_is_op(const JCompiler *c, int op);
bool jc_skip_op(JCompiler *c, int op);
bool jc_skip_name(JCompiler *c, const char *name);
void jc_expect_op(JCompiler *c, int op, const char *what);
Span jc_expect_name(JCompiler *c, const char *what);
_Noreturn void jc_unexpected(JCompiler *c, const char *wanted);

#define JX_TUPLE 1u /* a, b is a tuple */
#define JX_NO_IF 2u /* `if` ends it */
/* Compiles one expression: its value is left on the stack. */
void jc_expression(JCompiler *c, unsigned how);
/* `name(args)|name` applied to what is on the stack. */
void jc_filters(JCompiler *c);
void jc_template(JCompiler *c);

#endif
