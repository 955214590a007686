/* Window patterns (see block_window.h). */
#include "models/block_window.h"

Windows block_windows(Loader *ld, int32_t period, bool first_full)
{
    const char *key = "attention.sliding_window_pattern";
    int32_t n = ld->hyper.n_layers, values[MODEL_MOST_LAYERS];
    Windows w = {.span = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0)};
    int32_t *layer = loader_memory(ld, (size_t)(n > 0 ? n : 1), sizeof *layer);
    int32_t have = loader_array(ld, key, 0, MODEL_MOST_LAYERS, values, MODEL_MOST_LAYERS);
    if (loader_failed(ld) || !w.span) return (Windows){0};
    w.layer = layer;
    if (have == 1 && n > 1) {
        period = values[0];
        have = 0;
    }
    if (have > 0 && have < n) {
        loader_fail(ld, BT_E_FORMAT, "key '%s.%s' has %d values for %d layers", ld->arch, key, have,
                    n);
        return (Windows){0};
    }
    for (int32_t l = 0; l < n; l++)
        layer[l] = have ? values[l] : period < 2 ? 0 : l % period != (first_full ? 0 : period - 1);
    return w;
}

void block_windows_apply(Loader *ld, Decoder *m, const Windows *w, int rope)
{
    for (int32_t l = 0; m && w->span && l < m->n_layers; l++) {
        if (!w->layer[l]) continue;
        block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, w->span);
        m->layer[l].attention.rope = rope;
    }
}
