/* The parser of answers from inside: what answer.c (text, reasoning, headers), answer_call.c (the
 * patterns of calls), answer_body.c, answer_python.c and answer_value.c (what stands in them) and
 * answer_events.c (what comes out) share. */
#ifndef TEXT_ANSWER_PARTS_H
#define TEXT_ANSWER_PARTS_H

#include "base/buf.h"
#include "text/answer.h"
#include "text/answer_tools.h"
#include "text/json_scan.h"
#include "text/loose_value.h"

/* ---- patterns ---- */

/* One text that may come next in a pattern, and where it leads. `back`: where the pattern goes on
 * after %p, while inside a parameter; else NULL. */
typedef struct CallChoice {
    const char *text;
    size_t n;
    const char *at, *back;
    bool keep;  /* the text belongs to what follows */
    bool enter; /* opens a parameter */
    bool leave; /* ends the parameters */
} CallChoice;

#define CALL_CHOICES 12

typedef struct CallSet {
    CallChoice list[CALL_CHOICES];
    int n;
    const char *open, *open_back; /* what comes when none of them does; NULL: nothing may */
} CallSet;

typedef enum CallMode {
    CALL_LITERAL, /* text of the pattern, white space before it */
    CALL_CAPTURE, /* a name or a value, up to text of the pattern */
    CALL_BODY,    /* arguments, or whole calls, in a language of their own */
    CALL_TAIL,    /* text after the arguments, taken if it comes */
} CallMode;

/* One parameter's value. */
typedef struct CallValue {
    unsigned types;
    bool stream;           /* a string, given away as it comes; else it waits in `held` */
    bool wrap, lead, line; /* %w: a line break was dropped before; one waits */
    Buf held;
} CallValue;

typedef struct Call {
    const char *at, *back; /* in the pattern */
    CallMode mode;
    char what; /* the pattern's letter that is being read */
    bool bare; /* no marker said that this is a call */
    CallSet set;
    Buf lit;      /* read, and not yet known to be text of the pattern */
    size_t blank; /* white space at its start */
    Buf capture, name, id, key, type;
    bool begun;     /* BT_ANSWER_CALL was given */
    bool committed; /* a call has ended in this pattern */
    int n_arguments;
    CallValue value;

    /* bodies */
    uint8_t state, kind; /* kind: of the string that is being read (answer_body.c) */
    bool list;           /* in brackets */
    bool keyed;          /* %a */
    bool nested;         /* inside {"function": {...}} */
    bool given;          /* this call has arguments */
    JsonScan json;
    LooseValue loose;
    Buf held; /* arguments that came before their name */
    uint8_t levels[LOOSE_DEPTH];
    int depth;
} Call;

/* ---- the parser ---- */

typedef struct AnswerItem {
    bt_answer_kind kind;
    int32_t index;
    size_t at, size; /* in `bytes`; of a call: its id, NUL, its name, NUL */
} AnswerItem;

typedef enum AnswerState { IN_TEXT, IN_THOUGHT, IN_HEADER, IN_CALL } AnswerState;
typedef enum AnswerAct { ACT_OPEN, ACT_CLOSE, ACT_DROP, ACT_HEADER, ACT_CALL } AnswerAct;

typedef struct AnswerMark {
    const char *text;
    size_t n;
    AnswerAct act;
    const char *pattern; /* of ACT_CALL */
    CallChoice choice;
} AnswerMark;

#define ANSWER_MARKS 32

struct Answer {
    const AnswerForm *form;
    AnswerThink think;
    AnswerTools *tools;
    bool whole, no_calls;
    uint64_t seed;

    AnswerMark marks[ANSWER_MARKS];
    int n_marks;
    bool first[256];  /* a mark begins with this byte */
    const char *bare; /* pattern of calls without a marker, or NULL */

    AnswerState state;
    bool untouched;  /* neither text nor a call was given yet */
    bool after_mark; /* white space that comes now is dropped */
    bool spoken;     /* text was given since the last markup */
    Buf space;       /* white space that may stand before markup */
    Buf mark;        /* what may become a mark */
    Buf header;
    Buf raw;    /* all that was read since the call (or header) began, or since its last commit */
    Buf replay; /* to be read (again) before anything new, last byte first */
    Call call;

    Buf bytes;
    AnswerItem *items;
    size_t n_items, items_capacity, next, visible;
    int32_t n_calls;
    Buf scratch;
    bool failed;
};

/* ---- answer.c ---- */
/* What was read since `raw` began is no call: it becomes text. */
void answer_fail(Answer *a);
/* Reads `text` (again) before anything else. */
void answer_replay(Answer *a, const char *text, size_t n);
/* Back to text after markup. */
void answer_to_text(Answer *a);

/* ---- answer_call.c ---- */
/* What may come at a place of a pattern. */
void call_choices(const AnswerForm *form, const char *at, const char *back, CallSet *out);
/* Starts a call whose first text was read (choice), or that begins with its body (NULL). */
void call_start(Answer *a, const char *pattern, const CallChoice *choice, bool bare);
void call_byte(Answer *a, char c);
/* The answer ends inside a call. */
void call_end(Answer *a);
void call_close(Call *call);

/* ---- answer_body.c, answer_python.c, answer_tags.c ---- */
/* One byte of the body. SCAN_DONE or SCAN_STOP: all of it was read (and its calls ended). */
ScanResult body_byte(Answer *a, char c);
/* No call of the body is open: it may end here. */
bool body_may_end(const Call *call);
ScanResult python_byte(Answer *a, char c);
bool python_may_end(const Call *call);
ScanResult tags_byte(Answer *a, char c);

/* ---- answer_value.c ---- */
void value_begin(Answer *a, bool wrap);
void value_byte(Answer *a, char c);
void value_end(Answer *a);
/* A value by its text and the types it may have, as JSON. */
void value_convert(Answer *a, Span text, unsigned types);

/* ---- answer_events.c ---- */
void event_text(Answer *a, bt_answer_kind kind, const char *text, size_t n);
/* Begins a call by call.name and call.id; false: that is no name. */
bool event_call(Answer *a);
void event_arguments(Answer *a, const char *text, size_t n);
void event_argument_text(Answer *a, const char *text); /* NUL-terminated */
void event_end(Answer *a);                             /* the call is whole: commits */
void event_void(Answer *a);                            /* it is none */
void events_drop(Answer *a);

#endif
