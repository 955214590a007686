/* Bytes in 64 kinds, so that "which of these may come next" is one word: letters without their
 * case, all digits, every other ASCII sign by itself. Two words that share no bit share no byte;
 * the other way round they may. */
#ifndef TEXT_BYTE_KIND_H
#define TEXT_BYTE_KIND_H

#include <stdint.h>

static inline uint8_t byte_kind(unsigned c)
{
    if (c >= 0x80) return 63;
    if (c == '\n') return 61;
    if (c < 0x20 || c == 0x7F) return 62;
    if (c >= 'a' && c <= 'z') return (uint8_t)(c - 'a');
    if (c >= 'A' && c <= 'Z') return (uint8_t)(c - 'A');
    if (c >= '0' && c <= '9') return 26;
    if (c < '0') return (uint8_t)(27 + c - ' '); /* 16: 27 to 42 */
    if (c < 'A') return (uint8_t)(43 + c - ':'); /* 7: 43 to 49 */
    if (c < 'a') return (uint8_t)(50 + c - '['); /* 6: 50 to 55 */
    return (uint8_t)(56 + c - '{');              /* 4: 56 to 59 */
}

static inline uint64_t byte_kind_bit(unsigned c)
{
    return (uint64_t)1 << byte_kind(c);
}

#endif
