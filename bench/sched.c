/* What sharing steps gains: bench-sched MODEL.gguf [sequences] [prompt tokens] [answer tokens].
 *
 * Random prompts, answers that do not end. One request alone; then all at once: tokens a second
 * while all answer, over the whole, and the time to the first token. Then a prompt of 2,000 tokens,
 * and a second request that shares them. Last, what drawing the tokens of a step takes: 16
 * sequences, a vocabulary of 131,072, one after another and on two threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/team.h"
#include "engine/sampler.h"
#include "engine/sched.h"

enum { MOST = 256, SHARED = 2000, VOCAB = 131072, DRAWN = 16 };

typedef struct Client {
    double submitted, first, end;
    int n;
    SchedUsage usage;
} Client;

static bt_error err;
static double all_answer; /* when the last of them had its first token */
static int n_started, n_counted;

static void *fail(void)
{
    fprintf(stderr, "bench-sched: %s\n", err.text);
    exit(1);
}

static bool take(void *user, const SchedToken *token)
{
    Client *c = user;
    (void)token;
    if (c->n++ == 0) {
        c->first = os_seconds();
        n_started++;
        all_answer = c->first;
        n_counted = 0;
    }
    n_counted++;
    return true;
}

static void finish(void *user, SchedEnd why, const SchedUsage *usage, const bt_error *e)
{
    Client *c = user;
    c->end = os_seconds();
    c->usage = *usage;
    if (why == SCHED_END_ERROR) err = *e, fail();
}

static void ask(Sched *s, Client *c, const bt_token *prompt, int n, int answer)
{
    SchedRequest r = {.prompt = prompt,
                      .n_prompt = (size_t)n,
                      .n_predict = answer,
                      .n_top = -1,
                      .ignore_eos = true,
                      .sampling = {.seed = 5},
                      .token = take,
                      .end = finish,
                      .user = c};
    *c = (Client){.submitted = os_seconds()};
    if (sched_submit(s, &r, NULL, &err)) fail();
}

static void run(Sched *s)
{
    bool idle = false;
    while (!idle)
        if (sched_step(s, &idle, &err)) fail();
}

static bt_token *words(int n, int n_vocab, unsigned seed)
{
    bt_token *ids = malloc((size_t)n * sizeof *ids);
    srand(seed);
    for (int i = 0; i < n; i++) ids[i] = (bt_token)((unsigned)rand() % (unsigned)n_vocab);
    return ids;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Tokens a second while all answer. */
static double together(Sched *s, int n, int prompt, int answer, int n_vocab)
{
    Client clients[MOST];
    double first[MOST], begun = os_seconds(), end;
    n_started = 0;
    for (int i = 0; i < n; i++) {
        bt_token *ids = words(prompt, n_vocab, (unsigned)(n * 1000 + i));
        ask(s, &clients[i], ids, prompt, answer);
        free(ids);
    }
    run(s);
    end = os_seconds();
    for (int i = 0; i < n; i++) first[i] = clients[i].first - clients[i].submitted;
    qsort(first, (size_t)n, sizeof *first, by_size);
    double rate = (n_counted - 1) / (end - all_answer);
    printf("%d at once: %.1f tokens/s while all answer, %.1f over all; first token %.2f s median, "
           "%.2f s of 95 in 100\n",
           n, rate, n * answer / (end - begun), first[n / 2], first[(n * 95 - 1) / 100]);
    return rate;
}

static void shared_beginning(Sched *s, int n_vocab)
{
    Client a, b;
    bt_token *ids = words(SHARED + 20, n_vocab, 77);
    ask(s, &a, ids, SHARED + 10, 4);
    run(s);
    for (int i = SHARED; i < SHARED + 20; i++) ids[i] = i % 50;
    ask(s, &b, ids, SHARED + 20, 4);
    run(s);
    printf("%d tokens shared of %d: first token after %.1f ms; without: %.0f ms\n", b.usage.cached,
           b.usage.prompt, (b.first - b.submitted) * 1e3, (a.first - a.submitted) * 1e3);
    free(ids);
}

/* ---- drawing ---- */

typedef struct Draw {
    bt_sampler *samplers[DRAWN];
    float *logits;
    TeamQueue queue;
} Draw;

static void draw_some(void *arg, int member, int n_members)
{
    Draw *d = arg;
    int64_t begin, end;
    (void)member;
    (void)n_members;
    while (queue_take(&d->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++)
            bt_sampler_pick(d->samplers[i], d->logits + i * VOCAB);
}

static void drawing(void)
{
    Draw d = {.logits = malloc(sizeof(float) * DRAWN * VOCAB)};
    Team *teams[2] = {team_open(1), team_open(2)};
    SamplerSetup setup = {.n_vocab = VOCAB, .n_history = 64};
    bt_sampler_options o = {.seed = 1};
    double best[2] = {1e9, 1e9};
    for (int i = 0; i < DRAWN; i++)
        if (sampler_core_open(&o, &setup, &d.samplers[i], &err)) fail();
    for (int turn = 0; turn < 40; turn++) {
        for (int64_t i = 0; i < (int64_t)DRAWN * VOCAB; i++)
            d.logits[i] = (float)((i * 2654435761u >> 7) % 20000) * 1e-3f;
        queue_start(&d.queue, DRAWN, 1);
        double begun = os_seconds();
        team_run(teams[turn % 2], draw_some, &d);
        double took = os_seconds() - begun;
        if (took < best[turn % 2]) best[turn % 2] = took;
    }
    printf("drawing for %d sequences of %d logits: %.2f ms on one thread, %.2f ms on two\n", DRAWN,
           VOCAB, best[0] * 1e3, best[1] * 1e3);
    for (int i = 0; i < DRAWN; i++) bt_sampler_close(&d.samplers[i]);
    team_close(teams[0]);
    team_close(teams[1]);
    free(d.logits);
}

static int number(int argc, char **argv, int i, int otherwise)
{
    return i < argc ? (int)strtol(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    int n = number(argc, argv, 2, 16), prompt = number(argc, argv, 3, 128),
        answer = number(argc, argv, 4, 64);
    bt_model *m = NULL;
    Sched *s = NULL;
    bt_model_options mo = {.cache_dir = getenv("BENCH_CACHE")};
    if (argc < 2 || n < 1 || n > MOST || prompt < 1 || answer < 2) {
        fprintf(stderr, "usage: bench-sched MODEL.gguf [sequences] [prompt] [answer]\n");
        return 2;
    }
    SchedOptions o = {.n_ctx = SHARED + 100 > prompt + answer ? SHARED + 100 : prompt + answer,
                      .n_sequences = n,
                      .n_tokens = n * (prompt + answer + 64) + SHARED + 200};
    if (bt_model_open(argv[1], &mo, &m, &err) || sched_open(m, &o, &s, &err)) fail();
    int n_vocab = bt_model_describe(m).n_vocab;
    together(s, 1, 16, 8, n_vocab); /* pages in */
    double one = together(s, 1, prompt, answer, n_vocab),
           all = together(s, n, prompt, answer, n_vocab);
    printf("%d against one: %.2f times the tokens/s\n", n, all / one);
    shared_beginning(s, n_vocab);
    drawing();
    sched_close(&s);
    bt_model_close(&m);
    return 0;
}
