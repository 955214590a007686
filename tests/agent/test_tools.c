/* The tools as a chat uses them: calls in, sentences out, with the clock held still on a Saturday,
 * 21 November 2026, 17:30, in a zone given by rule. Also calls that make no sense, the calendar for
 * other programs, ringing, every call of the hand-written test set, and all of it in the sandbox.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/civil.h"
#include "agent/units.h"
#include "base/sandbox.h"
#include "io/jdoc.h"
#include "support/files.h"
#include "support/scratch.h"
#include "support/torture.h"

static Agent *agent;
static int64_t now;
static Buf said;
static AgentOutcome outcome;

static int setup(void **state)
{
    bt_error err = {0};
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    now = clock_at(civil_day(2026, 11, 21), 17 * 60 + 30);
    if (!scratch_open()) return -1;
    return agent_open(scratch_path("."), NULL, &agent, &err) == BT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    agent_close(&agent);
    buf_close(&said);
    scratch_close();
    return 0;
}

static const char *call(const char *name, const char *arguments)
{
    bt_error err = {0};
    buf_clear(&said);
    if (agent_call(agent, name, arguments, now, &said, &outcome, &err) != BT_OK)
        fail_msg("%s %s: %s", name, arguments, err.text);
    return said.data ? said.data : "";
}

static void answers(const char *name, const char *arguments, const char *answer)
{
    const char *is = call(name, arguments);
    if (strcmp(is, answer) != 0) fail_msg("%s %s: '%s'", name, arguments, is);
}

static void test_reminders(void **state)
{
    (void)state;
    answers("remind", "{\"text\": \"call the dentist\", \"day\": \"tomorrow\", \"time\": \"5\"}",
            "I will remind you tomorrow (Sunday, 22 November) at 17:00: call the dentist");
    answers("remind", "{\"text\": \"check the oven\", \"in\": \"20 min\"}",
            "I will remind you today at 17:50: check the oven");
    answers("remind", "{\"text\": \"bins out\", \"time\": \"evening\", \"every\": \"wednesday\"}",
            "I will remind you on Wednesday, 25 November at 19:00, and then every Wednesday: bins "
            "out");
    answers("remind", "{\"text\": \"alarm\", \"time\": \"6:45\"}",
            "I will remind you today at 18:45: alarm");
    answers("list", "{\"kind\": \"reminder\"}",
            "Your reminders:\n 1. check the oven: today at 17:50\n 2. alarm: today at 18:45\n"
            " 3. call the dentist: tomorrow (Sunday, 22 November) at 17:00\n"
            " 4. bins out: on Wednesday, 25 November at 19:00, and then every Wednesday");
    answers("change", "{\"kind\": \"reminder\", \"number\": 3, \"time\": \"6\"}",
            "Changed: call the dentist: tomorrow (Sunday, 22 November) at 18:00");
    answers("undo", "{}", "As before: call the dentist: tomorrow (Sunday, 22 November) at 17:00");
    answers("cancel", "{\"kind\": \"reminder\", \"text\": \"oven\"}",
            "Cancelled the reminder 'check the oven'.");
    answers("undo", "{}", "As before: check the oven: today at 17:50");
    answers("cancel", "{\"kind\": \"reminder\"}", "Cancelled the reminder 'check the oven'.");
    answers("list", "{\"kind\": \"reminder\", \"day\": \"2026-12-02\"}",
            "Your reminders on Wednesday, 2 December:\n 1. bins out: on Wednesday, 2 December at "
            "19:00, and then every Wednesday");
    answers("cancel", "{\"kind\": \"reminder\", \"text\": \"all\"}",
            "Cancelled 3 reminders; \"undo\" brings them back.");
    answers("undo", "{}",
            "As before:\n 1. call the dentist: tomorrow (Sunday, 22 November) at 17:00\n"
            " 2. bins out: on Wednesday, 25 November at 19:00, and then every Wednesday\n"
            " 3. alarm: today at 18:45");
    answers("cancel", "{\"kind\": \"reminder\", \"text\": \"alarm\", \"time\": \"6:45\"}",
            "Cancelled the reminder 'alarm'.");
    answers("remind", "{\"text\": \"x\", \"day\": \"yesterday\"}",
            "That is over already; nothing was changed.");
    answers("remind", "{\"text\": \"x\"}",
            "I did not understand when; please say a day or a time.");
    answers("remind", "{\"text\": \"x\", \"day\": \"someday\"}",
            "'someday' is no day that I understand; nothing was changed.");
    answers("remind", "{\"text\": \"ring mum\", \"time\": \"8\"}",
            "I will remind you today at 20:00: ring mum");
    answers("change", "{\"kind\": \"reminder\", \"time\": \"9\"}",
            "Changed: ring mum: today at 21:00");
}

static void test_calendar(void **state)
{
    (void)state;
    answers("event",
            "{\"text\": \"meeting with Bogdan\", \"day\": \"monday\", \"time\": \"2\", "
            "\"end\": \"4\"}",
            "In your calendar: meeting with Bogdan, on Monday, 23 November at 14:00 to 16:00");
    answers("event",
            "{\"text\": \"gym\", \"day\": \"tomorrow\", \"time\": \"7am\", \"end\": \"8am\"}",
            "In your calendar: gym, tomorrow (Sunday, 22 November) at 7:00 to 8:00");
    answers(
        "event",
        "{\"text\": \"shift\", \"day\": \"friday\", \"time\": \"22:00\", "
        "\"end\": \"06:00\"}",
        "In your calendar: shift, on Friday, 27 November at 22:00 until on Saturday, 28 November "
        "at 6:00");
    answers("event", "{\"text\": \"vacation\", \"day\": \"1 aug\", \"end\": \"14 aug\"}",
            "In your calendar: vacation, on Sunday, 1 August 2027 until Saturday, 14 August 2027");
    answers("event",
            "{\"text\": \"workshop\", \"day\": \"tuesday\", \"time\": \"13:00\", "
            "\"for\": \"2 h\"}",
            "In your calendar: workshop, on Tuesday, 24 November at 13:00 to 15:00");
    answers("event", "{\"text\": \"fair\", \"day\": \"8th\", \"for\": \"3 days\"}",
            "In your calendar: fair, on Tuesday, 8 December until Thursday, 10 December 2026");
    answers("event", "{\"text\": \"birthday\", \"day\": \"22 may\", \"every\": \"year\"}",
            "In your calendar: birthday, on Saturday, 22 May 2027, and then every year");
    answers(
        "list", "{\"kind\": \"event\", \"day\": \"9 dec\"}",
        "Your calendar entries on Wednesday, 9 December:\n 1. fair: on Tuesday, 8 December until "
        "Thursday, 10 December 2026");
    answers("list", "{\"kind\": \"all\", \"day\": \"next week\"}",
            "Your plans next week:\n 1. meeting with Bogdan: on Monday, 23 November at 14:00 to "
            "16:00\n 2. workshop: on Tuesday, 24 November at 13:00 to 15:00\n 3. shift: on Friday, "
            "27 November at 22:00 until on Saturday, 28 November at 6:00");
    answers("find", "{\"kind\": \"event\", \"text\": \"Bogdan\"}",
            "Found:\n 1. meeting with Bogdan: on Monday, 23 November at 14:00 to 16:00");
    answers("change", "{\"kind\": \"event\", \"text\": \"Bogdan\", \"time\": \"3\"}",
            "Changed: meeting with Bogdan: on Monday, 23 November at 15:00 to 17:00");
    answers("change",
            "{\"kind\": \"event\", \"text\": \"meeting with Bogdan\", \"from\": "
            "\"monday\", \"day\": \"friday\"}",
            "Changed: meeting with Bogdan: on Friday, 27 November at 15:00 to 17:00");
    answers("event", "{\"text\": \"meeting with Eva\", \"day\": \"friday\", \"time\": \"9\"}",
            "In your calendar: meeting with Eva, on Friday, 27 November at 9:00");
    answers("cancel", "{\"kind\": \"event\", \"text\": \"meeting\"}",
            "Which one?\n 1. meeting with Eva: on Friday, 27 November at 9:00\n 2. meeting with "
            "Bogdan: on Friday, 27 November at 15:00 to 17:00");
    assert_int_equal(outcome, AGENT_WHICH);
    answers("cancel", "{\"kind\": \"event\", \"number\": 2}",
            "Cancelled the calendar entry 'meeting with Bogdan'.");
    answers("cancel", "{\"kind\": \"event\", \"text\": \"dragon\"}",
            "I found no calendar entry 'dragon'; nothing was changed.");
    answers("list", "{\"kind\": \"event\", \"day\": \"2030-05-22\"}",
            "Your calendar entries on Wednesday, 22 May 2030:\n 1. birthday: on Wednesday, 22 May "
            "2030, and then every year");
}

static void test_notes_and_timers(void **state)
{
    (void)state;
    answers("note", "{\"text\": \"the wifi password is bluebird42\"}",
            "Noted: the wifi password is bluebird42");
    answers("note", "{\"text\": \"  a \\u001b[31m red\\n line \\u0007 \"}",
            "Noted: a [31m red line");
    answers("find", "{\"kind\": \"note\", \"text\": \"WiFi\"}",
            "Found:\n 1. the wifi password is bluebird42");
    answers("find", "{\"kind\": \"note\", \"text\": \"boiler\"}",
            "I found no notes about 'boiler'.");
    answers("list", "{\"kind\": \"note\"}",
            "Your notes:\n 1. the wifi password is bluebird42\n 2. a [31m red line");
    answers("cancel", "{\"kind\": \"note\", \"number\": 2}",
            "Cancelled the note 'a [31m red line'.");
    answers("timer", "{\"in\": \"8 min\", \"text\": \"pasta\"}",
            "Timer 'pasta': 8 minutes, until 17:38:00");
    answers("timer", "{\"in\": \"90 s\"}", "Timer: 1 minute 30 seconds, until 17:31:30");
    now += 60;
    answers("list", "{\"kind\": \"timer\"}",
            "Your timers:\n 1. timer: 30 seconds left\n 2. pasta: 7 minutes left");
    answers("change", "{\"kind\": \"timer\", \"in\": \"15 min\"}",
            "Changed: timer: 15 minutes left");
    answers("cancel", "{\"kind\": \"timer\", \"text\": \"all\"}",
            "Cancelled 2 timers; \"undo\" brings them back.");
    answers("list", "{\"kind\": \"timer\"}", "You have no timers.");
    assert_int_equal(outcome, AGENT_NOTHING);
}

static void test_what_it_knows(void **state)
{
    (void)state;
    answers("time", "{}", "It is 17:30.");
    answers("date", "{\"day\": \"today\"}", "Saturday, 21 November 2026: today");
    answers("date", "{\"day\": \"christmas\"}", "Friday, 25 December 2026: in 34 days");
    answers("date", "{\"day\": \"3 weeks ago\"}", "Saturday, 31 October 2026: 21 days ago");
    answers("date", "{\"time\": \"6pm\"}", "30 minutes until today at 18:00");
    answers("days", "{\"from\": \"3 mar\", \"to\": \"10 apr\"}",
            "Wednesday, 3 March 2027 to Saturday, 10 April 2027: 38 days");
    answers("calculate", "{\"expr\": \"15% of 80\"}", "15% of 80 = 12");
    answers("calculate", "{\"expr\": \"1 / 3\"}", "1 / 3 ~ 0.333333333333");
    answers("calculate", "{\"expr\": \"1 / 0\"}", "1 / 0: a division by zero has no result.");
    answers("convert", "{\"value\": 26.2, \"from\": \"mi\", \"to\": \"km\"}",
            "26.2 miles = 42.1648128 kilometres");
    answers("convert", "{\"value\": 1, \"from\": \"m\", \"to\": \"in\"}",
            "1 metre ~ 39.37008 inches");
    answers("convert", "{\"value\": -40, \"from\": \"f\", \"to\": \"c\"}",
            "-40 degrees Fahrenheit = -40 degrees Celsius");
    assert_non_null(strstr(call("help", "{\"topic\": \"abilities\"}"), "remind me"));
    assert_non_null(strstr(call("escalate", "{\"reason\": \"code\"}"), "larger model"));
    assert_non_null(strstr(said.data, "bantam run FILE.gguf"));
}

static void test_calls_without_sense(void **state)
{
    static const char *const rows[][2] = {
        {"fly", "{}"},
        {"remind", "{}"},
        {"remind", "[]"},
        {"remind", "{"},
        {"remind", ""},
        {"remind", "{\"text\": 5, \"time\": \"5\"}"},
        {"remind", "{\"text\": \"\", \"time\": \"5\"}"},
        {"remind", "{\"text\": \"\\u0000\", \"time\": \"5\"}"},
        {"remind", "{\"text\": \"x\", \"time\": \"5\", \"color\": \"red\"}"},
        {"remind", "{\"text\": \"x\", \"in\": \"3 days 5\"}"},
        {"timer", "{\"in\": \"soon\"}"},
        {"timer", "{\"in\": \"3 days\"}"},
        {"event", "{\"text\": \"x\", \"day\": \"friday\", \"end\": \"never\"}"},
        {"event", "{\"text\": \"x\", \"day\": \"10th\", \"end\": \"monday\", \"every\": \"moon\"}"},
        {"list", "{\"kind\": \"dreams\"}"},
        {"cancel", "{\"kind\": \"all\"}"},
        {"change", "{\"kind\": \"note\"}"},
        {"days", "{\"from\": \"x\", \"to\": \"y\"}"},
        {"convert", "{\"value\": \"5\", \"from\": \"m\", \"to\": \"km\"}"},
        {"convert", "{\"value\": 1e300, \"from\": \"m\", \"to\": \"km\"}"},
        {"convert", "{\"value\": 5, \"from\": \"m\", \"to\": \"kg\"}"},
        {"calculate", "{\"expr\": \"rm -rf\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call(rows[i][0], rows[i][1]);
        if (outcome != AGENT_WRONG || !said.size)
            fail_msg("%s %s: %s", rows[i][0], rows[i][1], said.data);
    }
    answers("cancel", "{\"kind\": \"reminder\", \"number\": 7}",
            "I found no reminder; nothing was changed.");
    answers("undo", "{}", "There is nothing to take back.");
    answers("list", "{\"kind\": \"all\"}", "You have no entries.");
}

static void test_ringing(void **state)
{
    Buf lines = {0};
    size_t n;
    int64_t next;
    bt_error err = {0};
    (void)state;
    call("remind", "{\"text\": \"oven\", \"in\": \"20 min\"}");
    call("timer", "{\"in\": \"5 min\", \"text\": \"tea\"}");
    call("remind", "{\"text\": \"pills\", \"time\": \"6pm\", \"every\": \"day\"}");
    assert_int_equal(agent_due(agent, now, &lines, &n, &err), BT_OK);
    assert_int_equal(n, 0);
    assert_int_equal(agent_next_due(agent, now, &next, &err), BT_OK);
    assert_int_equal(next, now + 300);
    now += 2 * 86400 + 3600; /* the machine was off */
    assert_int_equal(agent_due(agent, now, &lines, &n, &err), BT_OK);
    assert_int_equal(n, 3);
    assert_string_equal(lines.data,
                        "Timer: tea (time is up, 2 days ago)\n"
                        "Reminder: oven (on Saturday, 21 November at 17:50, 2 days ago)\n"
                        "Reminder: pills (on Saturday, 21 November at 18:00, 2 days ago)\n");
    buf_clear(&lines);
    assert_int_equal(agent_due(agent, now, &lines, &n, &err), BT_OK);
    assert_int_equal(n, 0);
    answers("list", "{\"kind\": \"reminder\"}",
            "Your reminders:\n 1. pills: tomorrow (Tuesday, 24 November) at 18:00, and then every "
            "day");
    answers("change", "{\"kind\": \"reminder\", \"in\": \"10 min\"}",
            "Changed: pills: today at 18:40, and then every day");
    buf_close(&lines);
}

static const char *rings(int64_t at)
{
    size_t n;
    bt_error err = {0};
    buf_clear(&said);
    now = at;
    assert_int_equal(agent_due(agent, now, &said, &n, &err), BT_OK);
    return n ? said.data : "";
}

static void test_entries_are_told(void **state)
{
    int64_t day = civil_day(2026, 11, 22), next; /* Sunday */
    bt_error err = {0};
    (void)state;
    call("event", "{\"text\": \"lunch\", \"day\": \"tomorrow\", \"time\": \"1pm\"}");
    call("event", "{\"text\": \"fair\", \"day\": \"tomorrow\", \"end\": \"monday\"}");
    call("event", "{\"text\": \"yoga\", \"time\": \"6pm\", \"for\": \"2 h\", "
                  "\"every\": \"day\"}");
    call("event", "{\"text\": \"party\", \"day\": \"today\"}"); /* known to who says it */
    assert_string_equal(rings(now), "");
    assert_int_equal(agent_next_due(agent, now, &next, &err), BT_OK);
    assert_int_equal(next, clock_at(day - 1, 18 * 60));
    assert_string_equal(rings(next), "Calendar: yoga (today at 18:00 to 20:00)\n");
    assert_string_equal(rings(next + 60), "");
    assert_int_equal(agent_next_due(agent, now, &next, &err), BT_OK);
    assert_int_equal(next, clock_at(day, 9 * 60));
    assert_string_equal(rings(next - 1), "");
    assert_string_equal(rings(next + 60),
                        "Calendar: fair (today until Monday, 23 November 2026)\n");
    /* late, but not over; then over: nobody wants to hear of it */
    assert_string_equal(rings(clock_at(day, 13 * 60 + 20)),
                        "Calendar: lunch (today at 13:00, 20 minutes ago)\n");
    call("event", "{\"text\": \"tea\", \"time\": \"2pm\"}");
    assert_string_equal(rings(clock_at(day, 15 * 60 + 1)), "");
    /* what was told is told again at another time */
    call("change", "{\"kind\": \"event\", \"text\": \"lunch\", \"day\": \"monday\", "
                   "\"time\": \"2pm\"}");
    assert_string_equal(rings(clock_at(day + 1, 14 * 60)), "Calendar: lunch (today at 14:00)\n");
    /* slept through twice, told once */
    assert_string_equal(rings(clock_at(day + 2, 19 * 60)),
                        "Calendar: yoga (today at 18:00 to 20:00, 1 hour ago)\n");
    call("cancel", "{\"kind\": \"event\"}");
    assert_string_equal(rings(clock_at(day + 3, 18 * 60)), "");
}

static void test_long_notes_are_whole(void **state)
{
    static const char heard[] = "please note a b c d e f g h i j k l m n o p q r s t u v w x y. z!";
    char call_text[100], wide[400] = "note ", *at = wide + 5;
    (void)state;
    agent_hear(agent, heard);
    snprintf(call_text, sizeof call_text, "{\"text\": \"%.47s\"}", heard + 12); /* 24 words */
    answers("note", call_text, "Noted: a b c d e f g h i j k l m n o p q r s t u v w x y. z!");
    answers("note", "{\"text\": \"c d\"}", "Noted: c d");
    answers("note", "{\"text\": \"not said\"}", "Noted: not said");
    for (int i = 0; i < 100; i++) at += snprintf(at, 4, "%s", i == 99 ? " b" : "\xc3\xa4");
    agent_hear(agent, wide); /* 99 characters and one more word: far from the bound */
    snprintf(call_text, sizeof call_text, "{\"text\": \"%s\"}", "\xc3\xa4");
    answers("note", call_text, "Noted: \xc3\xa4");
    agent_hear(agent, NULL);
    answers("note", "{\"text\": \"alone\"}", "Noted: alone");
}

/* A clock that is wrong by centuries, or jumps, gives no nonsense. */
static void test_odd_clocks(void **state)
{
    static const int64_t clocks[] = {
        0, -1, -62135596800, -99999999999, 253402300799, 99999999999999};
    int64_t next;
    bt_error err = {0};
    (void)state;
    call("remind", "{\"text\": \"pills\", \"time\": \"6pm\", \"every\": \"day\"}");
    call("event", "{\"text\": \"yoga\", \"time\": \"6pm\", \"every\": \"30 min\"}");
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        now = clocks[i];
        call("time", "{}");
        call("date", "{\"day\": \"next friday\"}");
        call("remind", "{\"text\": \"x\", \"in\": \"9999 h\"}");
        call("event", "{\"text\": \"y\", \"day\": \"in 9999 years\", \"for\": \"2 days\"}");
        call("remind", "{\"text\": \"z\", \"day\": \"31st\", \"every\": \"month\"}");
        call("list", "{\"kind\": \"all\", \"day\": \"today\"}");
        call("list", "{\"kind\": \"all\"}");
        rings(now);
        assert_int_equal(agent_next_due(agent, now, &next, &err), BT_OK);
        assert_true(!next || next > now);
    }
}

static const char *calendar(void)
{
    bt_error err = {0};
    buf_clear(&said);
    assert_int_equal(agent_calendar(agent, now, &said, &err), BT_OK);
    return said.data;
}

static void test_icalendar(void **state)
{
    (void)state;
    call("event",
         "{\"text\": \"lunch, with A; B \\\\ C\", \"day\": \"monday\", \"time\": \"noon\", "
         "\"for\": \"1 h\"}");
    call("event", "{\"text\": \"vacation\", \"day\": \"1 aug\", \"end\": \"14 aug\"}");
    call("event", "{\"text\": \"standup\", \"time\": \"9:30\", \"every\": \"weekday\"}");
    call("remind",
         "{\"text\": \"rent\", \"day\": \"31st\", \"time\": \"9am\", \"every\": \"month\"}");
    call("remind", "{\"text\": \"summer\", \"day\": \"2027-07-01\", \"time\": \"9am\"}");
    const char *text = calendar();
    static const char *const wanted[] = {
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:",
        "DTSTART:20261123T110000Z\r\nDTEND:20261123T120000Z\r\n",
        "SUMMARY:lunch\\, with A\\; B \\\\ C\r\n",
        "DTSTART;VALUE=DATE:20270801\r\nDTEND;VALUE=DATE:20270815\r\n",
        "DTSTART:20261123T093000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR\r\n",
        "RRULE:FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY=28,29,30,31;BYSETPOS=-1\r\n",
        "BEGIN:VTODO\r\n",
        "DTSTART:20270701T070000Z\r\n",
        "END:VCALENDAR\r\n"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!strstr(text, wanted[i])) fail_msg("no %s in\n%s", wanted[i], text);
}

static void test_icalendar_folds_lines(void **state)
{
    char arguments[1200], *at = arguments + snprintf(arguments, sizeof arguments, "{\"text\": \"");
    (void)state;
    for (int i = 0; i < 200; i++) at += snprintf(at, 8, i % 3 ? "\xe2\x82\xac" : "a");
    snprintf(at, 40, "\", \"day\": \"monday\"}");
    call("event", arguments);
    const char *text = calendar();
    size_t in_line = 0, folds = 0;
    for (const char *p = text; *p; p++) {
        in_line++;
        if (*p != '\n') continue;
        assert_true(p[-1] == '\r');
        assert_true(in_line <= 77); /* 75 and the break */
        in_line = 0;
        if (p[1] == ' ') {
            folds++;
            assert_true(((unsigned char)p[2] & 0xc0) != 0x80); /* no character is cut */
        }
    }
    assert_true(folds >= 6);
}

/* ---- the test set ---- */

static const char *text_copy(const Jdoc *doc, JdocRef ref, char *out, size_t size)
{
    Span s = jdoc_text(doc, ref);
    snprintf(out, size, "%.*s", (int)s.size, s.data);
    return out;
}

/* The value's text, written anew: strings and numbers are all that calls hold. */
static void write_arguments(const Jdoc *doc, JdocRef object, Buf *out)
{
    JdocRef key = jdoc_first(doc, object);
    buf_char(out, '{');
    for (uint32_t i = 0; i < jdoc_count(doc, object); i++) {
        JdocRef value = jdoc_next(doc, key);
        Span k = jdoc_text(doc, key), v = jdoc_text(doc, value);
        double number;
        buf_printf(out, "%s\"%.*s\": ", i ? ", " : "", (int)k.size, k.data);
        if (jdoc_number(doc, value, &number))
            buf_printf(out, "%.15g", number);
        else
            buf_printf(out, "\"%.*s\"", (int)v.size, v.data);
        key = jdoc_next(doc, value);
    }
    buf_char(out, '}');
}

static size_t carry_out(const char *file)
{
    size_t size, calls = 0;
    char *lines = files_read(files_source("models.d/hatchling/%s", file), &size);
    assert_non_null(lines);
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1) {
        Jdoc *doc;
        bt_error err = {0};
        assert_int_equal(jdoc_open(line, (uint64_t)(end - line), file, &doc, &err), BT_OK);
        JdocRef list = jdoc_get(doc, 0, "calls");
        for (uint32_t i = 0; i < jdoc_count(doc, list); i++) {
            char name[40];
            Buf arguments = {0};
            JdocRef one = jdoc_at(doc, list, i);
            write_arguments(doc, jdoc_get(doc, one, "arguments"), &arguments);
            text_copy(doc, jdoc_get(doc, one, "name"), name, sizeof name);
            call(name, arguments.data);
            if (outcome == AGENT_WRONG) fail_msg("%s %s: %s", name, arguments.data, said.data);
            buf_close(&arguments);
            calls++;
        }
        jdoc_close(&doc);
    }
    free(lines);
    return calls;
}

static void test_the_test_sets_calls_can_be_carried_out(void **state)
{
    (void)state;
    now = clock_at(civil_day(2026, 11, 20), 8 * 60); /* a Friday morning */
    assert_true(carry_out("dev.jsonl") > 200);
    assert_true(carry_out("final.jsonl") > 200);
}

/* The table here and tools.json name the same tools, arguments and units. */
static void test_the_schema_is_the_tables(void **state)
{
    Jdoc *doc;
    bt_error err = {0};
    (void)state;
    size_t size;
    char *file = files_read(files_source("models.d/hatchling/tools.json"), &size);
    assert_non_null(file);
    assert_string_equal(agent_tools(), file);
    assert_int_equal(jdoc_open(file, size, "tools.json", &doc, &err), BT_OK);
    for (uint32_t i = 0; i < jdoc_count(doc, 0); i++) {
        char name[40], key_text[40];
        JdocRef f = jdoc_get(doc, jdoc_at(doc, 0, i), "function");
        JdocRef p = jdoc_get(doc, jdoc_get(doc, f, "parameters"), "properties");
        text_copy(doc, jdoc_get(doc, f, "name"), name, sizeof name);
        JdocRef key = jdoc_first(doc, p);
        for (uint32_t k = 0; k < jdoc_count(doc, p); k++) {
            Buf arguments = {0};
            text_copy(doc, key, key_text, sizeof key_text);
            bool digits = jdoc_is(doc, jdoc_get(doc, jdoc_next(doc, key), "type"), "number") ||
                          jdoc_is(doc, jdoc_get(doc, jdoc_next(doc, key), "type"), "integer");
            buf_printf(&arguments, "{\"%s\": %s}", key_text, digits ? "1" : "\"1\"");
            if (strstr(call(name, arguments.data), "does not take"))
                fail_msg("%s does not take %s", name, key_text);
            buf_close(&arguments);
            key = jdoc_next(doc, jdoc_next(doc, key));
        }
        if (strcmp(name, "convert") == 0) {
            JdocRef units = jdoc_get(doc, jdoc_get(doc, p, "from"), "enum");
            size_t n = 0;
            while (units_name(n)) n++;
            assert_int_equal(n, jdoc_count(doc, units));
            for (uint32_t u = 0; u < n; u++) {
                Number out;
                Span unit = jdoc_text(doc, jdoc_at(doc, units, u));
                assert_int_equal(units_convert(number_of(1), unit, unit, &out, &err), BT_OK);
            }
        }
        assert_non_null(strstr(call(name, "{\"zzz\": 1}"), "does not take"));
    }
    jdoc_close(&doc);
    free(file);
}

/* ---- hardship ---- */

/* With a new file. */
static bt_status life(void *user, bt_error *err)
{
    Buf answer = {0};
    (void)user;
    unlink(scratch_path("assistant.db"));
    bt_status status = agent_open(scratch_path("."), NULL, &agent, err);
    if (!status)
        status = agent_call(agent, "remind", "{\"text\": \"a\", \"in\": \"5 min\"}", now, &answer,
                            &outcome, err);
    if (!status)
        status = agent_call(agent, "list", "{\"kind\": \"all\"}", now, &answer, &outcome, err);
    if (!status)
        status = agent_call(agent, "cancel", "{\"kind\": \"reminder\", \"text\": \"a\"}", now,
                            &answer, &outcome, err);
    if (!status) status = agent_calendar(agent, now, &answer, err);
    if (status) assert_non_null(strstr(err->text, "memory"));
    buf_close(&answer);
    agent_close(&agent);
    buf_close(&said);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    agent_close(&agent);
    torture_some("the tools", life, NULL, 150);
}

/* In a child, with the folder granted: SQLite needs locks, a journal that comes and goes, fsync. */
static void test_in_the_sandbox(void **state)
{
    int status;
    (void)state;
    if (getenv("BANTAM_EMULATED")) skip(); /* qemu has no seccomp of its own */
    agent_close(&agent);
    buf_close(&said);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const SandboxGrant grants[] = {{scratch_path("."), true}};
        SandboxOptions options = {.grants = grants, .n_grants = 1};
        SandboxReport report;
        bt_error err = {0};
        Buf answer = {0};
#ifdef BANTAM_SANITIZED
        options.wide = true;
#endif
        if (sandbox_enter(&options, &report, &err) != BT_OK) _exit(77);
        if (agent_open(grants[0].path, NULL, &agent, &err) != BT_OK) _exit(1);
        if (agent_call(agent, "note", "{\"text\": \"in the box\"}", now, &answer, &outcome, &err))
            _exit(2);
        if (agent_call(agent, "undo", "{}", now, &answer, &outcome, &err)) _exit(3);
        if (agent_call(agent, "note", "{\"text\": \"still in the box\"}", now, &answer, &outcome,
                       &err))
            _exit(4);
        agent_close(&agent);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    bt_error err = {0};
    assert_int_equal(agent_open(scratch_path("."), NULL, &agent, &err), BT_OK);
    answers("list", "{\"kind\": \"note\"}", "Your notes:\n 1. still in the box");
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(test_reminders),
        FRESH(test_calendar),
        FRESH(test_notes_and_timers),
        FRESH(test_what_it_knows),
        FRESH(test_calls_without_sense),
        FRESH(test_ringing),
        FRESH(test_entries_are_told),
        FRESH(test_long_notes_are_whole),
        FRESH(test_odd_clocks),
        FRESH(test_icalendar),
        FRESH(test_icalendar_folds_lines),
        FRESH(test_the_test_sets_calls_can_be_carried_out),
        FRESH(test_the_schema_is_the_tables),
        FRESH(test_without_memory),
        FRESH(test_in_the_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
