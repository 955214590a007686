/* Shares of the machine's limits (see shares.h). */
#include "cli/shares.h"

#include <string.h>

#include "base/cpu.h"
#include "base/team.h"
#include "engine/folder.h"
#include "io/gguf.h"

int shares_measure(const CliModel *m, Roofline *out)
{
    bt_error err = {0};
    const char *mask = opts_text(&m->progress.cli->opts, OPT_CPU_MASK);
    uint32_t features = cpu_features();
    if (mask) features &= cpu_mask_parse(mask);
    Team *team = team_open(m->n_threads);
    if (!team) return cli_fail("cannot start %d threads to measure the machine", m->n_threads);
    bt_status status = roofline_measure(team, features, out, &err);
    team_close(team);
    return status == BT_OK ? CLI_GOOD : cli_fail("%s", err.text);
}

double shares_products(const CliModel *m)
{
    Gguf *g = NULL;
    bt_error err = {0};
    double products = 0;
    if (model_index_open(m->path, &g, &err) != BT_OK) {
        model_fail(m, &err);
        return 0;
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        if (t->n_dims < 2 || t->name.size < 4 || memcmp(t->name.data, "blk.", 4) != 0) continue;
        double n = (double)t->ne[0] * (double)t->ne[1];
        if (t->n_dims > 2) n *= m->info.n_experts_used;
        products += n;
    }
    gguf_close(&g);
    return products;
}

double shares_prefill(const Roofline *r, double products, double tokens_per_s)
{
    double limit = r->int8 > 0 ? r->int8 : r->bf16 > 0 ? r->bf16 : r->f32;
    return limit > 0 ? 2 * products * tokens_per_s / (limit * 1e12) : 0;
}

double shares_decode(const Roofline *r, const CliModel *m, int32_t depth, int32_t sequences,
                     bt_kv_type kv, double steps_per_s)
{
    double weights = (double)bt_model_bytes_per_token(m->model, 0, kv);
    double state = (double)bt_model_bytes_per_token(m->model, depth, kv) - weights;
    return r->memory > 0 ? (weights + state * sequences) * steps_per_s / (r->memory * 1e9) : 0;
}
