/* Runs a compiled template: one loop over instructions, with stacks of values, calls and captured
 * output in the heap (see jinja_vm.h). */
#include <string.h>

#include "text/jinja_vm.h"

#define MOST_STACK (1u << 20)

void *vm_grown(J *j, void *old, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return old;
    size_t more = *capacity ? 2 * *capacity : 64;
    if (more > MOST_STACK) j_fail(j, BT_E_LIMIT, "the template needs too deep a stack");
    void *data = j_array(j, more, size);
    if (n) memcpy(data, old, n * size);
    *capacity = more;
    return data;
}

void vm_push(JVm *vm, JValue v)
{
    vm->stack = vm_grown(&vm->j, vm->stack, vm->n, &vm->capacity, sizeof v);
    vm->stack[vm->n++] = v;
}

JValue vm_pop(JVm *vm)
{
    return vm->stack[--vm->n];
}

static bool compared(J *j, int op, JValue a, JValue b)
{
    switch (op) {
    case JO_EQ: return j_equal(j, a, b);
    case JO_NE: return !j_equal(j, a, b);
    case JO_LT: return j_order(j, a, b, "<") < 0;
    case JO_LE: return j_order(j, a, b, "<=") <= 0;
    case JO_GT: return j_order(j, a, b, ">") > 0;
    case JO_GE: return j_order(j, a, b, ">=") >= 0;
    case JO_IN: return j_contains(j, b, a);
    default: break;
    }
    return !j_contains(j, b, a);
}

static void collect(JVm *vm, const JOp *op)
{
    J *j = &vm->j;
    size_t n = (size_t)op->a;
    if (op->op == JO_DICT) {
        JDict *dict = j_dict(j);
        const JValue *pairs = vm->stack + vm->n - 2 * n;
        for (size_t i = 0; i < n; i++) j_dict_set(j, dict, pairs[2 * i], pairs[2 * i + 1]);
        vm->n -= 2 * n;
        vm_push(vm, (JValue){.type = J_DICT, .dict = dict});
        return;
    }
    JList *list = j_list(j, op->op == JO_LIST ? JK_LIST : JK_TUPLE, n);
    if (n) memcpy(list->items, vm->stack + vm->n - n, n * sizeof *list->items);
    vm->n -= n;
    vm_push(vm, j_list_close(j, list));
}

static JValue no_else(JVm *vm)
{
    char text[128];
    unsigned line = 1;
    for (uint32_t i = 0; i < vm->j.position && i < vm->j.source.size; i++)
        line += vm->j.source.data[i] == '\n';
    snprintf(text, sizeof text,
             "the inline if-expression on line %u evaluated to false and no else section was "
             "defined.",
             line);
    return j_undefined_hint(&vm->j, j_utf8(&vm->j, j_text(&vm->j, text)));
}

/* Values: what takes from the stack and gives back to it. */
static void value_op(JVm *vm, const JOp *op)
{
    J *j = &vm->j;
    JValue a, b;
    switch ((JOpcode)op->op) {
    case JO_ATTR:
        a = vm_pop(vm);
        vm_push(vm, j_attr(j, a, vm->t->constants[op->a]));
        break;
    case JO_ITEM:
        b = vm_pop(vm);
        a = vm_pop(vm);
        vm_push(vm, j_item(j, a, b));
        break;
    case JO_SLICE:
        vm->n -= 3;
        a = vm_pop(vm);
        vm_push(vm,
                j_slice(j, a, vm->stack[vm->n + 1], vm->stack[vm->n + 2], vm->stack[vm->n + 3]));
        break;
    case JO_NOT:
        a = vm_pop(vm);
        vm_push(vm, j_bool(!j_true(a)));
        break;
    case JO_NEG:
    case JO_POS:
        a = vm_pop(vm);
        vm_push(vm, j_negate(j, a, op->op == JO_NEG));
        break;
    case JO_CONCAT:
        b = j_to_str(j, vm_pop(vm));
        a = j_to_str(j, vm_pop(vm));
        vm_push(vm, j_join(j, a, b));
        break;
    case JO_ADD:
    case JO_SUB:
    case JO_MUL:
    case JO_DIV:
    case JO_FLOORDIV:
    case JO_MOD:
    case JO_POW:
        b = vm_pop(vm);
        a = vm_pop(vm);
        vm_push(vm, j_binary(j, op->op, a, b));
        break;
    default:
        b = vm_pop(vm);
        a = vm_pop(vm);
        vm_push(vm, j_bool(compared(j, op->op, a, b)));
        break;
    }
}

/* Jumps: gives the distance to the next instruction. */
static int32_t jump_op(JVm *vm, const JOp *op)
{
    bool go = false;
    JValue a, b;
    switch ((JOpcode)op->op) {
    case JO_JUMP: return op->a;
    case JO_JUMP_FALSE: return j_true(vm_pop(vm)) ? 1 : op->a;
    case JO_AND:
    case JO_OR:
        if (j_true(vm->stack[vm->n - 1]) == (op->op == JO_OR)) return op->a;
        vm->n--;
        return 1;
    case JO_CHAIN:
        b = vm_pop(vm);
        a = vm_pop(vm);
        go = !compared(&vm->j, op->b, a, b);
        vm_push(vm, go ? j_bool(false) : b);
        break;
    case JO_NEXT: go = !vm_loop_next(vm, false); break;
    case JO_END_FOR:
        go = vm->loop->done;
        vm_loop_close(vm);
        break;
    case JO_BREAK: vm_loop_leave(vm); return op->a;
    case JO_CHOOSE_NEXT:
        go = !vm_loop_next(vm, true);
        if (go) vm_loop_choose_end(vm);
        break;
    case JO_CHOSEN:
        if (j_true(vm_pop(vm)))
            vm->loop->kept->items[vm->loop->n_kept++] = vm->loop->list->items[vm->loop->index - 1];
        return op->a;
    case JO_GIVEN:
        go = vm->frames[vm->n_frames - 1].args->vars[op->b].value.type != J_MISSING;
        break;
    default: break;
    }
    return go ? op->a : 1;
}

static void plain_op(JVm *vm, const JOp *op)
{
    switch ((JOpcode)op->op) {
    case JO_CONST: vm_push(vm, vm->t->constants[op->a]); break;
    case JO_LOAD: vm_push(vm, vm_load(vm, (uint32_t)op->a)); break;
    case JO_STORE: vm_store(vm, (uint32_t)op->a, vm_pop(vm)); break;
    case JO_STORE_ATTR: vm_store_attr(vm, op); break;
    case JO_POP: vm->n--; break;
    case JO_LIST:
    case JO_TUPLE:
    case JO_DICT: collect(vm, op); break;
    case JO_CALL: vm_call(vm, op); break;
    case JO_FILTER:
    case JO_TEST: vm_filter_or_test(vm, op); break;
    case JO_NO_ELSE: vm_push(vm, no_else(vm)); break;
    case JO_EMIT: vm_emit(vm, vm_pop(vm)); break;
    case JO_TEXT: vm_emit(vm, vm->t->constants[op->a]); break;
    case JO_SCOPE: vm_scope_open(vm); break;
    case JO_UNSCOPE: vm->scope = vm->scope->parent; break;
    case JO_CAPTURE: vm_capture(vm); break;
    case JO_CAPTURED: vm_push(vm, vm_captured(vm)); break;
    case JO_FOR: vm_loop_open(vm, false); break;
    case JO_CHOOSE: vm_loop_open(vm, true); break;
    case JO_ROUND: vm->loop->done = true; break;
    case JO_UNPACK: vm_unpack(vm, op); break;
    case JO_MACRO: vm_push(vm, vm_macro(vm, (uint32_t)op->a)); break;
    case JO_RETURN: vm_return(vm); break;
    default: break;
    }
}

void vm_run(JVm *vm)
{
    for (;;) {
        const JOp *op = &vm->t->code[vm->pc];
        vm->j.position = op->at;
        j_spend(&vm->j, 1);
        switch ((JOpcode)op->op) {
        case JO_END: return;
        case JO_JUMP:
        case JO_JUMP_FALSE:
        case JO_AND:
        case JO_OR:
        case JO_CHAIN:
        case JO_NEXT:
        case JO_END_FOR:
        case JO_BREAK:
        case JO_CHOOSE_NEXT:
        case JO_CHOSEN:
        case JO_GIVEN: vm->pc += jump_op(vm, op); break;
        case JO_ATTR:
        case JO_ITEM:
        case JO_SLICE:
        case JO_NOT:
        case JO_NEG:
        case JO_POS:
        case JO_ADD:
        case JO_SUB:
        case JO_MUL:
        case JO_DIV:
        case JO_FLOORDIV:
        case JO_MOD:
        case JO_POW:
        case JO_CONCAT:
        case JO_EQ:
        case JO_NE:
        case JO_LT:
        case JO_LE:
        case JO_GT:
        case JO_GE:
        case JO_IN:
        case JO_NOT_IN:
            value_op(vm, op);
            vm->pc++;
            break;
        default:
            plain_op(vm, op);
            vm->pc++;
            break;
        }
    }
}
