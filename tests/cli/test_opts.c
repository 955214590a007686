/* The parser: precedence, ranges, suggestions, configuration files; and the tables themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/opts.h"
#include "support/torture.h"

/* A command with everything but what names an option a second time, so that no test depends on
 * which commands exist. */
static const Command every = {
    "every",   ~(S_QUANTIZE | S_IMATRIX | S_TRAIN | S_ADAPT | S_DISTILL | S_COURSE | S_SERVE),
    "[MODEL]", "",
    "",        "",
    NULL};
static const Command plain = {"man", S_ANY, "", "", "", "", NULL};

static const char *env_name, *env_value;

static const char *fake_env(const char *name)
{
    return env_name && strcmp(name, env_name) == 0 ? env_value : NULL;
}

#define LINE(o, command, ...)                                                                      \
    opts_line(o, command, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),                 \
              (char *[]){__VA_ARGS__})

static void line_wins_over_env_over_config_over_default(void **state)
{
    (void)state;
    for (int given = 0; given < 4; given++) {
        Opts o;
        char config[] = "temp = 0.1\n";
        assert_true(given == 3 ? LINE(&o, &every, "--temp", "0.3") : LINE(&o, &every, "-q"));
        env_name = given >= 2 ? "BANTAM_TEMP" : NULL;
        env_value = "0.2";
        assert_true(opts_env(&o, fake_env));
        if (given >= 1) assert_true(opts_config(&o, "file", config));
        assert_true(opts_defaults(&o));
        const double want[] = {0.8, 0.1, 0.2, 0.3};
        assert_true(opts_real(&o, OPT_TEMP) == want[given]);
        assert_int_equal(o.value[OPT_TEMP].source, FROM_DEFAULT + given);
        opts_close(&o);
    }
    env_name = NULL;
}

static void forms_of_an_option(void **state)
{
    (void)state;
    Opts o;
    assert_true(LINE(&o, &every, "m.gguf", "--ctx=12", "-t3", "-qv", "--top-k", "-1", "--json=no",
                     "--file", "a", "-fb", "--", "-x"));
    assert_string_equal(opts_text(&o, OPT_MODEL), "m.gguf");
    assert_int_equal(opts_int(&o, OPT_CTX), 12);
    assert_int_equal(opts_int(&o, OPT_THREADS), 3);
    assert_true(opts_flag(&o, OPT_QUIET) && opts_flag(&o, OPT_VERBOSE));
    assert_int_equal(opts_int(&o, OPT_TOP_K), -1);
    assert_false(opts_flag(&o, OPT_JSON));
    assert_int_equal(o.value[OPT_FILES].n, 2);
    assert_string_equal(o.value[OPT_FILES].list[1], "b");
    assert_int_equal(o.n_args, 1);
    assert_string_equal(o.args[0], "-x");
    opts_close(&o);

    assert_true(LINE(&o, &every, "-m", "m.gguf", "1", "2"));
    assert_string_equal(opts_text(&o, OPT_MODEL), "m.gguf");
    assert_int_equal(o.n_args, 2);
    opts_close(&o);

    assert_true(LINE(&o, &every, "-")); /* a lone dash is an argument */
    assert_string_equal(opts_text(&o, OPT_MODEL), "-");
    opts_close(&o);
}

static void refuses(const char *want, int argc, char **argv)
{
    Opts o;
    assert_false(opts_line(&o, &every, argc, argv));
    if (!strstr(o.error, want)) fail_msg("'%s' lacks '%s'", o.error, want);
    opts_close(&o);
}
#define REFUSES(want, ...)                                                                         \
    refuses(want, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

static void refusals_say_why(void **state)
{
    (void)state;
    REFUSES("did you mean --temp", "--tmep", "1");
    REFUSES("did you mean --temp", "--temperature", "1");
    REFUSES("did you mean --top-p", "--topp=1");
    REFUSES("unknown option --wxyzwxyz", "--wxyzwxyz");
    REFUSES("unknown option -Z", "-Z");
    REFUSES("unknown option -Z", "-qZ");
    REFUSES("--ctx needs a value", "--ctx");
    REFUSES("-c needs a value", "-c");
    REFUSES("outside 0 to 100000000", "--ctx", "-1");
    REFUSES("outside", "--ctx", "99999999999999999999");
    REFUSES("no whole number", "--ctx", "12x");
    REFUSES("no whole number", "--ctx", "");
    REFUSES("outside 0 to 1", "--top-p", "1.5");
    REFUSES("no number", "--top-p", "nan");
    REFUSES("no number", "--temp", "inf");
    REFUSES("none of f32|bf16|f16|q8_0|q4_0", "--type-kv", "f3");
    REFUSES("none of", "--type-kv", "");
    REFUSES("none of", "--type-kv", "f32|bf16");
    REFUSES("no size", "--memory", "6Q");
    REFUSES("no size", "--memory", "99999999999G");
    REFUSES("no size", "--memory", "2.5"); /* half a byte */
    REFUSES("no size", "--memory", "2.G");
    REFUSES("no size", "--memory", ".5G");
    REFUSES("no size", "--memory", "-1G");
    REFUSES("no size", "--memory", "3GBs");
    REFUSES("no size", "--memory", "3B");
    REFUSES("no size", "--memory", "3e9");
    REFUSES("no size", "--memory", "1.2.3G");
    REFUSES("no whole number", "--seed", "-1");
    REFUSES("no whole number", "--seed", "9223372036854775808");
    REFUSES("neither yes nor no", "--json=maybe");
    REFUSES("empty", "-m", "");
}

static void sizes_and_seeds(void **state)
{
    (void)state;
    Opts o;
    assert_true(LINE(&o, &every, "--memory", "3g", "--seed", "9223372036854775807"));
    assert_true(o.value[OPT_MEMORY].count == 3ull << 30);
    assert_true(o.value[OPT_SEED].count == INT64_MAX);
    opts_close(&o);
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},
                 {"3000000000", 3000000000},
                 {"3GB", 3ull << 30},
                 {"3gib", 3ull << 30},
                 {"3Gb", 3ull << 30},
                 {"2.5G", 5ull << 29},
                 {"2.5GB", 5ull << 29},
                 {"0.001K", 1},     /* 1.024 */
                 {"1.1M", 1153433}, /* 1153433.6 */
                 {"2.79396772384643554687G", 2999999999},
                 {"1.5T", 3ull << 39},
                 {"0.333333333333333T", 366503875558}, /* nine digits count */
                 {"16777215.9999T", UINT64_MAX - 109951162}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t bytes = 1;
        if (!opts_size(sizes[i].text, &bytes)) fail_msg("%s", sizes[i].text);
        if (bytes != sizes[i].bytes) fail_msg("%s: %llu", sizes[i].text, (unsigned long long)bytes);
    }
}

static bool config(Opts *o, const Command *command, const char *text, char *copy)
{
    assert_true(opts_line(o, command, 0, NULL));
    memcpy(copy, text, strlen(text) + 1);
    return opts_config(o, "conf", copy) && opts_defaults(o);
}

static void config_sections_and_comments(void **state)
{
    (void)state;
    Opts o;
    char copy[256];
    assert_true(config(&o, &plain,
                       "# all\n\n quiet = yes\r\n[man]\ncolor = never\n[help]\n"
                       "color=always\nverbose=yes",
                       copy));
    assert_true(opts_flag(&o, OPT_QUIET));
    assert_false(opts_flag(&o, OPT_VERBOSE));
    assert_string_equal(opts_text(&o, OPT_COLOR), "never");
    opts_close(&o);
    assert_true(config(&o, &every, "system = \" hi \"\nlogit-bias = a\nlogit-bias = b", copy));
    assert_string_equal(opts_text(&o, OPT_SYSTEM), " hi ");
    assert_int_equal(o.value[OPT_LOGIT_BIAS].n, 2);
    opts_close(&o);
    assert_true(config(&o, &plain, "temp = 0.5\n", copy)); /* another command's: fine */
    opts_close(&o);
}

static void config_refusals_name_the_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"quiet = yes\ntempp = 1", "conf:2: unknown key 'tempp'; did you mean 'temp'?"},
        {"temp = hot", "conf:1: temp: 'hot' is no number"},
        {"temp", "conf:1: expected 'key = value'"},
        {"[nothing]", "conf:1: section [nothing] is no command"},
        {"\n[man", "conf:2: a section needs its ']'"},
        {"prompt = x", "conf:1: unknown key 'prompt'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Opts o;
        char copy[256];
        assert_false(config(&o, &every, cases[i][0], copy));
        if (!strstr(o.error, cases[i][1])) fail_msg("'%s' lacks '%s'", o.error, cases[i][1]);
        opts_close(&o);
    }
}

static void lists_are_not_mixed(void **state)
{
    (void)state;
    Opts o;
    char text[] = "logit-bias = c\n";
    assert_true(LINE(&o, &every, "--logit-bias", "a", "--logit-bias", "b"));
    assert_true(opts_config(&o, "conf", text));
    assert_int_equal(o.value[OPT_LOGIT_BIAS].n, 2);
    opts_close(&o);
}

/* No command may meet two rows of one name, letter or key; a default must pass its own bounds. */
static void tables_are_sound(void **state)
{
    (void)state;
    for (size_t c = 0; c < n_commands; c++) {
        assert_non_null(commands[c].run);
        for (int i = 0; i < OPT_COUNT_; i++) {
            const OptRow *a = &opt_rows[i];
            assert_true(strlen(a->help) < 100);
            assert_int_equal(a->type == TYPE_FLAG, a->value == NULL);
            if (!command_has(&commands[c], (OptId)i)) continue;
            for (int j = i + 1; j < OPT_COUNT_; j++) {
                const OptRow *b = &opt_rows[j];
                if (!command_has(&commands[c], (OptId)j)) continue;
                assert_string_not_equal(a->name, b->name);
                assert_false(a->letter && a->letter == b->letter);
                assert_false(a->env && b->env && strcmp(a->env, b->env) == 0);
                assert_false(a->key && b->key && strcmp(a->key, b->key) == 0);
            }
        }
        Opts o;
        assert_true(opts_line(&o, &commands[c], 0, NULL));
        assert_true(opts_defaults(&o));
        opts_close(&o);
    }
}

static bt_status life(void *user, bt_error *err)
{
    Opts o;
    (void)user;
    bool good = LINE(&o, &every, "a", "b", "--logit-bias", "c");
    opts_close(&o);
    return torture_bare(good ? BT_OK : BT_E_MEMORY, err);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    assert_int_equal(torture("a line", life, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_wins_over_env_over_config_over_default),
        cmocka_unit_test(forms_of_an_option),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(sizes_and_seeds),
        cmocka_unit_test(config_sections_and_comments),
        cmocka_unit_test(config_refusals_name_the_line),
        cmocka_unit_test(lists_are_not_mixed),
        cmocka_unit_test(tables_are_sound),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("cli options", tests, NULL, NULL);
}
