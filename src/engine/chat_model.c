/* The chat functions of bantam.h: a model's tokenizer and template, asked (see chat_ids.h). */
#include "engine/chat_ids.h"
#include "engine/model.h"

static ChatSource source_of(const bt_model *model)
{
    return (ChatSource){model_tokenizer(model), bt_model_describe(model).chat_template};
}

bt_status bt_chat_render(const bt_model *model, const char *template_name,
                         const bt_message *messages, size_t n, bool generation, char **out,
                         bt_error *err)
{
    ChatSource source = source_of(model);
    Buf text = {0};
    ChatParts parts = {0};
    bt_status status =
        chat_text(&source, template_name, messages, n, generation, &text, &parts, err);
    chat_parts_close(&parts);
    *out = NULL;
    if (status) {
        buf_close(&text);
        return status;
    }
    *out = buf_take(&text);
    return *out ? BT_OK : bt_fail_memory(err, "the rendered conversation", 1);
}

int64_t bt_chat_tokenize(const bt_model *model, const char *template_name,
                         const bt_message *messages, size_t n, bool generation, bt_token *ids,
                         size_t capacity, bt_error *err)
{
    ChatSource source = source_of(model);
    return chat_ids(&source, template_name, messages, n, generation, ids, capacity, err);
}

const char *bt_chat_template(const bt_model *model)
{
    ChatSource source = source_of(model);
    ChatFormat format;
    return chat_choose(&source, NULL, &format, NULL) ? NULL : chat_kind_name(format.kind);
}
