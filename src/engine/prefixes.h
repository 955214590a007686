/* What a model for embeddings was trained to see before a query and before a document. */
#ifndef ENGINE_PREFIXES_H
#define ENGINE_PREFIXES_H

#include "io/gguf.h"

/* From the keys sentence_transformers.prompts.query and .document, else by what is known of the
 * family and its name. *query and *document are mem_alloc'd; NULL: nothing is known. */
bt_status prefixes_read(const Gguf *gguf, const char *arch, const char *name, char **query,
                        char **document, bt_error *err);

#endif
