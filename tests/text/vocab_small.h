/* Vocabularies small enough to reason about, made by the tests. */
#ifndef TESTS_TEXT_VOCAB_SMALL_H
#define TESTS_TEXT_VOCAB_SMALL_H

#include "text/tokenizer.h"

#define SMALL_MAX 1024

typedef struct Small {
    Span tokens[SMALL_MAX], merges[SMALL_MAX];
    float scores[SMALL_MAX];
    int32_t types[SMALL_MAX];
    char text[16384];
    size_t used;
    TokSource source;
} Small;

/* The tokenizer of it; a failed test if it is refused. */
Tokenizer *small_open(const Small *v);
/* Texts of the ids that these parts become, between bars: "|th|e|". Static memory. */
const char *small_shown(const Tokenizer *t, const TokPart *parts, size_t n, bool bos);
/* The same of one text, in which special tokens are found or not. */
const char *small_show(const Tokenizer *t, const char *text, bool special);

void small_clear(Small *v, const char *model, const char *pre);
int32_t small_token(Small *v, const char *text, int32_t type, float score);
void small_merge(Small *v, const char *merge);
/* 256 bytes, then the words' merges, then "<|end|>" and "<u>" (control, user's). */
void small_bytes(Small *v, const char *pre);
/* <unk> <s> </s>, 256 byte tokens, then single characters and pieces with falling scores. */
void small_spm(Small *v);
/* [PAD] [UNK] [CLS] [SEP] and a few words. */
void small_wpm(Small *v);

#endif
