/* Tools that store something: remind, timer, event, note (see tools.h). */
#include <string.h>

#include "agent/civil.h"
#include "agent/tools.h"
#include "text/copied.h"

enum { MORNING = 9 * 60 };

/* Stores one item as a step of its own. */
static bt_status itemdb_one(ToolCall *call, Item *item, bt_error *err)
{
    Store *store = call->agent->store;
    bt_status status = itemdb_begin(store, err);
    if (status != BT_OK) return status;
    status = itemdb_add(store, item, call->now, err);
    if (status == BT_OK)
        status = itemdb_end(store, true, err);
    else
        itemdb_end(store, false, NULL);
    if (status == BT_OK) call->agent->last[item->kind] = item->id;
    return status;
}

/* The text into `out`; false after an answer, or without memory (out->failed). */
static bool read_text(ToolCall *call, const char *missing, Buf *out)
{
    clean_text(out, call->said[ARG_TEXT]);
    if (out->failed) return false;
    if (!out->size) {
        tool_wrong(call, "%s", missing);
        return false;
    }
    if (out->size > ITEM_MOST_TEXT) {
        tool_wrong(call, "That is too long to keep: at most %d bytes.", ITEM_MOST_TEXT);
        return false;
    }
    return true;
}

static bt_status no_text(const Buf *text, bt_error *err)
{
    return text->failed ? bt_fail_memory(err, "the text", 0) : BT_OK;
}

static void keep_every(const ToolCall *call, Item *item)
{
    Span every = call->said[ARG_EVERY];
    if (every.data && every.size < sizeof item->every) memcpy(item->every, every.data, every.size);
}

static Said said(const ToolCall *call)
{
    return (Said){.in = call->said[ARG_IN],
                  .day = call->said[ARG_DAY],
                  .time = call->said[ARG_TIME],
                  .every = call->said[ARG_EVERY]};
}

bt_status tool_remind(ToolCall *call, bt_error *err)
{
    Buf text = {0};
    Moment moment;
    bt_status status = BT_OK;
    if (!read_text(call, "What should I remind you of?", &text)) {
        status = no_text(&text, err);
        goto done;
    }
    Said when = said(call);
    when.early = strcmp(text.data, "alarm") == 0 || strcmp(text.data, "wake up") == 0;
    WhenResult result =
        when_resolve(&when, call->now, call->agent->options.month_first, MORNING, &moment);
    if (result != WHEN_GOOD) {
        status = tool_wrong_when(call, result);
        goto done;
    }
    /* A day without a time: in the morning, or, when that is over, in an hour. */
    if (moment.at <= call->now) moment.at = call->now + 3600;
    Item item = {.kind = ITEM_REMINDER, .text = text.data, .at = moment.at, .first = moment.at};
    keep_every(call, &item);
    status = itemdb_one(call, &item, err);
    if (status != BT_OK) goto done;
    buf_text(call->answer, "I will remind you ");
    item_when(call->answer, &item, call->now);
    buf_printf(call->answer, ": %s", text.data);
done:
    buf_close(&text);
    return status;
}

bt_status tool_timer(ToolCall *call, bt_error *err)
{
    Buf text = {0};
    Length length;
    bt_status status = BT_OK;
    clean_text(&text, call->said[ARG_TEXT]);
    if (text.failed) {
        status = bt_fail_memory(err, "the text", 0);
        goto done;
    }
    if (!when_length(call->said[ARG_IN], &length) || length.days || length.months) {
        status = tool_wrong_when(call, WHEN_BAD_IN);
        goto done;
    }
    Item item = {.kind = ITEM_TIMER,
                 .text = text.data,
                 .at = call->now + length.seconds,
                 .first = call->now + length.seconds};
    status = text.size > ITEM_MOST_TEXT ? tool_wrong(call, "That name is too long.")
                                        : itemdb_one(call, &item, err);
    if (status != BT_OK || call->outcome == AGENT_WRONG) goto done;
    buf_text(call->answer, "Timer");
    if (text.size) buf_printf(call->answer, " '%s'", text.data);
    buf_text(call->answer, ": ");
    when_length_words(call->answer, length.seconds);
    Civil at = clock_local(item.at);
    buf_printf(call->answer, ", until %d:%02d:%02d", at.hour, at.minute, at.second);
done:
    buf_close(&text);
    return status;
}

/* The end, said as a time, a day or a length; false: none that makes sense. */
static bool read_end(const ToolCall *call, Moment *begin, int64_t *until)
{
    Span end = call->said[ARG_END], lasts = call->said[ARG_FOR];
    TimeOfDay time;
    DaySpan day;
    Length length;
    *until = 0;
    if (lasts.data) {
        if (!when_length(lasts, &length)) return false;
        *until = when_after(begin->at, &length);
        if (begin->whole_day && !length.seconds) *until = clock_at(clock_day(*until) - 1, 0);
        return *until >= begin->at;
    }
    if (!end.data) {
        if (begin->whole_day && begin->last_day > clock_day(begin->at))
            *until = clock_at(begin->last_day, 0);
        return true;
    }
    if (when_time(end, &time) && !begin->whole_day) {
        int64_t from = clock_day(begin->at);
        for (int i = 0; i < 4; i++) { /* either half of the day, then the next day's */
            if (!time.either && i % 2) continue;
            *until = clock_at(from + i / 2, time.minute % 1440 + (i % 2 ? 720 : 0));
            if (*until > begin->at) return true;
        }
        return false;
    }
    if (!when_day(end, clock_day(begin->at), call->agent->options.month_first, &day)) return false;
    *until = begin->whole_day ? clock_at(day.last, 0) : clock_at(day.last, 24 * 60);
    return *until >= begin->at;
}

bt_status tool_event(ToolCall *call, bt_error *err)
{
    Buf text = {0};
    Moment moment;
    int64_t until;
    bt_status status = BT_OK;
    if (!read_text(call, "What should I call it?", &text)) {
        status = no_text(&text, err);
        goto done;
    }
    const Said when = said(call);
    WhenResult result =
        when_resolve(&when, call->now, call->agent->options.month_first, 0, &moment);
    if (result != WHEN_GOOD) {
        status = tool_wrong_when(call, result);
        goto done;
    }
    if (!read_end(call, &moment, &until)) {
        status = tool_wrong(call, "I did not understand when it ends; nothing was stored.");
        goto done;
    }
    Item item = {.kind = ITEM_EVENT,
                 .text = text.data,
                 .at = moment.at,
                 .first = moment.at,
                 .until = until,
                 .whole_day = moment.whole_day};
    keep_every(call, &item);
    status = itemdb_one(call, &item, err);
    if (status != BT_OK) goto done;
    buf_printf(call->answer, "In your calendar: %s, ", text.data);
    item_when(call->answer, &item, call->now);
done:
    buf_close(&text);
    return status;
}

static size_t characters(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* The model copies spans of a bounded length (text/copied.h): a note that ends at the bound goes on
 * to the end of what was said. */
static void whole_note(const ToolCall *call, Buf *text)
{
    const char *heard = call->agent->heard, *at = heard ? strstr(heard, text->data) : NULL;
    const char *next = at ? strchr(at + text->size, ' ') : NULL;
    size_t words = 1;
    if (!next) return;
    for (size_t i = 0; i < text->size; i++) words += text->data[i] == ' ';
    if (words < COPIED_SPAN &&
        characters(at, (size_t)(next + 1 - at) + strcspn(next + 1, " ")) <= COPIED_CHARS)
        return;
    buf_clear(text);
    buf_text(text, at);
}

bt_status tool_note(ToolCall *call, bt_error *err)
{
    Buf text = {0};
    bt_status status = BT_OK;
    if (!read_text(call, "What should I note?", &text)) {
        status = no_text(&text, err);
    } else {
        whole_note(call, &text);
        Item item = {.kind = ITEM_NOTE, .text = text.data};
        status = itemdb_one(call, &item, err);
        if (status == BT_OK) buf_printf(call->answer, "Noted: %s", text.data);
    }
    buf_close(&text);
    return status;
}
