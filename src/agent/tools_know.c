/* Tools that answer without storing anything: time, date, days, calculate, convert (see tools.h).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/calculate.h"
#include "agent/civil.h"
#include "agent/tools.h"
#include "agent/units.h"

bt_status tool_time(ToolCall *call, bt_error *err)
{
    (void)err;
    Civil c = clock_local(call->now);
    buf_printf(call->answer, "It is %d:%02d.", c.hour, c.minute);
    return BT_OK;
}

static void days_away(Buf *out, int64_t n)
{
    if (n == 0)
        buf_text(out, "today");
    else if (n == 1 || n == -1)
        buf_text(out, n > 0 ? "tomorrow" : "yesterday");
    else
        buf_printf(out, n > 0 ? "in %" PRId64 " days" : "%" PRId64 " days ago", n > 0 ? n : -n);
}

bt_status tool_date(ToolCall *call, bt_error *err)
{
    (void)err;
    int64_t today = clock_day(call->now);
    bool month_first = call->agent->options.month_first;
    Span said_day = call->said[ARG_DAY], said_time = call->said[ARG_TIME];
    DaySpan day = {.first = today, .last = today};
    Moment moment;
    if (said_day.data && !when_day(said_day, today, month_first, &day))
        return tool_wrong_when(call, WHEN_BAD_DAY);
    if (said_time.data) {
        const Said said = {.day = said_day, .time = said_time};
        WhenResult result = when_resolve(&said, call->now, month_first, 0, &moment);
        if (result == WHEN_PAST) {
            buf_text(call->answer, "That is over.");
            return BT_OK;
        }
        if (result != WHEN_GOOD) return tool_wrong_when(call, result);
        when_length_words(call->answer, moment.at - call->now);
        buf_text(call->answer, " until ");
        when_words(call->answer, moment.at, false, call->now);
        return BT_OK;
    }
    when_day_words(call->answer, day.first, call->now);
    if (day.last != day.first) {
        buf_text(call->answer, " to ");
        when_day_words(call->answer, day.last, call->now);
    }
    buf_text(call->answer, ": ");
    days_away(call->answer, day.first - today);
    return BT_OK;
}

bt_status tool_days(ToolCall *call, bt_error *err)
{
    (void)err;
    DaySpan from, to;
    bool month_first = call->agent->options.month_first;
    if (!when_day(call->said[ARG_FROM], clock_day(call->now), month_first, &from) ||
        !when_day(call->said[ARG_TO], from.first, month_first, &to))
        return tool_wrong(call, "I did not understand these two days.");
    int64_t n = to.first - from.first;
    when_day_words(call->answer, from.first, call->now);
    buf_text(call->answer, " to ");
    when_day_words(call->answer, to.first, call->now);
    buf_printf(call->answer, ": %" PRId64 " day%s", n < 0 ? -n : n, n == 1 || n == -1 ? "" : "s");
    return BT_OK;
}

bt_status tool_calculate(ToolCall *call, bt_error *err)
{
    Number result;
    bt_error why = {0};
    Buf text = {0};
    clean_text(&text, call->said[ARG_EXPR]);
    if (text.failed) {
        buf_close(&text);
        return bt_fail_memory(err, "the expression", 0);
    }
    if (calculate((Span){text.data, text.size}, &result, &why) == BT_OK) {
        size_t start = call->answer->size;
        buf_printf(call->answer, "%s = ", text.data);
        size_t at = call->answer->size;
        if (!number_write(call->answer, result, 12) && !call->answer->failed && at > start + 2)
            call->answer->data[at - 2] = '~'; /* about */
    } else {
        tool_wrong(call, "%s: %s.", text.data, why.text);
    }
    buf_close(&text);
    return BT_OK;
}

bt_status tool_convert(ToolCall *call, bt_error *err)
{
    (void)err;
    Number value, result;
    bt_error why = {0};
    Span digits = call->said[ARG_VALUE], from = call->said[ARG_FROM], to = call->said[ARG_TO];
    bool negative = digits.size && digits.data[0] == '-';
    Span positive = {digits.data + negative, digits.size - negative};
    if (number_read(positive, &value) != positive.size)
        value = number_about(strtod(positive.data, NULL));
    if (negative) value = number_negate(value);
    if (units_convert(value, from, to, &result, &why) != BT_OK)
        return tool_wrong(call, "I cannot convert that: %s.", why.text);
    long long whole;
    number_write(call->answer, value, 10);
    buf_char(call->answer, ' ');
    units_words(call->answer, from, number_is_whole(value, &whole) && whole == 1);
    Buf exact = {0};
    bool good = number_write(&exact, result, 7) && exact.size <= 12;
    buf_text(call->answer, good ? " = " : " ~ ");
    if (good)
        buf_add(call->answer, exact.data, exact.size);
    else
        number_write(call->answer, number_about(number_double(result)), 7);
    buf_char(call->answer, ' ');
    units_words(call->answer, to, number_is_whole(result, &whole) && whole == 1);
    bool failed = exact.failed;
    buf_close(&exact);
    return failed ? bt_fail_memory(err, "the answer", 0) : BT_OK;
}
