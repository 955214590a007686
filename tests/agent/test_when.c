/* Days, times and repetitions: what each spelling means on a Saturday, at the ends of months and
 * years, and where clocks change. The calendar is held against the C library's, the zone is one
 * given by rule (Berlin's), so that no zone files are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent/civil.h"
#include "agent/when.h"

static int zone(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return 0;
}

static int64_t at(const char *text)
{
    int y, m, d, hour = 0, minute = 0;
    assert_true(sscanf(text, "%d-%d-%d %d:%d", &y, &m, &d, &hour, &minute) >= 3);
    return clock_at(civil_day(y, m, d), hour * 60 + minute);
}

static const char *shown(int64_t instant)
{
    static char text[4][40];
    static int turn;
    char *out = text[turn++ % 4];
    Civil c = clock_local(instant);
    snprintf(out, 40, "%04d-%02d-%02d %02d:%02d", c.year, c.month, c.day, c.hour, c.minute);
    return out;
}

static void test_the_calendar_is_the_c_librarys(void **state)
{
    (void)state;
    for (int64_t day = -719162; day <= 2932896; day += 17) {
        Civil c = civil_of_day(day);
        time_t t = (time_t)day * 86400;
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(c.year, tm.tm_year + 1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(civil_day(c.year, c.month, c.day), day);
        assert_int_equal((civil_weekday(day) + 1) % 7, tm.tm_wday);
    }
    assert_int_equal(civil_of_day(INT64_MAX).year, 9999);
    assert_int_equal(civil_of_day(INT64_MIN).year, 1);
}

static void test_easter(void **state)
{
    static const int dates[][3] = {{1961, 4, 2}, {2000, 4, 23}, {2024, 3, 31}, {2025, 4, 20},
                                   {2026, 4, 5}, {2027, 3, 28}, {2038, 4, 25}, {2285, 3, 22}};
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++)
        assert_int_equal(civil_easter(dates[i][0]),
                         civil_day(dates[i][0], dates[i][1], dates[i][2]));
}

static void test_clocks_that_change(void **state)
{
    (void)state;
    /* 2026-03-29: 2:00 to 3:00 is not there; 2026-10-25: 2:00 to 3:00 comes twice */
    assert_string_equal(shown(at("2026-03-29 02:30")), "2026-03-29 03:30");
    assert_int_equal(at("2026-03-29 03:30") - at("2026-03-29 01:30"), 3600);
    assert_int_equal(at("2026-10-25 03:30") - at("2026-10-25 02:30"), 7200);
    assert_int_equal(at("2026-10-26 09:00") - at("2026-10-25 09:00"), 86400);
    assert_int_equal(at("2026-10-25 09:00") - at("2026-10-24 09:00"), 90000);
    for (int64_t t = at("2026-01-01"); t < at("2027-01-01"); t += 1799) {
        Civil c = clock_local(t);
        int64_t back = clock_instant(&c);
        assert_true(back == t || back == t - 3600); /* the first of two */
    }
}

/* ---- days; today is Saturday, 21 November 2026 ---- */

static void test_days(void **state)
{
    static const struct {
        const char *text, *first, *last;
    } rows[] = {
        {"today", "2026-11-21", NULL},
        {"tomorrow", "2026-11-22", NULL},
        {"Tomorrow", "2026-11-22", NULL},
        {"yesterday", "2026-11-20", NULL},
        {"saturday", "2026-11-21", NULL},
        {"sunday", "2026-11-22", NULL},
        {"friday", "2026-11-27", NULL},
        {"next friday", "2026-11-27", NULL},
        {"next saturday", "2026-11-28", NULL},
        {"next sunday", "2026-11-29", NULL},
        {"last saturday", "2026-11-14", NULL},
        {"last friday", "2026-11-20", NULL},
        {"weekend", "2026-11-21", "2026-11-22"},
        {"next weekend", "2026-11-28", "2026-11-29"},
        {"last weekend", "2026-11-14", "2026-11-15"},
        {"this week", "2026-11-16", "2026-11-22"},
        {"next week", "2026-11-23", "2026-11-29"},
        {"next month", "2026-12-01", "2026-12-31"},
        {"last month", "2026-10-01", "2026-10-31"},
        {"this year", "2026-01-01", "2026-12-31"},
        {"in 3 days", "2026-11-24", NULL},
        {"in 1 week", "2026-11-28", NULL},
        {"in 3 months", "2027-02-21", NULL},
        {"in 2 years", "2028-11-21", NULL},
        {"3 weeks ago", "2026-10-31", NULL},
        {"9 months ago", "2026-02-21", NULL},
        {"21st", "2026-11-21", NULL},
        {"20th", "2026-12-20", NULL},
        {"31st", "2026-12-31", NULL},
        {"24 dec", "2026-12-24", NULL},
        {"20 nov", "2027-11-20", NULL},
        {"29 feb", "2028-02-29", NULL},
        {"3 mar 2031", "2031-03-03", NULL},
        {"12/18", "2026-12-18", NULL},
        {"28/11", "2026-11-28", NULL},
        {"4/3", "2027-03-04", NULL},
        {"24.12", "2026-12-24", NULL},
        {"24.12.", "2026-12-24", NULL},
        {"24.12.2027", "2027-12-24", NULL},
        {"2026-12-09", "2026-12-09", NULL},
        {"christmas", "2026-12-25", NULL},
        {"christmas eve", "2026-12-24", NULL},
        {"new year", "2027-01-01", NULL},
        {"new year's eve", "2026-12-31", NULL},
        {"halloween", "2027-10-31", NULL},
        {"easter", "2027-03-28", NULL},
        {"easter next year", "2027-03-28", NULL},
        {"easter 2038", "2038-04-25", NULL},
    };
    DaySpan day;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t today = civil_day(2026, 11, 21);
        if (!when_day(span_of(rows[i].text), today, false, &day)) fail_msg("%s", rows[i].text);
        const char *last = rows[i].last ? rows[i].last : rows[i].first;
        if (clock_at(day.first, 0) != at(rows[i].first) || clock_at(day.last, 0) != at(last))
            fail_msg("%s: %s to %s", rows[i].text, shown(clock_at(day.first, 0)),
                     shown(clock_at(day.last, 0)));
    }
    assert_true(when_day(SPAN("4/3"), civil_day(2026, 11, 21), true, &day));
    assert_int_equal(day.first, civil_day(2027, 4, 3));
    assert_true(when_day(SPAN("31st"), civil_day(2026, 2, 1), false, &day));
    assert_int_equal(day.first, civil_day(2026, 3, 31));
}

static void test_what_is_no_day(void **state)
{
    static const char *const texts[] = {"",
                                        "soon",
                                        "in days",
                                        "in 3",
                                        "in 3 min",
                                        "32nd",
                                        "0th",
                                        "30 feb",
                                        "31 feb 2026",
                                        "13/13",
                                        "2026-13-01",
                                        "2026-02-30",
                                        "24 dec 20277",
                                        "next",
                                        "last",
                                        "next christmas",
                                        "12.",
                                        "12/",
                                        "24 foo",
                                        "99999 days ago",
                                        "friday ",
                                        "0000-01-01",
                                        "3 mar 0",
                                        "christmas 99999"};
    DaySpan day;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (when_day(span_of(texts[i]), civil_day(2026, 11, 21), false, &day))
            fail_msg("'%s' is a day", texts[i]);
}

/* ---- times, lengths ---- */

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int minute;
        bool either;
    } rows[] = {{"5", 300, true},       {"5:30", 330, true},       {"12", 720, true},
                {"5am", 300, false},    {"12am", 0, false},        {"12pm", 720, false},
                {"12:30am", 30, false}, {"5:30pm", 1050, false},   {"17:00", 1020, false},
                {"05:00", 300, false},  {"00:00", 0, false},       {"13", 780, false},
                {"noon", 720, false},   {"midnight", 1440, false}, {"morning", 540, false},
                {"night", 1260, false}};
    static const char *const bad[] = {"",       "24:00", "25",  "5:3", "5:60",    "13pm", "0am",
                                      "5:30xm", "5 pm",  ":30", "5:",  "noonish", "123"};
    TimeOfDay t;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!when_time(span_of(rows[i].text), &t) || t.minute != rows[i].minute ||
            t.either != rows[i].either)
            fail_msg("%s: %d %d", rows[i].text, t.minute, t.either);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (when_time(span_of(bad[i]), &t)) fail_msg("'%s' is a time", bad[i]);
}

static void test_lengths(void **state)
{
    Length l;
    Buf words = {0};
    (void)state;
    assert_true(when_length(SPAN("1 h 30 min"), &l) && l.seconds == 5400);
    assert_true(when_length(SPAN("90 s"), &l) && l.seconds == 90);
    assert_true(when_length(SPAN("3 days"), &l) && l.days == 3 && !l.seconds);
    assert_true(when_length(SPAN("2 weeks"), &l) && l.days == 14);
    assert_true(when_length(SPAN("1 year"), &l) && l.months == 12);
    assert_false(when_length(SPAN(""), &l));
    assert_false(when_length(SPAN("0 min"), &l));
    assert_false(when_length(SPAN("5"), &l));
    assert_false(when_length(SPAN("5 foo"), &l));
    assert_false(when_length(SPAN("99999 min"), &l));
    assert_true(when_length(SPAN("1 month"), &l));
    assert_string_equal(shown(when_after(at("2027-01-31 10:00"), &l)), "2027-02-28 10:00");
    assert_true(when_length(SPAN("1 day"), &l));
    assert_string_equal(shown(when_after(at("2026-10-24 10:00"), &l)), "2026-10-25 10:00");
    when_length_words(&words, 3600 + 20 * 60 + 5);
    assert_string_equal(words.data, "1 hour 20 minutes");
    buf_close(&words);
}

/* ---- moments ---- */

static void expect(const char *now, const char *day, const char *time, const char *every,
                   const char *wanted)
{
    const Said said = {.day = {day, day ? strlen(day) : 0},
                       .time = {time, time ? strlen(time) : 0},
                       .every = {every, every ? strlen(every) : 0}};
    Moment m;
    WhenResult result = when_resolve(&said, at(now), false, 9 * 60, &m);
    const char *is = result == WHEN_GOOD ? shown(m.at) : result == WHEN_PAST ? "past" : "not said";
    if (strcmp(is, wanted) != 0)
        fail_msg("%s: %s %s %s: %s, not %s", now, day ? day : "-", time ? time : "-",
                 every ? every : "-", is, wanted);
}

static void test_moments(void **state)
{
    const char *now = "2026-11-21 17:30"; /* a Saturday */
    (void)state;
    expect(now, "tomorrow", "5", NULL, "2026-11-22 17:00");
    expect(now, "tomorrow", "9", NULL, "2026-11-22 09:00");
    expect(now, "tomorrow", NULL, NULL, "2026-11-22 09:00");
    expect(now, NULL, "6", NULL, "2026-11-21 18:00");
    expect(now, NULL, "5", NULL, "2026-11-22 17:00");
    expect(now, NULL, "8", NULL, "2026-11-21 20:00");
    expect(now, NULL, "17:30", NULL, "2026-11-22 17:30");
    expect(now, NULL, "midnight", NULL, "2026-11-22 00:00");
    expect(now, "today", "9", NULL, "2026-11-21 21:00");
    expect(now, "today", "9am", NULL, "past");
    expect(now, "yesterday", NULL, NULL, "past");
    expect(now, "saturday", "10am", NULL, "2026-11-28 10:00");
    expect(now, "saturday", "19:00", NULL, "2026-11-21 19:00");
    expect(now, "21st", "noon", NULL, "2026-12-21 12:00");
    expect(now, "21 nov", "noon", NULL, "2027-11-21 12:00");
    expect(now, NULL, NULL, NULL, "not said");
    expect(now, NULL, "7am", "day", "2026-11-22 07:00");
    expect(now, NULL, "20:00", "day", "2026-11-21 20:00");
    expect(now, NULL, "9", "monday", "2026-11-23 09:00");
    expect(now, NULL, "9", "weekday", "2026-11-23 09:00");
    expect(now, "1st", NULL, "month", "2026-12-01 09:00");
    expect(now, NULL, NULL, "2 h", "2026-11-21 19:30");
    expect(now, "22 may", NULL, "year", "2027-05-22 09:00");
    expect("2026-03-28 12:00", "tomorrow", "02:30", NULL, "2026-03-29 03:30");
}

static void test_alarms_wake_in_the_morning(void **state)
{
    Said said = {.time = SPAN("6:45"), .early = true};
    Moment m;
    (void)state;
    assert_int_equal(when_resolve(&said, at("2026-11-21 22:00"), false, 0, &m), WHEN_GOOD);
    assert_string_equal(shown(m.at), "2026-11-22 06:45");
    assert_int_equal(when_resolve(&said, at("2026-11-21 14:00"), false, 0, &m), WHEN_GOOD);
    assert_string_equal(shown(m.at), "2026-11-21 18:45");
    said.day = SPAN("tomorrow");
    assert_int_equal(when_resolve(&said, at("2026-11-21 14:00"), false, 0, &m), WHEN_GOOD);
    assert_string_equal(shown(m.at), "2026-11-22 06:45");
}

static void test_repetitions(void **state)
{
    static const struct {
        const char *every, *first, *now, *next;
    } rows[] = {
        {"day", "2026-10-24 09:00", "2026-10-24 09:00", "2026-10-25 09:00"},
        {"day", "2026-01-01 09:00", "2026-11-21 17:30", "2026-11-22 09:00"},
        {"2 days", "2026-11-01 09:00", "2026-11-21 10:00", "2026-11-23 09:00"},
        {"weekday", "2026-11-20 07:15", "2026-11-20 07:15", "2026-11-23 07:15"},
        {"weekend", "2026-11-21 07:15", "2026-11-22 07:15", "2026-11-28 07:15"},
        {"monday", "2026-11-23 09:00", "2026-11-23 09:00", "2026-11-30 09:00"},
        {"month", "2027-01-31 09:00", "2027-01-31 09:00", "2027-02-28 09:00"},
        {"month", "2027-01-31 09:00", "2027-02-28 09:00", "2027-03-31 09:00"},
        {"year", "2028-02-29 09:00", "2028-03-01 00:00", "2029-02-28 09:00"},
        {"2 h", "2026-11-21 08:00", "2026-11-21 17:30", "2026-11-21 18:00"},
        {"3 months", "2026-01-15 08:00", "2026-11-21 17:30", "2027-01-15 08:00"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Every e;
        assert_true(when_every(span_of(rows[i].every), &e));
        int64_t next = when_next(&e, at(rows[i].first), at(rows[i].now));
        if (strcmp(shown(next), rows[i].next) != 0)
            fail_msg("%s from %s after %s: %s", rows[i].every, rows[i].first, rows[i].now,
                     shown(next));
    }
    Every e;
    assert_false(when_every(SPAN("0 days"), &e));
    assert_false(when_every(SPAN("fortnight"), &e));
    assert_false(when_every(SPAN(""), &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_calendar_is_the_c_librarys),
        cmocka_unit_test(test_easter),
        cmocka_unit_test(test_clocks_that_change),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_what_is_no_day),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_alarms_wake_in_the_morning),
        cmocka_unit_test(test_repetitions),
    };
    return cmocka_run_group_tests(tests, zone, NULL);
}
