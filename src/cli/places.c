/* Which file a model's name means (see places.h and model_find in model.h). */
#include "cli/places.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/model.h"

FindPlaces places_here(void)
{
    return (FindPlaces){
        .home = getenv("HOME"),
        .xdg_data_home = getenv("XDG_DATA_HOME"),
        .xdg_cache_home = getenv("XDG_CACHE_HOME"),
        .ollama_models = getenv("OLLAMA_MODELS"),
        .ollama_system = "/usr/share/ollama/.ollama/models",
        .hf_hub_cache = getenv("HF_HUB_CACHE"),
        .hf_home = getenv("HF_HOME"),
    };
}

/* Nobody named a model: the only one there is. */
static int the_only_one(Cli *cli, char **path)
{
    FindPlaces places = places_here();
    FoundModels found = {0};
    bt_error err = {0};
    const FoundModel *only = NULL;
    size_t n = 0;
    if (find_models(&places, &found, &err) != BT_OK) {
        find_close(&found);
        return cli_fail("%s", err.text);
    }
    for (size_t i = 0; i < found.count; i++) {
        if (!found.list[i].complete) continue;
        only = &found.list[i];
        n++;
    }
    int code = CLI_GOOD;
    if (n == 0)
        code = cli_usage(cli, "which model? None was found on this machine; give a GGUF file as "
                              "the first argument or with -m");
    else if (n > 1)
        code = cli_usage(cli,
                         "which model? 'bantam list' shows %zu; name one as the first "
                         "argument or with -m",
                         n);
    else if (!(*path = mem_strdup(only->path)))
        code = cli_fail("not enough memory");
    find_close(&found);
    return code;
}

int model_find(Cli *cli, char **path)
{
    const char *name = opts_text(&cli->opts, OPT_MODEL);
    FindPlaces places = places_here();
    bt_error err = {0};
    if (!name) return the_only_one(cli, path);
    return find_resolve(&places, name, path, &err) == BT_OK ? CLI_GOOD : cli_fail("%s", err.text);
}

char *model_named(const char *name)
{
    FindPlaces places = places_here();
    bt_error err = {0};
    char *path = NULL;
    if (find_resolve(&places, name, &path, &err) != BT_OK) cli_fail("%s", err.text);
    return path;
}
