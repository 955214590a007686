/* See dress.h. */
#include "dress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/gguf_write.h"
#include "support/families.h"
#include "support/files.h"
#include "support/scratch.h"

enum { VOCAB = 64 };

typedef struct Words {
    Span token[VOCAB];
    int32_t type[VOCAB];
    float score[VOCAB];
    int n;
} Words;

static void add(Words *w, const char *text, size_t size, int32_t type)
{
    if (w->n == VOCAB) return;
    w->type[w->n] = type;
    w->score[w->n] = (float)-w->n;
    w->token[w->n++] = (Span){text, size};
}

static void fill(Words *w, const Dress *dress)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz<>/{}\":,.-0123456789ABCDEFGHIJKLM";
    add(w, "<unk>", 5, 2);
    add(w, "<s>", 3, 3);
    add(w, "</s>", 4, 3);
    add(w, "<|im_start|>", 12, 3);
    add(w, "<|im_end|>", 10, 3);
    for (int i = 0; i < DRESS_MOST && dress->control[i]; i++)
        add(w, dress->control[i], strlen(dress->control[i]), 3);
    add(w, "\xe2\x96\x81", 3, 1);
    add(w, "\n", 1, 1);
    for (size_t i = 0; i < sizeof letters - 1; i++) add(w, letters + i, 1, 1);
    while (w->n < VOCAB) add(w, "[PAD]", 5, 5);
}

static void put_keys(GgufWriter *w, const Dress *dress)
{
    static Words words;
    char key[96];
    words = (Words){.n = 0};
    fill(&words, dress);
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_spans(w, "tokenizer.ggml.tokens", words.token, VOCAB);
    gguf_put_f32s(w, "tokenizer.ggml.scores", words.score, VOCAB);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", words.type, VOCAB);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", DRESS_END);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
    for (int i = 0; i < DRESS_MOST && dress->control[i]; i++) {
        if (!dress->key[i]) continue;
        snprintf(key, sizeof key, "tokenizer.ggml.%s", dress->key[i]);
        gguf_put_u32(w, key, (uint32_t)(DRESS_FIRST + i));
    }
    if (dress->chat_template) gguf_put_string(w, "tokenizer.chat_template", dress->chat_template);
}

const char *dress_family(const char *family, const Dress *dress, const char *name)
{
    const char *path = scratch_path(name);
    GgufWriter *w = gguf_writer_open();
    Gguf *from = NULL;
    bt_error err;
    assert_non_null(w);
    const char *source =
        strchr(family, '/') ? files_source("%s", family) : families_path(family, ".gguf");
    if (gguf_open(source, NULL, &from, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < gguf_n_keys(from); i++) {
        Span key = gguf_key_name(from, i);
        bool own = strncmp(key.data, "tokenizer.", 10) == 0 ||
                   (dress->name && span_is(key, "general.name"));
        char name_of_key[96];
        snprintf(name_of_key, sizeof name_of_key, "%.*s", (int)key.size, key.data);
        if (dress->ctx && strstr(name_of_key, ".context_length"))
            gguf_put_u32(w, name_of_key, dress->ctx);
        else if (!own)
            gguf_put_copy(w, from, i);
    }
    if (dress->name) gguf_put_string(w, "general.name", dress->name);
    put_keys(w, dress);
    for (size_t i = 0; i < gguf_n_tensors(from); i++) {
        const GgufTensor *t = gguf_tensor(from, i);
        char full[128];
        snprintf(full, sizeof full, "%.*s", (int)t->name.size, t->name.data);
        gguf_put_tensor(w, full, t->type, t->n_dims, t->ne, t->data);
    }
    if (gguf_writer_save(w, path, &err)) fail_msg("%s", err.text);
    gguf_writer_close(&w);
    gguf_close(&from);
    return path;
}
