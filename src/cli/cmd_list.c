/* `bantam list`: the models this machine already has, by the names that other commands take. */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/hatchling.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/places.h"

static json_t *rows(const FoundModels *found)
{
    json_t *list = json_array();
    if (hatchling_here())
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:I,s:n,s:i,s:b,s:s,s:s}", "name", HATCHLING_NAME, "path",
                            HATCHLING_PATH, "source", HATCHLING_SOURCE, "bytes",
                            (json_int_t)hatchling_bytes(), "modified", "parts", 1, "complete", 1,
                            "license", HATCHLING_LICENSE, "about", HATCHLING_ABOUT));
    for (size_t i = 0; i < found->count; i++) {
        const FoundModel *m = &found->list[i];
        json_array_append_new(
            list, json_pack("{s:o,s:o,s:s,s:I,s:I,s:i,s:b}", "name", json_text(m->name), "path",
                            json_text(m->path), "source", find_source_text(m->source), "bytes",
                            (json_int_t)m->bytes, "modified", (json_int_t)m->mtime, "parts",
                            m->n_parts, "complete", m->complete));
    }
    return list;
}

static void print_rows(const Cli *cli, const FoundModels *found)
{
    char bytes[32], day[32];
    int width = 20;
    for (size_t i = 0; i < found->count; i++) {
        int n = (int)strlen(found->list[i].name);
        if (n > width && n <= 48) width = n;
    }
    if (hatchling_here())
        printf("%-*s %10s  %-12s the assistant, %s\n", width, HATCHLING_NAME,
               bytes_text(hatchling_bytes(), bytes), HATCHLING_SOURCE, HATCHLING_LICENSE);
    for (size_t i = 0; i < found->count; i++) {
        const FoundModel *m = &found->list[i];
        time_t at = (time_t)m->mtime;
        struct tm tm;
        if (!localtime_r(&at, &tm) || !strftime(day, sizeof day, "%Y-%m-%d", &tm)) day[0] = '\0';
        printf("%-*s %10s  %-12s %s%s\n", width, m->name, bytes_text(m->bytes, bytes),
               find_source_text(m->source), day, m->complete ? "" : "  (parts are missing)");
        if (cli->verbose) printf("  %s\n", m->path);
    }
}

int cmd_list(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    FindPlaces places = places_here();
    FoundModels found = {0};
    char *folder = NULL;
    bt_error err = {0};
    int code = find_models(&places, &found, &err) == BT_OK ? CLI_GOOD : cli_fail("%s", err.text);
    if (code == CLI_GOOD) find_own_folder(&places, &folder, NULL);
    if (code == CLI_GOOD && opts_flag(&cli->opts, OPT_JSON)) {
        code = json_print(json_pack("{s:o,s:o,s:b}", "models", rows(&found), "folder",
                                    json_text(folder), "more", found.more));
    } else if (code == CLI_GOOD) {
        print_rows(cli, &found);
        if (!found.count && folder)
            cli_say(cli, "No %smodels here. Put GGUF files into %s, or name one by its path.",
                    hatchling_here() ? "other " : "", folder);
        if (found.more) cli_say(cli, "There may be more than these.");
    }
    mem_free(folder);
    find_close(&found);
    return code;
}
