/* `bantam eval`: a model at tasks (see train/evaluate.h), with sub-totals by group. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/prompt.h"
#include "train/evaluate.h"

typedef struct Total {
    const char *group; /* NULL: all */
    size_t n, judged;  /* judged: those that can be right */
    size_t right, names, cut, by_byte, n_choice, n_call;
    size_t none_wanted, none_made; /* calls where none belongs, none where one does */
    double nll, seconds, first_token;
    uint64_t tokens, scored; /* written, and those of perplexities */
    size_t n_first;
} Total;

typedef struct Report {
    Cli *cli;
    const Tasks *tasks;
    const TaskResult *results;
    Total *totals; /* groups in the order they come; the last is of all */
    size_t n;
} Report;

/* ---- totals ---- */

static void add(Total *s, const Task *t, const TaskResult *r)
{
    s->n++;
    s->seconds += r->seconds;
    if (t->kind == TASK_PERPLEXITY) {
        s->nll += r->nll;
        s->scored += r->tokens;
        return;
    }
    s->judged++;
    s->right += r->right;
    s->tokens += r->tokens;
    if (t->kind == TASK_CHOICE) {
        s->n_choice++;
        s->by_byte += r->chosen_by_byte == t->answer;
        return;
    }
    s->cut += r->cut;
    s->first_token += r->first_token;
    s->n_first++;
    if (t->kind != TASK_CALL) return;
    s->n_call++;
    s->names += r->names;
    s->none_wanted += !json_array_size(t->calls) && json_array_size(r->calls);
    s->none_made += json_array_size(t->calls) && !json_array_size(r->calls);
}

static bool sum_up(Report *p)
{
    p->totals = mem_zalloc(p->tasks->n + 1, sizeof *p->totals);
    if (!p->totals) return false;
    for (size_t i = 0; i < p->tasks->n; i++) {
        const Task *t = &p->tasks->items[i];
        size_t g = 0;
        while (t->group && g < p->n && strcmp(p->totals[g].group, t->group) != 0) g++;
        if (t->group && g == p->n) p->totals[p->n++].group = t->group;
        if (t->group) add(&p->totals[g], t, &p->results[i]);
    }
    for (size_t i = 0; i < p->tasks->n; i++)
        add(&p->totals[p->n], &p->tasks->items[i], &p->results[i]);
    return true;
}

/* ---- as text ---- */

static void print_total(const Total *s)
{
    printf("%-16.16s %6zu", s->group ? s->group : "all", s->n);
    if (s->judged) printf("  %6.2f %%", 100.0 * (double)s->right / (double)s->judged);
    if (s->scored)
        printf("  perplexity %.4f (%llu tokens)", exp(s->nll / (double)s->scored),
               (unsigned long long)s->scored);
    putchar('\n');
}

static int print_text(const Report *p)
{
    const Total *all = &p->totals[p->n];
    printf("%-16s %6s  %8s\n", "group", "tasks", all->judged ? "right" : "");
    for (size_t i = 0; i <= p->n; i++) print_total(&p->totals[i]);
    if (all->n_call)
        printf("calls: %zu tasks; right functions %.2f %%; a call where none belongs %zu, none "
               "where one belongs %zu\n",
               all->n_call, 100.0 * (double)all->names / (double)all->n_call, all->none_wanted,
               all->none_made);
    if (all->n_choice)
        printf("choices: %zu tasks; right by likelihood a byte %.2f %%\n", all->n_choice,
               100.0 * (double)all->by_byte / (double)all->n_choice);
    if (all->cut) printf("%zu answers were cut at --max-tokens or the context\n", all->cut);
    if (all->n_first)
        printf("%.1f s; first token after %.1f ms on average, %llu tokens written\n", all->seconds,
               1000.0 * all->first_token / (double)all->n_first, (unsigned long long)all->tokens);
    return cli_flush();
}

/* What went wrong, one line a task (--verbose). */
static void tell_faults(const Report *p)
{
    for (size_t i = 0; i < p->tasks->n; i++) {
        const Task *t = &p->tasks->items[i];
        const TaskResult *r = &p->results[i];
        if (r->right || t->kind == TASK_PERPLEXITY) continue;
        char *calls = json_array_size(r->calls) ? json_dumps(r->calls, JSON_COMPACT) : NULL;
        if (t->kind == TASK_CHOICE)
            cli_say(p->cli, "%s: chose %d, not %d", t->id, r->chosen, t->answer);
        else
            cli_say(p->cli, "%s: %s%s", t->id, r->answer ? r->answer : "", calls ? calls : "");
        free(calls);
    }
}

/* ---- as JSON ---- */

static json_t *total_json(const Total *s)
{
    json_t *o = json_pack("{s:o,s:I,s:I,s:I,s:f}", "group", json_text(s->group), "tasks",
                          (json_int_t)s->n, "judged", (json_int_t)s->judged, "right",
                          (json_int_t)s->right, "seconds", s->seconds);
    if (s->judged) json_object_set_new(o, "share", json_real((double)s->right / (double)s->judged));
    if (s->n_call) {
        json_object_set_new(o, "right_functions", json_integer((json_int_t)s->names));
        json_object_set_new(o, "calls_unwanted", json_integer((json_int_t)s->none_wanted));
        json_object_set_new(o, "calls_missing", json_integer((json_int_t)s->none_made));
    }
    if (s->n_choice) json_object_set_new(o, "right_by_byte", json_integer((json_int_t)s->by_byte));
    if (s->n_first)
        json_object_set_new(o, "first_token_seconds",
                            json_real(s->first_token / (double)s->n_first));
    if (s->scored) {
        json_object_set_new(o, "scored", json_integer((json_int_t)s->scored));
        json_object_set_new(o, "perplexity", json_real(exp(s->nll / (double)s->scored)));
    }
    return o;
}

static json_t *task_json(const Task *t, const TaskResult *r)
{
    json_t *o = json_pack("{s:s,s:o,s:s,s:f}", "id", t->id, "group", json_text(t->group), "kind",
                          task_kind_name(t->kind), "seconds", r->seconds);
    if (t->kind == TASK_PERPLEXITY) {
        json_object_set_new(o, "nll", json_real(r->nll));
        json_object_set_new(o, "scored", json_integer((json_int_t)r->tokens));
        return o;
    }
    json_object_set_new(o, "right", json_boolean(r->right));
    if (t->kind == TASK_CHOICE) {
        json_object_set_new(o, "chosen", json_integer(r->chosen));
        json_object_set_new(o, "chosen_by_byte", json_integer(r->chosen_by_byte));
        return o;
    }
    json_object_set_new(o, "answer", json_text(r->answer));
    json_object_set_new(o, "calls", r->calls ? json_incref(r->calls) : json_array());
    json_object_set_new(o, "tokens", json_integer((json_int_t)r->tokens));
    json_object_set_new(o, "first_token_seconds", json_real(r->first_token));
    if (r->cut) json_object_set_new(o, "cut", json_true());
    return o;
}

static int print_json(const Report *p, const CliModel *m)
{
    json_t *groups = json_array(), *tasks = json_array();
    for (size_t i = 0; i < p->n; i++) json_array_append_new(groups, total_json(&p->totals[i]));
    for (size_t i = 0; i < p->tasks->n; i++)
        json_array_append_new(tasks, task_json(&p->tasks->items[i], &p->results[i]));
    return json_print(json_pack("{s:o,s:b,s:o,s:o,s:o}", "model", json_text(m->path), "constrained",
                                !opts_flag(&p->cli->opts, OPT_FREE_CALLS), "all",
                                total_json(&p->totals[p->n]), "groups", groups, "tasks", tasks));
}

/* ---- the command ---- */

static int run(Cli *cli, CliModel *m, const Tasks *tasks, const Buf *tools, const Buf *jinja)
{
    const Opts *o = &cli->opts;
    const OptValue *by_name = &o->value[OPT_BY_NAME];
    const bt_session_options session = session_options(cli);
    const char *think = opts_text(o, OPT_EVAL_THINK);
    Progress progress;
    bt_error err = {0};
    size_t n_adapters;
    bt_adapter_use *adapters = adapters_on(&m->adapters, &n_adapters);
    const EvalOptions options = {
        .n_ctx = session.n_ctx,
        .kv = session.kv,
        .max_tokens = (int32_t)opts_int(o, OPT_EVAL_TOKENS),
        .free_calls = opts_flag(o, OPT_FREE_CALLS),
        .tools = tools->data,
        .jinja = jinja->data,
        .think = !think                     ? BT_THINK_DEFAULT
                 : strcmp(think, "on") == 0 ? BT_THINK_ON
                                            : BT_THINK_OFF,
        .by_name = by_name->list,
        .n_by_name = by_name->n,
        .adapters = adapters,
        .n_adapters = n_adapters,
        .progress = progress_update,
        .progress_user = &progress,
    };
    TaskResult *results = mem_zalloc(tasks->n, sizeof *results);
    if (!results || !adapters) {
        mem_free(results);
        mem_free(adapters);
        return cli_fail("not enough memory for %zu tasks", tasks->n);
    }
    progress_start(&progress, cli);
    bt_status status = evaluate(m->model, tasks, &options, results, &err);
    progress_end(&progress);
    Report report = {.cli = cli, .tasks = tasks, .results = results};
    bool summed = status == BT_OK && sum_up(&report);
    int code = CLI_GOOD;
    if (status == BT_E_CANCELLED)
        code = cli_fail("stopped");
    else if (status != BT_OK)
        code = model_fail(m, &err);
    else if (!summed)
        code = cli_fail("not enough memory for %zu tasks", tasks->n);
    if (summed && cli->verbose) tell_faults(&report);
    if (summed) code = opts_flag(o, OPT_JSON) ? print_json(&report, m) : print_text(&report);
    mem_free(report.totals);
    results_close(results, tasks->n);
    mem_free(results);
    mem_free(adapters);
    return code;
}

static void tell(void *user, bt_log_level level, const char *line)
{
    cli_say(user, "%s", line);
}

int cmd_eval(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *file = opts_text(o, OPT_TASKS), *hold = opts_text(o, OPT_HOLD);
    const char *template = opts_text(o, OPT_EVAL_TEMPLATE);
    if (o->n_args)
        return cli_usage(cli, "'%s' is too much; tasks are given with --tasks", *o->args);
    if (!file) return cli_usage(cli, "--tasks FILE is missing");
    CliModel m = {0};
    Buf text = {0}, tools = {0}, jinja = {0};
    Tasks tasks = {0};
    bt_error err = {0};
    int code = read_text(file, true, &text);
    if (code == CLI_GOOD && hold) code = read_text(hold, true, &tools);
    if (code == CLI_GOOD && template) code = read_text(template, true, &jinja);
    if (code == CLI_GOOD) {
        bt_log_set(tell, cli, BT_LOG_WARN);
        Span all = {text.data ? text.data : "", text.size};
        if (tasks_read(file, all, &tasks, &err)) code = cli_fail("%s", err.text);
    }
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){0}, &m);
    if (code == CLI_GOOD) code = run(cli, &m, &tasks, &tools, &jinja);
    tasks_close(&tasks);
    buf_close(&text);
    buf_close(&tools);
    buf_close(&jinja);
    model_close(&m);
    return code;
}
