/* The file of a stored teacher (docs/formats.md), as both who writes and who reads it need it. */
#ifndef TRAIN_TARGETS_FILE_H
#define TRAIN_TARGETS_FILE_H

#include "engine/model.h"

#define TARGETS_RUN 4096 /* records of one write, and of one hash */

enum {
    TARGETS_DRAWN = 1,    /* a record: tokens drawn from the distribution, ascending */
    TARGETS_LIKELIEST = 2 /* the likeliest tokens, then their probabilities */
};

/* As the file begins; fields little-endian. */
typedef struct TargetsHeader {
    char magic[8];
    uint32_t version, n_vocab, samples, id_bytes;
    float temperature;
    uint32_t context;
    uint64_t n_tokens;  /* records */
    uint64_t data_hash; /* packs_hash */
    uint64_t vocab_hash;
    uint64_t checksum; /* hash_bytes of what stands before, then of runs of TARGETS_RUN records,
                        * each seeded with the one before */
} TargetsHeader;

extern const char targets_magic[8];
uint64_t targets_header_hash(const TargetsHeader *h);
uint64_t targets_vocab_hash(const bt_model *model); /* of all tokens' texts, in order */
size_t targets_record_bytes(const TargetsHeader *h);

/* Records put one by one into a file that is being replaced. `header`: magic, vocabulary and the
 * bytes of an id are filled in. */
typedef struct TargetsSink {
    TargetsHeader header;
    unsigned char *records; /* (TARGETS_RUN) */
    size_t waiting;
    uint64_t done;
    int fd;
} TargetsSink;

bt_status targets_sink_open(TargetsSink *sink, const bt_model *model, bt_error *err);
void targets_sink_close(TargetsSink *sink);
bt_status targets_sink_begin(TargetsSink *sink, int fd, bt_error *err);
/* Room for the next record, which is put when it is filled. */
unsigned char *targets_sink_room(TargetsSink *sink);
bt_status targets_sink_put(TargetsSink *sink, bt_error *err);
bt_status targets_sink_end(TargetsSink *sink, bt_error *err);

#endif
