/* Chooses the kernels for a set of CPU features (see kernels.h, parts.h). */
#include "kernels/kernels.h"

#include <pthread.h>

#include "base/cpu.h"
#include "kernels/parts.h"

#define LAY(fn, needs, label)                                                                      \
    if (((needs)&features) == (uint32_t)(needs)) {                                                 \
        fn(table);                                                                                 \
        if ((label)[0]) table->name = label;                                                       \
    }

static void fill(Kernels *table, uint32_t features)
{
    (void)features;
    *table = (Kernels){.name = "ref"};
    KERNEL_PARTS_ANY(LAY)
#if defined(__x86_64__)
    KERNEL_PARTS_X86(LAY)
#elif defined(__aarch64__)
    KERNEL_PARTS_ARM(LAY)
#endif
}

/* A set of features asked for once keeps its table; the program asks for one set, the checker for
 * some dozens. Should the places run out, the answer is the first: plain C, right everywhere. */
#define MOST_TABLES 64

static struct {
    uint32_t features;
    Kernels table;
} tables[MOST_TABLES];
static int n_tables;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const Kernels *kernels_select(uint32_t features)
{
    int i = 0;
    pthread_mutex_lock(&lock);
    if (n_tables == 0) fill(&tables[n_tables++].table, 0);
    while (i < n_tables && tables[i].features != features) i++;
    if (i == MOST_TABLES) i = 0;
    if (i == n_tables) {
        tables[n_tables].features = features;
        fill(&tables[n_tables++].table, features);
    }
    pthread_mutex_unlock(&lock);
    return &tables[i].table;
}
