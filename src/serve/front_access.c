/* Who may ask: names in Host (a page that rebinds its name to this address still sends its own
 * name), pages in Origin, API keys and their limits. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/sha256.h"
#include "serve/front_parts.h"

/* "name:port" to the name, without brackets; false when it is no host. */
static bool host_name(const char *host, char *out, size_t size)
{
    const char *end;
    if (!host || !*host) return false;
    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end || (end[1] && end[1] != ':')) return false;
    } else {
        end = strrchr(host, ':');
        if (!end) end = host + strlen(host);
    }
    const size_t n = (size_t)(end - host);
    if (n == 0 || n >= size) return false;
    for (size_t i = 0; i < n; i++) out[i] = (char)tolower((unsigned char)host[i]);
    out[n] = 0;
    return true;
}

/* No name can be rebound to where an address stands. */
static bool is_address(const char *name)
{
    return name[strspn(name, "0123456789.")] == 0 || strchr(name, ':') != NULL;
}

bool access_host(const Front *f, const char *host)
{
    char name[256];
    if (!host) return true; /* HTTP/1.0; no browser leaves it out */
    if (!host_name(host, name, sizeof name)) return false;
    const size_t n = strlen(name);
    if (is_address(name) || strcmp(name, "localhost") == 0) return true;
    if (n > 10 && strcmp(name + n - 10, ".localhost") == 0) return true;
    for (size_t i = 0; i < f->o->n_hosts; i++)
        if (strcasecmp(f->o->hosts[i], name) == 0) return true;
    return false;
}

bool access_origin(const Front *f, const char *origin, const char *host)
{
    const char *scheme = f->o->tls_cert ? "https://" : "http://";
    const size_t n = strlen(scheme);
    for (size_t i = 0; i < f->o->n_origins; i++) {
        const char *allowed = f->o->origins[i];
        if (strcmp(allowed, "*") == 0 || strcasecmp(allowed, origin) == 0) return true;
    }
    /* This server's own pages. */
    return host && strncmp(origin, scheme, n) == 0 && strcasecmp(origin + n, host) == 0;
}

int access_key(const Front *f, struct MHD_Connection *mhd)
{
    unsigned char hash[SHA256_BYTES];
    int found = -2;
    if (!f->o->n_keys) return -1;
    const char *given = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "authorization");
    if (given && strncasecmp(given, "bearer ", 7) == 0) {
        given += 7;
        given += strspn(given, " ");
    } else {
        given = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "x-api-key");
    }
    if (!given || strlen(given) > 1024) return -2;
    sha256(given, strlen(given), hash);
    for (size_t i = 0; i < f->o->n_keys; i++)
        if (same_bytes(hash, f->o->keys[i].hash, sizeof hash)) found = (int)i;
    return found;
}

/* ---- limits of a key ---- */

static KeyUse *use_now(Request *r, int *seconds_left)
{
    KeyUse *u = &r->front->use[r->key];
    const time_t now = time(NULL);
    if (u->minute != now / 60) {
        u->minute = now / 60;
        u->requests = 0;
        u->tokens = 0;
    }
    *seconds_left = 60 - (int)(now % 60);
    return u;
}

bool access_limits(Request *r)
{
    int left;
    if (r->key < 0) return true;
    const FrontKey *key = &r->front->o->keys[r->key];
    KeyUse *u = use_now(r, &left);
    if (r->route.where == API_BY_WORKER) {
        if (key->concurrent && u->running >= key->concurrent) {
            say_busy(r, 1, "this key may have %d requests at once", key->concurrent);
            return false;
        }
        if (key->tokens_per_minute && u->tokens >= key->tokens_per_minute) {
            say_busy(r, left, "this key may use %lld tokens a minute",
                     (long long)key->tokens_per_minute);
            return false;
        }
    }
    if (key->per_minute && u->requests >= key->per_minute) {
        say_busy(r, left, "this key may send %d requests a minute", key->per_minute);
        return false;
    }
    u->requests++;
    u->total_requests++;
    u->running++;
    r->counted = true;
    return true;
}

void access_used(Request *r, const WireUsage *usage)
{
    int left;
    if (r->key < 0) return;
    KeyUse *u = use_now(r, &left);
    u->tokens += (int64_t)usage->prompt + usage->completion;
    u->total_tokens += (uint64_t)usage->prompt + usage->completion;
}

void access_done(Request *r)
{
    if (!r->counted) return;
    r->counted = false;
    r->front->use[r->key].running--;
}
