/* Opening a model: file, architecture, vocabulary, and later, when a session needs them, the
 * prepared weights and the team (see model.h). */
#include "engine/model.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "convert/convert.h"
#include "engine/folder.h"
#include "engine/prefixes.h"
#include "tensor/dtype.h"

static bt_status copy_text(const Gguf *g, const char *key, char **out, bt_error *err)
{
    Span text = SPAN("");
    bt_status status = gguf_get_span(g, key, false, &text, err);
    if (status) return status;
    *out = mem_strndup(text.data, text.size);
    return *out ? BT_OK : bt_fail_memory(err, key, text.size);
}

static void summarise(bt_model *m)
{
    uint64_t bytes[DTYPE_LIMIT] = {0}, most = 0;
    for (size_t i = 0; i < gguf_n_tensors(m->gguf); i++) {
        const GgufTensor *t = gguf_tensor(m->gguf, i);
        m->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        bytes[t->type] += t->bytes;
        if (bytes[t->type] <= most) continue;
        most = bytes[t->type];
        snprintf(m->type_summary, sizeof m->type_summary, "%s", dtype_name(t->type));
    }
}

static bt_status load_weights(bt_model *m, bool live, bt_error *err)
{
    Loader ld = {
        .gguf = m->gguf, .arch = m->architecture, .borrow = live, .store = &m->store, .err = err};
    m->arch = arch_find(span_of(m->architecture));
    if (!m->arch)
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: architecture '%s' is not known; known: %s",
                       gguf_path(m->gguf), m->architecture, arch_list());
    ld.taken = mem_zalloc(gguf_n_tensors(m->gguf) + 1, sizeof *ld.taken);
    if (!ld.taken) return bt_fail_memory(err, "a list of tensors", gguf_n_tensors(m->gguf));
    m->weights = m->arch->load(&ld);
    loader_ranker(&ld);
    loader_check_rest(&ld);
    mem_free(ld.taken);
    m->hyper = ld.hyper;
    m->layers = ld.layers;
    m->matrices = ld.weights;
    m->n_matrices = ld.n_weights;
    m->embedding = ld.embedding;
    if (ld.status) return ld.status;
    for (size_t i = 0; i < m->n_matrices && live; i++) m->matrices[i]->paneled = false;
    int32_t words = tok_size(model_tokenizer(m));
    if (words > m->hyper.n_vocab)
        return bt_fail(
            err, BT_E_FORMAT,
            "%s: the vocabulary has %d tokens but tensor 'token_embd.weight' only %d rows",
            gguf_path(m->gguf), words, m->hyper.n_vocab);
    return BT_OK;
}

/* Without weights the sizes are whatever the keys say. */
static void read_sizes(bt_model *m)
{
    bt_error ignored;
    ModelStore store = {0};
    Loader ld = {.gguf = m->gguf, .arch = m->architecture, .store = &store, .err = &ignored};
    loader_hyper(&ld);
    m->hyper = ld.hyper;
    m->hyper.n_vocab = tok_size(model_tokenizer(m));
    store_close(&store);
}

bt_status model_check_kind(const Gguf *g, bt_error *err)
{
    static const struct {
        const char *kind, *what;
    } others[] = {
        {"adapter", "an adapter; --adapter names it, beside the model it was made for"},
        {"imatrix", "an importance matrix; 'bantam quantize --imatrix' takes it"},
        {"vocab", "a vocabulary without weights; 'bantam train --tokenizer' makes a model of it"}};
    bt_error ignored;
    Span kind = {NULL, 0}; /* left as it is where the file does not say */
    if (gguf_get_span(g, "general.type", false, &kind, &ignored)) return BT_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_is(kind, others[i].kind))
            return bt_fail(err, BT_E_FORMAT, "%s: is no model but %s", gguf_path(g),
                           others[i].what);
    return BT_OK;
}

/* What the file says, in the order in which it is needed. */
static bt_status read_model(bt_model *m, const bt_model_options *o, bool live, bt_error *err)
{
    bt_status status = BT_OK;
    bool cache = o->cache_dir && !o->no_cache && !gguf_is_builtin(m->gguf);
    if (!o->vocab_only) status = model_check_kind(m->gguf, err);
    if (!status && cache && !(m->cache_dir = mem_strdup(o->cache_dir)))
        status = bt_fail_memory(err, "a path", strlen(o->cache_dir));
    if (!status) status = copy_text(m->gguf, "general.architecture", &m->architecture, err);
    if (!status) status = copy_text(m->gguf, "general.name", &m->name, err);
    if (!status) status = copy_text(m->gguf, "tokenizer.chat_template", &m->chat_template, err);
    if (!status)
        status = prefixes_read(m->gguf, m->architecture, m->name, &m->query_prefix,
                               &m->document_prefix, err);
    if (!status) status = vocab_load(m->gguf, &m->vocab, err);
    if (!status && !o->vocab_only) status = load_weights(m, live, err);
    if (!status && o->vocab_only) read_sizes(m);
    bt_status lost = model_check_files(m, err);
    return lost ? lost : status; /* what is read of a file that is no more is nonsense */
}

static bt_status open_index(Gguf **gguf, const bt_model_options *o, bool live, bt_model **out,
                            bt_error *err)
{
    *out = NULL;
    bt_model *m = mem_zalloc(1, sizeof *m);
    if (!m) {
        gguf_close(gguf);
        return bt_fail_memory(err, "a model", sizeof *m);
    }
    m->gguf = *gguf;
    *gguf = NULL;
    m->features = cpu_choose((uint32_t)o->cpu_mask);
    m->n_threads = o->n_threads > 0 ? o->n_threads : os_cores();
    m->progress = o->progress;
    m->progress_user = o->progress_user;
    pthread_mutex_init(&m->lock, NULL);
    bt_status status = read_model(m, o, live, err);
    if (status) {
        bt_model_close(&m);
        return status;
    }
    summarise(m);
    *out = m;
    return BT_OK;
}

bt_status model_open_gguf(Gguf **gguf, const bt_model_options *o, bt_model **out, bt_error *err)
{
    return open_index(gguf, o, false, out, err);
}

bt_status model_open_live(Gguf **gguf, const bt_model_options *o, bt_model **out, bt_error *err)
{
    return open_index(gguf, o, true, out, err);
}

bt_status bt_model_open(const char *path, const bt_model_options *options, bt_model **out,
                        bt_error *err)
{
    static const bt_model_options defaults;
    const bt_model_options *o = options ? options : &defaults;
    GgufOptions file = {.no_tensors = o->vocab_only};
    Gguf *gguf;
    *out = NULL;
    bt_error_clear(err);
    if (!path || !*path) return bt_fail(err, BT_E_ARGUMENT, "no model is named");
    bt_status status = convert_is_folder(path) ? folder_open(path, o, &gguf, err)
                                               : gguf_open(path, &file, &gguf, err);
    return status ? status : model_open_gguf(&gguf, o, out, err);
}

void bt_model_close(bt_model **model)
{
    bt_model *m = *model;
    if (!m) return;
    Panels *panels = m->panels;
    panels_close(&panels);
    if (m->team) team_close(m->team);
    Aside *aside = m->aside;
    TokenSet *tokens = m->tokens;
    aside_close(&aside);
    token_set_close(&tokens);
    vocab_close(&m->vocab);
    store_close(&m->store);
    gguf_close(&m->gguf);
    mem_free(m->architecture);
    mem_free(m->name);
    mem_free(m->chat_template);
    mem_free(m->query_prefix);
    mem_free(m->document_prefix);
    mem_free(m->cache_dir);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
    *model = NULL;
}

static bt_status prepare_locked(bt_model *m, bt_error *err)
{
    if (!m->arch)
        return bt_fail(err, BT_E_ARGUMENT, "%s was opened for its vocabulary only",
                       gguf_path(m->gguf));
    if (!m->team && !(m->team = team_open(m->n_threads)))
        return bt_fail(err, BT_E_SYSTEM, "cannot start %d threads", m->n_threads);
    if (m->panels) return BT_OK;
    const Weight *table = m->embedding;
    for (size_t i = 0; i < m->n_matrices; i++) /* a tied embedding is checked as a matrix */
        if (m->matrices[i]->rows == table->rows) {
            table = NULL;
            break;
        }
    PanelsOptions o = {m->cache_dir, m->progress, m->progress_user};
    Panels *panels;
    bt_status status =
        panels_open(m->gguf, m->matrices, m->n_matrices, table, m->team, &o, &panels, err);
    m->panels = panels;
    bt_status lost = model_check_files(m, err); /* also where NaN was found in what is no more */
    return lost ? lost : status;
}

bt_status model_prepare(bt_model *m, bt_error *err)
{
    pthread_mutex_lock(&m->lock);
    bt_status status = prepare_locked(m, err);
    pthread_mutex_unlock(&m->lock);
    return status;
}

bt_status model_check_files(const bt_model *m, bt_error *err)
{
    for (int i = 0; i < gguf_n_parts(m->gguf); i++)
        if (os_map_lost(gguf_part(m->gguf, i)))
            return bt_fail(err, BT_E_IO, "%s: the file shrank or its disk failed while in use",
                           gguf_path(m->gguf));
    const Panels *panels = m->panels;
    const OsMap *sidecar = panels ? panels_map(panels) : NULL;
    if (sidecar && os_map_lost(sidecar))
        return bt_fail(err, BT_E_IO,
                       "%s: its prepared weights shrank or their disk failed while in use; "
                       "start again to make them anew",
                       gguf_path(m->gguf));
    return BT_OK;
}

const Tokenizer *model_tokenizer(const bt_model *m)
{
    return m->vocab->tok;
}

Span model_chat_template(const bt_model *m)
{
    return span_of(m->chat_template);
}

bt_model_info bt_model_describe(const bt_model *m)
{
    const Hyper *h = &m->hyper;
    const Tokenizer *tok = model_tokenizer(m);
    return (bt_model_info){
        .path = gguf_path(m->gguf),
        .architecture = m->architecture,
        .name = m->name,
        .type_summary = m->type_summary,
        .chat_template = m->chat_template && *m->chat_template ? m->chat_template : NULL,
        .vocab_kind = tok_kind(tok),
        .file_bytes = gguf_bytes(m->gguf),
        .n_params = m->n_params,
        .n_layers = h->n_layers,
        .n_embd = h->n_embd,
        .n_heads = h->n_heads,
        .n_kv_heads = h->n_kv_heads,
        .n_ff = h->n_experts ? h->n_ff_expert : h->n_ff,
        .n_experts = h->n_experts,
        .n_experts_used = h->n_experts_used,
        .n_vocab = h->n_vocab,
        .n_ctx_train = h->n_ctx_train,
        .add_bos = tok_adds_bos(tok),
        .bos = tok_bos(tok),
        .eos = tok_eos(tok),
    };
}

void bt_free(void *memory)
{
    mem_free(memory);
}
