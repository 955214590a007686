/* Days, times, lengths and repetitions in the assistant's one spelling (docs/assistant.md), and
 * what they mean now. Readers take any bytes; what is not of the spelling gives false. */
#ifndef AGENT_WHEN_H
#define AGENT_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* Which day comes next where the one meant is over: "friday" in a week, "15th" in a month. */
typedef enum DayAgain { DAY_ONCE, DAY_WEEKLY, DAY_MONTHLY, DAY_YEARLY } DayAgain;

typedef struct DaySpan {
    int64_t first, last; /* days; the same but for weeks, weekends, months, years */
    DayAgain again;
} DaySpan;

/* `month_first`: 3/4 is the 4th of March. */
bool when_day(Span text, int64_t today, bool month_first, DaySpan *out);

typedef struct TimeOfDay {
    int minute;  /* after midnight */
    bool either; /* of the 12-hour clock without am or pm: 12 hours later may be meant */
} TimeOfDay;

bool when_time(Span text, TimeOfDay *out);

typedef struct Length {
    int64_t seconds;
    int32_t days, months;
} Length;

bool when_length(Span text, Length *out);
int64_t when_after(int64_t instant, const Length *length);
void when_length_words(Buf *out, int64_t seconds); /* "1 hour 20 minutes" */

typedef enum EveryUnit {
    EVERY_NEVER,
    EVERY_SECONDS, /* n of them */
    EVERY_DAYS,
    EVERY_MONTHS,
    EVERY_WEEKDAYS, /* monday to friday */
    EVERY_WEEKENDS,
    EVERY_ON, /* each n-th day of the week, MONDAY = 0 */
} EveryUnit;

typedef struct Every {
    EveryUnit unit;
    int32_t n;
} Every;

bool when_every(Span text, Every *out);
/* The first time after `now` of what was first at `first`; by the wall's clock, so that 9:00 stays
 * 9:00 when the clocks change. */
int64_t when_next(const Every *every, int64_t first, int64_t now);
void when_every_words(Buf *out, const Every *every); /* "every Monday" */

/* What was said about one moment; spans without data were not said. */
typedef struct Said {
    Span in, day, time, every;
    bool early; /* an alarm: a time of either half is the next one */
} Said;

typedef struct Moment {
    int64_t at;
    bool whole_day; /* no time was said */
    int64_t last_day;
    Every every;
} Moment;

typedef enum WhenResult {
    WHEN_GOOD,
    WHEN_PAST, /* it is over */
    WHEN_NOT_SAID,
    WHEN_BAD_IN, /* not of the spelling */
    WHEN_BAD_DAY,
    WHEN_BAD_TIME,
    WHEN_BAD_EVERY,
} WhenResult;

/* The next moment that fits. A time without a day is the next such time; a day without a time is
 * taken at `default_minute`. */
WhenResult when_resolve(const Said *said, int64_t now, bool month_first, int default_minute,
                        Moment *out);

/* "today at 17:00", "tomorrow (Sunday, 22 November) at 9:00", "on Friday, 27 November". */
void when_words(Buf *out, int64_t at, bool whole_day, int64_t now);
void when_day_words(Buf *out, int64_t day, int64_t now); /* "Friday, 27 November 2026" */

#endif
