/* The chat template of `bantam run`: the one named or the model's own, with the tools and the will
 * to think that the command line gives, and messages made into ids by it (see run.h). */
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/prompt.h"
#include "cli/run.h"

#define MOST_FILE (16u << 20)

static bool is_name(const char *text)
{
    return strcmp(text, "chatml") == 0 || strcmp(text, "llama3") == 0 || strcmp(text, "plain") == 0;
}

static int read_small(const char *option, const char *path, Buf *out)
{
    int code = read_text(path, true, out);
    if (code != CLI_GOOD) return code;
    if (!out->size) return cli_fail("%s: %s is empty", option, path);
    if (out->size > MOST_FILE) return cli_fail("%s: %s is too large", option, path);
    return CLI_GOOD;
}

int run_read(Run *r)
{
    const Opts *o = &r->cli->opts;
    const char *template = opts_text(o, OPT_TEMPLATE), *tools = opts_text(o, OPT_TOOLS);
    int code = CLI_GOOD;
    if (opts_flag(o, OPT_RAW) && tools)
        return cli_usage(r->cli, "--tools needs a chat template: leave --raw out");
    if (template && !is_name(template)) code = read_small("--template", template, &r->jinja);
    if (code == CLI_GOOD && tools) code = read_small("--tools", tools, &r->tools);
    if (code != CLI_GOOD || !tools) return code;
    json_error_t at;
    json_t *array = json_loadb(r->tools.data, r->tools.size, 0, &at);
    if (!array)
        code = cli_fail("--tools: %s: no JSON: line %d, column %d: %s", tools, at.line, at.column,
                        at.text);
    else if (!json_is_array(array))
        code = cli_fail("--tools: %s: a JSON array of tool definitions is needed", tools);
    json_decref(array);
    return code;
}

/* "hide" is about what is shown. */
static bt_think think_of(const Run *r)
{
    const char *think = opts_text(&r->cli->opts, OPT_THINK);
    if (think && strcmp(think, "on") == 0) return BT_THINK_ON;
    return think && strcmp(think, "off") == 0 ? BT_THINK_OFF : BT_THINK_DEFAULT;
}

int run_open_chat(Run *r)
{
    const Opts *o = &r->cli->opts;
    const char *name = opts_text(o, OPT_TEMPLATE);
    bt_error err = {0};
    if (opts_flag(o, OPT_RAW)) return CLI_GOOD;
    const bt_chat_options options = {.name = name && is_name(name) ? name : NULL,
                                     .jinja = r->jinja.size ? r->jinja.data : NULL};
    if (bt_chat_open(r->m.model, &options, &r->chat, &err) != BT_OK) {
        if (!r->jinja.size) return model_fail(&r->m, &err);
        return cli_fail("--template %s: %s", name, err.text);
    }
    if (r->tools.size && !bt_chat_takes_tools(r->chat))
        cli_say(r->cli, "(this chat template has no tools: --tools changes nothing)");
    if (think_of(r) != BT_THINK_DEFAULT && !bt_chat_can_think(r->chat))
        cli_say(r->cli, "(this chat template has no switch for thinking: --think changes nothing)");
    return CLI_GOOD;
}

bool ids_of_messages(Run *r, const bt_message *messages, size_t n, Ids *out)
{
    bt_error err = {0};
    bt_token *ids;
    size_t n_ids;
    const bt_chat_request request = {.list = messages,
                                     .n_list = n,
                                     .tools = r->tools.size ? r->tools.data : NULL,
                                     .think = think_of(r),
                                     .generation = true};
    bt_free(r->prompt);
    bt_status status = bt_chat_apply(r->chat, &request, &ids, &n_ids, &r->prompt, &err);
    if (status != BT_OK) {
        model_fail(&r->m, &err);
        return false;
    }
    ids_close(out);
    bool good = ids_add(out, ids, n_ids);
    bt_free(ids);
    if (!good) cli_fail("not enough memory for %zu tokens", n_ids);
    return good;
}
