/* Models on this machine: where to look, which file is meant. */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "io/find.h"

/* What the environment says. */
FindPlaces places_here(void);

/* How many models this machine has besides the one in the program. */
size_t places_count(void);

#endif
