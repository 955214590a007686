/* The messages of a chat, owned. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include <jansson.h>

#include "bantam/bantam.h"

typedef struct Messages {
    bt_message *list;
    size_t n, capacity;
} Messages;

bool messages_add(Messages *m, const char *role, const char *content); /* false: no memory */
/* The assistant's, with calls as the OpenAI API has them. */
bool messages_add_calls(Messages *m, const char *content, const json_t *calls);
void messages_drop(Messages *m, size_t at, size_t n);
void messages_close(Messages *m);

#endif
