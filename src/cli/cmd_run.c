/* `bantam run`: one answer on standard output, or a chat (chat.c). What it needs besides the model
 * is read or opened first; then the rights are given up; then the model is read. */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/hatchling.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/line_input.h"
#include "cli/places.h"
#include "cli/prompt.h"
#include "cli/run.h"
#include "cli/sampling.h"

/* Who came without naming a model wants to know who answers, and how to get another. */
static void describe_hatchling(const Run *r, const char *box)
{
    char others[64] = "FILE.gguf";
    if (r->n_others > 0)
        snprintf(others, sizeof others, "NAME ('bantam list' shows %d)", r->n_others);
    cli_say(r->cli,
            "%s, the small assistant in Bantam (sandbox: %s). A larger model: bantam run %s",
            HATCHLING_NAME, box, others);
}

void run_describe(const Run *r)
{
    char box[64] = "off", why[96] = "", state[32];
    const bt_model_info *info = &r->m.info;
    int32_t context = bt_session_context(r->session), trained = info->n_ctx_train;
    bt_memory_plan plan = {0};
    int32_t n_ctx = context;
    bt_kv_type kv = session_options(r->cli).kv;
    if (bt_model_plan(r->m.model, &n_ctx, 1, bt_session_batch(r->session), kv, &plan, NULL) ==
        BT_OK)
        snprintf(why, sizeof why, ", %s", bytes_text(plan.total, state));
    if (r->m.boxed) sandbox_text(&r->m.box, box, sizeof box);
    if (hatchling_is_path(r->m.path) && !r->cli->verbose) {
        describe_hatchling(r, box);
        return;
    }
    const char *reason = context > trained                  ? "more than the model was trained for"
                         : opts_int(&r->cli->opts, OPT_CTX) ? "as asked"
                         : context == trained               ? "all the model was trained for"
                                                            : "what memory here allows";
    cli_say(r->cli, "%s (%s, %s): context %d of %d, %s%s; %d thread%s; sandbox: %s",
            info->name && *info->name ? info->name : r->m.path, info->architecture,
            info->type_summary, context, trained, reason, why, r->m.n_threads,
            r->m.n_threads == 1 ? "" : "s", box);
}

/* ---- one answer ---- */

/* With --raw everything is text. */
static bool show_piece(void *user, const char *piece, size_t n)
{
    const bt_answer_event event = {.index = -1, .text = piece, .length = n};
    return view_event(user, &event);
}

static bt_answer_options answer_options(const Run *r)
{
    return (bt_answer_options){.prompt = r->prompt,
                               .jinja = r->jinja.size ? r->jinja.data : NULL,
                               .tools = r->bound.size   ? r->bound.data
                                        : r->tools.size ? r->tools.data
                                                        : NULL,
                               .whole_calls = true};
}

bool run_answer(Run *r, const bt_message *messages, size_t n)
{
    bt_error err = {0};
    if (opts_flag(&r->cli->opts, OPT_RAW)) return true;
    if (r->assistant) {
        r->talk.grammar = NULL; /* that of the turn before */
        bt_grammar_close(&r->calls);
        if (!assistant_bind(messages, n, &r->bound)) return false;
    }
    r->answer = answer_options(r);
    r->talk.answer = &r->answer;
    if (!r->answer.tools || r->talk.grammar) return true;
    if (bt_answer_grammar(r->m.model, &r->answer, false, &r->calls, &err) != BT_OK) {
        cli_fail("--tools: %s", err.text);
        return false;
    }
    r->talk.grammar = r->calls;
    return true;
}

static bool echo_prompt(Run *r, const Ids *ids, AnswerView *a)
{
    char piece[512];
    for (size_t i = 0; i < ids->n; i++) {
        int64_t n = bt_model_token_text(r->m.model, ids->ids[i], false, piece, sizeof piece);
        if (n < 0) continue;
        if (!show_piece(a, piece, (size_t)n < sizeof piece ? (size_t)n : sizeof piece))
            return false;
    }
    return true;
}

static double per_second(size_t n, double seconds)
{
    return n && seconds > 0 ? (double)n / seconds : 0;
}

static int print_object(const Run *r, const AnswerView *a, TalkEnd end)
{
    const Talk *t = &r->talk;
    size_t steps = t->n_answer > 1 ? t->n_answer - 1 : 0, read = t->n_prompt - t->n_cached;
    json_t *usage = json_pack("{s:I,s:I,s:I,s:I}", "prompt_tokens", (json_int_t)t->n_prompt,
                              "completion_tokens", (json_int_t)t->n_answer, "total_tokens",
                              (json_int_t)(t->n_prompt + t->n_answer), "cached_tokens",
                              (json_int_t)t->n_cached);
    json_t *timings = json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "load_s", r->m.load_s, "prompt_s",
                                t->prompt_s, "prompt_per_s", per_second(read, t->prompt_s),
                                "decode_s", t->decode_s, "decode_per_s",
                                per_second(steps, t->decode_s), "first_token_s", t->first_token_s);
    bool calls = end == END_STOP && json_array_size(a->calls);
    return json_print(json_pack(
        "{s:o,s:o,s:O,s:s,s:o,s:o,s:I,s:o}", "text", json_bytes(a->text.data, a->text.size),
        "reasoning", json_bytes(a->reasoning.data, a->reasoning.size), "tool_calls", a->calls,
        "finish_reason", calls ? "tool_calls" : talk_end_name(end), "usage", usage, "timings",
        timings, "seed", (json_int_t)t->seed, "model", json_text(r->m.path)));
}

/* The assistant's calls are carried out; what it then says is the answer. False after a message. */
static bool carry_out(Run *r, const char *heard, AnswerView *a, bool json)
{
    size_t n = json_array_size(a->calls);
    const char **outcomes = mem_zalloc(n + 1, sizeof *outcomes);
    Buf answers = {0};
    bool good = outcomes && assistant_answer(r->assistant, heard, a->calls, &answers, outcomes);
    if (!outcomes || answers.failed)
        good = cli_fail("not enough memory for the answer") == CLI_GOOD;
    if (n) { /* it says nothing beside its calls */
        buf_clear(&a->text);
        buf_add(&a->text, answers.data, answers.size);
    }
    if (!json && a->text.size) fwrite(a->text.data, 1, a->text.size, stdout);
    if (!json && a->text.size && !n) putchar('\n');
    buf_close(&answers);
    mem_free(outcomes);
    return good && !a->text.failed;
}

static int end_code(const Run *r, TalkEnd end)
{
    switch (end) {
    case END_STOP:
    case END_LENGTH: return CLI_GOOD;
    case END_CONTEXT:
        cli_say(r->cli,
                "bantam: the context of %d tokens is full; --ctx makes it larger, "
                "--context-shift forgets the beginning",
                bt_session_context(r->session));
        return CLI_GOOD;
    case END_STOPPED: return cli_fail("stopped");
    case END_CLOSED:
    case END_FAILED: break;
    }
    return CLI_FAILED;
}

static bool prompt_ids(Run *r, const Buf *text, Ids *out)
{
    if (opts_flag(&r->cli->opts, OPT_RAW)) {
        unsigned flags = r->m.info.add_bos ? BT_TOKENIZE_ADD_BOS : 0;
        return ids_of_text(&r->m, text->data, text->size, flags, out);
    }
    const char *system = opts_text(&r->cli->opts, OPT_SYSTEM);
    const bt_message messages[] = {{"system", system}, {"user", text->data}};
    return ids_of_messages(r, messages + !system, system ? 2 : 1, out);
}

static bool store(const Run *r, const Buf *text, const AnswerView *a)
{
    const char *system = opts_text(&r->cli->opts, OPT_SYSTEM);
    const bt_message messages[] = {
        {"system", system}, {"user", text->data}, {"assistant", a->text.data ? a->text.data : ""}};
    return save_update(r->save, messages + !system, system ? 3 : 2);
}

static int answer_once(Run *r, Buf *text)
{
    bool json = opts_flag(&r->cli->opts, OPT_JSON);
    AnswerView a = {0};
    Ids ids = {0};
    int code = CLI_FAILED;
    view_begin(&a, r->cli, json || r->assistant);
    a.carried = r->assistant != NULL;
    r->talk.show = show_piece;
    r->talk.event = view_event;
    r->talk.user = &a;
    if (!prompt_ids(r, text, &ids)) goto done;
    if (opts_flag(&r->cli->opts, OPT_RAW) && !echo_prompt(r, &ids, &a)) goto done;
    if (!run_answer(r, &(bt_message){"user", text->data}, 1)) goto done;
    TalkEnd end = talk_answer(&r->talk, ids.ids, ids.n);
    bool carried = true;
    if (r->assistant && end == END_STOP) carried = carry_out(r, text->data, &a, json);
    bool lost = r->assistant && carried &&
                (end == END_LENGTH || end == END_CONTEXT || (end == END_STOP && !a.text.size));
    if (lost) end = END_LENGTH;
    if (json && end != END_FAILED) {
        code = print_object(r, &a, end);
        if (code == CLI_GOOD) code = end_code(r, end);
    } else {
        if (end != END_CLOSED) view_end(&a, false);
        code = end_code(r, end);
    }
    if (!carried) code = CLI_FAILED;
    if (lost)
        code = assistant_lost();
    else if (!r->talk.complete && (end == END_STOP || end == END_LENGTH || end == END_CONTEXT))
        cli_say(r->cli, "bantam: the answer ended before it was whole by %s%s",
                r->constraint.name ? r->constraint.name : "--tools",
                end == END_LENGTH ? "; --max-tokens is too small for it" : "");
    if (end != END_FAILED && !store(r, text, &a)) code = CLI_FAILED;
done:
    r->talk.user = NULL; /* it is gone with this frame */
    view_close(&a);
    ids_close(&ids);
    return code;
}

/* ---- the command ---- */

/* A conversation is rendered to see how its prompts end. */
static int hold_answers(Run *r)
{
    const bt_message message = {.role = "user", .content = "?"};
    Ids ids = {0};
    bool raw = opts_flag(&r->cli->opts, OPT_RAW);
    if (!r->constraint.name) return CLI_GOOD;
    bool good = raw || ids_of_messages(r, &message, 1, &ids);
    ids_close(&ids);
    if (!good) return CLI_FAILED;
    const bt_answer_options options = answer_options(r);
    return constraint_open(&r->m, raw ? NULL : &options, &r->constraint);
}

/* What the file says of itself decides; --raw makes it a model like any other, and so does a person
 * who brings tools or a form of their own. */
static int open_assistant(Run *r)
{
    const Opts *o = &r->cli->opts;
    if (!assistant_is(r->m.model) || opts_flag(o, OPT_RAW) || r->tools.size || r->constraint.name)
        return CLI_GOOD;
    int code = assistant_open(r->cli, r->folder, r->n_others, &r->assistant);
    if (code == CLI_GOOD && o->value[OPT_TEMP].source == FROM_DEFAULT)
        r->talk.sampling.greedy = true;
    if (code == CLI_GOOD && o->value[OPT_MAX_TOKENS].source == FROM_DEFAULT)
        r->answer_tokens = ASSISTANT_TOKENS;
    if (code == CLI_GOOD && opts_text(o, OPT_SYSTEM))
        cli_say(r->cli, "(the assistant takes no system message: --system changes nothing)");
    return code;
}

static int open_all(Run *r, bt_logit_bias **bias)
{
    Cli *cli = r->cli;
    bool open = opts_flag(&cli->opts, OPT_NO_SANDBOX);
    const ModelWish wish = {.writes = {r->folder}, .box = open ? BOX_REFUSED : BOX_NEEDED};
    int code = sampling_read(cli, &r->talk.sampling, bias);
    if (code == CLI_GOOD) code = model_open(cli, &wish, &r->m);
    if (code != CLI_GOOD) return code;
    code = run_open_chat(r);
    if (code == CLI_GOOD) code = open_assistant(r);
    if (code == CLI_GOOD) code = hold_answers(r);
    if (code != CLI_GOOD) return code;
    bt_session_options options = session_options_lean(cli);
    code = session_open(&r->m, &options, &r->session);
    if (code != CLI_GOOD) return code;
    r->talk.cli = cli;
    r->talk.m = &r->m;
    r->talk.session = r->session;
    r->talk.grammar = r->constraint.grammar;
    r->talk.max_tokens = r->answer_tokens ? r->answer_tokens : opts_int(&cli->opts, OPT_MAX_TOKENS);
    r->talk.context_shift = opts_flag(&cli->opts, OPT_CONTEXT_SHIFT);
    r->talk.keep = r->m.info.add_bos ? 1 : 0;
    run_describe(r);
    return CLI_GOOD;
}

/* The prompt as the assistant is to see it. */
static int hear(Run *r, Buf *text)
{
    Buf heard = {0};
    bool good = assistant_hears(text->data, &heard);
    buf_close(text);
    *text = heard;
    if (!good) return CLI_FAILED;
    if (heard.failed) return cli_fail("not enough memory for the prompt");
    return heard.size ? CLI_GOOD : cli_usage(r->cli, "there is nothing to read in that prompt");
}

static bool is_hatchling(const Opts *o)
{
    const char *name = opts_text(o, OPT_MODEL);
    return hatchling_here() && (!name || hatchling_is_name(name));
}

int cmd_run(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args) return cli_usage(cli, "'%s' is too much; a prompt is given with -p", o->args[0]);
    Run r = {.cli = cli, .n_others = -1};
    Buf text = {0};
    bt_logit_bias *bias = NULL;
    LineInput *input = NULL;
    bool talks = !opts_text(o, OPT_PROMPT) && !o->value[OPT_FILES].n && isatty(STDIN_FILENO);
    const char *save = opts_text(o, OPT_SAVE);
    int code = CLI_GOOD;

    if (talks && opts_flag(o, OPT_JSON)) return cli_usage(cli, "--json needs a prompt (-p)");
    if (!talks) code = prompt_join(cli, &text);
    if (code == CLI_GOOD && !talks && text.size == 0)
        code = cli_usage(cli, "there is no prompt: give -p TEXT, --file FILE or standard input");
    if (code == CLI_GOOD) code = run_read(&r);
    if (code == CLI_GOOD && (save || talks) && !(r.save = save_open(save, talks)))
        code = CLI_FAILED;
    if (code == CLI_GOOD && talks && !(input = line_open()))
        code = cli_fail("the terminal cannot be opened");
    if (code == CLI_GOOD) code = constraint_read(cli, &r.constraint);
    if (code == CLI_GOOD && !opts_flag(o, OPT_RAW)) r.folder = assistant_folder();
    if (code == CLI_GOOD && is_hatchling(o)) r.n_others = (int)places_count();
    if (code == CLI_GOOD) code = open_all(&r, &bias);
    if (code == CLI_GOOD && r.assistant) {
        assistant_due(r.assistant, talks);
        if (!talks) code = hear(&r, &text);
    }
    if (code == CLI_GOOD) code = talks ? chat(&r, input) : answer_once(&r, &text);

    assistant_close(&r.assistant);
    mem_free(r.folder);
    talk_close(&r.talk);
    bt_chat_close(&r.chat);
    bt_free(r.prompt);
    constraint_close(&r.constraint);
    bt_grammar_close(&r.calls);
    bt_session_close(&r.session);
    model_close(&r.m);
    save_close(&r.save);
    line_close(&input);
    mem_free(bias);
    buf_close(&text);
    buf_close(&r.tools);
    buf_close(&r.bound);
    buf_close(&r.jinja);
    return code;
}
