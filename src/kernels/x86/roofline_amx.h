/* The body of the probes of AMX: six chains over whole tiles of zeros. */
#ifndef KERNELS_X86_ROOFLINE_AMX_H
#define KERNELS_X86_ROOFLINE_AMX_H

#include "kernels/x86/tiles.h"

#define ROOFLINE_TILES(name, product)                                                              \
    static void name(int64_t rounds)                                                               \
    {                                                                                              \
        TileShapes shapes = {.palette = 1};                                                        \
        for (int i = 0; i < 8; i++) tile_shape(&shapes, i, 16, 64);                                \
        _tile_loadconfig(&shapes);                                                                 \
        for (int64_t r = 0; r < rounds; r++) {                                                     \
            for (int twice = 0; twice < ROOFLINE_CHAINS / 6; twice++) {                            \
                product(0, 6, 7);                                                                  \
                product(1, 6, 7);                                                                  \
                product(2, 6, 7);                                                                  \
                product(3, 6, 7);                                                                  \
                product(4, 6, 7);                                                                  \
                product(5, 6, 7);                                                                  \
            }                                                                                      \
        }                                                                                          \
        _tile_release();                                                                           \
    }

#endif
