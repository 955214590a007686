/* Lists of token ids: grown, parsed, checked, made from text and from messages (see run.h). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/run.h"

bool ids_add(Ids *list, const bt_token *ids, size_t n)
{
    if (n > list->capacity - list->n) {
        size_t capacity = list->capacity + n + list->capacity / 2 + 256;
        if (capacity > SIZE_MAX / sizeof *ids) return false;
        bt_token *grown = mem_realloc(list->ids, capacity * sizeof *ids);
        if (!grown) return false;
        list->ids = grown;
        list->capacity = capacity;
    }
    if (n) memcpy(list->ids + list->n, ids, n * sizeof *ids);
    list->n += n;
    return true;
}

void ids_close(Ids *list)
{
    mem_free(list->ids);
    *list = (Ids){0};
}

/* Room for `need` ids; what was there is forgotten. */
static bool room(Ids *out, size_t need)
{
    ids_close(out);
    if (need <= SIZE_MAX / sizeof *out->ids) out->ids = mem_alloc(need * sizeof *out->ids);
    if (!out->ids) {
        cli_fail("not enough memory for %zu tokens", need);
        return false;
    }
    out->capacity = need;
    return true;
}

unsigned text_flags(const Cli *cli, const bt_model_info *info)
{
    return (opts_flag(&cli->opts, OPT_TEXT_SPECIAL) ? 0 : BT_TOKENIZE_NO_SPECIAL) |
           (info->add_bos ? BT_TOKENIZE_ADD_BOS : 0);
}

bool ids_of_text(const CliModel *m, const char *text, size_t n, unsigned flags, Ids *out)
{
    /* Hardly a text has more tokens than bytes: one pass is enough then. */
    for (size_t capacity = n + 16;;) {
        bt_error err = {0};
        if (!room(out, capacity)) return false;
        int64_t need = bt_model_tokenize(m->model, text, n, flags, out->ids, out->capacity, &err);
        if (need < 0) return model_fail(m, &err) == CLI_GOOD;
        out->n = capacity = (size_t)need;
        if (capacity <= out->capacity) return true;
    }
}

bool ids_parse(const char *text, Ids *out)
{
    for (const char *p = text + strspn(text, " ,\t\n"); *p; p += strspn(p, " ,\t\n")) {
        char *end;
        long id = strtol(p, &end, 10);
        if (end == p || id < 0 || id > INT32_MAX || (*end && !strchr(" ,\t\n", *end))) {
            cli_fail("'%.20s' is no token id", p);
            return false;
        }
        bt_token token = (bt_token)id;
        if (!ids_add(out, &token, 1)) {
            cli_fail("not enough memory for the tokens");
            return false;
        }
        p = end;
    }
    return true;
}

bool ids_check(const CliModel *m, const Ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] < m->info.n_vocab) continue;
        cli_fail("token %d is outside the vocabulary: ids go from 0 to %d", ids->ids[i],
                 m->info.n_vocab - 1);
        return false;
    }
    return true;
}
