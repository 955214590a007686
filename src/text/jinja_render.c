/* One rendering: the names given, the run within its limits, and the text that came out, with what
 * of it the template said itself (see jinja.h). */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/jinja_vm.h"
#include "text/utf8.h"

static bool own_words(const char *const *own, const char *name)
{
    for (; own && *own; own++)
        if (strcmp(*own, name) == 0) return true;
    return false;
}

static void set_up(JVm *vm, const JinjaInput *input)
{
    J *j = &vm->j;
    const JinjaTemplate *t = vm->t;
    vm->variables = j_array(j, t->n_names, sizeof *vm->variables);
    for (size_t i = 0; i < t->n_names; i++) {
        Span name = t->names[i];
        char text[128];
        const json_t *given = NULL;
        if (name.size < sizeof text) {
            memcpy(text, name.data, name.size);
            text[name.size] = '\0';
            given = json_object_get(input->context, text);
        }
        int global = j_global_find(name);
        vm->variables[i] = (JValue){.type = J_MISSING};
        if (given)
            vm->variables[i] = j_from_json(j, given, !own_words(input->own, text));
        else if (global >= 0)
            vm->variables[i] = (JValue){.type = J_GLOBAL, .global = global};
    }
    vm->out = (JOut){.j = j, .data = j_array(j, 256, sizeof *vm->out.data), .capacity = 256};
    vm->stack = vm_grown(j, NULL, 0, &vm->capacity, sizeof *vm->stack);
}

/* The code points as UTF-8, and which runs are whose. */
static bt_status deliver(const JOut *text, Buf *out, JinjaParts *parts, bt_error *err)
{
    size_t start = out->size, n_runs = 0;
    char utf8[4];
    for (size_t i = 0; i < text->size; i++) {
        uint32_t c = J_CODE(text->data[i]);
        if (c >= J_RAW)
            buf_char(out, (char)(unsigned char)(c - J_RAW));
        else if (c < 0x80)
            buf_char(out, (char)c);
        else
            buf_add(out, utf8, utf8_put(c, utf8));
        n_runs += i == 0 || (text->data[i] ^ text->data[i - 1]) & J_SAID;
    }
    buf_add(out, "", 0);
    if (out->failed) return bt_fail_memory(err, "the rendered conversation", text->size);
    if (!parts) return BT_OK;
    jinja_parts_close(parts);
    parts->items = mem_zalloc(n_runs + 1, sizeof *parts->items);
    if (!parts->items) return bt_fail_memory(err, "the rendered conversation", n_runs);
    const char *at = out->data + start;
    for (size_t i = 0; i < text->size; i++) {
        uint32_t c = J_CODE(text->data[i]);
        if (i == 0 || (text->data[i] ^ text->data[i - 1]) & J_SAID)
            parts->items[parts->n++] = (TokPart){{at, 0}, !(text->data[i] & J_SAID)};
        size_t size = c >= J_RAW ? 1 : utf8_put(c, utf8);
        parts->items[parts->n - 1].text.size += size;
        at += size;
    }
    return BT_OK;
}

bt_status jinja_render(const JinjaTemplate *t, const JinjaInput *input, Buf *out, JinjaParts *parts,
                       bt_error *err)
{
    jmp_buf leave;
    const JinjaLimits *limits = &input->limits;
    JVm *vm = mem_zalloc(1, sizeof *vm);
    if (!vm) return bt_fail_memory(err, "a chat template", sizeof *vm);
    vm->t = t;
    vm->j.leave = &leave;
    vm->j.err = err;
    vm->j.source = t->source;
    vm->j.now = input->now;
    vm->j.most_steps = limits->steps ? limits->steps : 20000000u;
    vm->j.limit = limits->memory ? limits->memory : 512u << 20;
    vm->j.deadline = os_seconds() + (limits->seconds > 0 ? limits->seconds : 5);
    vm->most_output = limits->output ? limits->output : 32000000u;
    vm->most_frames = limits->depth ? limits->depth : 200;
    bt_status status = BT_OK;
    if (setjmp(leave)) {
        status = vm->j.status;
    } else {
        set_up(vm, input);
        vm_run(vm);
    }
    if (!status) status = deliver(&vm->out, out, parts, err);
    j_heap_close(&vm->j);
    mem_free(vm);
    return status;
}

void jinja_parts_close(JinjaParts *parts)
{
    mem_free(parts->items);
    *parts = (JinjaParts){0};
}
