/* Tools that look for what is stored and change it: list, find, cancel, change, undo (see tools.h).
 */
#include <string.h>

#include "agent/civil.h"
#include "agent/tools.h"
#include "base/mem.h"

/* ---- looking ---- */

/* Of repetitions the time within [from, before), those without one are dropped. */
static void place_repetitions(Items *items, int64_t from, int64_t before)
{
    size_t kept = 0;
    for (size_t i = 0; i < items->n; i++) {
        Item item = items->list[i];
        Every every;
        bool keep = true;
        if (item.every[0] && when_every(span_of(item.every), &every)) {
            int64_t lasts = item.until > item.at ? item.until - item.at : 0;
            int64_t at = item.at >= from ? item.at : when_next(&every, item.first, from - 1);
            keep = at < before;
            item.at = at;
            if (lasts) item.until = at + lasts;
        }
        if (keep)
            items->list[kept++] = item;
        else
            mem_free(item.text);
    }
    items->n = kept;
}

/* By day, if one was said: `wanted` and *day filled; false: not a day. */
static bool read_day(const ToolCall *call, ArgumentId id, Wanted *wanted, DaySpan *day)
{
    Span text = call->said[id];
    if (!text.data) return true;
    if (!when_day(text, clock_day(call->now), call->agent->options.month_first, day)) return false;
    wanted->from = clock_at(day->first, 0);
    wanted->before = clock_at(day->last + 1, 0);
    return true;
}

static void day_words(Buf *out, Span said, const DaySpan *day, int64_t now)
{
    if (day->first != day->last) {
        buf_char(out, ' ');
        buf_add(out, said.data, said.size);
        return;
    }
    buf_char(out, ' ');
    when_words(out, clock_at(day->first, 0), true, now);
}

bt_status tool_list(ToolCall *call, bt_error *err)
{
    Items items = {0};
    ItemKind kind = ITEM_NOTE;
    DaySpan day = {0};
    bool all = span_is(call->said[ARG_KIND], "all"), by_day = tool_has(call, ARG_DAY);
    if (!all && !kind_of(call->said[ARG_KIND], &kind))
        return tool_wrong(call, "I did not understand what to list.");
    Wanted wanted = {.kinds = all ? ITEM_ALL_KINDS : 1u << kind};
    if (!read_day(call, ARG_DAY, &wanted, &day)) return tool_wrong_when(call, WHEN_BAD_DAY);
    if (by_day) wanted.kinds &= ~(1u << ITEM_NOTE);
    if (by_day && kind == ITEM_NOTE && !all) { /* notes have no day */
        wanted = (Wanted){.kinds = 1u << ITEM_NOTE};
        by_day = false;
    }
    if (by_day) wanted.done = day.last < clock_day(call->now);
    bt_status status = itemdb_list(call->agent->store, &wanted, &items, err);
    if (status == BT_OK) {
        int64_t from = by_day ? wanted.from : clock_at(clock_day(call->now), 0);
        place_repetitions(&items, from, by_day ? wanted.before : INT64_MAX);
        if (!by_day) { /* what is over is not listed unless its day is asked for */
            size_t kept = 0;
            for (size_t i = 0; i < items.n; i++) {
                Item item = items.list[i];
                bool over = item.kind == ITEM_EVENT && item.at < from && item.until < from;
                if (over)
                    mem_free(item.text);
                else
                    items.list[kept++] = item;
            }
            items.n = kept;
        }
        const char *many = all ? by_day ? "plans" : "entries" : kind_many(kind);
        if (items.n == 0) {
            buf_printf(call->answer, "You have no %s", many);
            if (by_day) day_words(call->answer, call->said[ARG_DAY], &day, call->now);
            buf_char(call->answer, '.');
            call->outcome = AGENT_NOTHING;
        } else {
            buf_text(call->answer, all ? by_day ? "Your plans" : "All that is stored" : "Your ");
            if (!all) buf_text(call->answer, many);
            if (by_day) day_words(call->answer, call->said[ARG_DAY], &day, call->now);
            buf_char(call->answer, ':');
            show_items(call, &items);
        }
    }
    items_close(&items);
    return status;
}

/* All of the words, else some of them. */
static bt_status search(ToolCall *call, Wanted *wanted, const char *words, Items *out,
                        bt_error *err)
{
    wanted->words = words;
    wanted->some = false;
    bt_status status = itemdb_list(call->agent->store, wanted, out, err);
    if (status != BT_OK || out->n) return status;
    wanted->some = true;
    return itemdb_list(call->agent->store, wanted, out, err);
}

bt_status tool_find(ToolCall *call, bt_error *err)
{
    Items items = {0};
    Buf text = {0};
    ItemKind kind = ITEM_NOTE;
    bool all = span_is(call->said[ARG_KIND], "all");
    if (!all && !kind_of(call->said[ARG_KIND], &kind))
        return tool_wrong(call, "I did not understand where to look.");
    Wanted wanted = {.kinds = all ? ITEM_ALL_KINDS : 1u << kind};
    clean_text(&text, call->said[ARG_TEXT]);
    bt_status status = text.failed ? bt_fail_memory(err, "the search", 0)
                                   : search(call, &wanted, text.data, &items, err);
    if (status == BT_OK && items.n == 0) {
        buf_printf(call->answer, "I found no %s about '%s'.", all ? "entries" : kind_many(kind),
                   text.data);
        call->outcome = AGENT_NOTHING;
    } else if (status == BT_OK) {
        place_repetitions(&items, call->now, INT64_MAX);
        buf_printf(call->answer, "Found:");
        show_items(call, &items);
        if (items.n == 1) call->agent->last[items.list[0].kind] = items.list[0].id;
    }
    buf_close(&text);
    items_close(&items);
    return status;
}

/* ---- which one is meant ---- */

static void keep_only(Items *items, size_t i)
{
    Item item = items->list[i];
    items->list[i] = items->list[0];
    items->list[0] = item;
    while (items->n > 1) mem_free(items->list[--items->n].text);
}

/* An exact text counts more than one that holds the words. */
static void prefer_exact(Items *items, const char *text)
{
    for (size_t i = 0; i < items->n; i++) {
        if (strcmp(items->list[i].text, text) != 0) continue;
        for (size_t k = i + 1; k < items->n; k++)
            if (strcmp(items->list[k].text, text) == 0) return;
        keep_only(items, i);
        return;
    }
}

/* Drops what is not at that time of day. */
static void only_at(Items *items, const TimeOfDay *time)
{
    size_t kept = 0;
    for (size_t i = 0; i < items->n; i++) {
        Item item = items->list[i];
        Civil c = clock_local(item.at);
        int minute = c.hour * 60 + c.minute, want = time->minute % 1440;
        bool fits =
            !item.whole_day && (minute == want || (time->either && minute % 720 == want % 720));
        if (fits)
            items->list[kept++] = item;
        else
            mem_free(item.text);
    }
    items->n = kept;
}

static bt_status by_number(ToolCall *call, ItemKind kind, Items *out, bt_error *err)
{
    Agent *a = call->agent;
    Items list = {0};
    size_t number = (size_t)call->number - 1;
    if (call->number < 1 || call->number > LISTED_MOST) return BT_OK;
    if (number < a->n_listed && a->listed[number].kind == kind)
        return itemdb_get(a->store, a->listed[number].id, out, err);
    const Wanted wanted = {.kinds = 1u << kind}; /* no list was shown: as one would number it */
    bt_status status = itemdb_list(a->store, &wanted, &list, err);
    if (status == BT_OK && number < list.n)
        status = itemdb_get(a->store, list.list[number].id, out, err);
    items_close(&list);
    return status;
}

/* What was spoken of last, else what was made last. */
static bt_status the_last(ToolCall *call, ItemKind kind, bool open, Items *out, bt_error *err)
{
    Agent *a = call->agent;
    if (a->last[kind]) {
        bt_status status = itemdb_get(a->store, a->last[kind], out, err);
        if (status != BT_OK || (out->n && (!open || out->list[0].state == ITEM_OPEN)))
            return status;
        items_close(out);
    }
    return itemdb_latest(a->store, kind, out, err);
}

typedef struct Which {
    ArgumentId day, time; /* which arguments name it */
    bool open;            /* only what is not over */
} Which;

/* The items that are meant. False after an answer (or an error in *status): none, or one of several
 * is to be chosen and `many` is not wanted. */
static bool the_ones(ToolCall *call, ItemKind kind, Which which, Items *out, bool *all,
                     bt_status *status, bt_error *err)
{
    DaySpan day;
    TimeOfDay time;
    Buf text = {0};
    Wanted wanted = {.kinds = 1u << kind};
    bool named = tool_has(call, ARG_TEXT);
    bool by_day = tool_has(call, which.day) && read_day(call, which.day, &wanted, &day);
    bool by_time = tool_has(call, which.time) && when_time(call->said[which.time], &time);
    *all = named && span_is(call->said[ARG_TEXT], "all");
    clean_text(&text, call->said[ARG_TEXT]);
    if (text.failed) {
        *status = bt_fail_memory(err, "the text", 0);
        return false;
    }
    if (tool_has(call, ARG_NUMBER))
        *status = by_number(call, kind, out, err);
    else if (*all || (!text.size && (by_day || by_time)))
        *status = itemdb_list(call->agent->store, &wanted, out, err);
    else if (text.size)
        *status = search(call, &wanted, text.data, out, err);
    else
        *status = the_last(call, kind, which.open, out, err);
    if (*status == BT_OK && by_day && wanted.before)
        place_repetitions(out, wanted.from, wanted.before);
    if (*status == BT_OK && by_time) only_at(out, &time);
    if (*status == BT_OK && text.size && !*all) prefer_exact(out, text.data);
    if (*status == BT_OK && out->n == 0) {
        buf_printf(call->answer, "I found no %s", kind_name(kind));
        if (text.size && !*all) buf_printf(call->answer, " '%s'", text.data);
        buf_text(call->answer, "; nothing was changed.");
        call->outcome = AGENT_NOTHING;
    }
    buf_close(&text);
    if (*status != BT_OK || out->n == 0) return false;
    if (out->n == 1 || *all) return true;
    buf_text(call->answer, "Which one?");
    show_items(call, out);
    call->outcome = AGENT_WHICH;
    return false;
}

/* ---- changing ---- */

static bt_status change_all(ToolCall *call, const Items *items, bt_error *err)
{
    Store *store = call->agent->store;
    bt_status status = itemdb_begin(store, err);
    if (status != BT_OK) return status;
    for (size_t i = 0; i < items->n && status == BT_OK; i++)
        status = itemdb_change(store, &items->list[i], err);
    if (status == BT_OK) return itemdb_end(store, true, err);
    itemdb_end(store, false, NULL);
    return status;
}

bt_status tool_cancel(ToolCall *call, bt_error *err)
{
    Items items = {0};
    ItemKind kind;
    bool all;
    bt_status status = BT_OK;
    if (!kind_of(call->said[ARG_KIND], &kind))
        return tool_wrong(call, "I did not understand what to cancel.");
    if (!the_ones(call, kind, (Which){ARG_DAY, ARG_TIME, true}, &items, &all, &status, err))
        goto done;
    for (size_t i = 0; i < items.n; i++) items.list[i].state = ITEM_CANCELLED;
    status = change_all(call, &items, err);
    if (status != BT_OK) goto done;
    if (items.n == 1) {
        call->agent->last[kind] = items.list[0].id;
        buf_printf(call->answer, "Cancelled the %s", kind_name(kind));
        if (items.list[0].text[0]) buf_printf(call->answer, " '%s'", items.list[0].text);
        buf_char(call->answer, '.');
    } else {
        buf_printf(call->answer, "Cancelled %zu %s; \"undo\" brings them back.", items.n,
                   kind_many(kind));
    }
done:
    items_close(&items);
    return status;
}

/* To the new time. What was not said stays: a day alone keeps the time, a time alone the day. */
static WhenResult move(const ToolCall *call, Item *item)
{
    Said said = {
        .in = call->said[ARG_IN], .day = call->said[ARG_DAY], .time = call->said[ARG_TIME]};
    Civil old = clock_local(item->at);
    int64_t now = call->now, lasts = item->until > item->at ? item->until - item->at : 0;
    Moment moment;
    DaySpan day;
    TimeOfDay time;
    int default_minute = item->whole_day ? 0 : old.hour * 60 + old.minute;
    if (said.time.data && !said.day.data && item->at > now && item->kind != ITEM_TIMER &&
        when_time(said.time, &time)) {
        /* it keeps its day; of an hour of either half the one that is nearer */
        int64_t on = clock_day(item->at), at = clock_at(on, time.minute);
        int64_t other = clock_at(on, (time.minute + 720) % 1440);
        int64_t d = at > item->at ? at - item->at : item->at - at;
        int64_t e = other > item->at ? other - item->at : item->at - other;
        moment = (Moment){.at = time.either && !item->whole_day && e < d ? other : at};
        if (time.either && item->whole_day && time.minute % 720 < 7 * 60)
            moment.at = clock_at(on, time.minute % 720 + 720);
    } else {
        WhenResult result =
            when_resolve(&said, now, call->agent->options.month_first, default_minute, &moment);
        if (result != WHEN_GOOD) return result;
        if (said.day.data && !said.time.data) {
            when_day(said.day, clock_day(now), call->agent->options.month_first, &day);
            if (moment.at <= now && !item->whole_day) return WHEN_PAST;
            moment.whole_day = item->whole_day;
        }
    }
    item->at = item->first = moment.at;
    item->whole_day = moment.whole_day;
    item->until = lasts ? moment.at + lasts : 0;
    item->state = ITEM_OPEN;
    return WHEN_GOOD;
}

bt_status tool_change(ToolCall *call, bt_error *err)
{
    Items items = {0};
    ItemKind kind;
    bool all;
    bt_status status = BT_OK;
    if (!kind_of(call->said[ARG_KIND], &kind) || kind == ITEM_NOTE)
        return tool_wrong(call, "I did not understand what to change.");
    if (!the_ones(call, kind, (Which){ARG_FROM, ARG_FROM, false}, &items, &all, &status, err))
        goto done;
    if (all && items.n > 1) {
        status = tool_wrong(call, "I can move one at a time; which one?");
        goto done;
    }
    WhenResult result = move(call, &items.list[0]);
    if (result != WHEN_GOOD) {
        status = tool_wrong_when(call, result);
        goto done;
    }
    status = change_all(call, &items, err);
    if (status != BT_OK) goto done;
    call->agent->last[kind] = items.list[0].id;
    buf_text(call->answer, "Changed: ");
    item_words(call->answer, &items.list[0], call->now);
done:
    items_close(&items);
    return status;
}

bt_status tool_undo(ToolCall *call, bt_error *err)
{
    Items items = {0};
    bt_status status = itemdb_undo(call->agent->store, &items, err);
    if (status == BT_OK && items.n == 0) {
        buf_text(call->answer, "There is nothing to take back.");
        call->outcome = AGENT_NOTHING;
    } else if (status == BT_OK && items.n == 1) {
        const Item *item = &items.list[0];
        bool gone = item->state == ITEM_CANCELLED;
        buf_text(call->answer, gone ? "Taken back: " : "As before: ");
        item_words(call->answer, item, call->now);
        call->agent->last[item->kind] = gone ? 0 : item->id;
    } else if (status == BT_OK) {
        buf_text(call->answer, "As before:");
        show_items(call, &items);
    }
    items_close(&items);
    return status;
}
