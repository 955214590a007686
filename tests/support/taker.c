/* Texts held against a schema (see taker.h). */
#include "support/taker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/schema.h"

Grammar *taker_compile(Span schema, bt_error *err)
{
    GrammarBuilder b = {0};
    Grammar *g = NULL;
    uint32_t root;
    *err = (bt_error){0};
    err->status = schema_build(&b, schema, NULL, &root, err);
    if (err->status == BT_OK) err->status = grammar_finish(&b, root, &g, err);
    builder_close(&b);
    return g;
}

Taker taker_open(Span schema)
{
    bt_error err;
    Taker t = {taker_compile(schema, &err), NULL};
    if (!t.g) fail_msg("%.*s: %s", (int)schema.size, schema.data, err.text);
    assert_int_equal(run_open(t.g, &t.run, &err), BT_OK);
    return t;
}

void taker_close(Taker *t)
{
    run_close(&t->run);
    grammar_close(&t->g);
}

bool takes(Taker *t, Span text)
{
    RunState state = {0};
    run_state_open(t->run, &state);
    uint32_t config = state.config;
    for (size_t i = 0; i < text.size && config != RUN_DEAD; i++)
        config = run_step(t->run, config, (unsigned char)text.data[i]);
    run_state_close(&state);
    return config != RUN_DEAD && run_ends(t->run, config);
}
