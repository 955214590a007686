/* Buffers of the checker: slots that end at a page which cannot be touched. A buffer lies flush
 * against that page or between guard bytes at an odd address, by chance. */
#include <assert.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "private.h"

enum { SLOTS = 96, GUARD = 256, GUARD_BYTE = 0xa5 };
static const size_t SLOT_BYTES = 4u << 20;

static struct {
    unsigned char *start; /* of the slot */
    unsigned char *data;
    size_t bytes;
} slots[SLOTS];

static unsigned char *slot_end(int i)
{
    return slots[i].start + SLOT_BYTES;
}

static void open_slots(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < SLOTS; i++) {
        unsigned char *p = mmap(NULL, SLOT_BYTES + page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + SLOT_BYTES, page, PROT_NONE) != 0) {
            perror("check: no memory for buffers");
            exit(1);
        }
        slots[i].start = p;
    }
}

static size_t guard_after(int i)
{
    size_t room = (size_t)(slot_end(i) - (slots[i].data + slots[i].bytes));
    return room < GUARD ? room : GUARD;
}

static void *take(Check *c, size_t bytes, size_t align, int fill)
{
    if (!slots[0].start) open_slots();
    assert(c->used < SLOTS && bytes + 2 * GUARD + 256 <= SLOT_BYTES);
    int i = c->used++;
    size_t from_end = check_below(c, 2) ? 0 : GUARD + check_below(c, 64);
    size_t offset = SLOT_BYTES - bytes - from_end;
    slots[i].data = slots[i].start + offset / align * align;
    slots[i].bytes = bytes;
    memset(slots[i].data - GUARD, GUARD_BYTE, GUARD);
    memset(slots[i].data, fill, bytes);
    memset(slots[i].data + bytes, GUARD_BYTE, guard_after(i));
    return slots[i].data;
}

void *check_in(Check *c, size_t bytes, size_t align)
{
    return take(c, bytes, align, 0);
}

void *check_out(Check *c, size_t bytes, size_t align)
{
    return take(c, bytes, align, 0xff);
}

float *check_floats(Check *c, size_t n, float magnitude)
{
    float *x = check_in(c, n * sizeof *x, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        uint64_t r = check_random(c);
        float sign = r & 1 ? -1.0f : 1.0f;
        x[i] = sign * magnitude * (float)(r >> 40) * 0x1p-24f;
        if ((r >> 8) % 64 == 0) x[i] *= 1000;
        if ((r >> 8) % 64 == 1) x[i] = sign * 0.0f;
        if ((r >> 8) % 64 == 2) x[i] = sign * (float)(r >> 44) * 0x1p-149f;
    }
    return x;
}

static bool whole(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != GUARD_BYTE) return false;
    return true;
}

void check_done(Check *c)
{
    for (int i = 0; i < c->used; i++) {
        if (!whole(slots[i].data - GUARD, GUARD)) check_fail(c, "wrote before buffer %d", i);
        if (!whole(slots[i].data + slots[i].bytes, guard_after(i)))
            check_fail(c, "wrote beyond buffer %d of %zu bytes", i, slots[i].bytes);
    }
    c->used = 0;
    volatile float tiny = 0x1p-140f, half = 0.5f;
    if (tiny * half == 0) check_fail(c, "left denormals flushed to zero");
    if (fegetround() != FE_TONEAREST) check_fail(c, "left another rounding mode");
}
