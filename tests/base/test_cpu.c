/* CPU features: names both ways, and the kernel's own list as a second opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"

static void parses(void **state)
{
    (void)state;
    assert_int_equal(cpu_mask_parse("avx2"), CPU_AVX2);
    assert_int_equal(cpu_mask_parse("avx2,avxvnni"), CPU_AVX2 | CPU_AVXVNNI);
    assert_int_equal(cpu_mask_parse("avx512vnni"), CPU_AVX512VNNI | CPU_AVX512 | CPU_AVX2);
    assert_int_equal(cpu_mask_parse("amxint8"),
                     CPU_AMXINT8 | CPU_AVX512VNNI | CPU_AVX512 | CPU_AVX2);
    assert_int_equal(cpu_mask_parse("amxbf16"), CPU_AMXBF16 | CPU_AVX512 | CPU_AVX2);
    assert_int_equal(cpu_mask_parse("i8mm"), CPU_I8MM | CPU_DOTPROD | CPU_NEON);
    assert_int_equal(cpu_mask_parse("none"), CPU_NONE);
    const char *bad[] = {"", "avx", "avx22", "AVX2", "avx2,", ",avx2", "avx2,none", "avx2 ", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cpu_mask_parse(bad[i]), 0);
    assert_int_equal(cpu_mask_parse(NULL), 0);
}

static void names_all(void **state)
{
    (void)state;
    char out[128];
    uint32_t all = 0;
#define ADD(name, bit, text) all |= name;
    CPU_FEATURES(ADD)
#undef ADD
    assert_true(strlen(cpu_names(all, out)) < sizeof out);
    assert_int_equal(cpu_mask_parse(out), all);
    assert_string_equal(cpu_names(0, out), "none");
    assert_string_equal(cpu_names(CPU_NONE, out), "none");
    assert_string_equal(cpu_names(CPU_AVX2 | CPU_AVX512, out), "avx2,avx512");
    for (int bit = 0; bit < 31; bit++) {
        if (!(all >> bit & 1)) continue;
        uint32_t parsed = cpu_mask_parse(cpu_names(1u << bit, out));
        assert_true(parsed >> bit & 1);
    }
}

/* " word " stands in the flags line of /proc/cpuinfo. */
static bool flag(const char *flags, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = flags; (p = strstr(p, word)); p += n)
        if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n' || p[n] == '\0')) return true;
    return false;
}

static void chooses_what_is_there(void **state)
{
    (void)state;
    uint32_t have = cpu_features();
    assert_int_equal(cpu_choose(0) | CPU_AVX512BF16, have | CPU_AVX512BF16);
    assert_int_equal(cpu_choose(have | CPU_NONE), have);
    assert_int_equal(cpu_choose(~0u), have);
    assert_int_equal(cpu_choose(CPU_NONE), 0);
    assert_int_equal(cpu_choose(CPU_AVX2 | CPU_NEON), have & (CPU_AVX2 | CPU_NEON));
}

static void agrees_with_the_kernel(void **state)
{
    (void)state;
    static char line[16384];
#if defined(__aarch64__) /* under qemu-user the file is that of the host: nothing to compare */
    static const char key[] = "Features";
#else
    static const char key[] = "flags";
#endif
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) skip();
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) found = !strncmp(line, key, strlen(key));
    fclose(f);
    if (!found) skip();
    uint32_t have = cpu_features();
#if defined(__x86_64__)
    assert_int_equal(!!(have & CPU_AVX2), flag(line, "avx2") && flag(line, "fma") &&
                                              flag(line, "f16c") && flag(line, "bmi2"));
    assert_int_equal(!!(have & CPU_AVXVNNI), flag(line, "avx_vnni"));
    assert_int_equal(!!(have & CPU_AVX512), flag(line, "avx512f") && flag(line, "avx512bw") &&
                                                flag(line, "avx512dq") && flag(line, "avx512vl") &&
                                                flag(line, "avx512vbmi"));
    assert_int_equal(!!(have & CPU_AVX512VNNI), flag(line, "avx512_vnni"));
    assert_int_equal(!!(have & CPU_AVX512BF16), flag(line, "avx512_bf16"));
    if (have & CPU_AMXINT8) assert_true(flag(line, "amx_int8"));
    if (have & CPU_AMXBF16) assert_true(flag(line, "amx_bf16") && flag(line, "avx512_bf16"));
#elif defined(__aarch64__)
    assert_int_equal(!!(have & CPU_NEON), flag(line, "asimd"));
    assert_int_equal(!!(have & CPU_DOTPROD), flag(line, "asimddp"));
    assert_int_equal(!!(have & CPU_I8MM), flag(line, "i8mm"));
    assert_int_equal(!!(have & CPU_ARMBF16), flag(line, "bf16"));
#else
    assert_int_equal(have, 0);
#endif
    assert_int_equal(have, cpu_features());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(names_all),
        cmocka_unit_test(chooses_what_is_there),
        cmocka_unit_test(agrees_with_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
