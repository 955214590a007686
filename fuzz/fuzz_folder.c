/* A maker's folder of which one file is any bytes; the first byte says which: '0' tokenizer.json,
 * '1' tokenizer.model, '2' config.json, '3' the weights. Refused with one line, or an index that
 * the readers of GGUF files take: the vocabulary opens and tokenizes, the architecture's loader
 * reads every tensor or refuses by name. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/plan.h"
#include "models/model.h"
#include "models/vocab.h"

#define LLAMA                                                                                      \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,"                         \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":8,"                 \
    "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-6,\"hidden_act\":\"silu\"}"

static void promise(bool kept)
{
    if (!kept) abort();
}

static void tokenize(const Gguf *g)
{
    static const char text[] = "a hen, 12 hens\n<|end|> \xE2\x96\x81\xC3\xA9";
    Vocab *v;
    bt_error err = {0};
    int32_t *ids;
    size_t n;
    TokPart part = {{text, sizeof text - 1}, true};
    if (vocab_load(g, &v, &err)) return;
    if (tok_encode(v->tok, &part, 1, true, &ids, &n, &err) == BT_OK) mem_free(ids);
    vocab_close(&v);
}

static void load(const Gguf *g)
{
    bt_error err = {0};
    Span name;
    ModelStore store = {0};
    if (gguf_get_span(g, "general.architecture", true, &name, &err)) return;
    const Arch *arch = arch_find(name);
    if (!arch) return;
    Loader ld = {.gguf = g, .arch = arch->name, .store = &store, .err = &err};
    arch->load(&ld);
    promise(!ld.status || (err.text[0] && !strchr(err.text, '\n')));
    store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    ConvertFiles files = {.config = SPAN(LLAMA)};
    ConvertOptions options = {.vocab_only = true};
    Convert *c;
    Gguf *g;
    bt_error err = {0};
    int64_t live = mem_live();
    if (size < 1) return 0;
    char *data = mem_alloc(size); /* exact */
    if (!data) return 0;
    memcpy(data, bytes + 1, size - 1);
    Span any = {data, size - 1};
    switch (bytes[0]) {
    case '0': files.tokenizer = any; break;
    case '1': files.spm = any; break;
    case '2': files.config = any; break;
    default: files.weights = any, options.vocab_only = false; break;
    }
    if (convert_open_memory(&files, &options, &c, &err)) {
        promise(err.text[0] && !strchr(err.text, '\n'));
    } else if (convert_index(&c, false, &g, &err) == BT_OK) {
        tokenize(g);
        if (!options.vocab_only) load(g);
        gguf_close(&g);
    }
    promise(!c);
    mem_free(data);
    promise(mem_live() == live);
    return 0;
}
