/* The fields of all requests: name, where it stands, type, range, where it goes. Types and ranges
 * are judged here and nowhere else; what a value means is the readers' business. Null counts as
 * absent. Fields that no row knows are ignored, as servers of these APIs do; docs/api.md lists all
 * (a test holds it against this table). */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api_read.h"

#define AT(member) .offset = offsetof(ApiRaw, member)
#define INT_MOST   2147483647.0

static const double forever = INT_MOST;

#define BOOL(n, in, to)                                                                            \
    {                                                                                              \
        n, in, FIELD_BOOL, 0, 0, AT(to)                                                            \
    }
#define WHOLE(n, in, low, high, to)                                                                \
    {                                                                                              \
        n, in, FIELD_INTEGER, low, high, AT(to)                                                    \
    }
#define NUMBER(n, in, low, high, to)                                                               \
    {                                                                                              \
        n, in, FIELD_NUMBER, low, high, AT(to)                                                     \
    }
#define STRING(n, in, most, to)                                                                    \
    {                                                                                              \
        n, in, FIELD_STRING, 0, most, AT(to)                                                       \
    }
#define TEXT(n, in, to)                                                                            \
    {                                                                                              \
        n, in, FIELD_TEXT, 0, 0, AT(to)                                                            \
    }
#define ARRAY(n, in, low, high, to)                                                                \
    {                                                                                              \
        n, in, FIELD_ARRAY, low, high, AT(to)                                                      \
    }
#define OBJECT(n, in, to)                                                                          \
    {                                                                                              \
        n, in, FIELD_OBJECT, 0, 0, AT(to)                                                          \
    }
#define ANY(n, in, to)                                                                             \
    {                                                                                              \
        n, in, FIELD_ANY, 0, 0, AT(to)                                                             \
    }
#define NEEDED(n, in, kind, low, hi, to)                                                           \
    {                                                                                              \
        n, in, kind, low, hi, AT(to), .required = true                                             \
    }
#define IGNORED(n, in)                                                                             \
    {                                                                                              \
        n, in, FIELD_IGNORED                                                                       \
    }
#define REFUSED(n, in, what)                                                                       \
    {                                                                                              \
        n, in, FIELD_REFUSED, .hint = what                                                         \
    }

enum {
    OLLAMA = IN_OCHAT | IN_OGENERATE | IN_OEMBED | IN_OOLD,
    ANSWERS =
        IN_CHAT | IN_TEXT | IN_RESPONSES | IN_MESSAGES | IN_OCHAT | IN_OGENERATE | IN_ALL_LLAMA,
    FREE = IN_OPTIONS | IN_ALL_LLAMA, /* temperatures without OpenAI's ceiling */
    MODELS = ANSWERS | IN_EMBED | IN_RERANK | IN_OEMBED | IN_OOLD | IN_TOKENIZE | IN_DETOKENIZE |
             IN_TEMPLATE | IN_SHOW | IN_CREATE,
};

/* clang-format off */
const ApiField api_fields[] = {
    STRING("model", MODELS, API_MAX_NAME - 1, model),
    STRING("name", IN_SHOW | IN_CREATE, API_MAX_NAME - 1, source), /* older than "model" */
    BOOL("stream", ANSWERS | IN_CREATE, stream),
    OBJECT("stream_options", IN_OPENAI | IN_RESPONSES, stream_options),
    BOOL("include_usage", IN_STREAM_OPTIONS, include_usage),

    /* what is said */
    NEEDED("messages", IN_CHAT | IN_MESSAGES | IN_TEMPLATE, FIELD_ARRAY, 1, 20000, messages),
    ARRAY("messages", IN_OCHAT, 0, 20000, messages),
    NEEDED("prompt", IN_TEXT | IN_LLAMA, FIELD_ANY, 0, 0, prompt),
    ANY("prompt", IN_INFILL, prompt),
    TEXT("prompt", IN_OGENERATE | IN_OOLD, prompt),
    NEEDED("input", IN_EMBED | IN_OEMBED, FIELD_ANY, 0, 0, input),
    ANY("input", IN_RESPONSES, input),
    ANY("content", IN_EMBED, content),
    NEEDED("content", IN_TOKENIZE, FIELD_TEXT, 0, 0, content),
    NEEDED("tokens", IN_DETOKENIZE, FIELD_ARRAY, 0, API_MAX_VALUES, tokens),
    ANY("system", IN_MESSAGES, system),
    TEXT("system", IN_OGENERATE | IN_CREATE, system),
    TEXT("suffix", IN_TEXT | IN_OGENERATE, suffix),
    ARRAY("images", IN_OGENERATE, 0, 64, images),
    ARRAY("context", IN_OGENERATE, 0, API_MAX_VALUES, context),
    TEXT("template", IN_OGENERATE | IN_CREATE, template_text),
    BOOL("raw", IN_OGENERATE, raw),
    TEXT("instructions", IN_RESPONSES, instructions),
    STRING("previous_response_id", IN_RESPONSES, 64, previous),
    NEEDED("query", IN_RERANK, FIELD_TEXT, 0, 0, query),
    NEEDED("documents", IN_RERANK, FIELD_ARRAY, 1, API_MAX_INPUTS, documents),
    NEEDED("input_prefix", IN_INFILL, FIELD_TEXT, 0, 0, input_prefix),
    NEEDED("input_suffix", IN_INFILL, FIELD_TEXT, 0, 0, input_suffix),
    ARRAY("input_extra", IN_INFILL, 0, 256, input_extra),

    /* how long */
    WHOLE("max_tokens", IN_CHAT, 1, INT_MOST, max_tokens),
    WHOLE("max_completion_tokens", IN_CHAT, 1, INT_MOST, max_completion_tokens),
    WHOLE("max_tokens", IN_TEXT, 0, INT_MOST, max_tokens),
    WHOLE("max_tokens", IN_MESSAGES, 1, INT_MOST, max_tokens),
    WHOLE("max_output_tokens", IN_RESPONSES, 1, INT_MOST, max_tokens),
    WHOLE("n_predict", IN_ALL_LLAMA, -2, INT_MOST, max_tokens),
    WHOLE("max_tokens", IN_ALL_LLAMA, -1, INT_MOST, max_completion_tokens),
    WHOLE("num_predict", IN_OPTIONS, -2, INT_MOST, max_tokens),
    ANY("stop", IN_OPENAI | IN_OPTIONS | IN_ALL_LLAMA, stop),
    ARRAY("stop_sequences", IN_MESSAGES, 0, API_MAX_STOPS, stop),
    WHOLE("n", IN_OPENAI, 1, API_MAX_CHOICES, n),
    WHOLE("n_cmpl", IN_LLAMA, 1, API_MAX_CHOICES, n),
    WHOLE("best_of", IN_TEXT, 1, API_MAX_CHOICES, best_of),
    BOOL("ignore_eos", IN_OPENAI | IN_ALL_LLAMA, ignore_eos),
    BOOL("echo", IN_TEXT, echo),

    /* sampling */
    NUMBER("temperature", IN_OPENAI | IN_RESPONSES, 0, 2, temperature),
    NUMBER("temperature", IN_MESSAGES, 0, 1, temperature),
    NUMBER("temperature", FREE, -1, 100, temperature),
    NUMBER("top_p", IN_SAMPLED | IN_RESPONSES | IN_MESSAGES, 0, 1, top_p),
    WHOLE("top_k", IN_SAMPLED | IN_MESSAGES, -1, 10000000, top_k),
    NUMBER("min_p", IN_SAMPLED, 0, 1, min_p),
    NUMBER("typical_p", IN_SAMPLED, 0, 1, typical_p),
    NUMBER("repeat_penalty", IN_SAMPLED, 0.01, 100, repeat_penalty),
    NUMBER("repetition_penalty", IN_OPENAI, 0.01, 100, repeat_penalty),
    WHOLE("repeat_last_n", IN_SAMPLED, -1, INT_MOST, repeat_last_n),
    NUMBER("presence_penalty", IN_SAMPLED | IN_RESPONSES, -2, 2, presence_penalty),
    NUMBER("frequency_penalty", IN_SAMPLED | IN_RESPONSES, -2, 2, frequency_penalty),
    NUMBER("dry_multiplier", IN_OPENAI | IN_ALL_LLAMA, 0, 100, dry_multiplier),
    NUMBER("dry_base", IN_OPENAI | IN_ALL_LLAMA, 1, 100, dry_base),
    WHOLE("dry_allowed_length", IN_OPENAI | IN_ALL_LLAMA, 1, 100000, dry_allowed_length),
    WHOLE("dry_penalty_last_n", IN_OPENAI | IN_ALL_LLAMA, -1, INT_MOST, dry_last_n),
    WHOLE("mirostat", IN_SAMPLED, 0, 2, mirostat),
    NUMBER("mirostat_tau", IN_SAMPLED, 0.01, 100, mirostat_tau),
    NUMBER("mirostat_eta", IN_SAMPLED, 0.0001, 100, mirostat_eta),
    {"seed", IN_SAMPLED, FIELD_SEED, 0, 0, AT(seed)},
    ANY("logit_bias", IN_SAMPLED, logit_bias),
    BOOL("logprobs", IN_CHAT | IN_OCHAT | IN_OGENERATE, logprobs),
    WHOLE("logprobs", IN_TEXT, 0, API_MAX_TOP, n_logprobs),
    WHOLE("n_probs", IN_ALL_LLAMA, 0, API_MAX_TOP, n_logprobs),
    WHOLE("top_logprobs", IN_CHAT | IN_OCHAT | IN_OGENERATE | IN_RESPONSES, 0, API_MAX_TOP,
          top_logprobs),

    /* form */
    OBJECT("response_format", IN_OPENAI, response_format),
    OBJECT("json_schema", IN_OPENAI | IN_ALL_LLAMA, json_schema),
    TEXT("grammar", IN_OPENAI | IN_ALL_LLAMA, grammar),
    ANY("format", IN_OCHAT | IN_OGENERATE, format),
    OBJECT("text", IN_RESPONSES, text),
    OBJECT("output_format", IN_MESSAGES, output_format),
    OBJECT("output_config", IN_MESSAGES, output_config),
    ARRAY("tools", IN_CHAT | IN_RESPONSES | IN_MESSAGES | IN_OCHAT | IN_TEMPLATE, 0, API_MAX_TOOLS,
          tools),
    ANY("tool_choice", IN_CHAT | IN_RESPONSES | IN_TEMPLATE, tool_choice),
    OBJECT("tool_choice", IN_MESSAGES, tool_choice),
    BOOL("parallel_tool_calls", IN_CHAT | IN_RESPONSES, parallel_tool_calls),
    REFUSED("functions", IN_CHAT, "use \"tools\""),
    REFUSED("function_call", IN_CHAT, "use \"tool_choice\""),
    ANY("modalities", IN_CHAT, modalities),
    REFUSED("audio", IN_CHAT, "this server writes text"),
    REFUSED("web_search_options", IN_CHAT, "this server does not search the web"),

    /* thinking */
    STRING("reasoning_effort", IN_CHAT | IN_TEMPLATE, 32, reasoning_effort),
    OBJECT("chat_template_kwargs", IN_CHAT | IN_TEMPLATE, kwargs),
    ANY("reasoning", IN_CHAT | IN_RESPONSES, reasoning),
    STRING("effort", IN_REASONING, 32, reasoning_effort),
    IGNORED("summary", IN_REASONING),
    OBJECT("thinking", IN_MESSAGES, thinking),
    STRING("type", IN_THINKING, 32, type),
    WHOLE("budget_tokens", IN_THINKING, 1, INT_MOST, budget_tokens),
    ANY("think", IN_OCHAT | IN_OGENERATE, think),

    /* the server's ways */
    ARRAY("adapters", IN_OPENAI | IN_RESPONSES | IN_MESSAGES | IN_OCHAT | IN_OGENERATE |
          IN_ALL_LLAMA, 0, API_MAX_ADAPTERS, adapters),
    OBJECT("adapters", IN_CREATE, to_adapters),
    WHOLE("priority", IN_OPENAI | IN_RESPONSES | IN_MESSAGES | IN_OCHAT | IN_OGENERATE |
          IN_ALL_LLAMA, -100, 100, priority),
    BOOL("cache_prompt", IN_OPENAI | IN_ALL_LLAMA, cache_prompt),
    BOOL("continue_final_message", IN_CHAT | IN_TEMPLATE, continue_final_message),
    ANY("keep_alive", OLLAMA | IN_OPENAI, keep_alive),
    OBJECT("options", OLLAMA, options),
    BOOL("store", IN_RESPONSES, store),
    BOOL("background", IN_RESPONSES, background),
    OBJECT("metadata", IN_RESPONSES, metadata),
    STRING("truncation", IN_RESPONSES, 16, truncation),
    ARRAY("include", IN_RESPONSES, 0, 32, include),
    REFUSED("conversation", IN_RESPONSES, "use \"previous_response_id\""),
    REFUSED("prompt", IN_RESPONSES, "there are no stored prompts here; send \"input\""),
    BOOL("timings_per_token", IN_OPENAI | IN_ALL_LLAMA, timings),
    BOOL("return_tokens", IN_ALL_LLAMA, return_tokens),

    /* vectors, tokens */
    WHOLE("dimensions", IN_EMBED | IN_OEMBED, 1, 1000000, dimensions),
    STRING("encoding_format", IN_EMBED, 16, encoding),
    BOOL("truncate", IN_OEMBED | IN_OCHAT | IN_OGENERATE, truncate),
    WHOLE("top_n", IN_RERANK, 1, INT_MOST, top_n),
    BOOL("return_documents", IN_RERANK, return_documents),
    BOOL("add_special", IN_TOKENIZE, add_special),
    BOOL("parse_special", IN_TOKENIZE, parse_special),
    BOOL("with_pieces", IN_TOKENIZE, with_pieces),

    /* models */
    STRING("from", IN_CREATE, 4096, from),
    TEXT("modelfile", IN_CREATE, modelfile),
    OBJECT("files", IN_CREATE, files),
    ANY("license", IN_CREATE, license),
    OBJECT("parameters", IN_CREATE, parameters),
    STRING("quantize", IN_CREATE, 32, quantize),
    STRING("path", IN_CREATE, 4096, path),
    ARRAY("messages", IN_CREATE, 0, 1000, messages),
    NEEDED("source", IN_COPY, FIELD_STRING, 0, API_MAX_NAME - 1, source),
    NEEDED("destination", IN_COPY, FIELD_STRING, 0, API_MAX_NAME - 1, destination),

    /* known, and without meaning here */
    IGNORED("user", IN_OPENAI | IN_RESPONSES | IN_EMBED),
    IGNORED("safety_identifier", IN_CHAT | IN_RESPONSES),
    IGNORED("prompt_cache_key", IN_CHAT | IN_RESPONSES),
    IGNORED("prompt_cache_retention", IN_CHAT | IN_RESPONSES),
    IGNORED("service_tier", IN_CHAT | IN_RESPONSES | IN_MESSAGES),
    IGNORED("verbosity", IN_CHAT),
    IGNORED("prediction", IN_CHAT),
    IGNORED("store", IN_CHAT),
    IGNORED("metadata", IN_CHAT | IN_MESSAGES),
    IGNORED("max_tool_calls", IN_RESPONSES),
    IGNORED("context_management", IN_MESSAGES | IN_RESPONSES),
    IGNORED("num_ctx", IN_OPTIONS),
    IGNORED("num_keep", IN_OPTIONS),
    IGNORED("num_batch", IN_OPTIONS),
    IGNORED("num_gpu", IN_OPTIONS),
    IGNORED("num_thread", IN_OPTIONS),
    IGNORED("id_slot", IN_ALL_LLAMA),
    IGNORED("n_keep", IN_ALL_LLAMA),
    IGNORED("samplers", IN_ALL_LLAMA),
};
/* clang-format on */
const size_t api_n_fields = sizeof api_fields / sizeof *api_fields;

void api_raw_clear(ApiRaw *raw)
{
    *raw = (ApiRaw){0};
    for (size_t i = 0; i < api_n_fields; i++) {
        const ApiField *f = &api_fields[i];
        char *at = (char *)raw + f->offset;
        if (f->kind == FIELD_BOOL) *(int8_t *)at = -1;
        if (f->kind != FIELD_INTEGER && f->kind != FIELD_NUMBER) continue;
        double none = NAN;
        memcpy(at, &none, sizeof none);
    }
    raw->keep_length = -1;
}

const char *api_kind_name(JsonKind kind)
{
    static const char *const names[] = {"null",     "a boolean", "a boolean", "a number",
                                        "a string", "an array",  "an object"};
    return names[kind];
}

bool api_number(Span digits, double *out)
{
    char text[400];
    if (digits.size >= sizeof text) return false;
    memcpy(text, digits.data, digits.size);
    text[digits.size] = 0;
    *out = strtod(text, NULL);
    return isfinite(*out);
}

/* "temperature must be a number from 0 to 2, not 3" */
static bool wrong(ApiRead *r, const ApiField *f, uint32_t node, const char *path, const char *what)
{
    JsonKind kind = api_kind(r, node);
    char given[48];
    Span number = api_span(r, node);
    bool numeric = f->kind == FIELD_INTEGER || f->kind == FIELD_NUMBER || f->kind == FIELD_SEED;
    if (numeric && kind == JSON_KIND_NUMBER && number.size < 40) {
        memcpy(given, number.data, number.size);
        given[number.size] = 0;
    } else {
        const char *name = api_kind_name(kind);
        memcpy(given, name, strlen(name) + 1);
    }
    if (f->kind != FIELD_INTEGER && f->kind != FIELD_NUMBER)
        return api_refuse(r, API_E_INVALID, path, "%s must be %s, not %s", path, what, given);
    if (f->high >= forever)
        return api_refuse(r, API_E_INVALID, path, "%s must be %s of at least %.10g, not %s", path,
                          what, f->low, given);
    return api_refuse(r, API_E_INVALID, path, "%s must be %s from %.10g to %.10g, not %s", path,
                      what, f->low, f->high, given);
}

static bool read_number(ApiRead *r, const ApiField *f, uint32_t node, const char *path, void *to)
{
    bool whole = f->kind == FIELD_INTEGER;
    const char *what = whole ? "an integer" : "a number";
    double value;
    if (api_kind(r, node) != JSON_KIND_NUMBER || !api_number(api_span(r, node), &value) ||
        value < f->low || value > f->high || (whole && value != floor(value)))
        return wrong(r, f, node, path, what);
    memcpy(to, &value, sizeof value);
    return true;
}

/* Integers from -2^63 to 2^64 - 1, as their 64 bits. */
static bool read_seed(ApiRead *r, const ApiField *f, uint32_t node, const char *path)
{
    Span s = api_span(r, node);
    size_t at = 0;
    uint64_t value = 0;
    bool minus = s.size && *s.data == '-';
    bool good = api_kind(r, node) == JSON_KIND_NUMBER && s.size <= 21;
    for (at = minus; good && at < s.size; at++) {
        unsigned digit = (unsigned)(s.data[at] - '0');
        good = digit < 10 && !__builtin_mul_overflow(value, 10u, &value) &&
               !__builtin_add_overflow(value, digit, &value);
    }
    if (!good || (minus && value > (uint64_t)INT64_MAX + 1))
        return wrong(r, f, node, path, "an integer of 64 bits");
    r->raw.seed = (int64_t)(minus ? 0 - value : value);
    r->raw.has_seed = 1;
    return true;
}

static bool read_node(ApiRead *r, const ApiField *f, uint32_t node, const char *path, uint32_t *to)
{
    JsonKind kind = api_kind(r, node);
    const JsonNode *n = &r->tree.nodes[node];
    if ((f->kind == FIELD_STRING || f->kind == FIELD_TEXT) && kind != JSON_KIND_STRING)
        return wrong(r, f, node, path, "a string");
    if (f->kind == FIELD_ARRAY && kind != JSON_KIND_ARRAY)
        return wrong(r, f, node, path, "an array");
    if (f->kind == FIELD_OBJECT && kind != JSON_KIND_OBJECT)
        return wrong(r, f, node, path, "an object");
    if (f->kind == FIELD_STRING && memchr(n->text.data, 0, n->text.size))
        return api_refuse(r, API_E_INVALID, path, "%s holds a NUL character", path);
    if (f->kind == FIELD_STRING && (double)n->text.size > f->high)
        return api_refuse(r, API_E_INVALID, path, "%s has %zu bytes; %.0f is the most", path,
                          n->text.size, f->high);
    if (f->kind == FIELD_ARRAY && n->n < f->low)
        return api_refuse(r, API_E_INVALID, path, "%s must not be empty", path);
    if (f->kind == FIELD_ARRAY && n->n > f->high)
        return api_refuse(r, API_E_INVALID, path, "%s has %u elements; %.0f is the most", path,
                          n->n, f->high);
    *to = node;
    return true;
}

static bool read_field(ApiRead *r, const ApiField *f, uint32_t node, const char *path)
{
    char *to = (char *)&r->raw + f->offset;
    JsonKind kind = api_kind(r, node);
    switch (f->kind) {
    case FIELD_BOOL:
        if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE)
            return wrong(r, f, node, path, "true or false");
        *(int8_t *)to = kind == JSON_KIND_TRUE;
        return true;
    case FIELD_INTEGER:
    case FIELD_NUMBER: return read_number(r, f, node, path, to);
    case FIELD_SEED: return read_seed(r, f, node, path);
    case FIELD_IGNORED: return true;
    case FIELD_REFUSED:
        return api_refuse(r, API_E_UNSUPPORTED, path, "%s is not supported: %s", path, f->hint);
    default: {
        uint32_t found = 0;
        bool good = read_node(r, f, node, path, &found);
        memcpy(to, &found, sizeof found);
        return good;
    }
    }
}

bool api_fields_read(ApiRead *r, uint32_t object, const char *path, uint32_t in)
{
    for (size_t i = 0; i < api_n_fields; i++) {
        const ApiField *f = &api_fields[i];
        if (!(f->in & in)) continue;
        uint32_t node = api_member(r, object, f->name);
        ApiPath full = api_path("%s%s%s", path, *path ? "." : "", f->name);
        if (!node && f->required)
            return api_refuse(r, API_E_INVALID, full.text, "%s is missing", full.text);
        if (node && !read_field(r, f, node, full.text)) return false;
    }
    return true;
}
