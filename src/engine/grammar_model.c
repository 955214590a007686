/* bt_grammar_open: a model's vocabulary for its grammars, and the thread that makes their sets of
 * tokens ahead, both made for the first of them. */
#include <stdatomic.h>

#include "engine/grammar.h"
#include "engine/model.h"

/* Two threads may both make the set; the one that comes second throws its own away. */
static bt_status tokens_of(bt_model *model, const TokenSet **out, bt_error *err)
{
    TokenSet *made, *known = atomic_load(&model->tokens);
    bt_status status = BT_OK;
    if (!known) {
        status = token_set_open(model_tokenizer(model), &made, err);
        if (status != BT_OK) return status;
        if (atomic_compare_exchange_strong(&model->tokens, &known, made))
            known = made;
        else
            token_set_close(&made);
    }
    *out = known;
    return BT_OK;
}

/* NULL: none is to be had. */
static Aside *aside_of(bt_model *model)
{
    Aside *made, *known = atomic_load(&model->aside);
    if (known || !(made = aside_open())) return known;
    if (atomic_compare_exchange_strong(&model->aside, &known, made)) return made;
    aside_close(&made);
    return known;
}

bt_status grammar_of_model(bt_model *model, Grammar **g, bt_grammar **out, bt_error *err)
{
    const TokenSet *set;
    *out = NULL;
    bt_status status = tokens_of(model, &set, err);
    if (status != BT_OK) {
        grammar_close(g);
        return status;
    }
    status = grammar_of(g, set, out, err);
    if (status == BT_OK) grammar_use_aside(*out, aside_of(model));
    return status;
}

bt_status bt_grammar_open(bt_model *model, bt_grammar_kind kind, const char *text, size_t length,
                          const bt_grammar_options *options, bt_grammar **out, bt_error *err)
{
    Grammar *automaton;
    *out = NULL;
    bt_status status = grammar_compile(kind, (Span){text, length}, options, &automaton, err);
    return status == BT_OK ? grammar_of_model(model, &automaton, out, err) : status;
}
