/* Tokenizes texts for tests/clients/compare_tokenizers.py: frames of a 4-byte little-endian length
 * and that many bytes on stdin, a line of ids on stdout for each; special tokens are recognised. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "models/vocab.h"

int main(int argc, char **argv)
{
    Gguf *g = NULL;
    Vocab *v = NULL;
    bt_error err = {0};
    unsigned char head[4];
    if (argc != 2) return 2;
    if (gguf_open(argv[1], NULL, &g, &err) || vocab_load(g, &v, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    while (fread(head, 1, 4, stdin) == 4) {
        size_t n = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24, n_ids;
        char *text = malloc(n + 1);
        int32_t *ids;
        if (!text || fread(text, 1, n, stdin) != n) return 1;
        TokPart part = {{text, n}, true};
        if (tok_encode(v->tok, &part, 1, false, &ids, &n_ids, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        for (size_t i = 0; i < n_ids; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
        mem_free(ids);
        free(text);
    }
    vocab_close(&v);
    gguf_close(&g);
    return 0;
}
