/* For tests/clients/compare_schemas.py: compiles schemas and grammars, says which texts they take,
 * and writes random texts of them. A line in, a line out:
 *
 *   S JSON       compile a schema              ok | error TEXT
 *   G HEX        compile GBNF                  ok | error TEXT
 *   T HEX        does it take this text        1 | 0
 *   R SEED       a text, by random allowed tokens of a small vocabulary   HEX | unfinished
 *   M            time of the last S or G in microseconds */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "text/grammar_gbnf.h"
#include "text/grammar_mask.h"
#include "text/schema.h"

enum { N_PIECES = 60, N_TOKENS = 256 + 700, MOST_STEPS = 1500 };

static TokenSet *set;
static Grammar *grammar;
static GrammarMask *mask;
static uint64_t seed;

static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static const char *const pieces[] = {"\"",
                                     "\"",
                                     "\",",
                                     "\":",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     ", ",
                                     ",\n",
                                     "{\n  ",
                                     "\": ",
                                     "\"}",
                                     "\"]",
                                     "null",
                                     "true",
                                     "false",
                                     "a",
                                     "b",
                                     "name",
                                     "id",
                                     "x-y",
                                     "the ",
                                     "Zoe",
                                     "0",
                                     "1",
                                     "12",
                                     "2024",
                                     "-",
                                     ".",
                                     ".5",
                                     "e",
                                     "E+",
                                     "-0",
                                     "99",
                                     "@",
                                     "://",
                                     "http",
                                     "a.b",
                                     "T",
                                     "Z",
                                     ":",
                                     "\\",
                                     "\\n",
                                     "\\u",
                                     "\\\"",
                                     "00e9",
                                     "d83d",
                                     "\xc3\xa9",
                                     "\xe4\xbd\xa0",
                                     "\xf0\x9f\x98\x80",
                                     "\xf0\x9f",
                                     "\xc3",
                                     " ",
                                     "\n",
                                     "\t",
                                     "/",
                                     "+",
                                     "_",
                                     "\x7f"};

static void make_tokens(void)
{
    static char texts[N_TOKENS][64];
    static Span spans[N_TOKENS + 1];
    static bool ends[N_TOKENS + 1];
    bt_error err;
    seed = 1;
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        size_t n = 0;
        uint32_t parts = i < 256 ? 0 : i < 256 + N_PIECES ? 1 : 1 + draw(3);
        if (i < 256) texts[i][n++] = (char)i;
        for (uint32_t k = 0; k < parts; k++) {
            const char *p = pieces[i < 256 + N_PIECES ? i - 256 : draw(N_PIECES)];
            memcpy(texts[i] + n, p, strlen(p));
            n += strlen(p);
        }
        spans[i] = (Span){texts[i], n};
    }
    spans[N_TOKENS] = SPAN("");
    ends[N_TOKENS] = true;
    if (token_set_of(spans, NULL, ends, N_TOKENS + 1, &set, &err) != BT_OK) exit(2);
}

static void forget(void)
{
    grammar_mask_close(&mask);
    grammar_close(&grammar);
}

static size_t unhex(char *text)
{
    size_t n = 0;
    for (char *p = text; p[0] && p[1] && p[0] != '\n'; p += 2) {
        unsigned value;
        if (sscanf(p, "%2x", &value) != 1) break;
        text[n++] = (char)value;
    }
    return n;
}

static void compile(bool schema, Span text)
{
    GrammarBuilder b = {0};
    bt_error err = {0};
    uint32_t root;
    forget();
    bt_status status =
        schema ? schema_build(&b, text, NULL, &root, &err) : gbnf_build(&b, text, &root, &err);
    if (status == BT_OK) status = grammar_finish(&b, root, &grammar, &err);
    if (status == BT_OK) status = grammar_mask_open(grammar, set, &mask, &err);
    builder_close(&b);
    if (status == BT_OK)
        printf("ok\n");
    else
        printf("error %d %s\n", status, err.text);
}

static void take(Span text)
{
    RunState at = {0};
    run_state_open(mask->run, &at);
    bool good = grammar_mask_accept_bytes(mask, &at, text) && run_ends(mask->run, at.config);
    run_state_close(&at);
    printf("%d\n", good);
}

/* A token of those allowed; quotes more often, so that strings end. */
static uint32_t pick(const uint64_t *allowed, int step)
{
    uint32_t ids[N_TOKENS + 1], n = 0;
    if (token_set_has(allowed, N_TOKENS) && (draw(3) == 0 || step > 60)) return N_TOKENS;
    for (uint32_t id = 0; id < N_TOKENS; id++)
        if (token_set_has(allowed, id)) ids[n++] = id;
    if (!n) return N_TOKENS;
    if (draw(4) == 0 || step > 100)
        for (int i = 0; i < 400; i++) {
            uint32_t id = ids[draw(n)];
            Span text = token_set_text(set, id);
            if (memchr("\"}]\\", text.data[0], 4)) return id;
        }
    return ids[draw(n)];
}

static void write_one(uint64_t number)
{
    RunState at = {0};
    Buf text = {0};
    bool done = false;
    seed = number * 2654435761u + 12345;
    run_state_open(mask->run, &at);
    for (int step = 0; step < MOST_STEPS && !done; step++) {
        uint32_t id = pick(grammar_mask_of(mask, &at), step);
        if (id == N_TOKENS) {
            done = run_ends(mask->run, at.config);
            break;
        }
        Span bytes = token_set_text(set, id);
        buf_add(&text, bytes.data, bytes.size);
        if (!grammar_mask_accept(mask, &at, id)) {
            printf("REFUSED %u\n", id);
            exit(3);
        }
    }
    run_state_close(&at);
    for (size_t i = 0; done && i < text.size; i++) printf("%02x", (unsigned char)text.data[i]);
    printf(done ? "\n" : "unfinished\n");
    buf_close(&text);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    double took = 0;
    ssize_t n;
    make_tokens();
    while ((n = getline(&line, &capacity, stdin)) > 1) {
        while (n > 0 && line[n - 1] == '\n') line[--n] = '\0';
        char *rest = n > 2 ? line + 2 : line + n;
        struct timespec a, z;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        if (line[0] == 'S') {
            compile(true, span_of(rest));
        } else if (line[0] == 'G') {
            size_t size = unhex(rest);
            compile(false, (Span){rest, size});
        } else if (line[0] == 'M') {
            printf("%.0f\n", took);
        } else if (!mask) {
            printf("none\n");
        } else if (line[0] == 'T') {
            size_t size = unhex(rest);
            take((Span){rest, size});
        } else if (line[0] == 'R') {
            write_one(strtoull(rest, NULL, 10));
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &z);
        if (line[0] == 'S' || line[0] == 'G')
            took = (double)(z.tv_sec - a.tv_sec) * 1e6 + (double)(z.tv_nsec - a.tv_nsec) * 1e-3;
        fflush(stdout);
    }
    forget();
    token_set_close(&set);
    free(line);
    return 0;
}
