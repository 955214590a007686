#!/bin/sh
# Plants one fault a rule in a small tree and sees tools/tidy find it; feeds tools/summarise
# made-up logs and tools/picture a session. Prints TAP.     tools.sh [OBJDUMP CC...]
set -u
source=${BANTAM_SOURCE:?}
objdump=${1:-}
[ $# -eq 0 ] || shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

row() { # STATUS NAME (rows are counted in a file: most run in a pipe's subshell)
    echo >>"$work/rows"
    n=$(grep -c '' "$work/rows")
    [ "$1" = 0 ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    sed 's/^/# /' "$work/log"
}

# ---- tidy: a sound tree passes, each fault is named ----
tree=$work/tree
mkdir -p "$tree/src/base" "$tree/src/io" "$tree/src/kernels" "$tree/tools" "$tree/build/src/kernels"
cp "$source/tools/tidy" "$source/tools/spills.py" "$tree/tools"

sound() {
    printf '/* A file. */\n#include "base/a.h"\nint a(void)\n{\n    return 0;\n}\n' \
        >"$tree/src/base/a.c"
    printf '/* Its header. */\n#ifndef A_H\n#define A_H\nint a(void);\n#endif\n' \
        >"$tree/src/base/a.h"
}
tidy() { GIT_CEILING_DIRECTORIES=$work "$tree/tools/tidy" "$@" >"$work/log" 2>&1; }
finds() { # FILE WORDS: with stdin as the file, tidy fails and its finding has the words
    sound
    mkdir -p "$(dirname "$tree/$1")"
    cat >"$tree/$1"
    tidy
    status=$?
    [ $status = 1 ] && grep -q "^$1:.*$2" "$work/log"
    status=$?
    rm "$tree/$1"
    row $status "tidy finds: $2"
}

sound
tidy
row $? 'tidy passes a sound tree'
printf '/* Up. */\n#include "io/x.h"\n' | finds src/base/up.c 'is not below base'
printf '/* Sideways. */\n#include "tensor/x.h"\n' | finds src/base/side.c 'is not below base'
printf '/* Nowhere. */\n' | finds src/attic/x.c 'is on no floor'
printf '/* P. */\n#include "base/a.h"\n' | finds examples/x.c 'private header'
{ echo '/* L. */'; yes 'int x;' | head -n 1000; } | finds src/base/long.c '1001 lines'
{ echo '/* F. */'; echo 'int f(void)'; echo '{'; yes '    f();' | head -n 70; echo '}'; } |
    finds src/base/f.c 'a function of 73 lines'
printf '/* %0100d */\n' 1 | finds src/base/wide.c 'columns'
printf '/* C. */\nint f(void)\n{\n    return printf("x");\n}\n' | finds src/io/c.c 'calls printf()'
printf '/* C. */\nvoid f(void *p)\n{\n    free(p);\n}\n' | finds src/io/c.c 'calls free()'
printf '/* C. */\nvoid f(char *p)\n{\n    strcpy(p, p);\n}\n' | finds tests/c.c 'calls strcpy()'
printf '/* H. */\n#include <sys/epoll.h>\n' | finds src/io/h.c 'ask base/os.h'
printf 'see /%s/someone/bantam\n' home | finds notes.txt 'names /'
printf 'int x;\n' | finds src/base/bare.c 'without a comment'
printf '/* G. */\nint g(void);\n' | finds src/base/g.h 'no include guard'
printf '/* B. */\n#if 0\n#endif\n' | finds src/base/b.c 'switched off'
printf 'The `src/base/%s` file.\n' gone.c | finds README.md 'is not there'
rm -f "$tree/README.md"

# ---- tidy: a loop with more accumulators than registers spills, one with few does not ----
kernel() { # ACCUMULATORS
    cat >"$work/k.c" <<END
typedef float V __attribute__((vector_size(16)));
void k(const V *a, float *b, V *o, long n)
{
    V s[$1];
    for (int i = 0; i < $1; i++) s[i] = o[i];
    for (long j = 0; j < n; j++) {
        V x = {b[j], b[j], b[j], b[j]};
#pragma GCC unroll 64
        for (int i = 0; i < $1; i++) s[i] += a[j * $1 + i] * x;
    }
    for (int i = 0; i < $1; i++) o[i] = s[i];
}
END
    case $(uname -m) in x86_64) flags='-mavx2 -mfma' ;; *) flags= ;; esac
    # shellcheck disable=SC2086
    $compiler -O3 $flags -c "$work/k.c" -o "$tree/build/src/kernels/k.o" >"$work/log" 2>&1 &&
        tidy --build "$tree/build" --objdump "$objdump"
}
echo ' -O3' >"$tree/build/build.ninja"
compiler=$*
if [ -n "$objdump" ] && [ -n "$compiler" ]; then
    sound
    kernel 60
    grep -q 'k: .* spills in the hot loop' "$work/log"
    row $? 'tidy finds a hot loop that spills'
else
    row 0 'tidy finds a hot loop that spills # SKIP no objdump here'
fi

# ---- summarise ----
log() { # RESULT STDOUT
    printf '{"name": "t", "stdout": "%s", "result": "%s", "returncode": 0}\n' "$2" "$1"
}
sums() { # STATUS LAST-LINE EXIT: with stdin as the log
    cat >"$work/testlog.json"
    "$source/tools/summarise" "$1" "$work/testlog.json" >"$work/log" 2>&1
    [ $? = "$3" ] && [ "$(tail -n 1 "$work/log")" = "$2" ]
    row $? "summarise: $2, exit $3"
}
log OK '1..3\nok 1 - a\nnot ok 2 # SKIP b\nok 3 - c # skip\n' |
    sums 0 '1 passed, 0 failed, 2 skipped' 0
log FAIL '1..2\nok 1 - a\nnot ok 2 - b\n' | sums 1 '1 passed, 1 failed, 0 skipped' 1
log OK '1..3\nok 1 - a\n' | sums 0 '1 passed, 1 failed, 0 skipped' 1
log TIMEOUT '' | sums 1 '0 passed, 1 failed, 0 skipped' 1
{ log OK ''; log SKIP ''; } | sums 0 '1 passed, 0 failed, 1 skipped' 0
log OK 'ok 1 - a\n' | sums 2 '1 passed, 1 failed, 0 skipped' 1
printf '' | sums 0 '0 passed, 0 failed, 0 skipped' 1

# ---- picture: a session played, typed at, wrapped and drawn ----
cat >"$work/session.txt" <<'END'
$ printf 'one\rtwo & \033[1mthree\033[0m\033[Kx\n%012d\n' 7
$ printf '> '; read -r line; echo "read $line"
> typed
END
"$source/tools/picture" "$work/session.txt" "$work/out.svg" --columns 60 >"$work/log" 2>&1 &&
    sed 's/<[^>]*>//g' "$work/out.svg" >>"$work/log" &&
    grep -q '^two &amp; threex$' "$work/log" && grep -q '^000000000007$' "$work/log" &&
    grep -q '^&gt; typed$' "$work/log" && grep -q '^read typed$' "$work/log"
drawn=$?
if [ $drawn -ne 0 ] && ! python3 -c 'import pty; pty.openpty()' 2>/dev/null; then
    row 0 'picture # SKIP no pseudo-terminals here'
else
    row $drawn 'picture draws what a terminal showed'
fi
echo '$ exit 3' >"$work/session.txt"
! "$source/tools/picture" "$work/session.txt" "$work/none.svg" >"$work/log" 2>&1 &&
    [ ! -e "$work/none.svg" ]
row $? 'picture refuses a session that failed'
"$source/tools/models_table.py" --check >"$work/log" 2>&1
row $? 'docs/models.md is what the registry gives'
echo "1..$(grep -c '' "$work/rows")"
