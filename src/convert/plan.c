/* Opening a folder and planning its conversion (see plan.h). */
#include "convert/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"

void plan_fail(Convert *c, bt_status status, const char *format, ...)
{
    va_list args;
    if (plan_failed(c)) return;
    va_start(args, format);
    c->status = bt_failv(c->err, status, format, args);
    va_end(args);
    bt_error_prefix(c->err, c->folder);
}

void plan_note(Convert *c, const char *format, ...)
{
    char line[400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_printf(&c->notes, "%s\n", line);
}

const char *convert_notes(const Convert *c)
{
    return c->notes.data && !c->notes.failed ? c->notes.data : "";
}

/* Takes `memory` (of mem_*) over; NULL is a recorded failure. */
static void *keep(Convert *c, void *memory)
{
    if (memory && c->n_items == c->items_capacity) {
        size_t capacity = c->items_capacity ? 2 * c->items_capacity : 256;
        void **items = mem_realloc(c->items, capacity * sizeof *items);
        if (!items) {
            mem_free(memory);
            memory = NULL;
        } else {
            c->items = items;
            c->items_capacity = capacity;
        }
    }
    if (memory)
        c->items[c->n_items++] = memory;
    else
        plan_fail(c, BT_E_MEMORY, "not enough memory for the plan of the conversion");
    return memory;
}

void *plan_memory(Convert *c, size_t count, size_t size)
{
    return plan_failed(c) ? NULL : keep(c, mem_zalloc(count ? count : 1, size));
}

const char *plan_path(Convert *c, const char *name)
{
    size_t n = strlen(c->folder), m = strlen(name);
    char *path = plan_memory(c, n + m + 2, 1);
    if (!path) return NULL;
    memcpy(path, c->folder, n);
    path[n] = '/';
    memcpy(path + n + 1, name, m + 1);
    return path;
}

static bool is_there(const char *path)
{
    struct stat at;
    return path && stat(path, &at) == 0 && S_ISREG(at.st_mode);
}

/* The file of that name in a folder in memory. */
static Span in_memory(const Convert *c, const char *name)
{
    const ConvertFiles *f = c->files;
    const struct {
        const char *name;
        Span text;
    } all[] = {{"config.json", f->config},
               {"tokenizer.json", f->tokenizer},
               {"tokenizer_config.json", f->tok_config},
               {"tokenizer.model", f->spm}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(name, all[i].name) == 0) return all[i].text;
    return (Span){0};
}

void plan_json(Convert *c, const char *name, Jdoc **out)
{
    if (plan_failed(c)) return;
    if (c->files) {
        Span text = in_memory(c, name);
        if (text.data) c->status = jdoc_open(text.data, text.size, name, out, c->err);
        return;
    }
    const char *path = plan_path(c, name);
    if (!is_there(path) || plan_failed(c)) return;
    c->status = jdoc_open_file(path, out, c->err);
}

Span plan_file(Convert *c, const char *name)
{
    OsMap map;
    if (c->files) return in_memory(c, name);
    const char *path = plan_path(c, name);
    if (!is_there(path) || plan_failed(c)) return (Span){0};
    c->status = os_map_open(path, &map, c->err);
    if (plan_failed(c)) return (Span){0};
    char *copy = plan_memory(c, map.size + 1, 1);
    if (copy && map.size) memcpy(copy, map.data, map.size);
    Span text = {copy, copy ? map.size : 0};
    bt_status lost = os_map_check(&map, path, c->err);
    if (lost && !plan_failed(c)) c->status = lost;
    os_map_close(&map);
    return text;
}

bool convert_is_folder(const char *path)
{
    char config[4096];
    struct stat at;
    if (!path || stat(path, &at) != 0 || !S_ISDIR(at.st_mode)) return false;
    snprintf(config, sizeof config, "%s/config.json", path);
    return is_there(config);
}

/* ---- opening ---- */

static void find_text_model(Convert *c)
{
    static const char *const names[] = {"text_config", "llm_config", "language_config", NULL};
    c->text = 0;
    for (const char *const *n = names; *n; n++) {
        JdocRef v = jdoc_get(c->config, 0, *n);
        if (jdoc_type(c->config, v) == JDOC_OBJECT) {
            c->text = v;
            return;
        }
    }
}

/* The text model's own type if a row has it, else the whole's. */
static void find_family(Convert *c)
{
    Span inner = jdoc_text(c->config, jdoc_get(c->config, c->text, "model_type"));
    Span outer = jdoc_text(c->config, jdoc_get(c->config, 0, "model_type"));
    c->family = family_find(outer);
    if (!c->family) c->family = family_find(inner);
    if (!c->family)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: the model_type '%.*s' is not known; docs/convert.md lists those "
                  "that are",
                  (int)(outer.size < 80 ? outer.size : 80), outer.data);
}

static void read_config(Convert *c)
{
    plan_json(c, "config.json", &c->config);
    if (!plan_failed(c) && !c->config)
        plan_fail(c, BT_E_FORMAT, "no config.json; name the folder as its makers publish it");
    if (!plan_failed(c) && jdoc_type(c->config, 0) != JDOC_OBJECT)
        plan_fail(c, BT_E_FORMAT, "config.json holds no object; fetch it again");
    if (plan_failed(c)) return;
    find_text_model(c);
    find_family(c);
    plan_json(c, "tokenizer.json", &c->tokenizer);
    plan_json(c, "tokenizer_config.json", &c->tok_config);
    plan_json(c, "generation_config.json", &c->generation);
}

/* How the whole is called that these types make. */
static void put_file_type(Convert *c)
{
    static const uint32_t types[] = {
        [CONVERT_F32] = 0, [CONVERT_F16] = 1, [CONVERT_Q8_0] = 7, [CONVERT_BF16] = 32};
    ConvertType type = c->options.type;
    uint64_t most = 0;
    for (size_t i = 0; i < c->n_outs && c->options.type == CONVERT_AUTO; i++) {
        const ConvOut *o = c->outs[i];
        if (out_bytes(o) <= most || o->mxfp4) continue;
        most = out_bytes(o);
        type = o->type == 0 ? CONVERT_F32 : o->type == 1 ? CONVERT_F16 : CONVERT_BF16;
    }
    if (plan_failed(c)) return;
    uint32_t number = types[type == CONVERT_AUTO ? CONVERT_BF16 : type];
    for (size_t i = 0; i < c->n_outs; i++)
        if (c->outs[i]->mxfp4) number = 38; /* experts in MXFP4 */
    gguf_put_u32(c->writer, "general.file_type", number);
    gguf_put_u32(c->writer, "general.quantization_version", 2);
}

static void open_weights(Convert *c)
{
    if (!c->files)
        c->status = st_open(c->folder, &c->st, c->err);
    else
        c->status = st_open_memory(c->files->weights.data, c->files->weights.size, c->folder,
                                   &c->st, c->err);
}

static void open_plan(Convert *c)
{
    c->writer = gguf_writer_open();
    if (!c->writer) plan_fail(c, BT_E_MEMORY, "not enough memory for a GGUF header");
    read_config(c);
    if (!plan_failed(c) && !c->options.vocab_only && !c->scratch) open_weights(c);
    plan_keys(c);
    if (c->scratch) plan_scratch(c);
    plan_ranker(c);
    if (!c->labels) plan_pooling(c);
    plan_tensors(c);
    plan_ranker_head(c);
    put_file_type(c);
    if (c->scratch)
        plan_vocab_copy(c);
    else
        plan_vocab(c);
    for (int i = 0; c->st && i < st_n_shards(c->st) && !plan_failed(c); i++)
        c->status = os_map_check(st_shard(c->st, i), st_shard_path(c->st, i), c->err);
}

static bt_status open_new(const char *folder, const ConvertFiles *files,
                          const ConvertScratch *scratch, const ConvertOptions *options,
                          Convert **out, bt_error *err)
{
    bt_error ignored;
    size_t n = strlen(folder);
    *out = NULL;
    Convert *c = mem_zalloc(1, sizeof *c);
    if (!c) return bt_fail_memory(err, folder, sizeof *c);
    while (n > 1 && folder[n - 1] == '/') n--;
    c->err = err ? err : &ignored;
    c->folder = mem_strndup(folder, n);
    c->files = files;
    c->scratch = scratch;
    if (options) c->options = *options;
    if (c->folder)
        open_plan(c);
    else
        c->status = bt_fail_memory(err, folder, n);
    bt_status status = c->status;
    c->err = NULL;
    if (status) convert_close(&c);
    *out = c;
    return status;
}

bt_status convert_open(const char *folder, const ConvertOptions *options, Convert **out,
                       bt_error *err)
{
    return open_new(folder, NULL, NULL, options, out, err);
}

bt_status convert_open_memory(const ConvertFiles *files, const ConvertOptions *options,
                              Convert **out, bt_error *err)
{
    return open_new("memory", files, NULL, options, out, err);
}

bt_status convert_open_scratch(const ConvertScratch *scratch, Convert **out, bt_error *err)
{
    ConvertFiles files = {.config = scratch->config};
    ConvertOptions options = {.type = CONVERT_F32};
    bt_status status = open_new(scratch->path, &files, scratch, &options, out, err);
    if (!status) (*out)->files = NULL; /* read by now */
    return status;
}

void convert_close(Convert **convert)
{
    Convert *c = *convert;
    if (!c) return;
    for (size_t i = 0; i < c->n_items; i++) mem_free(c->items[i]);
    mem_free(c->items);
    mem_free(c->outs);
    gguf_writer_close(&c->writer);
    st_close(&c->st);
    jdoc_close(&c->config);
    jdoc_close(&c->tokenizer);
    jdoc_close(&c->tok_config);
    jdoc_close(&c->generation);
    buf_close(&c->notes);
    mem_free(c->folder);
    mem_free(c);
    *convert = NULL;
}
