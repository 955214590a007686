/* The tables of rules that families.def names, each in the file of its kind (rules_*.c). */
#ifndef CONVERT_RULES_H
#define CONVERT_RULES_H

#include "convert/plan.h"

/* rules_dense.c */
extern const TensorRule rules_llama[];

/* rules_moe.c */
extern const TensorRule rules_qwen_moe[];

#endif
