/* A model told as JSON for the catalogue, from its metadata alone (see worker.h). The file is
 * hostile: names and texts are written as JSON strings with what is no UTF-8 replaced, numbers only
 * where they are finite, and what is long is left out. */
#include <math.h>
#include <string.h>

#include "engine/model.h"
#include "engine/rank.h"
#include "quant/mixes.h"
#include "serve/fim.h"
#include "serve/json_out.h"
#include "serve/worker.h"

enum {
    MOST_TEXT = 4096,        /* of a value */
    MOST_TEMPLATE = 1 << 18, /* of the template and the licence */
    MOST_METADATA = 1 << 18, /* of all values */
    MOST_NUMBERS = 16        /* of an array */
};

/* What is no UTF-8 becomes U+FFFD. */
static void put_string(Buf *out, const char *text, size_t n)
{
    jout_text(&(JsonOut){out}, text, n);
}

static void put_text(Buf *out, const char *key, const char *text, size_t n)
{
    buf_printf(out, "\"%s\":", key);
    if (text)
        put_string(out, text, n);
    else
        buf_text(out, "null");
    buf_char(out, ',');
}

static void put_span(Buf *out, const char *key, const Gguf *g, const char *name)
{
    Span text = {0};
    gguf_get_span(g, name, false, &text, NULL);
    put_text(out, key, text.size && text.size <= MOST_TEMPLATE ? text.data : NULL, text.size);
}

/* ---- the file's keys ---- */

static void put_number(Buf *out, const Gguf *g, size_t i)
{
    char text[64];
    gguf_key_print(g, i, text, sizeof text);
    bool number = strspn(text, "+-.0123456789e") == strlen(text) && *text; /* no nan, no inf */
    buf_text(out, number ? text : "null");
}

static void put_array(Buf *out, const Gguf *g, size_t i, const char *key)
{
    float numbers[MOST_NUMBERS];
    uint64_t n = 0;
    GgufType type = gguf_array_type(g, i);
    bool taken =
        type != GGUF_STRING && type != GGUF_ARRAY && gguf_array_count(g, i) <= MOST_NUMBERS;
    if (!taken || gguf_get_f32s(g, key, false, numbers, MOST_NUMBERS, &n, NULL) != BT_OK) {
        buf_text(out, "null");
        return;
    }
    buf_char(out, '[');
    for (uint64_t k = 0; k < n; k++) {
        if (k) buf_char(out, ',');
        if (isfinite(numbers[k]))
            buf_printf(out, "%.9g", (double)numbers[k]);
        else
            buf_text(out, "null");
    }
    buf_char(out, ']');
}

static void put_value(Buf *out, const Gguf *g, size_t i, const char *key)
{
    Span text = {0};
    bool yes = false;
    switch (gguf_key_type(g, i)) {
    case GGUF_STRING:
        gguf_get_span(g, key, false, &text, NULL);
        if (text.size <= MOST_TEXT && !strstr(key, "chat_template"))
            put_string(out, text.data, text.size);
        else
            buf_text(out, "null");
        break;
    case GGUF_BOOL:
        gguf_get_bool(g, key, false, &yes, NULL);
        buf_text(out, yes ? "true" : "false");
        break;
    case GGUF_ARRAY: put_array(out, g, i, key); break;
    default: put_number(out, g, i); break;
    }
}

static void put_metadata(Buf *out, const Gguf *g)
{
    size_t begin = out->size, n = gguf_n_keys(g);
    char key[256];
    buf_text(out, "\"metadata\":{");
    for (size_t i = 0, some = 0; i < n && out->size - begin < MOST_METADATA; i++) {
        Span name = gguf_key_name(g, i);
        if (!name.size || name.size >= sizeof key || memchr(name.data, 0, name.size)) continue;
        memcpy(key, name.data, name.size);
        key[name.size] = '\0';
        if (some++) buf_char(out, ',');
        put_string(out, key, name.size);
        buf_char(out, ':');
        put_value(out, g, i, key);
    }
    buf_char(out, '}');
}

/* ---- what it can do ---- */

/* As releases name it: general.file_type by its mix, else the type with most bytes. */
static const char *type_name(const bt_model *model, const bt_model_info *info)
{
    uint32_t number = UINT32_MAX;
    if (gguf_get_u32(model->gguf, "general.file_type", false, &number, NULL) == BT_OK)
        for (size_t i = 0; i < MIX_COUNT; i++)
            if (mixes[i].number == number) return mixes[i].name;
    return info->type_summary;
}

bool worker_is_assistant(const bt_model *model)
{
    Span name = {0};
    return gguf_get_span(model->gguf, "bantam.assistant", false, &name, NULL) == BT_OK && name.size;
}

static const char *yes_no(bool yes)
{
    return yes ? "true" : "false";
}

/* Who is refused a template answers all but chats. */
static void put_abilities(Buf *out, const bt_model *model, const bt_model_info *info,
                          const bt_chat *chat, const char *why)
{
    static const char *const poolings[] = {"", "none", "mean", "cls", "last"};
    bt_embedding_info e = bt_model_embedding(model);
    Fim fim;
    Rank rank = rank_of(model);
    bool scores = rank.kind == RANK_PAIR || rank.kind == RANK_ASKED, embeds = e.embeds && !scores;
    bool talks = !e.embeds && strcmp(info->vocab_kind, "none") != 0, assistant;
    assistant = worker_is_assistant(model);
    put_text(out, "template_kind", chat ? bt_chat_name(chat) : NULL,
             chat ? strlen(bt_chat_name(chat)) : 0);
    put_text(out, "template_error", chat ? NULL : why, strlen(why));
    buf_printf(out,
               "\"capabilities\":{\"completion\":%s,\"chat\":%s,\"tools\":%s,\"thinking\":%s,"
               "\"embeds\":%s,\"reranks\":%s,\"insert\":%s,\"vision\":false},\"assistant\":%s,",
               yes_no(talks), yes_no(talks && chat),
               yes_no(talks && chat && (bt_chat_takes_tools(chat) || assistant)),
               yes_no(talks && chat && bt_chat_can_think(chat)), yes_no(embeds),
               yes_no(e.embeds || rank.kind != RANK_NONE), yes_no(talks && fim_find(model, &fim)),
               yes_no(assistant));
    if (embeds)
        buf_printf(out, "\"embedding\":{\"dimensions\":%d,\"pooling\":\"%s\"},", (int)e.n_dims,
                   poolings[e.pooling]);
    else
        buf_text(out, "\"embedding\":null,");
}

bt_status worker_describe(const bt_model *model, const char *template_name, const char *jinja,
                          Buf *out, bt_error *err)
{
    const bt_model_info info = bt_model_describe(model);
    const bt_chat_options options = {.name = template_name, .jinja = jinja};
    const char *text = jinja ? jinja : info.chat_template, *type = type_name(model, &info);
    bt_chat *chat = NULL;
    bt_error why = {0};
    bt_status status = bt_chat_open(model, &options, &chat, &why);
    if (status == BT_E_MEMORY) return bt_fail(err, status, "%s", why.text);
    if (text && strlen(text) > MOST_TEMPLATE) text = NULL;
    buf_char(out, '{');
    put_text(out, "name", info.name, strlen(info.name));
    put_text(out, "architecture", info.architecture, strlen(info.architecture));
    put_text(out, "type", type, strlen(type));
    buf_printf(out,
               "\"parameters\":%llu,\"bytes\":%llu,\"n_ctx_train\":%d,\"n_embd\":%d,"
               "\"n_layers\":%d,\"n_vocab\":%d,",
               (unsigned long long)info.n_params, (unsigned long long)info.file_bytes,
               (int)info.n_ctx_train, (int)info.n_embd, (int)info.n_layers, (int)info.n_vocab);
    put_text(out, "template", text, text ? strlen(text) : 0);
    put_span(out, "license", model->gguf, "general.license");
    put_abilities(out, model, &info, chat, why.text);
    put_metadata(out, model->gguf);
    buf_char(out, '}');
    bt_chat_close(&chat);
    return out->failed ? bt_fail_memory(err, "a model's description", out->size) : BT_OK;
}
