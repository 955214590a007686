/* What a character is: the classes that pre-tokenizers ask for, from the Unicode Character
 * Database (version in unicode_tables.inc, made by tools/unicode_tables.py). Token ids depend on
 * these, so they are ours and fixed, not the C library's. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    UC_UPPER = 1 << 0, /* Lu, Lt */
    UC_LOWER = 1 << 1, /* Ll */
    UC_OTHER = 1 << 2, /* Lm, Lo */
    UC_MARK = 1 << 3,
    UC_NUMBER = 1 << 4,
    UC_PUNCT = 1 << 5,
    UC_SYMBOL = 1 << 6,
    UC_SPACE = 1 << 7,       /* White_Space */
    UC_HAN = 1 << 8,         /* script Han */
    UC_CONTROL = 1 << 9,     /* Cc, Cf, Cs, Co, Cn */
    UC_NONSPACING = 1 << 10, /* Mn */
    UC_DIGIT = 1 << 11,      /* Nd */
    UC_LETTER = UC_UPPER | UC_LOWER | UC_OTHER,
};

unsigned unicode_class(uint32_t c); /* c past U+10FFFF: as unassigned */
uint32_t unicode_lower(uint32_t c); /* simple lower case */
/* Full upper case, in no language: writes 1 to 3 characters, returns how many. */
size_t unicode_upper(uint32_t c, uint32_t out[3]);
/* Canonical decomposition of c without nonspacing marks: writes 0 to 3 characters, returns how
 * many. (The order of what is left is that of the decomposition: nothing is re-sorted.) */
size_t unicode_base(uint32_t c, uint32_t out[3]);

#endif
