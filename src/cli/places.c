/* Which file a model's name means (see places.h and model_find in model.h). Without a name `run`
 * takes the assistant in the program, whatever else is here: it answers at once, and its first line
 * says how to name another. Other commands look at models, and take the only one there is. */
#include "cli/places.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/hatchling.h"
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

size_t places_count(void)
{
    FindPlaces places = places_here();
    FoundModels found = {0};
    size_t n = 0;
    if (find_models(&places, &found, NULL) == BT_OK)
        for (size_t i = 0; i < found.count; i++) n += found.list[i].complete;
    find_close(&found);
    return n;
}

static int take(const char *found, char **path)
{
    *path = mem_strdup(found);
    return *path ? CLI_GOOD : cli_fail("not enough memory");
}

/* Nobody named a model: the one in the program to talk to, else the only one there is. */
static int unnamed(Cli *cli, char **path)
{
    FindPlaces places = places_here();
    FoundModels found = {0};
    bt_error err = {0};
    const FoundModel *only = NULL;
    size_t n = 0;
    if (hatchling_here() && (cli->command->scopes & S_RUN)) return take(HATCHLING_PATH, path);
    if (find_models(&places, &found, &err) != BT_OK) {
        find_close(&found);
        return cli_fail("%s", err.text);
    }
    for (size_t i = 0; i < found.count; i++) {
        if (!found.list[i].complete) continue;
        only = &found.list[i];
        n++;
    }
    int code;
    if (n > 1)
        code = cli_usage(cli,
                         "which model? 'bantam list' shows %zu; name one as the first "
                         "argument or with -m",
                         n);
    else if (n == 1)
        code = take(only->path, path);
    else if (hatchling_here() && !(cli->command->scopes & S_EMBED))
        code = take(HATCHLING_PATH, path);
    else
        code = cli_usage(cli,
                         "which model? None was found on this machine%s; give a GGUF file as "
                         "the first argument or with -m",
                         hatchling_here() ? "" : ", and there is no model in this program");
    find_close(&found);
    return code;
}

/* The name of the built-in model means it always; a file of that name is ./hatchling. */
static int named(const char *name, char **path)
{
    FindPlaces places = places_here();
    bt_error err = {0};
    if (hatchling_is_name(name) && hatchling_here()) return take(HATCHLING_PATH, path);
    if (find_resolve(&places, name, path, &err) == BT_OK) return CLI_GOOD;
    if (hatchling_is_name(name))
        return cli_fail("there is no model in this program: it was built without (from a source "
                        "tree without models.d/hatchling/hatchling.gguf, without SQLite, or with "
                        "-Dhatchling=false); give a GGUF file");
    bool sentence = strchr(name, ' ') && !strchr(name, '/');
    return cli_fail("%s%s", err.text, sentence ? " (a prompt is given with -p)" : "");
}

int model_find(Cli *cli, char **path)
{
    const char *name = opts_text(&cli->opts, OPT_MODEL);
    return name ? named(name, path) : unnamed(cli, path);
}

char *model_named(const char *name)
{
    char *path = NULL;
    return named(name, &path) == CLI_GOOD ? path : NULL;
}
