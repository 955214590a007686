/* The text functions of bantam.h: a model's tokenizer, asked. */
#include <string.h>

#include "base/mem.h"
#include "engine/model.h"
#include "engine/stream_text.h"

int64_t bt_model_tokenize(const bt_model *model, const char *text, size_t length, unsigned flags,
                          bt_token *ids, size_t capacity, bt_error *err)
{
    TokPart part = {{text, length}, !(flags & BT_TOKENIZE_NO_SPECIAL)};
    const Tokenizer *tok = model_tokenizer(model);
    bool whole = flags & BT_TOKENIZE_WHOLE;
    bool bos = flags & BT_TOKENIZE_ADD_BOS || (whole && tok_adds_bos(tok));
    int32_t *all, last = whole ? tok_closing(tok) : -1;
    size_t n;
    if (flags & ~(BT_TOKENIZE_NO_SPECIAL | BT_TOKENIZE_ADD_BOS | BT_TOKENIZE_WHOLE))
        return bt_fail(err, BT_E_ARGUMENT, "unknown flags %#x", flags);
    bt_status status = tok_encode(tok, &part, 1, bos, &all, &n, err);
    if (status) return status;
    if (ids && capacity) memcpy(ids, all, (n < capacity ? n : capacity) * sizeof *ids);
    if (last >= 0) {
        if (ids && n < capacity) ids[n] = last;
        n++;
    }
    mem_free(all);
    return (int64_t)n;
}

int64_t bt_model_token_text(const bt_model *model, bt_token id, bool special, char *out,
                            size_t capacity)
{
    return tok_text(model_tokenizer(model), id, special, false, out, capacity);
}

bool bt_model_token_ends(const bt_model *model, bt_token id)
{
    return tok_ends(model_tokenizer(model), id);
}

bt_status bt_text_open(const bt_model *model, bool special, bt_text **out, bt_error *err)
{
    return stream_text_open(model_tokenizer(model), special, out, err);
}
