/* What a model writes into its calls: days, times, lengths, repetitions, expressions, units. The
 * first byte chooses the moment at which they are read, the rest is the text. What is read must be
 * in range, and what repeats must come after now. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "agent/calculate.h"
#include "agent/civil.h"
#include "agent/units.h"
#include "agent/when.h"
#include "base/buf.h"

static void hold(bool good)
{
    if (!good) abort();
}

static void read_moments(Span text, int64_t now)
{
    DaySpan day;
    TimeOfDay time;
    Length length;
    Every every;
    Moment moment;
    Buf words = {0};
    if (when_day(text, clock_day(now), (now & 1) != 0, &day)) {
        hold(day.first <= day.last && day.last - day.first < 400);
        when_day_words(&words, day.first, now);
    }
    if (when_time(text, &time)) hold(time.minute >= 0 && time.minute <= 24 * 60);
    if (when_length(text, &length)) hold(when_after(now, &length) > now - 86400);
    if (when_every(text, &every)) {
        hold(when_next(&every, now - 12345678, now) > now);
        when_every_words(&words, &every);
    }
    for (int i = 0; i < 16; i++) {
        const Said said = {.in = i & 1 ? text : (Span){0},
                           .day = i & 2 ? text : (Span){0},
                           .time = i & 4 ? text : (Span){0},
                           .every = i & 8 ? text : (Span){0}};
        if (when_resolve(&said, now, false, 540, &moment) != WHEN_GOOD) continue;
        hold(moment.whole_day || moment.at > now);
        when_words(&words, moment.at, moment.whole_day, now);
    }
    buf_close(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Number n;
    Buf out = {0};
    if (size == 0) return 0;
    const Span text = {(const char *)data + 1, size - 1};
    read_moments(text, 1763740800 + (int64_t)data[0] * 1234567);
    if (calculate(text, &n, NULL) == BT_OK) {
        hold(isfinite(number_double(n)));
        number_write(&out, n, 12);
        hold(out.size > 0 && out.size < 400);
        for (size_t i = 0; units_name(i); i++) {
            Number there, back;
            Span unit = span_of(units_name(i));
            if (units_convert(n, SPAN("m"), unit, &there, NULL) != BT_OK) continue;
            hold(units_convert(there, unit, SPAN("m"), &back, NULL) == BT_OK);
            double a = number_double(n), b = number_double(back);
            hold(!isfinite(b) || fabs(a - b) <= 1e-9 * fabs(a) + 1e-300);
        }
    }
    buf_close(&out);
    return 0;
}
