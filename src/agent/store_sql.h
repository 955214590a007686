/* Between store.c and the files that share its connection. */
#ifndef AGENT_STORE_SQL_H
#define AGENT_STORE_SQL_H

#include <sqlite3.h>

#include "agent/store.h"

struct Store {
    sqlite3 *db;
    char *path;
    int64_t step; /* the open step's number, 0: none */
};

/* What SQLite's code means for a person. `doing` completes "cannot ...". */
bt_status itemdb_failed(const Store *store, int code, const char *doing, bt_error *err);
/* Prepares; parameters are bound by the caller. */
bt_status itemdb_prepare(Store *store, const char *sql, sqlite3_stmt **out, bt_error *err);
/* Runs a statement that gives no rows, and finalizes it. */
bt_status itemdb_run(Store *store, sqlite3_stmt *statement, const char *doing, bt_error *err);
bt_status itemdb_exec(Store *store, const char *sql, const char *doing, bt_error *err);
/* Runs a statement that gives items (columns of ITEM_COLUMNS), and finalizes it. */
#define ITEM_COLUMNS "id, kind, state, text, at, until, first, whole_day, every, made, told"
bt_status itemdb_read(Store *store, sqlite3_stmt *statement, Items *out, bt_error *err);

/* store_memory.c: SQLite's memory comes from base/mem.h. Once, before the first connection. */
void itemdb_use_memory(void);

#endif
