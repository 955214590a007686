/* The calculator: + - * / ^ mod, brackets, % as people mean it (15% of 80 = 12, 65 - 20% = 52), !,
 * sqrt and a few more functions. Reads any bytes; at most 64 brackets deep, 1 KB long. */
#ifndef AGENT_CALCULATE_H
#define AGENT_CALCULATE_H

#include "agent/number.h"
#include "base/status.h"

/* BT_E_ARGUMENT: no expression, or without a result (a division by zero); the text says which. */
bt_status calculate(Span expression, Number *out, bt_error *err);

#endif
