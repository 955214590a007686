/* LoRA adapters as the library PEFT saves them: a folder of adapter_config.json and
 * adapter_model.safetensors. Names and orders of the base's maker become GGUF's by the rules that
 * convert the base itself: what moves rows of a matrix moves those of B (and of the magnitudes),
 * what moves its columns those of A. Of the base only its keys are read.
 *
 * Refused, by name: other methods than LoRA, adapters that go with a changed base (PiSSA, OLoRA,
 * CorDA, LoftQ, LoRA-GA before they are turned into plain ones), whole weights, biases, new tokens,
 * tensors that no rule knows, halves of pairs and shapes that disagree. */
#ifndef CONVERT_PEFT_H
#define CONVERT_PEFT_H

#include "io/lora.h"

/* True for a folder that holds an adapter_config.json. */
bool peft_is_folder(const char *path);

bt_status peft_read(const char *folder, const Gguf *base, Lora **out, bt_error *err);
/* The same of files in memory: for fuzzing and tests. */
bt_status peft_read_memory(Span config, Span weights, const Gguf *base, Lora **out, bt_error *err);

/* Writes the two files into `folder`, which is made. Experts are written as PEFT names the
 * parameters of transformers 5, all of a layer in one pair. BT_E_UNSUPPORTED: a matrix that the
 * maker keeps in another form (MLA's, parts of fused ones). */
bt_status peft_write(const Lora *lora, const Gguf *base, const char *folder, bt_error *err);

#endif
