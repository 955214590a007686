/* The table of element types (see dtype.h). */
#include "tensor/dtype.h"

static const DTypeInfo infos[DTYPE_LIMIT] = {
#define DTYPE_ROW(name, number, text, elements, bytes) [number] = {text, elements, bytes},
    DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

const DTypeInfo *dtype_info(uint32_t type)
{
    static const DTypeInfo none = {0, 1, 0};
    return type < DTYPE_LIMIT && infos[type].name ? &infos[type] : &none;
}

const char *dtype_name(uint32_t type)
{
    const char *name = dtype_info(type)->name;
    return name ? name : "?";
}

uint64_t dtype_row_bytes(uint32_t type, uint64_t n)
{
    const DTypeInfo *info = dtype_info(type);
    return n / (uint64_t)info->block * (uint64_t)info->bytes;
}
