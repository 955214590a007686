/* Inside convert/: a vocabulary between a maker's files and GGUF's keys. */
#ifndef CONVERT_VOCAB_H
#define CONVERT_VOCAB_H

#include "convert/plan.h"

#define VOCAB_MOST_TOKENS (1u << 22)
#define VOCAB_MOST_MERGES (1u << 23)

typedef struct Voc {
    const char *model; /* tokenizer.ggml.model; NULL: there is no vocabulary */
    const char *pre;   /* tokenizer.ggml.pre; NULL: none */
    Span *tokens;
    float *scores; /* NULL: none */
    int32_t *types;
    uint32_t n, capacity;
    Span *merges; /* "a b" */
    uint32_t n_merges;
    Span charsmap;    /* of a unigram model; empty: none */
    int space_prefix; /* -1: not said */
    int squeeze;      /* remove_extra_whitespaces; -1: not said */
    bool nfc;         /* texts are normalised (NFC) before they are split */
} Voc;

/* Makes room for ids below n, new ones "[PAD7]", unused. False after a failure. */
bool voc_grow(Convert *c, Voc *v, uint32_t n);
/* tokenizer.json */
void voc_read_json(Convert *c, Voc *v);
/* Its normalizer, or the elements of that, one level deep: each must be one that `known` takes,
 * which writes what it means to v. Refused by name otherwise. */
void voc_normalizer(Convert *c, Voc *v, bool (*known)(const Convert *c, JdocRef n, Voc *v));
/* ---- vocab_unigram.c: tokenizer.json's model of type Unigram ---- */
void voc_read_unigram(Convert *c, JdocRef model, Voc *v);
/* A SentencePiece model (tokenizer.model); `file` outlives the plan's keys. */
void voc_read_spm(Convert *c, Span file, Voc *v);
/* added_tokens of tokenizer.json, or of tokenizer_config.json: control and user-defined ones. */
void voc_add_tokens(Convert *c, Voc *v);
/* Id of exactly this text, or -1. */
int32_t voc_find(const Voc *v, Span text);

/* ---- pretoken.c ---- */
/* The name of tokenizer.ggml.pre for the pre_tokenizer and normalizer of tokenizer.json. Refused by
 * name when no rule of ours is exactly that. */
const char *voc_pre(Convert *c, bool ignore_merges);
/* True when pre_tokenizer holds an element of this type. */
bool voc_has_pre(const Convert *c, const char *type);

#endif
