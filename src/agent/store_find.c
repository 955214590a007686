/* Reading what is kept (see store.h): lists, searches, what is due. */
#include <stdlib.h>
#include <string.h>

#include "agent/store_sql.h"
#include "agent/tools.h"
#include "base/buf.h"
#include "base/mem.h"

enum { MOST_ROWS = 1000, MOST_WORDS = 32 };

void items_close(Items *items)
{
    for (size_t i = 0; i < items->n; i++) mem_free(items->list[i].text);
    mem_free(items->list);
    *items = (Items){0};
}

static Item *another(Items *items)
{
    if (items->n == items->capacity) {
        size_t capacity = items->capacity * 2 + 8;
        Item *grown = mem_realloc(items->list, capacity * sizeof *grown);
        if (!grown) return NULL;
        items->list = grown;
        items->capacity = capacity;
    }
    Item *item = &items->list[items->n];
    *item = (Item){0};
    return item;
}

/* The file may have been changed by others: what does not fit an item is passed over, and texts are
 * cleaned again, since they go to a terminal. */
static bt_status add_row(sqlite3_stmt *row, Items *out, bt_error *err)
{
    int kind = sqlite3_column_int(row, 1), state = sqlite3_column_int(row, 2);
    const char *text = (const char *)sqlite3_column_text(row, 3);
    const char *every = (const char *)sqlite3_column_text(row, 8);
    if (!text || !every) return bt_fail_memory(err, "the assistant's entries", 0);
    if (kind < 0 || kind >= ITEM_KINDS || state < 0 || state > ITEM_CANCELLED) return BT_OK;
    Item *item = another(out);
    Buf clean = {0};
    clean_text(&clean, span_of(text));
    if (!item || !(item->text = buf_take(&clean))) {
        buf_close(&clean);
        return bt_fail_memory(err, "the assistant's entries", 0);
    }
    item->id = sqlite3_column_int64(row, 0);
    item->kind = (ItemKind)kind;
    item->state = (ItemState)state;
    item->at = sqlite3_column_int64(row, 4);
    item->until = sqlite3_column_int64(row, 5);
    item->first = sqlite3_column_int64(row, 6);
    item->whole_day = sqlite3_column_int(row, 7) != 0;
    if (strlen(every) < sizeof item->every) memcpy(item->every, every, strlen(every) + 1);
    item->made = sqlite3_column_int64(row, 9);
    item->told = sqlite3_column_int64(row, 10);
    out->n++;
    return BT_OK;
}

bt_status itemdb_read(Store *s, sqlite3_stmt *statement, Items *out, bt_error *err)
{
    bt_status status = BT_OK;
    int code = SQLITE_ROW;
    for (size_t i = 0; i < MOST_ROWS && status == BT_OK; i++) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW) break;
        status = add_row(statement, out, err);
    }
    if (status == BT_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        status = itemdb_failed(s, code, "be read", err);
    sqlite3_finalize(statement);
    return status;
}

/* ---- words ---- */

static bool word_byte(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z');
}

/* Says nothing about what is meant. */
static bool small_word(const char *word, size_t n)
{
    static const char *const list[] = {"a",  "an", "and", "at", "for", "her", "his", "in",  "is",
                                       "it", "my", "of",  "on", "our", "the", "to",  "with"};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strlen(list[i]) == n && sqlite3_strnicmp(list[i], word, (int)n) == 0) return true;
    return false;
}

/* "dentist's day" becomes "dentist"* AND "s"* AND "day"*: quoted, so that nothing in it is read as
 * the search's own language. False: it has no word. */
static bool match_text(const char *words, bool some, Buf *out)
{
    int n = 0;
    for (int pass = 0; pass < 2 && n == 0;
         pass++) { /* small words only where there are no others */
        for (const char *p = words; *p && n < MOST_WORDS;) {
            size_t size = 0;
            while (word_byte(p[size])) size++;
            if (size && (pass || !small_word(p, size))) {
                if (n++) buf_text(out, some ? " OR " : " AND ");
                buf_char(out, '"');
                buf_add(out, p, size);
                buf_text(out, "\"*");
            }
            p += size ? size : 1;
        }
    }
    return n > 0;
}

/* ---- lists ---- */

bt_status itemdb_list(Store *s, const Wanted *w, Items *out, bt_error *err)
{
    Buf sql = {0}, match = {0};
    sqlite3_stmt *statement = NULL;
    bt_status status;
    if (w->words && !match_text(w->words, w->some, &match)) return BT_OK;
    buf_text(&sql, "SELECT " ITEM_COLUMNS " FROM items");
    if (w->words)
        buf_text(&sql, " JOIN (SELECT rowid AS found, rank FROM words WHERE words MATCH ?4) ON "
                       "found = id");
    buf_text(&sql, " WHERE (?1 >> kind) & 1 AND state");
    buf_text(&sql, w->done ? " < 2" : " = 0");
    if (w->from || w->before)
        buf_text(&sql, " AND at > 0 AND at < ?3 AND (max(at, until) >= ?2 OR every <> '')");
    buf_text(&sql, w->words && w->some ? " ORDER BY rank, kind, at, id" : " ORDER BY kind, at, id");
    if (sql.failed || match.failed) {
        status = bt_fail_memory(err, "a search", 0);
    } else {
        status = itemdb_prepare(s, sql.data, &statement, err);
        if (status == BT_OK) {
            sqlite3_bind_int64(statement, 1, w->kinds);
            sqlite3_bind_int64(statement, 2, w->from);
            sqlite3_bind_int64(statement, 3, w->before);
            if (w->words) sqlite3_bind_text(statement, 4, match.data, -1, SQLITE_STATIC);
            status = itemdb_read(s, statement, out, err);
        }
    }
    buf_close(&sql);
    buf_close(&match);
    return status;
}

static bt_status read_one(Store *s, const char *sql, int64_t value, Items *out, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_prepare(s, sql, &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int64(statement, 1, value);
    return itemdb_read(s, statement, out, err);
}

bt_status itemdb_get(Store *s, int64_t id, Items *out, bt_error *err)
{
    return read_one(s, "SELECT " ITEM_COLUMNS " FROM items WHERE id = ?", id, out, err);
}

bt_status itemdb_latest(Store *s, ItemKind kind, Items *out, bt_error *err)
{
    return read_one(s,
                    "SELECT " ITEM_COLUMNS " FROM items WHERE kind = ? AND state = 0 "
                    "ORDER BY id DESC LIMIT 1",
                    kind, out, err);
}

/* ---- what is due ---- */

bt_status itemdb_due(Store *s, int64_t now, Items *out, bt_error *err)
{
    return read_one(s,
                    "SELECT " ITEM_COLUMNS " FROM items WHERE state = 0 AND kind < 2 AND at <= ? "
                    "ORDER BY at, id",
                    now, out, err);
}

bt_status itemdb_next_due(Store *s, int64_t *at, bt_error *err)
{
    Items next = {0};
    bt_status status = read_one(s,
                                "SELECT " ITEM_COLUMNS " FROM items WHERE state = 0 AND kind < 2 "
                                "AND at > ? ORDER BY at LIMIT 1",
                                0, &next, err);
    *at = next.n ? next.list[0].at : 0;
    items_close(&next);
    return status;
}

bt_status itemdb_rung(Store *s, int64_t id, int64_t next, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status = itemdb_prepare(
        s, "UPDATE items SET state = iif(?1, 0, 1), at = iif(?1, ?1, at) WHERE id = ?2", &statement,
        err);
    if (status != BT_OK) return status;
    sqlite3_bind_int64(statement, 1, next);
    sqlite3_bind_int64(statement, 2, id);
    return itemdb_run(s, statement, "be changed", err);
}

bt_status itemdb_told(Store *s, int64_t id, int64_t at, bt_error *err)
{
    sqlite3_stmt *statement = NULL;
    bt_status status =
        itemdb_prepare(s, "UPDATE items SET told = ?1 WHERE id = ?2", &statement, err);
    if (status != BT_OK) return status;
    sqlite3_bind_int64(statement, 1, at);
    sqlite3_bind_int64(statement, 2, id);
    return itemdb_run(s, statement, "be changed", err);
}
