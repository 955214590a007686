/* Chooses the kernels for a set of CPU features (see kernels.h, parts.h). */
#include "kernels/kernels.h"

#include <string.h>

#include "base/cpu.h"
#include "kernels/parts.h"

#define LAY(fn, needs, label)                                                                      \
    if (((needs) & features) == (uint32_t)(needs)) {                                               \
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

const Kernels *kernels_select(uint32_t features)
{
    /* One slot a feature set ever asked for; the program asks for one, the checker for a dozen. */
    static struct {
        uint32_t features;
        Kernels table;
    } slots[64];
    static int n_slots;
    for (int i = 0; i < n_slots; i++)
        if (slots[i].features == features) return &slots[i].table;
    if (n_slots == 64) return &slots[0].table;
    slots[n_slots].features = features;
    fill(&slots[n_slots].table, features);
    return &slots[n_slots++].table;
}
