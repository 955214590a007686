/* What the assistant keeps: reminders, timers, calendar entries and notes, in one SQLite file of
 * the user (mode 0600). Nothing is deleted: what is cancelled changes its state, and each step can
 * be undone. A step is a transaction: after a full disk, a lock that is not given back or a crash
 * the file is as before the step. A file that is damaged, or of a later version, is refused and
 * left as it is; the message says how to begin anew. Dates are instants (see civil.h). */
#ifndef AGENT_STORE_H
#define AGENT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

typedef struct Store Store;

typedef enum ItemKind { ITEM_REMINDER, ITEM_TIMER, ITEM_EVENT, ITEM_NOTE, ITEM_KINDS } ItemKind;
typedef enum ItemState { ITEM_OPEN, ITEM_DONE, ITEM_CANCELLED } ItemState;

#define ITEM_ALL_KINDS  ((1u << ITEM_KINDS) - 1)
#define ITEM_MOST_TEXT  4000   /* bytes */
#define ITEM_MOST       100000 /* open items */
#define ITEM_STEPS_KEPT 200    /* that can be undone */

typedef struct Item {
    int64_t id;
    ItemKind kind;
    ItemState state;
    char *text;     /* UTF-8, no control characters */
    int64_t at;     /* when it is next due or begins; 0: never (a note) */
    int64_t until;  /* an event's end, 0: none said; of whole days the last day's midnight */
    int64_t first;  /* at, of a repetition's first */
    bool whole_day; /* at is on the day, no time was said */
    char every[16]; /* in the one spelling, "": once */
    int64_t made;
    int64_t told; /* an event's: the beginning that was told last, 0: none */
} Item;

typedef struct Items {
    Item *list;
    size_t n, capacity;
} Items;
void items_close(Items *items);

/* Opens or makes `folder`/assistant.db; the folder exists. BT_E_IO, BT_E_FORMAT (damaged, or of a
 * later version), BT_E_MEMORY, BT_E_UNSUPPORTED (an SQLite without full-text search). */
bt_status itemdb_open(const char *folder, Store **out, bt_error *err);
void itemdb_close(Store **store);

typedef struct Wanted {
    unsigned kinds; /* bits of ItemKind */
    bool done;      /* what rang or is over too */
    /* Begins in [from, before) or reaches into it; both 0: any time. A repetition fits that began
     * before: the caller looks whether one of its times does. */
    int64_t from, before;
    const char *words; /* all of these words, or as they begin; NULL: any */
    bool some;         /* with `words`: one of them is enough, best first */
} Wanted;

/* Appends what fits, by kind and time; at most 1,000. */
bt_status itemdb_list(Store *store, const Wanted *wanted, Items *out, bt_error *err);
bt_status itemdb_get(Store *store, int64_t id, Items *out, bt_error *err); /* none if it is gone */
bt_status itemdb_latest(Store *store, ItemKind kind, Items *out,
                        bt_error *err); /* made last, open */

/* Changes between these two are one step. Ending it with `keep` false leaves all as it was. */
bt_status itemdb_begin(Store *store, bt_error *err);
bt_status itemdb_end(Store *store, bool keep, bt_error *err);
/* id, state and made are set here. */
bt_status itemdb_add(Store *store, Item *item, int64_t now, bt_error *err);
/* state, at, until, first, whole_day and every of the item with that id. */
bt_status itemdb_change(Store *store, const Item *item, bt_error *err);
/* Takes back the last step; the ids it touched into `out`, in their state afterwards. */
bt_status itemdb_undo(Store *store, Items *out, bt_error *err);

/* This beginning of an event was told. This is no step to be undone. */
bt_status itemdb_told(Store *store, int64_t id, int64_t at, bt_error *err);

/* Open reminders and timers that are due. */
bt_status itemdb_due(Store *store, int64_t now, Items *out, bt_error *err);
/* When the next one is, 0: none. */
bt_status itemdb_next_due(Store *store, int64_t *at, bt_error *err);
/* It has rung: done, or due again at `next`. This is no step to be undone. */
bt_status itemdb_rung(Store *store, int64_t id, int64_t next, bt_error *err);

#endif
