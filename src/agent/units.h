/* The table of units. Factors are decimals and exact by definition (the yard is 0.9144 m, the pound
 * 0.45359237 kg ...: International Yard and Pound agreement, 1959; US customary volumes: NIST
 * Handbook 44, appendix C), months and years are the Gregorian mean. */
#ifndef AGENT_UNITS_H
#define AGENT_UNITS_H

#include "agent/number.h"
#include "base/status.h"

/* Converts by the units' names of docs/assistant.md ("km", "floz"). BT_E_ARGUMENT: a unit that is
 * not known, or two of different kinds. */
bt_status units_convert(Number value, Span from, Span to, Number *out, bt_error *err);
/* "kilometres", or for one "kilometre"; the name itself where it is not known. */
void units_words(Buf *out, Span unit, bool one);
/* The i-th name, NULL past the last. */
const char *units_name(size_t i);

#endif
