/* Tokens by their text: which token of a vocabulary is exactly these bytes. */
#ifndef TRAIN_TOKEN_TEXTS_H
#define TRAIN_TOKEN_TEXTS_H

#include "base/span.h"
#include "base/status.h"
#include "text/tokenizer.h"

#define TOKEN_TEXT 512 /* bytes; a longer token is found by nobody */

typedef struct TokenTexts TokenTexts;

/* `tok` is borrowed. */
bt_status token_texts_open(const Tokenizer *tok, TokenTexts **out, bt_error *err);
void token_texts_close(TokenTexts **texts);
/* The token of this text, control tokens by their names; the first of several; -1: none. */
int32_t token_texts_find(const TokenTexts *texts, Span text);

#endif
