/* The features of this CPU, as the compiler's own runtime sees them. */
#include "base/cpu.h"
#include "private.h"

uint32_t check_features(void)
{
    uint32_t f = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) f |= CPU_AVX2;
    if (f && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw"))
        f |= CPU_AVX512;
    if (f & CPU_AVX512 && __builtin_cpu_supports("avx512vnni")) f |= CPU_AVX512VNNI;
    if (f & CPU_AVX512 && __builtin_cpu_supports("avx512bf16")) f |= CPU_AVX512BF16;
#elif defined(__aarch64__)
    f = CPU_NEON;
#endif
    return f;
}
