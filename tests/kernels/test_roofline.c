/* The probe of this machine's limits: numbers that can be, and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "kernels/roofline.h"

static void measures(void **state)
{
    (void)state;
    Team *team = team_open(1);
    Roofline most;
    bt_error err;
    assert_non_null(team);
    bt_status status = roofline_measure(team, cpu_features(), &most, &err);
    team_close(team);
    if (status == BT_E_MEMORY) skip();
    assert_int_equal(status, BT_OK);
    assert_int_equal(most.threads, 1);
    assert_true(most.memory > 0.1 && most.memory < 10000);
    if (!(cpu_features() & (CPU_AVX2 | CPU_NEON))) skip();
    assert_true(most.f32 > 0.0001 && most.f32 < 100);
    assert_true(most.int8 == 0 || most.int8 > most.f32 / 2);
    assert_int_equal(most.tile_int8 > 0, !!(cpu_features() & CPU_AMXINT8));
    assert_int_equal(most.tile_bf16 > 0, !!(cpu_features() & CPU_AMXBF16));
    assert_int_equal(mem_live(), 0);
}

static void no_memory(void **state)
{
    (void)state;
    Team *team = team_open(1);
    Roofline most;
    bt_error err;
    assert_non_null(team);
    mem_fail_at(1);
    assert_int_equal(roofline_measure(team, CPU_NONE, &most, &err), BT_E_MEMORY);
    mem_fail_at(0);
    assert_true(err.text[0]);
    team_close(team);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measures), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
