/* What a running template stands in: scopes of names, captured output and loops (see jinja_vm.h).
 * Names are looked for in the scopes from the inside out, then among the template's own variables,
 * the context and the globals, which share one table. */
#include <string.h>

#include "text/jinja_vm.h"

/* ---- names ---- */

JScope *vm_scope_open(JVm *vm)
{
    JScope *scope = j_alloc(&vm->j, sizeof *scope);
    *scope = (JScope){.parent = vm->scope};
    vm->scope = scope;
    return scope;
}

void vm_define(J *j, JScope *scope, uint32_t name, JValue v)
{
    for (uint32_t i = 0; i < scope->n; i++) {
        if (scope->vars[i].name != name) continue;
        scope->vars[i].value = v;
        return;
    }
    if (scope->n == scope->capacity) {
        uint32_t capacity = scope->capacity ? 2 * scope->capacity : 4;
        JVar *vars = j_array(j, capacity, sizeof *vars);
        if (scope->n) memcpy(vars, scope->vars, scope->n * sizeof *vars);
        scope->vars = vars;
        scope->capacity = capacity;
    }
    scope->vars[scope->n++] = (JVar){name, v};
}

JValue vm_name(JVm *vm, uint32_t name)
{
    return j_text_n(&vm->j, vm->t->names[name].data, vm->t->names[name].size, false);
}

static JValue not_given(JVm *vm, uint32_t name)
{
    JOut out = {.j = &vm->j};
    j_out_ascii(&out, "parameter ");
    j_print(&out, vm_name(vm, name), true);
    j_out_ascii(&out, " was not provided");
    return j_undefined_hint(&vm->j, j_utf8(&vm->j, j_out_take(&out)));
}

JValue vm_load(JVm *vm, uint32_t name)
{
    uint64_t looked = 0;
    for (const JScope *s = vm->scope; s; s = s->parent) {
        looked++;
        for (uint32_t i = 0; i < s->n; i++) {
            if (s->vars[i].name != name) continue;
            JValue v = s->vars[i].value;
            return v.type == J_MISSING ? not_given(vm, name) : v;
        }
    }
    j_spend(&vm->j, looked / 4);
    JValue v = vm->variables[name];
    return v.type == J_MISSING ? j_undefined(&vm->j, NULL, vm_name(vm, name)) : v;
}

void vm_store(JVm *vm, uint32_t name, JValue v)
{
    if (vm->scope)
        vm_define(&vm->j, vm->scope, name, v);
    else
        vm->variables[name] = v;
}

void vm_store_attr(JVm *vm, const JOp *op)
{
    JValue space = vm_load(vm, (uint32_t)op->a), v = vm_pop(vm), field = vm->t->constants[op->c];
    if (space.type != J_SPACE)
        j_fail(&vm->j, BT_E_FORMAT, "cannot assign attribute on non-namespace object");
    if (field.str->size && J_CODE(field.str->data[0]) == '_')
        j_fail(&vm->j, BT_E_FORMAT, "a namespace has no attributes that begin with '_'");
    j_dict_set(&vm->j, space.space->dict, field, v);
    space.space->dict->depth = 0; /* it is only printed, with a bound of its own */
}

/* ---- captures ---- */

void vm_capture(JVm *vm)
{
    vm->captures = vm_grown(&vm->j, vm->captures, vm->n_captures, &vm->captures_capacity,
                            sizeof *vm->captures);
    vm->captures[vm->n_captures++] = vm->out.size;
}

void vm_drop_captures(JVm *vm, size_t n)
{
    if (vm->n_captures > n) vm->out.size = vm->captures[n];
    vm->n_captures = n;
}

JValue vm_captured(JVm *vm)
{
    size_t start = vm->captures[vm->n_captures - 1];
    JStr *s = j_str_copy(&vm->j, vm->out.data + start, vm->out.size - start);
    j_spend(&vm->j, s->size / 16);
    vm_drop_captures(vm, vm->n_captures - 1);
    return j_string(s);
}

void vm_emit(JVm *vm, JValue v)
{
    size_t before = vm->out.size;
    if (v.type == J_STR)
        j_out_str(&vm->out, v.str);
    else
        j_print(&vm->out, v, false);
    j_spend(&vm->j, (vm->out.size - before) / 32);
    if (vm->out.size > vm->most_output)
        j_fail(&vm->j, BT_E_LIMIT, "the template writes more than %llu characters",
               (unsigned long long)vm->most_output);
}

/* ---- loops ---- */

void vm_loop_open(JVm *vm, bool chooses)
{
    JList *list = j_iterate(&vm->j, vm_pop(vm));
    JLoop *loop = j_alloc(&vm->j, sizeof *loop);
    *loop = (JLoop){.outer = vm->loop,
                    .list = list,
                    .scope = vm->scope,
                    .stack = vm->n,
                    .captures = vm->n_captures};
    if (chooses) loop->kept = j_list(&vm->j, JK_LIST, list->n);
    vm->loop = loop;
}

/* Begins a round with the next item; false: there is none. */
bool vm_loop_next(JVm *vm, bool chooses)
{
    JLoop *loop = vm->loop;
    vm->scope = loop->scope;
    if (loop->index == loop->list->n) return false;
    JScope *scope = vm_scope_open(vm);
    if (!chooses) vm_define(&vm->j, scope, vm->t->loop, (JValue){.type = J_LOOP, .loop = loop});
    vm_push(vm, loop->list->items[loop->index++]);
    return true;
}

void vm_loop_close(JVm *vm)
{
    vm->scope = vm->loop->scope;
    vm->loop = vm->loop->outer;
}

void vm_loop_choose_end(JVm *vm)
{
    JList *kept = vm->loop->kept;
    kept->n = vm->loop->n_kept;
    vm_loop_close(vm);
    vm_push(vm, j_list_close(&vm->j, kept));
}

void vm_loop_leave(JVm *vm)
{
    vm->n = vm->loop->stack;
    vm->scope = vm->loop->scope;
    vm_drop_captures(vm, vm->loop->captures);
}

void vm_unpack(JVm *vm, const JOp *op)
{
    if (op->a == 1 && !op->flags) return;
    JValue v = vm->stack[vm->n - 1];
    if (!j_can_iterate(v))
        j_fail(&vm->j, BT_E_FORMAT, "cannot unpack non-iterable %s object", j_type_name(v));
    JList *list = j_iterate(&vm->j, vm_pop(vm));
    size_t n = (size_t)op->a;
    if (list->n < n)
        j_fail(&vm->j, BT_E_FORMAT, "not enough values to unpack (expected %zu, got %zu)", n,
               list->n);
    if (list->n > n) j_fail(&vm->j, BT_E_FORMAT, "too many values to unpack (expected %zu)", n);
    for (size_t i = n; i-- > 0;) vm_push(vm, list->items[i]);
}
