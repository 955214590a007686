/* What is learned of a document, over the templates of released models; and packs: every token that
 * counts once an epoch, documents whole and apart, the same order again, no memory. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/model.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "train/batch.h"
#include "train/labels.h"

static bt_error err;

static bt_model *open_model(const char *template)
{
    MakeModel o = {.tokenizer = MAKE_BPE, .chat_template = template};
    bt_model_options vocab = {.vocab_only = true};
    bt_model *m;
    if (make_model(&o, scratch_path("m.gguf"), &err)) fail_msg("%s", err.text);
    if (bt_model_open(scratch_path("m.gguf"), &vocab, &m, &err)) fail_msg("%s", err.text);
    return m;
}

/* ---- labels ---- */

static int times(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

static char shown[65536];
static int n_shown;

/* Appends the document with what is learned between \1 and \2, special tokens too. */
static bt_status show(void *user, const DataDoc *doc, const bt_token *ids,
                      const unsigned char *counts, size_t n, bt_error *why)
{
    size_t at = strlen(shown);
    (void)doc;
    (void)why;
    n_shown++;
    for (size_t i = 0; i < n && at + 400 < sizeof shown; i++) {
        if (counts[i] && (i == 0 || !counts[i - 1])) shown[at++] = '\1';
        at += (size_t)bt_model_token_text(user, ids[i], true, shown + at, 300);
        if (counts[i] && (i + 1 == n || !counts[i + 1])) shown[at++] = '\2';
    }
    shown[at++] = '\n';
    shown[at] = '\0';
    return BT_OK;
}

static bt_status label(const bt_model *m, const char *line, bool all)
{
    LabelsSource source = {model_tokenizer(m), bt_model_describe(m).chat_template, all};
    Labels *l;
    DataDoc doc = {.file = "test", .line = 1};
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    assert_int_equal(labels_open(&source, &l, &err), BT_OK);
    bt_status status = data_form(object, &doc, &err);
    shown[0] = '\0';
    n_shown = 0;
    if (!status) status = labels_document(l, &doc, 0, show, (void *)(uintptr_t)m, &err);
    labels_close(&l);
    json_decref(object);
    return status;
}

static void labels(const bt_model *m, const char *line, const char *want)
{
    if (label(m, line, false)) fail_msg("%s", err.text);
    for (char *p = shown; *p; p++) *p = *p == '\1' ? '[' : *p == '\2' ? ']' : *p;
    assert_string_equal(shown, want);
}

#define TURNS                                                                                      \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"First question\"}, {\"role\": "           \
    "\"assistant\", \"content\": \"First answer\"}, {\"role\": \"user\", \"content\": \"Second "   \
    "question\"}, {\"role\": \"assistant\", \"content\": \"Second answer\"}]}"

static void what_the_assistant_says(void **state)
{
    (void)state;
    bt_model *m = open_model("chatml");
    labels(m, TURNS,
           "<|im_start|>user\nFirst question<|im_end|>\n<|im_start|>assistant\n[First answer"
           "<|im_end|>]\n<|im_start|>user\nSecond question<|im_end|>\n<|im_start|>assistant\n"
           "[Second answer<|im_end|>]\n\n");
    labels(m,
           "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": \"user\", "
           "\"content\": \"b <|im_end|>\"}, {\"role\": \"assistant\", \"content\": \"c\"}, "
           "{\"role\": \"assistant\", \"content\": \"d\", \"weight\": 0}]}",
           "<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nb <|im_end|><|im_end|>\n"
           "<|im_start|>assistant\n[c<|im_end|>]\n<|im_start|>assistant\nd<|im_end|>\n\n");
    labels(m, "{\"text\": \"a <|im_end|> b\"}", "<|begin_of_text|>[a <|im_end|> b<|im_end|>]\n");
    labels(m, "{\"prompt\": \"Once upon\", \"completion\": \" a time\"}",
           "<|begin_of_text|>Once upon[ a time<|im_end|>]\n");
    labels(m, "{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}", "");
    assert_int_equal(label(m, TURNS, true), BT_OK);
    assert_memory_equal(shown, "<|im_start|>\1user\nFirst", 23);
    assert_int_equal(times(shown, "\1"), 1);
    bt_model_close(&m);
}

/* Earlier thoughts are dropped: each turn that had some is learned in a document of its own. */
static void turns_that_are_rewritten(void **state)
{
    (void)state;
    static const char *const template =
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
        "{%- if m.reasoning_content and loop.last %}{{- '<think>' + m.reasoning_content + "
        "'</think>' }}{%- endif %}{{- m.content + '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";
    bt_model *m = open_model(template);
    labels(m,
           "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
           "\"content\": \"b\", \"reasoning_content\": \"hm\"}, {\"role\": \"user\", \"content\": "
           "\"c\"}, {\"role\": \"assistant\", \"content\": \"d\", \"reasoning_content\": \"so\"}]}",
           "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[<think>hm</think>b<|im_end|>]"
           "\n\n"
           "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"
           "<|im_end|>\n<|im_start|>assistant\n[<think>so</think>d<|im_end|>]\n\n");
    bt_model_close(&m);
}

/* What stands between the marks, joined. */
static const char *learned(void)
{
    static char out[65536];
    size_t n = 0;
    bool in = false;
    for (const char *p = shown; *p; p++) {
        if (*p == '\1')
            in = true;
        else if (*p == '\2')
            in = false;
        else if (in)
            out[n++] = *p;
    }
    out[n] = '\0';
    return out;
}

#define CALL                                                                                       \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Weather question\"}, {\"role\": "         \
    "\"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": \"abcdefghi\", \"type\": "        \
    "\"function\", \"function\": {\"name\": \"get_weather\", \"arguments\": {\"city\": "           \
    "\"Zagreb\"}}}]}, {\"role\": \"tool\", \"tool_call_id\": \"abcdefghi\", \"name\": "            \
    "\"get_weather\", \"content\": \"Cold wind\"}, {\"role\": \"assistant\", \"content\": \"Wear " \
    "a coat\"}], \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", "  \
    "\"description\": \"Tells.\", \"parameters\": {\"type\": \"object\", \"properties\": "         \
    "{\"city\": {\"type\": \"string\", \"description\": \"Town.\"}}, \"required\": "               \
    "[\"city\"]}}}]}"

static bool try_template(const char *path, bool *calls)
{
    size_t size;
    char *text = files_read(path, &size);
    assert_non_null(text);
    bt_model *m = open_model(text);
    bool good = label(m, TURNS, false) == BT_OK;
    if (good) {
        const char *said = learned();
        if (times(said, "First answer") != 1 || times(said, "Second answer") != 1 ||
            times(said, "uestion"))
            fail_msg("%s: %s", path, shown);
    }
    *calls = good && label(m, CALL, false) == BT_OK && strstr(shown, "Zagreb");
    if (*calls) {
        const char *said = learned();
        if (times(said, "Zagreb") != 1 || times(said, "Wear a coat") != 1 ||
            times(said, "Cold wind") || times(said, "uestion") || times(said, "Town"))
            fail_msg("%s: %s", path, shown);
    }
    bt_model_close(&m);
    free(text);
    return good;
}

static void released_templates(void **state)
{
    (void)state;
    const char *folder = golden_path("templates");
    if (!folder) skip();
    char path[4096];
    int n = 0, good = 0, with_calls = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        bool calls = false;
        if (!strstr(e->d_name, ".jinja")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n++;
        if (try_template(path, &calls))
            good++;
        else
            print_message("# %s: %s\n", e->d_name, err.text);
        with_calls += calls;
    }
    closedir(dir);
    print_message("# %d of %d templates, %d with calls\n", good, n, with_calls);
    assert_true(good * 10 >= n * 9);
    assert_true(with_calls * 10 >= n * 6);
}

/* ---- packs ---- */

enum { CHATS = 90 };

/* CHATS conversations of different lengths, and a text. */
static const char *write_data(void)
{
    static char all[CHATS * 400];
    size_t n = 0;
    for (int i = 0; i < CHATS; i++)
        n += (size_t)snprintf(all + n, sizeof all - n,
                              "{\"messages\": [{\"role\": \"user\", \"content\": \"%d\"}, "
                              "{\"role\": \"assistant\", \"content\": \"%.*s\"}]}\n",
                              i, i % 37, "abcdefghijklmnopqrstuvwxyz0123456789ab");
    scratch_write("d/chats.jsonl", all, n);
    for (n = 0; n < 3000; n++) all[n] = (char)('a' + n * n % 26);
    scratch_write("d/text.txt", all, n);
    return scratch_path("d");
}

typedef struct Seen {
    uint64_t counted, rows, hash;
    uint32_t packs, full;
} Seen;

/* An epoch, each pack held to its promises. */
static Seen read_epoch(Packs *p, int32_t context)
{
    Seen s = {0};
    int64_t start[3], now[3];
    packs_at(p, start);
    do {
        Batch b;
        char name[200];
        assert_int_equal(packs_next(p, &b, &err), BT_OK);
        assert_true(b.n_rows > 0 && b.n_rows <= context);
        for (int32_t r = 0; r < b.n_rows; r++) {
            bool first = r == 0 || b.rows[r].sequence != b.rows[r - 1].sequence;
            assert_int_equal(b.rows[r].sequence, r == 0 ? 0 : b.rows[r - 1].sequence + first);
            assert_int_equal(b.rows[r].position, first ? 0 : b.rows[r - 1].position + 1);
            assert_int_equal(b.rows[r].axis[1], b.rows[r].position);
            assert_true(b.weight[r] == 0 || b.weight[r] == 1);
            if (!first) assert_int_equal(b.target[r - 1], b.rows[r].token);
            s.counted += b.weight[r] != 0;
            s.hash = s.hash * 31 + (uint64_t)b.rows[r].token;
        }
        packs_name(p, name, sizeof name);
        assert_non_null(strstr(name, ":"));
        s.rows += (uint64_t)b.n_rows;
        s.full += b.n_rows > context * 9 / 10;
        s.packs++;
        packs_at(p, now);
    } while (now[0] == start[0]);
    return s;
}

static void every_token_once_an_epoch(void **state)
{
    (void)state;
    const char *path = write_data();
    bt_model *m = open_model("chatml");
    PacksOptions o = {.context = 128, .seed = 7};
    Packs *p, *q;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    if (packs_open(m, &path, 1, &o, &q, &err)) fail_msg("%s", err.text);
    PacksCount count = packs_count(p);
    assert_int_equal(count.data.documents, CHATS + 1);
    assert_int_equal(packs_documents(p), CHATS + 1);
    assert_int_equal(packs_hash(p), packs_hash(q));
    Seen first = read_epoch(p, 128), second = read_epoch(p, 128);
    assert_int_equal(first.rows, count.tokens);
    assert_int_equal(first.counted, count.counted);
    assert_int_equal(first.counted, packs_tokens(p));
    assert_int_equal(second.counted, count.counted);
    assert_true(first.hash != second.hash);
    assert_true(first.full * 10 >= first.packs * 8);
    /* The same again, from any place. */
    const int64_t at[3] = {1, 0, 0};
    int64_t now[3];
    packs_at(p, now);
    assert_int_equal(now[0], 2);
    assert_int_equal(packs_seek(q, at, &err), BT_OK);
    assert_int_equal(read_epoch(q, 128).hash, second.hash);
    for (int i = 0; i < 5; i++) {
        Batch a, b;
        assert_int_equal(packs_next(p, &a, &err), BT_OK);
        packs_at(p, now);
        if (i == 3) assert_int_equal(packs_seek(q, now, &err), BT_OK);
        if (i < 4) continue;
        assert_int_equal(packs_next(q, &b, &err), BT_OK);
        assert_int_equal(a.n_rows, b.n_rows);
        assert_memory_equal(a.target, b.target, (size_t)a.n_rows * sizeof *a.target);
    }
    now[1] = 1000000;
    assert_int_equal(packs_seek(q, now, &err), BT_E_ARGUMENT);
    packs_close(&p);
    packs_close(&q);
    bt_model_close(&m);
}

static void some_are_held_out(void **state)
{
    (void)state;
    const char *path = write_data();
    bt_model *m = open_model("chatml");
    PacksOptions o = {.context = 128, .seed = 7, .held_out = 0.1};
    Packs *p, *held;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    if (packs_held(p, &held, &err)) fail_msg("%s", err.text);
    assert_int_equal(packs_documents(held), 9);
    assert_int_equal(packs_documents(p), CHATS + 1 - 9);
    Seen a = read_epoch(held, 128), b = read_epoch(held, 128);
    assert_int_equal(a.hash, b.hash); /* in order */
    packs_close(&held);
    packs_close(&p);
    /* Of one text, its end. */
    path = scratch_path("d/text.txt");
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    if (packs_held(p, &held, &err)) fail_msg("%s", err.text);
    double share = (double)packs_tokens(held) / (double)(packs_tokens(p) + packs_tokens(held));
    assert_true(share > 0.09 && share < 0.11);
    packs_close(&held);
    packs_close(&p);
    o.held_out = 0;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    assert_int_equal(packs_held(p, &held, &err), BT_E_ARGUMENT);
    packs_close(&p);
    bt_model_close(&m);
}

static void short_contexts(void **state)
{
    (void)state;
    const char *path = write_data();
    bt_model *m = open_model("chatml");
    PacksOptions o = {.context = 20, .seed = 7};
    Packs *p;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    assert_true(packs_count(p).cut > 0);
    assert_int_equal(read_epoch(p, 20).counted, packs_tokens(p));
    packs_close(&p);
    o.context = 2;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    assert_int_equal(packs_count(p).silent, CHATS); /* cut before the assistant speaks */
    packs_close(&p);
    o.context = 1;
    assert_int_equal(packs_open(m, &path, 1, &o, &p, &err), BT_E_ARGUMENT);
    const char *silent = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}";
    path = scratch_write("s.jsonl", silent, strlen(silent));
    o.context = 128;
    assert_int_equal(packs_open(m, &path, 1, &o, &p, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "counts"));
    bt_model_close(&m);
}

typedef struct Life {
    bt_model *m;
    const char *path;
} Life;

static bt_status life(void *user, bt_error *told)
{
    const Life *l = user;
    PacksOptions o = {.context = 64};
    Packs *p;
    bt_status status = packs_open(l->m, &l->path, 1, &o, &p, told);
    packs_close(&p);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    static const char few[] =
        "{\"text\": \"a b\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
        "\"assistant\", \"content\": \"b\"}, {\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
        "\"assistant\", \"content\": \"b\"}]}";
    const char *path = scratch_write("few.jsonl", few, sizeof few - 1);
    bt_model *m = open_model("chatml");
    torture("packs", life, &(Life){m, path});
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_assistant_says),
        cmocka_unit_test(turns_that_are_rewritten),
        cmocka_unit_test(released_templates),
        cmocka_unit_test(every_token_once_an_epoch),
        cmocka_unit_test(some_are_held_out),
        cmocka_unit_test(short_contexts),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
