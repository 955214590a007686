/* The tiny models of tests/data/families know no text: dressed, they have a small vocabulary of
 * characters and control tokens, and a chat template, so that a worker can serve them. */
#ifndef TESTS_DRESS_H
#define TESTS_DRESS_H

#include <stdint.h>

#define DRESS_MOST 12

typedef struct Dress {
    const char *name;                /* general.name; NULL: the family's */
    uint32_t ctx;                    /* context_length; 0: the family's */
    const char *chat_template;       /* NULL: none */
    const char *control[DRESS_MOST]; /* more control tokens, ids from DRESS_FIRST on */
    const char *key[DRESS_MOST];     /* key under tokenizer.ggml that names it; NULL: none */
} Dress;

enum { DRESS_START = 3, DRESS_END, DRESS_FIRST };

/* `family`: of tests/data/families, or a file of the source tree ("tests/data/gradients/...").
 * <|im_start|> and <|im_end|> are DRESS_START and DRESS_END, characters (space, line break, a to z
 * and what is left over of the 64) come after the control tokens. Fails the test. Its path in the
 * scratch folder. */
const char *dress_family(const char *family, const Dress *dress, const char *name);

#endif
