/* Which instruction sets this CPU has and this system saves the registers of. A CPU that has
 * AVX-512 under a system (or hypervisor) that does not save zmm must count as without. Intel
 * SDM volume 1, 13 and 14; volume 2, CPUID. */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/os_sys.h"

/* What each bit stands on. */
static const struct {
    uint32_t feature, needs;
} stands_on[] = {
    {CPU_AVXVNNI, CPU_AVX2},
    {CPU_AVX512, CPU_AVX2},
    {CPU_AVX512VNNI, CPU_AVX512 | CPU_AVX2},
    {CPU_AVX512BF16, CPU_AVX512VNNI | CPU_AVX512 | CPU_AVX2},
    {CPU_AMXINT8, CPU_AVX512VNNI | CPU_AVX512 | CPU_AVX2},
    {CPU_AMXBF16, CPU_AVX512 | CPU_AVX2},
    {CPU_DOTPROD, CPU_NEON},
    {CPU_I8MM, CPU_DOTPROD | CPU_NEON},
    {CPU_ARMBF16, CPU_NEON},
};

/* Drops features whose ground is missing. */
static uint32_t grounded(uint32_t features)
{
    for (size_t i = 0; i < sizeof stands_on / sizeof stands_on[0]; i++)
        if ((features & stands_on[i].needs) != stands_on[i].needs)
            features &= ~stands_on[i].feature;
    return features;
}

static uint32_t with_ground(uint32_t features)
{
    for (size_t i = 0; i < sizeof stands_on / sizeof stands_on[0]; i++)
        if (features & stands_on[i].feature) features |= stands_on[i].needs;
    return features;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register sets the system saves (XCR0). */
static uint64_t saved_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all_of(uint64_t word, uint64_t bits)
{
    return (word & bits) == bits;
}

#define BIT(n) (1u << (n))

static uint32_t detect(void)
{
    enum { YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };
    uint32_t a, b1, c1, d1, b7, c7, d7, a71 = 0, ignore, cx = 0;
    if (!__get_cpuid(1, &a, &b1, &c1, &d1) || !(c1 & BIT(27))) return 0; /* OSXSAVE */
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (a >= 1) __get_cpuid_count(7, 1, &a71, &ignore, &ignore, &ignore);
    __get_cpuid(0x80000001, &ignore, &ignore, &cx, &ignore);
    uint64_t saved = saved_registers();
    uint32_t features = 0;
    /* AVX, FMA, F16C, POPCNT; AVX2, BMI1, BMI2; LZCNT: what -mavx2 and its company may use */
    if (all_of(saved, YMM) && all_of(c1, BIT(28) | BIT(12) | BIT(29) | BIT(23)) &&
        all_of(b7, BIT(5) | BIT(3) | BIT(8)) && (cx & BIT(5)))
        features |= CPU_AVX2;
    if (a71 & BIT(4)) features |= CPU_AVXVNNI;
    if (all_of(saved, ZMM) && all_of(b7, BIT(16) | BIT(17) | BIT(30) | BIT(31)) && (c7 & BIT(1)))
        features |= CPU_AVX512; /* F, DQ, BW, VL; VBMI */
    if (c7 & BIT(11)) features |= CPU_AVX512VNNI;
    if (a71 & BIT(5)) features |= CPU_AVX512BF16;
    if (all_of(saved, TILES) && (d7 & BIT(24)) && sys_allow_amx()) {
        if (d7 & BIT(25)) features |= CPU_AMXINT8;
        /* Not on vdpbf16ps, which masks may leave out: its CPUID bit is looked at here. */
        if ((d7 & BIT(22)) && (a71 & BIT(5))) features |= CPU_AMXBF16;
    }
    return features;
}

/* By maker: AMD's cores start as many vdpbf16ps a cycle as FMAs, Intel's a quarter (measured on
 * Sapphire Rapids). A trial at start would be wrong on a busy machine now and then, and the same
 * seed would give another text. */
static uint32_t slow_here(void)
{
    uint32_t a, b, c, d;
    bool amd = __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx && c == signature_AMD_ecx &&
               d == signature_AMD_edx;
    return amd ? 0 : CPU_AVX512BF16;
}
#else
static uint32_t detect(void)
{
    return sys_arm_features();
}

static uint32_t slow_here(void)
{
    return 0;
}
#endif

uint32_t cpu_features(void)
{
    static _Atomic uint32_t known = CPU_NONE; /* not looked yet; two threads find the same */
    uint32_t features = atomic_load_explicit(&known, memory_order_relaxed);
    if (features == CPU_NONE) {
        features = grounded(detect());
        atomic_store_explicit(&known, features, memory_order_relaxed);
    }
    return features;
}

uint32_t cpu_choose(uint32_t mask)
{
    return cpu_features() & (mask ? mask : ~slow_here());
}

static const struct {
    const char *name;
    uint32_t feature;
} names[] = {
#define CPU_NAME(constant, bit, text) {text, constant},
    CPU_FEATURES(CPU_NAME)
#undef CPU_NAME
};

uint32_t cpu_mask_parse(const char *list)
{
    uint32_t mask = 0;
    if (!list || !*list) return 0;
    if (!strcmp(list, "none")) return CPU_NONE;
    for (const char *at = list;;) {
        size_t length = strcspn(at, ","), i = 0, n = sizeof names / sizeof names[0];
        while (i < n && (strlen(names[i].name) != length || memcmp(at, names[i].name, length) != 0))
            i++;
        if (i == n) return 0;
        mask |= names[i].feature;
        if (!at[length]) return with_ground(mask);
        at += length + 1;
    }
}

char *cpu_names(uint32_t features, char *out)
{
    char *at = out;
    *at = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!(features & names[i].feature)) continue;
        if (at != out) *at++ = ',';
        size_t length = strlen(names[i].name);
        memcpy(at, names[i].name, length + 1);
        at += length;
    }
    if (at == out) memcpy(out, "none", sizeof "none");
    return out;
}
