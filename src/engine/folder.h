/* Models straight from the folder their makers publish. */
#ifndef ENGINE_FOLDER_H
#define ENGINE_FOLDER_H

#include "convert/convert.h"
#include "io/gguf.h"

/* The folder as if it were a GGUF file: what needs no change stays in the mapped files, the rest is
 * made in memory. */
bt_status folder_open(const char *folder, const bt_model_options *options, Gguf **out,
                      bt_error *err);
/* The plan of a folder, held against its architecture: every tensor is there and has its shape.
 * What was left out is told through the log. */
bt_status folder_plan(const char *folder, const ConvertOptions *options, Convert **out,
                      bt_error *err);
/* What a file or a folder holds, for looking at it: the tensors of a folder have no data. */
bt_status model_index_open(const char *path, Gguf **out, bt_error *err);

#endif
