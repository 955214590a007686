/* --adapter FILE[:SCALE] (see adapters.h). */
#include "cli/adapters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/status.h"

/* A name that is there as it stands is a name, whatever follows its last colon. */
bool adapter_split(const char *text, char **path, float *scale)
{
    struct stat at;
    const char *colon = strrchr(text, ':');
    *scale = 1;
    if (!colon || colon == text || stat(text, &at) == 0) {
        *path = mem_strdup(text);
        return true;
    }
    char *end;
    double value = strtod(colon + 1, &end);
    *path = mem_strndup(text, (size_t)(colon - text));
    if (end == colon + 1 || *end || !isfinite(value) || fabs(value) > 1e6) return false;
    *scale = (float)value;
    return true;
}

int adapters_read(Cli *cli, CliAdapters *a)
{
    const OptValue *list = &cli->opts.value[OPT_ADAPTER];
    *a = (CliAdapters){0};
    if (!command_has(cli->command, OPT_ADAPTER) || !list->n) return CLI_GOOD;
    a->paths = mem_zalloc(list->n, sizeof *a->paths);
    a->uses = mem_zalloc(list->n, sizeof *a->uses);
    if (!a->paths || !a->uses) return cli_fail("not enough memory");
    for (size_t i = 0; i < list->n; i++) {
        bool good = adapter_split(list->list[i], &a->paths[i], &a->uses[i].scale);
        a->n = i + 1;
        if (!a->paths[i]) return cli_fail("not enough memory");
        if (!good)
            return cli_usage(cli, "--adapter %s: behind the colon stands no scale (as in %s:0.5)",
                             list->list[i], a->paths[i]);
    }
    return CLI_GOOD;
}

int adapters_open(Cli *cli, CliAdapters *a, bt_model *model)
{
    const bt_adapter_options options = {.any_base = opts_flag(&cli->opts, OPT_ANY_BASE)};
    bt_error err = {0};
    for (size_t i = 0; i < a->n; i++)
        if (bt_adapter_open(model, a->paths[i], &options, &a->uses[i].adapter, &err) != BT_OK)
            return cli_fail("%s", err.text);
    return CLI_GOOD;
}

bt_adapter_use *adapters_on(const CliAdapters *a, size_t *n)
{
    bt_adapter_use *on = mem_alloc((a->n + 1) * sizeof *on);
    *n = 0;
    for (size_t i = 0; i < a->n && on; i++)
        if (a->uses[i].scale != 0) on[(*n)++] = a->uses[i];
    return on;
}

bt_status adapters_attach(const CliAdapters *a, bt_session *session, bt_error *err)
{
    size_t n;
    bt_adapter_use *on = adapters_on(a, &n);
    if (!on) return bt_fail_memory(err, "adapters", a->n * sizeof *on);
    bt_status status = bt_session_adapt(session, -1, on, n, err);
    mem_free(on);
    return status;
}

void adapters_close(CliAdapters *a)
{
    for (size_t i = 0; i < a->n; i++) {
        bt_adapter_close(&a->uses[i].adapter);
        mem_free(a->paths[i]);
    }
    mem_free(a->paths);
    mem_free(a->uses);
    *a = (CliAdapters){0};
}
