/* What the files that read and write panels know of each type: a row of one table. */
#ifndef KERNELS_PANEL_TYPE_H
#define KERNELS_PANEL_TYPE_H

#include <stdbool.h>

#include "kernels/panel.h"

/* Scale streams. Each is a sequence of units; inside a unit every array has one entry a row, 32 of
 * them adjacent, in this order:
 *   SCALE_F16        f16 d                                             scale d
 *   SCALE_F16_MIN    f16 d, f16 m                                      scale d, min m
 *   SCALE_E8M0       byte e                                            scale 2^(e-128)
 *   SCALE_UE4M3      for each group: byte e                            scale ue4m3_half(e)
 *   SCALE_K_MIN      f16 d, f16 dmin, for each group u12: s, m << 6    scale d s, min -(dmin m)
 *   SCALE_K_NIBBLES  f16 d, f16 dmin, for each group (u8: s, m << 4)   scale d s, min -(dmin m)
 *   SCALE_K          f16 d, then i8 s for each group                   scale d s
 *   SCALE_K_SIX      f16 d, then u6 s for each group                   scale d (s - 32)
 *   SCALE_K_ODD      f16 d, then for two groups u8: s, s' << 4         scale d factor (2 s + 1)
 *   SCALE_K_DELTA    the same; the top bit t of s apart                scale d (2 s + 1),
 *                                                                      min -(7 + 2 t)/8 scale
 * Entries of u12 and u6 lie end to end: row r begins at bit 12 r or 6 r of its array, counted from
 * the lowest bit of the first byte on.
 * A group of SCALE_F16_MIN and SCALE_E8M0 is a unit; the groups of a unit of SCALE_F16 share d.
 * Where a unit has no min the type is centred. Products have at most 19 significant bits, so
 * every machine computes the same scale; kernels lean on that bound (24 - 2 bits). */
#define SCALE_KINDS(X)                                                                             \
    X(SCALE_F16)                                                                                   \
    X(SCALE_F16_MIN)                                                                               \
    X(SCALE_E8M0)                                                                                  \
    X(SCALE_UE4M3)                                                                                 \
    X(SCALE_K_MIN)                                                                                 \
    X(SCALE_K_NIBBLES)                                                                             \
    X(SCALE_K)                                                                                     \
    X(SCALE_K_SIX)                                                                                 \
    X(SCALE_K_ODD)                                                                                 \
    X(SCALE_K_DELTA)

typedef enum ScaleKind {
#define SCALE_NAME(kind) kind,
    SCALE_KINDS(SCALE_NAME)
#undef SCALE_NAME
} ScaleKind;

/* Whether the steps of two groups share a byte. */
static inline bool scale_pairs(ScaleKind kind)
{
    return kind == SCALE_K_ODD || kind == SCALE_K_DELTA;
}

typedef struct PanelType {
    uint32_t type; /* GGUF number */
    PanelCode code;
    ScaleKind scales;
    int group;            /* k a scale */
    int offset;           /* of codes (of a table: of its entries) */
    int unit;             /* k of a block, and of a unit of the scale stream */
    int block_bytes;      /* in the file */
    float factor;         /* SCALE_K_ODD: a power of two */
    const uint8_t *table; /* 16 entries or NULL */
    void (*codes)(const uint8_t *block, uint8_t *codes); /* block to codes[unit] */
    /* s of each group: SCALE_K, SCALE_K_SIX, SCALE_K_ODD, SCALE_K_DELTA, SCALE_K_NIBBLES,
     * SCALE_UE4M3. */
    void (*steps)(const uint8_t *block, uint8_t *steps);
    int d_at; /* of float16 d (and, behind it, a min) in the block; NO_D, D_IN_PIECES */
} PanelType;

enum { NO_D = -1, D_IN_PIECES = -2 /* of an IQ1_M block */ };

/* Whether a group has a min of its own (see panel.h). */
static inline bool scale_has_min(ScaleKind kind)
{
    return kind == SCALE_F16_MIN || kind == SCALE_K_MIN || kind == SCALE_K_NIBBLES ||
           kind == SCALE_K_DELTA;
}

/* Bytes of a unit of the stream, 32 rows, of so many groups. */
static inline size_t panel_unit_bytes(ScaleKind kind, size_t groups)
{
    switch (kind) {
    case SCALE_F16_MIN: return 128;
    case SCALE_E8M0: return 32;
    case SCALE_UE4M3: return 32 * groups;
    case SCALE_K_MIN: return 128 + 48 * groups;
    case SCALE_K_NIBBLES: return 128 + 32 * groups;
    case SCALE_K: return 64 + 32 * groups;
    case SCALE_K_SIX: return 64 + 24 * groups;
    case SCALE_K_ODD:
    case SCALE_K_DELTA: return 64 + 16 * groups;
    default: return 64;
    }
}

static inline size_t panel_groups(const PanelType *t)
{
    return (size_t)(t->unit / t->group);
}

/* Under a sanitizer a kernel is compiled once for any number of activation rows, not for each:
 * that would take minutes a file. */
#ifdef BANTAM_SANITIZED
enum { PANEL_ANY_M = 1 };
#else
enum { PANEL_ANY_M = 0 };
#endif

/* NULL: the type is not kept in panels. */
const PanelType *panel_type(uint32_t type);

/* Scale and, where the kind has one, min of row r in group g of a unit of the stream. */
float panel_scale_at(const PanelType *t, const uint8_t *unit, size_t g, size_t r, float *min);

/* Code (of tables: the place in them) of row r and column k of a panel. */
static inline int panel_code_at(PanelCode code, const uint8_t *codes, size_t k, size_t r)
{
    size_t turn = panel_turn(code), in = k % turn, lane = r % 16 * 4 + k % 4;
    const uint8_t *strip =
        codes + panel_codes_bytes(code, k - in) + r / 16 * panel_strip(code) + lane;
    const uint8_t *eight = strip + in / 8 * 64, *sixteen = strip + in / 16 * 64;
    int four = in % 8 / 4 * 4, two = in % 16 / 4 * 2, one = (int)(in / 4);
    switch (code) {
    case CODE_BYTE: return *strip;
    case CODE_SIX: return (*eight >> four & 15) | (strip[128] >> two & 3) << 4;
    case CODE_FIVE: return (*eight >> four & 15) | (strip[256] >> one & 1) << 4;
    case CODE_ONE: return (*strip >> one & 1) << 1;
    case CODE_TWO: return *sixteen >> two & 3;
    case CODE_THREE:
    case CODE_OCTET: return (*sixteen >> two & 3) | (strip[128] >> one & 1) << 2;
    default: return *eight >> four & 15;
    }
}

#endif
