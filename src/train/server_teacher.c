/* Asking a server (see server_teacher.h): what it offers, document by document, with patience; each
 * answer goes to the journal before the next is asked for. */
#include "train/server_teacher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "text/utf8.h"
#include "train/server_parts.h"

#define TRIES     6  /* of a request */
#define FORMS     3  /* answers that are none */
#define MOST_WAIT 60 /* seconds between two */
#define PROBE     "The sun is warm and the sea is wide."

static const char *mode_name(ServerMode mode)
{
    return mode == SERVER_READS ? "reads" : "writes";
}

static bt_status cancelled(Server *s)
{
    return bt_fail(s->err, BT_E_CANCELLED, "stopped; %llu of the answers are in %s",
                   (unsigned long long)s->answered, s->journal_path);
}

static void tell(const Server *s, const char *line)
{
    if (s->o->tell) s->o->tell(s->o->user, line);
}

/* ---- the data ---- */

bool server_next_part(const Server *s, Part *part)
{
    const Corpus *c = s->corpus;
    part->first += part->rows;
    for (; part->doc < c->n_docs; part->doc++, part->first = 0) {
        const CorpusDoc *d = &c->docs[part->doc];
        for (; part->first + 1 < d->n; part->first += part->rows) {
            uint64_t left = d->n - 1 - part->first, most = (uint64_t)s->context;
            bool counts = false;
            part->rows = left < most ? left : most;
            for (uint64_t i = 1; i <= part->rows && !counts; i++)
                counts = c->counts[d->at + part->first + i];
            if (counts) return true;
        }
        part->rows = 0;
    }
    return false;
}

bool server_spell(Server *s, uint64_t first, uint64_t n)
{
    const Tokenizer *tok = model_tokenizer(s->model);
    char text[512];
    if (n + 1 > s->n_start) {
        mem_free(s->start);
        s->n_start = (size_t)n + 1;
        s->start = mem_alloc(s->n_start * sizeof *s->start);
        if (!s->start) s->n_start = 0;
    }
    buf_clear(&s->text);
    for (uint64_t i = 0; i < n && s->start; i++) {
        int32_t id = s->corpus->ids[first + i];
        bool begins = s->text.size == 0;
        int64_t size = tok_text(tok, id, true, begins, text, sizeof text);
        s->start[i] = s->text.size;
        /* BOS stands for nothing: the server has its own. */
        if ((begins && id == tok_bos(tok)) || size > (int64_t)sizeof text) continue;
        buf_add(&s->text, text, (size_t)size);
    }
    if (s->start) s->start[n] = s->text.size;
    return s->start && !s->text.failed;
}

size_t server_first_byte(const Server *s)
{
    size_t i = 0;
    while (i < s->text.size && i < 3 && ((unsigned char)s->text.data[i] & 0xC0) == 0x80) i++;
    return i;
}

bt_status server_prompt(const DataDoc *doc, json_t **out, bt_error *err)
{
    size_t n = doc->kind == DATA_CHAT ? json_array_size(doc->messages) : 0, end = n;
    *out = NULL;
    if (doc->tools && n)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "a conversation with tools: of calls a server tells no likely tokens");
    for (size_t i = 0; i < n; i++) {
        const char *role =
            json_string_value(json_object_get(json_array_get(doc->messages, i), "role"));
        if (role && strcmp(role, "assistant") == 0) end = i;
    }
    if (!end) return BT_OK;
    json_t *prompt = json_array();
    for (size_t i = 0; i < end; i++) {
        const json_t *m = json_array_get(doc->messages, i);
        json_array_append_new(prompt, json_pack("{s:O,s:O}", "role", json_object_get(m, "role"),
                                                "content", json_object_get(m, "content")));
    }
    if (json_array_size(prompt) == end) {
        *out = prompt;
        return BT_OK;
    }
    json_decref(prompt);
    return bt_fail(err, BT_E_FORMAT, "a message without content");
}

static bt_status count_chat(void *user, const DataDoc *doc, bt_error *err)
{
    Server *s = user;
    json_t *prompt;
    bt_status status = server_prompt(doc, &prompt, err);
    s->chats += prompt != NULL;
    json_decref(prompt);
    return s->mode == SERVER_WRITES ? status : BT_OK;
}

static bt_status count_chats(Server *s)
{
    const DataOptions data = {.lenient = s->o->lenient};
    s->chats = 0;
    return data_read(s->data, s->n_data, &data, count_chat, s, NULL, s->err);
}

static bt_status open_data(Server *s)
{
    const PacksOptions p = {.context = s->context,
                            .in_order = true,
                            .lenient = s->o->lenient,
                            .all_counts = s->o->all_counts,
                            .progress = s->o->progress,
                            .progress_user = s->o->progress_user};
    Part part = {0};
    bt_status status = corpus_open(s->model, s->data, s->n_data, &p, &s->corpus, s->err);
    if (status) return status;
    while (server_next_part(s, &part)) s->parts++;
    return count_chats(s);
}

/* ---- the journal ---- */

static void header_line(const Server *s, Buf *out)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)s->corpus->hash);
    json_t *header = json_pack("{s:s,s:i,s:s,s:s,s:s,s:i,s:i}", "bantam", "replies", "version", 1,
                               "mode", mode_name(s->mode), "model", s->o->name, "data", hash, "ctx",
                               s->context, "longest", s->longest);
    char *text = header ? mem_alloc(1024 + 6 * strlen(s->o->name)) : NULL;
    size_t size = text ? json_dumpb(header, text, 1024 + 6 * strlen(s->o->name), JSON_COMPACT) : 0;
    buf_clear(out);
    buf_add(out, text, size);
    buf_char(out, '\n');
    if (!size) out->failed = true;
    mem_free(text);
    json_decref(header);
}

static bt_status journal_error(const Server *s, const char *what)
{
    return bt_fail(s->err, BT_E_IO, "%s: %s: %s", s->journal_path, what, os_why(errno));
}

/* Looks through what is there: the mode where it is not said, how many answers, and cuts off a line
 * that was not finished. */
static bt_status read_journal(Server *s)
{
    bt_status status = os_map_open(s->journal_path, &s->map, s->err);
    if (status) return status;
    const char *begin = (const char *)s->map.data, *end = begin + s->map.size, *at = begin, *line;
    static const ServerMode modes[] = {SERVER_READS, SERVER_WRITES};
    bool same = false;
    for (int i = 0; i < 2 && !same; i++) {
        if (s->mode != SERVER_EITHER && s->mode != modes[i]) continue;
        ServerMode asked = s->mode;
        s->mode = modes[i];
        header_line(s, &s->line);
        same = !s->line.failed && s->map.size >= s->line.size &&
               memcmp(begin, s->line.data, s->line.size) == 0;
        if (!same) s->mode = asked;
    }
    for (at += same ? s->line.size : 0; same && at < end; at = line + 1) {
        line = memchr(at, '\n', (size_t)(end - at));
        if (!line) break;
        s->answered++;
    }
    off_t whole = at - begin;
    bool empty = s->map.size == 0, part = at != end;
    os_map_close(&s->map);
    if (!same && !empty)
        return bt_fail(s->err, BT_E_ARGUMENT,
                       "%s: answers to another request (other data, model, --ctx or --longest); "
                       "remove it, or store under another name",
                       s->journal_path);
    s->begun = same;
    if (same && part && ftruncate(s->journal, whole) != 0) return journal_error(s, "not mended");
    return BT_OK;
}

static bt_status open_journal(Server *s)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    s->journal = open(s->journal_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->journal < 0) return journal_error(s, "cannot be written");
    if (fcntl(s->journal, F_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN))
        return bt_fail(s->err, BT_E_ARGUMENT, "%s: another run is at work on it", s->journal_path);
    return read_journal(s);
}

static bt_status put_line(Server *s)
{
    bt_status status = reply_line(&s->reply, s->number, &s->line, s->err);
    buf_char(&s->line, '\n');
    if (!status && s->line.failed)
        status = bt_fail_memory(s->err, "a server's answer", s->line.size);
    if (!status) status = os_write_all(s->journal, s->line.data, s->line.size, s->err);
    if (!status && fsync(s->journal) != 0) status = journal_error(s, "cannot be written");
    if (!status) s->answered++;
    return status;
}

/* ---- asking ---- */

typedef bt_status (*ReadFn)(Span json, Reply *out, bt_error *err);

static bool may_pass(int status)
{
    return status == 0 || status == 408 || status == 425 || status == 429 || status >= 500;
}

static bt_status refused(Server *s, const char *path)
{
    char why[256];
    Span body = {s->answer.body.data, s->answer.body.size};
    int status = s->answer.status;
    return bt_fail(s->err, BT_E_SYSTEM, "the server refuses %s (%d: %s)%s", path, status,
                   reply_complaint(body, why, sizeof why),
                   status == 401 || status == 403 ? "; is the key right?"
                   : status == 404                ? "; are its address and --teacher-model right?"
                                                  : "");
}

/* Waits, twice as long each time, or as long as the server said. */
static bt_status wait_for(Server *s, int turn, const char *why)
{
    char line[512];
    double wait = s->o->first_wait > 0 && s->o->first_wait < 1 ? s->o->first_wait : 1;
    for (int i = 0; i < turn; i++) wait *= 2;
    if (wait < s->answer.wait_for) wait = s->answer.wait_for;
    if (wait > MOST_WAIT) wait = MOST_WAIT;
    snprintf(line, sizeof line, "the server: %.300s; again in %.0f s", why, wait);
    tell(s, line);
    return s->o->wait(s->o->user, wait) ? BT_OK : cancelled(s);
}

/* s->body to `path`, the answer to s->reply. BT_E_SYSTEM, BT_E_FORMAT, BT_E_UNSUPPORTED. */
static bt_status ask(Server *s, const char *path, ReadFn read)
{
    Span body = {s->body.data, s->body.size};
    char why[256];
    int formless = 0;
    if (s->body.failed) return bt_fail_memory(s->err, "a request", s->body.size);
    for (int turn = 0;; turn++) {
        buf_clear(&s->answer.body);
        s->answer.status = s->answer.wait_for = 0;
        bt_status status = s->o->post(s->o->user, path, body, &s->answer, s->err);
        if (status) return status;
        s->result.asked++;
        Span got = {s->answer.body.data ? s->answer.body.data : "", s->answer.body.size};
        if (s->answer.status == 200) {
            status = read(got, &s->reply, s->err);
            if (status != BT_E_FORMAT || ++formless == FORMS) return status;
            snprintf(why, sizeof why, "%.200s", s->err->text);
        } else if (!may_pass(s->answer.status)) {
            return refused(s, path);
        } else {
            reply_complaint(got, why, sizeof why);
        }
        if (turn + 1 == TRIES)
            return bt_fail(s->err, BT_E_SYSTEM,
                           "the server gave no answer in %d tries (%s); the same command goes on "
                           "where it stopped",
                           TRIES, why);
        status = wait_for(s, turn, why);
        if (status) return status;
    }
}

static int add_text(const char *text, size_t size, void *user)
{
    buf_add(user, text, size);
    return 0;
}

static void put_body(Server *s, json_t *body)
{
    buf_clear(&s->body);
    if (!body || json_dump_callback(body, add_text, &s->body, JSON_COMPACT)) s->body.failed = true;
    json_decref(body);
}

static bt_status ask_reading(Server *s, json_t *prompt)
{
    put_body(s, json_pack("{s:s,s:o,s:i,s:b,s:i,s:i}", "model", s->o->name, "prompt", prompt,
                          "max_tokens", 1, "echo", 1, "logprobs", s->top, "temperature", 0));
    return ask(s, "/completions", reply_of_completion);
}

static bt_status ask_writing(Server *s, json_t *messages, int32_t longest)
{
    put_body(s, json_pack("{s:s,s:o,s:i,s:b,s:i,s:i}", "model", s->o->name, "messages", messages,
                          "max_tokens", longest, "logprobs", 1, "top_logprobs", REPLY_TOP,
                          "temperature", 1));
    return ask(s, "/chat/completions", reply_of_chat);
}

/* ---- what it offers ---- */

/* Whether the prompt came back, with what was likely in it. */
static bool repeats(const Server *s)
{
    const Span prompt = SPAN(PROBE);
    bool told = false;
    size_t at = 0;
    for (size_t i = 0; i < reply_size(&s->reply); i++) {
        Span piece = reply_text(&s->reply, &reply_token(&s->reply, i)->said);
        if (at + piece.size > prompt.size || memcmp(prompt.data + at, piece.data, piece.size) != 0)
            continue; /* BOS, what it went on with */
        at += piece.size;
        told |= i > 0 && reply_token(&s->reply, i)->n > 0;
    }
    return at == prompt.size && told;
}

static double told_of(const Reply *r, const ReplyToken *t, Span piece)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (span_equal(reply_text(r, reply_top(r, t, i)), piece))
            return (double)reply_top(r, t, i)->p;
    return 0;
}

/* Some servers tell of each token of a prompt what is likely behind it, not in its place
 * (llama-cpp-python, of models without BOS): a student of that would learn nonsense. There it is
 * the piece that follows which is found likely. Sums up over all answers; true: it is such a
 * server. */
static bool tells_late(Server *s, double margin)
{
    const Reply *r = &s->reply;
    for (size_t i = 0; i + 1 < reply_size(r); i++) {
        const ReplyToken *t = reply_token(r, i);
        s->here += told_of(r, t, reply_text(r, &t->said));
        s->behind += told_of(r, t, reply_text(r, &reply_token(r, i + 1)->said));
    }
    return s->behind > 2 * s->here + margin;
}

/* Refusals of what was asked for, as against those of who asks. */
static bool is_no(const Server *s, bt_status status)
{
    int code = s->answer.status;
    return status == BT_E_UNSUPPORTED || status == BT_E_FORMAT ||
           (status == BT_E_SYSTEM && code >= 400 && code < 500 && code != 401 && code != 403 &&
            !may_pass(code));
}

static bt_status try_reading(Server *s, bool *does)
{
    static const int32_t tops[] = {REPLY_TOP, 5};
    bt_status status = BT_OK;
    *does = false;
    for (int i = 0; i < 2 && !*does; i++) {
        s->top = tops[i];
        status = ask_reading(s, json_string(PROBE));
        if (status && !is_no(s, status)) return status;
        *does = !status && repeats(s);
        s->here = s->behind = 0;
        s->late = *does && tells_late(s, 0.5);
        if (s->late) {
            *does = false;
            break;
        }
    }
    return BT_OK;
}

static bt_status try_writing(Server *s, bool *does)
{
    bt_status status =
        ask_writing(s, json_pack("[{s:s,s:s}]", "role", "user", "content", "Say: yes."), 8);
    *does = !status && reply_size(&s->reply) > 0 && reply_token(&s->reply, 0)->n > 0;
    s->silent = !status && !s->reply.content.size;
    return status && !is_no(s, status) ? status : BT_OK;
}

static bt_status find_mode(Server *s)
{
    bool does = false;
    bt_status status = BT_OK;
    if (s->mode != SERVER_WRITES) {
        status = try_reading(s, &does);
        if (status) return status;
        if (does) s->mode = SERVER_READS;
    }
    if (!does && s->mode != SERVER_READS) {
        status = try_writing(s, &does);
        if (status) return status;
        if (does) s->mode = SERVER_WRITES;
    }
    if (does) return BT_OK;
    return bt_fail(
        s->err, BT_E_UNSUPPORTED,
        "the server gives no log-probabilities, so there is nothing to learn from it: "
        "needed is %s%s%s%s%s",
        s->mode != SERVER_WRITES ? "/completions with echo and logprobs" : "",
        s->mode == SERVER_EITHER ? ", or " : "",
        s->mode != SERVER_READS ? "/chat/completions with top_logprobs" : "",
        s->silent ? " (to a question it gave a call or no words, of which none are told)" : "",
        s->late ? " (it tells of each token what is likely behind it, one place late)" : "");
}

/* ---- all of it ---- */

static bt_status step(Server *s, bt_status status, uint64_t total)
{
    /* What one document gave cannot be used: that is its own affair, where that is wished. */
    if ((status == BT_E_FORMAT || status == BT_E_UNSUPPORTED) && s->o->lenient) {
        tell(s, s->err->text);
        bt_error_clear(s->err);
        reply_clear(&s->reply);
        status = BT_OK;
    }
    if (status == BT_E_FORMAT || status == BT_E_UNSUPPORTED)
        status = BT_E_SYSTEM; /* not a fault of the data */
    if (!status) status = put_line(s);
    s->number++;
    const ServerOptions *o = s->o;
    if (!status && o->progress && !o->progress(o->progress_user, "asking", s->number, total))
        status = cancelled(s);
    return status;
}

static bt_status read_all(Server *s)
{
    Part part = {0};
    bt_status status = BT_OK;
    while (!status && server_next_part(s, &part)) {
        if (s->number < s->answered) {
            s->number++;
            continue;
        }
        const CorpusDoc *d = &s->corpus->docs[part.doc];
        if (!server_spell(s, d->at + part.first, part.rows + 1))
            return bt_fail_memory(s->err, "a document", s->text.size);
        size_t from = server_first_byte(s);
        size_t size = utf8_whole(s->text.data + from, s->text.size - from);
        json_t *prompt = json_stringn(s->text.data + from, size);
        if (!prompt) /* not UTF-8: nothing that a server could read */
            status = bt_fail(s->err, BT_E_FORMAT, "%s:%llu: text that is not UTF-8",
                             corpus_name(s->corpus, d), (unsigned long long)d->line);
        if (prompt) status = ask_reading(s, prompt);
        if (prompt && !status && tells_late(s, 20))
            return bt_fail(s->err, BT_E_SYSTEM,
                           "the server tells of each token what is likely behind it, one place "
                           "late, which nothing can be learned from; --ask writes may do");
        status = step(s, status, s->parts);
    }
    return status;
}

static bt_status write_one(void *user, const DataDoc *doc, bt_error *err)
{
    Server *s = user;
    json_t *prompt;
    bt_status status = server_prompt(doc, &prompt, err);
    if (status || !prompt) return status;
    if (s->number < s->answered) {
        s->number++;
        json_decref(prompt);
        return BT_OK;
    }
    s->err = err;
    return step(s, ask_writing(s, prompt, s->longest), s->chats);
}

static bt_status write_all(Server *s)
{
    const DataOptions data = {.lenient = s->o->lenient};
    bt_error *err = s->err;
    bt_status status = data_read(s->data, s->n_data, &data, write_one, s, NULL, err);
    s->err = err;
    return status;
}

static bt_status ask_all(Server *s)
{
    uint64_t most = s->mode == SERVER_READS    ? s->parts
                    : s->mode == SERVER_WRITES ? s->chats
                    : s->parts > s->chats      ? s->parts
                                               : s->chats;
    const ServerPlan plan = {.documents = s->corpus->count.data.documents,
                             .bytes = s->corpus->count.data.bytes,
                             .requests = most - s->answered};
    if (most <= s->answered) return BT_OK;
    if (!s->o->consent(s->o->user, &plan))
        return bt_fail(s->err, BT_E_CANCELLED, "nothing was sent");
    bt_status status = find_mode(s);
    if (!status && s->mode == SERVER_WRITES) status = count_chats(s); /* refuses what it cannot */
    if (!status && s->mode == SERVER_WRITES && !s->chats)
        status = bt_fail(s->err, BT_E_ARGUMENT,
                         "this server writes answers of its own, and the data has no conversations "
                         "to answer");
    if (status) return status;
    tell(s, s->mode == SERVER_READS
                ? "the server reads the data: log-probabilities of every token of it"
                : "the server writes answers to the data's conversations, with log-probabilities");
    if (!s->begun) {
        header_line(s, &s->line);
        status = s->line.failed ? bt_fail_memory(s->err, "a line", 256)
                                : os_write_all(s->journal, s->line.data, s->line.size, s->err);
    }
    if (status) return status;
    return s->mode == SERVER_READS ? read_all(s) : write_all(s);
}

static void close_server(Server *s)
{
    if (s->journal >= 0) close(s->journal);
    os_map_close(&s->map);
    corpus_close(&s->corpus);
    reply_close(&s->reply);
    buf_close(&s->text);
    buf_close(&s->body);
    buf_close(&s->line);
    buf_close(&s->answer.body);
    mem_free(s->start);
    mem_free(s->journal_path);
    mem_free(s->data_path);
}

bt_status server_targets(const bt_model *model, const char *const *data, size_t n_data,
                         const char *path, const ServerOptions *options, ServerResult *result,
                         bt_error *err)
{
    bt_error ignored;
    size_t n = strlen(path) + 16;
    Server s = {.model = model,
                .data = data,
                .n_data = n_data,
                .path = path,
                .o = options,
                .mode = options->mode,
                .context = options->n_ctx ? options->n_ctx : 1024,
                .longest = options->longest ? options->longest : 512,
                .top = REPLY_TOP,
                .journal = -1,
                .err = err ? err : &ignored};
    bt_error_clear(err);
    s.journal_path = mem_alloc(n);
    s.data_path = mem_alloc(n);
    bt_status status = BT_OK;
    if (!s.journal_path || !s.data_path) status = bt_fail_memory(err, "a path", n);
    if (!status) {
        snprintf(s.journal_path, n, "%s.replies", path);
        snprintf(s.data_path, n, "%s.jsonl", path);
        status = open_data(&s);
    }
    if (!status) status = open_journal(&s);
    if (!status) status = ask_all(&s);
    if (!status) status = server_store(&s);
    s.result.mode = s.mode;
    s.result.answered = s.answered;
    if (result) *result = s.result;
    close_server(&s);
    return status;
}
