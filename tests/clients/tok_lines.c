/* Tokenizes texts for the scripts of tests/clients: frames of a 4-byte little-endian length and
 * that many bytes on stdin, a line of ids on stdout for each; special tokens are recognised. The
 * model is a GGUF file or a maker's folder. */
#include <stdio.h>
#include <stdlib.h>

#include "bantam/bantam.h"

int main(int argc, char **argv)
{
    bt_model *model = NULL;
    bt_model_options options = {.vocab_only = true, .no_cache = true};
    bt_error err = {0};
    unsigned char head[4];
    if (argc != 2) return 2;
    if (bt_model_open(argv[1], &options, &model, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    while (fread(head, 1, 4, stdin) == 4) {
        size_t n = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24;
        char *text = malloc(n + 1);
        size_t most = 40 * n + 8; /* a normaliser makes one character many, and each many bytes */
        bt_token *ids = malloc(most * sizeof *ids);
        if (!text || !ids || fread(text, 1, n, stdin) != n) return 1;
        int64_t count = bt_model_tokenize(model, text, n, 0, ids, most, &err);
        if (count < 0 || count > (int64_t)most) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        for (int64_t i = 0; i < count; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
        free(ids);
        free(text);
    }
    bt_model_close(&model);
    return 0;
}
