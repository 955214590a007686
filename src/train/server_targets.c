/* From a journal of answers to stored targets (see server_teacher.h): where the server cut the text
 * as the student's vocabulary does, what it found likely becomes a record, as far as the student
 * has tokens of the same bytes; elsewhere the record is empty, and the data alone teaches. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "train/server_parts.h"
#include "train/targets_file.h"
#include "train/token_texts.h"

typedef struct Storing {
    Server *s;
    TokenTexts *texts;
    TargetsSink sink;
    int32_t *said; /* (n_said) of each id, the token of the reply that is the same piece; or -1 */
    size_t n_said;
} Storing;

/* ---- the journal, read ---- */

static bt_status open_lines(Server *s)
{
    os_map_close(&s->map);
    bt_status status = os_map_open(s->journal_path, &s->map, s->err);
    if (status) return status;
    const char *begin = (const char *)s->map.data;
    const char *line = s->map.size ? memchr(begin, '\n', s->map.size) : NULL;
    s->at = line ? line + 1 : begin + s->map.size;
    s->number = 0;
    return BT_OK;
}

static bt_status next_line(Server *s)
{
    const char *end = (const char *)s->map.data + s->map.size;
    const char *line = s->at < end ? memchr(s->at, '\n', (size_t)(end - s->at)) : NULL;
    bt_status status = BT_E_FORMAT;
    bt_error why = {0};
    if (line)
        status = reply_of_line((Span){s->at, (size_t)(line - s->at)}, s->number, &s->reply, &why);
    if (line) s->at = line + 1;
    if (!status) {
        s->number++;
        return BT_OK;
    }
    return bt_fail(s->err, status, "%s:%llu: damaged (%s); cut it off above that line to ask again",
                   s->journal_path, (unsigned long long)s->number + 2, why.text);
}

static bool is_used(const Reply *r)
{
    return r->content.size > 0 && !r->cut;
}

/* ---- records ---- */

/* Which token of the reply is the piece of text that id i of n is. The reply's text begins at
 * byte `at` of s->text. */
static bool align(Storing *w, size_t at, size_t n)
{
    const Server *s = w->s;
    size_t next = 0;
    if (n > w->n_said) {
        mem_free(w->said);
        w->said = mem_alloc(n * sizeof *w->said);
        w->n_said = w->said ? n : 0;
    }
    if (!w->said) return false;
    for (size_t i = 0; i < n; i++) w->said[i] = -1;
    for (size_t i = 0; i < reply_size(&s->reply); i++) {
        const ReplyToken *t = reply_token(&s->reply, i);
        Span piece = reply_text(&s->reply, &t->said);
        if (at + piece.size > s->text.size ||
            memcmp(s->text.data + at, piece.data, piece.size) != 0) {
            if (i == 0) continue; /* BOS */
            return true;          /* another text from here on */
        }
        while (next < n && s->start[next] < at) next++;
        if (t->n && piece.size && next < n && s->start[next] == at &&
            s->start[next + 1] == at + piece.size)
            w->said[next] = (int32_t)i;
        at += piece.size;
    }
    return true;
}

/* Adds to the tokens of a record what the student has a token for. */
static uint32_t put_top(const Storing *w, const ReplyPiece *piece, int32_t *id, float *p,
                        uint32_t n)
{
    int32_t token = token_texts_find(w->texts, reply_text(&w->s->reply, piece));
    if (token < 0 || !(piece->p > 0)) return n;
    for (uint32_t i = 0; i < n; i++)
        if (id[i] == token) {
            p[i] += piece->p;
            return n;
        }
    if (n == REPLY_TOP) return n;
    id[n] = token;
    p[n] = piece->p;
    return n + 1;
}

static bt_status put_record(Storing *w, int32_t said)
{
    const TargetsHeader *h = &w->sink.header;
    const Reply *r = &w->s->reply;
    const ReplyToken *t = said >= 0 ? reply_token(r, (size_t)said) : NULL;
    int32_t id[REPLY_TOP];
    float p[REPLY_TOP], sum = 0;
    uint32_t n = 0;
    unsigned char *out = targets_sink_room(&w->sink);
    memset(out, 0, targets_record_bytes(h));
    for (uint32_t i = 0; t && i < t->n; i++) n = put_top(w, reply_top(r, t, i), id, p, n);
    for (uint32_t i = 0; i < n; i++) sum += p[i];
    for (uint32_t i = 0; i < n; i++) {
        float of = sum > 1 ? p[i] / sum : p[i];
        memcpy(out + (size_t)i * h->id_bytes, &id[i], h->id_bytes);
        memcpy(out + (size_t)h->samples * h->id_bytes + i * sizeof of, &of, sizeof of);
    }
    w->s->result.counted++;
    w->s->result.compared += n > 0;
    return targets_sink_put(&w->sink, w->s->err);
}

/* Records of ids [first + 1, first + rows] that count; the reply's text begins with id first +
 * `skip`, or, to `skip` 0, where the text was sent from. */
static bt_status put_records(Storing *w, uint64_t first, uint64_t rows, uint64_t skip)
{
    Server *s = w->s;
    bt_status status = BT_OK;
    if (!server_spell(s, first, rows + 1) ||
        !align(w, skip ? s->start[skip] : server_first_byte(s), (size_t)rows + 1))
        return bt_fail_memory(s->err, "a document", s->text.size);
    for (uint64_t i = 1; i <= rows && !status; i++)
        if (s->corpus->counts[first + i]) status = put_record(w, w->said[i]);
    return status;
}

static bt_status put_read(Storing *w)
{
    Server *s = w->s;
    Part part = {0};
    bt_status status = BT_OK;
    while (!status && server_next_part(s, &part)) {
        status = next_line(s);
        if (!status)
            status = put_records(w, s->corpus->docs[part.doc].at + part.first, part.rows, 0);
    }
    return status;
}

/* Lines of the data that was written are the answers that are used. */
static bt_status put_written(Storing *w)
{
    Server *s = w->s;
    bt_status status = BT_OK;
    uint64_t line = 0;
    uint32_t doc = 0;
    for (uint64_t i = 0; i < s->answered && !status; i++) {
        status = next_line(s);
        if (status || !is_used(&s->reply)) continue;
        line++;
        for (; doc < s->corpus->n_docs && s->corpus->docs[doc].line == line && !status; doc++) {
            const CorpusDoc *d = &s->corpus->docs[doc];
            uint64_t begins = 1;
            while (begins < d->n && !s->corpus->counts[d->at + begins]) begins++;
            status = put_records(w, d->at, d->n - 1, begins);
        }
    }
    return status;
}

static bt_status write_targets(void *user, int fd, bt_error *err)
{
    Storing *w = user;
    bt_error *before = w->s->err;
    w->s->err = err;
    bt_status status = targets_sink_begin(&w->sink, fd, err);
    if (!status) status = w->s->mode == SERVER_READS ? put_read(w) : put_written(w);
    if (!status) status = targets_sink_end(&w->sink, err);
    w->s->err = before;
    return status;
}

/* ---- the data that was written ---- */

typedef struct NewData {
    Server *s;
    int fd;
} NewData;

static int add_text(const char *text, size_t size, void *user)
{
    buf_add(user, text, size);
    return 0;
}

/* The conversation with its answer, of which alone is learned. */
static bt_status put_chat(Server *s, int fd, json_t *messages)
{
    size_t n = json_array_size(messages);
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (role && strcmp(role, "assistant") == 0)
            json_object_set_new(m, "weight", json_integer(0));
    }
    json_array_append_new(messages,
                          json_pack("{s:s,s:o}", "role", "assistant", "content",
                                    json_stringn(s->reply.content.data, s->reply.content.size)));
    json_t *line = json_pack("{s:O}", "messages", messages);
    buf_clear(&s->line);
    if (json_array_size(messages) != n + 1 || !line ||
        json_dump_callback(line, add_text, &s->line, JSON_COMPACT))
        s->line.failed = true;
    json_decref(line);
    buf_char(&s->line, '\n');
    if (s->line.failed) return bt_fail_memory(s->err, "a conversation", s->line.size);
    s->lines++;
    return os_write_all(fd, s->line.data, s->line.size, s->err);
}

static bt_status next_chat(void *user, const DataDoc *doc, bt_error *err)
{
    NewData *to = user;
    Server *s = to->s;
    json_t *messages;
    bt_status status = server_prompt(doc, &messages, err);
    if (status || !messages) return status;
    bt_error *before = s->err;
    s->err = err;
    status = next_line(s);
    if (!status && s->reply.cut) s->result.cut++;
    if (!status && !s->reply.cut && !s->reply.content.size) s->result.silent++;
    if (!status && is_used(&s->reply)) status = put_chat(s, to->fd, messages);
    s->err = before;
    json_decref(messages);
    return status == BT_E_FORMAT ? BT_E_IO : status; /* the journal's, not the data's */
}

static bt_status write_data(void *user, int fd, bt_error *err)
{
    Server *s = user;
    NewData to = {s, fd};
    const DataOptions data = {.lenient = s->o->lenient};
    return data_read(s->data, s->n_data, &data, next_chat, &to, NULL, err);
}

static bt_status open_written(Server *s)
{
    const PacksOptions p = {.context = s->context, .in_order = true};
    const char *path = s->data_path;
    bt_status status = open_lines(s);
    if (!status) status = os_replace_file(path, write_data, s, s->err);
    if (status) return status;
    if (!s->lines)
        return bt_fail(s->err, BT_E_ARGUMENT,
                       "%s: nothing to learn from: of %llu answers %llu did not end (--longest "
                       "allows more), %llu have no words (a call, a refusal)",
                       s->journal_path, (unsigned long long)s->answered,
                       (unsigned long long)s->result.cut, (unsigned long long)s->result.silent);
    corpus_close(&s->corpus);
    return corpus_open(s->model, &path, 1, &p, &s->corpus, s->err);
}

/* ---- all of it ---- */

bt_status server_store(Server *s)
{
    Storing w = {.s = s};
    bt_status status = s->mode == SERVER_WRITES ? open_written(s) : BT_OK;
    uint64_t counted = 0;
    for (uint64_t i = 0; !status && i < s->corpus->n; i++) counted += s->corpus->counts[i];
    if (!status && !counted) status = bt_fail(s->err, BT_E_ARGUMENT, "nothing in the data counts");
    w.sink.header = (TargetsHeader){.version = TARGETS_LIKELIEST,
                                    .samples = REPLY_TOP,
                                    .temperature = 1,
                                    .context = (uint32_t)s->context,
                                    .n_tokens = counted,
                                    .data_hash = status ? 0 : s->corpus->hash};
    if (!status) status = open_lines(s);
    if (!status) status = token_texts_open(model_tokenizer(s->model), &w.texts, s->err);
    if (!status) status = targets_sink_open(&w.sink, s->model, s->err);
    if (!status) status = os_replace_file(s->path, write_targets, &w, s->err);
    targets_sink_close(&w.sink);
    token_texts_close(&w.texts);
    mem_free(w.said);
    return status;
}
