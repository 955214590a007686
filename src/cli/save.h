/* Storing a conversation, only where the user asked. The sandbox takes away the right to create
 * files, so a file named beforehand (--save) is opened before it, and the chat's /save is done by
 * a helper process, forked before the model is read, that does nothing but create such files. */
#ifndef CLI_SAVE_H
#define CLI_SAVE_H

#include "cli/cli.h"

typedef struct Save Save;

/* Opens `path` for writing (NULL: none yet); with `later`, starts the helper for /save. NULL after
 * a message. */
Save *save_open(const char *path, bool later);
/* Writes the conversation to the file of save_open; true at once when there is none. */
bool save_update(Save *save, const bt_message *messages, size_t n);
/* Writes it to a new file, or over one that this session wrote. On failure why[] says why. */
bool save_as(Save *save, const char *path, const bt_message *messages, size_t n, char why[256]);
void save_close(Save **save);

#endif
