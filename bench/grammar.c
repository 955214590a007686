/* What constrained answers cost: bench-grammar VOCABULARY.gguf [SCHEMA.json TEXT.json].
 *
 * Walks a JSON text under a schema token by token, as the model's own tokenizer cuts it, once with
 * nothing remembered (first visits) and again (cached), and prints the time that masking the logits
 * and moving on take per token: mean, median, 99 of 100, most. Then what a sampler's pick takes
 * more with the grammar than without, greedy and by default, over logits in which the tokens of the
 * text are likely and the one to come likeliest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "engine/grammar.h"
#include "engine/model.h"

enum { MOST = 20000 };

static const char person[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
    "\"maxLength\":80},"
    "\"email\":{\"type\":\"string\",\"format\":\"email\"},\"born\":{\"type\":\"string\",\"format\":"
    "\"date\"},"
    "\"bio\":{\"type\":\"string\"},\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":100},"
    "\"tags\":{"
    "\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z][a-z-]{0,30}$\"},"
    "\"maxItems\":8},"
    "\"address\":{\"type\":\"object\",\"properties\":{\"street\":{\"type\":\"string\"},\"city\":{"
    "\"type\":"
    "\"string\"},\"zip\":{\"type\":\"integer\"}},\"required\":[\"street\",\"city\"]},\"friends\":{"
    "\"type\":"
    "\"array\",\"items\":{\"$ref\":\"#\"}}},\"required\":[\"name\",\"email\",\"bio\",\"tags\"]}";
static const char text_of[] =
    "{\n  \"name\": \"Maria Gonz\xc3\xa1lez-Weber\",\n  \"email\": "
    "\"maria.gonzalez@example.org\",\n"
    "  \"born\": \"1987-06-23\",\n  \"bio\": \"Maria studied physics in Vienna, \\\"then\\\" moved "
    "to the "
    "coast to build boats. She writes about tides, wood and patience; her workshop is open on "
    "Saturdays \xe2\x80\x94 bring coffee. \xe4\xbd\xa0\xe5\xa5\xbd\",\n  \"score\": 87.25,\n  "
    "\"tags\": [\"boats\", "
    "\"physics\", \"open-workshop\"],\n  \"address\": {\n    \"street\": \"Harbour Road 12\",\n    "
    "\"city\": "
    "\"Port Blue\",\n    \"zip\": 90210\n  },\n  \"friends\": [\n    {\n      \"name\": \"Jo\",\n  "
    "    "
    "\"email\": \"jo@example.net\",\n      \"bio\": \"Old friend from school, now a baker who gets "
    "up "
    "at three.\",\n      \"tags\": []\n    }\n  ]\n}";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void report(const char *what, double *us, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += us[i];
    qsort(us, n, sizeof *us, by_size);
    printf("%-28s %6zu tokens: mean %7.1f us, median %6.1f, 99%% %7.1f, most %7.1f\n", what, n,
           sum / (double)n, us[n / 2], us[n * 99 / 100], us[n - 1]);
}

/* One way through the text; false: a token was refused. */
static bool pass(bt_grammar *g, const bt_token *ids, size_t n, float *logits, size_t n_vocab,
                 double *us)
{
    GrammarHold hold = {0};
    grammar_hold(&hold, g);
    for (size_t i = 0; i < n && !hold.lost; i++) {
        for (size_t k = 0; k < n_vocab; k++) logits[k] = 1;
        double start = now();
        grammar_restrict(&hold, logits, n_vocab);
        grammar_advance(&hold, ids[i]);
        us[i] = now() - start;
    }
    bool good = !hold.lost && grammar_complete(&hold);
    grammar_release(&hold);
    return good;
}

static float noise(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 16777216.0f - 0.5f;
    }
    return sum * 1.7f;
}

/* The same by two samplers, of which one has the grammar. */
static bool picks(const bt_model *model, bt_grammar *g, const bt_token *ids, size_t n,
                  float *logits, size_t n_vocab, bool greedy, double *us)
{
    const bt_sampler_options options = {.greedy = greedy, .seed = 7};
    float *base = malloc(n_vocab * sizeof *base);
    bt_sampler *s[2];
    uint32_t state = 1;
    bool good = base != NULL;
    for (int k = 0; k < 2; k++) bt_sampler_open(model, &options, &s[k], NULL);
    bt_sampler_set_grammar(s[1], g, NULL);
    for (size_t i = 0; good && i < n_vocab; i++) base[i] = noise(&state);
    for (size_t i = 0; good && i < n; i++) base[ids[i]] = 5 + noise(&state);
    for (size_t i = 0; i < n && good; i++) {
        double took[2];
        for (int k = 0; k < 2; k++) {
            memcpy(logits, base, n_vocab * sizeof *base);
            logits[ids[i]] = 30;
            double start = now();
            good = good && bt_sampler_pick(s[k], logits) == ids[i];
            took[k] = now() - start;
        }
        us[i] = took[1] - took[0];
    }
    for (int k = 0; k < 2; k++) bt_sampler_close(&s[k]);
    free(base);
    return good;
}

static char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    Buf out = {0};
    char part[4096];
    size_t n;
    if (!f) return NULL;
    while ((n = fread(part, 1, sizeof part, f)) > 0) buf_add(&out, part, n);
    fclose(f);
    *size = out.size;
    return buf_take(&out);
}

int main(int argc, char **argv)
{
    static bt_token ids[MOST];
    static double us[MOST];
    const bt_model_options vocab = {.vocab_only = true};
    bt_model *model;
    bt_grammar *g;
    bt_error err = {0};
    size_t schema_size = sizeof person - 1, text_size = sizeof text_of - 1;
    const char *schema = person, *text = text_of;
    if (argc != 2 && argc != 4)
        return fprintf(stderr, "bench-grammar VOCABULARY.gguf [SCHEMA TEXT]\n"), 2;
    if (argc == 4) schema = read_file(argv[2], &schema_size), text = read_file(argv[3], &text_size);
    if (!schema || !text || bt_model_open(argv[1], &vocab, &model, &err) != BT_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    int64_t n = bt_model_tokenize(model, text, text_size, BT_TOKENIZE_NO_SPECIAL, ids, MOST, &err);
    size_t n_vocab = (size_t)bt_model_describe(model).n_vocab;
    float *logits = malloc(n_vocab * sizeof *logits);
    double start = now();
    if (bt_grammar_open(model, BT_GRAMMAR_SCHEMA, schema, schema_size, NULL, &g, &err) != BT_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    double first = now() - start;
    bt_grammar_close(&g);
    start = now();
    bt_grammar_open(model, BT_GRAMMAR_SCHEMA, schema, schema_size, NULL, &g, &err);
    printf(
        "%zu tokens in the vocabulary; compiled in %.0f us (first grammar of a model: %.0f us)\n",
        n_vocab, now() - start, first);
    for (int i = 0; i < 4; i++) {
        if (!pass(g, ids, (size_t)n, logits, n_vocab, us)) return fprintf(stderr, "refused\n"), 1;
        report(i ? "again" : "first time", us, (size_t)n);
    }
    for (int i = 0; i < 4; i++) {
        static const char *const what[] = {"picks, first time", "picks, greedy, first time",
                                           "picks, again", "picks, greedy, again"};
        if (i < 2) {
            bt_grammar_close(&g);
            bt_grammar_open(model, BT_GRAMMAR_SCHEMA, schema, schema_size, NULL, &g, &err);
        }
        if (i == 2 && !picks(model, g, ids, (size_t)n, logits, n_vocab, false, us)) return 1;
        if (!picks(model, g, ids, (size_t)n, logits, n_vocab, i % 2, us))
            return fprintf(stderr, "another token was picked\n"), 1;
        report(what[i], us, (size_t)n);
    }
    bt_grammar_close(&g);
    bt_model_close(&model);
    free(logits);
    return 0;
}
