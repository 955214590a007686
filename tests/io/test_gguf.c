/* The GGUF reader against files built here byte by byte (not with our writer): every metadata type,
 * every damage it must name, split models, every prefix and every flipped byte of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/gguf_index.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "tensor/dtype.h"

static Buf b;

static void u8(uint8_t v)
{
    buf_add(&b, &v, 1);
}
static void u16(uint16_t v)
{
    buf_add(&b, &v, 2);
}
static void u32(uint32_t v)
{
    buf_add(&b, &v, 4);
}
static void u64(uint64_t v)
{
    buf_add(&b, &v, 8);
}
static void f32(float v)
{
    buf_add(&b, &v, 4);
}
static void f64(double v)
{
    buf_add(&b, &v, 8);
}
static void str(const char *s)
{
    u64(strlen(s));
    buf_text(&b, s);
}
static void start(uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    buf_clear(&b);
    buf_text(&b, "GGUF");
    u32(version);
    u64(n_tensors);
    u64(n_keys);
}
static void key(const char *name, uint32_t type)
{
    str(name);
    u32(type);
}
static void array(const char *name, uint32_t element, uint64_t count)
{
    key(name, GGUF_ARRAY);
    u32(element);
    u64(count);
}
static void tensor(const char *name, uint32_t type, uint64_t offset, uint32_t n_dims, uint64_t a,
                   uint64_t c)
{
    str(name);
    u32(n_dims);
    if (n_dims > 0) u64(a);
    if (n_dims > 1) u64(c);
    for (uint32_t i = 2; i < n_dims && i < 9; i++) u64(1);
    u32(type);
    u64(offset);
}
static void pad(size_t to)
{
    while (b.size % to) u8(0);
}
static void data(size_t bytes)
{
    pad(32);
    for (size_t i = 0; i < bytes; i++) u8((uint8_t)i);
}

static bt_error err;

/* Opens the bytes in an allocation of exactly their size, so that a sanitizer sees any overread. */
static bt_status open_bytes(const void *bytes, size_t size, Gguf **g, void **copy)
{
    *copy = mem_alloc(size);
    memcpy(*copy, bytes, size);
    bt_error_clear(&err);
    return gguf_open_memory(*copy, size, "m.gguf", g, &err);
}

static void refused_at(const char *file, int line, const char *expected)
{
    Gguf *g = NULL;
    void *copy;
    bt_status status = open_bytes(b.data, b.size, &g, &copy);
    mem_free(copy);
    if (status == BT_OK || g || !strstr(err.text, expected) || strncmp(err.text, "m.gguf: ", 8))
        print_error("status %d, text: %s\n  expected in it: %s\n", status, err.text, expected);
    _assert_true(status < 0 && !g, "refused", file, line);
    _assert_true(strstr(err.text, expected) != NULL, "message", file, line);
    _assert_true(strncmp(err.text, "m.gguf: ", 8) == 0, "names the file", file, line);
    _assert_true(strchr(err.text, '\n') == NULL, "one line", file, line);
}
#define refused(expected) refused_at(__FILE__, __LINE__, expected)

static Gguf *opened(void **copy)
{
    Gguf *g = NULL;
    bt_status status = open_bytes(b.data, b.size, &g, copy);
    if (status) print_error("%s\n", err.text);
    assert_int_equal(status, BT_OK);
    return g;
}

/* A file with all metadata types and three tensors. */
static void build_whole(uint32_t version)
{
    start(version, 3, 18);
    key("a.u8", GGUF_U8), u8(200);
    key("a.i8", GGUF_I8), u8(0x9c);
    key("a.u16", GGUF_U16), u16(60000);
    key("a.i16", GGUF_I16), u16(0x8000);
    key("a.u32", GGUF_U32), u32(4000000000u);
    key("a.i32", GGUF_I32), u32(0x80000000u);
    key("a.f32", GGUF_F32), f32(1.5f);
    key("a.bool", GGUF_BOOL), u8(1);
    key("a.string", GGUF_STRING), str("na\xc3\xafve\n");
    key("a.u64", GGUF_U64), u64(UINT64_MAX);
    key("a.i64", GGUF_I64), u64((uint64_t)-5);
    key("a.f64", GGUF_F64), f64(0.25);
    array("l.strings", GGUF_STRING, 3), str("x"), str(""), str("zz");
    array("l.i16", GGUF_I16, 2), u16(7), u16(0xffff);
    array("l.f64", GGUF_F64, 2), f64(0.5), f64(-2);
    array("l.bool", GGUF_BOOL, 2), u8(0), u8(1);
    array("l.none", GGUF_U32, 0);
    array("l.nested", GGUF_ARRAY, 2), u32(GGUF_U8), u64(3), u8(1), u8(2), u8(3);
    u32(GGUF_STRING), u64(1), str("deep");
    tensor("w.f32", DT_F32, 0, 2, 4, 2);
    tensor("w.q8", DT_Q8_0, 128, 2, 64, 1);
    tensor("w.i8", DT_I8, 64, 1, 5, 0);
    data(128 + 68);
}

static void reads_all_types(void **state)
{
    for (uint32_t version = 2; version <= 3; version++) {
        void *copy;
        uint32_t u = 7;
        int32_t i = 7, list[4];
        float f = 7, floats[4];
        bool yes = false;
        Span s, three[3];
        uint64_t n;
        build_whole(version);
        Gguf *g = opened(&copy);
        assert_int_equal(gguf_version(g), version);
        assert_int_equal(gguf_n_keys(g), 18);
        assert_int_equal(gguf_get_u32(g, "a.u8", true, &u, &err), BT_OK), assert_int_equal(u, 200);
        assert_int_equal(gguf_get_i32(g, "a.i8", true, &i, &err), BT_OK);
        assert_int_equal(i, -100);
        assert_int_equal(gguf_get_u32(g, "a.u16", true, &u, &err), BT_OK);
        assert_int_equal(u, 60000);
        assert_int_equal(gguf_get_i32(g, "a.i16", true, &i, &err), BT_OK);
        assert_int_equal(i, -32768);
        assert_int_equal(gguf_get_u32(g, "a.u32", true, &u, &err), BT_OK);
        assert_int_equal(u, 4000000000u);
        assert_int_equal(gguf_get_i32(g, "a.i32", true, &i, &err), BT_OK);
        assert_int_equal(i, INT32_MIN);
        assert_int_equal(gguf_get_i32(g, "a.i64", true, &i, &err), BT_OK), assert_int_equal(i, -5);
        assert_int_equal(gguf_get_f32(g, "a.f32", true, &f, &err), BT_OK), assert_true(f == 1.5f);
        assert_int_equal(gguf_get_f32(g, "a.f64", true, &f, &err), BT_OK), assert_true(f == 0.25f);
        assert_int_equal(gguf_get_f32(g, "a.i16", true, &f, &err), BT_OK);
        assert_true(f == -32768.0f);
        assert_int_equal(gguf_get_bool(g, "a.bool", true, &yes, &err), BT_OK), assert_true(yes);
        assert_int_equal(gguf_get_span(g, "a.string", true, &s, &err), BT_OK);
        assert_true(span_is(s, "na\xc3\xafve\n"));
        assert_int_equal(gguf_get_spans(g, "l.strings", three, 3, &err), BT_OK);
        assert_true(span_is(three[0], "x") && three[1].size == 0 && span_is(three[2], "zz"));
        assert_int_equal(gguf_get_i32s(g, "l.i16", true, list, 4, &n, &err), BT_OK);
        assert_true(n == 2 && list[0] == 7 && list[1] == -1);
        assert_int_equal(gguf_get_i32s(g, "l.bool", true, list, 4, &n, &err), BT_OK);
        assert_true(n == 2 && list[0] == 0 && list[1] == 1);
        assert_int_equal(gguf_get_i32s(g, "a.u8", true, list, 4, &n, &err), BT_OK);
        assert_true(n == 1 && list[0] == 200);
        assert_int_equal(gguf_get_f32s(g, "l.f64", true, floats, 2, &n, &err), BT_OK);
        assert_true(n == 2 && floats[0] == 0.5f && floats[1] == -2.0f);
        int64_t k = gguf_find_key(g, "l.nested");
        assert_int_equal(gguf_key_type(g, (size_t)k), GGUF_ARRAY);
        assert_int_equal(gguf_array_type(g, (size_t)k), GGUF_ARRAY);
        assert_int_equal(gguf_array_count(g, (size_t)k), 2);
        gguf_close(&g);
        mem_free(copy);
    }
}

static void refuses_values_of_other_types(void **state)
{
    void *copy;
    uint32_t u = 7;
    int32_t i = 7, list[1];
    float f = 7;
    bool yes = true;
    Span s;
    uint64_t n;
    build_whole(3);
    Gguf *g = opened(&copy);
    assert_int_equal(gguf_get_u32(g, "none", false, &u, &err), BT_OK), assert_int_equal(u, 7);
    assert_int_equal(gguf_get_u32(g, "none", true, &u, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "m.gguf: key 'none' is missing"));
    assert_int_equal(gguf_get_u32(g, "a.i8", true, &u, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "-100"));
    assert_int_equal(gguf_get_i32(g, "a.u32", true, &i, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_i32(g, "a.u64", true, &i, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "18446744073709551615"));
    assert_int_equal(gguf_get_u32(g, "a.f32", true, &u, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "is f32, must be an integer"));
    assert_int_equal(gguf_get_u32(g, "a.bool", true, &u, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_f32(g, "a.string", true, &f, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_bool(g, "a.u8", true, &yes, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_span(g, "l.strings", true, &s, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "array of string"));
    assert_int_equal(gguf_get_i32s(g, "l.i16", true, list, 1, &n, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_i32s(g, "l.f64", true, list, 1, &n, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_spans(g, "l.strings", &s, 2, &err), BT_E_FORMAT);
    assert_true(u == 7 && i == 7 && f == 7 && yes);
    gguf_close(&g);
    mem_free(copy);
    start(3, 0, 1), key("nan", GGUF_F32), u32(0x7fc00000);
    g = opened(&copy);
    assert_int_equal(gguf_get_f32(g, "nan", true, &f, &err), BT_E_FORMAT);
    assert_int_equal(gguf_get_f32s(g, "nan", true, &f, 1, &n, &err), BT_E_FORMAT);
    gguf_close(&g);
    mem_free(copy);
}

static void finds_tensors(void **state)
{
    void *copy;
    build_whole(3);
    Gguf *g = opened(&copy);
    const GgufTensor *t = gguf_find_tensor(g, "w.q8");
    assert_non_null(t);
    assert_int_equal(t->bytes, 68);
    assert_int_equal(t->ne[0], 64);
    assert_int_equal(t->ne[1], 1);
    assert_int_equal(t->ne[3], 1);
    assert_int_equal(((const uint8_t *)t->data)[1], 129);
    assert_ptr_equal((const char *)t->data, (const char *)copy + t->offset);
    assert_null(gguf_find_tensor(g, "w.q"));
    assert_null(gguf_tensor(g, 3));
    gguf_close(&g);
    mem_free(copy);
}

static void prints_values(void **state)
{
    void *copy;
    char out[64];
    build_whole(3);
    Gguf *g = opened(&copy);
#define printed(name) gguf_key_print(g, (size_t)gguf_find_key(g, name), out, sizeof out)
    assert_string_equal(printed("a.string"), "na\xc3\xafve ");
    assert_string_equal(printed("l.strings"), "[\"x\", \"\", \"zz\"]");
    assert_string_equal(printed("a.u64"), "18446744073709551615");
    assert_string_equal(printed("a.bool"), "true");
    assert_string_equal(printed("l.nested"), "[2 arrays]");
    assert_string_equal(printed("l.none"), "[]");
    assert_string_equal(gguf_key_print(g, (size_t)gguf_find_key(g, "a.string"), out, 7), "na...");
    gguf_close(&g);
    mem_free(copy);
}

/* ---- damage ---- */

static void refuses_headers(void **state)
{
    static const char *const texts[][2] = {
        {"", "empty"},
        {"GG", "not a GGUF"},
        {"GGUF\3", "cut short"},
        {"lmgg\1\0\0\0", "before GGUF"},
        {"version https://git-lfs.github.com/spec/v1", "git lfs pull"},
        {"<!DOCTYPE html>", "web page"},
        {"PK\003\004", "zip"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_clear(&b);
        buf_add(&b, texts[i][0], strlen(texts[i][0]));
        refused(texts[i][1]);
    }
    start(1, 0, 0), refused("version 1");
    start(4, 0, 0), refused("version 4");
    start(0, 0, 0), refused("version 0");
    start(0x03000000, 0, 0), refused("big-endian");
    start(3, 1, 0), refused("do not fit");
    start(3, 0, 1), refused("do not fit");
    start(3, UINT64_MAX, 0), refused("18446744073709551615 tensors");
    start(3, 0, UINT64_MAX), refused("keys");
    start(3, 0, 16384), refused("do not fit");
}

static void refuses_keys(void **state)
{
    start(3, 0, 1), u64(UINT64_MAX), u64(0), refused("key at offset 24: its name has");
    start(3, 0, 1), u64(500), u64(0), refused("cut short");
    start(3, 0, 1), key("", GGUF_U32), u64(0), refused("name is empty");
    start(3, 0, 1), key("a\xff z", GGUF_U32), u64(0), refused("not UTF-8");
    start(3, 0, 1), key("a\xed\xa0\x80", GGUF_U32), u64(0), refused("not UTF-8");
    start(3, 0, 1), key("a\xc0\x80", GGUF_U32), u64(0), refused("not UTF-8");
    start(3, 0, 1), key("a\x1b[2J", GGUF_U32), u64(0), refused("control character");
    start(3, 0, 1), key("k", 13), u64(0), refused("key 'k' at offset 24: value type 13");
    start(3, 0, 1), key("k", GGUF_U64), u32(0), u8(0), refused("cut short");
    start(3, 0, 1), key("k", GGUF_BOOL), u8(2), refused("bool of value 2");
    start(3, 0, 1), key("k", GGUF_STRING), u64(1u << 30), refused("a string of 1073741824");
    start(3, 0, 1), key("k", GGUF_STRING), u64(9), u64(0), refused("cut short");
    start(3, 0, 2), key("k", GGUF_U8), u8(1), key("k", GGUF_U8), u8(1), refused("twice");
    start(3, 0, 1), array("k", GGUF_U64, UINT64_MAX / 4), refused("does not fit");
    start(3, 0, 1), array("k", GGUF_U32, 2), u32(0), refused("does not fit");
    start(3, 0, 1), array("k", GGUF_STRING, 1u << 30), refused("does not fit");
    start(3, 0, 1), array("k", 77, 1), refused("value type 77");
    start(3, 0, 1), array("k", GGUF_BOOL, 2), u8(1), u8(255), refused("bool of value 255");
    start(3, 0, 1), array("k", GGUF_STRING, 2), str("x"), u64(100), refused("cut short");
    start(3, 0, 1), array("k", GGUF_ARRAY, 1);
    for (int i = 0; i < 20; i++) u32(GGUF_ARRAY), u64(1);
    refused("nested deeper");
    start(3, 0, 1), key("general.alignment", GGUF_U32), u32(0), refused("general.alignment");
    start(3, 0, 1), key("general.alignment", GGUF_U32), u32(48), refused("no power of two");
    start(3, 0, 1), key("general.alignment", GGUF_U32), u32(1u << 20), refused("not in 8..65536");
    start(3, 0, 1), key("general.alignment", GGUF_STRING), str("32"), refused("must be an integer");
}

static void refuses_tensors(void **state)
{
    start(3, 1, 0), tensor("w", DT_F32, 0, 0, 0, 0), u64(0), u64(0), refused("0 dimensions");
    start(3, 1, 0), tensor("w", DT_F32, 0, 5, 1, 1), refused("5 dimensions");
    start(3, 1, 0), tensor("w", DT_F32, 0, 2, 4, 0), data(16), refused("dimension 1 is 0");
    start(3, 1, 0), tensor("w", DT_F32, 0, 2, UINT64_MAX, 2), data(16), refused("63 bits");
    start(3, 1, 0), tensor("w", DT_F64, 0, 2, 1u << 30, INT64_MAX >> 30), data(16);
    refused("64 bits");
    start(3, 1, 0), tensor("w", DT_Q4_0, 0, 1, 33, 0), data(64), refused("blocks of Q4_0 hold 32");
    start(3, 1, 0), tensor("w", 99, 0, 1, 32, 0), data(64), refused("type 99 is unknown");
    start(3, 1, 0), tensor("w", 31, 0, 1, 32, 0), data(64), refused("withdrawn");
    start(3, 1, 0), tensor("w", DT_F32, 1, 1, 4, 0), data(64), refused("not aligned");
    start(3, 1, 0), tensor("w", DT_F32, 0, 1, 17, 0), data(64), refused("outside the file");
    start(3, 1, 0), tensor("w", DT_F32, UINT64_MAX - 31, 1, 8, 0), data(64);
    refused("tensor 'w' at offset");
    start(3, 1, 0), tensor("", DT_F32, 0, 1, 8, 0), data(64), refused("name is empty");
    start(3, 1, 0), u64(300), u64(0), u64(0), u64(0), u64(0), refused("its name has 300");
    start(3, 2, 0), tensor("w", DT_F32, 0, 1, 8, 0), tensor("w", DT_F32, 32, 1, 8, 0), data(64);
    refused("tensor 'w'");
    start(3, 2, 0), tensor("w", DT_F32, 0, 1, 9, 0), tensor("v", DT_F32, 32, 1, 8, 0), data(64);
    refused("overlaps tensor 'w'");
    start(3, 2, 0), tensor("w", DT_F32, 32, 1, 8, 0), tensor("v", DT_F32, 0, 1, 9, 0), data(64);
    refused("overlaps tensor 'v'");
    start(3, 1, 1), key("split.count", GGUF_U16), u16(2), tensor("w", DT_F32, 0, 1, 8, 0), data(32);
    refused("split.no");
}

static void alignment_moves_the_data(void **state)
{
    void *copy;
    start(3, 2, 1), key("general.alignment", GGUF_U32), u32(8);
    tensor("a", DT_F32, 0, 1, 1, 0), tensor("b", DT_F32, 8, 1, 1, 0);
    pad(8), f32(3), f32(0), f32(4);
    Gguf *g = opened(&copy);
    assert_true(*(const float *)gguf_find_tensor(g, "b")->data == 4);
    gguf_close(&g);
    mem_free(copy);
}

static void every_prefix_is_refused(void **state)
{
    build_whole(3);
    int64_t live = mem_live();
    for (size_t n = 0; n < b.size; n++) {
        Gguf *g;
        void *copy;
        assert_true(open_bytes(b.data, n, &g, &copy) < 0);
        assert_true(strncmp(err.text, "m.gguf: ", 8) == 0);
        mem_free(copy);
    }
    assert_int_equal(mem_live(), live);
}

/* Whatever one byte becomes, the file is opened soundly or refused. */
static void every_flipped_byte_is_survived(void **state)
{
    static const uint8_t masks[] = {1, 0x80, 0xff, 0x7f};
    build_whole(3);
    int64_t live = mem_live();
    for (size_t at = 0; at < b.size; at++)
        for (size_t m = 0; m < sizeof masks; m++) {
            Gguf *g;
            void *copy;
            char out[64];
            b.data[at] = (char)(b.data[at] ^ masks[m]);
            if (open_bytes(b.data, b.size, &g, &copy) == BT_OK) {
                for (size_t i = 0; i < gguf_n_keys(g); i++) gguf_key_print(g, i, out, sizeof out);
                gguf_close(&g);
            }
            mem_free(copy);
            b.data[at] = (char)(b.data[at] ^ masks[m]);
        }
    assert_int_equal(mem_live(), live);
}

static bt_status life(void *user, bt_error *told)
{
    Gguf *g;
    bt_status status = gguf_open(user, NULL, &g, told);
    gguf_close(&g);
    return status;
}

static void survives_failed_allocations(void **state)
{
    char path[1024];
    (void)state;
    build_whole(3);
    snprintf(path, sizeof path, "%s", scratch_write("torture.gguf", b.data, b.size));
    assert_true(torture("a file", life, path) >= 5);
}

/* ---- split models ---- */

static const char *split_name(int no, int count)
{
    static char name[64];
    snprintf(name, sizeof name, "sub/big-%05d-of-%05d.gguf", no + 1, count);
    return name;
}

static void write_part(int file, int no, int count, int total, const char *name)
{
    start(3, 1, no ? 3 : 4);
    if (!no) key("general.architecture", GGUF_STRING), str("llama");
    key("split.no", GGUF_U16), u16((uint16_t)no);
    key("split.count", GGUF_U16), u16((uint16_t)count);
    key("split.tensors.count", GGUF_I32), u32((uint32_t)total);
    tensor(name, DT_I8, 0, 1, 3, 0), pad(32), u8((uint8_t)no), u8(1), u8(2);
    assert_non_null(scratch_write(split_name(file, count), b.data, b.size));
}

static void opens_all_parts_from_any(void **state)
{
    static const char *const names[] = {"t0", "t1", "t2"};
    for (int i = 0; i < 3; i++) write_part(i, i, 3, 3, names[i]);
    for (int from = 0; from < 3; from++) {
        Gguf *g;
        Span arch;
        assert_int_equal(gguf_open(scratch_path(split_name(from, 3)), NULL, &g, &err), BT_OK);
        assert_int_equal(gguf_n_parts(g), 3);
        assert_int_equal(gguf_n_tensors(g), 3);
        assert_int_equal(gguf_get_span(g, "general.architecture", true, &arch, &err), BT_OK);
        assert_string_equal(gguf_path(g), scratch_path(split_name(0, 3)));
        for (int i = 0; i < 3; i++) {
            const GgufTensor *t = gguf_find_tensor(g, names[i]);
            assert_int_equal(t->part, i);
            assert_int_equal(*(const char *)t->data, i);
        }
        assert_int_equal(gguf_bytes(g), gguf_part(g, 0)->size + 2 * gguf_part(g, 1)->size);
        gguf_close(&g);
        GgufOptions meta = {.no_tensors = true};
        assert_int_equal(gguf_open(scratch_path(split_name(from, 3)), &meta, &g, &err), BT_OK);
        assert_int_equal(gguf_n_parts(g), 1);
        assert_null(gguf_tensor(g, 0)->data);
        gguf_close(&g);
    }
}

static void split_refused(const char *expected)
{
    Gguf *g;
    assert_true(gguf_open(scratch_path(split_name(0, 2)), NULL, &g, &err) < 0);
    if (!strstr(err.text, expected)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, expected));
    assert_null(g);
}

static void refuses_parts_that_do_not_match(void **state)
{
    Gguf *g;
    write_part(0, 0, 2, 2, "a");
    split_refused("part 2 of 2 is missing");
    write_part(1, 0, 2, 2, "c");
    split_refused("mixed up");
    write_part(1, 1, 2, 2, "a");
    split_refused("twice");
    write_part(1, 1, 2, 2, "c");
    write_part(0, 0, 2, 3, "a");
    split_refused("split.tensors.count");
    write_part(0, 2, 2, 2, "a");
    split_refused("split.no");
    write_part(0, 0, 2, 2, "a");
    const char *odd = scratch_write("odd.gguf", b.data, b.size);
    assert_int_equal(gguf_open(odd, NULL, &g, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "-00001-of-00002.gguf"));
}

static void refuses_what_is_no_file(void **state)
{
    Gguf *g;
    assert_int_equal(gguf_open(scratch_path("absent.gguf"), NULL, &g, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "absent.gguf"));
    assert_true(gguf_open(scratch_path("."), NULL, &g, &err) < 0);
    const char *empty = scratch_write("empty.gguf", "", 0);
    assert_int_equal(gguf_open(empty, NULL, &g, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "empty.gguf: the file is empty"));
}

static void opens_what_is_part_of_the_program(void **state)
{
    Gguf *g, *file;
    build_whole(3);
    char *bytes = mem_alloc(b.size);
    memcpy(bytes, b.data, b.size);
    gguf_builtin("in:it", bytes, b.size);
    assert_int_equal(gguf_open("in:it", NULL, &g, &err), BT_OK);
    assert_true(gguf_is_builtin(g));
    assert_string_equal(gguf_path(g), "in:it");
    assert_ptr_equal(gguf_tensor(g, 0)->data, bytes + gguf_tensor(g, 0)->offset);
    gguf_close(&g);
    const GgufOptions keys = {.no_tensors = true};
    assert_int_equal(gguf_open("in:it", &keys, &g, &err), BT_OK);
    assert_null(gguf_tensor(g, 0)->data);
    gguf_close(&g);
    const char *path = scratch_write("whole.gguf", b.data, b.size);
    assert_int_equal(gguf_open(path, NULL, &file, &err), BT_OK);
    assert_false(gguf_is_builtin(file));
    gguf_close(&file);
    gguf_builtin("in:it", bytes, 40); /* damaged: refused like any file */
    assert_int_equal(gguf_open("in:it", NULL, &g, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "in:it: "));
    gguf_builtin(NULL, NULL, 0);
    assert_int_equal(gguf_open("in:it", NULL, &g, &err), BT_E_IO);
    mem_free(bytes);
}

/* A file that is cut or written to after it was opened gives nonsense, never a wild read. */
static void survives_a_file_that_changes(void **state)
{
    Gguf *g;
    Span three[3];
    char out[64];
    build_whole(3);
    const char *path = scratch_write("changes.gguf", b.data, b.size);
    assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
    FILE *f = fopen(path, "r+b");
    for (size_t i = 0; i < b.size; i++) fputc(0xff, f);
    fclose(f);
    assert_int_equal(gguf_get_spans(g, "l.strings", three, 3, &err), BT_E_FORMAT);
    for (size_t i = 0; i < gguf_n_keys(g); i++) gguf_key_print(g, i, out, sizeof out);
    gguf_close(&g);

    assert_non_null(scratch_write("changes.gguf", b.data, b.size));
    assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
    assert_int_equal(truncate(path, 0), 0);
    for (size_t i = 0; i < gguf_n_keys(g); i++) gguf_key_print(g, i, out, sizeof out);
    assert_true(os_map_lost(gguf_part(g, 0)));
    gguf_close(&g);
}

static int setup(void **state)
{
    return scratch_open() ? 0 : -1;
}

static int teardown(void **state)
{
    buf_close(&b);
    scratch_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_types),
        cmocka_unit_test(refuses_values_of_other_types),
        cmocka_unit_test(finds_tensors),
        cmocka_unit_test(prints_values),
        cmocka_unit_test(refuses_headers),
        cmocka_unit_test(refuses_keys),
        cmocka_unit_test(refuses_tensors),
        cmocka_unit_test(alignment_moves_the_data),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(every_flipped_byte_is_survived),
        cmocka_unit_test(survives_failed_allocations),
        cmocka_unit_test(opens_all_parts_from_any),
        cmocka_unit_test(refuses_parts_that_do_not_match),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(opens_what_is_part_of_the_program),
        cmocka_unit_test(survives_a_file_that_changes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
