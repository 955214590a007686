/* llama.cpp's own endpoints: completion, infill, tokenize, detokenize, apply-template. Source: the
 * published README of its server. Not taken: prompts with pictures, sampler orders, saved slots. */
#include <math.h>
#include <string.h>

#include "serve/api_read.h"

static bool read_hold(ApiRead *r)
{
    ApiCall *call = r->call;
    bool grammar = r->raw.grammar && api_span(r, r->raw.grammar).size;
    if (r->raw.json_schema && grammar)
        return api_refuse(r, API_E_INVALID, "grammar", "grammar cannot stand beside json_schema");
    if (r->raw.json_schema) {
        call->hold = API_HOLD_SCHEMA;
        return api_json(r, r->raw.json_schema, &call->hold_text);
    }
    if (!grammar) return true;
    call->hold = API_HOLD_GBNF;
    return api_copy(r, r->raw.grammar, "grammar", 1 << 20, &call->hold_text);
}

static bool read_extra(ApiRead *r)
{
    uint32_t node = r->raw.input_extra;
    if (!node) return true;
    size_t n = r->tree.nodes[node].n, i = 0;
    ApiPair *extra = api_pool_take(r->call->pool, n + 1, sizeof *extra);
    if (!extra) return api_no_memory(r);
    API_EACH(r, node, each)
    {
        ApiPath path = api_path("input_extra[%zu]", i);
        ApiPath of_name = api_path("%s.filename", path.text),
                of_text = api_path("%s.text", path.text);
        if (api_kind(r, each) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, path.text, "%s must be an object", path.text);
        uint32_t name = api_member(r, each, "filename"), text = api_member(r, each, "text");
        if (!text) return api_refuse(r, API_E_INVALID, of_text.text, "%s is missing", of_text.text);
        extra[i].key = "";
        if (name && !api_copy(r, name, of_name.text, 4096, &extra[i].key)) return false;
        if (!api_copy(r, text, of_text.text, API_MAX_BODY, &extra[i].value)) return false;
        i++;
    }
    r->call->extra = extra;
    r->call->n_extra = n;
    return true;
}

static bool read_infill(ApiRead *r)
{
    ApiCall *call = r->call;
    if (!api_copy_text(r, r->raw.input_prefix, &call->prefix) ||
        !api_copy_text(r, r->raw.input_suffix, &call->infill_suffix) || !read_extra(r))
        return false;
    if (!r->raw.prompt) return true;
    if (api_kind(r, r->raw.prompt) == JSON_KIND_STRING && !api_span(r, r->raw.prompt).size)
        return true;
    return api_read_prompts(r, r->raw.prompt, "prompt", true);
}

bool api_read_llama(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    double most = isnan(raw->max_tokens) ? raw->max_completion_tokens : raw->max_tokens;
    if (raw->stream == 1) call->stream = API_STREAM_SSE;
    if (!isnan(most)) call->max_tokens = most < 0 ? -1 : (int32_t)most;
    if (raw->n_logprobs > 0) call->n_top = (int32_t)raw->n_logprobs;
    call->want_tokens = raw->return_tokens == 1;
    call->timings = raw->timings == 1;
    if (!api_read_sampling(r) || !api_read_stops(r, raw->stop, "stop") || !read_hold(r) ||
        !api_read_adapters(r))
        return false;
    if (call->kind == API_INFILL) return read_infill(r);
    if (api_kind(r, raw->prompt) == JSON_KIND_OBJECT)
        return api_refuse(r, API_E_UNSUPPORTED, "prompt",
                          "prompt: objects (prompts with pictures) are not supported");
    return api_read_prompts(r, raw->prompt, "prompt", true);
}

bool api_read_tokens(ApiRead *r)
{
    ApiCall *call = r->call;
    ApiPrompt *prompt = api_pool_take(call->pool, 1, sizeof *prompt);
    ApiPart *part = api_pool_take(call->pool, 1, sizeof *part);
    if (!prompt || !part) return api_no_memory(r);
    *prompt = (ApiPrompt){part, 1};
    call->prompts = prompt;
    call->n_prompts = 1;
    call->add_special = r->raw.add_special == 1;
    call->no_special = r->raw.parse_special == 0;
    call->with_pieces = r->raw.with_pieces == 1;
    if (call->kind == API_TOKENIZE) {
        ApiText text;
        if (!api_copy_text(r, r->raw.content, &text)) return false;
        *part = (ApiPart){.text = text.text, .size = text.size};
        return true;
    }
    size_t n = r->tree.nodes[r->raw.tokens].n, i = 0;
    bt_token *ids = api_pool_take(call->pool, n + 1, sizeof *ids);
    if (!ids) return api_no_memory(r);
    API_EACH(r, r->raw.tokens, each)
    if (!api_token(r, each, "tokens", &ids[i++])) return false;
    *part = (ApiPart){.ids = ids, .n_ids = n};
    return true;
}

bool api_read_template(ApiRead *r)
{
    return api_read_messages(r, r->raw.messages) && api_read_tools(r, NULL) &&
           api_read_variables(r, r->raw.reasoning_effort, r->raw.kwargs, "reasoning_effort");
}
