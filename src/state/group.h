/* Blocks of the layers that forget alike: tables, counts and the bytes themselves (see state.h).
 * A holder is a sequence or a checkpoint. Inside src/state only. */
#ifndef STATE_GROUP_H
#define STATE_GROUP_H

#include "state/state.h"

typedef struct Group {
    StateKind kind; /* of keys and values; FULL, WINDOW or CHUNK */
    bool recurrent; /* one block a holder, whatever the length */
    int32_t span;
    size_t block_bytes; /* of all layers of the group, side by side */
    int32_t quota;      /* blocks that a sequence may hold */
    int32_t kept;       /* blocks that a checkpoint may hold */
    int32_t stride;     /* entries of a table */
    int32_t n_blocks, n_holders;
    unsigned char *pool;
    int32_t *tables;      /* (n_holders, stride) */
    int32_t *begin, *end; /* (n_holders) entries in use */
    int32_t *shares;      /* (n_blocks) tables that name the block */
    int32_t *free_list;   /* (n_blocks) a stack */
    int32_t n_free;
    int32_t *asked; /* (n_blocks) of group_has_room_for; zero between calls */
} Group;

/* Fills quota, kept, stride, n_blocks, n_holders from kind and span. False when there are too many
 * blocks to number. */
bool group_size(Group *g, const StateSpec *spec);
/* Reserves tables and blocks; false when memory lacks. group_close works after a failure too. */
bool group_open(Group *g);
void group_close(Group *g);

/* The first token that a holder of `length` tokens still needs for what comes. */
int32_t group_first_needed(const Group *g, int32_t length);
/* Whether a holder of `held` tokens can go back to `length` on its own. */
bool group_can_cut(const Group *g, int32_t holder, int32_t held, int32_t length);
void group_cut(Group *g, int32_t holder, int32_t length);
/* Whether group_reserve can be called. */
bool group_has_room(const Group *g, int32_t holder, int32_t length, int32_t n);
/* Whether it can be called for each of `holders` first holders, of lengths[] tokens, that gains
 * added[] > 0, one after the other. */
bool group_has_room_for(Group *g, int32_t holders, const int32_t *lengths, const int32_t *added);
/* Room for tokens [length, length + n), all of it the holder's own. */
void group_reserve(Group *g, int32_t holder, int32_t length, int32_t n);
/* Gives back what is out of sight of a holder of `length` tokens. */
void group_forget(Group *g, int32_t holder, int32_t length);
/* `to` gives back what it has and shares what `from` needs at `length`. */
void group_share(Group *g, int32_t from, int32_t to, int32_t length);
/* `holder` gives back what it has and takes blocks of its own as if it held `length` tokens. */
void group_make(Group *g, int32_t holder, int32_t length);

static inline int32_t *group_table(const Group *g, int32_t holder)
{
    return g->tables + (size_t)holder * (size_t)g->stride;
}

static inline unsigned char *group_block(const Group *g, int32_t block)
{
    return g->pool + (size_t)block * g->block_bytes;
}

static inline int32_t blocks_of(int32_t tokens)
{
    return (int32_t)(((int64_t)tokens + KV_BLOCK - 1) / KV_BLOCK);
}

#endif
