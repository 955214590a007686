/* From what was said to a moment, and back into words (see when.h). */
#include <stdio.h>

#include "agent/civil.h"
#include "agent/when.h"

enum { DAY_MINUTES = 24 * 60, HALF = 12 * 60, SEVEN = 7 * 60 };

int64_t when_after(int64_t instant, const Length *length)
{
    if (!length->days && !length->months) return instant + length->seconds;
    Civil c = clock_local(instant);
    int64_t day = civil_day(c.year, c.month, c.day);
    day = civil_add_months(day, length->months) + length->days;
    Civil to = civil_of_day(day);
    to.hour = c.hour;
    to.minute = c.minute;
    to.second = c.second;
    return clock_instant(&to) + length->seconds;
}

/* ---- repetitions ---- */

static bool fits_week(const Every *e, int64_t day)
{
    int at = civil_weekday(day);
    if (e->unit == EVERY_ON) return at == e->n;
    return (e->unit == EVERY_WEEKENDS) == (at >= SATURDAY);
}

/* The first day of the repetition that is `from` or later. */
static int64_t next_day(const Every *e, int64_t first, int64_t from)
{
    if (from < first) from = first;
    if (e->unit == EVERY_DAYS) return first + (from - first + e->n - 1) / e->n * e->n;
    if (e->unit == EVERY_MONTHS) {
        int64_t step = 0;
        Civil a = civil_of_day(first), b = civil_of_day(from);
        int64_t months = (b.year - a.year) * INT64_C(12) + b.month - a.month;
        if (months > e->n) step = months / e->n - 1;
        while (civil_add_months(first, step * e->n) < from && step * e->n < 12 * 9999) step++;
        return civil_add_months(first, step * e->n);
    }
    for (int i = 0; i < 7 && !fits_week(e, from); i++) from++;
    return from;
}

int64_t when_next(const Every *e, int64_t first, int64_t now)
{
    if (e->unit == EVERY_SECONDS) {
        int64_t n = e->n > 0 ? e->n : 3600;
        return now < first ? first : first + ((now - first) / n + 1) * n;
    }
    Civil start = clock_local(first);
    int64_t begun = civil_day(start.year, start.month, start.day), from = clock_day(now);
    for (int i = 0; i < 4; i++) { /* today's may be over; the clocks may change */
        int64_t day = next_day(e, begun, from);
        int64_t at = clock_at(day, start.hour * 60 + start.minute);
        if (at > now) return at;
        from = day + 1;
    }
    return now + 86400;
}

void when_every_words(Buf *out, const Every *e)
{
    static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
    const char *unit = "day";
    int n = e->n;
    switch (e->unit) {
    case EVERY_NEVER: return;
    case EVERY_ON: buf_printf(out, "every %s", days[n % 7]); return;
    case EVERY_WEEKDAYS: buf_text(out, "every weekday"); return;
    case EVERY_WEEKENDS: buf_text(out, "on weekends"); return;
    case EVERY_SECONDS:
        unit = n % 3600 ? "minute" : "hour";
        n /= n % 3600 ? 60 : 3600;
        break;
    case EVERY_DAYS:
        if (n % 7 == 0) unit = "week", n /= 7;
        break;
    case EVERY_MONTHS:
        unit = n % 12 ? "month" : "year";
        if (n % 12 == 0) n /= 12;
        break;
    }
    if (n == 1)
        buf_printf(out, "every %s", unit);
    else
        buf_printf(out, "every %d %ss", n, unit);
}

/* ---- what was said ---- */

/* Of the 12-hour clock: by day one is up from 7 to 7; an alarm wakes in the morning. */
static int likely(const TimeOfDay *t, bool early)
{
    if (!t->either) return t->minute;
    int minute = t->minute % HALF; /* 12 is 0 */
    return early ? minute : minute < SEVEN ? minute + HALF : minute;
}

/* The time on that day, which is no earlier than today. */
static int64_t on_day(int64_t day, const TimeOfDay *t, bool early, int64_t now)
{
    int minute = likely(t, early), other = (minute + HALF) % DAY_MINUTES;
    int64_t at = clock_at(day, minute), second = clock_at(day, other);
    if (!t->either || at > now || day != clock_day(now)) return at;
    return second > now ? second : at;
}

static int64_t next_time(const TimeOfDay *t, bool early, int64_t now)
{
    int64_t today = clock_day(now), at = on_day(today, t, early, now);
    if (early && t->either) { /* whichever comes first */
        int64_t other = clock_at(today, (t->minute + HALF) % DAY_MINUTES);
        if (other > now && (at <= now || other < at)) at = other;
    }
    return at > now ? at : clock_at(today + 1, likely(t, early));
}

/* A repetition begins with its first time from now on, or from the day that was said. */
static void begin_every(const Said *s, const DaySpan *day, const TimeOfDay *t, int64_t now,
                        Moment *out)
{
    if (out->every.unit == EVERY_SECONDS && !s->time.data && !s->day.data) {
        out->at = now + out->every.n;
        return;
    }
    int64_t from = s->day.data ? day->first : clock_day(now);
    int minute = likely(t, s->early);
    from = out->every.unit == EVERY_SECONDS ? from : next_day(&out->every, from, from);
    out->at = clock_at(from, minute);
    if (out->at <= now && !(out->whole_day && from == clock_day(now)))
        out->at = when_next(&out->every, out->at, now);
    out->last_day = clock_day(out->at);
}

/* What is over already comes again where its day does. */
static int64_t again(const DaySpan *day, int64_t at)
{
    Civil c = clock_local(at);
    int minute = c.hour * 60 + c.minute;
    switch (day->again) {
    case DAY_WEEKLY: return clock_at(day->first + 7, minute);
    case DAY_MONTHLY: return clock_at(civil_add_months(day->first, 1), minute);
    case DAY_YEARLY: return clock_at(civil_add_months(day->first, 12), minute);
    case DAY_ONCE: break;
    }
    return at;
}

WhenResult when_resolve(const Said *s, int64_t now, bool month_first, int default_minute,
                        Moment *out)
{
    Length length = {0};
    DaySpan day = {0};
    TimeOfDay t = {.minute = default_minute};
    *out = (Moment){0};
    if (s->in.data && !when_length(s->in, &length)) return WHEN_BAD_IN;
    if (s->day.data && !when_day(s->day, clock_day(now), month_first, &day)) return WHEN_BAD_DAY;
    if (s->time.data && !when_time(s->time, &t)) return WHEN_BAD_TIME;
    if (s->every.data && !when_every(s->every, &out->every)) return WHEN_BAD_EVERY;
    out->whole_day = !s->time.data && !s->in.data;
    if (s->in.data && !s->every.data) {
        out->at = when_after(now, &length);
        out->last_day = clock_day(out->at);
        return WHEN_GOOD;
    }
    if (s->every.data) {
        begin_every(s, &day, &t, now, out);
        return WHEN_GOOD;
    }
    if (!s->day.data && !s->time.data) return WHEN_NOT_SAID;
    if (!s->day.data) {
        out->at = next_time(&t, s->early, now);
    } else {
        out->at = on_day(day.first, &t, s->early, now);
        out->last_day = day.last;
        if (out->at <= now && out->whole_day && day.first >= clock_day(now)) return WHEN_GOOD;
        if (out->at <= now) out->at = again(&day, out->at);
    }
    if (!s->day.data || out->last_day < clock_day(out->at)) out->last_day = clock_day(out->at);
    return out->at > now ? WHEN_GOOD : WHEN_PAST;
}

/* ---- words ---- */

void when_length_words(Buf *out, int64_t seconds)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    int said = 0;
    if (seconds <= 0) buf_text(out, "0 seconds");
    for (size_t i = 0; i < 4 && seconds > 0 && said < 2; i++) {
        int64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (!n) {
            if (said) break;
            continue;
        }
        buf_printf(out, "%s%lld %s%s", said++ ? " " : "", (long long)n, units[i].name,
                   n == 1 ? "" : "s");
    }
}

static void date_words(Buf *out, int64_t day, bool year)
{
    static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    Civil c = civil_of_day(day);
    buf_printf(out, "%s, %d %s", days[civil_weekday(day)], c.day, months[c.month - 1]);
    if (year) buf_printf(out, " %d", c.year);
}

void when_day_words(Buf *out, int64_t day, int64_t now)
{
    (void)now;
    date_words(out, day, true);
}

void when_words(Buf *out, int64_t at, bool whole_day, int64_t now)
{
    int64_t day = clock_day(at), today = clock_day(now);
    Civil c = clock_local(at);
    bool year = c.year != clock_local(now).year;
    if (day == today) {
        buf_text(out, "today");
    } else if (day == today + 1 || day == today - 1) {
        buf_text(out, day > today ? "tomorrow (" : "yesterday (");
        date_words(out, day, year);
        buf_char(out, ')');
    } else {
        buf_text(out, "on ");
        date_words(out, day, year);
    }
    if (!whole_day) buf_printf(out, " at %d:%02d", c.hour, c.minute);
}
