/* Special tokens: which they are, finding them in text, which end an answer.
 *
 * Found are, at the leftmost place first and there the longest: the user's tokens (type 4) in any
 * text, control and unknown ones where the caller asks. The texts are sorted, so that reading on by
 * a byte narrows a range: a look costs at most TOK_MAX_SPECIAL bytes, most stop at the first. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "text/tok.h"

static int by_text(const void *left, const void *right)
{
    const TokSpecial *a = left, *b = right;
    size_t n = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = memcmp(a->text.data, b->text.data, n);
    if (order) return order;
    if (a->text.size != b->text.size) return a->text.size < b->text.size ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static bool is_one_of(Span text, const char *const *list)
{
    for (; *list; list++)
        if (span_is(text, *list)) return true;
    return false;
}

/* Phi-3's tokens take the spaces after them, but for these. The model's name is not known here, so
 * its vocabulary is told by what only it has. */
static bool strips_right(const Tokenizer *t, Span text)
{
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>", NULL};
    return t->kind == TOK_KIND_SPM && tok_symbol(t, "<|placeholder1|>", 16) != TOK_NONE &&
           tok_symbol(t, "<|assistant|>", 13) != TOK_NONE && !is_one_of(text, plain);
}

static bool strips_left(Span pre, Span text)
{
    static const char *const jina[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code", NULL};
    return (is_one_of(pre, jina) && span_is(text, "<mask>")) ||
           (span_is(pre, "modern-bert") && span_is(text, "[MASK]"));
}

static bool is_special(const Tokenizer *t, uint32_t id)
{
    uint8_t type = t->types[id];
    size_t size = t->tokens[id].size;
    return (type == TOK_CONTROL || type == TOK_USER || type == TOK_UNKNOWN) && size > 0 &&
           size <= TOK_MAX_SPECIAL;
}

bt_status tok_special_open(Tokenizer *t, Span pre, bt_error *err)
{
    uint32_t count = 0, kept = 0;
    for (uint32_t id = 0; id < t->n; id++) count += is_special(t, id);
    TokSpecial *list = t->special = mem_alloc(count * sizeof(TokSpecial));
    if (!list) return bt_fail_memory(err, "the special tokens", count * sizeof(TokSpecial));
    count = 0;
    for (uint32_t id = 0; id < t->n; id++) {
        if (!is_special(t, id)) continue;
        Span text = t->tokens[id];
        list[count++] = (TokSpecial){.text = text,
                                     .id = (int32_t)id,
                                     .user = t->types[id] == TOK_USER,
                                     .lstrip = strips_left(pre, text)};
    }
    if (count) qsort(list, count, sizeof(*list), by_text);
    bool phi3 = strips_right(t, (Span){0});
    for (uint32_t i = 0; i < count; i++) { /* of equal texts the last id holds, as in the table */
        if (i + 1 < count && span_equal(list[i].text, list[i + 1].text)) continue;
        list[kept] = list[i];
        list[kept].rstrip = phi3 && strips_right(t, list[kept].text);
        kept++;
    }
    t->n_special = kept;
    for (uint32_t i = 0, b = 0; b <= 256; b++) {
        while (i < kept && (unsigned char)list[i].text.data[0] < b) i++;
        t->first[b] = i;
    }
    for (uint32_t i = 0; i < kept; i++) {
        unsigned char b = (unsigned char)list[i].text.data[0];
        t->begins[b] = true;
        if (list[i].user) t->begins_user[b] = true;
    }
    return BT_OK;
}

uint32_t tok_bound(const Span *text, size_t stride, uint32_t low, uint32_t high, size_t depth,
                   unsigned char b, bool past)
{
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const Span *at = (const Span *)(const void *)((const char *)text + mid * stride);
        unsigned char c = (unsigned char)at->data[depth];
        if (c < b || (past && c == b))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const TokSpecial *tok_special_match(const Tokenizer *t, const char *p, size_t n, size_t control_n)
{
    const TokSpecial *best = NULL;
    uint32_t low = t->first[(unsigned char)*p], high = t->first[(unsigned char)*p + 1];
    for (size_t depth = 1; low < high; depth++) {
        const TokSpecial *s = &t->special[low];
        if (s->text.size == depth) { /* the shortest of the range sorts first */
            if (s->user || depth <= control_n) best = s;
            low++;
        }
        if (depth == n || low == high) break;
        unsigned char b = (unsigned char)p[depth];
        low = tok_bound(&t->special->text, sizeof *t->special, low, high, depth, b, false);
        high = tok_bound(&t->special->text, sizeof *t->special, low, high, depth, b, true);
    }
    return best;
}

const TokSpecial *tok_special_find(const Tokenizer *t, Span text)
{
    if (text.size == 0 || text.size > TOK_MAX_SPECIAL) return NULL;
    const TokSpecial key = {.text = text, .id = INT32_MAX};
    uint32_t low = t->first[(unsigned char)text.data[0]];
    uint32_t high = t->first[(unsigned char)text.data[0] + 1];
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (span_equal(t->special[mid].text, text)) return &t->special[mid];
        if (by_text(&t->special[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void end_at(Tokenizer *t, int32_t id, bool on)
{
    if (id < 0) return;
    if (on)
        t->ends[id / 8] |= (uint8_t)(1 << id % 8);
    else
        t->ends[id / 8] &= (uint8_t) ~(1 << id % 8);
}

static int32_t named(const Tokenizer *t, const char *text)
{
    return tok_find(t, span_of(text));
}

void tok_mark_ends(Tokenizer *t, const TokSource *source)
{
    static const char *const names[] = {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|calls|>",
                                        "<|flush|>",
                                        "<end_of_turn>",
                                        "<|endoftext|>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "_<EOT>",
                                        "[EOT]",
                                        "[EOS]",
                                        "<|end_of_text|>",
                                        "<eos>",
                                        "<end_of_utterance>",
                                        "<turn|>",
                                        "<|tool_response>",
                                        "<\xEF\xBD\x9C"
                                        "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                                        "</s>",
                                        NULL};
    for (const char *const *name = names; *name; name++) {
        int32_t id = named(t, *name);
        if (id < 0) continue;
        /* Gemma 4 and PaddleOCR have a "</s>" that means strikethrough. */
        if (span_is(span_of(*name), "</s>") && named(t, "<|tool_response>") >= 0) continue;
        end_at(t, id, true);
        if (t->types[id] != TOK_CONTROL) {
            log_line(BT_LOG_DEBUG, "token %d (%s) is not of type control; taken as such", (int)id,
                     *name);
            t->types[id] = TOK_CONTROL;
        }
    }
    end_at(t, source->eos, true);
    end_at(t, source->eot, true);
    end_at(t, source->eom, true);
    end_at(t, t->eos, true);
    /* In gpt-oss and Solar "<|end|>" ends a message, not the answer. */
    bool call = named(t, "<|call|>") >= 0 || named(t, "<|calls|>") >= 0;
    bool last = named(t, "<|return|>") >= 0 || named(t, "<|flush|>") >= 0;
    if (call && last && named(t, "<|end|>") != t->eos) end_at(t, named(t, "<|end|>"), false);
}
