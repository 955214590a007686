/* The prefix tree against lists compared one by one: random lists with common beginnings come and
 * go; who shares how much, and in which order they are told, is what comparing says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/prefix_tree.h"
#include "support/make_blocks.h"
#include "support/torture.h"

enum { ENTRIES = 40, MOST = 24, KEYS = 3 };

static bt_token lists[ENTRIES][MOST];
static int32_t sizes[ENTRIES]; /* 0: not in the tree */
static PrefixKey keys[ENTRIES];
static uint64_t seed;

static uint32_t draw(uint32_t n)
{
    return (uint32_t)(make_random(&seed) >> 33) % n;
}

static PrefixKey draw_key(void)
{
    uint32_t k = draw(KEYS);
    return (PrefixKey){k == 1, k == 2};
}

/* Few tokens, so that beginnings are often common; now and then another's list goes on. */
static int32_t draw_list(bt_token *list)
{
    int32_t n = 1 + (int32_t)draw(MOST), common = 0;
    uint32_t other = draw(ENTRIES);
    if (draw(2) && sizes[other]) common = 1 + (int32_t)draw((uint32_t)sizes[other]);
    if (common > n) n = common;
    memmove(list, lists[other], (size_t)common * sizeof *list);
    for (int32_t i = common; i < n; i++) list[i] = (bt_token)draw(3);
    return n;
}

static int32_t common(const bt_token *a, int32_t n, const bt_token *b, int32_t m)
{
    int32_t i = 0;
    while (i < n && i < m && a[i] == b[i]) i++;
    return i;
}

typedef struct Told {
    const bt_token *list;
    int32_t n, last, count, most;
    PrefixKey key;
    bool seen[ENTRIES];
} Told;

static bool tell(void *arg, int32_t entry, int32_t shared)
{
    Told *t = arg;
    assert_in_range(entry, 0, ENTRIES - 1);
    assert_false(t->seen[entry]);
    t->seen[entry] = true;
    assert_memory_equal(&keys[entry], &t->key, sizeof t->key);
    assert_int_equal(shared, common(t->list, t->n, lists[entry], sizes[entry]));
    assert_true(shared > 0 && shared <= t->last);
    t->last = shared;
    return ++t->count < t->most;
}

static void look_up(const PrefixTree *tree)
{
    bt_token list[MOST];
    Told t = {.list = list, .last = MOST, .most = INT32_MAX, .key = draw_key()};
    t.n = draw_list(list);
    prefix_tree_visit(tree, t.key, list, t.n, tell, &t);
    int32_t want = 0;
    for (int32_t e = 0; e < ENTRIES; e++)
        want += sizes[e] && memcmp(&keys[e], &t.key, sizeof t.key) == 0 &&
                common(list, t.n, lists[e], sizes[e]) > 0;
    assert_int_equal(t.count, want);
    if (want < 2) return;
    Told first = {.list = list, .n = t.n, .last = MOST, .most = 1, .key = t.key};
    prefix_tree_visit(tree, t.key, list, t.n, tell, &first);
    assert_int_equal(first.count, 1);
}

static void as_comparing_says(void **state)
{
    (void)state;
    seed = 11;
    memset(sizes, 0, sizeof sizes);
    PrefixTree *tree = prefix_tree_open(ENTRIES);
    assert_non_null(tree);
    for (int turn = 0; turn < 60000; turn++) {
        int32_t e = (int32_t)draw(ENTRIES);
        if (draw(3) == 0) {
            prefix_tree_remove(tree, e);
            sizes[e] = 0;
        } else {
            bt_token list[MOST];
            int32_t n = draw_list(list);
            prefix_tree_remove(tree, e); /* its old tokens stand until then */
            memcpy(lists[e], list, sizeof list);
            sizes[e] = n;
            keys[e] = draw_key();
            prefix_tree_put(tree, e, keys[e], lists[e], n);
        }
        assert_int_equal(prefix_tree_length(tree, e), sizes[e]);
        assert_true(prefix_tree_nodes(tree) <= 3 * ENTRIES);
        look_up(tree);
    }
    for (int32_t e = 0; e < ENTRIES; e++) prefix_tree_remove(tree, e);
    assert_int_equal(prefix_tree_nodes(tree), 0);
    prefix_tree_close(&tree);
}

/* Chains are where each list adds a node. */
static void three_nodes_an_entry_are_enough(void **state)
{
    (void)state;
    static bt_token long_list[ENTRIES + 1];
    PrefixTree *tree = prefix_tree_open(ENTRIES);
    for (int32_t e = 0; e < ENTRIES; e++)
        prefix_tree_put(tree, e, (PrefixKey){(uint64_t)e, 0}, long_list, 1);
    assert_int_equal(prefix_tree_nodes(tree), 2 * ENTRIES);
    for (int32_t e = 0; e < ENTRIES; e++)
        prefix_tree_put(tree, e, (PrefixKey){0, 0}, long_list, e + 1);
    assert_int_equal(prefix_tree_nodes(tree), ENTRIES + 1);
    for (int32_t e = ENTRIES - 1; e >= 0; e--) prefix_tree_remove(tree, e);
    assert_int_equal(prefix_tree_nodes(tree), 0);
    prefix_tree_close(&tree);
    prefix_tree_close(&tree);
}

static bt_status life(void *user, bt_error *err)
{
    (void)user;
    PrefixTree *tree = prefix_tree_open(ENTRIES);
    bt_status status = tree ? BT_OK : BT_E_MEMORY;
    prefix_tree_close(&tree);
    return torture_bare(status, err);
}

static void without_memory(void **state)
{
    (void)state;
    assert_int_equal(torture("a tree", life, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_comparing_says),
        cmocka_unit_test(three_nodes_an_entry_are_enough),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
