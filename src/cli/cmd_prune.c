/* `bantam prune`: a smaller model cut out of a larger one (see train/prune.h). The text is read,
 * the activations of the whole model looked at and each layer tried, then what is left is written.
 */
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/prompt.h"
#include "cli/run.h"
#include "quant/collect.h"
#include "train/prune.h"

typedef struct Pruning {
    Cli *cli;
    CliModel m;
    Ids ids;
    Imatrix *importance;
    double *loss; /* without each layer; NULL: no layer goes */
    Cut cut;
} Pruning;

static const float *find(void *user, const char *tensor, uint64_t *n)
{
    const Imatrix *m = user;
    const ImatrixEntry *e = m ? imatrix_find(m, span_of(tensor)) : NULL;
    *n = e ? e->n : 0;
    return e ? e->mean : NULL;
}

/* What the text says about channels, heads and layers. */
static bt_status look(Pruning *p, const PruneWish *wish, Progress *progress, bt_error *err)
{
    const bt_model_info *info = &p->m.info;
    int32_t n_ctx = (int32_t)opts_int(&p->cli->opts, OPT_WINDOW_CTX);
    const CollectOptions collect = {
        .n_ctx = n_ctx, .progress = progress_update, .progress_user = progress};
    bt_status status = BT_OK;
    bool narrow = (wish->ff && wish->ff < info->n_ff) ||
                  (wish->kv_heads && wish->kv_heads < info->n_kv_heads);
    if (narrow)
        status =
            collect_importance(p->m.model, p->ids.ids, p->ids.n, &collect, &p->importance, err);
    if (status || !wish->layers || wish->layers >= info->n_layers) return status;
    p->loss = mem_zalloc((size_t)info->n_layers, sizeof *p->loss);
    if (!p->loss) return BT_E_MEMORY;
    return prune_layer_losses(p->m.model, p->ids.ids, p->ids.n, n_ctx, p->loss, progress_update,
                              progress, err);
}

static int print_result(const Pruning *p, const char *path)
{
    const Cut *c = &p->cut;
    json_t *left = json_array(), *loss = p->loss ? json_array() : NULL;
    int32_t groups = c->heads / c->kv_heads;
    for (int32_t l = 0; l < c->layers; l++) {
        if (!c->keeps_layer[l]) json_array_append_new(left, json_integer(l));
        if (loss) json_array_append_new(loss, json_real(p->loss[l]));
    }
    if (opts_flag(&p->cli->opts, OPT_JSON)) {
        json_t *all =
            json_pack("{s:o,s:i,s:i,s:i,s:i,s:o}", "file", json_text(path), "layers",
                      c->keep.layers, "ff", c->keep.ff, "heads", c->keep.kv_heads * groups,
                      "kv_heads", c->keep.kv_heads, "layers_left_out", left);
        if (loss) json_object_set_new(all, "loss_without", loss);
        return json_print(all);
    }
    printf("%s: %d of %d layers, %d of %d channels, %d of %d heads\n", path, c->keep.layers,
           c->layers, c->keep.ff, c->ff, c->keep.kv_heads * groups, c->heads);
    for (int32_t l = 0; p->loss && l < c->layers; l++)
        if (!c->keeps_layer[l])
            printf("layer %d is left out: without it alone the loss is %.4f\n", l, p->loss[l]);
    json_decref(left);
    json_decref(loss);
    return cli_flush();
}

static int prune(Pruning *p, const PruneWish *wish, const char *path)
{
    bt_error err = {0};
    Progress progress;
    progress_start(&progress, p->cli);
    const Gguf *gguf = p->m.model->gguf;
    bt_status status = look(p, wish, &progress, &err);
    if (!status) status = prune_plan(gguf, wish, find, p->importance, p->loss, &p->cut, &err);
    if (!status) status = prune_write(gguf, &p->cut, path, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    return status ? model_fail(&p->m, &err) : print_result(p, path);
}

int cmd_prune(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *file = opts_text(o, OPT_TEXT_FILE), *path = opts_text(o, OPT_PRUNE_OUT);
    const PruneWish wish = {(int32_t)opts_int(o, OPT_KEEP_LAYERS),
                            (int32_t)opts_int(o, OPT_KEEP_FF),
                            (int32_t)opts_int(o, OPT_KEEP_HEADS)};
    Pruning p = {.cli = cli};
    Buf text = {0};
    unsigned flags;
    if (o->n_args) return cli_usage(cli, "'%s' is too much; the text is given with -f", *o->args);
    if (!path) return cli_usage(cli, "-o FILE is missing");
    if (!wish.layers && !wish.ff && !wish.kv_heads)
        return cli_usage(cli, "nothing is cut: give --layers, --ff or --kv-heads");
    char *folder = folder_of(path);
    int code = folder ? read_text(file ? file : "-", true, &text) : cli_fail("not enough memory");
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.writes = {folder}}, &p.m);
    flags = text_flags(cli, &p.m.info);
    if (code == CLI_GOOD &&
        !ids_of_text(&p.m, text.data ? text.data : "", text.size, flags, &p.ids))
        code = CLI_FAILED;
    if (code == CLI_GOOD && p.ids.n < 2) code = cli_fail("the text has no tokens to predict");
    if (code == CLI_GOOD) code = prune(&p, &wish, path);
    prune_close(&p.cut);
    imatrix_close(&p.importance);
    mem_free(p.loss);
    ids_close(&p.ids);
    buf_close(&text);
    model_close(&p.m);
    mem_free(folder);
    return code;
}
