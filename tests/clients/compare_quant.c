/* Our writers of block types beside another engine's, on rows of several kinds of numbers, with and
 * without importance: squared error of ours over theirs (below 1: ours is closer), and nanoseconds
 * a weight.
 *
 *     compare-quant LIBGGML_BASE.so
 *
 * Not a test: it needs a library that the project does not carry, such as the one in the npm
 * package node-llama-cpp. Both sides' blocks are read by our reader, which is held against golden
 * data. */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"
#include "quant/quant.h"
#include "quant/rows.h"
#include "tensor/dtype.h"

enum { ROWS = 32, WIDTH = 1024, N = ROWS * WIDTH };

typedef size_t Peer(int type, const float *x, void *out, int64_t start, int64_t rows, int64_t width,
                    const float *importance);

static const char *const kinds[] = {"gaussian", "laplace", "student-3", "outlier columns",
                                    "uneven"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void fill(int kind, float *x, uint64_t *seed)
{
    for (size_t i = 0; i < N; i++) {
        double v = row_gaussian(seed), square = 0;
        switch (kind) {
        case 1: v = (row_uniform(seed) < 0.5 ? 1 : -1) * -log(row_uniform(seed)); break;
        case 2:
            for (int k = 0; k < 3; k++) square += pow(row_gaussian(seed), 2);
            v /= sqrt(square / 3);
            break;
        case 3: v *= i % WIDTH % 97 == 5 ? 8 : 1; break;
        case 4: v *= exp(0.7 * sin((double)i / 300)); break;
        default: break;
        }
        x[i] = (float)(0.02 * v);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double error_of(uint32_t type, const void *blocks, const float *x, const float *w)
{
    static float y[N];
    double error = 0;
    dequant_row(type, blocks, y, N);
    for (size_t i = 0; i < N; i += WIDTH) error += row_error(x + i, y + i, w, WIDTH);
    return error;
}

/* Prints a type's ratio for one kind of numbers; adds up seconds of theirs and ours. */
static void compare(Peer *peer, uint32_t type, const float *x, const float *w, double *spent)
{
    static uint8_t ours[4 * N], theirs[4 * N];
    float ones[WIDTH];
    for (int i = 0; i < WIDTH; i++) ones[i] = 1; /* some of theirs do not work without any */
    bool needed = quant_needs_importance(type);
    double start = seconds();
    size_t size = peer((int)type, x, theirs, 0, ROWS, WIDTH, w ? w : needed ? ones : NULL);
    double middle = seconds();
    uint64_t bytes = dtype_row_bytes(type, WIDTH);
    for (uint64_t i = 0; i < ROWS; i++) quant_row(type, x + i * WIDTH, WIDTH, w, ours + i * bytes);
    spent[0] += middle - start;
    spent[1] += seconds() - middle;
    if (size != ROWS * bytes)
        printf("     -  ");
    else
        printf(" %6.3f ", error_of(type, ours, x, w) / error_of(type, theirs, x, w));
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    Peer *peer = NULL;
    if (library) *(void **)&peer = dlsym(library, "ggml_quantize_chunk");
    if (!peer) {
        fprintf(stderr, "usage: compare-quant LIBGGML_BASE.so (%s)\n",
                argc == 2 ? dlerror() : "no library");
        return 2;
    }
    printf("error of ours over theirs, without and with importance:");
    for (int k = 0; k < KINDS; k++) printf(" %s%s", kinds[k], k + 1 < KINDS ? "," : "\n");
    static float x[N];
    float w[WIDTH];
    for (uint32_t type = DT_Q4_0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type) || type == DT_BF16) continue;
        double spent[2] = {0, 0};
        printf("%-8s", dtype_name(type));
        for (int kind = 0; kind < KINDS; kind++) {
            uint64_t seed = 99 + (uint64_t)kind;
            row_importance(w, WIDTH, &seed);
            fill(kind, x, &seed);
            compare(peer, type, x, NULL, spent);
            compare(peer, type, x, w, spent);
        }
        printf("  ns: theirs %.1f, ours %.1f\n", spent[0] * 1e9 / N / 2 / KINDS,
               spent[1] * 1e9 / N / 2 / KINDS);
    }
    return 0;
}
