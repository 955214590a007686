/* A hostile model file, from its first byte to decoded tokens. The input is not the file (nearly
 * every random change of one is refused in its header) but how to make it: a small model of some
 * shape, or one of a family from tests/data/families, then edits at places that the reader reaches:
 * values of keys, dimensions, types and places of tensors, weights, the end of the file. Whatever
 * comes of it is refused with one line that begins with the file's name, or runs: plan, session,
 * steps, sampling, text, chat, cut, shift. All memory must be back at the end; what runs keeps the
 * promises of bantam.h. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "engine/model.h"
#include "io/gguf_index.h"
#include "support/families.h"
#include "support/make_model.h"
#include "support/scratch.h"

enum { MOST_EDITS = 8, MOST_BYTES = 4 << 20, NAME_BYTES = 5 /* of "fuzz:" */ };

static void promise(bool kept)
{
    if (!kept) abort();
}

/* ---- the input ---- */

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static unsigned take(Input *in)
{
    if (!in->size) return 0;
    in->size--;
    return *in->data++;
}

static uint64_t take_value(Input *in)
{
    static const uint64_t edge[] = {0x7f,       0x80,        0xff,        0x7fff,
                                    0x8000,     0xffff,      INT32_MAX,   0x80000000,
                                    UINT32_MAX, INT64_MAX,   UINT64_MAX,  1u << 20,
                                    1ull << 40, 1u << 24,    0x7fc00000,  0x7f800000,
                                    0xff800000, 0x7f7fffff,  0x00000001,  0x7c007c00,
                                    0x7e007e00, 0x3f800000,  1ull << 63,  4096,
                                    4097,       0x80000001u, 0xbf800000u, 0x7ff0000000000000};
    unsigned code = take(in);
    uint64_t value = 0;
    if (code < 128) return code; /* small numbers make the likeliest sizes */
    if (code - 128 < sizeof edge / sizeof *edge) return edge[code - 128];
    for (int i = 0; i < 8; i++) value = value << 8 | take(in);
    return value;
}

/* ---- the file ---- */

typedef struct File {
    uint8_t *data;
    size_t size;
    Gguf *made; /* as it was made, for where things are */
} File;

static DType type_of(unsigned byte)
{
    static const DType types[] = {DT_F32,  DT_F16,    DT_BF16,   DT_Q8_0,  DT_Q4_0,
                                  DT_Q4_1, DT_Q5_0,   DT_Q5_1,   DT_MXFP4, DT_Q4_K,
                                  DT_Q6_K, DT_IQ4_NL, DT_IQ4_XS, DT_Q2_K};
    static const DType rare[] = {DT_Q3_K,   DT_Q5_K,  DT_IQ1_S,   DT_IQ1_M, DT_IQ2_XXS,
                                 DT_IQ2_XS, DT_IQ2_S, DT_IQ3_XXS, DT_IQ3_S, DT_TQ1_0,
                                 DT_TQ2_0,  DT_NVFP4, DT_Q1_0,    DT_Q2_0};
    return byte >= 224 ? rare[byte % 14] : types[byte % 14]; /* 224 is a multiple of 14 */
}

/* The next byte says what is made (see make_file, take_model): these lie so that older seeds keep
 * their meaning. */
enum { FIRST_FAMILY = 200, FIRST_ENCODER = 240 };

static MakeModel take_model(Input *in)
{
    static const char *const archs[] = {"llama", "llama-moe", "qwen2", "qwen3", "qwen3moe"};
    unsigned arch = take(in), type = take(in), high = take(in), flags = take(in);
    bool encoder = arch >= FIRST_ENCODER;
    MakeModel m = {.arch = encoder ? "bert" : archs[arch % 5],
                   .pooling = encoder ? (int)(arch % 5) : 0,
                   .type = type_of(type),
                   .high = type_of(high),
                   .layers = 1 + (flags & 1),
                   .tied = flags & 2,
                   .rope_freqs = flags & 4,
                   .bias = flags & 8,
                   .chat_template = flags & 16 ? "chatml" : NULL,
                   .tokenizer = (MakeVocab)(flags >> 6 & 3) % 3,
                   .ctx = flags & 32 ? 64 : 100};
    int block = dtype_info(m.type)->block, other = dtype_info(m.high)->block;
    if (other > block) m.high = m.type; /* small blocks make small, fast models */
    m.heads = 1 + (int)(take(in) % 6);
    m.kv_heads = 1 + (int)(take(in) % 4);
    m.head_dim = 1 + (int)(take(in) % 40);
    m.embd = block * (1 + (int)(take(in) % (block > 1 ? 2 : 70)));
    m.ff = block * (1 + (int)(take(in) % (block > 1 ? 2 : 70)));
    if (block > 1) { /* the output projection reads all heads: a whole number of blocks */
        m.heads = m.kv_heads = 1 + m.heads % 2;
        m.head_dim = block;
    }
    m.experts = 1 + (int)(take(in) % 9);
    m.experts_used = 1 + (int)(take(in) % 4);
    return m;
}

static _Alignas(8) uint8_t whole[MOST_BYTES];

static bool make_file(const MakeModel *m, File *f)
{
    bt_error err;
    char path[1024];
    if (!scratch_open()) return false;
    snprintf(path, sizeof path, "%s", scratch_path("model.gguf"));
    bool made = make_model(m, path, &err) == BT_OK;
    FILE *from = made ? fopen(path, "rb") : NULL;
    f->data = whole;
    if (from) f->size = fread(whole, 1, sizeof whole, from);
    if (from) fclose(from);
    scratch_close();
    return f->size && gguf_open_memory(f->data, f->size, "made", &f->made, &err) == BT_OK;
}

/* The model that the input names: of a family, or made. */
static bool take_file(Input *in, File *f)
{
    static FamilyFixture families[FAMILIES_MOST];
    static size_t n;
    bt_error err;
    if (in->size < 2 || *in->data < FIRST_FAMILY || *in->data >= FIRST_ENCODER) {
        MakeModel m = take_model(in);
        return make_file(&m, f);
    }
    take(in);
    if (!n) n = families_read(NULL, families);
    if (!n) return false;
    FILE *from = fopen(families_path(families[take(in) % n].name, ".gguf"), "rb");
    f->data = whole;
    if (from) f->size = fread(whole, 1, sizeof whole, from);
    if (from) fclose(from);
    return f->size && gguf_open_memory(f->data, f->size, "family", &f->made, &err) == BT_OK;
}

static void put(File *f, size_t at, uint64_t value, size_t width)
{
    if (at < f->size) memcpy(f->data + at, &value, width < f->size - at ? width : f->size - at);
}

/* Where the row of tensor i starts in the table. */
static size_t tensor_row_at(const File *f, size_t i)
{
    const GgufFile *made = &f->made->parts[0];
    const GgufKey *last = &made->keys[made->n_keys - 1];
    size_t at = (size_t)(last->value + last->bytes - f->data);
    for (size_t k = 0; k < i; k++)
        at += 8 + made->tensors[k].name.size + 4 + 8ul * made->tensors[k].n_dims + 12;
    return at;
}

static void edit_key(File *f, Input *in)
{
    const GgufFile *made = &f->made->parts[0];
    const GgufKey *key = &made->keys[take(in) % made->n_keys];
    size_t at = (size_t)(key->value - f->data);
    unsigned where = take(in);
    uint64_t value = take_value(in);
    if (where >= 250) { /* the type, or the name */
        put(f, where % 2 ? at - 4 : (size_t)(key->name.data - (const char *)f->data), value, 1);
    } else if (key->type == GGUF_ARRAY) {
        size_t width = gguf_type_width(key->element);
        if (where >= 240)
            put(f, at - (where % 2 ? 8 : 12), value, 4); /* count or type of elements */
        else if (width)
            put(f, at + width * (where % (key->count ? key->count : 1)), value, width);
        else
            put(f, at + (size_t)where * 8 % (key->bytes ? key->bytes : 1), value, 1);
    } else {
        size_t width = gguf_type_width(key->type);
        put(f, width ? at : at + where % (key->bytes ? key->bytes : 1), value, width ? width : 1);
    }
}

static void edit_tensor(File *f, Input *in)
{
    const GgufFile *made = &f->made->parts[0];
    size_t i = take(in) % made->n_tensors;
    const GgufTensor *t = &made->tensors[i];
    size_t at = tensor_row_at(f, i), dims = at + 8 + t->name.size + 4;
    unsigned where = take(in);
    uint64_t value = take_value(in);
    switch (where % 8) {
    case 0:
    case 1: put(f, dims + 8ul * (where / 8 % t->n_dims), value, 8); break;
    case 2: put(f, dims - 4, value, 4); break;
    case 3: put(f, dims + 8ul * t->n_dims, value, 4); break;
    case 4: put(f, dims + 8ul * t->n_dims + 4, value, 8); break;
    case 5: put(f, at + 8 + where / 8 % t->name.size, value, 1); break;
    default: put(f, (size_t)t->offset + (size_t)(where * t->bytes / 256 & ~1ul), value, 4); break;
    }
}

static void edit(File *f, Input *in)
{
    for (int i = 0; i < MOST_EDITS && in->size; i++) {
        unsigned kind = take(in) % 16, high = take(in), low = take(in);
        size_t at = f->size * (high << 8 | low) / 65536;
        if (kind < 8)
            edit_key(f, in);
        else if (kind < 14)
            edit_tensor(f, in);
        else if (kind == 14)
            put(f, at, take_value(in), 1);
        else
            f->size = at;
    }
}

/* ---- what a program would do with it ---- */

static bool fine(bt_status status, const bt_error *err)
{
    promise(status <= 0 && (status == BT_OK || (err->status == status && err->text[0])));
    promise(!strchr(err->text, '\n') && status != BT_E_INTERNAL);
    return status == BT_OK;
}

static void speak(bt_model *m)
{
    static const char text[] = "Hello, <|im_start|>w\xc3\xb6rld\xff 12\n";
    bt_message said = {"user", "Hi </s>"};
    bt_token ids[64];
    bt_error err = {0};
    char word[64], *shown;
    int64_t n = bt_model_tokenize(m, text, sizeof text - 1, BT_TOKENIZE_ADD_BOS, ids, 64, &err);
    if (n < 0) fine((bt_status)n, &err);
    for (int64_t i = 0; i < n && i < 64; i++)
        promise(bt_model_token_text(m, ids[i], true, word, sizeof word) >= 0);
    bt_model_token_text(m, -1, true, word, sizeof word);
    bt_model_token_ends(m, INT32_MAX);
    if (fine(bt_chat_render(m, NULL, &said, 1, true, &shown, &err), &err)) bt_free(shown);
    n = bt_chat_tokenize(m, NULL, &said, 1, true, ids, 64, &err);
    if (n < 0) fine((bt_status)n, &err);
}

static void decode(bt_model *m, bt_session *s)
{
    bt_error err = {0};
    int32_t n_vocab = bt_model_describe(m).n_vocab;
    bt_sampler_options o = {.seed = 1, .dry_multiplier = 1, .repeat_penalty = 1.1f};
    bt_sampler *sampler = NULL;
    bt_text *text = NULL;
    const char *piece;
    size_t length;
    bt_token ids[6], id;
    for (int i = 0; i < 6; i++) ids[i] = i * 7 % n_vocab;
    if (!fine(bt_sampler_open(m, &o, &sampler, &err), &err)) return;
    if (fine(bt_text_open(m, false, &text, &err), &err))
        fine(bt_session_feed(s, 0, ids, 6, &err), &err);
    for (int i = 0; i < 3 && bt_session_logits(s, -1); i++) {
        id = bt_sampler_pick(sampler, bt_session_logits(s, -1));
        promise(id >= 0 && id < n_vocab);
        bt_text_next(text, id, &piece, &length);
        bt_row rows[] = {{id, 0, true}, {ids[i], 1, true}, {ids[i + 1], 1, false}};
        fine(bt_session_step(s, rows, 3, &err), &err);
    }
    if (fine(bt_session_truncate(s, 0, bt_session_length(s, 0) / 2, &err), &err))
        fine(bt_session_shift(s, 0, 1, 2, &err), &err);
    bt_session_cancel(s);
    fine(bt_session_feed(s, 1, ids, 2, &err), &err);
    bt_text_close(&text);
    bt_sampler_close(&sampler);
}

static void embed(bt_model *m, unsigned how)
{
    static const bt_token ids[] = {0, 1, 2, 1, 0, 3, 2, 2};
    const bt_ids texts[] = {{ids, 5}, {ids + 1, 1}, {ids + 3, 4}};
    bt_error err = {0};
    bt_session *s;
    bt_embedding_info info = bt_model_embedding(m);
    promise(info.n_dims > 0 && info.pooling != BT_POOLING_DEFAULT);
    bt_session_options o = {.n_ctx = how & 8 ? 0 : 40,
                            .n_sequences = 1 + (int32_t)(how & 1),
                            .n_batch = 1 + (int32_t)(how >> 4),
                            .kv = (bt_kv_type)(how % 5),
                            .memory_limit = 32 << 20,
                            .embeddings = true};
    bt_embed_options with = {.pooling = (bt_pooling)(how % 5), .keep_length = how & 2};
    int32_t most = with.pooling == BT_POOLING_NONE ? bt_model_describe(m).n_embd : info.n_dims;
    if (bt_model_describe(m).n_embd > most) most = bt_model_describe(m).n_embd;
    if (!fine(bt_session_open(m, &o, &s, &err), &err)) return;
    float *out = mem_zalloc(10 * (size_t)most, sizeof *out);
    if (out) fine(bt_session_embed(s, texts, 3, &with, out, &err), &err);
    mem_free(out);
    bt_session_close(&s);
}

static void use(bt_model *m, unsigned how)
{
    bt_error err = {0};
    bt_memory_plan plan;
    bt_session *s;
    int32_t any = 0;
    bt_model_info info = bt_model_describe(m);
    promise(info.n_vocab >= 0 && info.n_layers > 0 && info.n_heads >= 0 && info.n_kv_heads >= 0);
    speak(m);
    if (bt_model_embedding(m).embeds || how % 3 == 0) embed(m, how);
    fine(bt_model_plan(m, &any, 1, 0, (bt_kv_type)(how % 5), &plan, &err), &err);
    bt_model_bytes_per_token(m, 100, (bt_kv_type)(how % 5));
    bt_session_options o = {.n_ctx = how & 8 ? 0 : 40,
                            .n_sequences = 2,
                            .n_batch = 1 + (int32_t)(how >> 4),
                            .n_logits = 2,
                            .kv = (bt_kv_type)(how % 5),
                            .memory_limit = 32 << 20};
    if (o.n_batch < 3) o.n_batch = 3;
    if (!fine(bt_session_open(m, &o, &s, &err), &err)) return;
    decode(m, s);
    bt_session_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Input in = {bytes, size};
    int64_t live = mem_live();
    bt_error err = {0};
    bt_model_options o = {.n_threads = 1};
    unsigned how = take(&in);
    if (how == 255) o.vocab_only = true;
    if (take(&in) % 4 == 1) o.cpu_mask = CPU_NONE; /* plain C, where sanitizers see every access */
    File f = {0};
    if (take_file(&in, &f)) {
        edit(&f, &in);
        gguf_close(&f.made);
        Gguf *g;
        bt_model *model;
        uint8_t *exact = mem_alloc(f.size); /* so that a read past the end is seen */
        promise(exact != NULL);
        memcpy(exact, f.data, f.size);
        bt_status status = gguf_open_memory(exact, f.size, "fuzz", &g, &err);
        if (!status) status = model_open_gguf(&g, &o, &model, &err);
        if (!fine(status, &err))
            promise(strncmp(err.text, "fuzz:", NAME_BYTES) == 0);
        else if (!o.vocab_only)
            use(model, how);
        if (!status) bt_model_close(&model);
        mem_free(exact);
    }
    gguf_close(&f.made);
    promise(mem_live() == live);
    return 0;
}
