/* The vocabularies of made-up models (see make_model.h). */
#ifndef TESTS_MAKE_VOCAB_H
#define TESTS_MAKE_VOCAB_H

#include "io/gguf_write.h"
#include "make_model.h"

/* Puts the tokenizer's keys; returns the vocabulary's size, at least `least`, or -1. */
int make_vocab(GgufWriter *w, const MakeModel *options, int least);

#endif
