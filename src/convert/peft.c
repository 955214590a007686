/* The plan that leads an adapter's matrices (see peft_parts.h): sizes come from the base's keys
 * instead of a config.json. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "convert/peft_parts.h"
#include "convert/rules.h"

bool peft_is_folder(const char *path)
{
    char config[4096];
    struct stat at;
    if (!path || stat(path, &at) != 0 || !S_ISDIR(at.st_mode)) return false;
    snprintf(config, sizeof config, "%s/adapter_config.json", path);
    return stat(config, &at) == 0 && S_ISREG(at.st_mode);
}

/* The largest of a key that is a number or one a layer; 0: absent. */
static int32_t size_of(Convert *c, const Gguf *g, const char *arch, const char *name)
{
    char key[128];
    int32_t values[PLAN_MOST_LAYERS], most = 0;
    uint64_t n = 0;
    if (plan_failed(c)) return 0;
    snprintf(key, sizeof key, "%s.%s", arch, name);
    c->status = gguf_get_i32s(g, key, false, values, PLAN_MOST_LAYERS, &n, c->err);
    for (uint64_t i = 0; i < n && !plan_failed(c); i++)
        if (values[i] > most) most = values[i];
    return most;
}

static void read_sizes(Convert *c, const Gguf *g, const char *arch)
{
    ConvSize *s = &c->size;
    s->layers = size_of(c, g, arch, "block_count");
    s->embd = size_of(c, g, arch, "embedding_length");
    s->heads = size_of(c, g, arch, "attention.head_count");
    s->kv_heads = size_of(c, g, arch, "attention.head_count_kv");
    if (!s->kv_heads) s->kv_heads = s->heads;
    s->ff = size_of(c, g, arch, "feed_forward_length");
    int32_t ff = size_of(c, g, arch, "expert_feed_forward_length");
    if (ff) s->ff = ff;
    s->experts = size_of(c, g, arch, "expert_count");
    s->head_dim = size_of(c, g, arch, "attention.key_length");
    if (!s->head_dim && s->heads) s->head_dim = s->embd / s->heads;
    s->ssm_heads = size_of(c, g, arch, "ssm.time_step_rank");
    s->ssm_groups = size_of(c, g, arch, "ssm.group_count");
    s->ssm_inner = size_of(c, g, arch, "ssm.inner_size");
    s->ssm_state = size_of(c, g, arch, "ssm.state_size");
    if (!plan_failed(c) &&
        (s->experts > PLAN_MOST_EXPERTS || s->embd < 1 || s->embd > PLAN_MOST_WIDTH))
        plan_fail(c, BT_E_FORMAT, "sizes of the base are out of range");
}

static void find_rules(Convert *c, Span arch)
{
    Span base = span_is(arch, "gemma-embedding")  ? SPAN("gemma3")
                : span_is(arch, "nomic-bert-moe") ? SPAN("nomic-bert")
                                                  : arch;
    c->family = family_of_arch(base, 0);
    if (!c->family) {
        plan_fail(c, BT_E_UNSUPPORTED,
                  "how its makers name the tensors of architecture '%.*s' is not known; convert "
                  "the adapter to GGUF with another program",
                  (int)(arch.size < 40 ? arch.size : 40), arch.data);
        return;
    }
    c->tensors = c->family->tensors;
    c->arch = c->family->arch;
    if (span_is(arch, "nomic-bert-moe")) c->tensors = rules_nomic_moe;
    if (span_is(arch, "granitehybrid") && !c->size.experts) c->tensors = rules_granite_hybrid_dense;
}

bt_status peft_plan_open(const char *folder, const Gguf *base, Convert **out, bt_error *err)
{
    bt_error ignored;
    char arch[64];
    Span name = SPAN("");
    *out = NULL;
    bt_status status = gguf_get_span(base, "general.architecture", true, &name, err);
    if (status) return status;
    Convert *c = mem_zalloc(1, sizeof *c);
    if (!c) return bt_fail_memory(err, folder, sizeof *c);
    c->err = err ? err : &ignored;
    c->folder = mem_strdup(folder);
    snprintf(arch, sizeof arch, "%.*s", (int)name.size, name.data);
    if (!c->folder) c->status = bt_fail_memory(err, folder, strlen(folder));
    if (!plan_failed(c)) c->status = jdoc_open("{}", 2, folder, &c->config, c->err);
    read_sizes(c, base, arch);
    if (!plan_failed(c)) find_rules(c, name);
    status = c->status;
    if (status) convert_close(&c);
    *out = c;
    return status;
}

/* ---- ways ---- */

/* One try with the matrix lying as (rows, cols), or as (cols, rows). False: no rule, or a failure.
 */
static bool lead(Convert *c, StTensor *t, int64_t mats, int64_t rows, int64_t cols, bool turned,
                 int32_t *expert)
{
    uint32_t d = 0;
    if (mats > 0) t->shape[d++] = (uint64_t)mats;
    t->shape[d++] = (uint64_t)(turned ? cols : rows);
    t->shape[d++] = (uint64_t)(turned ? rows : cols);
    t->n_dims = d;
    t->type = ST_F32;
    return plan_lead(c, t, expert) && !plan_failed(c) && c->n_outs > 0;
}

static bool any_turned(const Convert *c)
{
    for (size_t i = 0; i < c->n_outs; i++)
        if (c->outs[i]->transposed) return true;
    return false;
}

/* The result is a matrix, or one stack, whose rows and columns are moved and nothing else. */
static bool is_plain(const ConvOut *o, int64_t rows, int64_t cols)
{
    size_t n = strlen(o->name);
    uint64_t from_cols = o->transposed ? o->src_rows : o->src_cols;
    uint64_t from_rows = o->transposed ? o->src_cols : o->src_rows;
    return n > 7 && strcmp(o->name + n - 7, ".weight") == 0 && !o->value && !o->made && !o->mxfp4 &&
           from_cols == (uint64_t)cols && from_rows == (uint64_t)rows && o->rows >= 1 &&
           o->cols >= 1 && o->rows + o->row0 <= from_rows;
}

int peft_ways(Convert *c, const char *path, int64_t mats, int64_t rows, int64_t cols,
              PeftWay ways[PEFT_MOST_WAYS])
{
    StTensor t = {0};
    int32_t expert = -1;
    t.name = span_of(path);
    if (plan_failed(c)) return 0;
    if (t.name.size > ST_MAX_NAME) {
        plan_fail(c, BT_E_FORMAT, "a name of %zu bytes; at most %u are read", t.name.size,
                  ST_MAX_NAME);
        return 0;
    }
    bool good = lead(c, &t, mats, rows, cols, false, &expert);
    if (good && any_turned(c)) good = lead(c, &t, mats, rows, cols, true, &expert);
    if (plan_failed(c)) return 0;
    for (size_t i = 0; i < c->n_outs && good; i++)
        good = c->n_outs <= PEFT_MOST_WAYS && is_plain(c->outs[i], rows, cols);
    if (!good) {
        plan_fail(c, BT_E_UNSUPPORTED,
                  "the adapter of '%s' (%lld x %lld) has no place in a GGUF of %s; merge it with "
                  "the program that made it and convert the result",
                  path, (long long)rows, (long long)cols, c->arch);
        return 0;
    }
    for (size_t i = 0; i < c->n_outs; i++) {
        const ConvOut *o = c->outs[i];
        int64_t stack = expert >= 0 ? o->n_pieces : (int64_t)o->mats;
        ways[i] = (PeftWay){o, (int64_t)o->cols, (int64_t)o->rows, stack, expert};
    }
    return (int)c->n_outs;
}
