/* Prefixes of queries and documents (see prefixes.h). The makers publish them in the file
 * config_sentence_transformers.json beside the weights or in their instructions; most GGUF files
 * do not carry them, so those of well-known families stand here. */
#include "engine/prefixes.h"

#include <strings.h>

#include "base/mem.h"

typedef struct Family {
    const char *arch, *name; /* name: a part of general.name, in any case; NULL: whatever it is */
    const char *query, *document;
} Family;

#define RETRIEVE "Represent this sentence for searching relevant passages: "

/* The first that fits. */
static const Family families[] = {
    {"nomic-bert", NULL, "search_query: ", "search_document: "},
    {"nomic-bert-moe", NULL, "search_query: ", "search_document: "},
    {"modern-bert", "nomic", "search_query: ", "search_document: "},
    {"modern-bert", "modernbert-embed", "search_query: ", "search_document: "},
    {"gemma-embedding", NULL, "task: search result | query: ", "title: none | text: "},
    {"qwen3", "embedding",
     "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
     ""},
    {"bert", "e5-", "query: ", "passage: "},
    {"bert", "bge-m3", "", ""},
    {"bert", "bge-", RETRIEVE, ""},
    {"bert", "mxbai", RETRIEVE, ""},
    {"bert", "arctic-embed", RETRIEVE, ""},
};

static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0) return true;
    return false;
}

static const Family *find(const char *arch, const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const Family *f = &families[i];
        if (strcmp(arch, f->arch) == 0 && (!f->name || contains(name, f->name))) return f;
    }
    return NULL;
}

static bt_status copy(const Gguf *g, const char *key, const char *known, char **out, bt_error *err)
{
    Span text = {0};
    bt_status status = gguf_get_span(g, key, false, &text, err);
    if (status) return status;
    if (!text.data && !known) return BT_OK;
    if (!text.data) text = span_of(known);
    *out = mem_strndup(text.data, text.size);
    return *out ? BT_OK : bt_fail_memory(err, key, text.size);
}

bt_status prefixes_read(const Gguf *g, const char *arch, const char *name, char **query,
                        char **document, bt_error *err)
{
    const Family *f = find(arch, name);
    bt_status status =
        copy(g, "sentence_transformers.prompts.query", f ? f->query : NULL, query, err);
    if (status) return status;
    return copy(g, "sentence_transformers.prompts.document", f ? f->document : NULL, document, err);
}
