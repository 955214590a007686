/* Prefixes of queries and documents (see prefixes.h). The makers publish them in the file
 * config_sentence_transformers.json beside the weights or in their instructions; most GGUF files
 * do not carry them, so those of well-known families stand here. */
#include "engine/prefixes.h"

#include <strings.h>

#include "base/mem.h"

typedef struct Family {
    const char *arch;
    const char *name,
        *also; /* parts of general.name, in any case, '-' for a blank too; NULL: any */
    const char *query, *document;
} Family;

#define RETRIEVE "Represent this sentence for searching relevant passages: "
#define INSTRUCT                                                                                   \
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"

/* The first that fits, each with its makers' page above it (huggingface.co, unless another is
 * named). Seen there in November 2026: E5, BGE, mxbai, Nomic v2. Those of Arctic, Qwen3-Embedding,
 * EmbeddingGemma and E5-instruct were confirmed by evaluation code that quotes them; Nomic v1.5 and
 * modernbert-embed are taken to be as Nomic v2. Models whose pages name none, GTE and MiniLM say,
 * have none. */
static const Family families[] = {
    /* Snowflake/snowflake-arctic-embed-m-long, -m-v1.5; l-v2.0 (m-v2.0 is another architecture) */
    {"nomic-bert", "arctic-embed", NULL, RETRIEVE, ""},
    {"bert", "arctic-embed", "-v2", "query: ", ""},
    {"bert", "arctic-embed", NULL, RETRIEVE, ""},
    /* nomic-ai/nomic-embed-text-v1.5, nomic-embed-text-v2-moe (config_sentence_transformers.json),
     * modernbert-embed-base */
    {"nomic-bert", NULL, NULL, "search_query: ", "search_document: "},
    {"nomic-bert-moe", NULL, NULL, "search_query: ", "search_document: "},
    {"modern-bert", "nomic", NULL, "search_query: ", "search_document: "},
    {"modern-bert", "modernbert-embed", NULL, "search_query: ", "search_document: "},
    /* ai.google.dev/gemma/docs/embeddinggemma/model_card */
    {"gemma-embedding", NULL, NULL, "task: search result | query: ", "title: none | text: "},
    /* Qwen/Qwen3-Embedding-0.6B: no space behind the colon */
    {"qwen3", "embedding", NULL, INSTRUCT, ""},
    /* intfloat/multilingual-e5-large-instruct: here there is one; then e5-large-v2 and
     * multilingual-e5-large */
    {"bert", "e5-", "-instruct", INSTRUCT " ", ""},
    {"bert", "e5-", NULL, "query: ", "passage: "},
    /* BAAI/bge-large-zh-v1.5, the list of models: none for bge-m3 and the "noinstruct" ones */
    {"bert", "bge-m3", NULL, "", ""},
    {"bert", "bge-", "-noinstruct", "", ""},
    {"bert", "bge-", "-zh",
     "\u4e3a\u8fd9\u4e2a\u53e5\u5b50\u751f\u6210\u8868\u793a\u4ee5\u7528\u4e8e\u68c0\u7d22\u76f8"
     "\u5173\u6587\u7ae0\uff1a",
     ""},
    {"bert", "bge-", "-en", RETRIEVE, ""},
    /* mixedbread-ai/mxbai-embed-large-v1 */
    {"bert", "mxbai", NULL, RETRIEVE, ""},
};

/* Converters write "bge-small-en-v1.5", "Bge Small En v1.5" and "bge_small_en". */
static bool is_blank(char c)
{
    return c == '-' || c == ' ' || c == '_';
}

static bool begins(const char *text, const char *part)
{
    for (; *part; text++, part++)
        if (!(is_blank(*part) ? is_blank(*text) : strncasecmp(text, part, 1) == 0)) return false;
    return true;
}

static bool contains(const char *text, const char *part)
{
    for (; part && *text; text++)
        if (begins(text, part)) return true;
    return !part;
}

static const Family *find(const char *arch, const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const Family *f = &families[i];
        if (strcmp(arch, f->arch) == 0 && contains(name, f->name) && contains(name, f->also))
            return f;
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
