/* The file, its opening and its steps (see store.h). A rollback journal, not WAL: it needs no
 * shared memory and leaves one file when nothing happens. */
#include "agent/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/store_sql.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"

enum { VERSION = 2, WAIT_MS = 3000 };
#define APPLICATION       1114521939 /* "BnAS" */
#define TEXT_OF(number)   TEXT_OF_TOKEN(number)
#define TEXT_OF_TOKEN(it) #it

static const char schema[] =
    "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, "
    "state INTEGER NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL, "
    "first INTEGER NOT NULL, whole_day INTEGER NOT NULL, every TEXT NOT NULL, "
    "made INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX items_at ON items (state, kind, at);"
    /* what items were before a step; a new one has been cancelled */
    "CREATE TABLE steps (step INTEGER NOT NULL, id INTEGER NOT NULL, state INTEGER NOT NULL, "
    "at INTEGER NOT NULL, until INTEGER NOT NULL, first INTEGER NOT NULL, "
    "whole_day INTEGER NOT NULL, every TEXT NOT NULL, PRIMARY KEY (step, id));"
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', "
    "tokenize = 'unicode61 remove_diacritics 2');"
    "PRAGMA application_id = " TEXT_OF(APPLICATION) ";"
                                                    "PRAGMA user_version = 2;";

/* From version 1: events were not told when they begin. */
static const char upgrade[] = "ALTER TABLE items ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
                              "PRAGMA user_version = 2;";

bt_status itemdb_failed(const Store *s, int code, const char *doing, bt_error *err)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM: return bt_fail_memory(err, "the assistant's database", 0);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return bt_fail(err, BT_E_IO,
                       "%s: cannot %s: another program is writing to it; nothing was changed, try "
                       "again",
                       s->path, doing);
    case SQLITE_FULL:
        return bt_fail(err, BT_E_IO,
                       "%s: cannot %s: the disk is full; nothing was changed, make room and try "
                       "again",
                       s->path, doing);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return bt_fail(err, BT_E_IO, "%s: cannot %s: it may not be written here (%s)", s->path,
                       doing, sqlite3_errstr(code));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return bt_fail(err, BT_E_FORMAT,
                       "%s: cannot %s: the file is damaged and was left as it is; 'sqlite3 FILE "
                       ".recover' may save what it holds, moving it away begins anew",
                       s->path, doing);
    default:
        return bt_fail(err, BT_E_IO, "%s: cannot %s: %s; nothing was changed", s->path, doing,
                       s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
    }
}

bt_status itemdb_prepare(Store *s, const char *sql, sqlite3_stmt **out, bt_error *err)
{
    int code = sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
    return code == SQLITE_OK ? BT_OK : itemdb_failed(s, code, "be read", err);
}

bt_status itemdb_run(Store *s, sqlite3_stmt *statement, const char *doing, bt_error *err)
{
    int code = sqlite3_step(statement);
    bt_status status = BT_OK;
    if (code != SQLITE_DONE && code != SQLITE_ROW) status = itemdb_failed(s, code, doing, err);
    sqlite3_finalize(statement);
    return status;
}

bt_status itemdb_exec(Store *s, const char *sql, const char *doing, bt_error *err)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? BT_OK : itemdb_failed(s, code, doing, err);
}

static bt_status read_number(Store *s, const char *sql, int64_t *out, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_prepare(s, sql, &statement, err);
    *out = 0;
    if (status != BT_OK) return status;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        status = itemdb_failed(s, code, "be read", err);
    sqlite3_finalize(statement);
    return status;
}

/* ---- opening ---- */

/* SQLite would make it readable to all; the journal gets the file's own mode. */
static bt_status make_file(const char *path, bt_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return bt_fail(err, BT_E_IO, "%s: the assistant's database cannot be opened: %s", path,
                       os_why(errno));
    close(fd);
    return BT_OK;
}

static bt_status check_whole(Store *s, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_prepare(s, "PRAGMA quick_check(1)", &statement, err);
    if (status != BT_OK) return status;
    int code = sqlite3_step(statement);
    const char *said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (code == SQLITE_ROW && !said)
        status = bt_fail_memory(err, "the assistant's database", 0);
    else if (code != SQLITE_ROW)
        status = itemdb_failed(s, code, "be read", err);
    else if (strcmp(said, "ok") != 0)
        status = itemdb_failed(s, SQLITE_CORRUPT, "be read", err);
    sqlite3_finalize(statement);
    return status;
}

static bt_status bring_up(Store *s, bt_error *err)
{
    int64_t version;
    bt_status status = itemdb_exec(s, "BEGIN IMMEDIATE", "be changed", err);
    if (status == BT_OK) status = read_number(s, "PRAGMA user_version", &version, err);
    if (status == BT_OK && version < VERSION) status = itemdb_exec(s, upgrade, "be changed", err);
    if (status == BT_OK) return itemdb_exec(s, "COMMIT", "be changed", err);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static bt_status check_version(Store *s, bt_error *err)
{
    int64_t version, application, tables;
    bt_status status = read_number(s, "PRAGMA user_version", &version, err);
    if (status == BT_OK) status = read_number(s, "PRAGMA application_id", &application, err);
    if (status == BT_OK)
        status = read_number(s, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (status != BT_OK) return status;
    if (tables == 0 && version == 0) {
        /* Two programs may find it empty at once: the one that comes second sees the first's. */
        status = itemdb_exec(s, "BEGIN IMMEDIATE", "be made", err);
        if (status == BT_OK)
            status = read_number(s, "SELECT count(*) FROM sqlite_master", &tables, err);
        if (status == BT_OK && tables == 0) status = itemdb_exec(s, schema, "be made", err);
        if (status == BT_OK) return itemdb_exec(s, "COMMIT", "be made", err);
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    if (application != APPLICATION)
        return bt_fail(err, BT_E_FORMAT, "%s: is no database of the assistant; move it away",
                       s->path);
    if (version > VERSION)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: was written by a later version of Bantam (%lld, this one knows %d); "
                       "use that one",
                       s->path, (long long)version, VERSION);
    status = check_whole(s, err);
    return status == BT_OK && version < VERSION ? bring_up(s, err) : status;
}

static bt_status configure(Store *s, bt_error *err)
{
    sqlite3_busy_timeout(s->db, WAIT_MS);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return itemdb_exec(s,
                       "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; "
                       "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; "
                       "PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF;",
                       "be opened", err);
}

bt_status itemdb_open(const char *folder, Store **out, bt_error *err)
{
    Buf path = {0};
    bt_status status = BT_OK;
    Store *s = NULL;
    *out = NULL;
    itemdb_use_memory();
    buf_printf(&path, "%s/assistant.db", folder);
    s = mem_zalloc(1, sizeof *s);
    if (!s || path.failed) {
        status = bt_fail_memory(err, "the assistant's database", sizeof *s);
        goto failed;
    }
    s->path = buf_take(&path);
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) {
        status = bt_fail(err, BT_E_UNSUPPORTED,
                         "the SQLite library here (%s) has no full-text search (FTS5), which the "
                         "assistant's notes need",
                         sqlite3_libversion());
        goto failed;
    }
    status = make_file(s->path, err);
    if (status != BT_OK) goto failed;
    int code = sqlite3_open_v2(
        s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (code != SQLITE_OK) {
        status = itemdb_failed(s, code, "be opened", err);
        goto failed;
    }
    status = configure(s, err);
    if (status == BT_OK) status = check_version(s, err);
    if (status != BT_OK) goto failed;
    *out = s;
    return BT_OK;
failed:
    buf_close(&path);
    itemdb_close(&s);
    return status;
}

void itemdb_close(Store **pointer)
{
    Store *s = *pointer;
    *pointer = NULL;
    if (!s) return;
    sqlite3_close_v2(s->db);
    mem_free(s->path);
    mem_free(s);
}

/* ---- steps ---- */

bt_status itemdb_begin(Store *s, bt_error *err)
{
    bt_status status = itemdb_exec(s, "BEGIN IMMEDIATE", "be changed", err);
    if (status != BT_OK) return status;
    status = read_number(s, "SELECT coalesce(max(step), 0) + 1 FROM steps", &s->step, err);
    if (status != BT_OK) itemdb_end(s, false, NULL);
    return status;
}

bt_status itemdb_end(Store *s, bool keep, bt_error *err)
{
    bt_status status = BT_OK;
    sqlite3_stmt *statement = NULL;
    if (keep) {
        status = itemdb_prepare(s, "DELETE FROM steps WHERE step <= ?", &statement, err);
        if (status == BT_OK) {
            sqlite3_bind_int64(statement, 1, s->step - ITEM_STEPS_KEPT);
            status = itemdb_run(s, statement, "be changed", err);
        }
        if (status == BT_OK) status = itemdb_exec(s, "COMMIT", "be changed", err);
    }
    if (!keep || status != BT_OK) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->step = 0;
    return status;
}

/* Remembers what the item was, once a step. */
static bt_status remember(Store *s, int64_t id, bool is_new, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_prepare(
        s,
        "INSERT OR IGNORE INTO steps SELECT ?, id, iif(?, 2, state), at, until, first, whole_day, "
        "every FROM items WHERE id = ?",
        &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int64(statement, 1, s->step);
    sqlite3_bind_int(statement, 2, is_new);
    sqlite3_bind_int64(statement, 3, id);
    return itemdb_run(s, statement, "be changed", err);
}

static bt_status add_words(Store *s, const Item *item, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status =
        itemdb_prepare(s, "INSERT INTO words (rowid, text) VALUES (?, ?)", &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int64(statement, 1, item->id);
    sqlite3_bind_text(statement, 2, item->text, -1, SQLITE_STATIC);
    return itemdb_run(s, statement, "be changed", err);
}

bt_status itemdb_add(Store *s, Item *item, int64_t now, bt_error *err)
{
    int64_t n;
    sqlite3_stmt *statement = NULL;
    bt_status status = read_number(s, "SELECT count(*) FROM items WHERE state = 0", &n, err);
    if (status != BT_OK) return status;
    if (n >= ITEM_MOST)
        return bt_fail(err, BT_E_LIMIT, "%s: holds %d entries, which is the most; cancel some",
                       s->path, ITEM_MOST);
    if (strlen(item->text) > ITEM_MOST_TEXT)
        return bt_fail(err, BT_E_LIMIT, "an entry may have %d bytes of text; this one has %zu",
                       ITEM_MOST_TEXT, strlen(item->text));
    status = itemdb_prepare(s,
                            "INSERT INTO items (kind, state, text, at, until, first, whole_day, "
                            "every, made) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)",
                            &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int(statement, 1, (int)item->kind);
    sqlite3_bind_text(statement, 2, item->text, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, item->at);
    sqlite3_bind_int64(statement, 4, item->until);
    sqlite3_bind_int64(statement, 5, item->first);
    sqlite3_bind_int(statement, 6, item->whole_day);
    sqlite3_bind_text(statement, 7, item->every, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 8, now);
    status = itemdb_run(s, statement, "be changed", err);
    if (status != BT_OK) return status;
    item->id = sqlite3_last_insert_rowid(s->db);
    item->made = now;
    item->state = ITEM_OPEN;
    status = add_words(s, item, err);
    return status == BT_OK ? remember(s, item->id, true, err) : status;
}

bt_status itemdb_change(Store *s, const Item *item, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = remember(s, item->id, false, err);
    if (status != BT_OK) return status;
    status = itemdb_prepare(s,
                            "UPDATE items SET state = ?, at = ?, until = ?, first = ?, "
                            "whole_day = ?, every = ? WHERE id = ?",
                            &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int(statement, 1, (int)item->state);
    sqlite3_bind_int64(statement, 2, item->at);
    sqlite3_bind_int64(statement, 3, item->until);
    sqlite3_bind_int64(statement, 4, item->first);
    sqlite3_bind_int(statement, 5, item->whole_day);
    sqlite3_bind_text(statement, 6, item->every, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 7, item->id);
    return itemdb_run(s, statement, "be changed", err);
}

bt_status itemdb_undo(Store *s, Items *out, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_exec(s, "BEGIN IMMEDIATE", "be changed", err);
    if (status != BT_OK) return status;
    status = itemdb_exec(
        s,
        "UPDATE items SET (state, at, until, first, whole_day, every) = (SELECT b.state, b.at, "
        "b.until, b.first, b.whole_day, b.every FROM steps b WHERE b.id = items.id AND "
        "b.step = (SELECT max(step) FROM steps)) WHERE id IN (SELECT id FROM steps WHERE "
        "step = (SELECT max(step) FROM steps))",
        "be changed", err);
    if (status == BT_OK)
        status = itemdb_prepare(s,
                                "SELECT " ITEM_COLUMNS " FROM items WHERE id IN (SELECT id FROM "
                                "steps WHERE step = (SELECT max(step) FROM steps)) ORDER BY id",
                                &statement, err);
    if (status == BT_OK) status = itemdb_read(s, statement, out, err);
    if (status == BT_OK)
        status = itemdb_exec(s, "DELETE FROM steps WHERE step = (SELECT max(step) FROM steps)",
                             "be changed", err);
    if (status == BT_OK) status = itemdb_exec(s, "COMMIT", "be changed", err);
    if (status != BT_OK) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
