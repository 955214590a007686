/* Inside server_teacher.c and server_targets.c: what asking and storing share. */
#ifndef TRAIN_SERVER_PARTS_H
#define TRAIN_SERVER_PARTS_H

#include "base/os.h"
#include "engine/model.h"
#include "train/corpus.h"
#include "train/replies.h"
#include "train/server_teacher.h"

/* Part of a document that is sent at a time: `rows` ids from `first`, and the one behind them. */
typedef struct Part {
    uint32_t doc;
    uint64_t first, rows;
} Part;

typedef struct Server {
    const bt_model *model;
    const char *const *data;
    size_t n_data;
    const char *path;
    char *journal_path, *data_path; /* path.replies, path.jsonl */
    const ServerOptions *o;
    ServerMode mode;
    int32_t context, longest, top;
    Corpus *corpus; /* of the data; of what was written, in the end */
    uint64_t parts, chats;
    uint64_t answered; /* lines of the journal */
    uint64_t number;   /* of the document at work */
    uint64_t lines;    /* of the data that was written */
    int journal;
    bool begun;          /* the journal has its first line */
    bool silent;         /* what it was tried with was answered without words */
    bool late;           /* it told of each place what is likely behind it */
    double here, behind; /* probability given to the pieces that stand there, and behind */
    OsMap map;           /* of the journal, when it is read */
    const char *at;
    Reply reply;
    Buf text, body, line;
    size_t *start; /* (n_start) where ids begin in the text */
    size_t n_start;
    ServerAnswer answer;
    ServerResult result;
    bt_error *err;
} Server;

/* The next part in which something counts; *part zeroed: the first. False behind the last. */
bool server_next_part(const Server *s, Part *part);
/* Spells ids [first, first + n) of the corpus into s->text, with s->start (n + 1). */
bool server_spell(Server *s, uint64_t first, uint64_t n);
/* Where the text that was sent begins: not inside a character. */
size_t server_first_byte(const Server *s);
/* The conversation that is sent: to its last turn of the assistant. BT_E_UNSUPPORTED: with tools;
 * *out NULL: no conversation. New reference. */
bt_status server_prompt(const DataDoc *doc, json_t **out, bt_error *err);

/* server_targets.c: from the journal, which is whole, the data that was written and the targets. */
bt_status server_store(Server *s);

#endif
