/* The families that are converted, a row each (families.def), found by config.json's model_type. */
#include <stdio.h>

#include "convert/rules.h"

static const Family families[] = {
#define FAMILY(models, arch, tensors, keys, activations, setup, pre)                               \
    {models, arch, tensors, keys, activations, setup, pre},
#include "convert/families.def"
#undef FAMILY
};

const Family *family_find(Span model)
{
    char wanted[100];
    if (!model.size || model.size > 90 || memchr(model.data, ' ', model.size)) return NULL;
    snprintf(wanted, sizeof wanted, " %.*s ", (int)model.size, model.data);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strstr(families[i].models, wanted)) return &families[i];
    return NULL;
}

const Family *family_of_arch(Span arch, size_t i)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        if (span_is(arch, families[f].arch) && i-- == 0) return &families[f];
    return NULL;
}
