/* The plan backend: the same forward, computing only shapes and bytes. Ops reserve memory from a
 * counting arena and call here; nothing is done. */
#include "backend/backend.h"

static void plan_close(Backend *b)
{
    (void)b;
}

static void plan_linear(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count)
{
    (void)b, (void)x, (void)w, (void)out, (void)count;
}

static void plan_swiglu(Backend *b, Tensor x, const Weight *gate, const Weight *up, Tensor out)
{
    (void)b, (void)x, (void)gate, (void)up, (void)out;
}

static void plan_embed(Backend *b, const Weight *table, const StepRow *rows, Tensor out)
{
    (void)b, (void)table, (void)rows, (void)out;
}

static void plan_rmsnorm(Backend *b, Tensor x, const float *weight, float eps, Tensor out)
{
    (void)b, (void)x, (void)weight, (void)eps, (void)out;
}

static void plan_rope(Backend *b, Tensor x, const RopeTable *table)
{
    (void)b, (void)x, (void)table;
}

static void plan_norm_rope(Backend *b, Tensor x, const float *weight, float eps,
                           const RopeTable *table)
{
    (void)b, (void)x, (void)weight, (void)eps, (void)table;
}

static void plan_add(Backend *b, Tensor x, Tensor y, Tensor out)
{
    (void)b, (void)x, (void)y, (void)out;
}

static void plan_remember(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v)
{
    (void)b, (void)kv, (void)rows, (void)k, (void)v;
}

static void plan_attend(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                        const AttendOptions *options, Tensor out)
{
    (void)b, (void)kv, (void)rows, (void)q, (void)options, (void)out;
}

static void plan_moe(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                     const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out)
{
    (void)b, (void)x, (void)logits, (void)gate, (void)up, (void)down;
    (void)options, (void)work, (void)out;
}

static void plan_wanted(Backend *b, Tensor x, const StepRow *rows, Tensor out)
{
    (void)b, (void)x, (void)rows, (void)out;
}

static const BackendOps plan_ops = {
    .name = "plan",
    .computes = false,
    .close = plan_close,
    .linear = plan_linear,
    .swiglu = plan_swiglu,
    .embed = plan_embed,
    .rmsnorm = plan_rmsnorm,
    .rope = plan_rope,
    .norm_rope = plan_norm_rope,
    .add = plan_add,
    .remember = plan_remember,
    .attend = plan_attend,
    .moe = plan_moe,
    .wanted = plan_wanted,
};

Backend *backend_plan(void)
{
    static Backend plan = {&plan_ops};
    return &plan;
}
