/* See fim.h. */
#include "serve/fim.h"

#include "engine/model.h"

enum { NAMES = 7 };

static const struct {
    const char *keys[2];
    const char *names[NAMES];
} kinds[] = {
    {{"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"},
     {"<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>",
      "<\xef\xbd\x9c"
      "fim\xe2\x96\x81"
      "begin\xef\xbd\x9c>",
      "<PRE>", "\xe2\x96\x81<PRE>", "<|code_prefix|>"}},
    {{"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"},
     {"<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>",
      "<\xef\xbd\x9c"
      "fim\xe2\x96\x81hole\xef\xbd\x9c>",
      "<SUF>", "\xe2\x96\x81<SUF>", "<|code_suffix|>"}},
    {{"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"},
     {"<|fim_middle|>", "<fim_middle>", "<fim-middle>",
      "<\xef\xbd\x9c"
      "fim\xe2\x96\x81"
      "end\xef\xbd\x9c>",
      "<MID>", "\xe2\x96\x81<MID>", "<|code_middle|>"}},
    {{"tokenizer.ggml.fim_rep_token_id"},
     {"<|repo_name|>", "<|fim_repo|>", "<fim-repo>", "<reponame>"}},
    {{"tokenizer.ggml.fim_sep_token_id"}, {"<|file_sep|>", "<file_sep>"}},
};

static bt_token find(const bt_model *model, size_t kind)
{
    int32_t id = -1;
    for (size_t i = 0; i < 2 && kinds[kind].keys[i]; i++) {
        uint32_t value = UINT32_MAX;
        if (gguf_get_u32(model->gguf, kinds[kind].keys[i], false, &value, NULL) == BT_OK &&
            value < (uint32_t)tok_size(model_tokenizer(model)))
            return (bt_token)value;
    }
    for (size_t i = 0; i < NAMES && kinds[kind].names[i] && id < 0; i++)
        id = tok_find(model_tokenizer(model), span_of(kinds[kind].names[i]));
    return id;
}

bool fim_find(const bt_model *model, Fim *out)
{
    *out = (Fim){find(model, 0), find(model, 1), find(model, 2), find(model, 3), find(model, 4)};
    return out->prefix >= 0 && out->suffix >= 0 && out->middle >= 0;
}
