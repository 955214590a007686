/* A SentencePiece model: a protobuf message of which a few fields matter. Wire format: Protocol
 * Buffers encoding; fields: sentencepiece_model.proto. BPE becomes GGUF's "llama", Unigram "t5". */
#include "base/checked.h"
#include "convert/vocab.h"

enum { FIELD_PIECES = 1, FIELD_TRAINER = 2, FIELD_NORMALIZER = 3 };

typedef struct Wire {
    const unsigned char *p, *end;
    bool bad;
} Wire;

typedef struct Field {
    uint32_t number, type; /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;
    Span bytes;
} Field;

static uint64_t varint(Wire *w)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end) break;
        unsigned char b = *w->p++;
        value |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) return value;
    }
    w->bad = true;
    return 0;
}

static bool next_field(Wire *w, Field *f)
{
    if (w->bad || w->p == w->end) return false;
    uint64_t key = varint(w), size = 0;
    *f = (Field){.number = (uint32_t)(key >> 3), .type = key & 7};
    if (f->type == 0) {
        f->value = varint(w);
        return !w->bad;
    }
    size = f->type == 1 ? 8 : f->type == 5 ? 4 : f->type == 2 ? varint(w) : UINT64_MAX;
    if (w->bad || size > (uint64_t)(w->end - w->p)) {
        w->bad = true;
        return false;
    }
    f->bytes = (Span){(const char *)w->p, (size_t)size};
    w->p += size;
    return true;
}

static Wire wire_of(Span bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    return (Wire){p, p + bytes.size, false};
}

static void read_piece(Convert *c, Span bytes, Voc *v)
{
    Wire w = wire_of(bytes);
    Field f;
    uint32_t id = v->n;
    if (!voc_grow(c, v, id + 1)) return;
    v->types[id] = 1;
    v->tokens[id] = SPAN("");
    while (next_field(&w, &f)) {
        if (f.number == 1 && f.type == 2) v->tokens[id] = f.bytes;
        if (f.number == 2 && f.type == 5) memcpy(&v->scores[id], f.bytes.data, 4);
        if (f.number == 3 && f.type == 0)
            v->types[id] = f.value >= 1 && f.value <= 6 ? (int32_t)f.value : 0;
    }
    if (w.bad || !v->types[id] || !(v->scores[id] > -1e30f && v->scores[id] < 1e30f))
        plan_fail(c, BT_E_FORMAT, "tokenizer.model: piece %u is damaged; fetch it again", id);
}

static void read_trainer(Convert *c, Span bytes, Voc *v)
{
    Wire w = wire_of(bytes);
    Field f;
    uint64_t type = 1;
    bool suffix = false;
    while (next_field(&w, &f)) {
        if (f.number == 3 && f.type == 0) type = f.value;
        if (f.number == 24 && f.type == 0) suffix = f.value != 0;
    }
    v->model = type == 1 ? "t5" : "llama";
    if (type > 2 || suffix)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.model: %s, which is not read; models of kind BPE and Unigram are",
                  suffix ? "spaces end its words" : "a model of words or characters");
}

static void read_normalizer(Span bytes, Voc *v, Span *name)
{
    Wire w = wire_of(bytes);
    Field f;
    v->space_prefix = v->squeeze = 1;
    while (next_field(&w, &f)) {
        if (f.number == 1 && f.type == 2) *name = f.bytes;
        if (f.number == 2 && f.type == 2) v->charsmap = f.bytes;
        if (f.number == 3 && f.type == 0) v->space_prefix = f.value != 0;
        if (f.number == 4 && f.type == 0) v->squeeze = f.value != 0;
    }
}

void voc_read_spm(Convert *c, Span file, Voc *v)
{
    Wire w = wire_of(file);
    Field f;
    Span name = SPAN("");
    v->model = "t5"; /* what a trainer that does not say trained */
    v->pre = "default";
    while (!plan_failed(c) && next_field(&w, &f)) {
        if (f.type != 2) continue;
        if (f.number == FIELD_PIECES) read_piece(c, f.bytes, v);
        if (f.number == FIELD_TRAINER) read_trainer(c, f.bytes, v);
        if (f.number == FIELD_NORMALIZER) read_normalizer(f.bytes, v, &name);
    }
    bool plain = !name.size || span_is(name, "identity");
    if (!plan_failed(c) && strcmp(v->model, "llama") == 0) {
        v->charsmap = (Span){0};
        v->squeeze = -1;
        if (!plain)
            plan_fail(c, BT_E_UNSUPPORTED,
                      "tokenizer.model: the normalizer '%.*s' is not known here (identity is)",
                      (int)(name.size < 40 ? name.size : 40), name.data);
    }
    if (!plan_failed(c) && (w.bad || !v->n))
        plan_fail(c, BT_E_FORMAT, "tokenizer.model: no SentencePiece model; fetch it again");
}
