/* What is due, and the calendar for other programs (see agent.h). iCalendar: RFC 5545. A single
 * time is written in UTC, which is right everywhere. A repetition is written in the wall's time
 * without a zone ("floating", 3.3.5), because its 9:00 stays 9:00 when the clocks change, and a
 * zone would have to be described whole. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/civil.h"
#include "agent/tools.h"

static void due_line(Buf *out, const Item *item, int64_t now)
{
    int64_t late = now - item->at;
    buf_text(out, item->kind == ITEM_TIMER ? "Timer" : "Reminder");
    if (item->text[0]) buf_printf(out, ": %s", item->text);
    buf_text(out, item->kind == ITEM_TIMER ? " (time is up" : " (");
    if (item->kind == ITEM_REMINDER) when_words(out, item->at, false, now);
    if (late >= 60) {
        buf_text(out, ", ");
        when_length_words(out, late - late % 60);
        buf_text(out, " ago");
    }
    buf_text(out, ")\n");
}

static bt_status due_items(Agent *a, int64_t now, Buf *lines, size_t *n, bt_error *err)
{
    Items due = {0};
    bt_status status = itemdb_due(a->store, now, &due, err);
    for (size_t i = 0; i < due.n && status == BT_OK; i++) {
        const Item *item = &due.list[i];
        Every every;
        int64_t next = 0;
        if (item->every[0] && when_every(span_of(item->every), &every))
            next = when_next(&every, item->first, now);
        due_line(lines, item, now);
        if (lines->failed) {
            status = bt_fail_memory(err, "what is due", 0);
            break;
        }
        status = itemdb_rung(a->store, item->id, next, err);
        if (status != BT_OK) break;
        a->last[item->kind] = item->id;
        ++*n;
    }
    items_close(&due);
    return status;
}

/* ---- calendar entries, told when they begin ---- */

enum { HOUR = 3600, DAY = 86400, MORNING = 9 * 60, MOST_TIMES = 2000 };

/* One of an entry's times: when it begins, is told, and is over. */
typedef struct Occasion {
    int64_t at, tell, over;
} Occasion;

/* Of whole days the first is told in the morning. What has no end lasts an hour. */
static Occasion occasion(const Item *item, int64_t at)
{
    bool ends = item->until > item->at;
    if (item->whole_day) {
        int64_t day = clock_day(at);
        int64_t more = ends ? clock_day(item->until) - clock_day(item->at) : 0;
        return (Occasion){at, clock_at(day, MORNING), clock_at(day + more + 1, 0)};
    }
    return (Occasion){at, at, at + (ends ? item->until - item->at : HOUR)};
}

/* The latest that has begun by now (at 0: none), and the one after it (at 0: none). */
static void occasions(const Item *item, int64_t now, Occasion *latest, Occasion *next)
{
    Every every;
    Occasion first = occasion(item, item->at);
    int64_t lasts = first.over - first.at;
    *latest = *next = (Occasion){0};
    if (!item->every[0] || !when_every(span_of(item->every), &every) || item->at > now) {
        *(item->at > now ? next : latest) = first;
        return;
    }
    int64_t at = item->at, from = now - (lasts < 60 * DAY ? lasts : 60 * DAY) - 1;
    if (from >= at) at = when_next(&every, item->at, from);
    for (int i = 0; i < MOST_TIMES && at <= now; i++) {
        *latest = occasion(item, at);
        at = when_next(&every, item->at, at);
    }
    if (at > now) *next = occasion(item, at);
}

/* Those that have begun or begin within `ahead` seconds, and all that repeat. */
static bt_status entries(Agent *a, int64_t now, int64_t ahead, Items *out, bt_error *err)
{
    int64_t today = clock_at(clock_day(now), 0);
    const Wanted wanted = {.kinds = 1u << ITEM_EVENT,
                           .from = today < now - HOUR ? today : now - HOUR,
                           .before = now + ahead + 1};
    return itemdb_list(a->store, &wanted, out, err);
}

static void entry_line(Buf *out, const Item *item, int64_t at, int64_t now)
{
    Item once = *item;
    once.until = item->until > item->at ? at + (item->until - item->at) : 0;
    once.at = at;
    once.every[0] = '\0';
    buf_printf(out, "Calendar: %s (", item->text);
    item_when(out, &once, now);
    if (!item->whole_day && now - at >= 60) {
        buf_text(out, ", ");
        when_length_words(out, now - at - (now - at) % 60);
        buf_text(out, " ago");
    }
    buf_text(out, ")\n");
}

/* One that began before it was stored is known to who stored it. */
static bt_status due_entries(Agent *a, int64_t now, Buf *lines, size_t *n, bt_error *err)
{
    Items items = {0};
    Occasion latest, next;
    bt_status status = entries(a, now, 0, &items, err);
    for (size_t i = 0; i < items.n && status == BT_OK; i++) {
        const Item *item = &items.list[i];
        occasions(item, now, &latest, &next);
        if (!latest.at || now < latest.tell || now >= latest.over || latest.at <= item->told ||
            latest.tell <= item->made)
            continue;
        entry_line(lines, item, latest.at, now);
        status = lines->failed ? bt_fail_memory(err, "what is due", 0)
                               : itemdb_told(a->store, item->id, latest.at, err);
        if (status != BT_OK) break;
        a->last[ITEM_EVENT] = item->id;
        ++*n;
    }
    items_close(&items);
    return status;
}

static void sooner(int64_t tell, int64_t now, int64_t *at)
{
    if (tell > now && (!*at || tell < *at)) *at = tell;
}

/* ---- both ---- */

bt_status agent_due(Agent *a, int64_t now, Buf *lines, size_t *n, bt_error *err)
{
    *n = 0;
    bt_status status = agent_store(a, err);
    if (status == BT_OK) status = due_items(a, now, lines, n, err);
    return status == BT_OK ? due_entries(a, now, lines, n, err) : status;
}

bt_status agent_next_due(Agent *a, int64_t now, int64_t *at, bt_error *err)
{
    Items items = {0};
    Occasion latest, next;
    bt_status status = agent_store(a, err);
    *at = 0;
    if (status == BT_OK) status = itemdb_next_due(a->store, at, err);
    if (status == BT_OK) status = entries(a, now, 2 * DAY, &items, err);
    for (size_t i = 0; i < items.n && status == BT_OK; i++) {
        occasions(&items.list[i], now, &latest, &next);
        if (latest.at > items.list[i].told) sooner(latest.tell, now, at);
        if (next.at > items.list[i].told) sooner(next.tell, now, at);
    }
    items_close(&items);
    return status;
}

/* ---- iCalendar ---- */

/* A content line: folded after at most 75 bytes, between characters, CRLF at its end (3.1). */
static void ics_line(Buf *out, const Buf *line)
{
    size_t n = 0;
    for (size_t i = 0; i < line->size;) {
        size_t size = 1;
        while (i + size < line->size && ((unsigned char)line->data[i + size] & 0xc0) == 0x80)
            size++;
        if (n + size > 75) {
            buf_text(out, "\r\n ");
            n = 1;
        }
        buf_add(out, line->data + i, size);
        n += size;
        i += size;
    }
    buf_text(out, "\r\n");
    if (line->failed) out->failed = true;
}

static void ics_text(Buf *out, const char *name, const char *text)
{
    Buf line = {0};
    buf_printf(&line, "%s:", name);
    for (const char *p = text; *p; p++) { /* TEXT, 3.3.11; control characters were never kept */
        if (*p == '\\' || *p == ';' || *p == ',') buf_char(&line, '\\');
        buf_char(&line, *p);
    }
    ics_line(out, &line);
    buf_close(&line);
}

static void ics_utc(Buf *out, const char *name, int64_t at)
{
    int64_t day = at / 86400 - (at % 86400 < 0);
    int second = (int)(at - day * 86400);
    Civil c = civil_of_day(day);
    buf_printf(out, "%s:%04d%02d%02dT%02d%02d%02dZ\r\n", name, c.year, c.month, c.day,
               second / 3600, second / 60 % 60, second % 60);
}

static void ics_when(Buf *out, const char *name, int64_t at, const Item *item, int days_more)
{
    Civil c = clock_local(at);
    if (item->whole_day) {
        c = civil_of_day(clock_day(at) + days_more);
        buf_printf(out, "%s;VALUE=DATE:%04d%02d%02d\r\n", name, c.year, c.month, c.day);
    } else if (item->every[0]) {
        buf_printf(out, "%s:%04d%02d%02dT%02d%02d%02d\r\n", name, c.year, c.month, c.day, c.hour,
                   c.minute, c.second);
    } else {
        ics_utc(out, name, at);
    }
}

/* A day that a month lacks is its last, as in when_next: the last of those that it has (BYSETPOS).
 */
static void rule_months(Buf *out, const Every *e, const Civil *first)
{
    buf_printf(out, "RRULE:FREQ=MONTHLY;INTERVAL=%d", e->n);
    if (first->day > 28) {
        buf_text(out, ";BYMONTHDAY=28");
        for (int day = 29; day <= first->day; day++) buf_printf(out, ",%d", day);
        buf_text(out, ";BYSETPOS=-1");
    }
    buf_text(out, "\r\n");
}

static void ics_rule(Buf *out, const Item *item)
{
    static const char *const days[] = {"MO", "TU", "WE", "TH", "FR", "SA", "SU"};
    Every e;
    if (!item->every[0] || !when_every(span_of(item->every), &e)) return;
    Civil first = clock_local(item->first);
    switch (e.unit) {
    case EVERY_NEVER: break;
    case EVERY_SECONDS:
        buf_printf(out, "RRULE:FREQ=%s;INTERVAL=%d\r\n", e.n % 3600 ? "MINUTELY" : "HOURLY",
                   e.n % 3600 ? e.n / 60 : e.n / 3600);
        break;
    case EVERY_DAYS: buf_printf(out, "RRULE:FREQ=DAILY;INTERVAL=%d\r\n", e.n); break;
    case EVERY_MONTHS: rule_months(out, &e, &first); break;
    case EVERY_WEEKDAYS: buf_text(out, "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR\r\n"); break;
    case EVERY_WEEKENDS: buf_text(out, "RRULE:FREQ=WEEKLY;BYDAY=SA,SU\r\n"); break;
    case EVERY_ON: buf_printf(out, "RRULE:FREQ=WEEKLY;BYDAY=%s\r\n", days[e.n % 7]); break;
    }
}

static void ics_item(Buf *out, const Item *item)
{
    bool event = item->kind == ITEM_EVENT;
    buf_printf(out, "BEGIN:%s\r\n", event ? "VEVENT" : "VTODO");
    buf_printf(out, "UID:%" PRId64 "-%" PRId64 "@assistant.bantam\r\n", item->id, item->made);
    ics_utc(out, "DTSTAMP", item->made);
    ics_when(out, "DTSTART", item->first, item, 0);
    if (event && item->until > item->at)
        ics_when(out, "DTEND", item->first + (item->until - item->at), item, 1);
    ics_rule(out, item);
    ics_text(out, "SUMMARY", item->text);
    if (!event)
        buf_text(out, "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\n"
                      "TRIGGER:PT0S\r\nEND:VALARM\r\n");
    buf_printf(out, "END:%s\r\n", event ? "VEVENT" : "VTODO");
}

bt_status agent_calendar(Agent *a, int64_t now, Buf *out, bt_error *err)
{
    Items items = {0};
    const Wanted wanted = {.kinds = 1u << ITEM_EVENT | 1u << ITEM_REMINDER};
    (void)now;
    bt_status status = agent_store(a, err);
    if (status == BT_OK) status = itemdb_list(a->store, &wanted, &items, err);
    if (status == BT_OK) {
        buf_text(out, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Bantam//assistant//EN\r\n"
                      "CALSCALE:GREGORIAN\r\n");
        for (size_t i = 0; i < items.n; i++) ics_item(out, &items.list[i]);
        buf_text(out, "END:VCALENDAR\r\n");
        if (out->failed) status = bt_fail_memory(err, "the calendar", 0);
    }
    items_close(&items);
    return status;
}
