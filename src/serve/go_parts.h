/* Inside the translator of Go templates (go_template.h): what its files share. go_read.c reads
 * tokens, go_expression.c writes what they mean in Jinja, go_template.c the actions and the whole.
 */
#ifndef SERVE_GO_PARTS_H
#define SERVE_GO_PARTS_H

#include "serve/go_template.h"

enum { GO_MOST_DEPTH = 24, GO_MOST_NAME = 48, GO_MOST_RANGES = 3 };

typedef enum GoKind {
    GO_END,
    GO_WORD,
    GO_FIELD,
    GO_STRING,
    GO_NUMBER,
    GO_OPEN,
    GO_CLOSE,
    GO_SIGN
} GoKind;

typedef struct GoToken {
    GoKind kind;
    Span text; /* of a string: what it says, its escapes as they stand */
    bool raw;  /* a string in backquotes */
} GoToken;

/* What the dot is. */
typedef enum GoScope { GO_ALL, GO_MESSAGE, GO_TOOL, GO_CALL } GoScope;

typedef struct GoRange {
    GoScope of;
    char index[GO_MOST_NAME], element[GO_MOST_NAME]; /* its variables, or "" */
} GoRange;

typedef struct Go {
    const char *begin, *p, *end;
    Buf *out;
    bool turns;  /* no .Messages: one turn */
    bool cut;    /* nothing comes behind .Response */
    bool silent; /* that was reached */
    bool trims;
    bool json; /* the field that was written last prints as JSON */
    GoRange range[GO_MOST_RANGES];
    int n_ranges;
    char open[GO_MOST_DEPTH]; /* i: if, r: range */
    int depth;
    GoToken token;
    char *why;
    size_t why_size;
    bool failed;
} Go;

/* ---- go_read.c ---- */

/* Both return false. */
bool go_fail(Go *g, const char *format, ...) BT_PRINTF(2, 3);
bool go_unknown(Go *g, Span what);
/* The next token of an action; GO_END before its "}}". */
bool go_next(Go *g);
bool go_is(const Go *g, GoKind kind, const char *text);
/* Behind the last token of an action. */
bool go_close_action(Go *g);
/* A comment, up to the end of its action; false: none stands here. */
bool go_comment(Go *g);
/* A name of at most GO_MOST_NAME - 1: "$x" gives "x". */
bool go_variable(Go *g, char *name);

/* ---- go_expression.c ---- */

/* In parentheses; the token behind it is read. */
bool go_expression(Go *g, Buf *out, int depth);
/* What a range goes over: the field at hand. False: it is no list that is known. */
bool go_list(Go *g, GoScope *of, const char **jinja);
/* Names in Jinja: of an element and of its number. */
const char *go_element(GoScope of);

#endif
