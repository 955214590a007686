/* bt_answer of bantam.h: the parser of text/answer.h fed with a model's tokens. Special tokens that
 * are markup of the form are given to it as text; others are left out, as in every text shown. Any
 * bytes may come: what is no UTF-8 becomes U+FFFD before it is read. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/chat.h"
#include "engine/grammar.h"
#include "engine/model.h"
#include "text/answer_grammar.h"
#include "text/utf8_stream.h"

/* A call that is kept: where its id, name and arguments begin in `words`. */
typedef struct KeptCall {
    size_t id, name, arguments;
} KeptCall;

/* What was given, for bt_answer_message. */
typedef struct Kept {
    Buf text, reasoning, words; /* words: of calls, each with its NUL */
    KeptCall *calls;
    bt_tool_call *list;
    size_t n, capacity, list_capacity;
    bool failed;
} Kept;

struct bt_answer {
    const Tokenizer *tok; /* NULL: text only */
    Answer *parser;
    const char *form;
    Utf8Stream utf8;
    bool first; /* nothing, or a special token, stands before */
    char *bytes;
    size_t capacity;
    Buf piece;
    Buf thought_end;
    Kept kept;
};

static void kept_close(Kept *k)
{
    buf_close(&k->text);
    buf_close(&k->reasoning);
    buf_close(&k->words);
    mem_free(k->calls);
    mem_free(k->list);
}

/* A call counts once it has ended; until then its place is the one behind the last. */
static void keep(Kept *k, const bt_answer_event *e)
{
    if (e->kind == BT_ANSWER_CALL && k->n == k->capacity) {
        size_t capacity = k->capacity * 2 + 4;
        KeptCall *calls = mem_realloc(k->calls, capacity * sizeof *calls);
        k->failed |= !calls;
        if (calls) {
            k->calls = calls;
            k->capacity = capacity;
        }
    }
    if (k->failed) return;
    switch (e->kind) {
    case BT_ANSWER_TEXT: buf_add(&k->text, e->text, e->length); break;
    case BT_ANSWER_REASONING: buf_add(&k->reasoning, e->text, e->length); break;
    case BT_ANSWER_CALL:
        k->calls[k->n].id = k->words.size;
        buf_add(&k->words, e->id, strlen(e->id) + 1);
        k->calls[k->n].name = k->words.size;
        buf_add(&k->words, e->name, strlen(e->name) + 1);
        k->calls[k->n].arguments = k->words.size;
        break;
    case BT_ANSWER_ARGUMENTS: buf_add(&k->words, e->text, e->length); break;
    case BT_ANSWER_CALL_END:
        buf_add(&k->words, "", 1);
        k->n++;
        break;
    case BT_ANSWER_CALL_VOID: k->words.size = k->calls[k->n].id; break;
    }
}

static bt_status read_options(const bt_model *model, const bt_answer_options *options,
                              AnswerSource *out, bt_error *err)
{
    static const bt_answer_options none;
    const bt_answer_options *o = options ? options : &none;
    Span jinja = o->jinja ? span_of(o->jinja)
                 : model  ? model_chat_template(model)
                          : (Span){NULL, 0};
    const AnswerForm *form = o->format ? answer_form_named(o->format) : answer_form_of(jinja);
    if (!form)
        return bt_fail(err, BT_E_ARGUMENT,
                       "'%.60s' is no form of answers; bt_answer_format_name lists them",
                       o->format);
    *out = (AnswerSource){.form = form,
                          .think = answer_think_of(form, jinja),
                          .thinks = (o->format && !jinja.size) ||
                                    answer_think_shown(answer_think_of(form, jinja), jinja),
                          .tools = o->tools,
                          .prompt = {o->prompt, o->prompt ? strlen(o->prompt) : 0},
                          .whole_calls = o->whole_calls,
                          .id_seed = o->id_seed};
    return BT_OK;
}

bt_status bt_answer_open(const bt_model *model, const bt_answer_options *options, bt_answer **out,
                         bt_error *err)
{
    AnswerSource source = {0};
    *out = NULL;
    bt_status status = read_options(model, options, &source, err);
    if (status) return status;
    if (!source.id_seed && !os_random(&source.id_seed, sizeof source.id_seed))
        return bt_fail(err, BT_E_SYSTEM, "the system gave no random bytes");
    bt_answer *a = mem_zalloc(1, sizeof *a);
    if (!a) return bt_fail_memory(err, "an answer", sizeof *a);
    a->tok = model ? model_tokenizer(model) : NULL;
    a->form = source.form->name;
    a->first = true;
    a->capacity = 256;
    a->bytes = mem_alloc(a->capacity);
    status = a->bytes ? answer_open(&source, &a->parser, err)
                      : bt_fail_memory(err, "an answer", a->capacity);
    if (status)
        bt_answer_close(&a);
    else
        *out = a;
    return status;
}

void bt_answer_close(bt_answer **answer)
{
    if (!answer || !*answer) return;
    answer_close(&(*answer)->parser);
    buf_close(&(*answer)->piece);
    buf_close(&(*answer)->thought_end);
    kept_close(&(*answer)->kept);
    mem_free((*answer)->bytes);
    mem_free(*answer);
    *answer = NULL;
}

void answer_without_calls(bt_answer *a)
{
    answer_ignore_calls(a->parser);
}

static bt_status add_piece(bt_answer *a)
{
    bt_status status = a->piece.failed ? BT_E_MEMORY : BT_OK;
    if (!status) status = answer_add(a->parser, a->piece.data, a->piece.size);
    buf_clear(&a->piece);
    return status;
}

bt_status bt_answer_text(bt_answer *a, const char *text, size_t length)
{
    utf8_stream_add(&a->utf8, text, length, &a->piece);
    return add_piece(a);
}

bt_status bt_answer_token(bt_answer *a, bt_token id)
{
    if (!a->tok) return BT_E_ARGUMENT;
    bool special = tok_is_special(a->tok, id);
    int64_t n = tok_text(a->tok, id, true, a->first, a->bytes, a->capacity);
    if (n < 0) return BT_E_ARGUMENT;
    if ((uint64_t)n > a->capacity) {
        char *bytes = mem_realloc(a->bytes, (size_t)n);
        if (!bytes) return BT_E_MEMORY;
        a->bytes = bytes;
        a->capacity = (size_t)n;
        tok_text(a->tok, id, true, a->first, bytes, (size_t)n);
    }
    a->first = special;
    if (special && !answer_knows(a->parser, (Span){a->bytes, (size_t)n})) return BT_OK;
    return bt_answer_text(a, a->bytes, (size_t)n);
}

bt_status bt_answer_end(bt_answer *a)
{
    utf8_stream_end(&a->utf8, &a->piece);
    bt_status status = add_piece(a);
    return status ? status : answer_end(a->parser);
}

bool bt_answer_next(bt_answer *a, bt_answer_event *out)
{
    bool more = answer_next(a->parser, out);
    if (more) keep(&a->kept, out);
    return more;
}

bt_status bt_answer_message(bt_answer *a, bt_message *out)
{
    Kept *k = &a->kept;
    bt_answer_event event;
    *out = (bt_message){.role = "assistant"};
    while (bt_answer_next(a, &event)) {
    }
    buf_add(&k->text, "", 0); /* there is a NUL */
    buf_add(&k->reasoning, "", 0);
    if (k->n > k->list_capacity) {
        bt_tool_call *list = mem_realloc(k->list, k->n * sizeof *list);
        if (!list) return BT_E_MEMORY;
        k->list = list;
        k->list_capacity = k->n;
    }
    if (k->failed || k->text.failed || k->reasoning.failed || k->words.failed) return BT_E_MEMORY;
    for (size_t i = 0; i < k->n; i++)
        k->list[i] =
            (bt_tool_call){k->words.data + k->calls[i].id, k->words.data + k->calls[i].name,
                           k->words.data + k->calls[i].arguments};
    out->content = k->text.data;
    if (k->reasoning.size) out->reasoning = k->reasoning.data;
    if (k->n) out->tool_calls = k->list;
    out->n_tool_calls = k->n;
    return BT_OK;
}

bool bt_answer_thinking(const bt_answer *a)
{
    return answer_thinking(a->parser);
}

const char *bt_answer_thought_end(bt_answer *a)
{
    if (!a->thought_end.size) answer_thought_end(a->parser, &a->thought_end);
    return a->thought_end.failed || !a->thought_end.size ? NULL : a->thought_end.data;
}

const char *bt_answer_format(const bt_answer *a)
{
    return a->form;
}

const char *bt_answer_format_name(size_t i)
{
    const AnswerForm *form = answer_form_at(i);
    return form ? form->name : NULL;
}

bt_status bt_answer_grammar(bt_model *model, const bt_answer_options *options, bool needed,
                            bt_grammar **out, bt_error *err)
{
    AnswerSource source = {0};
    GrammarBuilder b = {0};
    Grammar *automaton = NULL;
    uint32_t rule = 0;
    *out = NULL;
    bt_status status = read_options(model, options, &source, err);
    if (status) return status;
    status = answer_grammar(&b, &source, needed, &rule, err);
    if (!status) status = grammar_finish(&b, rule, &automaton, err);
    builder_close(&b);
    return status ? status : grammar_of_model(model, &automaton, out, err);
}

bt_status bt_answer_constrain(bt_model *model, const bt_answer_options *options,
                              bt_grammar_kind kind, const char *text, size_t length,
                              bt_grammar **out, bt_error *err)
{
    AnswerSource source = {0};
    GrammarBuilder b = {0};
    Grammar *automaton = NULL;
    uint32_t held = 0, rule = 0;
    *out = NULL;
    bt_status status = read_options(model, options, &source, err);
    if (!status) status = grammar_build(&b, kind, (Span){text, length}, &held, err);
    if (!status) status = answer_hold(&b, &source, held, kind == BT_GRAMMAR_SCHEMA, &rule, err);
    if (!status) status = grammar_finish(&b, rule, &automaton, err);
    builder_close(&b);
    return status ? status : grammar_of_model(model, &automaton, out, err);
}
