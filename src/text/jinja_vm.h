/* The machine that runs compiled templates (jinja_code.h), as its parts share it. All its memory is
 * the rendering's heap; failures leave by longjmp (j_fail). Inside text/. */
#ifndef TEXT_JINJA_VM_H
#define TEXT_JINJA_VM_H

#include "text/jinja_code.h"

typedef struct JFrame {
    int32_t back; /* where to go on */
    JScope *scope, *args;
    JLoop *loop;
    size_t stack, captures;
} JFrame;

typedef struct JVm {
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
    JFrame *frames;
    size_t n_frames, frames_capacity;
    int32_t pc;
    uint32_t most_frames;
    uint64_t most_output;
} JVm;

/* ---- stacks and the loop over instructions (jinja_run.c) ---- */
/* Room for one more of `size` bytes beyond n; fails past the largest stack. */
void *vm_grown(J *j, void *old, size_t n, size_t *capacity, size_t size);
void vm_push(JVm *vm, JValue v);
JValue vm_pop(JVm *vm);
/* From vm->pc to the template's end. */
void vm_run(JVm *vm);

/* ---- names, captures, loops (jinja_scope.c) ---- */
JScope *vm_scope_open(JVm *vm);
void vm_define(J *j, JScope *scope, uint32_t name, JValue v);
JValue vm_name(JVm *vm, uint32_t name); /* as a string */
/* What a name stands for now; what is not there, as the template asked for that. */
JValue vm_load(JVm *vm, uint32_t name);
void vm_store(JVm *vm, uint32_t name, JValue v);
void vm_store_attr(JVm *vm, const JOp *op);
/* Output from here on is kept, until vm_captured gives it; vm_drop_captures goes back to n. */
void vm_capture(JVm *vm);
void vm_drop_captures(JVm *vm, size_t n);
JValue vm_captured(JVm *vm);
void vm_emit(JVm *vm, JValue v);
/* Over the value on the stack; `chooses`: with an `if`, whose items are looked at first. */
void vm_loop_open(JVm *vm, bool chooses);
bool vm_loop_next(JVm *vm, bool chooses);
void vm_loop_close(JVm *vm);
void vm_loop_choose_end(JVm *vm);
void vm_loop_leave(JVm *vm);
void vm_unpack(JVm *vm, const JOp *op);

/* ---- calls (jinja_call.c) ---- */
void vm_call(JVm *vm, const JOp *op);
void vm_return(JVm *vm);
void vm_filter_or_test(JVm *vm, const JOp *op);
JValue vm_macro(JVm *vm, uint32_t function);

#endif
