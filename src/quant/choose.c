/* The choice of types (see choose.h). Patterns are the caller's own words, not a file's: they go to
 * the system's regular expressions as they are. */
#include "quant/choose.h"

#include <regex.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/gguf_index.h"
#include "kernels/kernels.h"
#include "quant/quant.h"
#include "tensor/dtype.h"

#define MOST_PATTERNS 256

typedef struct Pattern {
    const char *text; /* "PATTERN=TYPE" */
    regex_t regex;
    bool compiled, met;
    uint32_t type;
} Pattern;

int dtype_find(const char *name)
{
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++)
        if (dtype_known(type) && strcasecmp(dtype_name(type), name) == 0) return (int)type;
    return -1;
}

/* ---- patterns ---- */

static bt_status list_types(const char *text, const char *name, bt_error *err)
{
    Buf list = {0};
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++)
        if (dtype_known(type) && quant_supported(type))
            buf_printf(&list, "%s%s", list.size ? ", " : "", dtype_name(type));
    bt_fail(err, BT_E_ARGUMENT, "tensor type '%s': '%s' is no type that is written; those are %s",
            text, name, list.data ? list.data : "");
    buf_close(&list);
    return BT_E_ARGUMENT;
}

static bt_status compile(Pattern *p, bt_error *err)
{
    const char *equals = strrchr(p->text, '=');
    if (!equals || equals == p->text)
        return bt_fail(err, BT_E_ARGUMENT,
                       "tensor type '%s' is not of the form PATTERN=TYPE, as attn_v=q6_k", p->text);
    int type = dtype_find(equals + 1);
    if (type < 0 || !quant_supported((uint32_t)type)) return list_types(p->text, equals + 1, err);
    p->type = (uint32_t)type;
    Buf regex = {0};
    for (const char *c = p->text; c < equals; c++) { /* what others write and POSIX does not know */
        if (c[0] == '\\' && c[1] == 'd') {
            buf_text(&regex, "[0-9]");
            c++;
        } else if (c[0] == '\\' && c + 1 < equals) {
            buf_add(&regex, c++, 2);
        } else {
            buf_char(&regex, *c);
        }
    }
    if (regex.failed) {
        buf_close(&regex);
        return bt_fail_memory(err, p->text, strlen(p->text));
    }
    int fault = regcomp(&p->regex, regex.data, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    char why[100] = "";
    if (fault) regerror(fault, &p->regex, why, sizeof why);
    buf_close(&regex);
    p->compiled = !fault;
    if (!fault) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT, "tensor type '%s': no regular expression: %s", p->text, why);
}

static void close_patterns(Pattern *p, size_t n)
{
    for (size_t i = 0; p && i < n; i++)
        if (p[i].compiled) regfree(&p[i].regex);
    mem_free(p);
}

static bt_status open_patterns(const ChooseOptions *o, Pattern **out, bt_error *err)
{
    *out = NULL;
    if (o->n_tensor_types > MOST_PATTERNS)
        return bt_fail(err, BT_E_LIMIT, "%zu tensor types, at most %d", o->n_tensor_types,
                       MOST_PATTERNS);
    Pattern *p = mem_zalloc(o->n_tensor_types + 1, sizeof *p);
    if (!p) return bt_fail_memory(err, "patterns", o->n_tensor_types * sizeof *p);
    bt_status status = BT_OK;
    for (size_t i = 0; i < o->n_tensor_types && !status; i++) {
        p[i].text = o->tensor_types[i];
        status = compile(&p[i], err);
    }
    if (status)
        close_patterns(p, o->n_tensor_types);
    else
        *out = p;
    return status;
}

static const Pattern *match(Pattern *patterns, size_t n, Span name)
{
    char text[GGUF_MAX_NAME_LENGTH + 1];
    const Pattern *first = NULL;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    for (size_t i = 0; patterns && i < n; i++) {
        if (regexec(&patterns[i].regex, text, 0, NULL, 0) != 0) continue;
        patterns[i].met = true;
        if (!first) first = &patterns[i];
    }
    return first;
}

static bt_status check_met(const Pattern *patterns, size_t n, const Gguf *g, bt_error *err)
{
    for (size_t i = 0; patterns && i < n; i++)
        if (!patterns[i].met)
            return bt_fail(err, BT_E_ARGUMENT,
                           "tensor type '%s': no matrix of %s has such a name ('bantam info "
                           "--verbose' lists them); norms and other small tensors stay as they are",
                           patterns[i].text, gguf_path(g));
    return BT_OK;
}

/* ---- the choice ---- */

static bool is_block(uint32_t type)
{
    return dtype_info(type)->block > 1;
}

/* How many tensors of KIND_V come before each of them, by layer: *out (as many as tensors). */
static bt_status count_values(const Gguf *g, const MixModel *m, int32_t **out, bt_error *err)
{
    size_t n = gguf_n_tensors(g);
    int32_t *before = mem_zalloc(TENSOR_MOST_LAYERS + 2, sizeof *before);
    int32_t *of = mem_zalloc(n + 1, sizeof *of);
    for (size_t i = 0; before && of && i < n; i++) {
        Span name = gguf_tensor(g, i)->name;
        if (tensor_kind(name, m->tied) == KIND_V) before[tensor_layer(name) + 2]++;
    }
    for (int32_t l = 1; before && l < TENSOR_MOST_LAYERS + 2; l++) before[l] += before[l - 1];
    for (size_t i = 0; before && of && i < n; i++) {
        Span name = gguf_tensor(g, i)->name;
        if (tensor_kind(name, m->tied) == KIND_V) of[i] = before[tensor_layer(name) + 1]++;
    }
    bool good = before && of;
    mem_free(before);
    if (!good) mem_free(of);
    *out = good ? of : NULL;
    return good ? BT_OK : bt_fail_memory(err, gguf_path(g), n * sizeof *of);
}

static bt_status choose_importance(const GgufTensor *t, const ChooseOptions *o, const MixModel *m,
                                   Choice *c, bt_error *err)
{
    TensorKind kind = tensor_kind(t->name, m->tied);
    bool table = kind == KIND_OUTPUT || kind == KIND_EMBEDDING;
    uint64_t each;
    if (o->imatrix) c->importance = imatrix_find(o->imatrix, t->name);
    if (c->importance && !imatrix_weights(c->importance, t->ne[0], t->ne[2] * t->ne[3], &each))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: '%.*s' has %llu numbers there, and %llu columns here: it was made for "
                       "another model",
                       o->imatrix_path, (int)t->name.size, t->name.data,
                       (unsigned long long)c->importance->n, (unsigned long long)t->ne[0]);
    bool coarse = quant_needs_importance(c->type) || c->type == DT_IQ3_XXS ||
                  (c->type == DT_Q2_K && o->mix == MIX_Q2_K_S);
    if (c->importance || table || c->type == t->type || !coarse) return BT_OK;
    if (o->imatrix && kind == KIND_OTHER) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT,
                   "%.*s as %s is of no use without an importance matrix%s; 'bantam imatrix' "
                   "makes one from a text",
                   (int)t->name.size, t->name.data, dtype_name(c->type),
                   o->imatrix ? ", and the one given does not know it" : "");
}

static bt_status choose_one(const Gguf *g, size_t i, const ChooseOptions *o, const MixModel *m,
                            int32_t v, Pattern *patterns, Choice *c, bt_error *err)
{
    const GgufTensor *t = gguf_tensor(g, i);
    *c = (Choice){.type = t->type};
    if (!tensor_mutable(t)) return BT_OK;
    const Pattern *p = match(patterns, o->n_tensor_types, t->name);
    TensorKind kind = tensor_kind(t->name, m->tied);
    if (p) {
        c->named = true;
        c->type = type_that_fits(p->type, t->ne[0]);
        c->odd = c->type != p->type;
    } else if (o->keep_output && kind == KIND_OUTPUT) {
        return BT_OK;
    } else if (o->pure) {
        c->type = type_that_fits(mixes[o->mix].base, t->ne[0]);
        c->odd = c->type != mixes[o->mix].base;
    } else {
        c->type = mix_type(o->mix, m, t, v, &c->odd);
    }
    if (c->type != t->type && is_block(t->type) && !o->requantize)
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s is quantised already (%.*s is %s): writing it anew adds to the loss. "
                       "Start from the original, or ask for it with --requantize",
                       gguf_path(g), (int)t->name.size, t->name.data, dtype_name(t->type));
    if (c->type != t->type && !dequant_supported(t->type))
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: %.*s is %s, which is not read here",
                       gguf_path(g), (int)t->name.size, t->name.data, dtype_name(t->type));
    bt_status status = choose_importance(t, o, m, c, err);
    if (status) return status;
    if (c->type != t->type && !quant_supported(c->type))
        return bt_fail(err, BT_E_UNSUPPORTED, "type %s is read here, and not written",
                       dtype_name(c->type));
    return BT_OK;
}

bt_status choose_types(const Gguf *g, const ChooseOptions *o, Choice *out, bt_error *err)
{
    MixModel m;
    Pattern *patterns = NULL;
    int32_t *v = NULL;
    size_t n_known = 0, n_mutable = 0;
    bt_status status = mix_model(g, o->imatrix != NULL, &m, err);
    if (!status) status = open_patterns(o, &patterns, err);
    if (!status) status = count_values(g, &m, &v, err);
    for (size_t i = 0; v && i < gguf_n_tensors(g) && !status; i++) {
        status = choose_one(g, i, o, &m, v[i], patterns, &out[i], err);
        n_mutable += tensor_mutable(gguf_tensor(g, i));
        n_known += out[i].importance != NULL;
    }
    if (!status) status = check_met(patterns, o->n_tensor_types, g, err);
    if (!status && !n_mutable)
        status = bt_fail(err, BT_E_FORMAT, "%s holds no matrix of weights", gguf_path(g));
    if (!status && o->imatrix && !n_known)
        status =
            bt_fail(err, BT_E_ARGUMENT,
                    "%s: none of its %zu entries names a matrix of %s; it was made for another "
                    "model",
                    o->imatrix_path, o->imatrix->n, gguf_path(g));
    close_patterns(patterns, o->n_tensor_types);
    mem_free(v);
    return status;
}

bt_status choose_again(const Gguf *g, const char *type, int *mix, Choice *out, bt_error *err)
{
    *mix = type ? mix_find(type) : -1;
    if (type && *mix < 0)
        return bt_fail(err, BT_E_ARGUMENT,
                       "'%s' is no type that is written; 'bantam quantize --types' lists them",
                       type);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) out[i].type = gguf_tensor(g, i)->type;
    const ChooseOptions options = {.mix = *mix, .requantize = true};
    return type ? choose_types(g, &options, out, err) : BT_OK;
}
