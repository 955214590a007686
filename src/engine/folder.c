/* A maker's folder, opened as a model or written as GGUF (see folder.h). Both go through the plan
 * of convert/, and through the loader of the architecture, which knows every tensor and its shape:
 * what a folder lacks is refused before a byte is written. */
#include "engine/folder.h"

#include <string.h>

#include "base/log.h"
#include "engine/model.h"

static void tell_notes(const char *folder, const char *notes)
{
    while (*notes) {
        size_t n = strcspn(notes, "\n");
        log_line(BT_LOG_WARN, "%s: %.*s", folder, (int)n, notes);
        notes += n + (notes[n] == '\n');
    }
}

bt_status folder_open(const char *folder, const bt_model_options *options, Gguf **out,
                      bt_error *err)
{
    ConvertOptions o = {.vocab_only = options->vocab_only,
                        .progress = options->progress,
                        .progress_user = options->progress_user};
    Convert *c;
    *out = NULL;
    bt_status status = convert_open(folder, &o, &c, err);
    if (status) return status;
    tell_notes(folder, convert_notes(c));
    return convert_index(&c, options->vocab_only, out, err);
}

bt_status model_index_open(const char *path, Gguf **out, bt_error *err)
{
    Convert *c;
    *out = NULL;
    if (!convert_is_folder(path)) return gguf_open(path, NULL, out, err);
    bt_status status = convert_open(path, NULL, &c, err);
    return status ? status : convert_index(&c, true, out, err);
}

static bool read_type(const char *text, ConvertType *out)
{
    static const char *const names[] = {"auto", "f32", "f16", "bf16", "q8_0"};
    *out = CONVERT_AUTO;
    for (int i = 0; text && i < 5; i++)
        if (strcmp(text, names[i]) == 0) *out = (ConvertType)i;
    return !text || strcmp(text, names[*out]) == 0;
}

/* Opens the plan as a model, without weights. An architecture that does not run here may run
 * elsewhere: it is written, and that is said. */
static bt_status check_plan(Convert *c, const char *folder, bt_error *err)
{
    Gguf *view;
    bt_model *model = NULL;
    Span arch = SPAN("");
    bt_status status = convert_view(c, &view, err);
    if (!status) status = gguf_get_span(view, "general.architecture", true, &arch, err);
    bool known = !status && arch_find(arch);
    if (!status && !known)
        log_line(BT_LOG_WARN, "%s: its tensors are not checked: %.*s does not run here yet", folder,
                 (int)arch.size, arch.data);
    bt_model_options o = {.no_cache = true, .n_threads = 1, .vocab_only = !known};
    if (!status) status = model_open_gguf(&view, &o, &model, err);
    gguf_close(&view);
    bt_model_close(&model);
    return status;
}

bt_status folder_plan(const char *folder, const ConvertOptions *options, Convert **out,
                      bt_error *err)
{
    bt_status status = convert_open(folder, options, out, err);
    if (status) return status;
    tell_notes(folder, convert_notes(*out));
    status = check_plan(*out, folder, err);
    if (status) {
        convert_close(out);
    }
    return status;
}

bt_status bt_convert(const char *folder, const char *path, const bt_convert_options *options,
                     bt_error *err)
{
    static const bt_convert_options defaults;
    const bt_convert_options *o = options ? options : &defaults;
    ConvertOptions convert = {.progress = o->progress, .progress_user = o->progress_user};
    Convert *c = NULL;
    bt_error_clear(err);
    if (!folder || !*folder || !path || !*path)
        return bt_fail(err, BT_E_ARGUMENT, "a folder and a file to write must be named");
    if (!read_type(o->type, &convert.type))
        return bt_fail(err, BT_E_ARGUMENT,
                       "type '%s' is not written here (auto, f32, f16, bf16 and q8_0 are)",
                       o->type);
    if (!convert_is_folder(folder))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: no folder with a config.json; name the folder that the model's makers "
                       "publish",
                       folder);
    bt_status status = folder_plan(folder, &convert, &c, err);
    if (!status) status = convert_write(c, path, err);
    convert_close(&c);
    return status;
}
