/* The calendar and the system's clock (see civil.h). Day numbers are counted in years that begin in
 * March, so that the day that leap years add is the last. */
#include "agent/civil.h"

#include <time.h>

enum { DAYS_400_YEARS = 146097, DAYS_TO_1970 = 719468 };      /* from 0000-03-01 */
static const int64_t first_day = -719162, last_day = 2932896; /* 0001-01-01, 9999-12-31 */

static bool leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int civil_month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && leap(year) ? 29 : days[month - 1];
}

bool civil_valid_date(int year, int month, int day)
{
    return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
           day <= civil_month_days(year, month);
}

int64_t civil_day(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    int64_t before = y * 365 + y / 4 - y / 100 + y / 400; /* y >= 0 */
    return before + (153 * m + 2) / 5 + day - 1 - DAYS_TO_1970;
}

Civil civil_of_day(int64_t day)
{
    if (day < first_day) day = first_day;
    if (day > last_day) day = last_day;
    int64_t n = day + DAYS_TO_1970, era = n / DAYS_400_YEARS, in_era = n % DAYS_400_YEARS;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t m = (5 * in_year + 2) / 153;
    Civil c = {.day = (int)(in_year - (153 * m + 2) / 5) + 1,
               .month = (int)(m < 10 ? m + 3 : m - 9)};
    c.year = (int)(year + era * 400) + (c.month <= 2);
    return c;
}

int civil_weekday(int64_t day)
{
    return (int)(((day + THURSDAY) % 7 + 7) % 7);
}

int64_t civil_add_months(int64_t day, int64_t months)
{
    Civil c = civil_of_day(day);
    if (months > 12 * 9999 || months < -12 * 9999) months = months > 0 ? 12 * 9999 : -12 * 9999;
    int64_t n = (int64_t)c.year * 12 + c.month - 1 + months;
    if (n < 12) n = 12;
    if (n > 9999 * 12 + 11) n = 9999 * 12 + 11;
    int year = (int)(n / 12), month = (int)(n % 12) + 1, most = civil_month_days(year, month);
    return civil_day(year, month, c.day < most ? c.day : most);
}

int64_t civil_easter(int year)
{
    int a = year % 19, b = year / 100, c = year % 100, d = b / 4, e = b % 4;
    int f = (b + 8) / 25, g = (b - f + 1) / 3, h = (19 * a + b - d - g + 15) % 30;
    int i = c / 4, k = c % 4, l = (32 + 2 * e + 2 * i - h - k) % 7;
    int m = (a + 11 * h + 22 * l) / 451, n = h + l - 7 * m + 114;
    return civil_day(year, n / 31, n % 31 + 1);
}

/* ---- the system's zone ---- */

Civil clock_local(int64_t instant)
{
    struct tm tm;
    time_t t = (time_t)instant;
    if (!localtime_r(&t, &tm)) return civil_of_day(instant / 86400);
    return (Civil){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour,        tm.tm_min,     tm.tm_sec < 60 ? tm.tm_sec : 59};
}

int64_t clock_day(int64_t instant)
{
    Civil c = clock_local(instant);
    return civil_day(c.year, c.month, c.day);
}

/* What the wall shows, as if it were UTC. */
static int64_t wall(const Civil *c)
{
    return civil_day(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 +
           c->second;
}

static int64_t offset_at(int64_t instant)
{
    Civil c = clock_local(instant);
    return wall(&c) - instant;
}

/* The offsets of the day before and the day after are the two that the moment may have: no zone
 * changes its clocks twice within that. */
int64_t clock_instant(const Civil *c)
{
    int64_t shown = wall(c), before = offset_at(shown - 86400), after = offset_at(shown + 86400);
    int64_t with_before = shown - before, with_after = shown - after;
    bool good_before = offset_at(with_before) == before;
    bool good_after = offset_at(with_after) == after;
    if (good_before && good_after) return with_before < with_after ? with_before : with_after;
    return good_after ? with_after : with_before;
}

int64_t clock_at(int64_t day, int minute)
{
    Civil c = civil_of_day(day + minute / (24 * 60));
    minute %= 24 * 60;
    c.hour = minute / 60;
    c.minute = minute % 60;
    return clock_instant(&c);
}
