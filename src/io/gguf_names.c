/* Names of keys and tensors: what a name may be, and the hash table that finds one. The hash is
 * SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) with a random seed:
 * 65,536 chosen names would otherwise make a quadratic open. */
#include "base/mem.h"
#include "io/gguf_index.h"

int32_t gguf_layer(Span name, size_t *rest)
{
    int32_t layer = 0;
    size_t i = 4;
    if (name.size < 6 || memcmp(name.data, "blk.", 4) != 0) return -1;
    for (; i < name.size && name.data[i] >= '0' && name.data[i] <= '9' && layer < 100000; i++)
        layer = layer * 10 + (name.data[i] - '0');
    if (i == 4 || i == name.size || name.data[i] != '.') return -1;
    *rest = i + 1;
    return layer;
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static uint64_t name_hash(const uint64_t seed[2], Span name)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t word;
    size_t at = 0;
    for (; at + 8 <= name.size; at += 8) {
        memcpy(&word, name.data + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)name.size << 56;
    for (size_t i = at; i < name.size; i++)
        word |= (uint64_t)(unsigned char)name.data[i] << (8 * (i - at));
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static Span name_at(const NameTable *t, size_t i)
{
    Span name;
    memcpy(&name, t->names + i * t->stride, sizeof name);
    return name;
}

bt_status name_table_build(NameTable *t, const Span *names, size_t stride, size_t count,
                           size_t *twice)
{
    *t = (NameTable){.names = (const unsigned char *)names, .stride = stride};
    uint32_t size = 8;
    while (size < 2 * count) size *= 2; /* count is below GGUF_MAX_TENSORS */
    t->slots = mem_zalloc(size, sizeof *t->slots);
    if (!t->slots) return BT_E_MEMORY;
    t->mask = size - 1;
    if (!os_random(t->seed, sizeof t->seed)) return BT_E_SYSTEM;
    for (size_t i = 0; i < count; i++) {
        Span name = name_at(t, i);
        uint32_t slot = (uint32_t)name_hash(t->seed, name) & t->mask;
        for (; t->slots[slot]; slot = (slot + 1) & t->mask)
            if (span_equal(name_at(t, t->slots[slot] - 1), name)) {
                *twice = i;
                return BT_E_FORMAT;
            }
        t->slots[slot] = (uint32_t)i + 1;
    }
    return BT_OK;
}

int64_t name_table_find(const NameTable *t, Span name)
{
    if (!t->slots) return -1;
    uint32_t slot = (uint32_t)name_hash(t->seed, name) & t->mask;
    for (; t->slots[slot]; slot = (slot + 1) & t->mask)
        if (span_equal(name_at(t, t->slots[slot] - 1), name)) return (int64_t)t->slots[slot] - 1;
    return -1;
}

void name_table_close(NameTable *t)
{
    mem_free(t->slots);
    *t = (NameTable){0};
}

/* Length of the well-formed UTF-8 character at p (n bytes are left), 0 if there is none.
 * Source: The Unicode Standard, table 3-7. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < length) return 0;
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return length;
}

const char *gguf_name_fault(Span name, uint64_t cap)
{
    if (name.size == 0) return "the name is empty";
    if (name.size > cap) return "the name is too long";
    const unsigned char *p = (const unsigned char *)name.data;
    for (size_t i = 0; i < name.size;) {
        if (p[i] < 0x20 || p[i] == 0x7f) return "the name holds a control character";
        size_t n = utf8_length(p + i, name.size - i);
        if (!n) return "the name is not UTF-8";
        i += n;
    }
    return NULL;
}
