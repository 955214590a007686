/* The models that other tests stand on: each architecture and type opens, is the same twice, and
 * its numbers have the spread they should. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "kernels/kernels.h"
#include "support/make_model.h"
#include "support/scratch.h"

static bt_error err;

static Gguf *made(const MakeModel *o, const char *name)
{
    Gguf *g = NULL;
    const char *path = scratch_path(name);
    bt_status status = make_model(o, path, &err);
    if (!status) status = gguf_open(path, NULL, &g, &err);
    if (status) print_error("%s\n", err.text);
    assert_int_equal(status, BT_OK);
    return g;
}

static void architectures_open(void **state)
{
    static const struct {
        const char *arch, *tensor;
    } rows[] = {
        {"llama", "blk.1.ffn_gate.weight"},
        {"llama-moe", "blk.1.ffn_gate_inp.weight"},
        {"qwen2", "blk.1.attn_k.bias"},
        {"qwen3", "blk.1.attn_k_norm.weight"},
        {"qwen3moe", "blk.1.ffn_down_exps.weight"},
    };
    int64_t live = mem_live();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        MakeModel o = {.arch = rows[i].arch, .tied = i % 2 != 0};
        Gguf *g = made(&o, "m.gguf");
        assert_non_null(gguf_find_tensor(g, rows[i].tensor));
        assert_int_equal(gguf_find_tensor(g, "output.weight") == NULL, o.tied);
        gguf_close(&g);
    }
    MakeModel unknown = {.arch = "mamba"};
    assert_int_equal(make_model(&unknown, scratch_path("x.gguf"), &err), BT_E_ARGUMENT);
    assert_int_equal(mem_live(), live);
}

static void vocabularies_are_whole(void **state)
{
    Span tokens[512], merges[64];
    for (int kind = MAKE_BPE; kind <= MAKE_SPM; kind++) {
        MakeModel o = {.tokenizer = (MakeVocab)kind, .chat_template = "chatml"};
        uint32_t eos = 0;
        Span template;
        Gguf *g = made(&o, "v.gguf");
        uint64_t n = gguf_array_count(g, (size_t)gguf_find_key(g, "tokenizer.ggml.tokens"));
        assert_true(n % 32 == 0 && n <= 512);
        assert_int_equal(gguf_find_tensor(g, "token_embd.weight")->ne[1], n);
        assert_int_equal(gguf_get_spans(g, "tokenizer.ggml.tokens", tokens, n, &err), BT_OK);
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t k = 0; k < i; k++) assert_false(span_equal(tokens[i], tokens[k]));
        assert_int_equal(gguf_get_u32(g, "tokenizer.ggml.eos_token_id", true, &eos, &err), BT_OK);
        assert_true(span_is(tokens[eos], "<|im_end|>"));
        assert_int_equal(gguf_get_span(g, "tokenizer.chat_template", true, &template, &err), BT_OK);
        if (kind == MAKE_SPM) {
            assert_true(span_is(tokens[MAKE_SPM_BYTES + 10], "<0x0A>"));
        } else {
            assert_true(span_is(tokens['A'], "A") && span_is(tokens[' '], "\xc4\xa0"));
            assert_true(span_is(tokens[MAKE_BPE_SPECIAL], "<|begin_of_text|>"));
            assert_int_equal(gguf_get_spans(g, "tokenizer.ggml.merges", merges, 55, &err), BT_OK);
            /* Each merge joins two tokens into one. */
            for (int i = 0; i < 55; i++) {
                const char *space = memchr(merges[i].data, ' ', merges[i].size);
                Span left = {merges[i].data, (size_t)(space - merges[i].data)};
                Span right = {space + 1, merges[i].size - left.size - 1};
                int found = 0;
                for (int k = 0; k < MAKE_BPE_MERGES + i; k++)
                    found += span_equal(tokens[k], left) + span_equal(tokens[k], right);
                assert_true(found >= (span_equal(left, right) ? 1 : 2));
                Span joined = tokens[MAKE_BPE_MERGES + i];
                assert_int_equal(joined.size, left.size + right.size);
                assert_memory_equal(joined.data, left.data, left.size);
                assert_memory_equal(joined.data + left.size, right.data, right.size);
            }
        }
        gguf_close(&g);
    }
}

static void same_options_same_bytes(void **state)
{
    MakeModel o = {.type = DT_Q4_0, .high = DT_Q8_0, .seed = 7};
    Gguf *a = made(&o, "a.gguf"), *b = made(&o, "b.gguf");
    assert_int_equal(gguf_bytes(a), gguf_bytes(b));
    assert_memory_equal(gguf_part(a, 0)->data, gguf_part(b, 0)->data, gguf_bytes(a));
    gguf_close(&b);
    o.seed = 8;
    b = made(&o, "b.gguf");
    assert_memory_not_equal(gguf_part(a, 0)->data, gguf_part(b, 0)->data, gguf_bytes(a));
    gguf_close(&a);
    gguf_close(&b);
}

static void types_open(void **state)
{
    static const DType types[] = {DT_F16,     DT_BF16,   DT_Q8_0,  DT_Q4_0,    DT_Q4_1,  DT_Q5_0,
                                  DT_Q5_1,    DT_Q2_K,   DT_Q3_K,  DT_Q4_K,    DT_Q5_K,  DT_Q6_K,
                                  DT_IQ4_NL,  DT_IQ4_XS, DT_MXFP4, DT_NVFP4,   DT_IQ1_S, DT_IQ1_M,
                                  DT_IQ2_XXS, DT_IQ2_XS, DT_IQ2_S, DT_IQ3_XXS, DT_IQ3_S, DT_TQ1_0,
                                  DT_TQ2_0,   DT_Q1_0,   DT_Q2_0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        MakeModel o = {.type = types[i], .embd = 256, .ff = 256, .head_dim = 64, .layers = 1};
        Gguf *g = made(&o, "t.gguf");
        assert_int_equal(gguf_find_tensor(g, "blk.0.ffn_up.weight")->type, types[i]);
        gguf_close(&g);
    }
    MakeModel o = {.type = DT_Q4_K};
    assert_int_equal(make_model(&o, scratch_path("x.gguf"), &err), BT_E_ARGUMENT);
}

/* Read back, the weights of each type have mean 0 and the spread that was asked: 1 / sqrt(256). */
static void numbers_have_their_spread(void **state)
{
    enum { ROWS = 256, ROW = 256 };
    static float x[ROWS * ROW];
    int n_types = 0;
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!dequant_supported(type)) continue;
        MakeModel o = {.seed = 3, .type = (DType)type, .embd = ROW, .ff = ROWS, .head_dim = 64};
        if (make_model(&o, scratch_path("s.gguf"), &err)) continue;
        Gguf *g = made(&o, "s.gguf");
        const GgufTensor *t = gguf_find_tensor(g, "blk.0.ffn_up.weight");
        double sum = 0, squares = 0;
        assert_true(dequant_row(type, t->data, x, ROWS * ROW));
        for (int i = 0; i < ROWS * ROW; i++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
        }
        double mean = 16 * sum / (ROWS * ROW), spread = 16 * sqrt(squares / (ROWS * ROW));
        if (!(fabs(mean) < 0.1 && spread > 0.7 && spread < 1.4))
            print_error("%s: mean %g, spread %g\n", dtype_name(type), mean, spread);
        assert_true(fabs(mean) < 0.1 && spread > 0.7 && spread < 1.4);
        n_types++;
        gguf_close(&g);
    }
    assert_true(n_types >= 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(architectures_open),        cmocka_unit_test(vocabularies_are_whole),
        cmocka_unit_test(same_options_same_bytes),   cmocka_unit_test(types_open),
        cmocka_unit_test(numbers_have_their_spread),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
