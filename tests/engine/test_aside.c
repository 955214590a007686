/* The thread beside (engine/aside.h): every job that is wanted runs, none runs once it was dropped,
 * and sets of tokens that were made ahead on it are those that are made when they are asked for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"
#include "engine/grammar.h"

typedef struct Count {
    AsideJob job;
    atomic_int runs, slow;
} Count;

static void nap(long us)
{
    const struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

static void count_one(AsideJob *job)
{
    Count *c = (Count *)job;
    if (atomic_load(&c->slow)) nap(2000);
    atomic_fetch_add(&c->runs, 1);
}

static void wait_for(Count *c, int runs)
{
    for (int i = 0; i < 20000 && atomic_load(&c->runs) < runs; i++) nap(500);
    assert_true(atomic_load(&c->runs) >= runs);
}

static void jobs_run_once_a_wish(void **state)
{
    (void)state;
    Aside *aside = aside_open();
    Count c[3] = {{.job.run = count_one}, {.job.run = count_one}, {.job.run = count_one}};
    assert_non_null(aside);
    for (int round = 1; round <= 50; round++)
        for (int i = 0; i < 3; i++) {
            aside_want(aside, &c[i].job);
            wait_for(&c[i], round);
            assert_int_equal(atomic_load(&c[i].runs), round);
        }
    for (int i = 0; i < 3; i++) aside_drop(aside, &c[i].job);
    aside_close(&aside);
    assert_null(aside);
}

static void dropped_jobs_do_not_run(void **state)
{
    (void)state;
    Aside *aside = aside_open();
    Count slow = {.job.run = count_one, .slow = 1};
    for (int round = 0; round < 40; round++) {
        Count c[4];
        int at_drop[4];
        for (int i = 0; i < 4; i++) c[i] = (Count){.job.run = count_one};
        aside_want(aside, &slow.job); /* the others queue behind it */
        for (int i = 0; i < 4; i++) aside_want(aside, &c[i].job);
        for (int i = 0; i < 4; i++) {
            int k = (i + round) % 4;
            aside_drop(aside, &c[k].job);
            at_drop[k] = atomic_load(&c[k].runs);
        }
        aside_drop(aside, &slow.job);
        for (int i = 0; i < 4; i++) assert_int_equal(atomic_load(&c[i].runs), at_drop[i]);
    }
    aside_close(&aside);
}

/* ---- grammars ---- */

enum { N = 400, WORDS = (N + 63) / 64 };

static uint32_t seed;

static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static TokenSet *tokens(void)
{
    static char text[N][6];
    Span spans[N];
    TokenSet *set;
    for (int i = 0; i < N; i++) {
        size_t size = i < 40 ? 1 : 1 + draw(5);
        for (size_t k = 0; k < size; k++) text[i][k] = "abcxyz012\"{}[]:, -"[draw(18)];
        if (i < 18) text[i][0] = "abcxyz012\"{}[]:, -"[i];
        spans[i] = (Span){text[i], size};
    }
    assert_int_equal(token_set_of(spans, NULL, NULL, N, &set, NULL), BT_OK);
    return set;
}

static bt_grammar *grammar(const TokenSet *set, Aside *aside)
{
    static const char text[] = "root ::= (%json {\"type\": \"string\", \"maxLength\": 9} [:,])* "
                               "([a-z] | [b-y0-9]+ \"-\" | \"[\" root \"]\")*";
    bt_error err = {0};
    Grammar *automaton;
    bt_grammar *g;
    bt_status status =
        grammar_compile(BT_GRAMMAR_GBNF, (Span){text, sizeof text - 1}, NULL, &automaton, &err);
    if (status) fail_msg("%s", err.text);
    assert_int_equal(grammar_of(&automaton, set, &g, &err), BT_OK);
    if (aside) grammar_use_aside(g, aside);
    return g;
}

static void look(GrammarHold *hold, float *logits, float *peak)
{
    for (int i = 0; i < N; i++) logits[i] = (float)(i % 7);
    grammar_restrict(hold, logits, N, peak);
    for (int i = 0; i < N; i++)
        if (peak[i / 64] == -INFINITY) logits[i] = -INFINITY;
}

typedef struct Walker {
    const TokenSet *set;
    bt_grammar *ahead;
    uint32_t seed;
    bool same;
} Walker;

/* One text at random: with the sets made ahead, by all walkers in one grammar, and without. */
static void *walk(void *arg)
{
    Walker *w = arg;
    bt_grammar *alone = grammar(w->set, NULL);
    GrammarHold hold[2] = {{0}};
    float logits[2][N], peak[2][WORDS];
    uint32_t at = w->seed;
    grammar_hold(&hold[0], alone);
    grammar_hold(&hold[1], w->ahead);
    grammar_foresee(&hold[1], w->seed % 2 ? AHEAD_SET : AHEAD_WIDE);
    w->same = true;
    for (int step = 0; step < 60 && w->same; step++) {
        if (step % 3 == 0) nap(200); /* the other thread may be first, or not */
        bool wide = grammar_wide(&hold[1]);
        for (int k = 0; k < 2; k++) look(&hold[k], logits[k], peak[k]);
        w->same = !memcmp(logits[0], logits[1], sizeof logits[0]) && !grammar_wide(&hold[1]);
        at = at * 1664525u + 1013904223u + wide;
        int id = (int)(at >> 8) % N, tries = 0;
        while (logits[0][id] == -INFINITY && tries++ < N) id = (id + 1) % N;
        if (tries >= N) break;
        for (int k = 0; k < 2; k++) grammar_advance(&hold[k], id);
    }
    for (int k = 0; k < 2; k++) grammar_release(&hold[k]);
    bt_grammar_close(&alone);
    return NULL;
}

static void sets_made_ahead_are_the_same(void **state)
{
    (void)state;
    seed = 11;
    int64_t live = mem_live();
    TokenSet *set = tokens();
    Aside *aside = aside_open();
    for (int round = 0; round < 8; round++) {
        pthread_t thread[4];
        Walker w[4];
        bt_grammar *g = grammar(set, aside);
        for (int i = 0; i < 4; i++) {
            w[i] = (Walker){set, g, 77u * (uint32_t)round + (uint32_t)i, false};
            assert_int_equal(pthread_create(&thread[i], NULL, walk, &w[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(thread[i], NULL);
            assert_true(w[i].same);
        }
        bt_grammar_close(&g);
    }
    aside_close(&aside);
    token_set_close(&set);
    assert_int_equal(mem_live(), live);
}

/* Closed while the other thread is at work for it. */
static void grammars_close_at_any_time(void **state)
{
    (void)state;
    seed = 5;
    TokenSet *set = tokens();
    Aside *aside = aside_open();
    for (int round = 0; round < 60; round++) {
        bt_grammar *g = grammar(set, aside);
        GrammarHold hold = {0};
        grammar_hold(&hold, g);
        grammar_foresee(&hold, AHEAD_SET);
        if (round % 3) nap(round);
        grammar_release(&hold);
        bt_grammar_close(&g);
    }
    aside_close(&aside);
    token_set_close(&set);
}

static void no_memory(void **state)
{
    (void)state;
    mem_fail_at(1);
    Aside *aside = aside_open();
    mem_fail_at(0);
    assert_null(aside);
    aside_close(&aside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_once_a_wish),
        cmocka_unit_test(dropped_jobs_do_not_run),
        cmocka_unit_test(sets_made_ahead_are_the_same),
        cmocka_unit_test(grammars_close_at_any_time),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
