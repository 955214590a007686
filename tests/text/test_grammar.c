/* GBNF and the automaton: what is matched and refused (by hand; characters exhaustively), the sets
 * of tokens against trying every token, hostile grammars in time, and every allocation failing
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/torture.h"
#include "text/grammar_gbnf.h"
#include "text/grammar_mask.h"

static Grammar *compile(const char *text, bt_error *err)
{
    GrammarBuilder b = {0};
    Grammar *g = NULL;
    uint32_t root;
    bt_status status = gbnf_build(&b, span_of(text), &root, err);
    if (status == BT_OK) status = grammar_finish(&b, root, &g, err);
    builder_close(&b);
    err->status = status;
    return g;
}

static Grammar *good(const char *text)
{
    bt_error err = {0};
    Grammar *g = compile(text, &err);
    if (!g) fail_msg("%s: %s", text, err.text);
    return g;
}

static bool matches(GrammarRun *run, Span text)
{
    RunState state = {0};
    run_state_open(run, &state);
    uint32_t config = state.config;
    for (size_t i = 0; i < text.size && config != RUN_DEAD; i++)
        config = run_step(run, config, (unsigned char)text.data[i]);
    run_state_close(&state);
    return config != RUN_DEAD && run_ends(run, config);
}

typedef struct Row {
    const char *grammar, *yes[8], *no[8];
} Row;

static const Row rows[] = {
    {"root ::= \"a\"", {"a"}, {"", "b", "aa"}},
    {"root ::= \"a\" | \"bc\" | \"\"", {"a", "bc", ""}, {"b", "abc"}},
    {"root ::= [a-c]+ [^a-c]?", {"a", "abcx", "aaé"}, {"", "x", "axx"}},
    {"root ::= (\"a\" | \"b\")* \"c\"", {"c", "abac"}, {"ab", "cc"}},
    {"root ::= \"x\"{2,3}", {"xx", "xxx"}, {"x", "xxxx"}},
    {"root ::= \"x\"{2} \"y\"{1,} \"z\"{,2}", {"xxy", "xxyyyzz"}, {"xx", "xxyzzz"}},
    {"root ::= a b # a comment\na ::= \"1\" # another\n\nb ::= a\n  | \"2\"",
     {"11", "12"},
     {"1", "21"}},
    {"root ::= (\n \"a\"\n \"b\" |\n \"c\" )", {"ab", "c"}, {"a", "abc"}},
    {"root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\\"\\\\\"",
     {"A\xc3\xa9\xf0\x9f\x98\x80\n\t\"\\"},
     {"A"}},
    {"root ::= .",
     {"a", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80"},
     {"", "ab", "\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"}},
    {"root ::= [\\u0400-\\u04FF]+",
     {"\xd0\x96", "\xd0\xb0\xd1\x8f"},
     {"a", "\xc3\xa9", "\xd4\x80"}},
    {"root ::= [^\\u0400-\\u04FF]",
     {"a", "\xd4\x80", "\xf0\x9f\x98\x80"},
     {"\xd0\x96", "\xd3\xbf"}},
    {"root ::= [a-]", {"a", "-"}, {"b"}},
    {"root ::= [\\]\\\\^-]", {"]", "\\", "^", "-"}, {"a"}},
    {"root ::= \"(\" root \")\" | \"x\"", {"x", "(x)", "((x))"}, {"(x", "x)"}},
    {"root ::= \"a\" root | \"b\"", {"b", "aaaab"}, {"a", "ba"}},
    {"root ::= list\nlist ::= item (\",\" item)*\nitem ::= [0-9]+", {"1", "1,22"}, {",", "1,"}},
    {"root ::= %until \"</t>\" \"!\"",
     {"</t>!", "abc</t>!", "</</t>!", "<</t</t>!"},
     {"</t>", "</t>x!", "!", "</t></t>!"}},
    {"root ::= %text",
     {"", "anything\n\xc3"
          "x"},
     {}},
    {"root ::= %token \"<|a|>\"", {"<|a|>", "\xff<|a|>"}, {"", "\xff", "<|b|>"}},
    {"root ::= (\"a\"?)* (\"b\"*)+", {"", "a", "aabb", "b"}, {"ba", "c"}},
    {"root ::= empty \"a\"\nempty ::= \"\" | (\"\")", {"a"}, {"", "aa"}},
    {"root ::= (\"a\"?){20,5000} \"b\"", {"b", "aab"}, {"a", "ba"}},
    {"root ::= \"a\"{0,1000} \"b\"",
     {"b", "ab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"},
     {"a"}},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bt_error err;
        GrammarRun *run;
        Grammar *g = good(rows[i].grammar);
        assert_int_equal(run_open(g, &run, &err), BT_OK);
        for (int k = 0; k < 8 && rows[i].yes[k]; k++)
            if (!matches(run, span_of(rows[i].yes[k])))
                fail_msg("%s\nrefuses '%s'", rows[i].grammar, rows[i].yes[k]);
        for (int k = 0; k < 8 && rows[i].no[k]; k++)
            if (matches(run, span_of(rows[i].no[k])))
                fail_msg("%s\ntakes '%s'", rows[i].grammar, rows[i].no[k]);
        run_close(&run);
        grammar_close(&g);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *says;
    } row[] = {
        {"", "no rule is named 'root'"},
        {"a ::= \"x\"", "no rule is named 'root'"},
        {"root ::= \"a", "line 1, column 12: the line ends inside"},
        {"root ::= b\n", "line 1, column 10: the rule 'b' is not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: this rule is defined twice"},
        {"root = \"a\"", "line 1, column 6: ::= is missing"},
        {"root ::= (\"a\"", "column 10: this ( is not closed"},
        {"root ::= \"a\")", "this ) closes nothing"},
        {"root ::= [a", "this class is not closed"},
        {"root ::= [b-a]", "runs backwards"},
        {"root ::= *", "nothing stands before"},
        {"root ::= \"a\"{3,2}", "below the least"},
        {"root ::= \"a\"{999999999999}", "at most"},
        {"root ::= \"\\q\"", "unknown escape"},
        {"root ::= \"\\ud800\"", "no character"},
        {"root ::= \"\xff\"", "no UTF-8"},
        {"root ::= $", "begins no part"},
        {"root ::= %what", "unknown word"},
        {"root ::= root \"a\" | \"b\"", "(root)"},
        {"root ::= a\na ::= b? c\nc ::= d* a \"x\" | \"y\"\nb ::= \"b\"\nd ::= \"d\"", "a -> c"},
        {"root ::= \"a\" root", "no text at all"},
        {"root ::= []", "no text at all"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        bt_error err = {0};
        Grammar *g = compile(row[i].grammar, &err);
        if (g) fail_msg("accepted: %s", row[i].grammar);
        if (!strstr(err.text, row[i].says)) fail_msg("%s: \"%s\"", row[i].grammar, err.text);
    }
}

/* ---- characters, exhaustively ---------------------------------------------------- */

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void every_character(void **state)
{
    (void)state;
    static const uint32_t ends[] = {0,       0x41,    0x7F,    0x80,    0x7FF,   0x800,
                                    0xABC,   0xFFF,   0x1000,  0xD7FF,  0xE123,  0xFFFF,
                                    0x10000, 0x1F642, 0x3FFFF, 0x40000, 0xFFFFF, 0x10FFFF};
    const size_t n = sizeof ends / sizeof ends[0];
    for (size_t a = 0; a < n; a++)
        for (size_t z = a; z < n; z += 3) {
            GrammarBuilder b = {0};
            bt_error err;
            Grammar *g;
            GrammarRun *run;
            uint32_t rule = builder_rule(&b, SPAN("r"));
            builder_range(&b, b.rules[rule].start, ends[a], ends[z], b.rules[rule].end);
            assert_int_equal(grammar_finish(&b, rule, &g, &err), BT_OK);
            assert_int_equal(run_open(g, &run, &err), BT_OK);
            for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x900 || a == z ? 1 : 37) {
                char text[4];
                if (c >= 0xD800 && c < 0xE000) continue;
                bool inside = c >= ends[a] && c <= ends[z];
                if (matches(run, (Span){text, encode(c, text)}) != inside)
                    fail_msg("U+%04X in [%04X, %04X]", c, ends[a], ends[z]);
            }
            run_close(&run);
            grammar_close(&g);
            builder_close(&b);
        }
}

static void long_repetitions(void **state)
{
    (void)state;
    static const uint32_t row[][2] = {{0, 25},   {30, 30},   {7, 100},   {0, 1000}, {999, 1001},
                                      {64, 191}, {257, 600}, {513, 513}, {0, 257},  {300, 1023}};
    char text[1100];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char grammar[64];
        bt_error err;
        GrammarRun *run;
        snprintf(grammar, sizeof grammar, "root ::= \"x\"{%u,%u}", row[i][0], row[i][1]);
        Grammar *g = good(grammar);
        assert_true(g->n_states < 800);
        assert_int_equal(run_open(g, &run, &err), BT_OK);
        for (size_t n = 0; n < sizeof text; n++)
            assert_int_equal(matches(run, (Span){text, n}), n >= row[i][0] && n <= row[i][1]);
        run_close(&run);
        grammar_close(&g);
    }
}

/* ---- sets of tokens against every token --------------------------------------------- */

static uint64_t seed_;

static uint32_t draw(uint32_t n)
{
    seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed_ >> 33) % n;
}

enum { N_TOKENS = 3000 };

static TokenSet *random_tokens(void)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "c",
                                         "\"",
                                         "\\",
                                         "{",
                                         "}",
                                         ":",
                                         ",",
                                         " ",
                                         "\n",
                                         "1",
                                         "0",
                                         ".",
                                         "-",
                                         "e",
                                         "true",
                                         "x",
                                         "\xc3\xa9",
                                         "\xc3",
                                         "\xa9",
                                         "\xe4\xbd\xa0",
                                         "\xf0\x9f\x98\x80",
                                         "\xf0\x9f",
                                         "ab",
                                         "name",
                                         "[",
                                         "]",
                                         "u00",
                                         "\x01",
                                         "A",
                                         "@",
                                         "\xed",
                                         "\xf4\x8f",
                                         "\\n",
                                         "\\ud83",
                                         "d\\udc0",
                                         "0e9",
                                         "aaaaaaaaaaaaaaaaaaaaa",
                                         "bcbcbcbcbc"};
    static char text[N_TOKENS][12 * 24];
    static Span spans[N_TOKENS];
    static bool control[N_TOKENS], ends[N_TOKENS];
    TokenSet *set;
    bt_error err;
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        size_t n = 0;
        uint32_t parts = i < 256 ? 0 : 1 + draw(i % 50 == 0 ? 12 : 4);
        for (uint32_t k = 0; k < parts; k++) {
            const char *piece = pieces[draw(sizeof pieces / sizeof pieces[0])];
            memcpy(text[i] + n, piece, strlen(piece));
            n += strlen(piece);
        }
        if (i < 256) text[i][n++] = (char)i; /* every byte */
        spans[i] = (Span){text[i], i == 300 ? 0 : n};
        control[i] = i % 97 == 0 && i >= 256;
        ends[i] = i == 2000 || i == 388;
    }
    assert_int_equal(token_set_of(spans, control, ends, N_TOKENS, &set, &err), BT_OK);
    return set;
}

static void hold_set(GrammarMask *m, RunState *state)
{
    const uint64_t *words = grammar_mask_of(m, state);
    uint64_t copy[(N_TOKENS + 63) / 64];
    memcpy(copy, words, sizeof copy);
    for (uint32_t id = 0; id < m->set->n; id++) {
        RunState trial = {0};
        run_state_copy(m->run, &trial, state);
        bool takes = grammar_mask_accept(m, &trial, id);
        run_state_close(&trial);
        if (takes != token_set_has(copy, id))
            fail_msg("token %u '%.*s' is %s", id, (int)token_set_text(m->set, id).size,
                     token_set_text(m->set, id).data, takes ? "left out" : "let in");
    }
}

/* Walks by random allowed tokens and holds each set against trying every token. */
static void sets_are_exact(void **state)
{
    (void)state;
    static const char *const grammars[] = {
        "root ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\nu])* \"\\\"\"",
        "root ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f]){0,5} \"\\\"\"",
        "root ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f]){40,300} \"\\\"\"",
        "root ::= [a-c]* \"1\"? root2\nroot2 ::= \"{\" root2* \"}\" | \"x\"",
        "root ::= (%until \"ab\" \"1\")* %text",
        "root ::= ([a-z ]{1,3} | [\\u0080-\\U0010FFFF] \"a\")+ \"\\n\"",
        "root ::= \"name\" %token \"ab\" \",\" .*",
        "root ::= [a-z0-9]{1,40} (\".\" [a-z0-9-]{2,30})* \"@\" [^\"\\\\\\x00-\\x1f]{0,12}",
        "root ::= ([a-zA-Z] ([a-zA-Z0-9-]{0,61} [a-zA-Z0-9])? [.: 1])* \"{\" [a-z]{2,18} \"}\"",
        "root ::= ([ -~] | \"\\n\"){30,34} [a-w]* \"x\"",
        "root ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\nu]){3,300} \"\\\",\"",
        "root ::= ([a-z] | [b-y0-9] | [a-z]+ \"-\")* \"A\"",
        "root ::= %json {\"type\": \"string\"} \",\" %json {}",
        "root ::= (%json {\"type\": \"string\", \"maxLength\": 7} [,:]?)*",
        "root ::= (%json {\"type\": \"string\", \"minLength\": 3, \"maxLength\": 90} \",\")*",
        "root ::= (%json {\"type\": \"string\", \"minLength\": 2} \"}\")*",
        "root ::= %json {\"maxLength\": 400, \"minLength\": 300} | \"\\\"a1\"",
        "root ::= %json {\"anyOf\": [{\"maxLength\": 3}, {\"pattern\": \"^[^1]*$\"}]}+",
        "root ::= (%json {\"pattern\": \"^[a-zA-Z0-9,:]{1,30}( [a-z]+)*$\"} [1 ])*",
        "root ::= (%json {\"pattern\": \"^.{0,9}[0-9a-c]{2}$\"} \"\\n\")* %json {\"format\": "
        "\"uri\"}",
        "root ::= (%json {\"type\": \"string\", \"x-copied\": [\"a name, 10 bc a b\"]} \".\")*",
    };
    seed_ = 7;
    TokenSet *set = random_tokens();
    for (size_t i = 0; i < sizeof grammars / sizeof grammars[0]; i++) {
        bt_error err;
        GrammarMask *m;
        RunState at = {0};
        Grammar *g = good(grammars[i]);
        assert_int_equal(grammar_mask_open(g, set, &m, &err), BT_OK);
        for (int turn = 0; turn < 60; turn++) {
            if (turn % 12 == 0) {
                run_state_close(&at);
                run_state_open(m->run, &at);
            }
            hold_set(m, &at);
            const uint64_t *words = grammar_mask_of(m, &at);
            uint32_t id = draw(set->n), tries = 0;
            while (!token_set_has(words, id) && tries++ < set->n) id = (id + 1) % set->n;
            if (tries >= set->n) {
                assert_false(run_goes_on(m->run, at.config));
                continue;
            }
            assert_true(grammar_mask_accept(m, &at, id));
        }
        assert_int_equal(m->n_cut, 0);
        run_state_close(&at);
        grammar_mask_close(&m);
        grammar_close(&g);
    }
    token_set_close(&set);
}

/* Rooms fill and are emptied; states that live keep their places. */
static void forgetting(void **state)
{
    (void)state;
    bt_error err;
    GrammarRun *run;
    RunState deep = {0}, at = {0};
    Grammar *g = good("root ::= (\"(\" root \")\" | \"[\" root \"]\" | \"x\")*");
    assert_int_equal(run_open(g, &run, &err), BT_OK);
    run->max_configs = 64;
    run_state_open(run, &deep);
    for (int i = 0; i < 30; i++)
        assert_int_not_equal(deep.config = run_step(run, deep.config, i % 3 ? '(' : '['), RUN_DEAD);
    seed_ = 3;
    for (int turn = 0; turn < 300; turn++) {
        run_state_open(run, &at);
        for (int i = 0; i < 20; i++) {
            run_collect(run);
            uint32_t next = run_step(run, at.config, (unsigned char)"([x"[draw(3)]);
            assert_int_not_equal(next, RUN_DEAD);
            at.config = next;
        }
        run_state_close(&at);
    }
    assert_true(run->generation > 10);
    for (int i = 29; i >= 0; i--) {
        run_collect(run);
        assert_int_equal(run_step(run, deep.config, i % 3 ? ']' : ')'), RUN_DEAD);
        assert_int_not_equal(deep.config = run_step(run, deep.config, i % 3 ? ')' : ']'), RUN_DEAD);
    }
    assert_true(run_ends(run, deep.config));
    run_state_close(&deep);
    run_close(&run);
    grammar_close(&g);
}

/* ---- hostile grammars ------------------------------------------------------------------ */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void answered_soon(const char *what, const char *grammar)
{
    bt_error err = {0};
    double start = seconds();
    Grammar *g = compile(grammar, &err);
    double took = seconds() - start;
    assert_true(g || err.text[0]);
    if (took > 2) fail_msg("%s took %.2f s", what, took);
    grammar_close(&g);
}

static void hostile(void **state)
{
    (void)state;
    Buf b = {0};
    buf_text(&b, "root ::= ");
    for (int i = 0; i < 50000; i++) buf_char(&b, '(');
    answered_soon("50,000 (", b.data);
    buf_clear(&b);
    for (int i = 0; i < 20000; i++) buf_printf(&b, "r%d ::= \"(\" r%d \")\"\n", i, i + 1);
    buf_text(&b, "r20000 ::= \"x\"\nroot ::= r0");
    answered_soon("20,000 rules deep", b.data);
    buf_clear(&b);
    buf_text(&b, "root ::= \"x\"");
    for (int i = 0; i < 200; i++) buf_text(&b, "{1000}");
    answered_soon("repetitions of repetitions", b.data);
    buf_clear(&b);
    buf_text(&b, "root ::= (");
    for (int i = 0; i < 900; i++) buf_text(&b, "((");
    answered_soon("groups", b.data);
    buf_clear(&b);
    buf_text(&b, "root ::= [");
    for (int i = 0; i < 60000; i++) buf_printf(&b, "\\U%08X", 0x10000 + (i * 7919) % 60000);
    buf_char(&b, ']');
    answered_soon("a class of 60,000 characters", b.data);
    buf_close(&b);
}

static bt_status grammar_life(void *user, bt_error *err)
{
    (void)user;
    static const char grammar[] = "root ::= a{3,400} %until \"x\" | [a-z\\u0400-\\u04ff]+ (b | a)\n"
                                  "a ::= \"q\" b?\nb ::= \"(\" root \")\"";
    static const Span texts[] = {{"q", 1}, {"(q", 2}, {"abc", 3}, {"\"x", 2}};
    TokenSet *set = NULL;
    GrammarMask *m = NULL;
    Grammar *g = compile(grammar, err);
    bt_status status = g ? token_set_of(texts, NULL, NULL, 4, &set, err) : err->status;
    if (!status) status = grammar_mask_open(g, set, &m, err);
    grammar_mask_close(&m);
    token_set_close(&set);
    grammar_close(&g);
    return status;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    assert_true(torture("a grammar", grammar_life, NULL) > 20);
}

static void quoting(void **state)
{
    (void)state;
    static const char odd[] = "a\"b\\c\n\x01[é]";
    Buf b = {0};
    bt_error err;
    GrammarRun *run;
    buf_text(&b, "root ::= ");
    gbnf_quote(&b, span_of(odd));
    Grammar *g = good(b.data);
    assert_int_equal(run_open(g, &run, &err), BT_OK);
    assert_true(matches(run, span_of(odd)));
    run_close(&run);
    grammar_close(&g);
    buf_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),           cmocka_unit_test(refusals),
        cmocka_unit_test(every_character), cmocka_unit_test(long_repetitions),
        cmocka_unit_test(sets_are_exact),  cmocka_unit_test(forgetting),
        cmocka_unit_test(hostile),         cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(quoting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
