/* Bantam: run small language models on the machine at hand.
 *
 * The whole public interface: open a model file, open a session on it, feed
 * tokens (or rows of several sequences at once), read logits, sample, and turn
 * tokens into text. One model may carry several sessions; a session is used by
 * one thread at a time, and steps of one model run one after another.
 *
 * Conventions
 *   - Functions that can fail return bt_status: BT_OK (0) or a negative code. The
 *     sentence for a person is left in the caller's bt_error (may be NULL).
 *   - `open(..., **out)` gives an owned object; `close(**obj)` frees it and clears
 *     the pointer; closing NULL is allowed.
 *   - Options structs are valid when zeroed: 0 means "the default".
 *   - Every returned `const` pointer is owned by the object it was asked of and is
 *     valid until that object changes or closes, unless said otherwise.
 *   - The library never prints, never exits and reads no environment variable.
 */
#ifndef BANTAM_H
#define BANTAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BT_VERSION_MAJOR 0
#define BT_VERSION_MINOR 1
#define BT_VERSION_PATCH 0

#if defined(__GNUC__)
#define BT_API          __attribute__((visibility("default")))
#define BT_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define BT_API
#define BT_PRINTF(a, b)
#endif

/* ---- status ------------------------------------------------------------- */

#define BT_STATUS_LIST(X)                                                                          \
    X(BT_OK, 0, "no error")                                                                        \
    X(BT_E_ARGUMENT, -1, "an argument is out of its range")                                        \
    X(BT_E_MEMORY, -2, "not enough memory")                                                        \
    X(BT_E_IO, -3, "a file could not be read or written")                                          \
    X(BT_E_FORMAT, -4, "a file is damaged or not of its format")                                   \
    X(BT_E_UNSUPPORTED, -5, "a feature is not supported")                                          \
    X(BT_E_CONTEXT, -6, "the context is full")                                                     \
    X(BT_E_CANCELLED, -7, "cancelled")                                                             \
    X(BT_E_LIMIT, -8, "a limit was exceeded")                                                      \
    X(BT_E_SYSTEM, -9, "the operating system refused")                                             \
    X(BT_E_INTERNAL, -10, "internal error")

typedef enum bt_status {
#define BT_STATUS_ENUM(name, code, text) name = code,
    BT_STATUS_LIST(BT_STATUS_ENUM)
#undef BT_STATUS_ENUM
} bt_status;

/* What went wrong, for a person: what, where (file, key, offset), what to do. */
typedef struct bt_error {
    bt_status status;
    char text[1024]; /* UTF-8, one line, NUL-terminated */
} bt_error;

/* The fixed text of a status; never NULL. */
BT_API const char *bt_status_text(bt_status status);
BT_API const char *bt_version(void);

/* ---- logging and progress ----------------------------------------------- */

typedef enum bt_log_level { BT_LOG_ERROR, BT_LOG_WARN, BT_LOG_INFO, BT_LOG_DEBUG } bt_log_level;
typedef void (*bt_log_fn)(void *user, bt_log_level level, const char *line);
/* Process-wide; NULL silences (the default). Call before opening models. */
BT_API void bt_log_set(bt_log_fn fn, void *user, bt_log_level most);

/* done of total units of `what`; return false to cancel (the call then gives BT_E_CANCELLED). */
typedef bool (*bt_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- model --------------------------------------------------------------- */

typedef struct bt_model bt_model;
typedef int32_t bt_token;

typedef enum bt_kv_type {
    BT_KV_DEFAULT,
    BT_KV_F32,
    BT_KV_BF16,
    BT_KV_F16,
    BT_KV_Q8_0, /* these two want heads of a multiple of 32 */
    BT_KV_Q4_0
} bt_kv_type;
/* Keys of one type, values of another. */
#define BT_KV_PAIR(keys, values) ((bt_kv_type)((unsigned)(keys) | (unsigned)(values) << 4))

typedef struct bt_model_options {
    int n_threads;         /* 0: physical cores this process may use */
    const char *cache_dir; /* folder of the sidecars (prepared weights); NULL: memory only */
    bool no_cache;         /* neither read nor write sidecars, whatever cache_dir says */
    bool vocab_only;       /* metadata and tokenizer, no weights */
    uint64_t cpu_mask;     /* features that may be used; 0: all that the CPU has (tests) */
    bt_progress_fn progress;
    void *progress_user;
} bt_model_options;

typedef struct bt_model_info {
    const char *path;
    const char *architecture;  /* "llama", ... */
    const char *name;          /* general.name, or "" */
    const char *type_summary;  /* the weight type with most bytes: "Q4_K" */
    const char *chat_template; /* the file's Jinja template, or NULL */
    const char *vocab_kind;    /* "bpe", "spm", "wpm", "unigram" or "none" */
    uint64_t file_bytes;
    uint64_t n_params;
    /* heads: 0 where no layer attends; experts: 0 where there are none */
    int32_t n_layers, n_embd, n_heads, n_kv_heads, n_ff, n_experts, n_experts_used;
    int32_t n_vocab;
    int32_t n_ctx_train; /* context the model was trained for */
    bool add_bos;        /* a prompt starts with BOS */
    bt_token bos, eos;   /* -1: none */
} bt_model_info;

/* What a session would need, computed without loading weights or allocating it. */
typedef struct bt_memory_plan {
    uint64_t weights; /* bytes resident once loaded */
    uint64_t state;   /* layer state of all sequences */
    uint64_t scratch; /* activations and logits of a step */
    uint64_t total;
    uint64_t available; /* what this machine (and its cgroup) has to give now */
} bt_memory_plan;

/* Opens `path` (first part of a split model works too). Fails with BT_E_FORMAT, BT_E_IO,
 * BT_E_UNSUPPORTED, BT_E_MEMORY, BT_E_CANCELLED. */
BT_API bt_status bt_model_open(const char *path, const bt_model_options *options, bt_model **out,
                               bt_error *err);
BT_API void bt_model_close(bt_model **model);
BT_API bt_model_info bt_model_describe(const bt_model *model);
/* Plans a session of n_sequences x n_ctx tokens. n_ctx 0: the largest that fits here,
 * written back to *n_ctx. */
BT_API bt_status bt_model_plan(const bt_model *model, int32_t *n_ctx, int32_t n_sequences,
                               int32_t n_batch, bt_kv_type kv, bt_memory_plan *out, bt_error *err);

/* Bytes read from memory for one decoded token at `depth` tokens of context. */
BT_API uint64_t bt_model_bytes_per_token(const bt_model *model, int32_t depth, bt_kv_type kv);

/* What layers of one kind remember of a sequence. */
typedef struct bt_state_info {
    const char *kind;     /* "all", "window", "chunk", "compressed", "shared", "recurrent" */
    int32_t n_layers;     /* a layer that both attends and recurs counts in both */
    int32_t span;         /* tokens of a window or chunk, else 0 */
    uint64_t token_bytes; /* of all these layers together; 0 for shared and recurrent */
    uint64_t fixed_bytes; /* whatever the length: recurrent states */
} bt_state_info;

/* The bill of a sequence by kinds of layers: fills at most `capacity`, returns how many there
 * are. */
BT_API int32_t bt_model_state(const bt_model *model, bt_kv_type kv, bt_state_info *out,
                              int32_t capacity);

/* ---- a maker's folder ----------------------------------------------------- */

/* bt_model_open takes such a folder too: safetensors, config.json and the tokenizer's files. */

typedef struct bt_convert_options {
    const char *type; /* of matrices: "f32", "f16", "bf16", "q8_0"; NULL or "auto": as they are */
    bt_progress_fn progress;
    void *progress_user;
} bt_convert_options;

/* Writes the model of `folder` to `path` as GGUF, streaming; the file is replaced whole at the end.
 * What was left out is told through the log (BT_LOG_WARN). BT_E_UNSUPPORTED and BT_E_FORMAT name
 * what is not known or does not fit. */
BT_API bt_status bt_convert(const char *folder, const char *path, const bt_convert_options *options,
                            bt_error *err);

/* ---- quantising ------------------------------------------------------------ */

/* The types and mixes that bt_quantize writes, best first: name ("Q4_K_M") and a line for a person.
 * False when there is no i-th. */
BT_API bool bt_quantize_type(size_t i, const char **name, const char **text);

typedef struct bt_quantize_options {
    const char *type;    /* one of bt_quantize_type, in any case; or NULL and a size in `fit` */
    const char *imatrix; /* an importance matrix (GGUF, or the older form); NULL: none */
    /* "PATTERN=TYPE": matrices whose name the pattern (POSIX extended regular expression, \d too)
     * is found in get the block type instead; the first that fits decides. */
    const char *const *tensor_types;
    size_t n_tensor_types;
    bool pure;        /* every matrix gets the mix's base type, without its rules */
    bool keep_output; /* the output matrix (or the embedding that serves as one) stays as it is */
    bool requantize;  /* also of a file that is quantised already: its loss is added to */
    /* Bytes that the file may take: the best types that fit are searched. The model is run for it,
     * in variants, on `text` (NULL: a built-in one), and what was written is measured. */
    uint64_t fit;
    const char *text; /* UTF-8, text_length bytes */
    size_t text_length;
    bool text_special; /* special tokens that the text names are meant */
    int n_threads;     /* 0: physical cores */
    bt_progress_fn progress;
    void *progress_user;
} bt_quantize_options;

#define BT_QUANTIZE_MOST_TYPES 40
#define BT_QUANTIZE_MOST_PARTS 12

/* What a search found about one part of a model: "values", "gate and up" ... */
typedef struct bt_quantize_part {
    const char *name;
    int32_t n_tensors;
    const char *probe_type; /* what its tensors were written in to see how the answers suffer */
    double probe_kl;        /* and how far they went from the original's: nats a token */
    double kl;              /* what the types it got are expected to cost */
    uint64_t bytes;
    char types[96]; /* "Q4_K 12, Q5_K 6" */
} bt_quantize_part;

typedef struct bt_quantize_result {
    uint64_t bytes_before, bytes_after; /* of all tensors */
    uint64_t n_weights;
    int32_t n_odd;         /* matrices with another type than asked: rows no multiple of a block */
    int32_t n_unimportant; /* matrices that the importance matrix does not know */
    int32_t n_used;
    struct {
        const char *type; /* "Q4_K" */
        int32_t n_tensors;
        uint64_t n_weights, bytes;
    } used[BT_QUANTIZE_MOST_TYPES]; /* most bytes first */
    /* With `fit`: the divergence of the written file from the original, over `scored` tokens, of
     * text that the search did not read where there was enough; and what the search expected. */
    bool fitted, held_out;
    size_t scored;
    double kl_mean, kl_error, same_top, kl_expected;
    bt_quantize_part parts[BT_QUANTIZE_MOST_PARTS];
    int32_t n_parts;
} bt_quantize_result;

/* Writes the model `from` (a GGUF file, or a maker's folder) to `to` with other types of weights,
 * streaming: a few tens of megabytes besides the vocabulary. The file is replaced whole at the end.
 * `result` may be NULL. BT_E_ARGUMENT: a type or pattern that is not known or fits nothing, a file
 * for both, a quantised source without `requantize`, a type that needs an importance matrix.
 * BT_E_FORMAT: damaged files, weights that are no numbers. */
BT_API bt_status bt_quantize(const char *from, const char *to, const bt_quantize_options *options,
                             bt_quantize_result *result, bt_error *err);

typedef struct bt_imatrix_options {
    int32_t n_ctx;       /* tokens of a window; 0: 512 */
    size_t most;         /* windows at most; 0: all that the tokens fill */
    const char *dataset; /* the text's name, for the file; NULL: none */
    bt_progress_fn progress;
    void *progress_user;
} bt_imatrix_options;

/* The model reads n tokens, window after window, and the mean square of what meets each column of
 * its matrices is written to `path`: an importance matrix in GGUF, as other programs read it. */
BT_API bt_status bt_imatrix(bt_model *model, const bt_token *ids, size_t n, const char *path,
                            const bt_imatrix_options *options, bt_error *err);

typedef struct bt_compare_options {
    int32_t n_ctx; /* tokens of a window; 0: 512 */
    size_t most;   /* windows at most; 0: all that the tokens fill */
    bt_kv_type kv;
    bt_progress_fn progress;
    void *progress_user;
} bt_compare_options;

typedef struct bt_comparison {
    size_t scored, windows;
    struct {
        double perplexity, error; /* exp of the mean of -log p, and its standard error */
        double read, write;       /* tokens a second: a window, and one after another */
    } a, b;
    /* Kullback-Leibler divergence of b's distributions from a's, in nats a token. */
    double kl_mean, kl_error, kl_median, kl_99, kl_most;
    double same_top; /* share of positions where both find the same token the likeliest */
} bt_comparison;

/* Both models read n tokens in step, in windows of n_ctx of which the second half is scored (see
 * `bantam perplexity`). BT_E_ARGUMENT: vocabularies of different size, or too few tokens. */
BT_API bt_status bt_compare(bt_model *a, bt_model *b, const bt_token *ids, size_t n,
                            const bt_compare_options *options, bt_comparison *out, bt_error *err);

/* ---- training ------------------------------------------------------------- */

typedef struct bt_train_report bt_train_report;
/* After each step; false: a checkpoint is written and the run ends with BT_E_CANCELLED. */
typedef bool (*bt_train_fn)(void *user, const bt_train_report *report);

/* Learning from a larger model: its distribution for each token in place of, or beside, the token
 * that stands in the data (docs/training.md). */
typedef struct bt_distill_options {
    const char *teacher; /* a model's file or folder, of the student's vocabulary; or: */
    const char *targets; /* what bt_targets stored of one, for the same data */
    double soft;         /* the teacher's share of the loss, the data's is the rest; 0: 0.5 */
    double temperature;  /* of both distributions; 0: 1 (with `targets` the stored one) */
    double mix;          /* 0: KL(teacher || student), 1: KL(student || teacher), else between */
    double on_policy;    /* share of the batches that the student writes, the teacher judges */
    bool match_text;     /* the teacher may have another vocabulary: compared by text (mix 0, not on
                          * policy) */
} bt_distill_options;

typedef struct bt_train_options {
    /* What is trained: a model (file or folder), which goes on learning, or a new one: config.json
     * as makers publish it, and a GGUF file whose vocabulary it gets. */
    const char *model;
    const char *config, *tokenizer;
    const char *name; /* general.name of a new one; NULL: that of the file written */
    /* Files and folders: text, or JSON lines (docs/training.md). `eval`: held-out ones. */
    const char *const *data, *const *eval;
    size_t n_data, n_eval;
    double hold_out;      /* in place of `eval`: share of the documents kept apart; 0: none */
    const char *out;      /* the model to write (GGUF) */
    const char *type;     /* of its matrices: "f32", "bf16", "f16", "q8_0"; NULL: "bf16" */
    const char *folder;   /* of the run: checkpoints, metrics.jsonl, loss.svg; NULL: OUT.training */
    bool resume;          /* go on from the folder's checkpoint, if it has one */
    bool restart;         /* begin anew although it has one; neither: then it is refused */
    bool lenient;         /* leave out lines that cannot be used */
    bool all_counts;      /* prompts are learnt too, not only what answers them */
    int64_t steps;        /* 0: `epochs` of the data */
    double epochs;        /* 0: 1 */
    int32_t n_ctx;        /* tokens of a pack of documents; 0: 1024, or the model's context */
    int32_t batch;        /* tokens of a step, rounded up to packs; 0: 16384 */
    double rate;          /* the highest learning rate; 0: 1e-3 for a new model, else 1e-4 */
    double final_rate;    /* its share at the end; 0: 0.1, negative: none */
    const char *schedule; /* "cosine" (NULL), "wsd", "constant" */
    int64_t warmup, decay; /* steps; 0: a 50th, for wsd's decay a fifth, of all; negative: none */
    const char *optimizer; /* "adamw" (NULL), "muon" */
    double beta1, beta2, eps, weight_decay; /* 0: 0.9, 0.95, 1e-8, 0.1; negative decay: none */
    double clip;                            /* of the gradient's norm; 0: 1, negative: none */
    double stop_loss;   /* a loss above it ends the run; 0: see docs/training.md */
    const bt_distill_options *distill; /* NULL: from the data alone */
    uint64_t seed;      /* of the new model's numbers and the order of documents */
    bool f32;           /* products in float32, not bf16 */
    bool recompute;     /* less memory: each block is computed again on the way back */
    int64_t eval_every; /* steps; 0: at the end */
    int64_t save_every; /* steps between checkpoints; 0: every five minutes */
    int n_threads;      /* 0: physical cores */
    uint64_t cpu_mask;
    bt_progress_fn progress; /* of reading the data; may be NULL */
    void *progress_user;
    bt_train_fn report; /* may be NULL */
    void *report_user;
} bt_train_options;

struct bt_train_report {
    int64_t step, steps;
    double loss, smooth_loss; /* nats a token: of this step, and a running mean */
    double rate, grad_norm;
    double eval_loss; /* NaN where held-out data was not read */
    uint64_t tokens;  /* that counted so far */
    double tokens_per_s, seconds_left;
};

typedef struct bt_train_result {
    int64_t step, steps;
    uint64_t n_params; /* numbers that were trained */
    uint64_t tokens, rows;
    uint64_t memory; /* bytes reserved: parameters, gradients, moments, one batch */
    double first_loss, last_loss, smooth_loss;
    double eval_loss; /* the best; infinite without held-out data */
    double seconds;   /* of all sessions together */
} bt_train_result;

/* Trains and writes the model. A killed run goes on with `resume`, to the same bits. `result` may
 * be NULL. BT_E_LIMIT: the loss exploded or was no number; the message names the step, the batch
 * and the last good checkpoint. */
BT_API bt_status bt_train(const bt_train_options *options, bt_train_result *result, bt_error *err);

typedef struct bt_targets_options {
    int32_t samples;    /* drawn for each token; 0: 12 */
    double temperature; /* 0: 1 */
    int32_t n_ctx;      /* as the student's run; 0: as bt_train_options */
    bool lenient, all_counts;
    uint64_t seed; /* of what is drawn */
    int n_threads;
    uint64_t cpu_mask;
    bt_progress_fn progress;
    void *progress_user;
} bt_targets_options;

/* Lets `teacher` read the data and stores what it finds likely, to `path`: a run on the same data
 * with bt_distill_options.targets learns from it without the teacher. docs/formats.md. */
BT_API bt_status bt_targets(const char *teacher, const char *const *data, size_t n_data,
                            const char *path, const bt_targets_options *options, bt_error *err);

/* An adapter (LoRA, DoRA) for a model that stays as it is, its weights of any type. */
typedef struct bt_adapt_options {
    /* As for bt_train, but: `model` is the base and `config`, `tokenizer` and `type` are NULL;
     * `out` is a GGUF adapter (a name that ends in .gguf) or a folder for PEFT. 0 means here: batch
     * 4096, rate 5e-4, weight decay none. */
    bt_train_options train;
    int32_t rank;          /* 0: 16 */
    float alpha;           /* what is added is scaled by alpha / rank; 0: twice the rank */
    bool dora;             /* lengths of rows are learnt too */
    const char *targets;   /* parts of layers: "attn_q,attn_v"; NULL: all matrices but routers and
                            * experts */
    const char *from;      /* an adapter that goes on learning, with its own rank and targets */
    bool any_base;         /* as for bt_adapter_open, of `from` */
    bool keep;             /* activations of all layers are kept: faster, more memory */
    const char *cache_dir; /* as of bt_model_options */
} bt_adapt_options;

/* Trains and writes the adapter; everything else as bt_train. */
BT_API bt_status bt_adapt(const bt_adapt_options *options, bt_train_result *result, bt_error *err);

/* ---- text ---------------------------------------------------------------- */

#define BT_TOKENIZE_NO_SPECIAL 1u /* text of special tokens stays text */
#define BT_TOKENIZE_ADD_BOS    2u /* put BOS first, if the vocabulary has one */
#define BT_TOKENIZE_WHOLE                                                                          \
    4u /* a text on its own: BOS (or CLS) first and EOS (or SEP) last,                             \
        * each if the file asks for it */

/* UTF-8 bytes (any bytes are accepted) to ids. Returns the number of ids, which may exceed
 * `capacity` (then only `capacity` were written: call again), or a negative bt_status. */
BT_API int64_t bt_model_tokenize(const bt_model *model, const char *text, size_t length,
                                 unsigned flags, bt_token *ids, size_t capacity, bt_error *err);
/* Bytes of one token as they stand in the text; special tokens give "" unless `special`.
 * Returns the length, which may exceed capacity; -1 for an id outside the vocabulary. */
BT_API int64_t bt_model_token_text(const bt_model *model, bt_token id, bool special, char *out,
                                   size_t capacity);
/* True for a token that ends an answer (EOS, EOT, end of message ...). */
BT_API bool bt_model_token_ends(const bt_model *model, bt_token id);

/* Streaming detokenizer: gives whole UTF-8 characters only; what is incomplete waits. */
typedef struct bt_text bt_text;
BT_API bt_status bt_text_open(const bt_model *model, bool special, bt_text **out, bt_error *err);
/* Adds a token; *piece (owned by the object, NUL-terminated) is what can now be shown. */
BT_API bt_status bt_text_next(bt_text *text, bt_token id, const char **piece, size_t *length);
/* Flushes: an incomplete tail comes out as U+FFFD. */
BT_API bt_status bt_text_end(bt_text *text, const char **piece, size_t *length);
BT_API void bt_text_close(bt_text **text);

/* ---- chat ---------------------------------------------------------------- */

/* A model's chat template, read and made ready. The file's own (Jinja) is run within bounds of
 * time, memory and output; docs/chat.md. What the template writes may become special tokens; what
 * messages, tools and variables hold never does, whatever it looks like. */
typedef struct bt_chat bt_chat;

typedef struct bt_chat_options {
    const char *name;  /* "chatml", "llama3" or "plain" in place of any template; NULL: none */
    const char *jinja; /* a template's text in place of the file's; NULL: the file's */
} bt_chat_options;

/* BT_E_UNSUPPORTED, saying why, if the template cannot be used: damaged, hostile, or in need of
 * what is not there. Without a template the vocabulary decides. The model must outlive the object;
 * several threads may use it at once. */
BT_API bt_status bt_chat_open(const bt_model *model, const bt_chat_options *options, bt_chat **out,
                              bt_error *err);
BT_API void bt_chat_close(bt_chat **chat);
BT_API const char *bt_chat_name(const bt_chat *chat); /* "jinja", "chatml", "llama3", "plain" */
/* Whether bt_think, or tools, change anything. */
BT_API bool bt_chat_can_think(const bt_chat *chat);
BT_API bool bt_chat_takes_tools(const bt_chat *chat);

typedef enum bt_think { BT_THINK_DEFAULT, BT_THINK_ON, BT_THINK_OFF } bt_think;

typedef struct bt_tool_call {
    const char *id, *name;
    const char *arguments; /* JSON text of an object */
} bt_tool_call;

/* What one said. Strings are UTF-8; NULL where there is none. */
typedef struct bt_message {
    const char *role;               /* "system", "user", "assistant", "tool" */
    const char *content;            /* may be NULL where there are calls */
    const char *reasoning;          /* the assistant's thoughts */
    const bt_tool_call *tool_calls; /* the assistant's */
    size_t n_tool_calls;
    const char *tool_call_id; /* of a tool's message: the call that it answers */
    const char *name;         /* of a tool's message: the tool; few templates read it */
} bt_message;

/* JSON texts, as of the OpenAI API. */
typedef struct bt_chat_request {
    const char *messages;  /* array of objects: role (system, developer, user, assistant, tool);
                            * content (a string, null, or parts: {"type": "text", "text": ...});
                            * tool_calls, with arguments as JSON text or as an object; tool_call_id;
                            * reasoning_content. Other members are passed on. */
    const char *tools;     /* array of definitions; NULL: none */
    const char *variables; /* object: more names that the template may read (documents,
                            * reasoning_effort ...); NULL: none */
    bt_think think;        /* sets the variables that the template reads for it */
    bool generation;       /* end where the assistant speaks */
    /* What was said, n_list messages, in place of `messages` (which is NULL then). */
    const bt_message *list;
    size_t n_list;
} bt_chat_request;

/* Renders. *ids (with *n_ids) and *text may each be NULL if not wanted; free both with bt_free.
 * A NUL that somebody said (\u0000) stands in the text as it is: to its reader the text ends there.
 * BT_E_ARGUMENT: the request is not as above, or the template refuses it, in its own words. */
BT_API bt_status bt_chat_apply(const bt_chat *chat, const bt_chat_request *request, bt_token **ids,
                               size_t *n_ids, char **text, bt_error *err);

/* The same in one call, without tools: opens the template each time. `template_name` as
 * bt_chat_options.name. *out is malloc'd: free it with bt_free. */
BT_API bt_status bt_chat_render(const bt_model *model, const char *template_name,
                                const bt_message *messages, size_t n, bool generation, char **out,
                                bt_error *err);
/* As ids. Returns as bt_model_tokenize. */
BT_API int64_t bt_chat_tokenize(const bt_model *model, const char *template_name,
                                const bt_message *messages, size_t n, bool generation,
                                bt_token *ids, size_t capacity, bt_error *err);
/* What the file's template is: "chatml" or "llama3" if it is such a plain one, else "jinja";
 * without one, what the vocabulary says. NULL when it cannot be used. */
BT_API const char *bt_chat_template(const bt_model *model);
BT_API void bt_free(void *memory);

/* ---- answers: text, reasoning and tool calls ------------------------------ */

/* A model's answer taken apart while it comes. The form in which a family writes reasoning and tool
 * calls is found by its chat template; docs/answers.md lists the forms. */
typedef enum bt_answer_kind {
    BT_ANSWER_TEXT,
    BT_ANSWER_REASONING,
    BT_ANSWER_CALL,      /* a tool call begins: index, id and name */
    BT_ANSWER_ARGUMENTS, /* a piece of its arguments, JSON text */
    BT_ANSWER_CALL_END,  /* the pieces joined are one JSON object */
    BT_ANSWER_CALL_VOID, /* the call was broken: forget it; it follows as text */
} bt_answer_kind;

typedef struct bt_answer_event {
    bt_answer_kind kind;
    int32_t index;         /* of the call, from 0; -1 for text and reasoning */
    const char *id, *name; /* BT_ANSWER_CALL only, else NULL */
    const char *text;      /* UTF-8, `length` bytes (no NUL); NULL for a call */
    size_t length;
} bt_answer_event;

typedef struct bt_answer_options {
    const char *format; /* one of bt_answer_format_name; NULL: by the model's template */
    const char *jinja;  /* a template's text in place of the model's; NULL: the model's */
    const char *tools;  /* JSON array of tool definitions, as of the OpenAI API; types the arguments
                         * that a form writes as text. NULL: none; calls without markup are text */
    const char *prompt; /* the rendered prompt, or its end: it may have opened a thought already */
    bool whole_calls;   /* no event of a call before it is whole; never gives BT_ANSWER_CALL_VOID */
    uint64_t id_seed;   /* of the ids of calls; 0: random */
} bt_answer_options;

typedef struct bt_answer bt_answer;
/* The model may be NULL (no tokens then, and `format` is needed); else it must outlive the object.
 */
BT_API bt_status bt_answer_open(const bt_model *model, const bt_answer_options *options,
                                bt_answer **out, bt_error *err);
BT_API void bt_answer_close(bt_answer **answer);
/* Adds a token, or text; events not yet taken stay. After BT_E_MEMORY the answer is lost. */
BT_API bt_status bt_answer_token(bt_answer *answer, bt_token id);
BT_API bt_status bt_answer_text(bt_answer *answer, const char *text, size_t length);
/* Nothing more comes: what waited is decided. */
BT_API bt_status bt_answer_end(bt_answer *answer);
/* Takes the next event; false: none now. Its strings stand until more is added. */
BT_API bool bt_answer_next(bt_answer *answer, bt_answer_event *out);
/* The answer as a message for the next request: all that bt_answer_next has given; what it has not
 * given yet is taken now. The strings stand until the answer takes more, or closes. After a message
 * with calls comes one of each tool: role "tool", tool_call_id the call's id, content its result.
 * BT_E_MEMORY. */
BT_API bt_status bt_answer_message(bt_answer *answer, bt_message *out);
/* It stands within a thought. */
BT_API bool bt_answer_thinking(const bt_answer *answer);
/* What the form writes to end a thought and go on to what is said; stands as long as the answer.
 * NULL: the form has no thoughts, or there is no memory. */
BT_API const char *bt_answer_thought_end(bt_answer *answer);
/* Name of the form in use; the i-th of all names, NULL past the last. */
BT_API const char *bt_answer_format(const bt_answer *answer);
BT_API const char *bt_answer_format_name(size_t i);

/* ---- session ------------------------------------------------------------- */

typedef struct bt_session bt_session;

typedef struct bt_session_options {
    int32_t n_ctx;         /* tokens a sequence may hold; 0: what memory allows, at most trained */
    int32_t n_sequences;   /* 0: 1 */
    int32_t n_batch;       /* most rows of one step; 0: 512, fewer (128) where memory is short */
    int32_t n_logits;      /* most rows of one step whose logits are wanted; 0: n_sequences, or for
                            * embeddings n_batch */
    bt_kv_type kv;         /* 0: bf16, or for embeddings f32 */
    uint64_t memory_limit; /* bytes for weights and session; 0: what is available now */
    bool embeddings;       /* steps give hidden states, not logits: see below */
} bt_session_options;

/* One row of a step. */
typedef struct bt_row {
    bt_token token;
    int32_t sequence; /* 0 .. n_sequences - 1 */
    bool want_logits;
    /* Four numbers for models whose positions have several axes (time, height, width, spare): the
     * patches of an image have their own. NULL: on all axes one more than the largest of the row
     * before. Other models take NULL only. */
    const int32_t *axes;
} bt_row;

BT_API bt_status bt_session_open(bt_model *model, const bt_session_options *options,
                                 bt_session **out, bt_error *err);
BT_API void bt_session_close(bt_session **session);
BT_API int32_t bt_session_context(const bt_session *session); /* tokens a sequence may hold */
BT_API int32_t bt_session_batch(const bt_session *session);
BT_API int32_t bt_session_length(const bt_session *session, int32_t sequence);
/* Runs rows of any mix of sequences, at most bt_session_batch() of them; each row is appended
 * to its sequence, in order. BT_E_CONTEXT when a sequence would overflow: nothing is changed
 * and the text says both counts. */
BT_API bt_status bt_session_step(bt_session *session, const bt_row *rows, size_t n, bt_error *err);
/* Appends n tokens to `sequence` in as many steps as needed; logits of the last are wanted. */
BT_API bt_status bt_session_feed(bt_session *session, int32_t sequence, const bt_token *tokens,
                                 size_t n, bt_error *err);
/* Logits (n_vocab floats) of the i-th row of the last step that wanted them; i = -1: the last.
 * NULL when there is none. Valid until the next step; the caller may change them (samplers do). */
BT_API float *bt_session_logits(bt_session *session, int32_t i);
/* Forgets all after the first `length` tokens. Layers that have forgotten what they would need for
 * that (windows, recurrences) go back to an earlier moment and the tokens from there are computed
 * again; when that fails, the sequence holds less, as bt_session_length says. */
BT_API bt_status bt_session_truncate(bt_session *session, int32_t sequence, int32_t length,
                                     bt_error *err);
/* Context shift: forgets tokens [keep, keep + n) and moves the rest down (RoPE re-applied). The
 * rest is computed anew; when that fails or is cancelled, the first `keep` tokens are left. */
BT_API bt_status bt_session_shift(bt_session *session, int32_t sequence, int32_t keep, int32_t n,
                                  bt_error *err);
/* Makes sequence `to` begin as the first `length` tokens of `from`. Memory is shared until one of
 * the two writes; what layers have forgotten is computed again, as for bt_session_truncate. */
BT_API bt_status bt_session_share(bt_session *session, int32_t from, int32_t to, int32_t length,
                                  bt_error *err);
/* Writes the sequence's tokens and state to a file (mode 0600, replaced as a whole). It holds what
 * the user typed in readable form. */
BT_API bt_status bt_session_save(bt_session *session, int32_t sequence, const char *path,
                                 bt_error *err);
/* Makes `sequence` what was saved, by a session of the same model and KV type. BT_E_FORMAT: not
 * such a file, or damaged; BT_E_ARGUMENT: of another model or KV type; BT_E_CONTEXT: too long. The
 * sequence is left as it was, or, where damage shows only in the state itself, empty. */
BT_API bt_status bt_session_load(bt_session *session, int32_t sequence, const char *path,
                                 bt_error *err);
/* Makes the running or next step end early with BT_E_CANCELLED, leaving the session as before
 * the step. Async-signal-safe; cleared when the step returns. */
BT_API void bt_session_cancel(bt_session *session);

/* ---- adapters ------------------------------------------------------------- */

/* A small change to a model, trained for a task (LoRA, DoRA): low-rank matrices beside the weights,
 * which stay as they are. docs/adapters.md tells what is read. */
typedef struct bt_adapter bt_adapter;

typedef struct bt_adapter_options {
    bool any_base; /* also where it says that it was trained on another base of this shape */
} bt_adapter_options;

typedef struct bt_adapter_info {
    const char *path, *name;
    const char *base; /* what it calls its base, or "" */
    int32_t n_matrices;
    int32_t rank; /* the largest */
    uint64_t n_params;
    bool dora; /* it has magnitudes */
} bt_adapter_info;

/* `path`: a GGUF adapter, or a folder as PEFT saves it. BT_E_ARGUMENT: it was made for another base
 * (architecture, shapes, fingerprint); BT_E_UNSUPPORTED: of a kind that is not known; BT_E_FORMAT.
 * The text says what to do. `options` may be NULL. Close it before the model. */
BT_API bt_status bt_adapter_open(bt_model *model, const char *path,
                                 const bt_adapter_options *options, bt_adapter **out,
                                 bt_error *err);
/* Gives up the caller's hold; sessions that use it keep theirs. */
BT_API void bt_adapter_close(bt_adapter **adapter);
BT_API bt_adapter_info bt_adapter_describe(const bt_adapter *adapter);
/* Writes it as GGUF (a name that ends in .gguf) or as a folder for PEFT. */
BT_API bt_status bt_adapter_save(const bt_adapter *adapter, const char *path, bt_error *err);

typedef struct bt_adapter_use {
    bt_adapter *adapter;
    float scale; /* 1: as it was trained; 0: not at all; others in proportion */
} bt_adapter_use;

/* From now on the rows of `sequence` (-1: of all sequences) have these adapters, one after another
 * (n 0: none). Sequences of a step may have different ones. What a sequence holds was made with
 * those it had: where they change it is emptied. Not while a step runs. BT_E_ARGUMENT, BT_E_MEMORY:
 * nothing is changed. */
BT_API bt_status bt_session_adapt(bt_session *session, int32_t sequence, const bt_adapter_use *uses,
                                  size_t n, bt_error *err);

typedef struct bt_merge_adapter {
    const char *path; /* as bt_adapter_open takes it */
    float scale;
} bt_merge_adapter;

typedef struct bt_merge_options {
    const char *type; /* one of bt_quantize_type; NULL: every tensor keeps its own */
    bool any_base;
    int n_threads; /* 0: physical cores */
    bt_progress_fn progress;
    void *progress_user;
} bt_merge_options;

typedef struct bt_merge_result {
    int32_t n_matrices;  /* that were changed */
    double change, loss; /* root mean square of the change in these, and of what rounding them to
                          * their types cost, as shares of their size */
} bt_merge_result;

/* Writes the model (a GGUF file, or a maker's folder) with the adapters, one after another, in its
 * weights; streaming, the file is replaced whole at the end. A head that is the embedding's table
 * becomes a tensor of its own where either is changed. `result` may be NULL. Fails as
 * bt_adapter_open and bt_quantize do. */
BT_API bt_status bt_merge(const char *model, const bt_merge_adapter *adapters, size_t n,
                          const char *to, const bt_merge_options *options, bt_merge_result *result,
                          bt_error *err);

/* Writes the mean of the weights of n models (2 to 16; GGUF files or makers' folders) of the same
 * tensors, sizes and tokens: trainings that began with the same weights, say. Keys and types are
 * the first one's; `any_base` is not read. Streams, and fails, as bt_merge does. Source: arXiv
 * 2203.05482 ("model soups"). */
BT_API bt_status bt_average(const char *const *models, size_t n, const char *to,
                            const bt_merge_options *options, bt_error *err);

/* ---- embeddings ---------------------------------------------------------- */

/* How the rows of a text become one vector. */
typedef enum bt_pooling {
    BT_POOLING_DEFAULT, /* as the file says; else an encoder's mean, the last row of others */
    BT_POOLING_NONE,    /* they do not: a vector for each token */
    BT_POOLING_MEAN,
    BT_POOLING_CLS, /* the first row */
    BT_POOLING_LAST
} bt_pooling;

typedef struct bt_embedding_info {
    bool encoder;       /* rows see each other both ways: a text goes whole into a step */
    bool embeds;        /* the file was made for this: it has no logits */
    bt_pooling pooling; /* what BT_POOLING_DEFAULT means here */
    int32_t n_dims;     /* of a pooled vector */
    /* What stands before a text, in so many words; NULL: neither the file nor what is known of its
     * family names any. */
    const char *query_prefix, *document_prefix;
} bt_embedding_info;

BT_API bt_embedding_info bt_model_embedding(const bt_model *model);

/* A text as ids: bt_model_tokenize gives them, with BT_TOKENIZE_WHOLE. */
typedef struct bt_ids {
    const bt_token *ids;
    size_t n;
} bt_ids;

typedef struct bt_embed_options {
    bt_pooling pooling;
    int32_t dimensions; /* only the first so many (models trained for that); 0: all */
    bool keep_length;   /* else each vector is divided by its Euclidean length */
} bt_embed_options;

/* The vector of each of n texts, in order: out (n, dimensions), or with BT_POOLING_NONE one for
 * each token (tokens of all texts, dimensions), of n_embd numbers and without the matrices that
 * pooled vectors go through. The session was opened with `embeddings`; several texts share a step,
 * n_batch and n_sequences say how many; the vectors do not depend on which. What the sequences
 * hold is forgotten. BT_E_ARGUMENT for a text without tokens, BT_E_CONTEXT for one longer than the
 * context: the text names it and both counts, and `out` is not complete. BT_E_UNSUPPORTED for the
 * pooling of a reranker. `options` may be NULL. */
BT_API bt_status bt_session_embed(bt_session *session, const bt_ids *texts, size_t n,
                                  const bt_embed_options *options, float *out, bt_error *err);
/* Hidden state (n_embd floats, after the last norm) of the i-th row of the last step that wanted
 * it (want_logits); i = -1: the last. NULL when there is none, or the session is not for
 * embeddings. Valid until the next step. */
BT_API const float *bt_session_hidden(bt_session *session, int32_t i);

/* ---- constrained answers -------------------------------------------------- */

/* What an answer may be: a grammar in GBNF, or the JSON texts of a JSON Schema. docs/constraints.md
 * defines both. Compiled once, used by any number of samplers of its model, on any thread. */
typedef struct bt_grammar bt_grammar;
typedef enum bt_grammar_kind { BT_GRAMMAR_GBNF, BT_GRAMMAR_SCHEMA } bt_grammar_kind;

typedef struct bt_grammar_options {
    /* The constraint begins once this text ("</think>") has come in the answer; all before it is
     * free. A control token of that text counts too. NULL: it holds from the start. */
    const char *after;
    /* With `after`: free text comes only where the answer begins with this ("<think>"); an answer
     * that does not is held from its start. NULL: free text comes first in any case (the prompt
     * has opened it). */
    const char *opens;
} bt_grammar_options;

/* `text` (UTF-8, `length` bytes) is not kept. BT_E_ARGUMENT tells where it is wrong (line and
 * column, or the path within the schema), BT_E_UNSUPPORTED names a keyword or construct that is not
 * supported, BT_E_LIMIT what is too large. Never slow: see docs/constraints.md for the bounds. */
BT_API bt_status bt_grammar_open(bt_model *model, bt_grammar_kind kind, const char *text,
                                 size_t length, const bt_grammar_options *options, bt_grammar **out,
                                 bt_error *err);
/* Holds tool calls: the answer is free until a call begins in the form of `options` (their `tools`
 * are needed; `prompt` says whether a thought is open), which then names one of the tools and has
 * arguments by its schema. `needed`: there must be a call. Fails as bt_grammar_open does for the
 * schemas. */
BT_API bt_status bt_answer_grammar(bt_model *model, const bt_answer_options *options, bool needed,
                                   bt_grammar **out, bt_error *err);
/* Holds what the answer says to a grammar or schema, as bt_grammar_open reads it. Thoughts are free
 * and come first, in the form of `options` (where the template knows them, and the `prompt` has not
 * closed them); the text stands where the form has its place, such as a channel or between marks.
 * With `tools` the answer may be calls instead, held as by bt_answer_grammar. */
BT_API bt_status bt_answer_constrain(bt_model *model, const bt_answer_options *options,
                                     bt_grammar_kind kind, const char *text, size_t length,
                                     bt_grammar **out, bt_error *err);
/* Gives up the caller's hold. Samplers that use it keep theirs; all must be closed before the
 * model is. */
BT_API void bt_grammar_close(bt_grammar **grammar);

/* ---- sampling ------------------------------------------------------------ */

typedef struct bt_logit_bias {
    bt_token token;
    float bias; /* added to the logit; -INFINITY bans */
} bt_logit_bias;

/* Zeroed is NOT greedy: fields left 0 take the defaults of bt_sampler_defaults(). Order: grammar,
 * bias, repetition, presence/frequency, DRY, then (temperature, mirostat) or (top-k, typical,
 * top-p, min-p, temperature), then the draw. `temperature` < 0 or `greedy` takes the most likely
 * token. docs/sampling.md defines each stage. */
typedef struct bt_sampler_options {
    uint64_t seed; /* 0: taken from the system's random source, readable afterwards */
    bool greedy;
    float temperature;                         /* 0.8 */
    int32_t top_k;                             /* 40; -1 off */
    float top_p;                               /* 0.95; 1 off */
    float min_p;                               /* 0.05; -1 off */
    float typical_p;                           /* 1 (off) */
    float repeat_penalty;                      /* 1 (off) */
    float presence_penalty, frequency_penalty; /* 0 (off) */
    int32_t penalty_last_n;                    /* 64; -1: all */
    float dry_multiplier;                      /* 0 (off) */
    float dry_base;                            /* 1.75 */
    int32_t dry_allowed_length;                /* 2 */
    int32_t dry_last_n;                        /* -1: all */
    int32_t mirostat;                          /* 0 off, 2 */
    float mirostat_tau, mirostat_eta;          /* 5, 0.1 */
    const bt_logit_bias *bias;                 /* copied */
    size_t n_bias;
} bt_sampler_options;

typedef struct bt_sampler bt_sampler;
BT_API bt_sampler_options bt_sampler_defaults(void);
BT_API bt_status bt_sampler_open(const bt_model *model, const bt_sampler_options *options,
                                 bt_sampler **out, bt_error *err);
BT_API void bt_sampler_close(bt_sampler **sampler);
BT_API uint64_t bt_sampler_seed(const bt_sampler *sampler);
/* Tells the sampler of a token in the text (prompt tokens too, for penalties). */
BT_API void bt_sampler_accept(bt_sampler *sampler, bt_token token);
/* Picks from n_vocab logits (changed in place) and accepts the token. Never fails: NaN counts as
 * minus infinity. */
BT_API bt_token bt_sampler_pick(bt_sampler *sampler, float *logits);
/* From now on only tokens that the grammar allows are picked, from its beginning (NULL: any again).
 * They are masked before all else, and the end of the answer is allowed only where the grammar may
 * end. Each picked token moves the grammar; bt_sampler_accept does not. BT_E_ARGUMENT: it was made
 * for another vocabulary. */
BT_API bt_status bt_sampler_set_grammar(bt_sampler *sampler, bt_grammar *grammar, bt_error *err);
/* What has been picked so far is a whole text of the grammar (true without one). Where it is and
 * nothing can follow, the next pick ends the answer. Where it is not and yet no token of the
 * vocabulary can go on, the answer is ended too: then this stays false. */
BT_API bool bt_sampler_complete(const bt_sampler *sampler);

#ifdef __cplusplus
}
#endif
#endif
