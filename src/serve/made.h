/* What a request may set of the models that it makes (Ollama's create), besides their system
 * message: one key and value at a time, as api_create.c gives them. Nothing here touches a file. */
#ifndef SERVE_MADE_H
#define SERVE_MADE_H

#include "serve/catalogue.h"

/* True: it is set, or means nothing here. False: `why` (a sentence) says why not, and what to do.
 */
bool made_set(ServeModel *model, const char *key, const char *value, char *why, size_t why_size);
/* Gives `to`, which has nothing of its own of that, all that `from` was made with. False: no
 * memory. */
bool made_inherit(ServeModel *to, const ServeModel *from);
/* Frees it. */
void made_clear(ServeModel *model);

#endif
