/* One safetensors file, written (format: see safetensors.h). Tensors lie in the caller's memory
 * until the save; the file is replaced whole. */
#ifndef IO_SAFETENSORS_WRITE_H
#define IO_SAFETENSORS_WRITE_H

#include "io/safetensors.h"

typedef struct StOut {
    const char *name; /* of letters, digits and ._-: no other is written */
    StType type;      /* ST_F32, ST_F16 or ST_BF16 */
    uint32_t n_dims;
    uint64_t shape[ST_MAX_DIMS];
    const float *data; /* made `type` on the way */
} StOut;

bt_status st_write(const char *path, const StOut *tensors, size_t n, bt_error *err);

#endif
