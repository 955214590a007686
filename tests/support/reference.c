/* Double-precision forward of llama, qwen2, qwen3 and qwen3moe files (see reference.h). */
#include "support/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf.h"
#include "kernels/kernels.h"

typedef struct Matrix {
    double *at; /* (mats, rows, columns) */
    int columns, rows, mats;
    char name[64];
} Matrix;

void (*reference_watch)(const char *name, int mat, const double *x, int k);

typedef struct Sizes {
    const Gguf *g;
    char arch[32];
    int layers, width, heads, kv_heads, head, experts, used;
    double eps, base;
    int adjacent;
} Sizes;

static Matrix matrix(const Gguf *g, int layer, const char *name)
{
    char full[128];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    const GgufTensor *t = gguf_find_tensor(g, full);
    Matrix m = {0};
    if (!t) return m;
    snprintf(m.name, sizeof m.name, "%.60s", full);
    m.columns = (int)t->ne[0], m.rows = (int)t->ne[1], m.mats = (int)t->ne[2];
    size_t n = (size_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    float *f = malloc(n * sizeof *f);
    m.at = malloc(n * sizeof *m.at);
    dequant_row(t->type, t->data, f, n);
    for (size_t i = 0; i < n; i++) m.at[i] = f[i];
    free(f);
    return m;
}

static int integer(const Sizes *s, const char *key, int fallback)
{
    char full[128];
    int32_t v = fallback;
    snprintf(full, sizeof full, "%s.%s", s->arch, key);
    gguf_get_i32(s->g, full, false, &v, NULL);
    return v;
}

static double real(const Sizes *s, const char *key, double fallback)
{
    char full[128];
    float v = (float)fallback;
    snprintf(full, sizeof full, "%s.%s", s->arch, key);
    gguf_get_f32(s->g, full, false, &v, NULL);
    return v;
}

static void norm(const double *x, const double *w, int n, double eps, double *out)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) out[i] = x[i] / sqrt(sum / n + eps) * w[i];
}

static void times(Matrix m, int mat, const double *x, const double *bias, double *out)
{
    if (reference_watch) reference_watch(m.name, mat, x, m.columns);
    for (int r = 0; r < m.rows; r++) {
        const double *w = m.at + ((size_t)mat * (size_t)m.rows + (size_t)r) * (size_t)m.columns;
        double sum = bias ? bias[r] : 0;
        for (int c = 0; c < m.columns; c++) sum += w[c] * x[c];
        out[r] = sum;
    }
}

static void rotate(const Sizes *s, const double *factors, double *x, int position)
{
    for (int i = 0; i < s->head / 2; i++) {
        double angle = position * pow(s->base, -2.0 * i / s->head) / (factors ? factors[i] : 1);
        int a = s->adjacent ? 2 * i : i, b = s->adjacent ? 2 * i + 1 : i + s->head / 2;
        double p = x[a], q = x[b];
        x[a] = p * cos(angle) - q * sin(angle);
        x[b] = p * sin(angle) + q * cos(angle);
    }
}

/* Adds attention of layer l to the stream x (n, width). */
static void attention(const Sizes *s, int l, int n, double *x)
{
    Matrix an = matrix(s->g, l, "attn_norm.weight"), wq = matrix(s->g, l, "attn_q.weight");
    Matrix wk = matrix(s->g, l, "attn_k.weight"), wv = matrix(s->g, l, "attn_v.weight");
    Matrix wo = matrix(s->g, l, "attn_output.weight"), bq = matrix(s->g, l, "attn_q.bias");
    Matrix bk = matrix(s->g, l, "attn_k.bias"), bv = matrix(s->g, l, "attn_v.bias");
    Matrix qn = matrix(s->g, l, "attn_q_norm.weight"), kn = matrix(s->g, l, "attn_k_norm.weight");
    Matrix rf = matrix(s->g, -1, "rope_freqs.weight");
    int e = s->head, nq = s->heads * e, nk = s->kv_heads * e;
    double *q = calloc((size_t)(n * nq), 8), *k = calloc((size_t)(n * nk), 8);
    double *v = calloc((size_t)(n * nk), 8), *h = calloc((size_t)s->width, 8);
    double *o = calloc((size_t)nq, 8), *p = calloc((size_t)n, 8);
    for (int t = 0; t < n; t++) {
        norm(x + t * s->width, an.at, s->width, s->eps, h);
        times(wq, 0, h, bq.at, q + t * nq);
        times(wk, 0, h, bk.at, k + t * nk);
        times(wv, 0, h, bv.at, v + t * nk);
        for (int i = 0; i < s->heads; i++) {
            if (qn.at) norm(q + t * nq + i * e, qn.at, e, s->eps, q + t * nq + i * e);
            rotate(s, rf.at, q + t * nq + i * e, t);
        }
        for (int i = 0; i < s->kv_heads; i++) {
            if (kn.at) norm(k + t * nk + i * e, kn.at, e, s->eps, k + t * nk + i * e);
            rotate(s, rf.at, k + t * nk + i * e, t);
        }
    }
    for (int t = 0; t < n; t++) {
        memset(o, 0, (size_t)nq * 8);
        for (int i = 0; i < s->heads; i++) {
            int kv = i / (s->heads / s->kv_heads);
            double most = -INFINITY, total = 0;
            for (int j = 0; j <= t; j++) {
                p[j] = 0;
                for (int d = 0; d < e; d++) p[j] += q[t * nq + i * e + d] * k[j * nk + kv * e + d];
                p[j] /= sqrt(e);
                if (p[j] > most) most = p[j];
            }
            for (int j = 0; j <= t; j++) total += p[j] = exp(p[j] - most);
            for (int j = 0; j <= t; j++)
                for (int d = 0; d < e; d++) o[i * e + d] += p[j] / total * v[j * nk + kv * e + d];
        }
        times(wo, 0, o, NULL, h);
        for (int d = 0; d < s->width; d++) x[t * s->width + d] += h[d];
    }
    double *all[] = {an.at, wq.at, wk.at, wv.at, wo.at, bq.at, bk.at, bv.at, qn.at,
                     kn.at, rf.at, q,     k,     v,     h,     o,     p};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void gated(Matrix gate, Matrix up, Matrix down, int mat, const double *h, double share,
                  double *out)
{
    double *a = calloc((size_t)gate.rows, 8), *b = calloc((size_t)gate.rows, 8);
    double *y = calloc((size_t)down.rows, 8);
    times(gate, mat, h, NULL, a);
    times(up, mat, h, NULL, b);
    for (int i = 0; i < gate.rows; i++) a[i] = a[i] / (1 + exp(-a[i])) * b[i];
    times(down, mat, a, NULL, y);
    for (int i = 0; i < down.rows; i++) out[i] += share * y[i];
    free(a), free(b), free(y);
}

static void feed_forward(const Sizes *s, int l, int n, double *x)
{
    const char *suffix = s->experts ? "_exps.weight" : ".weight";
    char name[3][32];
    const char *part[] = {"ffn_gate", "ffn_up", "ffn_down"};
    for (int i = 0; i < 3; i++) snprintf(name[i], sizeof name[i], "%s%s", part[i], suffix);
    Matrix fn = matrix(s->g, l, "ffn_norm.weight"), gate = matrix(s->g, l, name[0]);
    Matrix up = matrix(s->g, l, name[1]), down = matrix(s->g, l, name[2]);
    Matrix router = matrix(s->g, l, "ffn_gate_inp.weight");
    double *h = calloc((size_t)s->width, 8), *scores = calloc((size_t)s->experts + 1, 8);
    for (int t = 0; t < n; t++) {
        norm(x + t * s->width, fn.at, s->width, s->eps, h);
        if (!s->experts) {
            gated(gate, up, down, 0, h, 1, x + t * s->width);
            continue;
        }
        int chosen[64];
        double total = 0;
        times(router, 0, h, NULL, scores);
        for (int u = 0; u < s->used; u++) { /* softmax over the chosen equals renormalising */
            chosen[u] = -1;
            for (int e = 0; e < s->experts; e++) {
                int taken = 0;
                for (int j = 0; j < u; j++) taken |= chosen[j] == e;
                if (!taken && (chosen[u] < 0 || scores[e] > scores[chosen[u]])) chosen[u] = e;
            }
            total += exp(scores[chosen[u]]);
        }
        for (int u = 0; u < s->used; u++)
            gated(gate, up, down, chosen[u], h, exp(scores[chosen[u]]) / total, x + t * s->width);
    }
    free(fn.at), free(gate.at), free(up.at), free(down.at), free(router.at), free(h), free(scores);
}

double *reference_logits(const char *path, const int32_t *tokens, int n, int *n_vocab)
{
    Gguf *g;
    Span arch = {0};
    if (gguf_open(path, NULL, &g, NULL)) return NULL;
    gguf_get_span(g, "general.architecture", false, &arch, NULL);
    Sizes s = {.g = g};
    snprintf(s.arch, sizeof s.arch, "%.*s", (int)arch.size, arch.data);
    s.layers = integer(&s, "block_count", 0);
    s.width = integer(&s, "embedding_length", 0);
    s.heads = integer(&s, "attention.head_count", 0);
    s.kv_heads = integer(&s, "attention.head_count_kv", s.heads);
    s.head = integer(&s, "attention.key_length", s.width / s.heads);
    s.experts = integer(&s, "expert_count", 0);
    s.used = integer(&s, "expert_used_count", 0);
    s.eps = real(&s, "attention.layer_norm_rms_epsilon", 1e-5);
    s.base = real(&s, "rope.freq_base", 10000);
    s.adjacent = strcmp(s.arch, "llama") == 0;
    Matrix table = matrix(g, -1, "token_embd.weight"), head = matrix(g, -1, "output.weight");
    Matrix last = matrix(g, -1, "output_norm.weight");
    double *x = calloc((size_t)(n * s.width), 8), *h = calloc((size_t)s.width, 8);
    for (int t = 0; t < n; t++)
        memcpy(x + t * s.width, table.at + (size_t)tokens[t] * (size_t)s.width,
               (size_t)s.width * 8);
    for (int l = 0; l < s.layers; l++) {
        attention(&s, l, n, x);
        feed_forward(&s, l, n, x);
    }
    Matrix out = head.at ? head : table;
    double *logits = calloc((size_t)n * (size_t)out.rows, 8);
    for (int t = 0; t < n; t++) {
        norm(x + t * s.width, last.at, s.width, s.eps, h);
        times(out, 0, h, NULL, logits + (size_t)t * (size_t)out.rows);
    }
    *n_vocab = out.rows;
    free(table.at), free(head.at), free(last.at), free(x), free(h);
    gguf_close(&g);
    return logits;
}

double reference_nmse(const float *got, const double *want, long count)
{
    double wrong = 0, all = 0;
    for (long i = 0; i < count; i++) {
        wrong += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += want[i] * want[i];
    }
    return wrong / all;
}
