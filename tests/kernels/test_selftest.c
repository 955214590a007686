/* The quick look at the kernels that `bantam selfcheck` takes: good for what this CPU chooses, and
 * able to see a wrong kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernels/kernels.h"

enum { MOST = 32 };

static void chosen_kernels_are_good(void **state)
{
    (void)state;
    KernelTrial trials[MOST];
    uint32_t sets[] = {cpu_choose(0), cpu_features()};
    for (int which = 0; which < 2; which++) {
        size_t n = kernels_try(kernels_select(sets[which]), trials, MOST);
        assert_in_range(n, 10, MOST);
        for (size_t i = 0; i < n; i++) assert_true(trials[i].good);
    }
}

static void wrong_swiglu(const float *gate, const float *up, size_t n, float *out)
{
    kernels_select(CPU_NONE)->swiglu(gate, up, n, out);
    out[n / 2] += 0.01f;
}

static void a_wrong_kernel_is_seen(void **state)
{
    (void)state;
    KernelTrial trials[MOST];
    Kernels wrong = *kernels_select(CPU_NONE);
    wrong.swiglu = wrong_swiglu;
    size_t n = kernels_try(&wrong, trials, MOST), bad = 0;
    for (size_t i = 0; i < n; i++) bad += !trials[i].good;
    assert_int_equal(bad, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_kernels_are_good),
        cmocka_unit_test(a_wrong_kernel_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
