/* The built-in model's bytes (see hatchling.h). The assembler reads the file (.incbin): a C array
 * of four million numbers would take compilers half a minute. Pages begin with it, so that those
 * that nobody reads stay on disk and all processes share the others. The header is generated, with
 * the file's sum in it, so that a new model is built in anew; link-time optimisation, which drops
 * names that only assembly has, is not for this file. */
#include "cli/hatchling.h"

#include <string.h>

#include "io/gguf.h"

#ifdef BANTAM_HATCHLING

#include "cli/hatchling_file.h" /* HATCHLING_FILE, HATCHLING_SUM */

#ifdef __APPLE__
#define SECTION   ".pushsection __TEXT,__const\n"
#define SYMBOL(s) "_" s
#define LOCAL(s)  "L" s /* begins no atom of its own, which the linker might move */
#else
#define SECTION   ".pushsection .rodata.hatchling, \"a\", %progbits\n"
#define SYMBOL(s) s
#define LOCAL(s)  ".L" s
#endif

/* clang-format off */
__asm__(SECTION
        ".p2align 14\n"
        SYMBOL("hatchling_data") ":\n"
        ".incbin \"" HATCHLING_FILE "\"\n"
        LOCAL("hatchling_end") ":\n"
        ".p2align 3\n"
        SYMBOL("hatchling_size") ":\n"
        ".quad " LOCAL("hatchling_end") " - " SYMBOL("hatchling_data") "\n"
        ".popsection\n");
/* clang-format on */

#define HIDDEN __attribute__((visibility("hidden")))
extern const unsigned char hatchling_data[] HIDDEN;
extern const uint64_t hatchling_size HIDDEN;

uint64_t hatchling_bytes(void)
{
    return hatchling_size;
}

void hatchling_open(void)
{
    gguf_builtin(HATCHLING_PATH, hatchling_data, hatchling_size);
}

#else

uint64_t hatchling_bytes(void)
{
    return 0;
}

void hatchling_open(void)
{
}

#endif

bool hatchling_here(void)
{
    return hatchling_bytes() != 0;
}

bool hatchling_is_name(const char *word)
{
    return strcmp(word, HATCHLING_NAME) == 0 || hatchling_is_path(word);
}

bool hatchling_is_path(const char *path)
{
    return strcmp(path, HATCHLING_PATH) == 0;
}
