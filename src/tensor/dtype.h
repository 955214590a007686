/* Element types as GGUF numbers them, and how their blocks lie in memory.
 * Source: the GGUF specification (ggml docs/gguf.md) and the types' published layouts. */
#ifndef TENSOR_DTYPE_H
#define TENSOR_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, GGUF number, text, elements a block, bytes a block) */
#define DTYPES(X)                                                                                  \
    X(DT_F32, 0, "F32", 1, 4)                                                                      \
    X(DT_F16, 1, "F16", 1, 2)                                                                      \
    X(DT_Q4_0, 2, "Q4_0", 32, 18)                                                                  \
    X(DT_Q4_1, 3, "Q4_1", 32, 20)                                                                  \
    X(DT_Q5_0, 6, "Q5_0", 32, 22)                                                                  \
    X(DT_Q5_1, 7, "Q5_1", 32, 24)                                                                  \
    X(DT_Q8_0, 8, "Q8_0", 32, 34)                                                                  \
    X(DT_Q8_1, 9, "Q8_1", 32, 36)                                                                  \
    X(DT_Q2_K, 10, "Q2_K", 256, 84)                                                                \
    X(DT_Q3_K, 11, "Q3_K", 256, 110)                                                               \
    X(DT_Q4_K, 12, "Q4_K", 256, 144)                                                               \
    X(DT_Q5_K, 13, "Q5_K", 256, 176)                                                               \
    X(DT_Q6_K, 14, "Q6_K", 256, 210)                                                               \
    X(DT_Q8_K, 15, "Q8_K", 256, 292)                                                               \
    X(DT_IQ2_XXS, 16, "IQ2_XXS", 256, 66)                                                          \
    X(DT_IQ2_XS, 17, "IQ2_XS", 256, 74)                                                            \
    X(DT_IQ3_XXS, 18, "IQ3_XXS", 256, 98)                                                          \
    X(DT_IQ1_S, 19, "IQ1_S", 256, 50)                                                              \
    X(DT_IQ4_NL, 20, "IQ4_NL", 32, 18)                                                             \
    X(DT_IQ3_S, 21, "IQ3_S", 256, 110)                                                             \
    X(DT_IQ2_S, 22, "IQ2_S", 256, 82)                                                              \
    X(DT_IQ4_XS, 23, "IQ4_XS", 256, 136)                                                           \
    X(DT_I8, 24, "I8", 1, 1)                                                                       \
    X(DT_I16, 25, "I16", 1, 2)                                                                     \
    X(DT_I32, 26, "I32", 1, 4)                                                                     \
    X(DT_I64, 27, "I64", 1, 8)                                                                     \
    X(DT_F64, 28, "F64", 1, 8)                                                                     \
    X(DT_IQ1_M, 29, "IQ1_M", 256, 56)                                                              \
    X(DT_BF16, 30, "BF16", 1, 2)                                                                   \
    X(DT_TQ1_0, 34, "TQ1_0", 256, 54)                                                              \
    X(DT_TQ2_0, 35, "TQ2_0", 256, 66)                                                              \
    X(DT_MXFP4, 39, "MXFP4", 32, 17)                                                               \
    X(DT_NVFP4, 40, "NVFP4", 64, 36)                                                               \
    X(DT_Q1_0, 41, "Q1_0", 128, 18)                                                                \
    X(DT_Q2_0, 42, "Q2_0", 64, 18)

typedef enum DType {
#define DTYPE_ENUM(name, number, text, elements, bytes) name = number,
    DTYPES(DTYPE_ENUM)
#undef DTYPE_ENUM
} DType;

#define DTYPE_LIMIT 64 /* all numbers are below */

typedef struct DTypeInfo {
    const char *name; /* NULL: no such type */
    int32_t block;    /* elements a block */
    int32_t bytes;    /* bytes a block */
} DTypeInfo;

/* Never NULL; name is NULL for a number that is no type. */
const DTypeInfo *dtype_info(uint32_t type);
static inline bool dtype_known(uint32_t type)
{
    return dtype_info(type)->name != 0;
}
const char *dtype_name(uint32_t type); /* "?" for an unknown one */
/* Bytes of `n` elements, n a multiple of the block. */
uint64_t dtype_row_bytes(uint32_t type, uint64_t n);

#endif
