/* The safetensors reader: what the format promises holds of every file that opens, and each way of
 * breaking it is refused with the tensor's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/safetensors.h"
#include "support/scratch.h"

static bt_error err;
static unsigned char bytes[4096];

/* 8 bytes of length, the header, `data` bytes of 0, 1, 2 ... */
static size_t file_of(const char *header, size_t data)
{
    uint64_t n = strlen(header);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (unsigned char)i;
    return 8 + n + data;
}

static bt_status open_header(const char *header, size_t data, Safetensors **st)
{
    memset(&err, 0, sizeof err);
    return st_open_memory(bytes, file_of(header, data), "t", st, &err);
}

static void a_good_file_opens(void **state)
{
    Safetensors *st;
    assert_int_equal(
        open_header("{\"__metadata__\":{\"format\":\"pt\"},"
                    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                    "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[20,21]}}  ",
                    21, &st),
        BT_OK);
    assert_int_equal(st_n_tensors(st), 3);
    assert_true(span_is(st_tensor(st, 0)->name, "a")); /* in the order of the data */
    const StTensor *b = st_find(st, SPAN("b"));
    assert_non_null(b);
    assert_int_equal(b->type, ST_BF16);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(*(const unsigned char *)b->data, 8);
    assert_null(st_find(st, SPAN("c")));
    st_close(&st);
}

static void bad_files_are_refused(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *say;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "takes 12 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "cut short"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "1 bytes after"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}", 9, "no tensor"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
         7, "shares bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         8, "twice"},
        {"{\"a\":{\"dtype\":\"Q8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "'Q8'"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,4]}}", 4,
         "range has 4"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807,2],\"data_offsets\":[0,4]}}", 4,
         "too large"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]}}", 4,
         "dimensions"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 4, "range"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, "range"},
        {"{\"a\":7}", 4, "object"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "name"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"},
        {"{}", 0, "no tensor"},
        {"{\"a\":{\"dtype\":", 0, "offset"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Safetensors *st;
        int64_t live = mem_live();
        assert_int_not_equal(open_header(cases[i].header, cases[i].data, &st), BT_OK);
        if (!strstr(err.text, cases[i].say)) fail_msg("%zu: '%s'", i, err.text);
        assert_null(st);
        assert_int_equal(mem_live(), live);
    }
}

static void other_files_are_refused(void **state)
{
    Safetensors *st;
    size_t n = file_of("{}", 0);
    for (size_t size = 0; size < n; size++)
        assert_int_not_equal(st_open_memory(bytes, size, "t", &st, &err), BT_OK);
    uint64_t huge = UINT64_MAX;
    memcpy(bytes, &huge, 8);
    assert_int_equal(st_open_memory(bytes, n, "t", &st, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "header"));
}

static void a_folder_is_its_shards(void **state)
{
    Safetensors *st;
    static const char one[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    static const char two[] = "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    static const char index[] =
        "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
    static const char wrong[] =
        "{\"weight_map\":{\"b\":\"1.safetensors\",\"a\":\"2.safetensors\"}}";
    assert_non_null(scratch_open());
    scratch_write("m/1.safetensors", bytes, file_of(one, 4));
    assert_int_equal(st_open(scratch_path("m"), &st, &err), BT_OK); /* the only one */
    st_close(&st);
    scratch_write("m/2.safetensors", bytes, file_of(two, 2));
    assert_int_equal(st_open(scratch_path("m"), &st, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "index"));
    scratch_write("m/model.safetensors.index.json", index, strlen(index));
    assert_int_equal(st_open(scratch_path("m"), &st, &err), BT_OK);
    assert_int_equal(st_n_shards(st), 2);
    assert_int_equal(st_find(st, SPAN("b"))->shard, 1);
    st_close(&st);
    scratch_write("m/model.safetensors.index.json", wrong, strlen(wrong));
    assert_int_equal(st_open(scratch_path("m"), &st, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "'b' is not in 1.safetensors"));
    scratch_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_opens),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_folder_is_its_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
