/* Reading a text in windows (see reader.h). */
#include "quant/reader.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/status.h"

bt_status reader_open(bt_model *model, int32_t n_ctx, bt_kv_type kv, Reader *r, bt_error *err)
{
    *r = (Reader){.info = bt_model_describe(model), .size = (size_t)n_ctx};
    bt_session_options o = {.n_ctx = n_ctx, .kv = kv, .n_logits = READER_SCORED};
    if (n_ctx < 4) return bt_fail(err, BT_E_ARGUMENT, "a window must hold 4 tokens or more");
    bt_status status = bt_session_open(model, &o, &r->session, err);
    if (status) return status;
    r->batch = (size_t)bt_session_batch(r->session);
    r->rows = mem_alloc(r->batch * sizeof *r->rows);
    if (r->rows) return BT_OK;
    reader_close(r);
    return bt_fail_memory(err, "a step", r->batch * sizeof *r->rows);
}

void reader_close(Reader *r)
{
    bt_session_close(&r->session);
    mem_free(r->rows);
    r->rows = NULL;
}

bt_status reader_window(Reader *r, const bt_token *window, bt_error *err)
{
    r->window = window;
    r->at = 0;
    return bt_session_truncate(r->session, 0, 0, err);
}

bt_status reader_step(Reader *r, size_t *first, size_t *n, bool *more, bt_error *err)
{
    size_t half = r->size / 2, left = r->size - 1 - r->at;
    size_t most = (r->at < half ? half - r->at : 0) + READER_SCORED;
    *n = 0;
    *more = left > 0;
    if (!*more) return BT_OK;
    if (most > r->batch) most = r->batch;
    if (most > left) most = left;
    *first = (r->at > half ? r->at : half) + 1;
    for (size_t i = 0; i < most; i++) {
        bool bos = r->at + i == 0 && r->info.add_bos && r->info.bos >= 0;
        bool want = r->at + i >= half;
        r->rows[i] =
            (bt_row){.token = bos ? r->info.bos : r->window[r->at + i], .want_logits = want};
        *n += want;
    }
    double start = os_seconds();
    bt_status status = bt_session_step(r->session, r->rows, most, err);
    r->seconds += os_seconds() - start;
    r->tokens += most;
    r->at += most;
    return status;
}

float *reader_logits(Reader *r, size_t i)
{
    return bt_session_logits(r->session, (int32_t)i);
}

bt_status reader_write(Reader *r, int32_t n, double *seconds, bt_error *err)
{
    double start = os_seconds();
    bt_status status = BT_OK;
    for (int32_t i = 0; i < n && !status; i++)
        status = bt_session_feed(r->session, 0, &r->window[i], 1, err);
    *seconds = (os_seconds() - start) / n;
    return status;
}
