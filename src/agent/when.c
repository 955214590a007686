/* Reading the one spelling (see when.h): small tables and numbers, no locale, no recursion. */
#include "agent/when.h"

#include <string.h>

#include "agent/civil.h"

static const char *const weekday_names[] = {"monday", "tuesday",  "wednesday", "thursday",
                                            "friday", "saturday", "sunday"};
static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- words and numbers ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is(Span s, const char *word)
{
    size_t n = strlen(word);
    if (s.size != n) return false;
    for (size_t i = 0; i < n; i++)
        if (lower(s.data[i]) != word[i]) return false;
    return true;
}

/* Takes the word from the front if it stands there. */
static bool take(Span *s, const char *word)
{
    size_t n = strlen(word);
    if (s->size < n || !is((Span){s->data, n}, word)) return false;
    s->data += n;
    s->size -= n;
    return true;
}

/* 1 to `most` digits. */
static bool take_number(Span *s, size_t most, int *out)
{
    size_t n = 0;
    int value = 0;
    while (n < s->size && n < most && s->data[n] >= '0' && s->data[n] <= '9')
        value = value * 10 + (s->data[n++] - '0');
    if (n == 0 || (n < s->size && s->data[n] >= '0' && s->data[n] <= '9')) return false;
    s->data += n;
    s->size -= n;
    *out = value;
    return true;
}

static int find(Span s, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is(s, names[i])) return (int)i;
    return -1;
}

typedef enum Unit { NO_UNIT, U_SECOND, U_MINUTE, U_HOUR, U_DAY, U_WEEK, U_MONTH, U_YEAR } Unit;

static Unit unit_of(Span s)
{
    static const struct {
        const char *name;
        Unit unit;
    } names[] = {{"s", U_SECOND},  {"sec", U_SECOND}, {"min", U_MINUTE},  {"h", U_HOUR},
                 {"hour", U_HOUR}, {"hours", U_HOUR}, {"day", U_DAY},     {"days", U_DAY},
                 {"week", U_WEEK}, {"weeks", U_WEEK}, {"month", U_MONTH}, {"months", U_MONTH},
                 {"year", U_YEAR}, {"years", U_YEAR}};
    for (size_t i = 0; i < COUNT(names); i++)
        if (is(s, names[i].name)) return names[i].unit;
    return NO_UNIT;
}

/* The word up to the next blank, taken. */
static Span take_word(Span *s)
{
    Span word = {s->data, 0};
    while (word.size < s->size && s->data[word.size] != ' ') word.size++;
    size_t used = word.size < s->size ? word.size + 1 : word.size;
    s->data += used;
    s->size -= used;
    return word;
}

/* ---- days ---- */

static int64_t monday_of(int64_t day)
{
    return day - civil_weekday(day);
}

/* The n-th week, month or year from this one. */
static bool period(Span word, int n, int64_t today, DaySpan *out)
{
    Civil c = civil_of_day(today);
    if (is(word, "week")) {
        out->first = monday_of(today) + 7 * (int64_t)n;
        out->last = out->first + 6;
    } else if (is(word, "weekend")) {
        out->first = monday_of(today) + SATURDAY + 7 * (int64_t)n;
        out->last = out->first + 1;
        if (n == 0 && out->first < today) out->first = today;
    } else if (is(word, "month")) {
        out->first = civil_add_months(today - c.day + 1, n);
        out->last = civil_add_months(out->first, 1) - 1;
    } else if (is(word, "year")) {
        out->first = civil_add_months(civil_day(c.year, 1, 1), 12 * (int64_t)n);
        out->last = civil_add_months(out->first, 12) - 1;
    } else {
        return false;
    }
    return true;
}

static bool one(int64_t day, DayAgain again, DaySpan *out)
{
    *out = (DaySpan){day, day, again};
    return true;
}

static bool moved_day(int64_t today, int64_t n, Unit unit, DaySpan *out)
{
    switch (unit) {
    case U_DAY: return one(today + n, DAY_ONCE, out);
    case U_WEEK: return one(today + 7 * n, DAY_ONCE, out);
    case U_MONTH: return one(civil_add_months(today, n), DAY_ONCE, out);
    case U_YEAR: return one(civil_add_months(today, 12 * n), DAY_ONCE, out);
    default: return false;
    }
}

/* The first day from `today` on that is this day of its month, or of its year. */
static bool next_in_month(int day, int64_t today, DaySpan *out)
{
    Civil c = civil_of_day(today);
    if (day < 1 || day > 31) return false;
    for (int i = 0; i < 12; i++) {
        Civil m = civil_of_day(civil_add_months(today - c.day + 1, i));
        if (day > civil_month_days(m.year, m.month)) continue;
        int64_t found = civil_day(m.year, m.month, day);
        if (found >= today) return one(found, DAY_MONTHLY, out);
    }
    return false;
}

static bool next_in_year(int month, int day, int64_t today, DaySpan *out)
{
    int year = civil_of_day(today).year;
    for (int i = 0; i <= 8; i++) { /* 29 February: at most 8 years apart */
        if (!civil_valid_date(year + i, month, day)) continue;
        int64_t found = civil_day(year + i, month, day);
        if (found >= today) return one(found, DAY_YEARLY, out);
    }
    return false;
}

static bool dated(int year, int month, int day, int64_t today, DaySpan *out)
{
    if (!year) return next_in_year(month, day, today, out);
    return civil_valid_date(year, month, day) && one(civil_day(year, month, day), DAY_ONCE, out);
}

static bool feast_in(size_t which, int year, int64_t *day)
{
    static const int dates[][2] = {{12, 25}, {12, 24}, {1, 1}, {12, 31}, {10, 31}, {2, 14}};
    if (year < 1 || year > 9999) return false;
    *day = which == COUNT(dates) ? civil_easter(year)
                                 : civil_day(year, dates[which][0], dates[which][1]);
    return true;
}

static bool feast(Span s, int64_t today, DaySpan *out)
{
    static const char *const names[] = {"christmas",      "christmas eve", "new year",
                                        "new year's eve", "halloween",     "valentine's day",
                                        "easter"};
    int year = civil_of_day(today).year, given = 0;
    int64_t day;
    for (size_t i = COUNT(names); i-- > 0;) {
        Span rest = s;
        if (!take(&rest, names[i])) continue;
        bool next = is(rest, " next year");
        if (!next && rest.size && !(take(&rest, " ") && take_number(&rest, 4, &given))) continue;
        if (!next && rest.size) continue;
        if (next || given)
            return feast_in(i, given ? given : year + 1, &day) && one(day, DAY_ONCE, out);
        if (!feast_in(i, year, &day)) return false;
        if (day < today && !feast_in(i, year + 1, &day)) return false;
        return one(day, i == 6 ? DAY_ONCE : DAY_YEARLY, out);
    }
    return false;
}

/* 24 dec, 24 dec 2027, 15th, 12/24, 24.12, 24.12.2026, 2026-12-24, 3 days ago */
static bool numbered(Span s, int64_t today, bool month_first, DaySpan *out)
{
    int a, b, year = 0;
    Span rest = s;
    if (!take_number(&rest, 4, &a) || !rest.size) return false;
    if (is(rest, "st") || is(rest, "nd") || is(rest, "rd") || is(rest, "th"))
        return next_in_month(a, today, out);
    char mark = rest.data[0];
    rest = (Span){rest.data + 1, rest.size - 1};
    if (mark == ' ') {
        Span word = take_word(&rest);
        int month = find(word, month_names, COUNT(month_names));
        if (month < 0) return is(rest, "ago") && moved_day(today, -a, unit_of(word), out);
        if (rest.size && (!take_number(&rest, 4, &year) || rest.size || !year)) return false;
        return dated(year, month + 1, a, today, out);
    }
    if ((mark != '/' && mark != '.' && mark != '-') || !take_number(&rest, 2, &b)) return false;
    if (mark == '-') {
        int day;
        return take(&rest, "-") && take_number(&rest, 2, &day) && !rest.size && a &&
               dated(a, b, day, today, out);
    }
    if (rest.size == 1 && rest.data[0] == '.') rest.size = 0;
    if (rest.size && (rest.data[0] != mark || rest.size != 5)) return false;
    if (rest.size) {
        rest = (Span){rest.data + 1, rest.size - 1};
        if (!take_number(&rest, 4, &year) || rest.size || !year) return false;
    }
    bool swap = mark == '/' && (b > 12 || (month_first && a <= 12));
    return dated(year, swap ? a : b, swap ? b : a, today, out);
}

static bool weekday_of(Span s, int64_t today, DaySpan *out)
{
    bool next = take(&s, "next "), last = !next && take(&s, "last ");
    int at = find(s, weekday_names, COUNT(weekday_names)), now = civil_weekday(today);
    if (at < 0)
        return (next || last || take(&s, "this ") || is(s, "weekend")) &&
               period(s, next - last, today, out);
    if (next) return one(monday_of(today) + 7 + at, DAY_ONCE, out);
    if (last) return one(today - ((now - at + 6) % 7 + 1), DAY_ONCE, out);
    return one(today + (at - now + 7) % 7, DAY_WEEKLY, out);
}

bool when_day(Span s, int64_t today, bool month_first, DaySpan *out)
{
    int n;
    *out = (DaySpan){.again = DAY_ONCE};
    if (is(s, "today")) return one(today, DAY_ONCE, out);
    if (is(s, "tomorrow")) return one(today + 1, DAY_ONCE, out);
    if (is(s, "yesterday")) return one(today - 1, DAY_ONCE, out);
    if (weekday_of(s, today, out) || feast(s, today, out) || numbered(s, today, month_first, out))
        return true;
    if (!take(&s, "in ") || !take_number(&s, 4, &n) || !take(&s, " ")) return false;
    return moved_day(today, n, unit_of(s), out);
}

/* ---- times, lengths, repetitions ---- */

bool when_time(Span s, TimeOfDay *out)
{
    static const struct {
        const char *name;
        int hour;
    } parts[] = {{"noon", 12},      {"midnight", 24}, {"morning", 9},
                 {"afternoon", 15}, {"evening", 19},  {"night", 21}};
    int hour, minute = 0;
    size_t digits = 0;
    *out = (TimeOfDay){0};
    for (size_t i = 0; i < COUNT(parts); i++)
        if (is(s, parts[i].name)) return out->minute = parts[i].hour * 60, true;
    while (digits < s.size && s.data[digits] >= '0' && s.data[digits] <= '9') digits++;
    bool padded = s.size && s.data[0] == '0';
    if (!take_number(&s, 2, &hour)) return false;
    if (take(&s, ":")) {
        if (s.size < 2 || s.data[1] < '0' || s.data[1] > '9') return false;
        if (!take_number(&s, 2, &minute)) return false;
    }
    bool am = is(s, "am"), pm = is(s, "pm");
    if ((s.size && !am && !pm) || minute > 59 || hour > 23) return false;
    if ((am || pm) && (hour < 1 || hour > 12)) return false;
    if (am || pm) hour = hour % 12 + (pm ? 12 : 0);
    out->either = !am && !pm && !padded && hour >= 1 && hour <= 12;
    out->minute = hour * 60 + minute;
    return true;
}

bool when_length(Span s, Length *out)
{
    *out = (Length){0};
    for (int part = 0; part < 4 && s.size; part++) {
        int n;
        if (!take_number(&s, 4, &n) || !take(&s, " ")) return false;
        switch (unit_of(take_word(&s))) {
        case U_SECOND: out->seconds += n; break;
        case U_MINUTE: out->seconds += n * INT64_C(60); break;
        case U_HOUR: out->seconds += n * INT64_C(3600); break;
        case U_DAY: out->days += n; break;
        case U_WEEK: out->days += 7 * n; break;
        case U_MONTH: out->months += n; break;
        case U_YEAR: out->months += 12 * n; break;
        default: return false;
        }
    }
    return !s.size && (out->seconds > 0 || out->days > 0 || out->months > 0);
}

bool when_every(Span s, Every *out)
{
    static const struct {
        const char *name;
        Every every;
    } names[] = {{"hour", {EVERY_SECONDS, 3600}}, {"day", {EVERY_DAYS, 1}},
                 {"week", {EVERY_DAYS, 7}},       {"month", {EVERY_MONTHS, 1}},
                 {"year", {EVERY_MONTHS, 12}},    {"weekday", {EVERY_WEEKDAYS, 1}},
                 {"weekend", {EVERY_WEEKENDS, 1}}};
    int n, at = find(s, weekday_names, COUNT(weekday_names));
    *out = (Every){0};
    if (at >= 0) *out = (Every){EVERY_ON, at};
    for (size_t i = 0; i < COUNT(names); i++)
        if (is(s, names[i].name)) *out = names[i].every;
    if (out->unit) return true;
    if (!take_number(&s, 3, &n) || n < 1 || !take(&s, " ")) return false;
    switch (unit_of(s)) {
    case U_MINUTE: *out = (Every){EVERY_SECONDS, 60 * n}; return true;
    case U_HOUR: *out = (Every){EVERY_SECONDS, 3600 * n}; return true;
    case U_DAY: *out = (Every){EVERY_DAYS, n}; return true;
    case U_WEEK: *out = (Every){EVERY_DAYS, 7 * n}; return true;
    case U_MONTH: *out = (Every){EVERY_MONTHS, n}; return true;
    case U_YEAR: *out = (Every){EVERY_MONTHS, 12 * n}; return true;
    default: return false;
    }
}
