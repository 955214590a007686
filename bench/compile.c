/* What it costs to compile constraints: bench-compile VOCABULARY.gguf [TOOLS.json [WORD]].
 *
 * Schemas and grammars as servers get them (small ones, 50 properties, nested ones, the tools of
 * TOOLS.json bound to 60 words of a user's) and as attackers write them, each compiled some times:
 * least and most milliseconds until the automaton is there or refused, and until its memory and
 * sets of tokens are. WORD: only cases of which the name holds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "engine/grammar.h"
#include "engine/model.h"
#include "support/files.h"
#include "text/copied.h"

enum { TIMES = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

typedef struct Bench {
    bt_model *model;
    const char *only;
    char *tools;
} Bench;

static double least(const double *x)
{
    double best = x[0];
    for (int i = 1; i < TIMES; i++) best = x[i] < best ? x[i] : best;
    return best;
}

static double most(const double *x)
{
    double worst = x[0];
    for (int i = 1; i < TIMES; i++) worst = x[i] > worst ? x[i] : worst;
    return worst;
}

static void print(const char *name, const double *compile, const double *open, const char *what)
{
    printf("%-36s %8.2f %8.2f ", name, least(compile), most(compile));
    if (open[0] > 0)
        printf("%8.2f %8.2f", least(open), most(open));
    else
        printf("%17s", "");
    printf("  %.60s\n", what);
    fflush(stdout);
}

static void one(const Bench *b, const char *name, bt_grammar_kind kind, Buf *text)
{
    double compile[TIMES], open[TIMES] = {0};
    char what[300] = "";
    for (int i = 0; i < TIMES && (!b->only || strstr(name, b->only)); i++) {
        bt_error err = {0};
        Grammar *g;
        bt_grammar *whole;
        double start = now();
        bt_status status = grammar_compile(kind, (Span){text->data, text->size}, NULL, &g, &err);
        compile[i] = now() - start;
        if (status) {
            snprintf(what, sizeof what, "refused: %s", err.text);
        } else {
            snprintf(what, sizeof what, "%u states, %u edges, %u rules", g->n_states, g->n_edges,
                     g->n_rules);
            start = now();
            status = grammar_of_model(b->model, &g, &whole, &err);
            open[i] = now() - start;
            bt_grammar_close(&whole);
        }
    }
    if (what[0]) print(name, compile, open, what);
    buf_close(text);
}

static void schema(const Bench *b, const char *name, const char *text)
{
    Buf copy = {0};
    buf_text(&copy, text);
    one(b, name, BT_GRAMMAR_SCHEMA, &copy);
}

static void pattern(const Bench *b, const char *text)
{
    Buf copy = {0};
    buf_printf(&copy, "{\"type\":\"string\",\"pattern\":\"%s\"}", text);
    one(b, text, BT_GRAMMAR_SCHEMA, &copy);
}

/* ---- as they come ---- */

static void property(Buf *b, int i)
{
    static const char *const kinds[] = {
        "{\"type\":\"string\"}",
        "{\"type\":\"integer\",\"minimum\":0,\"maximum\":100000}",
        "{\"type\":\"string\",\"enum\":[\"one\",\"two\",\"three\"]}",
        "{\"type\":\"string\",\"format\":\"date-time\"}",
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":64},\"maxItems\":20}",
        "{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"null\"}],\"default\":null}",
        "{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}",
        "{\"type\":\"boolean\"}",
        "{\"type\":\"string\",\"pattern\":\"^[A-Z]{2,3}-[0-9]{4,8}$\"}",
        "{\"type\":\"string\",\"format\":\"email\"}"};
    buf_printf(b, "%s\"property_%d\":%s", i ? "," : "", i, kinds[i % 10]);
}

static void nested(Buf *b, int depth)
{
    if (depth == 0) {
        buf_text(b, "{\"type\":\"string\",\"maxLength\":40}");
        return;
    }
    buf_text(b, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 4; i++) {
        buf_printf(b, "%s\"p%d_%d\":", i ? "," : "", depth, i);
        nested(b, depth - 1);
    }
    buf_text(b, "},\"required\":[\"p");
    buf_printf(b, "%d_0\"],\"additionalProperties\":false}", depth);
}

static void common(const Bench *bench)
{
    Buf b = {0};
    schema(bench, "one object",
           "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
           "\"integer\",\"minimum\":0}},\"required\":[\"name\",\"age\"]}");
    schema(bench, "any JSON", "{}");
    for (int n = 50; n <= 200; n += 150)
        for (int required = 0; required < 2; required++) {
            char name[64];
            snprintf(name, sizeof name, "%d properties%s", n, required ? ", required" : "");
            buf_text(&b, "{\"type\":\"object\",\"properties\":{");
            for (int i = 0; i < n; i++) property(&b, i);
            buf_text(&b, "},\"required\":[");
            for (int i = 0; i < n * required; i++)
                buf_printf(&b, "%s\"property_%d\"", i ? "," : "", i);
            buf_text(&b, "]}");
            one(bench, name, BT_GRAMMAR_SCHEMA, &b);
        }
    buf_text(&b, "{\"oneOf\":[{\"type\":\"null\"}");
    for (int i = 0; i < 200; i++)
        buf_printf(&b,
                   ",{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"kind%d\"},\"a\":{"
                   "\"type\":\"string\"},\"b\":{\"type\":\"integer\"}},\"required\":[\"kind\"]}",
                   i);
    buf_text(&b, "]}");
    one(bench, "oneOf 200 kinds of objects", BT_GRAMMAR_SCHEMA, &b);
    nested(&b, 3);
    one(bench, "nested, 64 leaves", BT_GRAMMAR_SCHEMA, &b);
    nested(&b, 5);
    one(bench, "nested, 1,024 leaves", BT_GRAMMAR_SCHEMA, &b);
    static const char *const formats[] = {"date", "time",     "date-time", "duration", "uuid",
                                          "uri",  "hostname", "email",     "ipv4",     "ipv6"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        buf_printf(&b, "{\"type\":\"string\",\"format\":\"%s\"}", formats[i]);
        one(bench, formats[i], BT_GRAMMAR_SCHEMA, &b);
    }
}

/* ---- tools ---- */

static void tools(const Bench *b, bool bind)
{
    const char *name = bind ? "tools bound to 60 words" : "tools";
    double took[TIMES], opened[TIMES] = {0}, bound_in[TIMES];
    char what[300] = "";
    Buf said = {0};
    for (int i = 0; i < 60; i++) buf_printf(&said, "word%dx%s ", i * 7, i % 9 ? "" : ",");
    const Span text = {said.data, said.size};
    for (int i = 0; i < TIMES && (!b->only || strstr(name, b->only)); i++) {
        Buf with = {0};
        bt_error err = {0};
        bool bound = false;
        bt_grammar *g;
        double start = now();
        if (bind) copied_bind(span_of(b->tools), &text, 1, &with, &bound, &err);
        bound_in[i] = now() - start;
        const bt_answer_options options = {.format = bt_answer_format_name(0),
                                           .tools = bound ? with.data : b->tools};
        bt_status status = bt_answer_grammar(b->model, &options, false, &g, &err);
        took[i] = now() - start;
        snprintf(what, sizeof what, "%s; all in one", status ? err.text : "compiled and opened");
        bt_grammar_close(&g);
        buf_close(&with);
    }
    if (what[0]) print(name, took, opened, what);
    if (what[0] && bind) print("  binding alone", bound_in, opened, "");
    buf_close(&said);
}

static void copied(const Bench *bench)
{
    Buf b = {0};
    for (int times = 1; times <= 8; times += 7) {
        buf_text(&b, "{\"type\":\"object\",\"properties\":{");
        for (int k = 0; k < times; k++) {
            buf_printf(&b, "%s\"t%d\":{\"type\":\"string\",\"maxLength\":200,\"x-copied\":[\"",
                       k ? "," : "", k);
            for (int i = 0; i < 60; i++) buf_printf(&b, "word%dx%s ", i * 7, i % 9 ? "" : ",");
            buf_text(&b, "\"]}");
        }
        buf_text(&b, "}}");
        one(bench, times == 1 ? "a span of 60 words" : "8 spans of 60 words", BT_GRAMMAR_SCHEMA,
            &b);
    }
}

/* ---- as attackers write them ---- */

static void repeated(const Bench *bench, const char *name, bt_grammar_kind kind, const char *head,
                     const char *part, int n, const char *tail)
{
    Buf b = {0};
    buf_text(&b, head);
    for (int i = 0; i < n; i++) buf_text(&b, part);
    buf_text(&b, tail);
    one(bench, name, kind, &b);
}

static void numbered(const Bench *bench, const char *name, const char *head, const char *part,
                     int n, const char *tail)
{
    Buf b = {0};
    buf_text(&b, head);
    for (int i = 0; i < n; i++)
        for (const char *p = part; *p; p++)
            if (*p == '`')
                buf_printf(&b, "%d", i);
            else if (*p == '~')
                buf_printf(&b, "%d", i + 1);
            else
                buf_char(&b, *p);
    buf_text(&b, tail);
    one(bench, name, head[0] == '{' ? BT_GRAMMAR_SCHEMA : BT_GRAMMAR_GBNF, &b);
}

static void levels(const Bench *bench, const char *name, const char *open, int n, const char *inner,
                   const char *close)
{
    Buf b = {0};
    for (int i = 0; i < n; i++) buf_text(&b, open);
    buf_text(&b, inner);
    for (int i = 0; i < n; i++) buf_text(&b, close);
    one(bench, name, BT_GRAMMAR_SCHEMA, &b);
}

static void hostile_schemas(const Bench *b)
{
    repeated(b, "20,000 levels", BT_GRAMMAR_SCHEMA, "", "{\"items\":", 20000, "");
    repeated(b, "20,000 arrays", BT_GRAMMAR_SCHEMA, "{\"enum\":", "[", 20000, "");
    levels(b, "250 levels", "{\"items\":", 120, "{}", "}");
    levels(b, "250 levels of allOf", "{\"allOf\":[{\"minItems\":1},", 80, "{}", "]}");
    levels(b, "250 levels of anyOf", "{\"anyOf\":[{\"type\":\"null\"},", 80, "{}", "]}");
    levels(b, "80 levels of oneOf", "{\"oneOf\":[{\"type\":\"null\"},", 80, "{}", "]}");
    levels(b, "100 levels of not", "{\"not\":", 100, "{\"type\":\"null\"}", "}");
    numbered(b, "150 KB of properties", "{\"properties\":{\"x\":{}",
             ",\"property_`\":{\"type\":\"string\"}", 4600, "}}");
    numbered(b, "150 KB of required properties",
             "{\"additionalProperties\":{\"type\":\"null\"},"
             "\"properties\":{\"x\":{}",
             ",\"property_`\":{\"enum\":[`]}", 4600, "}}");
    numbered(b, "150 KB of lengths", "{\"properties\":{\"x\":{}",
             ",\"p`\":{\"type\":\"string\",\"maxLength\":~}", 3500, "}}");
    numbered(b, "150 KB of bounds", "{\"properties\":{\"x\":{}",
             ",\"p`\":{\"type\":\"number\",\"minimum\":`.5,\"maximum\":9~}", 2800, "}}");
    numbered(b, "150 KB of patterns", "{\"properties\":{\"x\":{}",
             ",\"p`\":{\"type\":\"string\",\"pattern\":\"^[a-z]{`}$\"}", 2800, "}}");
    numbered(b, "150 KB of dates", "{\"properties\":{\"x\":{}",
             ",\"d`\":{\"format\":\"date-time\",\"maxLength\":2~}", 3200, "}}");
    numbered(b, "150 KB of values", "{\"enum\":[0", ",\"value number `\"", 7500, "]}");
    numbered(b, "150 KB of numbers", "{\"enum\":[0", ",`", 26000, "]}");
    numbered(b, "150 KB of allOf", "{\"allOf\":[true", ",{\"maximum\":`}", 9000, "]}");
    numbered(b, "900 of allOf", "{\"allOf\":[true", ",{\"maximum\":`}", 900, "]}");
    numbered(b, "150 KB of references", "{\"$ref\":\"#/$defs/0\",\"$defs\":{\"x\":{}",
             ",\"`\":{\"$ref\":\"#/$defs/~\"}", 5000, "}}");
    numbered(b, "10,000 of anyOf", "{\"anyOf\":[{\"type\":\"null\"}", ",{\"maximum\":`}", 10000,
             "]}");
    numbered(b, "10,000 constants", "{\"anyOf\":[{\"type\":\"null\"}", ",{\"const\":\"c`\"}", 8000,
             "]}");
    numbered(b, "3,000 of anyOf beside 300 of allOf", "{\"anyOf\":[{\"type\":\"null\"}",
             ",{\"maximum\":`}", 3000,
             "],\"allOf\":[{\"minimum\":1},{\"minimum\":2},{\"minimum\":3},{\"minimum\":4}]}");
    numbered(b, "1,000 anyOf of one", "{\"allOf\":[true", ",{\"anyOf\":[{\"maximum\":`}]}", 1000,
             "]}");
    numbered(b, "not one of 9,000 values", "{\"type\":\"string\",\"not\":{\"enum\":[0",
             ",\"value `\"", 9000, "]}}");
    numbered(b, "not one of 9,000 numbers", "{\"type\":\"number\",\"not\":{\"enum\":[0", ",`.5",
             9000, "]}}");
    numbered(b, "values under a pattern", "{\"pattern\":\"^(v|w).*[0-9]{2,5}$\",\"enum\":[0",
             ",\"value `\"", 9000, "]}");
    numbered(b, "2^30 branches", "{\"allOf\":[true",
             ",{\"anyOf\":[{\"minimum\":`},{\"maximum\":100~}]}", 30, "]}");
    numbered(b, "250 oneOf: lengths", "{\"oneOf\":[{\"type\":\"null\"}",
             ",{\"properties\":{\"p`\":{\"minLength\":`},\"q\":{\"maxLength\":~}},"
             "\"type\":\"object\"}",
             250, "]}");
    numbered(b, "250 oneOf: values", "{\"oneOf\":[{\"type\":\"null\"}",
             ",{\"properties\":{\"p\":{\"enum\":[`,~]},\"q\":{\"type\":\"null\"}},"
             "\"additionalProperties\":false}",
             250, "]}");
    numbered(b, "250 oneOf: patterns", "{\"oneOf\":[{\"type\":\"null\"}",
             ",{\"type\":\"string\",\"pattern\":\"^a{`}|b{~}\"}", 250, "]}");
    numbered(b, "250 oneOf: numbers", "{\"oneOf\":[{\"type\":\"null\"}",
             ",{\"type\":\"number\",\"not\":{\"enum\":[`,~,\"x\"]}}", 250, "]}");
}

static void hostile_patterns(const Bench *b)
{
    repeated(b, "pattern of 50,000 (", BT_GRAMMAR_SCHEMA, "{\"pattern\":\"", "(", 50000, "\"}");
    repeated(b, "pattern of 8,000 a|", BT_GRAMMAR_SCHEMA, "{\"pattern\":\"", "a|", 4000, "b\"}");
    repeated(b, "pattern of 190 (a|", BT_GRAMMAR_SCHEMA, "{\"pattern\":\"", "(a|", 60, "b\"}");
    numbered(b, "pattern of 1,300 names", "{\"pattern\":\"^(x", "|name`", 1100, ")$\"}");
    static const char *const patterns[] = {"a.{60}b",
                                           "(a|b)*a(a|b){25}$",
                                           "^((a{1,1000}){1,1000}){1,1000}$",
                                           "^(a{1,1000}b?){1,1000}$",
                                           "^.{0,1000000}$",
                                           "(.*a){20}",
                                           "^(a?){1000}a{1000}$",
                                           "(?=.*a)(?=.*b)(?=.*c)(?=.*d)(?=.*e)(?=.*f)",
                                           "^\\\\p{L}+\\\\p{N}*\\\\p{P}$",
                                           "^[a-z]{1,20000}$",
                                           "^(([a-z])+.)+[A-Z]([a-z])+$"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) pattern(b, patterns[i]);
    schema(b, "long counts", "{\"maxItems\":999999999,\"items\":{\"maxLength\":999999999}}");
    schema(b, "long least counts", "{\"minItems\":999999999,\"items\":{\"minLength\":999999999}}");
    numbered(b, "counts of counts", "{\"items\":{}", ",\"x`\":0", 0, ",\"maxItems\":65521}");
}

static void hostile_grammars(const Bench *b)
{
    const bt_grammar_kind gbnf = BT_GRAMMAR_GBNF;
    repeated(b, "50,000 (", gbnf, "root ::= ", "(", 50000, "");
    repeated(b, "900 (( ))", gbnf, "root ::= ", "(", 900, "\"x\"");
    numbered(b, "20,000 rules deep", "root ::= r0\n", "r` ::= \"(\" r~ \")\"\n", 20000,
             "r20000 ::= \"x\"\n");
    numbered(b, "20,000 rules in a row", "root ::= r0\n", "r` ::= \"(\" r~\n", 20000,
             "r20000 ::= \"x\"\n");
    numbered(b, "20,000 empty rules", "root ::= r0\n", "r` ::= \"\" r~\n", 20000,
             "r20000 ::= \"x\"\n");
    repeated(b, "repetitions of repetitions", gbnf, "root ::= \"x\"", "{1000}", 200, "");
    repeated(b, "repetitions side by side", gbnf, "root ::= ", "[a-z]{0,999999} ", 8000, "");
    repeated(b, "{256} side by side", gbnf, "root ::= ", "[a-z]{256} ", 12000, "");
    repeated(b, "{1000000000}", gbnf, "root ::= \"x\"{1000000000}", "", 0, "");
    repeated(b, "150 KB of a text", gbnf, "root ::= \"", "a", 150000, "\"");
    repeated(b, "150 KB of alternatives", gbnf, "root ::= \"\"", "|\"a\"", 37000, "");
    repeated(b, "150 KB of classes", gbnf, "root ::= ", "[^\\u1234-\\u4321] ", 8000, "");
    repeated(b, "150 KB of .", gbnf, "root ::= ", ". ", 75000, "");
    repeated(b, "3 MB of .", gbnf, "root ::= ", ". ", 1500000, "");
    Buf text = {0};
    buf_text(&text, "root ::= [");
    for (int i = 0; i < 60000; i++) buf_printf(&text, "\\U%08X", 0x10000 + (i * 7919) % 60000);
    buf_char(&text, ']');
    one(b, "a class of 60,000 characters", gbnf, &text);
}

int main(int argc, char **argv)
{
    const bt_model_options vocab = {.vocab_only = true};
    Bench b = {.only = argc > 3 ? argv[3] : NULL};
    bt_error err = {0};
    size_t size;
    if (argc < 2) return fprintf(stderr, "bench-compile VOCABULARY.gguf [TOOLS [WORD]]\n"), 2;
    if (bt_model_open(argv[1], &vocab, &b.model, &err) != BT_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    Buf any = {0};
    Grammar *g;
    bt_grammar *first;
    buf_text(&any, "{}");
    grammar_compile(BT_GRAMMAR_SCHEMA, SPAN("{}"), NULL, &g, &err);
    grammar_of_model(b.model, &g, &first, &err); /* the vocabulary's part */
    bt_grammar_close(&first);
    buf_close(&any);
    printf("%-36s %17s %17s\n", "", "compile, ms", "open, ms");
    common(&b);
    copied(&b);
    if (argc > 2 && (b.tools = files_read(argv[2], &size))) {
        tools(&b, false);
        tools(&b, true);
        free(b.tools);
    }
    hostile_schemas(&b);
    hostile_patterns(&b);
    hostile_grammars(&b);
    bt_model_close(&b.model);
    return 0;
}
