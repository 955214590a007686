/* Opening a model (see model.h). */
#include "cli/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/hatchling.h"
#include "cli/interrupt.h"
#include "engine/sidecar.h"
#include "io/find.h"

char *bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int folder_needed(const char *folder)
{
    struct stat at;
    if (!folder) return cli_fail("not enough memory");
    if (stat(folder, &at) != 0)
        return cli_fail("%s: %s; make the folder first", folder, strerror(errno));
    return S_ISDIR(at.st_mode) ? CLI_GOOD : cli_fail("%s: is no folder", folder);
}

char *sandbox_text(const SandboxReport *r, char *out, size_t size)
{
    char landlock[32] = "no Landlock";
    if (r->landlock) snprintf(landlock, sizeof landlock, "Landlock %d", r->landlock_abi);
    snprintf(out, size, "%s, %s", r->seccomp ? "seccomp" : "no seccomp", landlock);
    return out;
}

/* ---- the sandbox ---- */

enum { GRANTS_MOST = 64 + 2 * FIND_MAX_PARTS };

typedef struct Grants {
    SandboxGrant row[GRANTS_MOST];
    size_t n;
    Buf parts; /* names of the model's files, one after another */
} Grants;

static void grant(Grants *g, const char *path, bool write)
{
    struct stat at;
    if (!path || g->n == GRANTS_MOST || stat(path, &at) != 0) return;
    g->row[g->n++] = (SandboxGrant){path, write};
}

/* The models' files. A link stands for the file it leads to. */
static void grant_models(Grants *g, const char *model, const char *other)
{
    if (model) find_model_files(model, &g->parts);
    if (other) find_model_files(other, &g->parts);
    if (g->parts.failed) return; /* opening the model will say so */
    for (size_t at = 0; at < g->parts.size; at += strlen(g->parts.data + at) + 1)
        grant(g, g->parts.data + at, false);
}

int sandbox_as_run(Cli *cli, const ModelWish *wish, const char *model, CliModel *m)
{
    Grants g = {0};
    if (wish->box == BOX_REFUSED) {
        fprintf(stderr, "bantam: warning: --no-sandbox: this process may open network sockets\n");
        return CLI_GOOD;
    }
    for (size_t i = 0; i < m->adapters.n; i++) find_model_files(m->adapters.paths[i], &g.parts);
    grant_models(&g, model, wish->other);
    grant(&g, m->cache_dir, true);
    for (int i = 0; i < 2; i++) grant(&g, wish->writes[i], true);
    for (int i = 0; i < 2; i++) grant(&g, wish->reads[i], false);
    for (size_t i = 0; i < wish->n_data; i++) grant(&g, wish->data[i], false);
    /* What the engine asks the machine: memory, cgroup limits, cores. */
    static const char *const machine[] = {"/proc/meminfo", "/proc/cpuinfo", "/proc/self",
                                          "/sys/fs/cgroup", "/sys/devices/system"};
    for (size_t i = 0; i < sizeof machine / sizeof machine[0]; i++) grant(&g, machine[i], false);
    SandboxOptions options = {.grants = g.row, .n_grants = g.n};
#ifdef BANTAM_SANITIZED
    options.wide = true;
#endif
    bt_error err = {0};
    bt_status status = sandbox_enter(&options, &m->box, &err);
    buf_close(&g.parts);
    if (status == BT_OK) {
        m->boxed = true;
        if (m->box.note[0] && cli->verbose) cli_say(cli, "sandbox: %s", m->box.note);
        return CLI_GOOD;
    }
    if (wish->box == BOX_WISHED) {
        if (cli->verbose) cli_say(cli, "no sandbox: %s", err.text);
        return CLI_GOOD;
    }
    return cli_fail(
        "the network cannot be closed off here: %s; 'bantam doctor' says more%s", err.text,
        command_has(cli->command, OPT_NO_SANDBOX) ? ", --no-sandbox runs all the same" : "");
}

/* ---- opening ---- */

static int read_options(Cli *cli, CliModel *m, bt_model_options *out)
{
    const Opts *o = &cli->opts;
    const char *mask = opts_text(o, OPT_CPU_MASK);
    out->n_threads = (int)opts_int(o, OPT_THREADS);
    m->n_threads = out->n_threads ? out->n_threads : os_cores();
    if (mask) {
        out->cpu_mask = cpu_mask_parse(mask);
        if (!out->cpu_mask)
            return cli_usage(cli,
                             "--cpu-mask: '%s' names a feature that is not known; "
                             "'bantam doctor' lists them",
                             mask);
    }
    out->no_cache = opts_flag(o, OPT_NO_CACHE) || out->vocab_only || hatchling_is_path(m->path);
    if (!out->no_cache) {
        m->cache_dir = cache_folder(cli);
        bt_error err = {0};
        if (!m->cache_dir || os_make_dirs(m->cache_dir, &err) != BT_OK) {
            cli_say(cli, "no cache: %s", err.text[0] ? err.text : "there is no home folder");
            mem_free(m->cache_dir);
            m->cache_dir = NULL;
            out->no_cache = true;
        }
        out->cache_dir = m->cache_dir;
    }
    return CLI_GOOD;
}

char *cache_folder(const Cli *cli)
{
    const char *dir = opts_text(&cli->opts, OPT_CACHE_DIR);
    return dir ? mem_strdup(dir) : cli_user_path("XDG_CACHE_HOME", ".cache", NULL);
}

/* With or_vocab, what cannot run is opened for its metadata and vocabulary. */
static bt_status open_file(CliModel *m, const ModelWish *wish, bt_model_options *options,
                           bt_error *err)
{
    bt_status status = bt_model_open(m->path, options, &m->model, err);
    if (!wish->or_vocab || (status != BT_E_UNSUPPORTED && status != BT_E_FORMAT)) return status;
    bt_error again = {0};
    options->vocab_only = true;
    if (bt_model_open(m->path, options, &m->model, &again) != BT_OK) return status;
    snprintf(m->unusable, sizeof m->unusable, "%s", err->text);
    return BT_OK;
}

int model_open(Cli *cli, const ModelWish *wish, CliModel *m)
{
    *m = (CliModel){0};
    progress_start(&m->progress, cli);
    bt_model_options options = {
        .vocab_only = wish->vocab_only, .progress = progress_update, .progress_user = &m->progress};
    int code = model_find(cli, &m->path);
    if (code == CLI_GOOD) code = read_options(cli, m, &options);
    if (code == CLI_GOOD) code = adapters_read(cli, &m->adapters);
    if (code != CLI_GOOD) goto failed;
    interrupt_install();
    code = sandbox_as_run(cli, wish, m->path, m);
    if (code != CLI_GOOD) goto failed;

    bt_error err = {0};
    double start = os_seconds();
    bt_status status = open_file(m, wish, &options, &err);
    progress_end(&m->progress);
    m->load_s = os_seconds() - start;
    if (status != BT_OK) {
        code = status == BT_E_CANCELLED ? cli_fail("stopped") : model_fail(m, &err);
        goto failed;
    }
    m->info = bt_model_describe(m->model);
    code = adapters_open(cli, &m->adapters, m->model);
    if (code == CLI_GOOD) return CLI_GOOD;
failed:
    model_close(m);
    return code;
}

int model_open_other(Cli *cli, const char *path, const CliModel *first, CliModel *m)
{
    *m = (CliModel){0};
    progress_start(&m->progress, cli);
    bt_model_options options = {.n_threads = first->n_threads,
                                .cache_dir = first->cache_dir,
                                .no_cache = !first->cache_dir,
                                .progress = progress_update,
                                .progress_user = &m->progress};
    const char *mask = opts_text(&cli->opts, OPT_CPU_MASK);
    if (mask) options.cpu_mask = cpu_mask_parse(mask);
    m->path = mem_strdup(path);
    if (!m->path) return cli_fail("not enough memory");
    bt_error err = {0};
    bt_status status = bt_model_open(path, &options, &m->model, &err);
    progress_end(&m->progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK) return model_fail(m, &err);
    m->info = bt_model_describe(m->model);
    return CLI_GOOD;
}

int model_fail(const CliModel *m, const bt_error *err)
{
    /* Messages about a file name it already. */
    if (strstr(err->text, m->path)) return cli_fail("%s", err->text);
    return cli_fail("%s: %s", m->path, err->text);
}

void model_close(CliModel *m)
{
    adapters_close(&m->adapters);
    bt_model_close(&m->model);
    mem_free(m->path);
    mem_free(m->cache_dir);
    *m = (CliModel){0};
}

/* ---- sessions ---- */

static bt_kv_type kv_type(const char *name)
{
    static const char *const kinds[] = {"", "f32", "bf16", "f16", "q8_0", "q4_0"};
    for (int i = 0; name && i < 6; i++)
        if (strcmp(name, kinds[i]) == 0) return (bt_kv_type)i;
    return BT_KV_DEFAULT;
}

bt_session_options session_options(const Cli *cli)
{
    const Opts *o = &cli->opts;
    bt_kv_type keys = kv_type(opts_text(o, OPT_TYPE_KV)),
               values = kv_type(opts_text(o, OPT_TYPE_V));
    bt_session_options s = {.n_ctx = (int32_t)opts_int(o, OPT_CTX),
                            .n_batch = (int32_t)opts_int(o, OPT_BATCH),
                            .memory_limit = o->value[OPT_MEMORY].count};
    s.kv = values ? BT_KV_PAIR(keys ? keys : BT_KV_BF16, values) : keys;
    return s;
}

bt_session_options session_options_lean(const Cli *cli)
{
    bt_session_options s = session_options(cli);
    if (cli->opts.value[OPT_BATCH].source <= FROM_DEFAULT) s.n_batch = 0;
    return s;
}

int session_open(CliModel *m, const bt_session_options *options, bt_session **out)
{
    bt_error err = {0};
    double start = os_seconds();
    bt_status status = bt_session_open(m->model, options, out, &err);
    if (status == BT_OK && m->adapters.n) status = adapters_attach(&m->adapters, *out, &err);
    progress_end(&m->progress);
    m->load_s += os_seconds() - start;
    if (status == BT_E_CANCELLED) return cli_fail("stopped");
    if (status != BT_OK) return model_fail(m, &err);
    const OptValue *limit = &m->progress.cli->opts.value[OPT_CACHE_LIMIT];
    uint64_t removed;
    if (m->cache_dir && limit->source != FROM_DEFAULT) /* the library keeps to the default */
        sidecar_trim(m->cache_dir, limit->count, &removed, NULL);
    return CLI_GOOD;
}
