/* SentencePiece's unigram model (GGUF's "t5": XLM-R and what grew from it, T5): of all ways to cut
 * a text into pieces the one whose scores add up to the most. Sources: Kudo 2018 (arXiv
 * 1804.10959); the rules of unigram_model.cc and normalizer.cc of SentencePiece.
 *
 * A text is normalised by the vocabulary's own map first, its spaces squeezed where the file says
 * so, and one put before it. Pieces are kept with ' ' for U+2581, as tok_spm.c keeps them. A
 * character that no piece covers alone costs 10 more than the worst piece, and becomes <unk>, or
 * its bytes where the vocabulary has byte tokens; neighbours become one <unk>. Where no piece has a
 * space but at its beginning, as released ones are, words are cut on their own: the same cuts, and
 * sums that do not grow with the text. Time is linear: no piece is longer than TOK_MAX_PIECE. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"

#define MARK      "\xE2\x96\x81" /* U+2581 */
#define REPLACED  "\xEF\xBF\xBD" /* U+FFFD */
#define UNK_COSTS 10.0

/* ---- loading ---- */

static int by_text(const void *left, const void *right)
{
    const TokPiece *a = left, *b = right;
    size_t n = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = memcmp(a->text.data, b->text.data, n);
    if (order) return order;
    if (a->text.size != b->text.size) return a->text.size < b->text.size ? -1 : 1;
    return a->id > b->id ? -1 : 1;
}

/* What the first two bytes of a piece, or its only one, are as a number. */
static uint32_t lead(Span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    return (uint32_t)p[0] << 8 | (text.size > 1 ? p[1] : 0u);
}

static bool is_piece(const Tokenizer *t, uint32_t id, float score)
{
    return t->types[id] == TOK_NORMAL && t->plain[id].data && t->plain[id].size && score > -1e30f &&
           score < 1e30f;
}

bt_status tok_unigram_open(Tokenizer *t, const TokSource *source, bt_error *err)
{
    TokUnigram *u = t->unigram = mem_zalloc(1, sizeof *u);
    float worst = 0;
    if (!u) return bt_fail_memory(err, "the vocabulary", sizeof *u);
    bt_status status = charsmap_open(source->charsmap, &u->map, err);
    if (status) return status;
    u->pieces = mem_alloc(t->n * sizeof(TokPiece));
    if (!u->pieces) return bt_fail_memory(err, "the vocabulary", t->n * sizeof(TokPiece));
    u->by_words = true;
    u->squeeze = source->remove_extra_whitespaces > 0;
    for (unsigned c = 0; c < 256; c++) t->byte_token[c] = -1;
    for (uint32_t i = 0; i < t->n; i++) {
        float score = source->scores ? source->scores[i] : 0;
        int byte = t->types[i] == TOK_BYTE ? tok_hex_byte(t->tokens[i]) : -1;
        if (byte >= 0) {
            t->byte_token[byte] = (int32_t)i;
            u->bytes = true;
        }
        if (!is_piece(t, i, score)) continue;
        if (t->plain[i].size > TOK_MAX_PIECE)
            return bt_fail(err, BT_E_LIMIT,
                           "tokenizer.ggml.tokens[%u]: %zu bytes long, at most %u are read", i,
                           t->plain[i].size, TOK_MAX_PIECE);
        u->pieces[u->n++] = (TokPiece){t->plain[i], score, i};
        if (u->n == 1 || score < worst) worst = score;
        if (memchr(t->plain[i].data + 1, ' ', t->plain[i].size - 1)) u->by_words = false;
    }
    u->unknown = (double)worst - UNK_COSTS;
    if (u->n) qsort(u->pieces, u->n, sizeof(TokPiece), by_text);
    for (uint32_t i = 0, b = 0; b <= 65536; b++) {
        while (i < u->n && lead(u->pieces[i].text) < b) i++;
        u->first[b] = i;
    }
    return BT_OK;
}

void tok_unigram_close(Tokenizer *t)
{
    if (t->unigram) mem_free(t->unigram->pieces);
    mem_free(t->unigram);
}

/* ---- normalising ---- */

/* What the next bytes become, and how many they are. */
static Span next_text(const TokUnigram *u, const char *p, size_t n, size_t *length)
{
    Span to;
    if (charsmap_find(&u->map, p, n, &to, length)) return to;
    uint32_t c = utf8_next(p, n, length);
    return c == UTF8_BAD && *length == 1 ? SPAN(REPLACED) : (Span){p, *length};
}

/* Without U+2581, which means a space. */
static void add_text(Buf *out, Span s)
{
    for (size_t i = 0; i < s.size;) {
        bool mark = s.size - i >= 3 && memcmp(s.data + i, MARK, 3) == 0;
        buf_char(out, mark ? ' ' : s.data[i]);
        i += mark ? 3 : 1;
    }
}

static void normalise(const Tokenizer *t, const char *p, size_t n, Buf *out)
{
    const TokUnigram *u = t->unigram;
    bool blank = u->squeeze; /* a space stands before */
    size_t length;
    if (t->space_prefix) buf_char(out, ' ');
    for (size_t i = 0; i < n && !out->failed; i += length) {
        Span s = next_text(u, p + i, n - i, &length);
        while (blank && s.size && *s.data == ' ') s = (Span){s.data + 1, s.size - 1};
        if (!s.size) continue;
        add_text(out, s);
        blank = u->squeeze && s.data[s.size - 1] == ' ';
    }
    while (u->squeeze && out->size && out->data[out->size - 1] == ' ') out->size--;
}

/* ---- the best cut ---- */

typedef struct Node {
    union {
        double sum; /* of the best cut of what stands before */
        uint32_t next;
    };
    uint32_t from, id; /* where its last piece begins, TOK_NONE: no cut yet; TOK_NONE: <unk> */
} Node;

static void offer(Node *to, uint32_t from, double sum, uint32_t id)
{
    if (to->from != TOK_NONE && !(sum > to->sum)) return;
    to->sum = sum;
    to->from = from;
    to->id = id;
}

/* Offers every piece that begins at node[at]; true: one is as long as the character there. */
static bool offer_pieces(const TokUnigram *u, const char *p, size_t n, Node *node, uint32_t at,
                         size_t character, uint64_t *work)
{
    uint32_t key = (uint32_t)(unsigned char)p[0] << 8;
    uint32_t low = u->first[key], high = u->first[key + 256];
    bool single = false;
    for (size_t depth = 1; low < high; depth++) {
        const TokPiece *piece = &u->pieces[low];
        (*work)++;
        if (piece->text.size == depth) { /* the shortest of the range sorts first */
            offer(&node[at + depth], at, node[at].sum + (double)piece->score, piece->id);
            single = single || depth == character;
            while (low < high && u->pieces[low].text.size == depth) low++; /* written twice */
        }
        if (depth == n) break;
        unsigned char b = (unsigned char)p[depth];
        if (depth == 1) { /* a table for two bytes: most pieces begin with a space */
            uint32_t from = u->first[key | b], to = u->first[(key | b) + 1];
            low = from > low ? from : low;
            high = to;
            continue;
        }
        low = tok_bound(&u->pieces->text, sizeof *u->pieces, low, high, depth, b, false);
        high = tok_bound(&u->pieces->text, sizeof *u->pieces, low, high, depth, b, true);
    }
    return single;
}

static void put_unknown(const Tokenizer *t, Span text, bool again, TokIds *ids)
{
    if (!t->unigram->bytes) {
        if (!again && t->unk >= 0) tok_put(ids, t->unk);
        return;
    }
    if (span_is(text, " ")) text = SPAN(MARK);
    for (size_t i = 0; i < text.size; i++) {
        int32_t id = t->byte_token[(unsigned char)text.data[i]];
        if (id < 0) id = t->unk;
        if (id >= 0) tok_put(ids, id);
    }
}

/* node has room for n + 1. */
static void cut(const Tokenizer *t, const char *p, size_t n, Node *node, TokIds *ids)
{
    const TokUnigram *u = t->unigram;
    size_t length;
    for (size_t i = 1; i <= n; i++) node[i].from = TOK_NONE;
    node[0] = (Node){.sum = 0, .from = 0};
    for (size_t at = 0; at < n; at += length) {
        utf8_next(p + at, n - at, &length);
        if (offer_pieces(u, p + at, n - at, node, (uint32_t)at, length, &ids->work)) continue;
        offer(&node[at + length], (uint32_t)at, node[at].sum + u->unknown, TOK_NONE);
    }
    for (uint32_t end = (uint32_t)n; end > 0; end = node[end].from) node[node[end].from].next = end;
    bool again = false;
    for (uint32_t at = 0, end; at < n; at = end) {
        end = node[at].next;
        if (node[end].id == TOK_NONE)
            put_unknown(t, (Span){p + at, end - at}, again, ids);
        else
            tok_put(ids, (int32_t)node[end].id);
        again = node[end].id == TOK_NONE;
    }
}

/* Where the word at p ends: before the next space. */
static size_t word_size(const char *p, size_t n)
{
    const char *space = n > 1 ? memchr(p + 1, ' ', n - 1) : NULL;
    return space ? (size_t)(space - p) : n;
}

bool tok_unigram_encode(const Tokenizer *t, const char *p, size_t n, TokIds *ids)
{
    Buf text = {0};
    normalise(t, p, n, &text);
    size_t longest = text.size;
    if (t->unigram->by_words) {
        longest = 0;
        for (size_t i = 0, size; i < text.size; i += size) {
            size = word_size(text.data + i, text.size - i);
            if (size > longest) longest = size;
        }
    }
    bool ok = !text.failed && longest < TOK_NONE - 1;
    Node *node = ok ? mem_alloc((longest + 1) * sizeof *node) : NULL;
    for (size_t i = 0, size; node && i < text.size && !ids->failed; i += size) {
        size = t->unigram->by_words ? word_size(text.data + i, text.size - i) : text.size;
        cut(t, text.data + i, size, node, ids);
    }
    ok = ok && node;
    mem_free(node);
    buf_close(&text);
    return ok;
}
