/* `bantam serve`: gathers the models and the settings, and becomes the supervisor
 * (serve/supervisor.h). What is asked of the environment and the file system is asked here, before
 * any process is started. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/hatchling.h"
#include "cli/model.h"
#include "cli/places.h"
#include "cli/prompt.h"
#include "cli/serve_state.h"
#include "serve/config.h"

#ifndef BANTAM_SERVE

int cmd_serve(Cli *cli)
{
    (void)cli;
    return cli_fail("this build has no server: it was made without libmicrohttpd, or not for "
                    "Linux ('make setup' installs what is missing)");
}

#else

#include "serve/supervisor.h"
#include "serve/worker_main.h"

enum { PORT = 9931, PORTS = 100, WAITING = 4096 };

typedef struct Serve {
    Cli *cli;
    Catalogue catalogue;
    ServeConfig config;
    char *cache_dir, *spill_dir, *made_path;
    Buf cert, key, state_path;
    bt_session_options session;
} Serve;

/* ---- models ---- */

static void measure(ServeModel *m)
{
    struct stat st;
    if (strcmp(m->path, HATCHLING_PATH) == 0)
        m->size = hatchling_bytes();
    else if (!m->size && stat(m->path, &st) == 0) {
        m->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        m->modified = (int64_t)st.st_mtime;
    }
}

/* "folder/qwen3-0.6b.gguf" is "qwen3-0.6b". */
static char *name_of(const char *given)
{
    const char *slash = strrchr(given, '/'), *base = slash ? slash + 1 : given;
    size_t n = strlen(base);
    if (access(given, F_OK) != 0) return mem_strdup(given); /* a name already */
    if (n > 5 && strcmp(base + n - 5, ".gguf") == 0) n -= 5;
    return mem_strndup(base, n);
}

static int add_named(Serve *s)
{
    const OptValue *given = &s->cli->opts.value[OPT_SERVE_MODELS];
    for (size_t i = 0; i < given->n; i++) {
        char *name = name_of(given->list[i]), *path = model_named(given->list[i]);
        int code = !path ? CLI_FAILED : CLI_GOOD;
        if (path && name && catalogue_find(&s->catalogue, name) >= 0)
            code = cli_fail("two models would be called '%s'; name them in the configuration "
                            "(docs/serving.md)",
                            name);
        else if (path && (!name || catalogue_add(&s->catalogue, name, path) < 0))
            code = cli_fail("not enough memory, or too many models");
        mem_free(name);
        mem_free(path);
        if (code != CLI_GOOD) return code;
    }
    return CLI_GOOD;
}

static void add_one(Catalogue *c, const char *name, const char *path, uint64_t size, int64_t mtime)
{
    const int at = catalogue_find(c, name) >= 0 ? -1 : catalogue_add(c, name, path);
    if (at < 0) return;
    c->models[at].found = true;
    c->models[at].size = size;
    c->models[at].modified = mtime;
    char *stem = strchr(name, '/') ? name_of(path) : NULL;
    if (stem && catalogue_find(c, stem) < 0) catalogue_alias(&c->models[at], stem);
    mem_free(stem);
}

/* What `bantam list` shows, behind what is in `c` already. *all: no cap hid any. */
static bt_status find_all(Catalogue *c, bool *all, bt_error *err)
{
    FindPlaces places = places_here();
    FoundModels found = {0};
    bt_status status = find_models(&places, &found, err);
    for (size_t i = 0; i < found.count && !status; i++) {
        const FoundModel *m = &found.list[i];
        if (m->complete) add_one(c, m->name, m->path, m->bytes, m->mtime);
    }
    *all = !found.more;
    find_close(&found);
    if (hatchling_here()) add_one(c, HATCHLING_NAME, HATCHLING_PATH, hatchling_bytes(), 0);
    return status;
}

/* Later, when a name is not known: what came, and what is gone. */
static bool find_now(void *user, Catalogue *now)
{
    bool all;
    (void)user;
    return find_all(now, &all, NULL) == BT_OK && all;
}

static int add_found(Serve *s)
{
    bt_error err = {0};
    bool all;
    if (find_all(&s->catalogue, &all, &err) != BT_OK) return cli_fail("%s", err.text);
    for (size_t i = 0; i < s->catalogue.n; i++) measure(&s->catalogue.models[i]);
    if (s->catalogue.n == 0)
        return cli_fail("there is no model to serve; give a GGUF file with -m");
    return CLI_GOOD;
}

static char *resolve(void *user, const char *name, bt_error *err)
{
    FindPlaces places = places_here();
    char *path = NULL;
    (void)user;
    if (hatchling_is_name(name) && hatchling_here()) return mem_strdup(HATCHLING_PATH);
    return find_resolve(&places, name, &path, err) == BT_OK ? path : NULL;
}

static int read_config(Serve *s)
{
    const char *given = opts_text(&s->cli->opts, OPT_SERVE_CONFIG);
    char *path =
        given ? mem_strdup(given) : cli_user_path("XDG_CONFIG_HOME", ".config", "serve.json");
    Buf text = {0};
    bt_error err = {0};
    int code = CLI_GOOD;
    if (path && (given || access(path, F_OK) == 0)) {
        code = read_text(path, true, &text);
        if (code == CLI_GOOD && config_read(path, text.data ? text.data : "", text.size, resolve, s,
                                            &s->config, &s->catalogue, &err) != BT_OK)
            code = cli_fail("%s", err.text);
    }
    buf_close(&text);
    mem_free(path);
    return code;
}

/* ---- processes ---- */

static void worker_model(const Serve *s, const ServeModel *m, int index, WorkerAdapter *adapters,
                         WorkerModel *out)
{
    const Opts *o = &s->cli->opts;
    *out = (WorkerModel){.name = m->name,
                         .path = m->path,
                         .cache_dir = s->cache_dir,
                         .n_threads = (int)opts_int(o, OPT_THREADS),
                         .n_ctx = m->n_ctx ? m->n_ctx : s->session.n_ctx,
                         .n_running =
                             m->n_parallel ? m->n_parallel : (int32_t)opts_int(o, OPT_PARALLEL),
                         .n_batch = s->session.n_batch,
                         .kv = s->session.kv,
                         .memory_limit = s->session.memory_limit,
                         .n_queue = WAITING,
                         .spill_dir = s->spill_dir,
                         .spill_bytes = o->value[OPT_SPILL].count,
                         .template_name = m->template_name,
                         .jinja = m->jinja,
                         .defaults = {.sampling = m->sampling,
                                      .max_tokens = m->max_tokens,
                                      .think = m->think,
                                      .system = m->system,
                                      .messages = m->messages,
                                      .n_messages = m->n_messages},
                         .stops = (const char *const *)m->stops,
                         .n_stops = m->n_stops,
                         .adapters = adapters,
                         .n_adapters = m->n_adapters,
                         .slot = index};
    for (size_t i = 0; i < m->n_adapters; i++)
        adapters[i] = (WorkerAdapter){.name = m->adapters[i].name,
                                      .path = m->adapters[i].path,
                                      .scale = m->adapters[i].scale,
                                      .always = m->adapters[i].always};
}

static int run_worker(void *user, const ServeModel *model, const RingSlot *slot, int index)
{
    WorkerAdapter adapters[API_MAX_ADAPTERS];
    WorkerMain work = {.slot = slot};
    worker_model(user, model, index, adapters, &work.model);
    return worker_main(&work);
}

static int run_describe(void *user, const ServeModel *model, int fd)
{
    WorkerAdapter adapters[API_MAX_ADAPTERS];
    WorkerModel m;
    worker_model(user, model, 0, adapters, &m);
    return worker_describe_main(&m, fd);
}

/* ---- settings ---- */

static bool is_local(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static int add_lists(Serve *s)
{
    const OptValue *cors = &s->cli->opts.value[OPT_CORS];
    const OptValue *hosts = &s->cli->opts.value[OPT_ALLOW_HOST];
    ServeConfig *c = &s->config;
    for (size_t i = 0; i < cors->n && c->n_origins < SERVE_MOST_NAMES; i++)
        c->origins[c->n_origins++] = mem_strdup(cors->list[i]);
    for (size_t i = 0; i < hosts->n && c->n_hosts < SERVE_MOST_NAMES; i++)
        c->hosts[c->n_hosts++] = mem_strdup(hosts->list[i]);
    return CLI_GOOD;
}

/* Beyond loopback others can listen and ask: they must not without a key, nor read along. */
static int guard(Serve *s, FrontOptions *front)
{
    const Opts *o = &s->cli->opts;
    const char *key = opts_text(o, OPT_API_KEY);
    const char *cert = opts_text(o, OPT_TLS_CERT), *tls_key = opts_text(o, OPT_TLS_KEY);
    bt_error err = {0};
    if (key && config_add_key(&s->config, key, "--api-key", &err) != BT_OK)
        return cli_usage(s->cli, "%s", err.text);
    if (!cert != !tls_key) return cli_usage(s->cli, "--tls-cert and --tls-key go together");
    if (cert && (read_text(cert, true, &s->cert) || read_text(tls_key, true, &s->key)))
        return CLI_FAILED;
    if (!is_local(front->host) && (!s->config.n_keys || !cert))
        return cli_usage(s->cli,
                         "%s can be reached from other machines: that needs an API key (--api-key, "
                         "or keys in the configuration) and TLS (--tls-cert, --tls-key)",
                         front->host);
    front->tls_cert = s->cert.data;
    front->tls_key = s->key.data;
    front->keys = s->config.keys;
    front->n_keys = s->config.n_keys;
    front->origins = (const char *const *)s->config.origins;
    front->n_origins = s->config.n_origins;
    front->hosts = (const char *const *)s->config.hosts;
    front->n_hosts = s->config.n_hosts;
    return CLI_GOOD;
}

static int folders(Serve *s)
{
    bt_error err = {0};
    if (!opts_flag(&s->cli->opts, OPT_NO_CACHE)) s->cache_dir = cache_folder(s->cli);
    if (s->cache_dir && os_make_dirs(s->cache_dir, &err) != BT_OK) {
        cli_say(s->cli, "no cache: %s", err.text);
        mem_free(s->cache_dir);
        s->cache_dir = NULL;
    }
    if (s->cli->opts.value[OPT_SPILL].count) {
        s->spill_dir = cli_user_path("XDG_CACHE_HOME", ".cache", "prompts");
        if (!s->spill_dir || os_make_dirs(s->spill_dir, &err) != BT_OK)
            return cli_fail("--spill: %s", err.text[0] ? err.text : "there is no home folder");
    }
    s->made_path = cli_user_path("XDG_DATA_HOME", ".local/share", "serve-models.json");
    char *own = s->made_path ? folder_of(s->made_path) : NULL;
    if (own) os_make_dirs(own, NULL);
    mem_free(own);
    char *state = serve_state_folder();
    if (state) buf_printf(&s->state_path, "%s/%%d.json", state);
    mem_free(state);
    return CLI_GOOD;
}

/* ---- the command ---- */

static void tell(void *user, bt_log_level level, const char *line)
{
    (void)level;
    cli_say(user, "%s", line);
}

static void listening(void *user, const char *url, bool first)
{
    const Serve *s = user;
    if (!first) return;
    printf("%s\n", url);
    printf("ready: %zu models, the first is %s\n", s->catalogue.n, s->catalogue.models[0].name);
    fflush(stdout);
}

static int new_key(void)
{
    char key[64], hash[65];
    if (!config_new_key(key, hash)) return cli_fail("this system gives no random bytes");
    printf("%s\n{\"label\": \"\", \"sha256\": \"%s\"}\n", key, hash);
    return CLI_GOOD;
}

static int serve(Serve *s)
{
    const Opts *o = &s->cli->opts;
    const OptValue *port = &o->value[OPT_PORT];
    bt_error err = {0};
    SupervisorOptions options = {.catalogue = &s->catalogue,
                                 .drain_seconds = (int)opts_int(o, OPT_DRAIN),
                                 .user = s,
                                 .worker = run_worker,
                                 .describe = run_describe,
                                 .find = find_now,
                                 .listening = listening};
    options.front.host = opts_text(o, OPT_HOST);
    options.front.port = port->text ? (int)port->number : PORT;
    options.front.ports = port->text ? 1 : PORTS;
    options.front.log_requests = s->cli->verbose;
    if (!config_duration(opts_text(o, OPT_KEEP_ALIVE), &options.keep_alive_ms))
        return cli_usage(s->cli, "--keep-alive: '%s' is no time; write 10m, 90s, 2h or -1",
                         opts_text(o, OPT_KEEP_ALIVE));
    int code = guard(s, &options.front);
    if (code == CLI_GOOD) code = folders(s);
    if (code != CLI_GOOD) return code;
    options.made_path = s->made_path;
    if (!s->state_path.failed) options.state_path = s->state_path.data;
    bt_log_set(tell, s->cli, s->cli->verbose ? BT_LOG_INFO : BT_LOG_WARN);
    if (supervisor_run(&options, &err) == 0) return CLI_GOOD;
    return cli_fail("%s", err.text);
}

int cmd_serve(Cli *cli)
{
    Serve s = {.cli = cli, .session = session_options_lean(cli)};
    int code =
        cli->opts.n_args ? cli_usage(cli, "takes no arguments; name models with -m") : CLI_GOOD;
    if (opts_flag(&cli->opts, OPT_NEW_KEY)) return new_key();
    if (code == CLI_GOOD) code = add_named(&s);
    if (code == CLI_GOOD) code = read_config(&s);
    if (code == CLI_GOOD) code = add_found(&s);
    if (code == CLI_GOOD) code = add_lists(&s);
    if (code == CLI_GOOD) code = serve(&s);
    catalogue_close(&s.catalogue);
    config_close(&s.config);
    mem_free(s.cache_dir);
    mem_free(s.spill_dir);
    mem_free(s.made_path);
    buf_close(&s.cert);
    buf_close(&s.key);
    buf_close(&s.state_path);
    return code;
}

#endif
