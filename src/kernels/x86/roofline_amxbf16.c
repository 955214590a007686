/* Limit of AMX: bf16 in tiles (see kernels/roofline.h). */
#include "kernels/roofline.h"
#include "kernels/x86/roofline_amx.h"

ROOFLINE_TILES(tiles_bf16, _tile_dpbf16ps)

void roofline_amxbf16(RooflineProbes *probes)
{
    probes->tile_bf16 = tiles_bf16;
    probes->tile_bf16_ops = 2 * 16 * 16 * 32;
}
