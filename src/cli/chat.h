/* The messages of a chat, owned. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "bantam/bantam.h"

typedef struct Messages {
    bt_message *list;
    size_t n, capacity;
} Messages;

bool messages_add(Messages *m, const char *role, const char *content); /* false: no memory */
void messages_drop(Messages *m, size_t at, size_t n);
void messages_close(Messages *m);

#endif
