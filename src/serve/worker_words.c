/* Why a model cannot be used, as clients are told it (see worker.h): errors of the library name
 * files by their paths, which say who the user is and where he keeps things. The path is in the
 * supervisor's log. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/span.h"
#include "serve/worker.h"

/* Every `from` in *text becomes `to`; where the text begins with it and a colon, both go. */
static void replace(Buf *text, Span from, const char *to)
{
    Buf out = {0};
    if (from.size < 2 || !text->data) return;
    for (size_t i = 0; i < text->size;) {
        bool here =
            text->size - i >= from.size && memcmp(text->data + i, from.data, from.size) == 0;
        if (!here) {
            buf_char(&out, text->data[i++]);
            continue;
        }
        i += from.size;
        if (!out.size && text->size - i >= 2 && memcmp(text->data + i, ": ", 2) == 0)
            i += 2;
        else
            buf_text(&out, to);
    }
    buf_add(&out, "", 0);
    buf_close(text);
    *text = out;
}

/* Other files of its folder lose the folder: the parts of a model that is split. */
static Span folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return (Span){path, slash ? (size_t)(slash - path) + 1 : 0};
}

void worker_words(const WorkerModel *m, const char *what, bt_error *err)
{
    Buf text = {0};
    buf_text(&text, err->text);
    for (size_t i = 0; i < m->n_adapters; i++)
        replace(&text, span_of(m->adapters[i].path), m->adapters[i].name);
    replace(&text, span_of(m->path), m->name);
    if (m->cache_dir) replace(&text, span_of(m->cache_dir), "the cache");
    if (m->spill_dir) replace(&text, span_of(m->spill_dir), "the cache");
    for (size_t i = 0; i < m->n_adapters; i++) replace(&text, folder(m->adapters[i].path), "");
    replace(&text, folder(m->path), "");
    const char *why = text.failed || !text.data ? "not enough memory to say why" : text.data;
    if (what)
        snprintf(err->text, sizeof err->text, "model '%.60s' %s: %s", m->name, what, why);
    else
        snprintf(err->text, sizeof err->text, "%s", why);
    buf_close(&text);
}
