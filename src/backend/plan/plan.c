/* The plan backend: the same forward, computing only shapes and bytes. Ops reserve memory from a
 * counting arena; they see that nothing is computed here and call nothing. */
#include "backend/backend.h"

static void plan_close(Backend *b)
{
    (void)b;
}

static const BackendOps plan_ops = {.name = "plan", .computes = false, .close = plan_close};

Backend *backend_plan(void)
{
    static Backend plan = {&plan_ops};
    return &plan;
}
