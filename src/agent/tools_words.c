/* Items in words (see tools.h). */
#include <stdio.h>
#include <string.h>

#include "agent/civil.h"
#include "agent/tools.h"

static const struct {
    const char *name, *one, *many;
} kinds[ITEM_KINDS] = {{"reminder", "reminder", "reminders"},
                       {"timer", "timer", "timers"},
                       {"event", "calendar entry", "calendar entries"},
                       {"note", "note", "notes"}};

const char *kind_name(ItemKind kind)
{
    return kinds[kind].one;
}

const char *kind_many(ItemKind kind)
{
    return kinds[kind].many;
}

bool kind_of(Span name, ItemKind *out)
{
    for (int i = 0; i < ITEM_KINDS; i++) {
        if (!span_is(name, kinds[i].name)) continue;
        *out = (ItemKind)i;
        return true;
    }
    return false;
}

static void end_words(Buf *out, const Item *item, int64_t now)
{
    if (!item->until) return;
    if (item->whole_day) {
        if (clock_day(item->until) <= clock_day(item->at)) return;
        buf_text(out, " until ");
        when_day_words(out, clock_day(item->until), now);
        return;
    }
    Civil end = clock_local(item->until);
    if (clock_day(item->until) == clock_day(item->at)) {
        buf_printf(out, " to %d:%02d", end.hour, end.minute);
    } else {
        buf_text(out, " until ");
        when_words(out, item->until, false, now);
    }
}

void item_when(Buf *out, const Item *item, int64_t now)
{
    Every every;
    if (item->kind == ITEM_TIMER) {
        when_length_words(out, item->at - now);
        buf_text(out, " left");
        return;
    }
    when_words(out, item->at, item->whole_day, now);
    end_words(out, item, now);
    if (!item->every[0] || !when_every(span_of(item->every), &every)) return;
    buf_text(out, ", and then ");
    when_every_words(out, &every);
}

void item_words(Buf *out, const Item *item, int64_t now)
{
    buf_text(out, item->text[0] ? item->text : kinds[item->kind].name);
    if (item->kind == ITEM_NOTE) return;
    buf_text(out, ": ");
    item_when(out, item, now);
}

void show_items(ToolCall *call, const Items *items)
{
    Agent *a = call->agent;
    bool mixed = false;
    a->n_listed = 0;
    for (size_t i = 1; i < items->n; i++) mixed |= items->list[i].kind != items->list[0].kind;
    for (size_t i = 0; i < items->n && i < LISTED_MOST; i++) {
        const Item *item = &items->list[i];
        a->listed[a->n_listed].id = item->id;
        a->listed[a->n_listed++].kind = item->kind;
        buf_printf(call->answer, "\n%2zu. ", i + 1);
        if (mixed && item->text[0]) buf_printf(call->answer, "%s: ", kind_name(item->kind));
        item_words(call->answer, item, call->now);
    }
    if (items->n > LISTED_MOST) buf_printf(call->answer, "\nand %zu more", items->n - LISTED_MOST);
}
