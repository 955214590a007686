/* Models on this machine: where to look, which file is meant. */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "io/find.h"

/* What the environment says. */
FindPlaces places_here(void);

#endif
