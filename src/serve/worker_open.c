/* A worker's core opened and closed (see worker.h). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/worker_inner.h"

enum { DEFAULT_RUNNING = 16 };

static bool copy(const char *text, char **out)
{
    *out = text ? mem_strdup(text) : NULL;
    return *out || !text;
}

static bool copy_stops(Worker *w, const WorkerModel *m)
{
    for (size_t i = 0; i < m->n_stops && i < API_MAX_STOPS; i++) {
        char *text = mem_strdup(m->stops[i]);
        if (!text) return false;
        w->stops[i] = (ApiText){text, strlen(text)};
        w->defaults.n_stops = i + 1;
    }
    return true;
}

static bt_status open_model(Worker *w, const WorkerModel *m, bt_error *err)
{
    const bt_model_options options = {.n_threads = m->n_threads,
                                      .cache_dir = m->cache_dir,
                                      .no_cache = !m->cache_dir || access(m->path, F_OK) != 0,
                                      .progress = m->progress,
                                      .progress_user = m->progress_user};
    bt_status status = bt_model_open(m->path, &options, &w->model, err);
    if (status) return status;
    w->info = bt_model_describe(w->model);
    w->embedding = bt_model_embedding(w->model);
    w->rank = rank_of(w->model);
    w->fills = fim_find(w->model, &w->fim);
#ifdef BANTAM_AGENT
    w->assistant = worker_is_assistant(w->model);
#endif
    size_t n_stops = w->defaults.n_stops;
    w->defaults = m->defaults;
    w->defaults.n_stops = n_stops;
    w->defaults.n_vocab = w->info.n_vocab;
    w->defaults.system = w->system;
    w->defaults.messages = w->messages;
    w->defaults.stops = w->stops;
    if (w->assistant && !(w->defaults.sampling.temperature > 0)) w->defaults.sampling.greedy = true;
    return BT_OK;
}

static bool keep(const char *text, char **out)
{
    *out = *text ? mem_strdup(text) : NULL;
    return *out || !*text;
}

/* What two conversations that differ in their last character have in common at the end is what the
 * template writes there; what it leaves out of that where nobody is to answer opens the answer. */
static bt_status find_end(Worker *w, bt_think think)
{
    static const char *const messages[] = {"[{\"role\": \"user\", \"content\": \"a\"}]",
                                           "[{\"role\": \"user\", \"content\": \"b\"}]"};
    char *text[3] = {NULL, NULL, NULL};
    bt_status status = BT_OK;
    for (int i = 0; i < 3 && !status; i++) {
        const bt_chat_request request = {
            .messages = messages[i % 2], .think = think, .generation = i < 2};
        status = bt_chat_apply(w->chat, &request, NULL, NULL, &text[i], NULL);
    }
    if (!status) {
        size_t a = strlen(text[0]), b = strlen(text[1]), n = 0, same = 0;
        while (n < a && n < b && text[0][a - 1 - n] == text[1][b - 1 - n]) n++;
        while (text[0][same] && text[0][same] == text[2][same]) same++;
        if (!keep(text[0] + a - n, &w->ends[think]) || !keep(text[0] + same, &w->opens[think]))
            status = BT_E_MEMORY;
    }
    for (int i = 0; i < 3; i++) bt_free(text[i]);
    return status == BT_E_MEMORY ? status : BT_OK; /* else it is a help that is missing */
}

static bt_status open_chat(Worker *w, const WorkerModel *m, bt_error *err)
{
    const bt_chat_options options = {.name = m->template_name, .jinja = m->jinja};
    bt_error why = {0};
    bt_status status = bt_chat_open(w->model, &options, &w->chat, &why);
    if (status == BT_E_MEMORY) return bt_fail(err, status, "%s", why.text);
    snprintf(w->chat_error, sizeof w->chat_error, "%s", status ? why.text : "");
    for (int think = 0; think < 3 && !status; think++)
        if (find_end(w, (bt_think)think) == BT_E_MEMORY)
            return bt_fail_memory(err, "the template's end", 0);
    return BT_OK;
}

static bt_status open_adapters(Worker *w, const WorkerModel *m, bt_error *err)
{
    const bt_adapter_options options = {.any_base = m->any_base};
    w->adapters = mem_zalloc(m->n_adapters + 1, sizeof *w->adapters);
    if (!w->adapters) return bt_fail_memory(err, "adapters", 0);
    for (size_t i = 0; i < m->n_adapters; i++) {
        Adapter *a = &w->adapters[i];
        const WorkerAdapter *from = &m->adapters[i];
        a->scale = from->scale != 0 ? from->scale : 1;
        a->always = from->always;
        if (!copy(from->name, &a->name)) return bt_fail_memory(err, "an adapter's name", 0);
        w->n_adapters++;
        bt_status status = bt_adapter_open(w->model, from->path, &options, &a->adapter, err);
        if (status) return status;
    }
    return BT_OK;
}

/* Memory for steps; an encoder's is taken when the first text comes. */
static bt_status open_steps(Worker *w, const WorkerModel *m, bt_error *err)
{
    w->kv = m->kv;
    w->memory_limit = m->memory_limit;
    if (w->embedding.embeds) {
        w->n_ctx = m->n_ctx > 0 && m->n_ctx < w->info.n_ctx_train ? m->n_ctx : w->info.n_ctx_train;
        return model_prepare(w->model, err);
    }
    SchedOptions options = {.n_ctx = m->n_ctx,
                            .n_running = m->n_running > 0 ? m->n_running : DEFAULT_RUNNING,
                            .n_batch = m->n_batch,
                            .kv = m->kv,
                            .memory_limit = m->memory_limit,
                            .n_queue = m->n_queue,
                            .spill_dir = m->spill_dir,
                            .spill_bytes = m->spill_bytes};
    bt_status status = sched_open(w->model, &options, &w->sched, err);
    if (status == BT_E_MEMORY && m->n_running < 1) { /* nobody named a number: as many as can be */
        options.n_running = 0;
        status = sched_open(w->model, &options, &w->sched, err);
    }
    if (status) return status;
    const SchedStats stats = sched_stats(w->sched);
    w->n_ctx = stats.n_ctx;
    w->n_running = options.n_running ? options.n_running : stats.n_sequences;
    return BT_OK;
}

/* The first grammar of a model sorts its vocabulary, which takes a moment: not in a request's time.
 */
static bt_status warm_grammars(Worker *w, bt_error *err)
{
    bt_grammar *any = NULL;
    bt_status status = grammar_cache_open(w->model, 0, 0, &w->grammars, err);
    if (status || !w->sched || strcmp(w->info.vocab_kind, "none") == 0) return status;
    bt_error why = {0};
    status = bt_grammar_open(w->model, BT_GRAMMAR_GBNF, "root ::= \"a\"", 12, NULL, &any, &why);
    bt_grammar_close(&any);
    return status == BT_E_MEMORY ? bt_fail(err, status, "%s", why.text) : BT_OK;
}

static bt_status open_all(Worker *w, const WorkerModel *m, bt_error *err)
{
    const ResponsesLimits limits = {.seconds = (double)m->response_seconds};
    if (!copy_stops(w, m) || !copy(m->defaults.messages, &w->messages) ||
        !copy(m->name, &w->name) || !copy(m->jinja, &w->jinja) ||
        !copy(m->template_name, &w->template_name) || !copy(m->defaults.system, &w->system))
        return bt_fail_memory(err, "a worker", 0);
    w->slot = m->slot;
    bt_status status = open_model(w, m, err);
    if (!status) status = open_chat(w, m, err);
    if (!status) status = open_adapters(w, m, err);
    if (!status) status = open_steps(w, m, err);
    if (!status) status = warm_grammars(w, err);
    if (!status) status = responses_open(&limits, &w->responses, err);
    if (!status && !m->one_thread && !long_start(w))
        status = bt_fail(err, BT_E_SYSTEM, "cannot start a thread");
    return status;
}

bt_status worker_open(const WorkerModel *model, const WorkerSink *sink, Worker **out, bt_error *err)
{
    *out = NULL;
    Worker *w = mem_zalloc(1, sizeof *w);
    if (!w) return bt_fail_memory(err, "a worker", sizeof *w);
    w->sink = *sink;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->bell, NULL);
    bt_status status = open_all(w, model, err);
    if (status)
        worker_close(&w);
    else
        *out = w;
    return status;
}

/* Requests get their end: those that run from the scheduler, those for vectors here. */
static void end_all(Worker *w)
{
    long_end(w);
    worker_drain(w);
    if (w->sched) sched_close(&w->sched);
    for (Job *job = w->embed_first; job; job = job->embed.next) atomic_store(&job->cancelled, true);
    while (embed_step(w)) {
    }
}

void worker_close(Worker **worker)
{
    Worker *w = *worker;
    *worker = NULL;
    if (!w) return;
    end_all(w);
    bt_session_close(&w->embedder);
    grammar_cache_close(&w->grammars);
    responses_close(&w->responses);
    for (size_t i = 0; i < w->n_adapters; i++) {
        bt_adapter_close(&w->adapters[i].adapter);
        mem_free(w->adapters[i].name);
    }
    mem_free(w->adapters);
    for (int i = 0; i < 3; i++) {
        mem_free(w->ends[i]);
        mem_free(w->opens[i]);
    }
    bt_chat_close(&w->chat);
    if (w->model) bt_model_close(&w->model);
    mem_free(w->name);
    mem_free(w->jinja);
    mem_free(w->system);
    mem_free(w->messages);
    for (size_t i = 0; i < API_MAX_STOPS; i++) mem_free((char *)(uintptr_t)w->stops[i].text);
    mem_free(w->template_name);
    pthread_cond_destroy(&w->bell);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}
