/* AMX: eight registers of up to 16 rows by 64 bytes. A function that uses them sets their shapes
 * first (which clears them) and gives them back with _tile_release(): after that a thread has no
 * more state to save than one that never used them. Intel SDM volume 1, chapter 18. */
#ifndef KERNELS_X86_TILES_H
#define KERNELS_X86_TILES_H

#include <immintrin.h>
#include <stdint.h>

typedef struct TileShapes {       /* what _tile_loadconfig reads */
    _Alignas(64) uint8_t palette; /* 1 */
    uint8_t start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileShapes;

static inline void tile_shape(TileShapes *s, int tile, int rows, int row_bytes)
{
    s->rows[tile] = (uint8_t)rows;
    s->row_bytes[tile] = (uint16_t)row_bytes;
}

#endif
