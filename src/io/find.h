/* Models that are on this machine already: in our own folder and in the stores of Ollama, LM Studio
 * and the Hugging Face cache, found without touching any of them. Names come from file names and
 * manifests and are not trusted: see the caps in find_list.h. */
#ifndef IO_FIND_H
#define IO_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

#define FIND_MAX_PARTS 256 /* of a split model */

typedef enum FindSource { FIND_OWN, FIND_OLLAMA, FIND_LMSTUDIO, FIND_HUGGINGFACE } FindSource;

/* Where to look: values of the environment, which only the program reads. NULL or "": not set.
 * Relative paths are ignored. */
typedef struct FindPlaces {
    const char *home;           /* HOME */
    const char *xdg_data_home;  /* XDG_DATA_HOME; default ~/.local/share */
    const char *xdg_cache_home; /* XDG_CACHE_HOME; default ~/.cache */
    const char *ollama_models;  /* OLLAMA_MODELS; default ~/.ollama/models and ollama_system */
    const char *ollama_system;  /* the service's store: /usr/share/ollama/.ollama/models */
    const char *hf_hub_cache;   /* HF_HUB_CACHE; default HF_HOME/hub */
    const char *hf_home;        /* HF_HOME; default ~/.cache/huggingface */
} FindPlaces;

typedef struct FoundModel {
    char *name; /* "stories", "llama3.2:1b", "org/repo/file.gguf": to show, and for find_resolve */
    char *path; /* the file; of a split model its first part */
    FindSource source;
    uint64_t bytes; /* of all parts that are there */
    int64_t mtime;  /* seconds since 1970 */
    int n_parts;    /* 1, or how many a split model has */
    bool complete;  /* no part is missing */
    uint64_t device, inode;
} FoundModel;

typedef struct FoundModels {
    FoundModel *list; /* by source, then name */
    size_t count, capacity;
    bool more; /* a cap was reached: there may be more than these */
} FoundModels;

/* Fills *out (close it with find_close, also after a failure). What cannot be read or does not fit
 * its store's form is passed over; only lack of memory fails. */
bt_status find_models(const FindPlaces *places, FoundModels *out, bt_error *err);
void find_close(FoundModels *models);
const char *
find_source_text(FindSource source); /* "bantam", "ollama", "lm-studio", "hugging-face" */
/* Our own folder; *out is mem_alloc'd. BT_E_ARGUMENT when neither home nor XDG_DATA_HOME is set. */
bt_status find_own_folder(const FindPlaces *places, char **out, bt_error *err);

/* What a user typed to a path (*out, mem_alloc'd): a file, or a maker's folder, as it is; a name of
 * the list, with or without .gguf, an Ollama name without its ":latest"; a repository that holds
 * one model; a file name's stem. BT_E_ARGUMENT when nothing, or more than one thing, is meant; the
 * text says which. */
bt_status find_resolve(const FindPlaces *places, const char *name, char **out, bt_error *err);

/* By its name alone, how many parts a model's file has ("NAME-00002-of-00005.gguf": 5), else 1. */
int find_n_parts(const char *path);
/* The path of part 1 to n of the model that `path` is a part of; false if it does not fit. */
bool find_part_path(const char *path, int part, char *out, size_t size);
/* Appends the names of the files that the model (or adapter) at `path` is made of, each with its
 * NUL: parts of a split model, or a maker's folder and what is in it. Not the folder that a file
 * lies in, which may be the user's home. */
void find_model_files(const char *path, Buf *out);

#endif
