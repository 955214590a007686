/* Documents as ids, with a mark on each that is to be learned. Of a conversation that is what the
 * assistant says, to the token that ends its turn; found by rendering: the text up to a turn, as it
 * stands before an answer is generated, against the text with that turn. A template may write
 * earlier turns otherwise once others follow (it drops thoughts, say): such a turn is then not
 * learned there, and the conversation up to it is handed on as a document of its own, as it stood
 * when it was the last. */
#ifndef TRAIN_LABELS_H
#define TRAIN_LABELS_H

#include "engine/chat.h"
#include "train/data.h"

typedef struct LabelsSource {
    const Tokenizer *tok;
    const char *jinja; /* chat template, or NULL */
    bool all_counts;   /* everything but what begins a document */
} LabelsSource;

/* Takes the ids of a document; counts[i]: 1 if id i is to be learned. */
typedef bt_status (*LabelsSink)(void *user, const DataDoc *doc, const bt_token *ids,
                                const unsigned char *counts, size_t n, bt_error *err);

typedef struct Labels Labels;
/* A template that cannot be used is told with the first conversation. BT_E_MEMORY. */
bt_status labels_open(const LabelsSource *source, Labels **out, bt_error *err);
void labels_close(Labels **labels);
/* Hands on what the document gives: one or more. Its number serves as its date, where a template
 * asks for one, so that the same data gives the same ids on any day. Fails as chat_apply does, and
 * as the sink. */
bt_status labels_document(Labels *labels, const DataDoc *doc, uint64_t number, LabelsSink sink,
                          void *user, bt_error *err);

#endif
