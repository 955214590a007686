/* Stands in for what the API layer says, so that the front can be tested by itself: just enough of
 * each shape to tell them apart. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "serve/reply.h"

void api_reply_error(ApiFlavour flavour, const ApiError *e, ApiStreamAs in_stream, int *status,
                     Buf *out)
{
    static const int http[] = {400, 401, 403, 404, 404, 405, 413, 400, 400, 429, 500, 503, 504};
    (void)flavour;
    if (status) *status = http[e->kind];
    buf_printf(out, "%s{\"error\":{\"message\":\"%s\"}}%s",
               in_stream == API_STREAM_SSE ? "data: " : "", e->text,
               in_stream == API_STREAM_SSE ? "\n\n" : "");
}

void api_reply_models(const ApiRoute *route, const ApiModel *models, size_t n, bool anthropic,
                      Buf *out)
{
    (void)route;
    (void)anthropic;
    buf_text(out, "{\"data\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s{\"id\":\"%s\",\"arch\":\"%s\"}", i ? "," : "", models[i].name,
                   models[i].architecture);
    buf_text(out, "]}");
}

void api_reply_model(const ApiRoute *route, const ApiModel *m, bool anthropic, Buf *out)
{
    (void)route;
    (void)anthropic;
    buf_printf(out, "{\"id\":\"%s\"}", m->name);
}

bt_status api_parse(const ApiHttp *http, const ApiDefaults *defaults, ApiCall **out, ApiError *err)
{
    (void)http;
    (void)defaults;
    (void)err;
    *out = mem_zalloc(1, sizeof **out);
    return *out ? BT_OK : BT_E_MEMORY;
}

void api_call_close(ApiCall **call)
{
    mem_free(*call);
    *call = NULL;
}

void api_reply_simple(const ApiCall *call, const ApiInfo *info, Buf *out)
{
    (void)call;
    (void)info;
    buf_text(out, "Bantam is running");
}

const char *api_reply_type(const ApiCall *call)
{
    (void)call;
    return "text/plain";
}

int api_response_slot(const char *id)
{
    (void)id;
    return -1;
}
