/* metrics.jsonl and loss.svg (see metrics.h). */
#include "train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "train/checkpoint.h"

typedef struct Points {
    PlotPoint *items;
    size_t n, capacity;
} Points;

struct Metrics {
    char *path, *plot;
    int fd;
    uint64_t bytes;
    bool told;
    Points loss, eval;
};

/* A point that finds no memory is not drawn. */
static void add_point(Points *p, double x, double y)
{
    if (p->n == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 1024;
        PlotPoint *more = mem_realloc(p->items, capacity * sizeof *more);
        if (!more) return;
        p->items = more;
        p->capacity = capacity;
    }
    p->items[p->n++] = (PlotPoint){x, y};
}

/* A number of one of our own lines; NaN when it has none of that name. */
static double number_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    char *end;
    if (!at) return NAN;
    double value = strtod(at + strlen(key), &end);
    return end == at + strlen(key) ? NAN : value;
}

static void read_line(Metrics *m, const char *line)
{
    double step = number_of(line, "\"step\":"), loss = number_of(line, "\"loss\":");
    double eval = number_of(line, "\"eval/loss\":");
    if (isfinite(step) && isfinite(loss)) add_point(&m->loss, step, loss);
    if (isfinite(step) && isfinite(eval)) add_point(&m->eval, step, eval);
}

/* Lines that a run before this one wrote are drawn too. */
static void read_back(Metrics *m)
{
    char line[512];
    size_t n = 0;
    char chunk[4096];
    ssize_t got;
    if (lseek(m->fd, 0, SEEK_SET) != 0) return;
    while ((got = read(m->fd, chunk, sizeof chunk)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (chunk[i] != '\n') {
                if (n + 1 < sizeof line) line[n++] = chunk[i];
                continue;
            }
            line[n] = '\0';
            n = 0;
            read_line(m, line);
        }
}

bt_status metrics_open(const char *folder, uint64_t keep, Metrics **out, bt_error *err)
{
    *out = NULL;
    Metrics *m = mem_zalloc(1, sizeof *m);
    if (!m) return bt_fail_memory(err, "metrics", sizeof *m);
    m->fd = -1;
    m->path = run_path(folder, "metrics.jsonl");
    m->plot = run_path(folder, "loss.svg");
    bt_status status = m->path && m->plot ? BT_OK : bt_fail_memory(err, "a path", strlen(folder));
    if (!status) m->fd = open(m->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    off_t size = m->fd < 0 ? 0 : lseek(m->fd, 0, SEEK_END);
    if (keep > (uint64_t)(size > 0 ? size : 0)) keep = (uint64_t)size;
    if (!status && (m->fd < 0 || size < 0 || ftruncate(m->fd, (off_t)keep) != 0))
        status = bt_fail(err, BT_E_IO, "%s: cannot be written: %s", m->path, os_why(errno));
    if (status) {
        metrics_close(&m);
        return status;
    }
    m->bytes = keep;
    read_back(m);
    lseek(m->fd, (off_t)keep, SEEK_SET);
    *out = m;
    return BT_OK;
}

void metrics_close(Metrics **metrics)
{
    Metrics *m = *metrics;
    if (!m) return;
    if (m->fd >= 0) close(m->fd);
    mem_free(m->path);
    mem_free(m->plot);
    mem_free(m->loss.items);
    mem_free(m->eval.items);
    mem_free(m);
    *metrics = NULL;
}

/* JSON has no NaN. */
static void add_number(Buf *b, const char *key, double value)
{
    if (isfinite(value))
        buf_printf(b, ",\"%s\":%.7g", key, value);
    else
        buf_printf(b, ",\"%s\":null", key);
}

void metrics_add(Metrics *m, const MetricsLine *l)
{
    Buf b = {0};
    bt_error err = {0};
    buf_printf(&b, "{\"step\":%lld", (long long)l->step);
    add_number(&b, "loss", l->loss);
    add_number(&b, "lr", l->rate);
    add_number(&b, "grad_norm", l->grad_norm);
    buf_printf(&b, ",\"tokens\":%llu", (unsigned long long)l->tokens);
    add_number(&b, "tokens_per_s", l->tokens_per_s);
    if (!isnan(l->eval_loss)) {
        add_number(&b, "eval/loss", l->eval_loss);
        buf_printf(&b, ",\"eval/tokens\":%llu", (unsigned long long)l->eval_tokens);
    }
    buf_text(&b, "}\n");
    bt_status status =
        b.failed ? bt_fail_memory(&err, "a line", 200) : os_write_all(m->fd, b.data, b.size, &err);
    if (!b.failed) read_line(m, b.data);
    if (!status) {
        m->bytes += b.size;
    } else {
        bool cut = ftruncate(m->fd, (off_t)m->bytes) == 0; /* no half lines */
        if (cut) lseek(m->fd, (off_t)m->bytes, SEEK_SET);
        if (!m->told) log_line(BT_LOG_WARN, "%s: lines are lost: %s", m->path, err.text);
        m->told = true;
    }
    buf_close(&b);
}

uint64_t metrics_bytes(const Metrics *m)
{
    return m->bytes;
}

static bt_status write_text(void *user, int fd, bt_error *err)
{
    const char *text = user;
    return os_write_all(fd, text, strlen(text), err);
}

void metrics_plot(Metrics *m)
{
    bt_error err = {0};
    char *svg = plot_svg(m->loss.items, m->loss.n, m->eval.items, m->eval.n);
    if (svg && os_replace_file(m->plot, write_text, svg, &err) != BT_OK && !m->told) {
        log_line(BT_LOG_WARN, "no plot is written: %s", err.text);
        m->told = true;
    }
    mem_free(svg);
}
