/* Positions of several axes (M-RoPE). A session keeps those of every token, since what is fed again
 * after layers forgot must turn as it did. Source: Qwen2-VL (arXiv 2409.12191). */
#include <string.h>

#include "engine/session.h"

#define MOST_POSITION (1 << 30)

Axes *session_axes(const bt_session *s, int32_t sequence)
{
    return s->axes ? s->axes + (size_t)sequence * (size_t)s->n_ctx : NULL;
}

static int32_t largest(const Axes *a)
{
    int32_t most = a->of[0];
    for (int i = 1; i < ROPE_AXES; i++)
        if (a->of[i] > most) most = a->of[i];
    return most;
}

bt_status session_place(bt_session *s, const bt_row *row, StepRow *out, bt_error *err)
{
    int32_t at = out->position, text = at;
    Axes *axes = session_axes(s, row->sequence);
    if (row->axes && !axes)
        return bt_fail(err, BT_E_UNSUPPORTED, "positions of this model have one axis");
    for (int i = 0; row->axes && i < ROPE_AXES; i++)
        if (row->axes[i] < 0 || row->axes[i] > MOST_POSITION)
            return bt_fail(err, BT_E_ARGUMENT, "a position of %d; it must lie between 0 and %d",
                           row->axes[i], MOST_POSITION);
    if (axes && at > 0 && at < s->n_ctx && !row->axes) {
        text = largest(&axes[at - 1]);
        text += text < MOST_POSITION;
    }
    for (int i = 0; i < ROPE_AXES; i++) out->axis[i] = row->axes ? row->axes[i] : text;
    if (axes && at < s->n_ctx) memcpy(axes[at].of, out->axis, sizeof out->axis);
    return BT_OK;
}

void session_axes_shift(bt_session *s, int32_t sequence, int32_t keep, int32_t n, int32_t length)
{
    Axes *axes = session_axes(s, sequence);
    int32_t rest = length - keep - n;
    if (!axes || rest < 1) return;
    int32_t first = axes[keep + n].of[0];
    for (int i = 1; i < ROPE_AXES; i++)
        if (axes[keep + n].of[i] < first) first = axes[keep + n].of[i];
    int64_t down = first - (keep ? (int64_t)largest(&axes[keep - 1]) + 1 : 0);
    memmove(axes + keep, axes + keep + n, (size_t)rest * sizeof *axes);
    for (int32_t t = keep; t < keep + rest; t++)
        for (int i = 0; i < ROPE_AXES; i++) {
            int64_t moved = axes[t].of[i] - down;
            axes[t].of[i] = (int32_t)(moved < 0               ? 0
                                      : moved > MOST_POSITION ? MOST_POSITION
                                                              : moved);
        }
}
