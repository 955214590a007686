/* Adapters of a session's sequences (bt_session_adapt in bantam.h). Sequences with the same list
 * share a set; the step's memory grows when a set needs more, here and not in a step. */
#include <string.h>

#include "base/mem.h"
#include "engine/session.h"

/* The set that a sequence has already for this list, or NULL. */
static AdapterSet *find(const bt_session *s, const bt_adapter_use *uses, size_t n)
{
    for (int32_t q = 0; q < s->n_sequences; q++)
        if (s->of[q] && adapter_set_is(s->of[q], uses, n)) return s->of[q];
    return NULL;
}

static void list_set(const Adapters **sets, int32_t *n, const Adapters *one)
{
    for (int32_t i = 0; i < *n; i++)
        if (sets[i] == one) return;
    sets[(*n)++] = one;
}

/* The sets of all sequences, were `set` that of [first, end). */
static int32_t list_sets(const bt_session *s, int32_t first, int32_t end, AdapterSet *set,
                         const Adapters **sets)
{
    int32_t n = 0;
    for (int32_t q = 0; q < s->n_sequences; q++) {
        AdapterSet *own = q >= first && q < end ? set : s->of[q];
        if (own) list_set(sets, &n, &own->adapters);
    }
    return n;
}

/* Before anything is changed. */
static bt_status make_room(bt_session *s, int32_t first, int32_t end, AdapterSet *set,
                           bt_error *err)
{
    Arena larger;
    const Adapters **sets = mem_alloc((size_t)s->n_sequences * sizeof *sets);
    if (!sets) return bt_fail_memory(err, "adapters", (uint64_t)s->n_sequences * sizeof *sets);
    int32_t n = list_sets(s, first, end, set, sets);
    size_t bytes = model_step_bytes(s->model, &s->shape, sets, n, err);
    mem_free(sets);
    if (!bytes) return err ? err->status : BT_E_MEMORY;
    if (bytes <= s->arena.size) return BT_OK;
    if (!arena_open(&larger, bytes)) return bt_fail_memory(err, "steps with adapters", bytes);
    arena_close(&s->arena);
    s->arena = larger;
    s->answer = NULL;
    return BT_OK;
}

static void replace(bt_session *s, int32_t q, AdapterSet *set)
{
    AdapterSet *old = s->of[q];
    if (old == set) return;
    if (set) set->n_sequences++;
    s->of[q] = set;
    state_truncate(s->state, q, 0);
    if (old && --old->n_sequences == 0) adapter_set_close(&old);
}

bt_status bt_session_adapt(bt_session *s, int32_t sequence, const bt_adapter_use *uses, size_t n,
                           bt_error *err)
{
    bt_error inner = {0};
    bt_error_clear(err);
    bt_status status = sequence == -1 ? BT_OK : session_check_sequence(s, sequence, err);
    if (status) return status;
    int32_t first = sequence == -1 ? 0 : sequence,
            end = sequence == -1 ? s->n_sequences : first + 1;
    AdapterSet *set = n ? find(s, uses, n) : NULL, *made = NULL;
    if (n && !set) status = adapter_set_open(s->model, uses, n, &made, &inner);
    if (!set) set = made;
    if (!status) status = make_room(s, first, end, set, &inner);
    if (!status) status = model_check_files(s->model, &inner);
    if (status) {
        adapter_set_close(&made);
        return bt_fail(err, status, "%s", inner.text);
    }
    for (int32_t q = first; q < end; q++) replace(s, q, set);
    s->n_sets = list_sets(s, 0, 0, NULL, s->sets);
    return BT_OK;
}

void session_drop_adapters(bt_session *s)
{
    for (int32_t q = 0; s->of && q < s->n_sequences; q++) {
        AdapterSet *old = s->of[q];
        s->of[q] = NULL;
        if (old && --old->n_sequences == 0) adapter_set_close(&old);
    }
}
