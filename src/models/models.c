/* The table of architectures (see model.h). */
#include "models/model.h"

#define X(name, object, family, features, state, template, verified) extern const Arch object;
#include "models/models.def"
#undef X

static const Arch *const all[] = {
#define X(name, object, family, features, state, template, verified) &object,
#include "models/models.def"
#undef X
};

const Arch *arch_find(Span name)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (span_is(name, all[i]->name)) return all[i];
    return NULL;
}

const char *arch_list(void)
{
    static const char list[] =
#define X(name, object, family, features, state, template, verified) ", " name
#include "models/models.def"
#undef X
        ;
    return &list[2]; /* without the first comma */
}
