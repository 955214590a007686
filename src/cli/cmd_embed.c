/* `bantam embed`: texts to vectors. All texts are read first, then the rights are given up, then
 * the model is read; what was computed is printed when all of it is there. */
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/prompt.h"
#include "cli/run.h"

#define TEXTS_AT_ONCE 256 /* between two looks at progress */
#define SEQUENCES     64  /* most texts of one step */

typedef struct Text {
    size_t at, size; /* bytes in `bytes` */
    size_t ids, n;   /* tokens in `all` */
} Text;

typedef struct Embed {
    Cli *cli;
    CliModel m;
    bt_session *session;
    bt_embedding_info info;
    bt_embed_options options;
    Buf bytes;
    Text *texts;
    size_t n, capacity;
    Ids all;
    bt_ids *lists;   /* (n) */
    float *vectors;  /* those of all texts */
    size_t dims;     /* of one */
    bool each_token; /* a vector for each token */
} Embed;

/* ---- texts ---- */

static int add_text(Embed *e, size_t at, size_t size)
{
    if (e->n == e->capacity) {
        size_t capacity = 2 * e->capacity + 64;
        Text *grown = mem_realloc(e->texts, capacity * sizeof *grown);
        if (!grown) return cli_fail("not enough memory for %zu texts", capacity);
        e->texts = grown;
        e->capacity = capacity;
    }
    e->texts[e->n++] = (Text){.at = at, .size = size};
    return CLI_GOOD;
}

/* A text a line; what follows the last line's end is none. */
static int add_lines(Embed *e, size_t at)
{
    int code = CLI_GOOD;
    while (at < e->bytes.size && code == CLI_GOOD) {
        const char *line = e->bytes.data + at, *end = memchr(line, '\n', e->bytes.size - at);
        size_t size = end ? (size_t)(end - line) : e->bytes.size - at;
        size_t text = size && end && line[size - 1] == '\r' ? size - 1 : size;
        code = add_text(e, at, text);
        at += size + 1;
    }
    return code;
}

static int add_file(Embed *e, const char *path)
{
    size_t at = e->bytes.size;
    int code = read_text(path, true, &e->bytes);
    if (code != CLI_GOOD) return code;
    if (opts_flag(&e->cli->opts, OPT_WHOLE)) return add_text(e, at, e->bytes.size - at);
    return add_lines(e, at);
}

static int read_texts(Embed *e)
{
    const Opts *o = &e->cli->opts;
    const OptValue *files = &o->value[OPT_EMBED_FILES];
    int code = CLI_GOOD;
    for (size_t i = 0; i < o->n_args && code == CLI_GOOD; i++) {
        size_t at = e->bytes.size;
        buf_text(&e->bytes, o->args[i]);
        code = e->bytes.failed ? cli_fail("not enough memory for the texts")
                               : add_text(e, at, e->bytes.size - at);
    }
    for (size_t i = 0; i < files->n && code == CLI_GOOD; i++) code = add_file(e, files->list[i]);
    if (code == CLI_GOOD && !o->n_args && !files->n) {
        if (isatty(STDIN_FILENO))
            return cli_usage(e->cli, "there is no text: give TEXT, --file FILE or standard input");
        code = add_file(e, "-");
    }
    if (code == CLI_GOOD && !e->n) return cli_usage(e->cli, "there is no text");
    return code;
}

/* ---- options ---- */

static const char *const poolings[] = {"default", "none", "mean", "cls", "last"}; /* bt_pooling */

static void read_options(Embed *e)
{
    const Opts *o = &e->cli->opts;
    const char *pooling = opts_text(o, OPT_POOLING);
    for (int i = 0; pooling && i <= BT_POOLING_LAST; i++)
        if (strcmp(pooling, poolings[i]) == 0) e->options.pooling = (bt_pooling)i;
    e->options.dimensions = (int32_t)opts_int(o, OPT_DIMENSIONS);
    e->options.keep_length = strcmp(opts_text(o, OPT_NORMALIZE), "off") == 0;
}

/* What stands before every text; NULL after a message. */
static const char *prefix_of(const Embed *e)
{
    const bt_embedding_info *info = &e->info;
    const char *asked = opts_text(&e->cli->opts, OPT_PREFIX);
    if (!asked) {
        bool query = info->query_prefix && *info->query_prefix;
        if (query || (info->document_prefix && *info->document_prefix))
            cli_say(e->cli, "this model was trained with prefixes: --prefix query or --prefix "
                            "document puts its own, --prefix '' says that there is to be none");
        return "";
    }
    bool query = strcmp(asked, "query") == 0;
    if (!query && strcmp(asked, "document") != 0) return asked;
    const char *known = query ? info->query_prefix : info->document_prefix;
    if (!known)
        cli_fail("%s: neither the file nor its name says what stands before a %s; give the words "
                 "themselves: --prefix TEXT",
                 e->m.path, asked);
    return known;
}

/* ---- tokens ---- */

static int tokenize(Embed *e)
{
    const unsigned flags = BT_TOKENIZE_WHOLE | BT_TOKENIZE_NO_SPECIAL;
    const char *prefix = prefix_of(e);
    Buf one = {0};
    Ids ids = {0};
    bool good = prefix != NULL;
    for (size_t i = 0; i < e->n && good; i++) {
        Text *t = &e->texts[i];
        buf_clear(&one);
        buf_text(&one, prefix);
        if (t->size) buf_add(&one, e->bytes.data + t->at, t->size);
        if (one.failed) good = cli_fail("not enough memory for text %zu", i + 1) == CLI_GOOD;
        good = good && ids_of_text(&e->m, one.data ? one.data : "", one.size, flags, &ids);
        t->ids = e->all.n;
        t->n = ids.n;
        if (good && !ids_add(&e->all, ids.ids, ids.n))
            good = cli_fail("not enough memory for the tokens") == CLI_GOOD;
    }
    buf_close(&one);
    ids_close(&ids);
    return good ? CLI_GOOD : CLI_FAILED;
}

/* Texts must fit the context; gives the longest of them. */
static int check_lengths(const Embed *e, size_t *longest)
{
    size_t asked = (size_t)opts_int(&e->cli->opts, OPT_CTX);
    size_t most = asked ? asked : (size_t)e->m.info.n_ctx_train;
    *longest = 1;
    for (size_t i = 0; i < e->n; i++) {
        if (e->texts[i].n > most)
            return cli_fail("text %zu has %zu tokens, and %s %zu; cut it into parts", i + 1,
                            e->texts[i].n, asked ? "--ctx allows" : "the model was trained for",
                            most);
        if (e->texts[i].n > *longest) *longest = e->texts[i].n;
    }
    return CLI_GOOD;
}

/* ---- vectors ---- */

/* The most texts that come to stand in one step of n_batch rows. */
static int32_t most_together(const Embed *e, size_t n_batch)
{
    size_t rows = 0, count = 0, most = 1;
    for (size_t i = 0; i < e->n; i++) {
        if (rows + e->texts[i].n > n_batch || count == SEQUENCES) rows = count = 0;
        rows += e->texts[i].n;
        if (++count > most) most = count;
    }
    return (int32_t)most;
}

static int open_session(Embed *e, size_t longest)
{
    bt_session_options options = session_options(e->cli);
    options.n_ctx = (int32_t)longest; /* --ctx bounds it: see check_lengths */
    if ((size_t)options.n_batch > e->all.n) options.n_batch = (int32_t)e->all.n;
    size_t rows = (size_t)options.n_batch;
    if (e->info.encoder && rows < longest) rows = longest;
    options.n_sequences = most_together(e, rows);
    options.embeddings = true;
    return session_open(&e->m, &options, &e->session);
}

/* Room for all vectors, and the lists that the session takes. */
static int make_room(Embed *e)
{
    bt_pooling pooling = e->options.pooling ? e->options.pooling : e->info.pooling;
    uint64_t count, bytes;
    e->each_token = pooling == BT_POOLING_NONE;
    e->dims = (size_t)(e->options.dimensions ? e->options.dimensions
                       : e->each_token       ? e->m.info.n_embd
                                             : e->info.n_dims);
    count = e->each_token ? e->all.n : e->n;
    e->lists = mem_zalloc(e->n, sizeof *e->lists);
    if (e->lists && ck_mul(count, e->dims * sizeof(float), &bytes) && bytes <= SIZE_MAX)
        e->vectors = mem_zalloc((size_t)count, e->dims * sizeof(float));
    if (!e->lists || !e->vectors)
        return cli_fail("not enough memory for %llu vectors of %zu", (unsigned long long)count,
                        e->dims);
    for (size_t i = 0; i < e->n; i++)
        e->lists[i] = (bt_ids){e->all.ids + e->texts[i].ids, e->texts[i].n};
    return CLI_GOOD;
}

static float *vector_of(const Embed *e, size_t text)
{
    return e->vectors + (e->each_token ? e->texts[text].ids : text) * e->dims;
}

static void describe(const Embed *e)
{
    char box[64] = "off";
    bt_pooling pooling = e->options.pooling ? e->options.pooling : e->info.pooling;
    if (e->m.boxed) sandbox_text(&e->m.box, box, sizeof box);
    cli_say(e->cli, "%s (%s, %s): %zu texts, %zu tokens; pooling %s, %zu numbers; sandbox: %s",
            e->m.path, e->m.info.architecture, e->m.info.type_summary, e->n, e->all.n,
            poolings[pooling], e->dims, box);
}

static int compute(Embed *e)
{
    Progress progress;
    bt_error err = {0};
    bt_status status = BT_OK;
    progress_start(&progress, e->cli);
    interrupt_watch(e->session);
    for (size_t at = 0; at < e->n && status == BT_OK; at += TEXTS_AT_ONCE) {
        size_t some = e->n - at < TEXTS_AT_ONCE ? e->n - at : TEXTS_AT_ONCE;
        status =
            bt_session_embed(e->session, e->lists + at, some, &e->options, vector_of(e, at), &err);
        progress_update(&progress, "texts", at + some, e->n);
    }
    interrupt_watch(NULL);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    return status == BT_OK ? CLI_GOOD : model_fail(&e->m, &err);
}

/* ---- printing ---- */

static int print_lines(const Embed *e)
{
    size_t count = e->each_token ? e->all.n : e->n;
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < e->dims; d++)
            printf("%.9g%c", (double)e->vectors[i * e->dims + d], d + 1 == e->dims ? '\n' : ' ');
    return cli_flush();
}

static json_t *numbers(const float *x, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real((double)x[i]));
    return list;
}

static json_t *vector_json(const Embed *e, size_t text)
{
    if (!e->each_token) return numbers(vector_of(e, text), e->dims);
    json_t *list = json_array();
    for (size_t i = 0; i < e->texts[text].n; i++)
        json_array_append_new(list, numbers(vector_of(e, text) + i * e->dims, e->dims));
    return list;
}

static int print_object(const Embed *e)
{
    json_t *list = json_array();
    bt_pooling pooling = e->options.pooling ? e->options.pooling : e->info.pooling;
    for (size_t i = 0; i < e->n; i++) json_array_append_new(list, vector_json(e, i));
    json_t *usage = json_pack("{s:I,s:I}", "prompt_tokens", (json_int_t)e->all.n, "total_tokens",
                              (json_int_t)e->all.n);
    return json_print_numbers(json_pack("{s:o,s:o,s:I,s:s,s:o}", "model", json_text(e->m.path),
                                        "embeddings", list, "dimensions", (json_int_t)e->dims,
                                        "pooling", poolings[pooling], "usage", usage));
}

/* ---- the command ---- */

int cmd_embed(Cli *cli)
{
    Embed e = {.cli = cli};
    bool open = opts_flag(&cli->opts, OPT_NO_SANDBOX);
    const ModelWish wish = {.box = open ? BOX_REFUSED : BOX_NEEDED};
    size_t longest;
    read_options(&e);
    int code = read_texts(&e);
    if (code == CLI_GOOD) code = model_open(cli, &wish, &e.m);
    if (code == CLI_GOOD) {
        e.info = bt_model_embedding(e.m.model);
        code = tokenize(&e);
    }
    if (code == CLI_GOOD) code = check_lengths(&e, &longest);
    if (code == CLI_GOOD) code = open_session(&e, longest);
    if (code == CLI_GOOD) code = make_room(&e);
    if (code == CLI_GOOD && cli->verbose) describe(&e);
    if (code == CLI_GOOD) code = compute(&e);
    if (code == CLI_GOOD)
        code = opts_flag(&cli->opts, OPT_JSON) ? print_object(&e) : print_lines(&e);
    bt_session_close(&e.session);
    model_close(&e.m);
    ids_close(&e.all);
    buf_close(&e.bytes);
    mem_free(e.texts);
    mem_free(e.lists);
    mem_free(e.vectors);
    return code;
}
