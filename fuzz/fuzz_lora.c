/* Any bytes as an adapter: a GGUF file, or PEFT's two files for a base of some architecture:
 * refused with one line, or read so that every matrix is whole and of numbers (see io/lora.h,
 * convert/peft.h).
 * Input: bytes that begin with "GGUF", or a byte (which base), two of length, adapter_config.json
 * of that length, and the safetensors. */
#include "fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/peft.h"
#include "io/gguf_index.h"

static void promise(bool kept)
{
    if (!kept) abort();
}

static void all_numbers(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) promise(isfinite(x[i]));
}

static void look(const Lora *l)
{
    promise(l->n > 0);
    for (size_t i = 0; i < l->n; i++) {
        const LoraMatrix *m = &l->items[i];
        promise(m->rank > 0 && m->k > 0 && m->n > 0 && m->n_mats > 0 && strlen(m->name) > 0);
        all_numbers(m->a, m->n_mats * m->rank * m->k);
        all_numbers(m->b, m->n_mats * m->n * m->rank);
        if (m->magnitude) all_numbers(m->magnitude, m->n_mats * m->n);
    }
    promise(lora_hash(l) == lora_hash(l));
}

static void put(GgufWriter *w, const char *arch, const char *key, uint32_t value)
{
    char name[80];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_put_u32(w, name, value);
}

static Gguf *make_base(unsigned which, GgufWriter **w)
{
    static const char *const archs[] = {
        "llama",     "qwen2",  "phi3",    "gemma3",  "qwen3moe",  "gpt2", "gpt-oss",  "llama4",
        "deepseek2", "falcon", "gptneox", "granite", "qwen35moe", "bert", "internlm2"};
    const char *arch = archs[which % (sizeof archs / sizeof *archs)];
    GgufIndexOf of = {.path = "base"};
    Gguf *g = NULL;
    *w = gguf_writer_open();
    if (!*w) return NULL;
    gguf_put_string(*w, "general.architecture", arch);
    put(*w, arch, "block_count", 2);
    put(*w, arch, "embedding_length", 32);
    put(*w, arch, "attention.head_count", 4);
    put(*w, arch, "attention.head_count_kv", 2);
    put(*w, arch, "feed_forward_length", 48);
    put(*w, arch, "expert_feed_forward_length", 24);
    put(*w, arch, "expert_count", 4);
    put(*w, arch, "ssm.time_step_rank", 4);
    put(*w, arch, "ssm.group_count", 2);
    put(*w, arch, "ssm.inner_size", 32);
    put(*w, arch, "ssm.state_size", 8);
    gguf_writer_index(*w, &of, &g, NULL);
    return g;
}

static void read_peft(const uint8_t *data, size_t size)
{
    GgufWriter *w;
    Lora *l = NULL;
    bt_error err = {0};
    size_t n = (size_t)data[1] | (size_t)data[2] << 8;
    Gguf *base = make_base(data[0], &w);
    if (n > size - 3) n = size - 3;
    size_t left = size - 3 - n;
    uint8_t *weights = mem_alloc(left + 1); /* exact but for the one that makes it valid */
    if (base && weights) {
        if (left) memcpy(weights, data + 3 + n, left);
        Span config = {(const char *)data + 3, n}, rest = {(const char *)weights, left};
        if (peft_read_memory(config, rest, base, &l, &err))
            promise(!l && err.text[0] && !strchr(err.text, '\n'));
        else
            look(l);
    }
    lora_close(&l);
    mem_free(weights);
    gguf_close(&base);
    gguf_writer_close(&w);
}

static void read_gguf(const uint8_t *bytes, size_t size)
{
    Gguf *g;
    Lora *l = NULL;
    bt_error err = {0};
    uint8_t *data = mem_aligned(size, 8);
    if (!data) return;
    memcpy(data, bytes, size);
    if (gguf_open_memory(data, size, "fuzz", &g, &err) == BT_OK) {
        if (lora_read_index(g, &l, &err))
            promise(!l && strncmp(err.text, "fuzz", 4) == 0 && !strchr(err.text, '\n'));
        else
            look(l);
        gguf_close(&g);
    }
    lora_close(&l);
    mem_free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int64_t live = mem_live();
    if (size > 4 && memcmp(bytes, "GGUF", 4) == 0)
        read_gguf(bytes, size);
    else if (size > 3)
        read_peft(bytes, size);
    promise(mem_live() == live);
    return 0;
}
