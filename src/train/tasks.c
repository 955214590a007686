/* Reading tasks and judging answers (see tasks.h). */
#include "train/tasks.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static const char *const kinds[] = {"exact", "choice", "tool_call", "perplexity"};

const char *task_kind_name(TaskKind kind)
{
    return kinds[kind];
}

/* ---- one line ---- */

/* Days from 1 January 1970 (the proleptic Gregorian calendar). */
static int64_t days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t in_era = y - era * 400, in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719469;
}

/* "2026-11-21", with "T17:05" or " 17:05" behind it or not. */
static bool read_time(const char *text, int64_t *out)
{
    int year, month, day, hour = 12, minute = 0, used = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3) return false;
    const char *rest = text + used;
    if (*rest && (strchr("T ", *rest) == NULL || sscanf(rest + 1, "%2d:%2d", &hour, &minute) != 2))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1970) return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    *out = days(year, month, day) * 86400 + hour * 3600 + minute * 60;
    return true;
}

static bool all_strings(const json_t *list, size_t least)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(list) || json_array_size(list) < least) return false;
    json_array_foreach(list, i, item) if (!json_is_string(item)) return false;
    return true;
}

static bt_status read_expect(Task *t, bt_error *err)
{
    json_t *expect = json_object_get(t->object, "expect");
    if (json_is_string(expect)) {
        json_t *list = json_pack("[O]", expect);
        if (!list || json_object_set_new(t->object, "expect", list))
            return bt_fail_memory(err, "a task", 1);
        expect = list;
    }
    t->expect = expect;
    if ((!expect && t->kind == TASK_CALL) || all_strings(expect, 1)) return BT_OK;
    return bt_fail(err, BT_E_FORMAT, "expect must be a text or a list of texts");
}

static bt_status read_calls(Task *t, bt_error *err)
{
    size_t i;
    const json_t *call;
    t->calls = json_object_get(t->object, "calls");
    if (!json_is_array(t->calls))
        return bt_fail(err, BT_E_FORMAT, "calls must be a list (empty: no call is right)");
    json_array_foreach(t->calls, i, call)
    {
        if (!json_is_string(json_object_get(call, "name")) ||
            !json_is_object(json_object_get(call, "arguments")))
            return bt_fail(err, BT_E_FORMAT, "calls[%zu] needs a name and arguments (an object)",
                           i);
    }
    return read_expect(t, err);
}

static bt_status read_choices(Task *t, bt_error *err)
{
    const json_t *answer = json_object_get(t->object, "answer");
    t->choices = json_object_get(t->object, "choices");
    if (!all_strings(t->choices, 2))
        return bt_fail(err, BT_E_FORMAT, "choices must be a list of two texts or more");
    json_int_t n = json_integer_value(answer);
    if (!json_is_integer(answer) || n < 0 || (size_t)n >= json_array_size(t->choices))
        return bt_fail(err, BT_E_FORMAT, "answer must be the number of a choice, from 0");
    t->answer = (int32_t)n;
    return BT_OK;
}

static bt_status read_prompt(Task *t, bt_error *err)
{
    size_t i;
    const json_t *m, *text = json_object_get(t->object, "text");
    t->messages = json_object_get(t->object, "messages");
    if (t->messages && (!json_is_array(t->messages) || !json_array_size(t->messages)))
        return bt_fail(err, BT_E_FORMAT, "messages must be a list with messages in it");
    json_array_foreach(t->messages, i, m)
    {
        if (!json_is_string(json_object_get(m, "role")))
            return bt_fail(err, BT_E_FORMAT, "messages[%zu] has no role", i);
    }
    if (t->messages) return BT_OK;
    if (!text) text = json_object_get(t->object, "prompt");
    if (!json_is_string(text))
        return bt_fail(err, BT_E_FORMAT, "there must be messages, or a text");
    t->text = (Span){json_string_value(text), json_string_length(text)};
    return BT_OK;
}

static bt_status read_rest(Task *t, bt_error *err)
{
    const json_t *now = json_object_get(t->object, "now");
    json_t *tools = json_object_get(t->object, "tools");
    t->group = json_string_value(json_object_get(t->object, "group"));
    t->variables = json_object_get(t->object, "chat_template_kwargs");
    t->tools = json_array_size(tools) ? tools : NULL;
    if (tools && !json_is_array(tools)) return bt_fail(err, BT_E_FORMAT, "tools must be a list");
    if (t->variables && !json_is_object(t->variables))
        return bt_fail(err, BT_E_FORMAT, "chat_template_kwargs must be an object");
    if (now && (!json_is_string(now) || !read_time(json_string_value(now), &t->now)))
        return bt_fail(err, BT_E_FORMAT, "now must be a time as 2026-11-21T17:05");
    return BT_OK;
}

static bt_status read_task(Task *t, bt_error *err)
{
    const char *kind = json_string_value(json_object_get(t->object, "kind"));
    size_t k = 0;
    while (k < 4 && (!kind || strcmp(kind, kinds[k]) != 0)) k++;
    if (k == 4)
        return bt_fail(err, BT_E_FORMAT,
                       "kind must be exact, choice, tool_call or perplexity%s%.40s",
                       kind ? ", not " : "", kind ? kind : "");
    t->kind = (TaskKind)k;
    bt_status status = read_prompt(t, err);
    if (!status) status = read_rest(t, err);
    if (!status && t->kind == TASK_EXACT) status = read_expect(t, err);
    if (!status && t->kind == TASK_CALL) status = read_calls(t, err);
    if (!status && t->kind == TASK_CHOICE) status = read_choices(t, err);
    return status;
}

/* ---- the file ---- */

static bt_status add_line(Tasks *tasks, Span line, uint64_t number, bt_error *err)
{
    json_error_t fault;
    if (tasks->n == tasks->capacity) {
        size_t capacity = 2 * tasks->capacity + 64;
        Task *items =
            tasks->n == TASKS_MOST ? NULL : mem_realloc(tasks->items, capacity * sizeof *items);
        if (!items && tasks->n == TASKS_MOST)
            return bt_fail(err, BT_E_LIMIT, "over %d tasks", TASKS_MOST);
        if (!items) return bt_fail_memory(err, "the tasks", capacity * sizeof *items);
        tasks->items = items;
        tasks->capacity = capacity;
    }
    Task *t = &tasks->items[tasks->n];
    *t = (Task){.object = json_loadb(line.data, line.size, 0, &fault), .line = number};
    bt_status status = BT_OK;
    if (!t->object)
        status = bt_fail(err, BT_E_FORMAT, "no JSON: byte %d: %.200s", fault.position, fault.text);
    else if (!json_is_object(t->object))
        status = bt_fail(err, BT_E_FORMAT, "a JSON object is needed, one a line");
    if (!status) status = read_task(t, err);
    if (status)
        json_decref(t->object);
    else
        tasks->n++;
    return status;
}

/* Tasks without an id are named by their line. */
static bt_status name_tasks(Tasks *tasks, bt_error *err)
{
    for (size_t i = 0; i < tasks->n; i++) {
        Task *t = &tasks->items[i];
        t->id = json_string_value(json_object_get(t->object, "id"));
        if (t->id) continue;
        char name[32];
        snprintf(name, sizeof name, "line %llu", (unsigned long long)t->line);
        if (json_object_set_new(t->object, "id", json_string(name)))
            return bt_fail_memory(err, "the tasks", sizeof name);
        t->id = json_string_value(json_object_get(t->object, "id"));
    }
    return BT_OK;
}

bt_status tasks_read(const char *name, Span text, Tasks *out, bt_error *err)
{
    const char *p = text.data, *end = p + text.size;
    uint64_t faults = 0;
    bt_error first = {0};
    *out = (Tasks){0};
    for (uint64_t number = 1; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        Span line = {p, (size_t)((stop ? stop : end) - p)};
        bt_error why = {0};
        p = stop ? stop + 1 : end;
        while (line.size && strchr(" \t\r", line.data[line.size - 1])) line.size--;
        if (!line.size) continue;
        bt_status status = add_line(out, line, number, &why);
        if (status && status != BT_E_FORMAT) {
            tasks_close(out);
            return bt_fail(err, status, "%s:%llu: %s", name, (unsigned long long)number, why.text);
        }
        if (!status) continue;
        log_line(BT_LOG_WARN, "%s:%llu: %s", name, (unsigned long long)number, why.text);
        if (faults++ == 0)
            bt_fail(&first, status, "%s:%llu: %s", name, (unsigned long long)number, why.text);
    }
    bt_status status = name_tasks(out, err);
    if (!status && faults)
        status = bt_fail(err, BT_E_FORMAT, "%s (%llu lines are wrong)", first.text,
                         (unsigned long long)faults);
    if (!status && !out->n) status = bt_fail(err, BT_E_FORMAT, "%s: there is no task in it", name);
    if (status) tasks_close(out);
    return status;
}

void tasks_close(Tasks *tasks)
{
    for (size_t i = 0; i < tasks->n; i++) json_decref(tasks->items[i].object);
    mem_free(tasks->items);
    *tasks = (Tasks){0};
}

/* ---- judging ---- */

/* Depth is bounded by what jansson reads. */
static bool same_value(const json_t *a, const json_t *b)
{
    size_t i;
    const char *key;
    json_t *value;
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b)) return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        json_array_foreach(a, i, value) if (!same_value(value, json_array_get(b, i))) return false;
        return true;
    }
    if (!json_is_object(a)) return json_equal(a, b);
    if (json_object_size(a) != json_object_size(b)) return false;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (!other || !same_value(value, other)) return false;
    }
    return true;
}

static bool named(const json_t *call, const char *const *names, size_t n)
{
    const char *name = json_string_value(json_object_get(call, "name"));
    for (size_t i = 0; name && i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static bool same_call(const json_t *want, const json_t *made, bool by_name)
{
    const char *a = json_string_value(json_object_get(want, "name"));
    const char *b = json_string_value(json_object_get(made, "name"));
    if (!a || !b || strcmp(a, b) != 0) return false;
    const json_t *arguments = json_object_get(made, "arguments");
    return by_name || (arguments && same_value(json_object_get(want, "arguments"), arguments));
}

/* Pairs each with one not yet taken; which of two equal ones is all the same. */
static bool pair_up(const json_t *want, const json_t *made, bool all_by_name,
                    const char *const *by_name, size_t n_by_name)
{
    enum { MOST = 64 };
    bool taken[MOST] = {false};
    size_t i, j, n = json_array_size(want);
    const json_t *call;
    if (n != json_array_size(made) || n > MOST) return false;
    json_array_foreach(want, i, call)
    {
        bool loose = all_by_name || named(call, by_name, n_by_name);
        for (j = 0; j < n; j++)
            if (!taken[j] && same_call(call, json_array_get(made, j), loose)) break;
        if (j == n) return false;
        taken[j] = true;
    }
    return true;
}

bool task_calls_right(const json_t *want, const json_t *made, const char *const *by_name,
                      size_t n_by_name)
{
    return pair_up(want, made, false, by_name, n_by_name);
}

bool task_names_right(const json_t *want, const json_t *made)
{
    return pair_up(want, made, true, NULL, 0);
}

static Span trimmed(Span s)
{
    while (s.size && s.data[s.size - 1] && strchr(" \t\r\n", s.data[s.size - 1])) s.size--;
    for (; s.size && *s.data && strchr(" \t\r\n", *s.data); s.size--) s.data++;
    return s;
}

bool task_text_right(const json_t *expect, Span answer)
{
    size_t i;
    const json_t *text;
    json_array_foreach(expect, i, text)
    {
        Span want = {json_string_value(text), json_string_length(text)};
        if (span_equal(trimmed(want), trimmed(answer))) return true;
    }
    return false;
}
