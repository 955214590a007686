/* `bantam cache`: the folder of prepared weights, listed, checked, trimmed, emptied. Nothing in it
 * is precious: what is removed is made again when its model runs next. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"
#include "engine/sidecar.h"

typedef struct Cache {
    Cli *cli;
    char *dir;
    Sidecar *list;
    size_t n;
} Cache;

static int read_cache(Cache *c)
{
    bt_error err = {0};
    sidecar_list_free(c->list, c->n);
    c->list = NULL;
    c->n = 0;
    if (sidecar_list(c->dir, &c->list, &c->n, &err) == BT_OK) return CLI_GOOD;
    return cli_fail("%s", err.text);
}

static uint64_t bytes_of(const Cache *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n; i++) bytes += c->list[i].bytes;
    return bytes;
}

static bool json_wanted(const Cache *c)
{
    return opts_flag(&c->cli->opts, OPT_JSON);
}

static json_t *row_json(const Sidecar *s)
{
    return json_pack("{s:o,s:o,s:I,s:I}", "path", json_text(s->path), "model", json_text(s->source),
                     "bytes", (json_int_t)s->bytes, "last_used_s",
                     (json_int_t)(s->mtime_ns / 1000000000));
}

static int list(Cache *c)
{
    char bytes[32], day[32] = "";
    json_t *rows = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const Sidecar *s = &c->list[i];
        time_t used = (time_t)(s->mtime_ns / 1000000000);
        struct tm tm;
        if (localtime_r(&used, &tm)) strftime(day, sizeof day, "%Y-%m-%d %H:%M", &tm);
        json_array_append_new(rows, row_json(s));
        if (!json_wanted(c)) printf("%10s  %s  %s\n", bytes_text(s->bytes, bytes), day, s->source);
    }
    if (json_wanted(c))
        return json_print(json_pack("{s:o,s:I,s:o}", "folder", json_text(c->dir), "bytes",
                                    (json_int_t)bytes_of(c), "sidecars", rows));
    json_decref(rows);
    cli_say(c->cli, "%s: %zu prepared model%s, %s", c->dir, c->n, c->n == 1 ? "" : "s",
            bytes_text(bytes_of(c), bytes));
    return CLI_GOOD;
}

static int verify(Cache *c)
{
    size_t damaged = 0;
    json_t *rows = json_array();
    for (size_t i = 0; i < c->n; i++) {
        bt_error err = {0};
        const Sidecar *s = &c->list[i];
        bool good = sidecar_verify(s->path, &err) == BT_OK;
        damaged += !good;
        json_t *row = row_json(s);
        json_object_set_new(row, "good", json_boolean(good));
        json_array_append_new(rows, row);
        if (!good) cli_fail("%s; 'bantam cache clear' removes it", err.text);
        if (good && !json_wanted(c)) printf("good  %s\n", s->source);
    }
    int code = CLI_GOOD;
    if (json_wanted(c))
        code = json_print(json_pack("{s:o}", "sidecars", rows));
    else
        json_decref(rows);
    return damaged ? CLI_FAILED : code;
}

/* Down to `limit` bytes, the least recently used first. */
static int trim(Cache *c, uint64_t limit)
{
    bt_error err = {0};
    uint64_t removed = 0;
    char bytes[32], left[32];
    if (sidecar_trim(c->dir, limit, &removed, &err) != BT_OK) return cli_fail("%s", err.text);
    int code = read_cache(c);
    if (code != CLI_GOOD) return code;
    if (json_wanted(c))
        return json_print(json_pack("{s:I,s:I}", "removed", (json_int_t)removed, "bytes",
                                    (json_int_t)bytes_of(c)));
    printf("%s removed, %s left\n", bytes_text(removed, bytes), bytes_text(bytes_of(c), left));
    return CLI_GOOD;
}

static int limit(Cache *c)
{
    const Opts *o = &c->cli->opts;
    uint64_t most = o->value[OPT_CACHE_LIMIT].count;
    char bytes[32], used[32];
    if (o->n_args == 2) {
        if (!opts_size(o->args[1], &most))
            return cli_usage(c->cli, "'%s' is no size; write it as 800M, 2.5G or 20GB", o->args[1]);
        return trim(c, most);
    }
    if (json_wanted(c))
        return json_print(
            json_pack("{s:I,s:I}", "limit", (json_int_t)most, "bytes", (json_int_t)bytes_of(c)));
    printf("%s of %s used; 'cache-limit = SIZE' in the configuration file sets the limit\n",
           bytes_text(bytes_of(c), used), bytes_text(most, bytes));
    return CLI_GOOD;
}

int cmd_cache(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *action = o->n_args ? o->args[0] : "list";
    bool limiting = strcmp(action, "limit") == 0;
    Cache c = {.cli = cli};
    if (o->n_args > (limiting ? 2u : 1u)) return cli_usage(cli, "one thing at a time");
    if (!limiting && strcmp(action, "list") != 0 && strcmp(action, "verify") != 0 &&
        strcmp(action, "clear") != 0)
        return cli_usage(cli, "'%s' is none of list, verify, clear, limit", action);
    c.dir = cache_folder(cli);
    if (!c.dir) return cli_fail("there is no home folder; name one with --cache-dir");
    int code = read_cache(&c);
    if (code == CLI_GOOD)
        code = limiting                        ? limit(&c)
               : strcmp(action, "list") == 0   ? list(&c)
               : strcmp(action, "verify") == 0 ? verify(&c)
                                               : trim(&c, 0);
    sidecar_list_free(c.list, c.n);
    mem_free(c.dir);
    return code;
}
