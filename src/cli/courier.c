/* The courier (see courier.h), on both ends of two pipes. Frames: sizes first, then the bytes. */
#include "cli/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "cli/interrupt.h"

#define MOST_REQUEST ((size_t)16 << 20)
#define MOST_ANSWER  ((size_t)64 << 20)
#define MOST_KEY     4096
#define TOO_LARGE    (-1) /* in place of a status */

typedef struct Request {
    uint32_t path, body; /* sizes */
} Request;

typedef struct Answer {
    int32_t status, wait_for;
    uint32_t size;
} Answer;

struct Courier {
    int to, from; /* pipes */
};

/* ---- addresses and keys ---- */

static bool is_here(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && (!host[n] || strchr(":/", host[n]))) return true;
    }
    return false;
}

const char *courier_wrong(const char *address)
{
    bool https = strncmp(address, "https://", 8) == 0, http = strncmp(address, "http://", 7) == 0;
    const char *host = address + (https ? 8 : 7);
    if (!https && !http) return "a server's address begins with https://";
    if (!*host || *host == '/') return "the address names no host";
    for (const char *c = address; *c; c++)
        if (*c <= ' ' || *c >= 127 || strchr("@?#\\\"'`<>{}", *c))
            return "a server's address has no spaces, names, questions or marks in it";
    if (http && !is_here(host))
        return "http would show everybody on the way what is sent: use https, or a tunnel to "
               "http://localhost";
    return NULL;
}

static bt_status take_key(const CourierOptions *o, char key[MOST_KEY], bt_error *err)
{
    const char *set = o->key_variable ? getenv(o->key_variable) : NULL;
    size_t n;
    key[0] = '\0';
    if (o->key_file) {
        FILE *f = fopen(o->key_file, "r");
        if (!f) return bt_fail(err, BT_E_IO, "%s: %s", o->key_file, os_why(errno));
        if (!fgets(key, MOST_KEY, f)) key[0] = '\0';
        fclose(f);
        set = NULL;
    } else if (set) {
        snprintf(key, MOST_KEY, "%s", set);
    }
    n = strcspn(key, "\r\n");
    key[n] = '\0';
    if (o->key_file && !n) return bt_fail(err, BT_E_ARGUMENT, "%s: no key", o->key_file);
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] >= 127 || n + 1 == MOST_KEY)
            return bt_fail(err, BT_E_ARGUMENT,
                           "the key has characters that no key has, or is too "
                           "long");
    return BT_OK;
}

/* ---- pipes ---- */

/* False: the other end is gone. */
static bool read_all(int fd, void *to, size_t size)
{
    char *at = to;
    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

#ifdef BANTAM_CURL

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>

/* libcurl and the thirty libraries that it brings, loaded at run time: no other process of ours has
 * them. */
typedef struct Curl {
    CURLcode (*global)(long flags);
    CURL *(*open)(void);
    CURLcode (*set)(CURL *curl, CURLoption option, ...);
    CURLcode (*perform)(CURL *curl);
    CURLcode (*get)(CURL *curl, CURLINFO info, ...);
    const char *(*why)(CURLcode code);
    struct curl_slist *(*append)(struct curl_slist *list, const char *text);
    void (*free_list)(struct curl_slist *list);
    void (*close)(CURL *curl);
} Curl;

static bool load_curl(Curl *out)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"};
    const struct {
        const char *name;
        void *to;
    } functions[] = {
        {"curl_global_init", &out->global},  {"curl_easy_init", &out->open},
        {"curl_easy_setopt", &out->set},     {"curl_easy_perform", &out->perform},
        {"curl_easy_getinfo", &out->get},    {"curl_easy_strerror", &out->why},
        {"curl_slist_append", &out->append}, {"curl_slist_free_all", &out->free_list},
        {"curl_easy_cleanup", &out->close},
    };
    void *library = NULL;
    for (int i = 0; i < 3 && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function) return false;
        memcpy(functions[i].to, &function, sizeof function);
    }
    return library != NULL;
}

#define NO_CURL "libcurl is missing, which a teacher on a server needs: install it (libcurl4)"

const char *courier_missing(void)
{
    Curl curl;
    return load_curl(&curl) ? NULL : NO_CURL;
}

/* ---- the child ---- */

typedef struct Post {
    int from; /* closed: nobody waits any more */
    Buf body;
    bool too_large;
} Post;

static size_t take_body(char *data, size_t size, size_t n, void *user)
{
    Post *p = user;
    (void)size;
    if (p->body.size + n > MOST_ANSWER) {
        p->too_large = true;
        return 0;
    }
    buf_add(&p->body, data, n);
    return p->body.failed ? 0 : n;
}

static int still_wanted(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct pollfd end = {.fd = ((Post *)user)->from, .events = POLLIN};
    (void)a, (void)b, (void)c, (void)d;
    return poll(&end, 1, 0) > 0 && (end.revents & (POLLHUP | POLLERR));
}

/* Options of every request; the rest of them is libcurl's defaults, which verify certificates. */
static bool set_up(const Curl *lib, CURL *curl, const CourierOptions *o, struct curl_slist *headers,
                   Post *post)
{
    bool http = strncmp(o->address, "http://", 7) == 0;
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    if (code == CURLE_OK) code = lib->set(curl, option, value)
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, http ? "http" : "https");
#else
    SET(CURLOPT_PROTOCOLS, http ? (long)CURLPROTO_HTTP : (long)CURLPROTO_HTTPS);
#endif
    if (http) SET(CURLOPT_PROXY, "");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT, o->seconds < 20 ? o->seconds : 20L);
    SET(CURLOPT_TIMEOUT, o->seconds);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, post);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, still_wanted);
    SET(CURLOPT_XFERINFODATA, post);
#undef SET
    return code == CURLE_OK;
}

static bool answer(int to, const Answer *a, const Buf *body)
{
    return !os_write_all(to, a, sizeof *a, NULL) && !os_write_all(to, body->data, a->size, NULL);
}

static bool perform(const Curl *lib, CURL *curl, const char *url, const Buf *body, Post *post,
                    int to)
{
    Answer a = {0};
    long status = 0;
    curl_off_t wait = 0;
    char why[CURL_ERROR_SIZE] = "";
    buf_clear(&post->body);
    post->too_large = false;
    lib->set(curl, CURLOPT_URL, url);
    lib->set(curl, CURLOPT_POSTFIELDS, body->data ? body->data : "");
    lib->set(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
    lib->set(curl, CURLOPT_ERRORBUFFER, why);
    CURLcode code = lib->perform(curl);
    lib->set(curl, CURLOPT_ERRORBUFFER, NULL);
    if (code == CURLE_OK) {
        lib->get(curl, CURLINFO_RESPONSE_CODE, &status);
        lib->get(curl, CURLINFO_RETRY_AFTER, &wait);
    } else {
        buf_clear(&post->body);
        buf_text(&post->body, *why ? why : lib->why(code));
        if (post->too_large) status = TOO_LARGE;
    }
    a.status = (int32_t)status;
    a.wait_for = wait > 0 && wait < 86400 ? (int32_t)wait : 0;
    a.size = (uint32_t)post->body.size;
    return !post->body.failed && answer(to, &a, &post->body);
}

/* Until the parent closes its end. */
static void serve(const Curl *lib, CURL *curl, const CourierOptions *o, Post *post, int from,
                  int to)
{
    Request r;
    Buf url = {0}, body = {0};
    while (read_all(from, &r, sizeof r) && r.path < 256 && r.body <= MOST_REQUEST) {
        char path[256];
        void *room = mem_realloc(body.data, (size_t)r.body + 1);
        if (!room) break;
        body.data = room;
        body.size = r.body;
        if (!read_all(from, path, r.path) || !read_all(from, body.data, r.body)) break;
        path[r.path] = '\0';
        body.data[r.body] = '\0';
        buf_clear(&url);
        buf_printf(&url, "%s%s", o->address, path);
        if (url.failed || !perform(lib, curl, url.data, &body, post, to)) break;
    }
    buf_close(&url);
    mem_free(body.data);
}

/* Names, certificates and nothing else; no way to write. */
static void limit(void)
{
    static const SandboxGrant grants[] = {{"/etc", false},
                                          {"/usr", false},
                                          {"/lib", false},
                                          {"/lib64", false},
                                          {"/run/systemd/resolve", false},
                                          {"/run/resolvconf", false},
                                          {"/dev/urandom", false},
                                          {"/dev/null", false}};
    const SandboxOptions options = {
        .grants = grants, .n_grants = sizeof grants / sizeof *grants, .network = true};
    sandbox_enter(&options, NULL, NULL);
}

static void run_child(const CourierOptions *o, const char *key, int from, int to)
{
    char line[MOST_KEY + 32];
    struct curl_slist *headers = NULL;
    Post post = {.from = from};
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; null >= 0 && i < 2; i++) dup2(null, i);
    Curl lib;
    bool there = load_curl(&lib) && lib.global(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    limit();
    const Answer hello = {.status = there};
    if (os_write_all(to, &hello, sizeof hello, NULL) || !there) return;
    CURL *curl = lib.open();
    headers = lib.append(headers, "Content-Type: application/json");
    headers = lib.append(headers, "Accept: application/json");
    headers = lib.append(headers, "Expect:");
    headers = lib.append(headers, "User-Agent: bantam");
    snprintf(line, sizeof line, "Authorization: Bearer %s", key);
    if (*key) headers = lib.append(headers, line);
    if (curl && headers && set_up(&lib, curl, o, headers, &post))
        serve(&lib, curl, o, &post, from, to);
    buf_close(&post.body);
    lib.free_list(headers);
    lib.close(curl);
}

#else

#define NO_CURL                                                                                    \
    "this program was built without libcurl, which a teacher on a server needs: install its "      \
    "development files (make setup) and build again"

const char *courier_missing(void)
{
    return NO_CURL;
}

static void run_child(const CourierOptions *o, const char *key, int from, int to)
{
    (void)o, (void)key, (void)from, (void)to;
}

#endif

/* ---- the parent ---- */

bt_status courier_open(const CourierOptions *o, Courier **out, bt_error *err)
{
    char key[MOST_KEY];
    int down[2] = {-1, -1}, up[2] = {-1, -1};
    Courier *c = *out = mem_zalloc(1, sizeof *c);
    if (!c) return bt_fail_memory(err, "a courier", sizeof *c);
    bt_status status = take_key(o, key, err);
    if (!status && (pipe(down) != 0 || pipe(up) != 0))
        status = bt_fail(err, BT_E_SYSTEM, "no pipe: %s", strerror(errno));
    pid_t child = status ? -1 : fork();
    if (child == 0) {
        close(down[1]);
        close(up[0]);
        run_child(o, key, down[0], up[1]);
        _exit(0);
    }
    memset(key, 0, sizeof key);
    if (!status && child < 0) status = bt_fail(err, BT_E_SYSTEM, "no process: %s", strerror(errno));
    if (down[0] >= 0) close(down[0]);
    if (up[1] >= 0) close(up[1]);
    c->to = down[1];
    c->from = up[0];
    signal(SIGPIPE, SIG_IGN);
    Answer hello = {0};
    if (!status && (!read_all(c->from, &hello, sizeof hello) || !hello.status))
        status = bt_fail(err, BT_E_UNSUPPORTED, NO_CURL);
    if (status) courier_close(out);
    return status;
}

void courier_close(Courier **courier)
{
    Courier *c = *courier;
    if (!c) return;
    if (c->to >= 0) close(c->to);
    if (c->from >= 0) close(c->from);
    mem_free(c);
    *courier = NULL;
}

/* Waits for the answer, looking for Ctrl-C. */
static bt_status await(const Courier *c, bt_error *err)
{
    for (;;) {
        struct pollfd end = {.fd = c->from, .events = POLLIN};
        int n = poll(&end, 1, 200);
        if (interrupt_seen()) return bt_fail(err, BT_E_CANCELLED, "stopped");
        if (n > 0) return BT_OK;
        if (n < 0 && errno != EINTR)
            return bt_fail(err, BT_E_SYSTEM, "the courier: %s", strerror(errno));
    }
}

bt_status courier_post(Courier *c, const char *path, Span json, int *http, int32_t *wait_for,
                       Buf *body, bt_error *err)
{
    const Request r = {(uint32_t)strlen(path), (uint32_t)json.size};
    Answer a;
    if (json.size > MOST_REQUEST)
        return bt_fail(err, BT_E_LIMIT, "a request of over %zu MB", MOST_REQUEST >> 20);
    bt_status status = os_write_all(c->to, &r, sizeof r, err);
    if (!status) status = os_write_all(c->to, path, r.path, err);
    if (!status) status = os_write_all(c->to, json.data, json.size, err);
    if (status) return bt_fail(err, BT_E_SYSTEM, "the courier is gone");
    status = await(c, err);
    if (status) return status;
    buf_clear(body);
    void *room = read_all(c->from, &a, sizeof a) && a.size <= MOST_ANSWER
                     ? mem_realloc(body->data, (size_t)a.size + 1)
                     : NULL;
    if (!room) return bt_fail(err, BT_E_SYSTEM, "the courier is gone");
    body->data = room;
    body->capacity = (size_t)a.size + 1;
    if (!read_all(c->from, body->data, a.size))
        return bt_fail(err, BT_E_SYSTEM, "the courier is gone");
    body->size = a.size;
    body->data[a.size] = '\0';
    if (a.status == TOO_LARGE)
        return bt_fail(err, BT_E_LIMIT, "the server sent over %zu MB in one answer",
                       MOST_ANSWER >> 20);
    *http = a.status;
    *wait_for = a.wait_for;
    return BT_OK;
}
