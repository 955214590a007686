/* Sampling options (see sampling.h). The library takes a zero as "the default"; here a zero typed
 * by a person means what it says, so each is turned into the library's word for off. */
#include "cli/sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"

static bool read_bias(const char *text, bt_logit_bias *out)
{
    char *end;
    long id = strtol(text, &end, 10);
    if (end == text || *end != '=' || id < 0 || id > INT32_MAX) return false;
    const char *number = end + 1;
    double bias = strtod(number, &end);
    if (end == number || *end || isnan(bias) || bias == (double)INFINITY) return false;
    *out = (bt_logit_bias){(bt_token)id, (float)bias};
    return true;
}

static float or_off(double value, float off)
{
    return value > 0 ? (float)value : off;
}

static void penalties(const Opts *o, bt_sampler_options *s)
{
    s->penalty_last_n = (int32_t)opts_int(o, OPT_PENALTY_LAST_N);
    if (s->penalty_last_n != 0) {
        s->repeat_penalty = (float)opts_real(o, OPT_REPEAT_PENALTY);
        s->presence_penalty = (float)opts_real(o, OPT_PRESENCE_PENALTY);
        s->frequency_penalty = (float)opts_real(o, OPT_FREQUENCY_PENALTY);
    }
    s->dry_last_n = (int32_t)opts_int(o, OPT_DRY_LAST_N);
    if (s->dry_last_n != 0) s->dry_multiplier = (float)opts_real(o, OPT_DRY_MULTIPLIER);
    s->dry_base = (float)opts_real(o, OPT_DRY_BASE);
    s->dry_allowed_length = (int32_t)opts_int(o, OPT_DRY_ALLOWED_LENGTH);
}

int sampling_read(Cli *cli, bt_sampler_options *out, bt_logit_bias **bias)
{
    const Opts *o = &cli->opts;
    const OptValue *list = &o->value[OPT_LOGIT_BIAS];
    bt_sampler_options s = {0};
    *bias = NULL;
    s.seed = o->value[OPT_SEED].count;
    if (s.seed == 0 && os_random(&s.seed, sizeof s.seed)) s.seed >>= 11; /* exact in any JSON */
    s.greedy = opts_real(o, OPT_TEMP) == 0;
    s.temperature = (float)opts_real(o, OPT_TEMP);
    s.top_k = opts_int(o, OPT_TOP_K) > 0 ? (int32_t)opts_int(o, OPT_TOP_K) : -1;
    s.top_p = or_off(opts_real(o, OPT_TOP_P), 1e-9f); /* 0: the best token alone */
    s.min_p = or_off(opts_real(o, OPT_MIN_P), -1);
    s.typical_p = (float)opts_real(o, OPT_TYPICAL_P);
    penalties(o, &s);
    s.mirostat = opts_text(o, OPT_MIROSTAT)[0] == '2' ? 2 : 0;
    s.mirostat_tau = (float)opts_real(o, OPT_MIROSTAT_TAU);
    s.mirostat_eta = (float)opts_real(o, OPT_MIROSTAT_ETA);
    if (list->n) {
        *bias = mem_zalloc(list->n, sizeof **bias);
        if (!*bias) return cli_fail("not enough memory for --logit-bias");
        for (size_t i = 0; i < list->n; i++) {
            if (read_bias(list->list[i], &(*bias)[i])) continue;
            mem_free(*bias);
            *bias = NULL;
            return cli_usage(cli, "--logit-bias: '%s' is not ID=NUMBER", list->list[i]);
        }
        s.bias = *bias;
        s.n_bias = list->n;
    }
    *out = s;
    return CLI_GOOD;
}
