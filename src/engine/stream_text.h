/* bt_text of bantam.h on a tokenizer alone; bt_text_open (text_model.c) asks a model for its. */
#ifndef ENGINE_STREAM_TEXT_H
#define ENGINE_STREAM_TEXT_H

#include "text/tokenizer.h"

/* The tokenizer is borrowed and must outlive the object. */
bt_status stream_text_open(const Tokenizer *tok, bool special, bt_text **out, bt_error *err);

#endif
