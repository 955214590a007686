/* The program: walks the CPU masks, runs each row's test on each version once, prints TAP.
 *     check [--seed N] [--only NAME] [--mask NAMES] [--rounds N] [--bench] [--best]
 *           [--list]
 * --only takes the start of a kernel's name, --best times the fastest version alone. Exit code 1
 * when something differs, 2 for usage. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "private.h"

#define ROW_ADDRESS(member) &check_##member,
const CheckRow *const check_rows[] = {CHECK_ROWS(ROW_ADDRESS)};
const int check_n_rows = (int)(sizeof check_rows / sizeof check_rows[0]);

/* One row a member: the name is a pointer too, and everything else is a kernel. */
_Static_assert(sizeof check_rows / sizeof check_rows[0] + 1 ==
                   sizeof(Kernels) / sizeof(void (*)(void)),
               "a member of Kernels has no row in CHECK_ROWS (tests/check/check.h)");

typedef void (*AnyKernel)(void);

static AnyKernel member(const Kernels *table, const CheckRow *row)
{
    AnyKernel fn;
    memcpy(&fn, (const char *)table + row->offset, sizeof fn);
    return fn;
}

/* ---- masks ---- */
enum { MAX_TABLES = 64 };
static const Kernels *tables[MAX_TABLES]; /* [0] is plain C */
static int n_tables;

static bool stands(uint32_t f)
{
    if (f & (CPU_AVXVNNI | CPU_AVX512) && !(f & CPU_AVX2)) return false;
    if (f & (CPU_AVX512VNNI | CPU_AVX512BF16 | CPU_AMXBF16) && !(f & CPU_AVX512)) return false;
    if (f & CPU_AMXINT8 && !(f & CPU_AVX512VNNI)) return false;
    if (f & (CPU_DOTPROD | CPU_I8MM | CPU_ARMBF16) && !(f & CPU_NEON)) return false;
    return true;
}

static void walk_masks(uint32_t have)
{
    uint32_t mask = 0;
    do { /* all subsets of `have`, from the smallest number up */
        if (stands(mask) && n_tables < MAX_TABLES) tables[n_tables++] = kernels_select(mask);
        mask = (mask - have) & have;
    } while (mask);
}

/* The versions of one kernel: the first table that has each. */
static int versions(const CheckRow *row, const Kernels **out)
{
    int n = 0;
    for (int i = 0; i < n_tables; i++) {
        bool seen = false;
        for (int j = 0; j < n && !seen; j++) seen = member(out[j], row) == member(tables[i], row);
        if (!seen) out[n++] = tables[i];
    }
    return n;
}

/* ---- running ---- */
static struct {
    uint64_t seed;
    const char *only;
    uint32_t mask;
    int rounds;
    bool bench, best, list;
} options = {.seed = 0, .only = "", .mask = 0, .rounds = 60};

static char running[128];

static void on_crash(int sig)
{
    (void)sig;
    static const char text[] = "# touched memory outside its buffers (or crashed) in: ";
    if (write(1, text, sizeof text - 1) < 0 || write(1, running, strlen(running)) < 0 ||
        write(1, "\n", 1) < 0)
        _exit(3);
    _exit(1);
}

static void start_row(Check *c, const CheckRow *row, const Kernels *table)
{
    *c = (Check){.row = row, .ref = tables[0], .fast = table, .rounds = options.rounds};
    /* Each sub-test draws the same numbers whichever others run. */
    c->random = options.seed * 0x9e3779b97f4a7c15u + row->offset + 1;
    for (int i = 0; i < 8; i++) check_random(c);
    snprintf(running, sizeof running, "%s %s, seed %llu", row->name, table->name,
             (unsigned long long)options.seed);
}

static bool test_one(int number, const CheckRow *row, const Kernels *table)
{
    if (!member(tables[0], row)) {
        printf("ok %d - %s # SKIP there is no plain version yet\n", number, row->name);
        return true;
    }
    Check c;
    start_row(&c, row, table);
    if (row->test)
        row->test(&c);
    else
        check_fail(&c, "this kernel has no test: write its row in tests/check");
    printf("%s %d - %s %s\n", c.failed ? "not ok" : "ok", number, row->name, table->name);
    fflush(stdout);
    return !c.failed;
}

static bool wanted(const CheckRow *row)
{
    return strncmp(row->name, options.only, strlen(options.only)) == 0;
}

static int run_tests(void)
{
    const Kernels *found[MAX_TABLES];
    int total = 0, number = 0, failed = 0;
    for (int i = 0; i < check_n_rows; i++)
        if (wanted(check_rows[i])) total += versions(check_rows[i], found);
    printf("1..%d\n# seed %llu\n", total, (unsigned long long)options.seed);
    for (int i = 0; i < check_n_rows; i++) {
        if (!wanted(check_rows[i])) continue;
        int n = versions(check_rows[i], found);
        for (int j = 0; j < n; j++) failed += !test_one(++number, check_rows[i], found[j]);
    }
    return failed ? 1 : 0;
}

static int run_bench(void)
{
    const Kernels *found[MAX_TABLES];
    for (int i = 0; i < check_n_rows; i++) {
        if (!wanted(check_rows[i]) || !check_rows[i]->bench) continue;
        int n = versions(check_rows[i], found);
        for (int j = options.best ? n - 1 : 0; j < n; j++) {
            if (!member(found[j], check_rows[i])) continue;
            Check c;
            start_row(&c, check_rows[i], found[j]);
            check_rows[i]->bench(&c);
            check_memory_free();
        }
    }
    return 0;
}

static int usage(const char *what)
{
    fprintf(stderr,
            "check: %s\n"
            "usage: check [--seed N] [--only NAME] [--mask NAMES] [--rounds N] [--bench] [--best] "
            "[--list]\n",
            what);
    return 2;
}

static const char *read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0)
            options.bench = true;
        else if (strcmp(argv[i], "--best") == 0)
            options.best = true;
        else if (strcmp(argv[i], "--list") == 0)
            options.list = true;
        else if (!value)
            return "an option without its value, or an unknown one";
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            options.only = argv[++i];
        else if (strcmp(argv[i], "--mask") == 0)
            options.mask = cpu_mask_parse(argv[++i]);
        else if (strcmp(argv[i], "--rounds") == 0)
            options.rounds = (int)strtol(argv[++i], NULL, 10);
        else
            return "an unknown option";
    }
    return NULL;
}

int main(int argc, char **argv)
{
    options.seed = (uint64_t)time(NULL) % 1000000;
    options.mask = cpu_features();
    const char *wrong = read_options(argc, argv);
    if (wrong) return usage(wrong);
    for (int i = 0; i < check_n_rows; i++) {
        if (options.list) printf("%s\n", check_rows[i]->name);
    }
    if (options.list) return 0;
    struct sigaction crash = {.sa_handler = on_crash};
    sigaction(SIGSEGV, &crash, NULL);
    sigaction(SIGBUS, &crash, NULL);
    sigaction(SIGILL, &crash, NULL);
    if (options.mask == 0) return usage("an unknown name in --mask");
    walk_masks(options.mask & cpu_features());
    return options.bench ? run_bench() : run_tests();
}
