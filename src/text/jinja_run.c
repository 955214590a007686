/* Runs a compiled template: one loop over instructions, with stacks of values, calls and captured
 * output in the heap. Names are looked for in the scopes from the inside out, then among the
 * template's own variables, the context and the globals, which share one table. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/jinja_code.h"
#include "text/utf8.h"

typedef struct Frame {
    int32_t back; /* where to go on */
    JScope *scope, *args;
    JLoop *loop;
    size_t stack, captures;
} Frame;

typedef struct Vm {
    J j;
    const JinjaTemplate *t;
    JValue *stack;
    size_t n, capacity;
    JValue *variables; /* by name */
    JScope *scope;
    JLoop *loop;
    JOut out;
    size_t *captures; /* where in `out` each begins */
    size_t n_captures, captures_capacity;
    Frame *frames;
    size_t n_frames, frames_capacity;
    int32_t pc;
    uint32_t most_frames;
    uint64_t most_output;
} Vm;

#define MOST_STACK (1u << 20)

static void *grown(J *j, void *old, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return old;
    size_t more = *capacity ? 2 * *capacity : 64;
    if (more > MOST_STACK) j_fail(j, BT_E_LIMIT, "the template needs too deep a stack");
    void *data = j_array(j, more, size);
    if (n) memcpy(data, old, n * size);
    *capacity = more;
    return data;
}

static void push(Vm *vm, JValue v)
{
    vm->stack = grown(&vm->j, vm->stack, vm->n, &vm->capacity, sizeof v);
    vm->stack[vm->n++] = v;
}

static JValue pop(Vm *vm)
{
    return vm->stack[--vm->n];
}

/* ---- names ---- */

static JScope *scope_open(Vm *vm)
{
    JScope *scope = j_alloc(&vm->j, sizeof *scope);
    *scope = (JScope){.parent = vm->scope};
    vm->scope = scope;
    return scope;
}

static void define(J *j, JScope *scope, uint32_t name, JValue v)
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

static JValue name_value(Vm *vm, uint32_t name)
{
    return j_text_n(&vm->j, vm->t->names[name].data, vm->t->names[name].size, false);
}

static JValue not_given(Vm *vm, uint32_t name)
{
    JOut out = {.j = &vm->j};
    j_out_ascii(&out, "parameter ");
    j_print(&out, name_value(vm, name), true);
    j_out_ascii(&out, " was not provided");
    return j_undefined_hint(&vm->j, j_utf8(&vm->j, j_out_take(&out)));
}

static JValue load(Vm *vm, uint32_t name)
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
    return v.type == J_MISSING ? j_undefined(&vm->j, NULL, name_value(vm, name)) : v;
}

static void store(Vm *vm, uint32_t name, JValue v)
{
    if (vm->scope)
        define(&vm->j, vm->scope, name, v);
    else
        vm->variables[name] = v;
}

static void store_attr(Vm *vm, const JOp *op)
{
    JValue space = load(vm, (uint32_t)op->a), v = pop(vm), field = vm->t->constants[op->c];
    if (space.type != J_SPACE)
        j_fail(&vm->j, BT_E_FORMAT, "cannot assign attribute on non-namespace object");
    if (field.str->size && J_CODE(field.str->data[0]) == '_')
        j_fail(&vm->j, BT_E_FORMAT, "a namespace has no attributes that begin with '_'");
    j_dict_set(&vm->j, space.space->dict, field, v);
    space.space->dict->depth = 0; /* it is only printed, with a bound of its own */
}

/* ---- captures ---- */

static void capture(Vm *vm)
{
    vm->captures =
        grown(&vm->j, vm->captures, vm->n_captures, &vm->captures_capacity, sizeof *vm->captures);
    vm->captures[vm->n_captures++] = vm->out.size;
}

static void drop_captures(Vm *vm, size_t n)
{
    if (vm->n_captures > n) vm->out.size = vm->captures[n];
    vm->n_captures = n;
}

static JValue captured(Vm *vm)
{
    size_t start = vm->captures[vm->n_captures - 1];
    JStr *s = j_str_copy(&vm->j, vm->out.data + start, vm->out.size - start);
    j_spend(&vm->j, s->size / 16);
    drop_captures(vm, vm->n_captures - 1);
    return j_string(s);
}

static void emit(Vm *vm, JValue v)
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

static void loop_open(Vm *vm, bool chooses)
{
    JList *list = j_iterate(&vm->j, pop(vm));
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
static bool loop_next(Vm *vm, bool chooses)
{
    JLoop *loop = vm->loop;
    vm->scope = loop->scope;
    if (loop->index == loop->list->n) return false;
    JScope *scope = scope_open(vm);
    if (!chooses) define(&vm->j, scope, vm->t->loop, (JValue){.type = J_LOOP, .loop = loop});
    push(vm, loop->list->items[loop->index++]);
    return true;
}

static void loop_close(Vm *vm)
{
    vm->scope = vm->loop->scope;
    vm->loop = vm->loop->outer;
}

static void loop_choose_end(Vm *vm)
{
    JList *kept = vm->loop->kept;
    kept->n = vm->loop->n_kept;
    loop_close(vm);
    push(vm, j_list_close(&vm->j, kept));
}

static void loop_leave(Vm *vm)
{
    vm->n = vm->loop->stack;
    vm->scope = vm->loop->scope;
    drop_captures(vm, vm->loop->captures);
}

static void unpack(Vm *vm, const JOp *op)
{
    if (op->a == 1 && !op->flags) return;
    JValue v = vm->stack[vm->n - 1];
    if (!j_can_iterate(v))
        j_fail(&vm->j, BT_E_FORMAT, "cannot unpack non-iterable %s object", j_type_name(v));
    JList *list = j_iterate(&vm->j, pop(vm));
    size_t n = (size_t)op->a;
    if (list->n < n)
        j_fail(&vm->j, BT_E_FORMAT, "not enough values to unpack (expected %zu, got %zu)", n,
               list->n);
    if (list->n > n) j_fail(&vm->j, BT_E_FORMAT, "too many values to unpack (expected %zu)", n);
    for (size_t i = n; i-- > 0;) push(vm, list->items[i]);
}

/* ---- calls ---- */

static size_t named(const JArgs *args, JValue name)
{
    size_t i = 0;
    while (i < args->n_kw && !j_str_equal(args->kw[2 * i].str, name.str)) i++;
    return i;
}

/* Arguments that were named and taken are marked by J_MISSING as value. */
static void macro_extras(Vm *vm, const JFunction *f, JScope *scope, const JArgs *args,
                         const char *name)
{
    J *j = &vm->j;
    size_t more = args->n_pos > f->n_args ? args->n_pos - f->n_args : 0;
    JDict *rest = j_dict(j);
    if (f->caller) {
        size_t at = named(args, name_value(vm, vm->t->caller));
        JValue caller =
            at < args->n_kw ? args->kw[2 * at + 1] : j_undefined_hint(j, "No caller defined");
        if (at < args->n_kw) args->kw[2 * at + 1].type = J_MISSING;
        define(j, scope, vm->t->caller, caller);
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
    if (f->kwargs) define(j, scope, vm->t->kwargs, (JValue){.type = J_DICT, .dict = rest});
    if (!f->varargs && more)
        j_fail(j, BT_E_FORMAT, "macro %s takes not more than %u argument(s)", name, f->n_args);
    if (!f->varargs) return;
    JList *list = j_list(j, JK_TUPLE, more);
    for (size_t i = 0; i < more; i++) list->items[i] = args->pos[f->n_args + i];
    define(j, scope, vm->t->varargs, j_list_close(j, list));
}

static void call_macro(Vm *vm, const JMacro *macro, const JArgs *args, size_t stack)
{
    J *j = &vm->j;
    const JFunction *f = &vm->t->functions[macro->function];
    JScope *scope = j_alloc(j, sizeof *scope);
    const char *name = "None";
    if (f->name != UINT32_MAX) {
        JOut out = {.j = j};
        j_print(&out, name_value(vm, f->name), true);
        name = j_utf8(j, j_out_take(&out));
    }
    *scope = (JScope){.parent = macro->scope};
    for (uint32_t i = 0; i < f->n_args; i++) {
        JValue v = {.type = J_MISSING};
        if (i < args->n_pos) {
            v = args->pos[i];
        } else {
            size_t at = named(args, name_value(vm, f->args[i]));
            if (at < args->n_kw) {
                v = args->kw[2 * at + 1];
                args->kw[2 * at + 1].type = J_MISSING;
            }
        }
        define(j, scope, f->args[i], v);
    }
    macro_extras(vm, f, scope, args, name);
    if (vm->n_frames == vm->most_frames)
        j_fail(j, BT_E_LIMIT, "macros call each other more than %u deep", vm->most_frames);
    vm->frames = grown(j, vm->frames, vm->n_frames, &vm->frames_capacity, sizeof *vm->frames);
    vm->frames[vm->n_frames++] = (Frame){vm->pc, vm->scope, scope, vm->loop, stack, vm->n_captures};
    capture(vm);
    vm->scope = scope;
    vm->loop = NULL;
    vm->pc = f->start - 1;
}

static void return_from(Vm *vm)
{
    Frame frame = vm->frames[--vm->n_frames];
    JValue text = captured(vm);
    vm->pc = frame.back;
    vm->scope = frame.scope;
    vm->loop = frame.loop;
    vm->n = frame.stack;
    drop_captures(vm, frame.captures);
    push(vm, text);
}

/* *list and **dict, which lie on top, join the arguments in new memory. */
static void spread(Vm *vm, unsigned flags, JArgs *args)
{
    J *j = &vm->j;
    JValue dict = {0}, list = {0};
    size_t n_kw = args->n_kw, n_pos = args->n_pos;
    if (flags & JCALL_DICT) dict = pop(vm);
    if (flags & JCALL_LIST) list = pop(vm);
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

static JArgs arguments(Vm *vm, const JOp *op, size_t *under)
{
    size_t n_pos = (size_t)op->a, n_kw = op->b;
    size_t star = !!(op->flags & JCALL_LIST) + !!(op->flags & JCALL_DICT);
    size_t first = vm->n - star - 2 * n_kw - n_pos;
    JArgs args = {vm->stack + first, vm->stack + first + n_pos, n_pos, n_kw};
    if (star) spread(vm, op->flags, &args);
    *under = first - 1;
    return args;
}

static void call(Vm *vm, const JOp *op)
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
    push(vm, result);
}

static void filter_or_test(Vm *vm, const JOp *op)
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
    push(vm, result);
}

/* ---- instructions ---- */

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

static void collect(Vm *vm, const JOp *op)
{
    J *j = &vm->j;
    size_t n = (size_t)op->a;
    if (op->op == JO_DICT) {
        JDict *dict = j_dict(j);
        const JValue *pairs = vm->stack + vm->n - 2 * n;
        for (size_t i = 0; i < n; i++) j_dict_set(j, dict, pairs[2 * i], pairs[2 * i + 1]);
        vm->n -= 2 * n;
        push(vm, (JValue){.type = J_DICT, .dict = dict});
        return;
    }
    JList *list = j_list(j, op->op == JO_LIST ? JK_LIST : JK_TUPLE, n);
    if (n) memcpy(list->items, vm->stack + vm->n - n, n * sizeof *list->items);
    vm->n -= n;
    push(vm, j_list_close(j, list));
}

static JValue no_else(Vm *vm)
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
static void value_op(Vm *vm, const JOp *op)
{
    J *j = &vm->j;
    JValue a, b;
    switch ((JOpcode)op->op) {
    case JO_ATTR:
        a = pop(vm);
        push(vm, j_attr(j, a, vm->t->constants[op->a]));
        break;
    case JO_ITEM:
        b = pop(vm);
        a = pop(vm);
        push(vm, j_item(j, a, b));
        break;
    case JO_SLICE:
        vm->n -= 3;
        a = pop(vm);
        push(vm, j_slice(j, a, vm->stack[vm->n + 1], vm->stack[vm->n + 2], vm->stack[vm->n + 3]));
        break;
    case JO_NOT:
        a = pop(vm);
        push(vm, j_bool(!j_true(a)));
        break;
    case JO_NEG:
    case JO_POS:
        a = pop(vm);
        push(vm, j_negate(j, a, op->op == JO_NEG));
        break;
    case JO_CONCAT:
        b = j_to_str(j, pop(vm));
        a = j_to_str(j, pop(vm));
        push(vm, j_join(j, a, b));
        break;
    case JO_ADD:
    case JO_SUB:
    case JO_MUL:
    case JO_DIV:
    case JO_FLOORDIV:
    case JO_MOD:
    case JO_POW:
        b = pop(vm);
        a = pop(vm);
        push(vm, j_binary(j, op->op, a, b));
        break;
    default:
        b = pop(vm);
        a = pop(vm);
        push(vm, j_bool(compared(j, op->op, a, b)));
        break;
    }
}

/* Jumps: gives the distance to the next instruction. */
static int32_t jump_op(Vm *vm, const JOp *op)
{
    bool go = false;
    JValue a, b;
    switch ((JOpcode)op->op) {
    case JO_JUMP: return op->a;
    case JO_JUMP_FALSE: return j_true(pop(vm)) ? 1 : op->a;
    case JO_AND:
    case JO_OR:
        if (j_true(vm->stack[vm->n - 1]) == (op->op == JO_OR)) return op->a;
        vm->n--;
        return 1;
    case JO_CHAIN:
        b = pop(vm);
        a = pop(vm);
        go = !compared(&vm->j, op->b, a, b);
        push(vm, go ? j_bool(false) : b);
        break;
    case JO_NEXT: go = !loop_next(vm, false); break;
    case JO_END_FOR:
        go = vm->loop->done;
        loop_close(vm);
        break;
    case JO_BREAK: loop_leave(vm); return op->a;
    case JO_CHOOSE_NEXT:
        go = !loop_next(vm, true);
        if (go) loop_choose_end(vm);
        break;
    case JO_CHOSEN:
        if (j_true(pop(vm)))
            vm->loop->kept->items[vm->loop->n_kept++] = vm->loop->list->items[vm->loop->index - 1];
        return op->a;
    case JO_GIVEN:
        go = vm->frames[vm->n_frames - 1].args->vars[op->b].value.type != J_MISSING;
        break;
    default: break;
    }
    return go ? op->a : 1;
}

static JValue macro_value(Vm *vm, uint32_t function)
{
    JMacro *macro = j_alloc(&vm->j, sizeof *macro);
    *macro = (JMacro){function, vm->scope};
    return (JValue){.type = J_MACRO, .macro = macro};
}

static void plain_op(Vm *vm, const JOp *op)
{
    switch ((JOpcode)op->op) {
    case JO_CONST: push(vm, vm->t->constants[op->a]); break;
    case JO_LOAD: push(vm, load(vm, (uint32_t)op->a)); break;
    case JO_STORE: store(vm, (uint32_t)op->a, pop(vm)); break;
    case JO_STORE_ATTR: store_attr(vm, op); break;
    case JO_POP: vm->n--; break;
    case JO_LIST:
    case JO_TUPLE:
    case JO_DICT: collect(vm, op); break;
    case JO_CALL: call(vm, op); break;
    case JO_FILTER:
    case JO_TEST: filter_or_test(vm, op); break;
    case JO_NO_ELSE: push(vm, no_else(vm)); break;
    case JO_EMIT: emit(vm, pop(vm)); break;
    case JO_TEXT: emit(vm, vm->t->constants[op->a]); break;
    case JO_SCOPE: scope_open(vm); break;
    case JO_UNSCOPE: vm->scope = vm->scope->parent; break;
    case JO_CAPTURE: capture(vm); break;
    case JO_CAPTURED: push(vm, captured(vm)); break;
    case JO_FOR: loop_open(vm, false); break;
    case JO_CHOOSE: loop_open(vm, true); break;
    case JO_ROUND: vm->loop->done = true; break;
    case JO_UNPACK: unpack(vm, op); break;
    case JO_MACRO: push(vm, macro_value(vm, (uint32_t)op->a)); break;
    case JO_RETURN: return_from(vm); break;
    default: break;
    }
}

static void run(Vm *vm)
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

/* ---- one rendering ---- */

static bool own_words(const char *const *own, const char *name)
{
    for (; own && *own; own++)
        if (strcmp(*own, name) == 0) return true;
    return false;
}

static void set_up(Vm *vm, const JinjaInput *input)
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
    vm->stack = grown(j, NULL, 0, &vm->capacity, sizeof *vm->stack);
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
    Vm *vm = mem_zalloc(1, sizeof *vm);
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
        run(vm);
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
