/* `bantam info`: what a file holds, and what running it here would take. Only the metadata and the
 * tokenizer are read; the memory comes from the plan, which allocates nothing. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/hatchling.h"
#include "cli/json.h"
#include "cli/model.h"
#include "engine/folder.h"
#include "engine/model.h"
#include "io/gguf.h"
#include "tensor/dtype.h"

/* ---- memory at several context lengths ---- */

enum { PLANS_MOST = 16 };

typedef struct Plans {
    struct {
        int32_t n_ctx;
        bool fits;
        bt_memory_plan plan;
    } row[PLANS_MOST];
    size_t n;
    int32_t largest; /* context that fits here; 0: none */
    char why[1024];  /* if not even the plan could be made */
} Plans;

/* As bt_model_plan for one sequence, under --memory. */
static bt_status plan_one(const CliModel *m, const bt_session_options *s, int32_t *n_ctx,
                          bt_memory_plan *out, bt_error *err)
{
    SessionShape shape = {.n_ctx = *n_ctx, .n_sequences = 1, .n_batch = s->n_batch, .kv = s->kv};
    bt_status status = model_plan(m->model, &shape, s->memory_limit, out, err);
    *n_ctx = shape.n_ctx;
    return status;
}

static void make_plans(const Cli *cli, const CliModel *m, Plans *out)
{
    bt_session_options s = session_options_lean(cli);
    bt_error err = {0};
    int32_t trained = m->info.n_ctx_train;
    *out = (Plans){0};
    for (int32_t n = 2048;; n = n < trained / 2 ? n * 2 : trained) {
        if (n > trained) n = trained;
        if (out->n == PLANS_MOST) break;
        int32_t n_ctx = n;
        bt_memory_plan plan = {0};
        bt_status status = plan_one(m, &s, &n_ctx, &plan, &err);
        if (status != BT_OK && (status != BT_E_MEMORY || !plan.total)) {
            snprintf(out->why, sizeof out->why, "%s", m->unusable[0] ? m->unusable : err.text);
            return;
        }
        out->row[out->n].n_ctx = n;
        out->row[out->n].fits = status == BT_OK;
        out->row[out->n++].plan = plan;
        if (n >= trained) break;
    }
    bt_memory_plan plan = {0};
    int32_t largest = 0;
    if (plan_one(m, &s, &largest, &plan, NULL) == BT_OK) out->largest = largest;
}

static json_t *plans_json(const Plans *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const bt_memory_plan *plan = &p->row[i].plan;
        json_array_append_new(list, json_pack("{s:i,s:I,s:I,s:I,s:I,s:b}", "ctx", p->row[i].n_ctx,
                                              "weights", (json_int_t)plan->weights, "state",
                                              (json_int_t)plan->state, "scratch",
                                              (json_int_t)plan->scratch, "total",
                                              (json_int_t)plan->total, "fits", p->row[i].fits));
    }
    return list;
}

static void print_plans(const Plans *p)
{
    char total[32], state[32], available[32];
    if (!p->n) {
        printf("memory        unknown: ");
        print_wrapped(stdout, p->why, 14, 23, 80);
        return;
    }
    printf("memory        %s available here\n", bytes_text(p->row[0].plan.available, available));
    for (size_t i = 0; i < p->n; i++) {
        const bt_memory_plan *plan = &p->row[i].plan;
        printf("  context %-9d %10s in all, %10s of it state: %s\n", p->row[i].n_ctx,
               bytes_text(plan->total, total), bytes_text(plan->state, state),
               p->row[i].fits ? "fits" : "does not fit here");
    }
    if (p->largest)
        printf("  the largest context that fits here: %d\n", p->largest);
    else
        printf("  no context fits here\n");
}

/* ---- what layers remember ---- */

enum { KINDS_MOST = 16 };

static json_t *state_json(const Cli *cli, const CliModel *m)
{
    bt_state_info kinds[KINDS_MOST];
    int32_t n = bt_model_state(m->model, session_options(cli).kv, kinds, KINDS_MOST);
    json_t *list = json_array();
    for (int32_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s,s:i,s:i,s:I,s:I}", "kind", kinds[i].kind,
                                              "layers", kinds[i].n_layers, "span", kinds[i].span,
                                              "token_bytes", (json_int_t)kinds[i].token_bytes,
                                              "fixed_bytes", (json_int_t)kinds[i].fixed_bytes));
    return list;
}

static void print_state(const Cli *cli, const CliModel *m)
{
    bt_state_info kinds[KINDS_MOST];
    int32_t n = bt_model_state(m->model, session_options(cli).kv, kinds, KINDS_MOST);
    for (int32_t i = 0; i < n; i++) {
        const bt_state_info *k = &kinds[i];
        char bytes[32];
        bytes_text(k->token_bytes ? k->token_bytes : k->fixed_bytes, bytes);
        printf("%s%d layer%s ", i ? "              " : "state         ", k->n_layers,
               k->n_layers == 1 ? "" : "s");
        if (!strcmp(k->kind, "shared"))
            printf("read%s what other layers remember\n", k->n_layers == 1 ? "s" : "");
        else if (k->fixed_bytes)
            printf("recurrent: %s, whatever the length\n", bytes);
        else if (k->span)
            printf("of a %s of %d tokens: %s a token\n", k->kind, k->span, bytes);
        else
            printf("of all tokens%s: %s a token\n", strcmp(k->kind, "all") ? ", compressed" : "",
                   bytes);
    }
}

/* ---- tensor types ---- */

typedef struct Types {
    uint64_t bytes[DTYPE_LIMIT];
    size_t count[DTYPE_LIMIT];
} Types;

static Types count_types(const Gguf *g)
{
    Types t = {0};
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *tensor = gguf_tensor(g, i);
        if (tensor->type >= DTYPE_LIMIT) continue;
        t.bytes[tensor->type] += tensor->bytes;
        t.count[tensor->type]++;
    }
    return t;
}

static json_t *types_json(const Types *t)
{
    json_t *list = json_object();
    for (uint32_t i = 0; i < DTYPE_LIMIT; i++)
        if (t->count[i])
            json_object_set_new(list, dtype_name(i),
                                json_pack("{s:I,s:I}", "tensors", (json_int_t)t->count[i], "bytes",
                                          (json_int_t)t->bytes[i]));
    return list;
}

static json_t *metadata_json(const Gguf *g)
{
    json_t *keys = json_object();
    char value[512];
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        Span name = gguf_key_name(g, i);
        json_t *key = json_bytes(name.data, name.size);
        if (key)
            json_object_set_new(keys, json_string_value(key),
                                json_text(gguf_key_print(g, i, value, sizeof value)));
        json_decref(key);
    }
    return keys;
}

static void print_types(const Gguf *g, const Types *t)
{
    char bytes[32];
    const char *before = "types         ";
    if (!gguf_n_tensors(g)) return;
    for (uint32_t i = 0; i < DTYPE_LIMIT; i++) {
        if (!t->count[i]) continue;
        printf("%s%s (%zu tensors, %s)", before, dtype_name(i), t->count[i],
               bytes_text(t->bytes[i], bytes));
        before = ", ";
    }
    putchar('\n');
}

/* Bytes of a hostile file: control characters stay off the terminal. */
static void print_clean(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        putchar((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]);
}

static void print_metadata(const Gguf *g)
{
    char value[512];
    puts("metadata");
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        Span name = gguf_key_name(g, i);
        fputs("  ", stdout);
        print_clean(name.data, name.size);
        fputs(" = ", stdout);
        gguf_key_print(g, i, value, sizeof value);
        print_clean(value, strlen(value));
        putchar('\n');
    }
}

/* ---- vectors ---- */

static const char *const poolings[] = {"", "none", "mean", "cls", "last"}; /* bt_pooling */

static json_t *embedding_json(const CliModel *m)
{
    bt_embedding_info e = bt_model_embedding(m->model);
    if (!e.embeds) return json_null();
    return json_pack("{s:b,s:s,s:i,s:o,s:o}", "encoder", e.encoder, "pooling", poolings[e.pooling],
                     "dimensions", e.n_dims, "query_prefix", json_text(e.query_prefix),
                     "document_prefix", json_text(e.document_prefix));
}

static void print_embedding(const CliModel *m)
{
    bt_embedding_info e = bt_model_embedding(m->model);
    if (!e.embeds) return;
    printf("vectors       of %d numbers, pooling %s%s\n", e.n_dims, poolings[e.pooling],
           e.encoder ? "; tokens see each other both ways" : "");
    const char *const prefixes[] = {e.query_prefix, e.document_prefix};
    for (int i = 0; i < 2; i++) {
        if (!prefixes[i] || !*prefixes[i]) continue;
        printf("              before a %s: \"", i ? "document" : "query");
        print_clean(prefixes[i], strlen(prefixes[i]));
        puts("\"");
    }
}

/* ---- what the file says of itself ---- */

/* A key's text; of the model in the program what is known of it. */
static Span said(const CliModel *m, const Gguf *g, const char *key, const char *known)
{
    Span text = {0};
    if (gguf_get_span(g, key, false, &text, NULL) != BT_OK || !text.size)
        return span_of(hatchling_is_path(m->path) ? known : "");
    return text;
}

static Span license_of(const CliModel *m, const Gguf *g)
{
    return said(m, g, "general.license", HATCHLING_LICENSE);
}

static Span about(const CliModel *m, const Gguf *g)
{
    return said(m, g, "general.description", HATCHLING_ABOUT);
}

static void print_said(const char *label, Span text)
{
    enum { MOST = 200 };
    if (!text.size) return;
    printf("%-14s", label);
    print_clean(text.data, text.size < MOST ? text.size : MOST);
    puts(text.size > MOST ? " ..." : "");
}

/* ---- the whole ---- */

static int print_json(const Cli *cli, const CliModel *m, const Gguf *g, const Plans *p,
                      const Types *t)
{
    const bt_model_info *i = &m->info;
    json_t *sizes = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "layers", i->n_layers,
                              "embd", i->n_embd, "heads", i->n_heads, "kv_heads", i->n_kv_heads,
                              "ff", i->n_ff, "experts", i->n_experts, "experts_used",
                              i->n_experts_used, "vocab", i->n_vocab, "ctx_train", i->n_ctx_train);
    json_t *root = json_pack(
        "{s:o,s:o,s:o,s:s,s:I,s:I,s:i,s:o,s:s,s:o,s:o,s:o}", "path", json_text(m->path), "name",
        json_text(i->name), "architecture", json_text(i->architecture), "type", i->type_summary,
        "file_bytes", (json_int_t)i->file_bytes, "parameters", (json_int_t)i->n_params, "files",
        gguf_n_parts(g), "sizes", sizes, "vocabulary", i->vocab_kind, "template",
        json_text(bt_chat_template(m->model)), "types", types_json(t), "memory", plans_json(p));
    if (!root) return json_print(NULL);
    json_object_set_new(root, "unusable", json_text(*m->unusable ? m->unusable : NULL));
    Span of_it = about(m, g), license = license_of(m, g);
    json_object_set_new(root, "about", json_bytes(of_it.data, of_it.size));
    json_object_set_new(root, "license", json_bytes(license.data, license.size));
    json_object_set_new(root, "bos", json_integer(i->bos));
    json_object_set_new(root, "eos", json_integer(i->eos));
    json_object_set_new(root, "add_bos", json_boolean(i->add_bos));
    json_object_set_new(root, "embedding", embedding_json(m));
    json_object_set_new(root, "state", state_json(cli, m));
    json_object_set_new(root, "largest_ctx", json_integer(p->largest));
    json_object_set_new(root, "available", json_integer((json_int_t)os_memory_available()));
    json_object_set_new(root, "chat_template", json_text(i->chat_template));
    json_object_set_new(root, "metadata", metadata_json(g));
    return json_print(root);
}

static void print_text(const Cli *cli, const CliModel *m, const Gguf *g, const Plans *p,
                       const Types *t)
{
    const bt_model_info *i = &m->info;
    const char *template = bt_chat_template(m->model);
    char bytes[32];
    printf("file          %s (%s", hatchling_is_path(m->path) ? "part of this program" : m->path,
           bytes_text(i->file_bytes, bytes));
    printf(gguf_n_parts(g) > 1 ? ", %d parts)\n" : ")\n", gguf_n_parts(g));
    fputs("name          ", stdout);
    print_clean(i->name, strlen(i->name));
    putchar('\n');
    print_said("about", about(m, g));
    print_said("licence", license_of(m, g));
    printf("architecture  %s", i->architecture);
    if (i->n_params)
        printf(", %.4g million parameters, mostly %s", (double)i->n_params / 1e6, i->type_summary);
    putchar('\n');
    printf("sizes         %d layers of %d, %d heads (%d for keys and values), %d in between\n",
           i->n_layers, i->n_embd, i->n_heads, i->n_kv_heads, i->n_ff);
    if (i->n_experts)
        printf("experts       %d, %d used for a token\n", i->n_experts, i->n_experts_used);
    printf("vocabulary    %d tokens, %s\n", i->n_vocab, i->vocab_kind);
    printf("context       trained for %d tokens\n", i->n_ctx_train);
    printf("template      %s\n", template           ? template
                                 : i->chat_template ? "cannot be used (--template names one)"
                                                    : "none");
    print_embedding(m);
    print_types(g, t);
    print_state(cli, m);
    print_plans(p);
    if (cli->verbose) print_metadata(g);
}

int cmd_info(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args) return cli_usage(cli, "'%s' is too much; one model at a time", *o->args);
    CliModel m = {0};
    Gguf *g = NULL;
    bt_error err = {0};
    int code = model_open(cli, &(ModelWish){.or_vocab = true}, &m);
    if (code == CLI_GOOD && model_index_open(m.path, &g, &err) != BT_OK)
        code = model_fail(&m, &err);
    if (code == CLI_GOOD) {
        Plans plans;
        Types types = count_types(g);
        make_plans(cli, &m, &plans);
        if (opts_flag(o, OPT_JSON))
            code = print_json(cli, &m, g, &plans, &types);
        else
            print_text(cli, &m, g, &plans, &types);
    }
    gguf_close(&g);
    model_close(&m);
    return code;
}
