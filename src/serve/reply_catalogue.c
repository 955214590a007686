/* Lists and descriptions of models, as the clients of each API read them; editors choose by the
 * capabilities and the context length of Ollama's show. */
#include <stdio.h>
#include <string.h>

#include "serve/reply_parts.h"

/* "494.03M", "1.2B" */
static void put_size(JsonOut *j, const char *key, uint64_t n)
{
    char text[32];
    if (n >= 1000000000)
        snprintf(text, sizeof text, "%.1fB", (double)n / 1e9);
    else if (n >= 1000000)
        snprintf(text, sizeof text, "%.2fM", (double)n / 1e6);
    else
        snprintf(text, sizeof text, "%.2fK", (double)n / 1e3);
    jout_put(j, key, text);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void put_details(const ApiModel *m, JsonOut *j)
{
    jout_put_open(j, "details", '{');
    jout_put(j, "parent_model", "");
    jout_put(j, "format", "gguf");
    jout_put(j, "family", or_empty(m->architecture));
    jout_put_open(j, "families", '[');
    jout_string(j, or_empty(m->architecture));
    jout_close(j, ']');
    put_size(j, "parameter_size", m->n_params);
    jout_put(j, "quantization_level", or_empty(m->quantization));
    jout_close(j, '}');
}

static void put_capabilities(const ApiModel *m, JsonOut *j)
{
    static const char *const names[] = {"completion", "tools",  "thinking",
                                        "insert",     "vision", "embedding"};
    const bool has[] = {
        !m->embeds && !m->reranks, m->tools, m->thinking, m->insert, m->vision, m->embeds};
    jout_put_open(j, "capabilities", '[');
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        if (has[i]) jout_string(j, names[i]);
    jout_close(j, ']');
}

/* ---- OpenAI, Anthropic ------------------------------------------------------------------- */

static void openai_model(const ApiModel *m, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "id", m->name);
    jout_put(j, "object", "model");
    jout_put_int(j, "created", m->modified);
    jout_put(j, "owned_by", "bantam");
    jout_put_open(j, "aliases", '[');
    for (size_t i = 0; i < m->n_aliases; i++) jout_string(j, m->aliases[i]);
    jout_close(j, ']');
    jout_put_int(j, "context_length", m->n_ctx ? m->n_ctx : m->n_ctx_train);
    jout_put_bool(j, "loaded", m->loaded);
    if (m->error) jout_put(j, "error", m->error);
    jout_close(j, '}');
}

static void anthropic_model(const ApiModel *m, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "type", "model");
    jout_put(j, "id", m->name);
    jout_put(j, "display_name", m->name);
    jout_key(j, "created_at");
    jout_time(j, m->modified, 0);
    jout_close(j, '}');
}

static void anthropic_list(const ApiModel *models, size_t n, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_open(j, "data", '[');
    for (size_t i = 0; i < n; i++) anthropic_model(&models[i], j);
    jout_close(j, ']');
    jout_put_bool(j, "has_more", false);
    jout_put(j, "first_id", n ? models[0].name : NULL);
    jout_put(j, "last_id", n ? models[n - 1].name : NULL);
    jout_close(j, '}');
}

static void openai_list(const ApiModel *models, size_t n, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "object", "list");
    jout_put_open(j, "data", '[');
    for (size_t i = 0; i < n; i++) openai_model(&models[i], j);
    jout_close(j, ']');
    jout_close(j, '}');
}

/* ---- Ollama ---------------------------------------------------------------------------------- */

static void ollama_model(const ApiModel *m, bool running, JsonOut *j)
{
    /* a model that stays for ever is said to go in the year 2318, as there */
    int64_t expires = m->expires == INT64_MAX ? INT64_C(11000000000) : m->expires;
    jout_open(j, '{');
    jout_put(j, "name", m->name);
    jout_put(j, "model", m->name);
    if (!running) {
        jout_key(j, "modified_at");
        jout_time(j, m->modified, 0);
    }
    jout_put_int(j, "size", (int64_t)(running ? m->memory : m->size));
    jout_put(j, "digest", or_empty(m->digest));
    put_details(m, j);
    if (running) {
        jout_key(j, "expires_at");
        jout_time(j, expires, 0);
        jout_put_int(j, "size_vram", 0);
        jout_put_int(j, "context_length", m->n_ctx);
    }
    jout_close(j, '}');
}

static void ollama_list(const ApiModel *models, size_t n, bool running, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_open(j, "models", '[');
    for (size_t i = 0; i < n; i++)
        if (!running || models[i].loaded) ollama_model(&models[i], running, j);
    jout_close(j, ']');
    jout_close(j, '}');
}

static void info_key(JsonOut *j, const char *architecture, const char *name, int64_t value)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    jout_put_int(j, key, value);
}

static void put_info(const ApiModel *m, JsonOut *j)
{
    const char *a = or_empty(m->architecture);
    jout_key(j, "model_info");
    if (m->metadata) {
        jout_raw(j, m->metadata, strlen(m->metadata));
        return;
    }
    jout_open(j, '{');
    jout_put(j, "general.architecture", a);
    jout_put_int(j, "general.parameter_count", (int64_t)m->n_params);
    info_key(j, a, "context_length", m->n_ctx_train);
    info_key(j, a, "embedding_length", m->n_embd);
    info_key(j, a, "block_count", m->n_layers);
    jout_close(j, '}');
}

static void put_modelfile(const ApiModel *m, JsonOut *j)
{
    Buf text = {0};
    buf_printf(&text, "FROM %s\n", m->name);
    if (m->system) buf_printf(&text, "SYSTEM \"\"\"%s\"\"\"\n", m->system);
    jout_put_text(j, "modelfile", buf_span(&text).data, text.size);
    if (text.failed) j->buf->failed = true;
    buf_close(&text);
}

static void ollama_show(const ApiModel *m, JsonOut *j)
{
    jout_open(j, '{');
    if (m->license) jout_put(j, "license", m->license);
    put_modelfile(m, j);
    jout_put(j, "parameters", or_empty(m->parameters));
    jout_put(j, "template", or_empty(m->template_text));
    if (m->system) jout_put(j, "system", m->system);
    if (m->messages) {
        jout_put_open(j, "messages", '[');
        buf_text(j->buf, m->messages);
        jout_close(j, ']');
    }
    put_details(m, j);
    put_info(m, j);
    put_capabilities(m, j);
    jout_key(j, "modified_at");
    jout_time(j, m->modified, 0);
    jout_close(j, '}');
}

/* ---- llama.cpp ------------------------------------------------------------------------------- */

static void llama_props(const ApiModel *m, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_open(j, "default_generation_settings", '{');
    jout_put_int(j, "n_ctx", m->n_ctx ? m->n_ctx : m->n_ctx_train);
    jout_close(j, '}');
    jout_put_int(j, "total_slots", m->n_slots > 0 ? m->n_slots : 1); /* not loaded: not known */
    jout_put(j, "model_alias", m->name);
    jout_put(j, "model_path", m->name); /* names, not paths: those are the user's own */
    jout_put(j, "chat_template", or_empty(m->template_text));
    jout_put_open(j, "modalities", '{');
    jout_put_bool(j, "vision", m->vision);
    jout_put_bool(j, "audio", false);
    jout_close(j, '}');
    jout_key(j, "build_info");
    buf_printf(j->buf, "\"bantam-%s\"", bt_version());
    j->comma = true;
    jout_close(j, '}');
}

void api_reply_models(const ApiRoute *route, const ApiModel *models, size_t n, bool anthropic,
                      Buf *out)
{
    JsonOut j = {out};
    if (route->flavour == API_OLLAMA)
        ollama_list(models, n, route->kind == API_RUNNING, &j);
    else if (anthropic)
        anthropic_list(models, n, &j);
    else
        openai_list(models, n, &j);
}

void api_reply_model(const ApiRoute *route, const ApiModel *model, bool anthropic, Buf *out)
{
    JsonOut j = {out};
    if (route->kind == API_PROPS)
        llama_props(model, &j);
    else if (route->flavour == API_OLLAMA)
        ollama_show(model, &j);
    else if (anthropic)
        anthropic_model(model, &j);
    else
        openai_model(model, &j);
}
