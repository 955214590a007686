/* Calls of macros, functions, methods, filters and tests, and coming back from macros (see
 * jinja_vm.h). */
#include <string.h>

#include "text/jinja_vm.h"

static size_t named(const JArgs *args, JValue name)
{
    size_t i = 0;
    while (i < args->n_kw && !j_str_equal(args->kw[2 * i].str, name.str)) i++;
    return i;
}

/* Arguments that were named and taken are marked by J_MISSING as value. */
static void macro_extras(JVm *vm, const JFunction *f, JScope *scope, const JArgs *args,
                         const char *name)
{
    J *j = &vm->j;
    size_t more = args->n_pos > f->n_args ? args->n_pos - f->n_args : 0;
    JDict *rest = j_dict(j);
    if (f->caller) {
        size_t at = named(args, vm_name(vm, vm->t->caller));
        JValue caller =
            at < args->n_kw ? args->kw[2 * at + 1] : j_undefined_hint(j, "No caller defined");
        if (at < args->n_kw) args->kw[2 * at + 1].type = J_MISSING;
        vm_define(j, scope, vm->t->caller, caller);
    }
    for (size_t i = 0; i < args->n_kw; i++) {
        if (args->kw[2 * i + 1].type == J_MISSING) continue;
        if (!f->kwargs) {
            JOut out = {.j = j};
            j_print(&out, args->kw[2 * i], true);
            j_fail(j, BT_E_FORMAT, "macro %s takes no keyword argument %s", name,
                   j_utf8(j, j_out_take(&out)));
        }
        j_dict_set(j, rest, args->kw[2 * i], args->kw[2 * i + 1]);
    }
    if (f->kwargs) vm_define(j, scope, vm->t->kwargs, (JValue){.type = J_DICT, .dict = rest});
    if (!f->varargs && more)
        j_fail(j, BT_E_FORMAT, "macro %s takes not more than %u argument(s)", name, f->n_args);
    if (!f->varargs) return;
    JList *list = j_list(j, JK_TUPLE, more);
    for (size_t i = 0; i < more; i++) list->items[i] = args->pos[f->n_args + i];
    vm_define(j, scope, vm->t->varargs, j_list_close(j, list));
}

static void call_macro(JVm *vm, const JMacro *macro, const JArgs *args, size_t stack)
{
    J *j = &vm->j;
    const JFunction *f = &vm->t->functions[macro->function];
    JScope *scope = j_alloc(j, sizeof *scope);
    const char *name = "None";
    if (f->name != UINT32_MAX) {
        JOut out = {.j = j};
        j_print(&out, vm_name(vm, f->name), true);
        name = j_utf8(j, j_out_take(&out));
    }
    *scope = (JScope){.parent = macro->scope};
    for (uint32_t i = 0; i < f->n_args; i++) {
        JValue v = {.type = J_MISSING};
        if (i < args->n_pos) {
            v = args->pos[i];
        } else {
            size_t at = named(args, vm_name(vm, f->args[i]));
            if (at < args->n_kw) {
                v = args->kw[2 * at + 1];
                args->kw[2 * at + 1].type = J_MISSING;
            }
        }
        vm_define(j, scope, f->args[i], v);
    }
    macro_extras(vm, f, scope, args, name);
    if (vm->n_frames == vm->most_frames)
        j_fail(j, BT_E_LIMIT, "macros call each other more than %u deep", vm->most_frames);
    vm->frames = vm_grown(j, vm->frames, vm->n_frames, &vm->frames_capacity, sizeof *vm->frames);
    vm->frames[vm->n_frames++] =
        (JFrame){vm->pc, vm->scope, scope, vm->loop, stack, vm->n_captures};
    vm_capture(vm);
    vm->scope = scope;
    vm->loop = NULL;
    vm->pc = f->start - 1;
}

void vm_return(JVm *vm)
{
    JFrame frame = vm->frames[--vm->n_frames];
    JValue text = vm_captured(vm);
    vm->pc = frame.back;
    vm->scope = frame.scope;
    vm->loop = frame.loop;
    vm->n = frame.stack;
    vm_drop_captures(vm, frame.captures);
    vm_push(vm, text);
}

/* *list and **dict, which lie on top, join the arguments in new memory. */
static void spread(JVm *vm, unsigned flags, JArgs *args)
{
    J *j = &vm->j;
    JValue dict = {0}, list = {0};
    size_t n_kw = args->n_kw, n_pos = args->n_pos;
    if (flags & JCALL_DICT) dict = vm_pop(vm);
    if (flags & JCALL_LIST) list = vm_pop(vm);
    if ((flags & JCALL_DICT) && dict.type != J_DICT)
        j_fail(j, BT_E_FORMAT, "argument after ** must be a mapping, not %s", j_type_name(dict));
    JList *more = flags & JCALL_LIST ? j_iterate(j, list) : j_list(j, JK_LIST, 0);
    size_t n_more = flags & JCALL_DICT ? dict.dict->n : 0;
    JValue *pos = j_array(j, n_pos + more->n, sizeof *pos);
    JValue *kw = j_array(j, n_kw + n_more, 2 * sizeof *kw);
    if (n_pos) memcpy(pos, args->pos, n_pos * sizeof *pos);
    if (more->n) memcpy(pos + n_pos, more->items, more->n * sizeof *pos);
    if (n_kw) memcpy(kw, args->kw, 2 * n_kw * sizeof *kw);
    for (size_t i = 0; i < n_more; i++) {
        if (dict.dict->keys[i].type != J_STR) j_fail(j, BT_E_FORMAT, "keywords must be strings");
        kw[2 * (n_kw + i)] = dict.dict->keys[i];
        kw[2 * (n_kw + i) + 1] = dict.dict->values[i];
    }
    *args = (JArgs){pos, kw, n_pos + more->n, n_kw + n_more};
}

static JArgs arguments(JVm *vm, const JOp *op, size_t *under)
{
    size_t n_pos = (size_t)op->a, n_kw = op->b;
    size_t star = !!(op->flags & JCALL_LIST) + !!(op->flags & JCALL_DICT);
    size_t first = vm->n - star - 2 * n_kw - n_pos;
    JArgs args = {vm->stack + first, vm->stack + first + n_pos, n_pos, n_kw};
    if (star) spread(vm, op->flags, &args);
    *under = first - 1;
    return args;
}

void vm_call(JVm *vm, const JOp *op)
{
    J *j = &vm->j;
    size_t under;
    JArgs args = arguments(vm, op, &under);
    JValue f = vm->stack[under], result;
    if (f.type == J_MACRO) {
        call_macro(vm, f.macro, &args, under);
        return;
    }
    j_need_defined(j, f);
    switch ((JType)f.type) {
    case J_METHOD: result = j_call_method(j, f.method, &args); break;
    case J_GLOBAL: result = j_call_global(j, f.global, &args); break;
    case J_JOINER: {
        bool first = !f.cycler->used;
        f.cycler->used = true;
        result = first ? j_text(j, "") : f.cycler->separator;
        break;
    }
    default: j_fail(j, BT_E_FORMAT, "'%s' object is not callable", j_type_name(f));
    }
    vm->n = under;
    vm_push(vm, result);
}

void vm_filter_or_test(JVm *vm, const JOp *op)
{
    J *j = &vm->j;
    bool test = op->op == JO_TEST;
    size_t under;
    JArgs args = arguments(vm, op, &under);
    if (op->id == JCALL_UNKNOWN)
        j_fail(j, BT_E_FORMAT, "No %s named '%s' found.", test ? "test" : "filter",
               j_utf8(j, vm->t->constants[op->c]));
    JValue v = vm->stack[under];
    JValue result = test ? j_bool(j_test(j, op->id, v, &args) != !!(op->flags & JCALL_NOT))
                         : j_filter(j, op->id, v, &args);
    vm->n = under;
    vm_push(vm, result);
}

JValue vm_macro(JVm *vm, uint32_t function)
{
    JMacro *macro = j_alloc(&vm->j, sizeof *macro);
    *macro = (JMacro){function, vm->scope};
    return (JValue){.type = J_MACRO, .macro = macro};
}
