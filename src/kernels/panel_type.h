/* What the files that read and write panels know of each type: a row of one table. */
#ifndef KERNELS_PANEL_TYPE_H
#define KERNELS_PANEL_TYPE_H

#include "kernels/panel.h"

/* Scale streams. Each is a sequence of units of 32 or 256 k; inside a unit every array has one
 * entry a row, 32 of them adjacent, in this order:
 *   SCALE_F16        32 k: f16 d                                       scale d
 *   SCALE_F16_MIN    32 k: f16 d, f16 m                                scale d, min m
 *   SCALE_E8M0       32 k: byte e                                      scale 2^(e-128)
 *   SCALE_K_MIN     256 k: f16 d, f16 dmin, 8 times (u8 s, u8 m)       scale d s, min -(dmin m)
 *   SCALE_K          256 k: f16 d, then i8 s for each group            scale d s
 * Where a unit has no min, min = -offset scale. Products have at most 19 significant bits, so
 * every machine computes the same scale; kernels lean on that bound (24 - 2 bits). */
typedef enum ScaleKind {
    SCALE_F16,
    SCALE_F16_MIN,
    SCALE_E8M0,
    SCALE_K_MIN,
    SCALE_K,
} ScaleKind;

typedef struct PanelType {
    uint32_t type; /* GGUF number */
    PanelCode code;
    ScaleKind scales;
    int group;       /* k a scale */
    int offset;      /* of codes (CODE_TABLE: of the table's entries) */
    int unit;        /* k of a block, and of a unit of the scale stream */
    int block_bytes; /* in the file */
    int unit_bytes;  /* of the scale stream, 32 rows */
    const uint8_t *table;
    void (*codes)(const uint8_t *block, uint8_t *codes); /* block to codes[unit] */
} PanelType;

/* NULL: the type is not kept in panels. */
const PanelType *panel_type(uint32_t type);

#endif
