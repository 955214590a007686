/* Unicode normalisation form C, as vocabularies that ask for it were trained with (Qwen's, say). Of
 * the characters of Unicode 9; younger ones stay as they are (see tools/nfc_tables.py). Source:
 * Unicode Standard Annex 15. */
#ifndef TEXT_NFC_H
#define TEXT_NFC_H

#include <stdbool.h>

#include "base/buf.h"

/* Appends the normalised text to *out; bytes that are no UTF-8 pass through. Linear in n. False:
 * nothing was appended, the text is normalised already (or there is no memory: out->failed). */
bool nfc_text(const char *p, size_t n, Buf *out);

#endif
