/* What a tokenizer is made of. Inside text/.
 *
 * A *symbol* is a piece of text that merging works on: ids below n are tokens, ids from n on are
 * pieces that merges name but the vocabulary lacks (only odd vocabularies have any). */
#ifndef TEXT_TOK_H
#define TEXT_TOK_H

#include "base/buf.h"
#include "text/charsmap.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

#define TOK_NONE 0xFFFFFFFFu
/* Caps on what a file may bring. */
#define TOK_MAX_TOKENS  (1u << 22)
#define TOK_MAX_MERGES  (1u << 24)
#define TOK_MAX_LENGTH  65535u      /* bytes of one token or merge */
#define TOK_MAX_SPECIAL 256u        /* bytes of a token looked for in text; bounds each look */
#define TOK_MAX_PROBES  4096u       /* a chain this long in a hash table was made on purpose */
#define TOK_MAX_TEXT    0xFFFF0000u /* bytes of one text */
#define TOK_MAX_WORD    100         /* characters of a WordPiece word; more are unknown */
#define TOK_MAX_PIECE   1024u       /* bytes of a unigram piece; bounds each look */

#define TOK_WARM 96

typedef enum TokKind {
    TOK_KIND_NONE,
    TOK_KIND_SPM,
    TOK_KIND_BPE,
    TOK_KIND_WPM,
    TOK_KIND_UNIGRAM
} TokKind;

/* Open addressing; a slot holds the high half of the hash and id + 1 (0: free). */
typedef struct TokSlot {
    uint32_t tag, id;
} TokSlot;

typedef struct TokTable {
    TokSlot *slots;
    uint64_t mask;
    uint64_t used, room; /* room: entries it may hold */
} TokTable;

typedef struct TokPair {
    uint32_t left, right, rank; /* rank TOK_NONE: free */
} TokPair;

typedef struct TokSpecial {
    Span text;
    int32_t id;
    bool user;   /* looked for in every text, not only where special tokens are asked for */
    bool lstrip; /* spaces before it, or after it, belong to it */
    bool rstrip;
} TokSpecial;

typedef struct TokPiece {
    Span text;
    float score;
    uint32_t id;
} TokPiece;

typedef struct TokUnigram {
    Charsmap map;     /* borrowed */
    TokPiece *pieces; /* (n) sorted by text */
    uint32_t n;
    uint32_t first[65537]; /* pieces that begin with two bytes b: [first[b], first[b + 1]) */
    double unknown;        /* score of a character without a piece */
    bool by_words, squeeze, bytes; /* no piece spans words; spaces are squeezed; has byte tokens */
} TokUnigram;

struct Tokenizer {
    TokKind kind;
    const PreRule *rule; /* BPE */
    bool raw;            /* BPE over characters with U+2581 for spaces (Gemma 4) */
    bool nfc;            /* texts are normalised first */
    bool add_bos, add_eos, space_prefix;
    int32_t bos, eos, unk, sep;

    const Span *tokens; /* borrowed */
    uint32_t n;
    uint8_t *types; /* TOK_NORMAL ... of each token */
    uint8_t *ends;  /* bit of each token: ends an answer */
    uint32_t longest;

    Span *extra; /* symbols n, n + 1, ... */
    uint32_t n_extra, extra_capacity;
    bool no_memory; /* why a symbol could not be added; else its text was made to collide */
    Buf extra_text;
    TokTable table;

    TokPair *pairs; /* BPE */
    uint64_t pair_mask;
    uint32_t *result; /* symbol that a merge makes, by rank */
    uint32_t n_keys;  /* how many different ranks, or scores, there are */

    TokUnigram *unigram; /* NULL but for that kind */

    Span *plain; /* SPM, unigram: tokens with ' ' for U+2581; data NULL: never matched */
    char *plain_text;
    uint32_t *order; /* SPM: rank of a token's score, best first */

    uint32_t ascii[128];     /* symbol of a character, SPM and raw BPE */
    uint32_t byte_sym[256];  /* symbol of a byte, byte-level BPE */
    int32_t byte_token[256]; /* what stands for a byte that has no symbol; -1: nothing */
    uint64_t *joins;         /* filter of the character pairs that some symbol has side by side */
    uint64_t join_mask;

    TokSpecial *special; /* sorted by text, each text once */
    uint32_t n_special;
    uint32_t first[257]; /* specials that begin with byte b: [first[b], first[b + 1]) */
    bool begins[256], begins_user[256];
};

/* ---- table of texts (tok_table.c) ---- */
uint64_t tok_hash(const char *p, size_t n);
bool tok_table_open(TokTable *table, uint64_t room);
void tok_table_close(TokTable *table);
Span tok_symbol_text(const Tokenizer *t, uint32_t symbol);
/* Symbol of exactly these bytes (SPM: with ' ' for U+2581), or TOK_NONE. */
uint32_t tok_symbol(const Tokenizer *t, const char *p, size_t n);
/* Brings what tok_symbol will touch for these texts into the cache, all at once: opening a large
 * vocabulary is mostly waiting for memory. At most TOK_WARM texts. */
void tok_table_warm(const Tokenizer *t, const Span *texts, size_t n);
/* Puts `symbol` under its text; a text that is there already is taken over. False: the chain is too
 * long, or the table is full. */
bool tok_table_put(Tokenizer *t, uint32_t symbol);
/* Symbol of a text, made if there is none; TOK_NONE: no memory, or as tok_table_put. */
uint32_t tok_intern(Tokenizer *t, Span text);

/* ---- byte-level alphabet (tok_bytes.c) ---- */
/* GPT-2 writes each byte as a printable character. */
uint32_t tok_byte_char(unsigned char byte);
/* Byte that a character stands for, or -1. */
int tok_char_byte(uint32_t c);
/* Byte of a token "<0x0A>", or -1. */
int tok_hex_byte(Span text);

/* ---- ids being written ---- */
typedef struct TokIds {
    int32_t *data;
    size_t n, capacity;
    bool failed;
    uint64_t work; /* steps of the merging loops, for tests of linearity */
} TokIds;

void tok_put(TokIds *ids, int32_t id);

/* ---- merging (tok_merge.c) ---- */
typedef struct TokMerge TokMerge;

/* Symbol of the character at p and its length. */
uint32_t tok_char_symbol(const Tokenizer *t, const char *p, size_t n, size_t *length);
static inline uint64_t tok_pair_hash(uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}
/* Merge that joins two neighbours, or TOK_NONE; SPM asks by the text of both. */
uint32_t tok_pair_rank(const Tokenizer *t, uint32_t left, uint32_t right);
/* Ids of one word, merged on its own. *scratch is kept between words of a text (start: NULL) and
 * freed by tok_merge_close. */
void tok_merge_word(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids);
void tok_merge_close(TokMerge **scratch);
/* Splits where no symbol reaches across and merges each part on its own: the same ids as merging
 * the whole, and small parts stay in cache. */
void tok_merge_parts(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids);
/* Remembers which characters stand side by side in `text`. */
void tok_join_add(Tokenizer *t, Span text);

/* ---- kinds ---- */
/* Tokens hold U+2581 for a space; t->plain holds them as they are in a text. */
static inline bool tok_writes_spaces(const Tokenizer *t)
{
    return t->kind == TOK_KIND_SPM || t->kind == TOK_KIND_UNIGRAM;
}
bt_status tok_bpe_open(Tokenizer *t, const TokSource *source, bt_error *err);
bool tok_bpe_encode(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids);
/* Before the table is filled: the texts it shall know. */
bool tok_spm_plain(Tokenizer *t);
bt_status tok_spm_open(Tokenizer *t, const TokSource *source, bt_error *err);
/* `first`: nothing, or a special token, stands before. */
bool tok_spm_encode(const Tokenizer *t, const char *p, size_t n, bool first, TokMerge **scratch,
                    TokIds *ids);
bool tok_wpm_encode(const Tokenizer *t, const char *p, size_t n, TokIds *ids);
bt_status tok_unigram_open(Tokenizer *t, const TokSource *source, bt_error *err);
void tok_unigram_close(Tokenizer *t);
bool tok_unigram_encode(const Tokenizer *t, const char *p, size_t n, TokIds *ids);

/* ---- special tokens (tok_special.c) ---- */
bt_status tok_special_open(Tokenizer *t, Span pre, bt_error *err);
/* Marks the tokens whose text says that they end an answer, and makes them special. */
void tok_mark_ends(Tokenizer *t, const TokSource *source);
/* The longest special token that p[0..n) begins with, or NULL; one that is not the user's must lie
 * within the first control_n bytes. */
const TokSpecial *tok_special_match(const Tokenizer *t, const char *p, size_t n, size_t control_n);
/* Of items sorted by text, of which those in [low, high) share their first `depth` bytes and are
 * longer: the first whose byte at `depth` is at least (or, `past`, more than) b. text: that of item
 * 0; stride: bytes from one item's to the next's. */
uint32_t tok_bound(const Span *text, size_t stride, uint32_t low, uint32_t high, size_t depth,
                   unsigned char b, bool past);
/* The special token of exactly this text, or NULL. */
const TokSpecial *tok_special_find(const Tokenizer *t, Span text);

#endif
