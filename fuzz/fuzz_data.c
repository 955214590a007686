/* Any bytes as data to learn from: the first byte says whether they are JSON lines or text. Each
 * document that is handed on is what its header promises (see train/data.h), and is tokenized with
 * marks on what is learned (see train/labels.h). */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"
#include "train/labels.h"

static void promise(bool kept)
{
    if (!kept) abort();
}

/* Bytes, and the marks of ChatML. */
static const Tokenizer *tokenizer(void)
{
    static Tokenizer *tok;
    static char chars[256][4];
    static Span tokens[258];
    static int32_t types[258];
    if (tok) return tok;
    for (int i = 0; i < 256; i++) {
        tokens[i] = (Span){chars[i], utf8_put(tok_byte_char((unsigned char)i), chars[i])};
        types[i] = TOK_NORMAL;
    }
    tokens[256] = SPAN("<|im_start|>");
    tokens[257] = SPAN("<|im_end|>");
    types[256] = types[257] = TOK_CONTROL;
    TokSource source = tok_source(SPAN("gpt2"), SPAN("qwen2"));
    source.tokens = tokens;
    source.n_tokens = 258;
    source.types = types;
    source.eos = 257;
    promise(tok_open(&source, &tok, NULL) == BT_OK);
    return tok;
}

typedef struct Seen {
    uint64_t line;
    Labels *labels;
} Seen;

static bt_status learn(void *user, const DataDoc *doc, const bt_token *ids,
                       const unsigned char *counts, size_t n, bt_error *err)
{
    (void)user;
    (void)doc;
    (void)err;
    for (size_t i = 0; i < n; i++) promise(ids[i] >= 0 && ids[i] < 258 && counts[i] <= 1);
    return BT_OK;
}

static bt_status see(void *user, const DataDoc *doc, bt_error *err)
{
    Seen *seen = user;
    promise(doc->file && doc->line >= seen->line);
    seen->line = doc->line;
    if (doc->kind != DATA_CHAT) {
        promise(!doc->messages && doc->text.data);
        return labels_document(seen->labels, doc, 0, learn, NULL, err);
    }
    promise(json_array_size(doc->messages) > 0);
    promise(doc->first_counted <= json_array_size(doc->messages));
    promise(!doc->tools || json_array_size(doc->tools) > 0);
    for (size_t i = 0; i < json_array_size(doc->messages); i++)
        promise(json_is_string(json_object_get(json_array_get(doc->messages, i), "role")));
    return labels_document(seen->labels, doc, 0, learn, NULL, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const DataOptions options = {.lenient = size % 2};
    bt_error err = {0};
    DataCount count;
    const LabelsSource source = {.tok = tokenizer()};
    Seen seen = {0};
    int64_t live = mem_live();
    promise(labels_open(&source, &seen.labels, &err) == BT_OK);
    const char *name = size && bytes[0] >= 'a' && bytes[0] <= 'z' ? "fuzz.txt" : "fuzz.jsonl";
    Span all = {(const char *)bytes, size};
    bt_status status = data_read_bytes(name, all, &options, see, &seen, &count, &err);
    labels_close(&seen.labels);
    promise(!status || (err.text[0] && !strchr(err.text, '\n')));
    promise(status || count.documents > 0);
    promise(mem_live() == live);
    return 0;
}
