/* The database: what is kept comes back, steps are undone, and what can go wrong with a file does
 * not lose anything: a lock, a full disk, damage, a later version, another program's file, no
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/store.h"
#include "agent/store_sql.h"
#include "base/buf.h"
#include "support/files.h"
#include "support/scratch.h"
#include "support/torture.h"

static Store *opened(void)
{
    Store *s = NULL;
    bt_error err = {0};
    if (itemdb_open(scratch_path("."), &s, &err) != BT_OK) fail_msg("%s", err.text);
    return s;
}

static int64_t add(Store *s, ItemKind kind, const char *text, int64_t at)
{
    char copy[100];
    bt_error err = {0};
    snprintf(copy, sizeof copy, "%s", text);
    Item item = {.kind = kind, .text = copy, .at = at, .first = at};
    if (itemdb_begin(s, &err) || itemdb_add(s, &item, 1000, &err) || itemdb_end(s, true, &err))
        fail_msg("%s", err.text);
    return item.id;
}

static Items listed(Store *s, Wanted wanted)
{
    Items out = {0};
    bt_error err = {0};
    if (itemdb_list(s, &wanted, &out, &err) != BT_OK) fail_msg("%s", err.text);
    return out;
}

static size_t count(Store *s, Wanted wanted)
{
    Items out = listed(s, wanted);
    size_t n = out.n;
    items_close(&out);
    return n;
}

static void change(Store *s, int64_t id, ItemState state, int64_t at)
{
    Items items = {0};
    bt_error err = {0};
    assert_int_equal(itemdb_get(s, id, &items, &err), BT_OK);
    assert_int_equal(items.n, 1);
    items.list[0].state = state;
    items.list[0].at = at;
    if (itemdb_begin(s, &err) || itemdb_change(s, &items.list[0], &err) ||
        itemdb_end(s, true, &err))
        fail_msg("%s", err.text);
    items_close(&items);
}

static void test_kept_and_found(void **state)
{
    struct stat st;
    (void)state;
    Store *s = opened();
    add(s, ITEM_NOTE, "the wifi password is bluebird42", 0);
    add(s, ITEM_NOTE, "caf\xc3\xa9 on the corner opens at 8", 0);
    add(s, ITEM_REMINDER, "call the dentist", 5000);
    add(s, ITEM_EVENT, "dentist's party", 7000);
    itemdb_close(&s);
    assert_int_equal(stat(scratch_path("assistant.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(scratch_entries(), 1); /* no journal is left */
    s = opened();
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS}), 4);
    assert_int_equal(count(s, (Wanted){.kinds = 1u << ITEM_NOTE}), 2);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "dentist"}), 2);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "CALL dent"}), 1);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "cafe"}), 1);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "the"}), 3);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "dentist wifi"}), 0);
    assert_int_equal(count(s, (Wanted){.kinds = 15, .words = "dentist wifi", .some = true}), 3);
    assert_int_equal(count(s, (Wanted){.kinds = 15, .from = 6000, .before = 8000}), 1);
    /* another program wrote what a terminal would obey */
    sqlite3_exec(s->db, "UPDATE items SET text = 'a' || char(27) || '[2Jb' WHERE kind = 2", NULL,
                 NULL, NULL);
    Items event = listed(s, (Wanted){.kinds = 1u << ITEM_EVENT});
    assert_string_equal(event.list[0].text, "a [2Jb");
    items_close(&event);
    /* the search's own language is not spoken */
    static const char *const odd[] = {
        "\"",    "NEAR(",      "wifi OR dentist",         "*", "text:wifi",
        "-wifi", "a\" OR \"b", "'; DROP TABLE items; --", ""};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        assert_true(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = odd[i]}) <= 1);
    itemdb_close(&s);
}

static void test_undo(void **state)
{
    Items items = {0};
    bt_error err = {0};
    (void)state;
    Store *s = opened();
    const Wanted all = {.kinds = ITEM_ALL_KINDS};
    int64_t id = add(s, ITEM_REMINDER, "first", 5000);
    change(s, id, ITEM_OPEN, 6000);
    change(s, id, ITEM_CANCELLED, 6000);
    assert_int_equal(count(s, all), 0);
    assert_int_equal(itemdb_undo(s, &items, &err), BT_OK);
    assert_int_equal(items.n, 1);
    assert_int_equal(items.list[0].at, 6000);
    items_close(&items);
    assert_int_equal(itemdb_undo(s, &items, &err), BT_OK);
    assert_int_equal(items.list[0].at, 5000);
    items_close(&items);
    assert_int_equal(itemdb_undo(s, &items, &err), BT_OK); /* it was never added */
    assert_int_equal(items.list[0].state, ITEM_CANCELLED);
    items_close(&items);
    assert_int_equal(count(s, all), 0);
    assert_int_equal(itemdb_undo(s, &items, &err), BT_OK);
    assert_int_equal(items.n, 0);
    for (int i = 0; i < ITEM_STEPS_KEPT + 50; i++) add(s, ITEM_NOTE, "one of many", 0);
    int undone = 0;
    while (itemdb_undo(s, &items, &err) == BT_OK && items.n) {
        items_close(&items);
        undone++;
    }
    assert_in_range(undone, ITEM_STEPS_KEPT, ITEM_STEPS_KEPT + 1);
    itemdb_close(&s);
}

static void test_due(void **state)
{
    Items items = {0};
    bt_error err = {0};
    int64_t next;
    (void)state;
    Store *s = opened();
    int64_t a = add(s, ITEM_REMINDER, "a", 5000), b = add(s, ITEM_TIMER, "b", 4000);
    add(s, ITEM_EVENT, "c", 3000);
    add(s, ITEM_REMINDER, "d", 9000);
    assert_int_equal(itemdb_next_due(s, &next, &err), BT_OK);
    assert_int_equal(next, 4000);
    assert_int_equal(itemdb_due(s, 5000, &items, &err), BT_OK);
    assert_int_equal(items.n, 2);
    assert_int_equal(items.list[0].id, b);
    items_close(&items);
    assert_int_equal(itemdb_rung(s, b, 0, &err), BT_OK);
    assert_int_equal(itemdb_rung(s, a, 8000, &err), BT_OK);
    assert_int_equal(itemdb_due(s, 5000, &items, &err), BT_OK);
    assert_int_equal(items.n, 0);
    assert_int_equal(itemdb_next_due(s, &next, &err), BT_OK);
    assert_int_equal(next, 8000);
    itemdb_close(&s);
}

/* ---- what can go wrong ---- */

static void test_locked_by_another(void **state)
{
    bt_error err = {0};
    (void)state;
    Store *s = opened(), *other = opened();
    add(s, ITEM_NOTE, "before", 0);
    assert_int_equal(itemdb_begin(other, &err), BT_OK);
    sqlite3_busy_timeout(s->db, 20);
    assert_int_equal(itemdb_begin(s, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "another program"));
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS}), 1); /* reading goes on */
    itemdb_end(other, false, NULL);
    add(s, ITEM_NOTE, "after", 0);
    itemdb_close(&other);
    itemdb_close(&s);
}

static void test_full_disk(void **state)
{
    char text[ITEM_MOST_TEXT + 1];
    bt_error err = {0};
    (void)state;
    Store *s = opened();
    add(s, ITEM_NOTE, "before", 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    Item item = {.kind = ITEM_NOTE, .text = text};
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), SQLITE_OK);
    bt_status status = BT_OK;
    for (int i = 0; i < 50 && status == BT_OK; i++) {
        assert_int_equal(itemdb_begin(s, &err), BT_OK);
        status = itemdb_add(s, &item, 1, &err);
        bt_status end = itemdb_end(s, status == BT_OK, &err);
        if (status == BT_OK) status = end;
    }
    assert_int_equal(status, BT_E_IO);
    assert_non_null(strstr(err.text, "disk is full"));
    sqlite3_exec(s->db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL);
    add(s, ITEM_NOTE, "there is room again", 0);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "before"}), 1);
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS, .words = "room again"}), 1);
    itemdb_close(&s);
}

static void refused(const char *why)
{
    Store *s = NULL;
    bt_error err = {0};
    size_t had, has;
    char *before = files_read(scratch_path("assistant.db"), &had);
    assert_int_equal(itemdb_open(scratch_path("."), &s, &err), BT_E_FORMAT);
    assert_null(s);
    if (!strstr(err.text, why)) fail_msg("%s", err.text);
    char *after = files_read(scratch_path("assistant.db"), &has);
    assert_true(before && after);
    assert_int_equal(had, has);
    assert_memory_equal(before, after, had);
    free(before);
    free(after);
}

static void test_of_the_first_version(void **state)
{
    Items items = {0};
    bt_error err = {0};
    (void)state;
    Store *s = opened();
    int64_t id = add(s, ITEM_EVENT, "old", 3000);
    const char *back = "ALTER TABLE items DROP COLUMN told; PRAGMA user_version = 1";
    assert_int_equal(sqlite3_exec(s->db, back, NULL, NULL, NULL), SQLITE_OK);
    itemdb_close(&s);
    s = opened();
    assert_int_equal(itemdb_get(s, id, &items, &err), BT_OK);
    assert_int_equal(items.n, 1);
    assert_int_equal(items.list[0].told, 0);
    items_close(&items);
    assert_int_equal(itemdb_told(s, id, 3000, &err), BT_OK);
    itemdb_close(&s);
    s = opened();
    assert_int_equal(itemdb_get(s, id, &items, &err), BT_OK);
    assert_int_equal(items.list[0].told, 3000);
    items_close(&items);
    itemdb_close(&s);
}

static void test_files_that_are_none(void **state)
{
    char noise[5000];
    (void)state;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(i * 7919 >> 3);
    scratch_write("assistant.db", noise, sizeof noise);
    refused("damaged");
    unlink(scratch_path("assistant.db"));
    Store *s = opened();
    for (int i = 0; i < 200; i++) add(s, ITEM_REMINDER, "a reminder among others", 1000 + i);
    sqlite3_exec(s->db, "PRAGMA user_version = 99", NULL, NULL, NULL);
    itemdb_close(&s);
    refused("later version");
    size_t size;
    char *bytes = files_read(scratch_path("assistant.db"), &size);
    assert_non_null(bytes);
    assert_true(size > 8192);
    bytes[63] = 1; /* the version again (offset 60, big-endian) */
    memset(bytes + 4096, 0x5a, 4096);
    scratch_write("assistant.db", bytes, size);
    refused("damaged");
    free(bytes);
    unlink(scratch_path("assistant.db"));
    s = opened();
    sqlite3_exec(s->db, "PRAGMA application_id = 5", NULL, NULL, NULL);
    itemdb_close(&s);
    refused("no database of the assistant");
}

static void test_folder_that_cannot_be_used(void **state)
{
    Store *s = NULL;
    bt_error err = {0};
    (void)state;
    assert_int_equal(itemdb_open(scratch_path("not/there"), &s, &err), BT_E_IO);
    assert_null(s);
    /* a link is not followed */
    assert_int_equal(symlink("elsewhere", scratch_path("assistant.db")), 0);
    assert_int_equal(itemdb_open(scratch_path("."), &s, &err), BT_E_IO);
    assert_null(s);
}

/* Every allocation fails in turn: an error each time, nothing leaks, and what was there stays. */
/* Something is added to a file that holds one item: an error leaves it as it was. */
static bt_status life(void *user, bt_error *err)
{
    Item item = {.kind = ITEM_NOTE, .text = (char[]){"in between"}};
    Items items = {0};
    const Wanted wanted = {.kinds = ITEM_ALL_KINDS, .words = "be"};
    (void)user;
    torture_pause();
    unlink(scratch_path("assistant.db"));
    Store *s = opened();
    add(s, ITEM_NOTE, "before", 0);
    itemdb_close(&s);
    torture_resume();
    bt_status status = itemdb_open(scratch_path("."), &s, err);
    if (!status) status = itemdb_begin(s, err);
    bool added = false;
    if (!status) {
        status = itemdb_add(s, &item, 1, err);
        bt_status end = itemdb_end(s, !status, err);
        if (!status) status = end;
        added = !status;
    }
    if (!status) status = itemdb_list(s, &wanted, &items, err);
    if (!status) assert_int_equal(items.n, 2);
    items_close(&items);
    itemdb_close(&s);
    torture_pause();
    s = opened();
    assert_int_equal(count(s, (Wanted){.kinds = ITEM_ALL_KINDS}), 1 + added);
    itemdb_close(&s);
    return status;
}

/* Every allocation fails in turn: an error each time, nothing leaks, and what was there stays. */
static void test_without_memory(void **state)
{
    (void)state;
    torture_some("the store", life, NULL, 100);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(test_kept_and_found),
        IN_SCRATCH(test_undo),
        IN_SCRATCH(test_due),
        IN_SCRATCH(test_locked_by_another),
        IN_SCRATCH(test_full_disk),
        IN_SCRATCH(test_of_the_first_version),
        IN_SCRATCH(test_files_that_are_none),
        IN_SCRATCH(test_folder_that_cannot_be_used),
        IN_SCRATCH(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
