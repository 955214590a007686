/* Limit of AMX: int8 in tiles (see kernels/roofline.h). */
#include "kernels/roofline.h"
#include "kernels/x86/roofline_amx.h"

ROOFLINE_TILES(tiles_int8, _tile_dpbssd)

void roofline_amxint8(RooflineProbes *probes)
{
    probes->tile_int8 = tiles_int8;
    probes->tile_int8_ops = 2 * 16 * 16 * 64;
}
