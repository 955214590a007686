/* Which tensor gets which type: against the files that an independent engine wrote with its own
 * rules (golden quantized/), and, where those are too small to show it, against what is published
 * of the rules. Patterns, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/gguf_write.h"
#include "quant/choose.h"
#include "support/golden.h"
#include "tensor/dtype.h"

static bt_error err;

/* ---- against another engine's files ---- */

static void same_types(const char *source, const char *other, const char *mix, bool imatrix)
{
    char path[64];
    Gguf *from, *want;
    MixModel m;
    snprintf(path, sizeof path, "quantized/%s.gguf", source);
    if (!golden_path(path)) skip();
    assert_int_equal(gguf_open(golden_path(path), NULL, &from, &err), BT_OK);
    snprintf(path, sizeof path, "quantized/%s.gguf", other);
    assert_int_equal(gguf_open(golden_path(path), NULL, &want, &err), BT_OK);
    assert_int_equal(mix_model(from, imatrix, &m, &err), BT_OK);
    int32_t v = 0;
    uint32_t number = 0;
    int id = mix_find(mix);
    assert_true(id >= 0);
    gguf_get_u32(want, "general.file_type", true, &number, &err);
    assert_int_equal(number, mixes[id].number);
    for (size_t i = 0; i < gguf_n_tensors(from); i++) {
        const GgufTensor *t = gguf_tensor(from, i);
        char name[256];
        bool odd;
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        const GgufTensor *w = gguf_find_tensor(want, name);
        assert_non_null(w);
        bool values = tensor_kind(t->name, m.tied) == KIND_V;
        uint32_t type = tensor_mutable(t) ? mix_type(id, &m, t, v, &odd) : t->type;
        v += values;
        if (type != w->type)
            fail_msg("%s %s: %s here, %s there", other, name, dtype_name(type),
                     dtype_name(w->type));
    }
    gguf_close(&from);
    gguf_close(&want);
}

static void as_another_engine_has_it(void **state)
{
    static const char *const same[] = {"F16",  "BF16",   "Q4_0",   "Q4_1",   "Q5_0",
                                       "Q5_1", "Q8_0",   "Q2_K",   "Q3_K_M", "Q4_K_M",
                                       "Q6_K", "Q5_K_M", "IQ4_NL", "IQ4_XS"};
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        same_types("f32", same[i], same[i], false);
    same_types("moe-Q8_0", "moe-Q4_K_M", "Q4_K_M", false);
    same_types("moe-Q8_0", "moe-MXFP4_MOE", "MXFP4_MOE", false);
}

/* ---- what those files are too small to show ---- */

typedef struct Made {
    GgufWriter *writer;
    Gguf *gguf;
} Made;

/* A llama of 32 layers, 32 heads that share n_kv, without data. */
static Made make(int layers, int kv, int experts, uint64_t width, bool tied)
{
    static const char *const names[] = {"attn_q", "attn_k",   "attn_v",  "attn_output",
                                        "ffn_up", "ffn_gate", "ffn_down"};
    Made made = {gguf_writer_open(), NULL};
    GgufWriter *w = made.writer;
    uint64_t ne[] = {width, 512, experts ? (uint64_t)experts : 1}, one[] = {width};
    char name[64];
    size_t n = 0;
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_u32(w, "llama.block_count", (uint32_t)layers);
    gguf_put_u32(w, "llama.attention.head_count", 32);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)kv);
    if (experts) gguf_put_u32(w, "llama.expert_count", (uint32_t)experts);
    gguf_put_tensor(w, "token_embd.weight", DT_F32, 2, ne, NULL), n++;
    if (!tied) gguf_put_tensor(w, "output.weight", DT_F32, 2, ne, NULL), n++;
    for (int l = layers - 1; l >= 0; l--) { /* as files do not promise an order */
        snprintf(name, sizeof name, "blk.%d.attn_norm.weight", l);
        gguf_put_tensor(w, name, DT_F32, 1, one, NULL), n++;
        for (int i = 0; i < 7; i++) {
            bool stack = experts && i > 3;
            snprintf(name, sizeof name, "blk.%d.%s%s.weight", l, names[i], stack ? "_exps" : "");
            gguf_put_tensor(w, name, DT_F32, stack ? 3 : 2, ne, NULL), n++;
        }
    }
    GgufPlace *places = mem_zalloc(n, sizeof *places);
    GgufIndexOf of = {.path = "made", .places = places};
    for (size_t i = 0; i < n; i++) places[i].map = -1;
    if (gguf_writer_index(w, &of, &made.gguf, &err)) fail_msg("%s", err.text);
    mem_free(places);
    return made;
}

static void unmake(Made *m)
{
    gguf_close(&m->gguf);
    gguf_writer_close(&m->writer);
}

/* The type of blk.LAYER.STEM.weight (layer < 0: STEM.weight) by the mix's rules. */
static const char *rule(const Made *made, const char *mix, int layer, const char *stem,
                        bool imatrix)
{
    char name[64];
    bool odd;
    MixModel m;
    assert_int_equal(mix_model(made->gguf, imatrix, &m, &err), BT_OK);
    if (layer < 0)
        snprintf(name, sizeof name, "%s.weight", stem);
    else
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, stem);
    const GgufTensor *t = gguf_find_tensor(made->gguf, name);
    assert_non_null(t);
    return dtype_name(tensor_mutable(t) ? mix_type(mix_find(mix), &m, t, layer, &odd) : t->type);
}

#define IS(mix, layer, stem, type)      assert_string_equal(rule(&m, mix, layer, stem, false), type)
#define IS_WITH(mix, layer, stem, type) assert_string_equal(rule(&m, mix, layer, stem, true), type)

static void layers_that_get_more(void **state)
{
    (void)state;
    Made m = make(32, 8, 0, 4096, false);
    /* The first and last eighth, and every third of the others. */
    for (int l = 0; l < 32; l++) {
        bool more = l < 4 || l >= 28 || (l - 4) % 3 == 2;
        IS("Q4_K_M", l, "ffn_down", more ? "Q6_K" : "Q4_K");
        IS("Q4_K_M", l, "attn_v", more ? "Q6_K" : "Q4_K");
        IS("Q4_K_M", l, "ffn_gate", "Q4_K");
        IS("Q4_K_M", l, "attn_norm", "F32");
        IS("Q5_K_M", l, "ffn_down", more ? "Q6_K" : "Q5_K");
        IS("Q4_K_S", l, "ffn_down", l < 4 ? "Q5_K" : "Q4_K");
        IS("Q4_K_S", l, "attn_v", l < 4 ? "Q5_K" : "Q4_K");
        IS("Q3_K_M", l, "ffn_down", l < 2 ? "Q5_K" : "Q4_K");
        IS("Q3_K_M", l, "attn_v", l < 2 ? "Q5_K" : "Q4_K");
        IS("IQ4_XS", l, "ffn_down", l < 4 ? "Q5_K" : "IQ4_XS");
        IS_WITH("IQ4_XS", l, "ffn_down", "IQ4_XS");
        IS_WITH("Q4_0", l, "ffn_down", l < 4 ? "Q4_1" : "Q4_0");
        IS("Q4_0", l, "ffn_down", "Q4_0");
        IS_WITH("IQ2_S", l, "ffn_down", l < 4 ? "IQ3_S" : "IQ2_XS");
        IS("IQ3_XS", l, "ffn_up", l >= 4 && l < 28 ? "IQ3_XXS" : "IQ3_S");
    }
    IS("Q4_K_M", -1, "output", "Q6_K");
    IS("Q4_K_M", -1, "token_embd", "Q4_K");
    IS("Q8_0", -1, "output", "Q8_0");
    IS("BF16", -1, "output", "BF16");
    IS("IQ2_XXS", -1, "output", "Q5_K");
    IS("IQ2_XXS", -1, "token_embd", "Q2_K");
    IS("Q2_K", 9, "attn_output", "Q3_K");
    IS("Q2_K", 9, "attn_v", "Q4_K"); /* four queries a value */
    IS("IQ3_XXS", 9, "attn_k", "IQ2_S");
    IS("TQ1_0", -1, "token_embd", "Q4_K");
    unmake(&m);
    m = make(32, 32, 0, 4096, true);
    IS("Q4_K_M", -1, "token_embd", "Q6_K"); /* it is the output matrix too */
    IS("Q2_K", 9, "attn_v", "Q3_K");
    unmake(&m);
}

static void experts_and_large_models(void **state)
{
    (void)state;
    Made m = make(32, 8, 8, 4096, false);
    IS("Q4_K_M", 9, "attn_v", "Q8_0");
    IS("Q4_K_M", 9, "attn_k", "Q8_0");
    IS("Q4_K_M", 9, "attn_output", "Q5_K");
    IS("Q4_K_M", 9, "ffn_up_exps", "Q4_K");
    IS("Q4_K_M", 0, "ffn_down_exps", "Q6_K");
    IS("MXFP4_MOE", 9, "ffn_up_exps", "MXFP4");
    IS("MXFP4_MOE", 9, "attn_q", "Q8_0");
    IS("MXFP4_MOE", -1, "token_embd", "Q8_0");
    unmake(&m);
    m = make(80, 8, 0, 8192, false);
    IS("Q3_K_S", 40, "attn_v", "Q5_K");
    IS("Q4_K_M", 13, "attn_v", "Q5_K");
    IS("Q4_K_M", 12, "attn_v", "Q6_K");
    IS("Q3_K_S", 40, "attn_q", "Q3_K");
    unmake(&m);
}

static void rows_that_are_no_whole_blocks(void **state)
{
    (void)state;
    Made m = make(4, 8, 0, 4096 + 32, false);
    IS("Q4_K_M", 2, "attn_q", "Q5_0");
    IS("Q5_K_M", 2, "attn_q", "Q5_1");
    IS("Q6_K", 2, "attn_q", "Q8_0");
    IS("IQ4_XS", 2, "attn_q", "IQ4_NL");
    IS("Q2_K", 2, "attn_q", "Q4_0");
    IS("Q4_K_M", -1, "output", "Q8_0");
    unmake(&m);
    m = make(4, 8, 0, 4096 + 16, false);
    IS("Q4_K_M", 2, "attn_q", "F16");
    IS("Q8_0", 2, "attn_q", "F16");
    IS("Q8_0", -1, "output", "F16");
    unmake(&m);
}

/* ---- what the caller names ---- */

static const char *chosen(const Made *m, ChooseOptions o, const char *mix, const char *name)
{
    static Choice choices[512];
    o.mix = mix_find(mix);
    assert_true(gguf_n_tensors(m->gguf) <= 512);
    if (choose_types(m->gguf, &o, choices, &err)) return "refused";
    for (size_t i = 0; i < gguf_n_tensors(m->gguf); i++)
        if (span_is(gguf_tensor(m->gguf, i)->name, name)) return dtype_name(choices[i].type);
    return "?";
}

static void patterns(void **state)
{
    (void)state;
    Made m = make(12, 8, 0, 4096, false);
    const char *two[] = {"blk\\.1\\d\\.ffn=q5_0", "ffn=Q4_1"};
    ChooseOptions o = {.tensor_types = two, .n_tensor_types = 2};
    assert_string_equal(chosen(&m, o, "Q8_0", "blk.11.ffn_up.weight"), "Q5_0");
    assert_string_equal(chosen(&m, o, "Q8_0", "blk.1.ffn_up.weight"), "Q4_1");
    assert_string_equal(chosen(&m, o, "Q8_0", "blk.1.attn_q.weight"), "Q8_0");
    assert_string_equal(chosen(&m, o, "Q8_0", "blk.1.attn_norm.weight"), "F32");
    o = (ChooseOptions){.keep_output = true};
    assert_string_equal(chosen(&m, o, "Q8_0", "output.weight"), "F32");
    assert_string_equal(chosen(&m, o, "Q8_0", "token_embd.weight"), "Q8_0");
    o = (ChooseOptions){.pure = true};
    assert_string_equal(chosen(&m, o, "Q4_0", "output.weight"), "Q4_0");
    static const struct {
        const char *pattern, *says;
    } bad[] = {{"attn_norm=q8_0", "no matrix"}, {"attn_w=q8_0", "no matrix"},
               {"attn_v", "PATTERN=TYPE"},      {"=q8_0", "PATTERN=TYPE"},
               {"attn_v=q9_9", "no type"},      {"attn_v=Q8_K", "no type"},
               {"attn_(v=q8_0", "expression"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o = (ChooseOptions){.tensor_types = &bad[i].pattern, .n_tensor_types = 1};
        assert_string_equal(chosen(&m, o, "Q8_0", "output.weight"), "refused");
        if (!strstr(err.text, bad[i].says)) fail_msg("%s: %s", bad[i].pattern, err.text);
    }
    unmake(&m);
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(mix_find("q4_k_m"), MIX_Q4_K_M);
    assert_int_equal(mix_find("Q4_K"), MIX_Q4_K_M);
    assert_int_equal(mix_find("Q4_K_X"), -1);
    assert_int_equal(tensor_layer(SPAN("blk.12.x")), 12);
    assert_int_equal(tensor_layer(SPAN("blk.x")), -1);
    assert_int_equal(tensor_layer(SPAN("blk.99999999999.x")), -1);
    for (int i = 0; i < MIX_COUNT; i++)
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(mixes[i].number, mixes[j].number);
            assert_string_not_equal(mixes[i].name, mixes[j].name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_another_engine_has_it),
        cmocka_unit_test(layers_that_get_more),
        cmocka_unit_test(experts_and_large_models),
        cmocka_unit_test(rows_that_are_no_whole_blocks),
        cmocka_unit_test(patterns),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
