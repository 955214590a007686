/* SQLite's heap is ours (base/mem.h), so that tests can refuse it any piece. SQLite asks for the
 * size of a piece again, which our heap does not know: it stands before it. */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "agent/store_sql.h"
#include "base/mem.h"

enum { HEADER = 16 };

static void *take(int size)
{
    if (size <= 0) return NULL;
    char *memory = mem_alloc((size_t)size + HEADER);
    if (!memory) return NULL;
    memcpy(memory, &size, sizeof size);
    return memory + HEADER;
}

static void give(void *memory)
{
    if (memory) mem_free((char *)memory - HEADER);
}

static int size_of(void *memory)
{
    int size = 0;
    if (memory) memcpy(&size, (char *)memory - HEADER, sizeof size);
    return size;
}

static void *resize(void *memory, int size)
{
    char *grown = mem_realloc((char *)memory - HEADER, (size_t)size + HEADER);
    if (!grown) return NULL;
    memcpy(grown, &size, sizeof size);
    return grown + HEADER;
}

static int round_up(int size)
{
    return (size + 7) & ~7;
}

static int begin(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void end(void *unused)
{
    (void)unused;
}

void itemdb_use_memory(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    static const sqlite3_mem_methods methods = {take,     give,  resize, size_of,
                                                round_up, begin, end,    NULL};
    if (atomic_flag_test_and_set(&done)) return;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods); /* refused where SQLite is in use already */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
}
