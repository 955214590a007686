/* Which tokens of a document are learned (see labels.h). */
#include "train/labels.h"

#include <string.h>

#include "base/mem.h"

#define FIRST_DAY 1704067200 /* 1 January 2024 */
#define DAYS      1096u

typedef struct Rendered {
    Buf text;
    ChatParts parts;
    bt_token *ids;
    size_t n;
} Rendered;

struct Labels {
    LabelsSource source;
    Chat chat;
    bt_status chat_status;
    bt_error chat_error; /* why the template cannot be used */
    Rendered whole, turn, prompt;
    unsigned char *counts;
    size_t capacity;
    struct Turn {
        size_t from, to; /* ids of the whole */
    } * turns;           /* of the conversation at hand that are learned where they stand */
    size_t turn_capacity;
};

bt_status labels_open(const LabelsSource *source, Labels **out, bt_error *err)
{
    *out = mem_zalloc(1, sizeof **out);
    if (!*out) return bt_fail_memory(err, "the labels of the data", sizeof **out);
    Labels *l = *out;
    l->source = *source;
    const ChatSource from = {source->tok, source->jinja};
    l->chat_status = chat_open(&from, NULL, &l->chat, &l->chat_error);
    if (l->chat_status != BT_E_MEMORY) return BT_OK;
    labels_close(out);
    return bt_fail_memory(err, "a chat template", sizeof(Chat));
}

static void rendered_close(Rendered *r)
{
    buf_close(&r->text);
    chat_parts_close(&r->parts);
    mem_free(r->ids);
    *r = (Rendered){0};
}

void labels_close(Labels **labels)
{
    Labels *l = *labels;
    if (!l) return;
    if (!l->chat_status) chat_close(&l->chat);
    rendered_close(&l->whole);
    rendered_close(&l->turn);
    rendered_close(&l->prompt);
    mem_free(l->counts);
    mem_free(l->turns);
    mem_free(l);
    *labels = NULL;
}

/* Room for n marks, all cleared. */
static bool clear_counts(Labels *l, size_t n)
{
    if (n > l->capacity) {
        mem_free(l->counts);
        l->capacity = n + n / 2;
        l->counts = mem_alloc(l->capacity);
        if (!l->counts) l->capacity = 0;
    }
    if (l->counts) memset(l->counts, 0, n);
    return l->counts != NULL;
}

/* ---- conversations ---- */

typedef struct Talk {
    Labels *l;
    const DataDoc *doc;
    int64_t now;
    LabelsSink sink;
    void *user;
    bt_error *err;
} Talk;

/* The first n messages as text; ids follow once it is known how much of it is wanted. */
static bt_status render(const Talk *t, size_t n, bool generation, Rendered *out)
{
    json_t *messages = json_array();
    bool good = messages != NULL;
    for (size_t i = 0; i < n && good; i++)
        good = json_array_append(messages, json_array_get(t->doc->messages, i)) == 0;
    const ChatAsk ask = {.messages = messages,
                         .tools = t->doc->tools,
                         .variables = t->doc->variables,
                         .generation = generation,
                         .now = t->now};
    buf_clear(&out->text);
    bt_status status = good ? chat_apply(&t->l->chat, &ask, &out->text, &out->parts, t->err)
                            : bt_fail_memory(t->err, "a conversation", n);
    json_decref(messages);
    mem_free(out->ids);
    out->ids = NULL;
    out->n = 0;
    return status;
}

/* Ids of the first `size` bytes of the text. */
static bt_status encode(const Talk *t, Rendered *r, size_t size)
{
    size_t i = 0;
    for (; i < r->parts.n && size > 0; i++) {
        TokPart *part = &r->parts.items[i];
        if (part->text.size > size) part->text.size = size;
        size -= part->text.size;
    }
    r->parts.n = i;
    return chat_encode(&t->l->chat, &r->parts, &r->ids, &r->n, t->err);
}

static size_t common_text(const Rendered *a, const Rendered *b)
{
    size_t n = a->text.size < b->text.size ? a->text.size : b->text.size, i = 0;
    while (i < n && a->text.data[i] == b->text.data[i]) i++;
    return i;
}

static size_t common_ids(const Rendered *a, const Rendered *b)
{
    size_t n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && a->ids[i] == b->ids[i]) i++;
    return i;
}

static bool begins_with(const Rendered *whole, const Rendered *start)
{
    return start->text.size <= whole->text.size && common_text(whole, start) == start->text.size;
}

/* Marks ids [from, to), but for what follows the last token that ends an answer. */
static bool mark(Labels *l, const bt_token *ids, size_t from, size_t to)
{
    size_t end = to;
    while (end > from && !tok_ends(l->source.tok, ids[end - 1])) end--;
    bool ends = end > from;
    for (size_t i = from; i < (ends ? end : to); i++) l->counts[i] = 1;
    return ends;
}

/* Learned is a turn that is the assistant's, and not said to be without weight. */
static bool is_learned(const DataDoc *doc, size_t i)
{
    const json_t *m = json_array_get(doc->messages, i), *weight = json_object_get(m, "weight");
    const char *role = json_string_value(json_object_get(m, "role"));
    if (i == 0 || i < doc->first_counted || strcmp(role, "assistant") != 0) return false;
    return !json_is_number(weight) || json_number_value(weight) != 0;
}

static bt_status hand_on(const Talk *t, const Rendered *r)
{
    return t->sink(t->user, t->doc, r->ids, t->l->counts, r->n, t->err);
}

/* Turn i as it stands when it is the last, with its ids; what is to be learned of it begins at
 * *from. */
static bt_status last_turn(const Talk *t, size_t i, Rendered **turn, size_t *from)
{
    Labels *l = t->l;
    bool last = i + 1 == json_array_size(t->doc->messages);
    *turn = last ? &l->whole : &l->turn;
    bt_status status = render(t, i, true, &l->prompt);
    if (!status && !last) status = render(t, i + 1, false, &l->turn);
    if (!status && !last) status = encode(t, &l->turn, l->turn.text.size);
    if (!status) status = encode(t, &l->prompt, common_text(&l->prompt, *turn));
    if (!status) *from = common_ids(&l->prompt, *turn);
    return status;
}

/* A turn that the whole text shows otherwise: the conversation up to it, for itself. */
static bt_status apart(const Talk *t, size_t from)
{
    Labels *l = t->l;
    if (!clear_counts(l, l->turn.n)) return bt_fail_memory(t->err, "a conversation", l->turn.n);
    mark(l, l->turn.ids, from, l->turn.n);
    return hand_on(t, &l->turn);
}

/* Puts the token that ends texts behind a conversation whose template writes no end. */
static bt_status add_end(const Talk *t, Rendered *r)
{
    Labels *l = t->l;
    int32_t eos = tok_eos(l->source.tok);
    if (eos < 0) return BT_OK;
    bt_token *ids = mem_realloc(r->ids, (r->n + 1) * sizeof *ids);
    if (!ids) return bt_fail_memory(t->err, "a conversation", r->n);
    r->ids = ids;
    r->ids[r->n] = eos;
    l->counts[r->n++] = 1;
    return BT_OK;
}

/* The turns of the whole text that are learned, in l->turns; others are handed on. */
static bt_status find_turns(const Talk *t, size_t n, size_t *n_turns)
{
    Labels *l = t->l;
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) {
        Rendered *turn;
        size_t from;
        if (!is_learned(t->doc, i)) continue;
        status = last_turn(t, i, &turn, &from);
        if (status) break;
        if (begins_with(&l->whole, turn))
            l->turns[(*n_turns)++] = (struct Turn){from, common_ids(turn, &l->whole)};
        else
            status = apart(t, from);
    }
    return status;
}

static bt_status conversation(const Talk *t)
{
    Labels *l = t->l;
    size_t n = json_array_size(t->doc->messages), n_turns = 0;
    bool ends = true;
    if (l->chat_status) return bt_fail(t->err, l->chat_status, "%s", l->chat_error.text);
    if (n > l->turn_capacity) {
        struct Turn *turns = mem_realloc(l->turns, n * sizeof *turns);
        if (!turns) return bt_fail_memory(t->err, "a conversation", n * sizeof *turns);
        l->turns = turns;
        l->turn_capacity = n;
    }
    bt_status status = render(t, n, false, &l->whole);
    if (!status) status = encode(t, &l->whole, l->whole.text.size);
    if (!status && !l->source.all_counts) status = find_turns(t, n, &n_turns);
    if (!status && !clear_counts(l, l->whole.n + 1))
        status = bt_fail_memory(t->err, "a conversation", l->whole.n);
    if (status) return status;
    for (size_t i = 0; i < n_turns; i++)
        ends = mark(l, l->whole.ids, l->turns[i].from, l->turns[i].to);
    if (l->source.all_counts) ends = mark(l, l->whole.ids, 1, l->whole.n);
    if (!ends) status = add_end(t, &l->whole);
    return status || !(n_turns || l->source.all_counts) ? status : hand_on(t, &l->whole);
}

/* ---- texts ---- */

static bt_status text(const Talk *t)
{
    Labels *l = t->l;
    const DataDoc *doc = t->doc;
    const Tokenizer *tok = l->source.tok;
    const TokPart parts[] = {{doc->prompt, false}, {doc->text, false}};
    size_t skip = doc->kind == DATA_PAIR ? 0 : 1, from = 0;
    bool bos = tok_adds_bos(tok);
    mem_free(l->whole.ids);
    l->whole.ids = NULL;
    bt_status status =
        tok_encode(tok, parts + skip, 2 - skip, bos, &l->whole.ids, &l->whole.n, t->err);
    if (!status && doc->kind == DATA_PAIR && !l->source.all_counts) {
        mem_free(l->prompt.ids);
        l->prompt.ids = NULL;
        status = tok_encode(tok, parts, 1, bos, &l->prompt.ids, &l->prompt.n, t->err);
        if (!status) from = common_ids(&l->prompt, &l->whole);
    }
    if (!status && !clear_counts(l, l->whole.n + 1))
        status = bt_fail_memory(t->err, "a text", l->whole.n);
    if (from == 0) from = 1; /* what begins a document follows nothing */
    if (!status && l->whole.n > from) memset(l->counts + from, 1, l->whole.n - from);
    if (!status) status = add_end(t, &l->whole);
    return status ? status : hand_on(t, &l->whole);
}

bt_status labels_document(Labels *labels, const DataDoc *doc, uint64_t number, LabelsSink sink,
                          void *user, bt_error *err)
{
    const Talk t = {.l = labels,
                    .doc = doc,
                    .now = FIRST_DAY + (int64_t)(number * 7919 % DAYS) * 86400 + 43200,
                    .sink = sink,
                    .user = user,
                    .err = err};
    return doc->kind == DATA_CHAT ? conversation(&t) : text(&t);
}
