#!/bin/sh
# What another program meets: exported names, the installed files, pkg-config (shared and static),
# the header in C++, and an uninstall that leaves nothing behind. Prints TAP.
#   package.sh BUILD MKMODEL CC...
set -u
build=$1
mkmodel=$2
shift 2
cc=$*
source=${BANTAM_SOURCE:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0

row() { # STATUS NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# /' "$work/log"
    fi
}
try() { # NAME COMMAND ...
    name=$1
    shift
    "$@" >"$work/log" 2>&1
    row $? "$name"
}

foreign_names() { # nm flags, file: names that are not bt_*
    nm "$@" 2>/dev/null | awk 'NF >= 2 && $2 != "A" { print $1 }' | sed 's/@.*//' |
        grep -v -e '^bt_' -e '^_init$' -e '^_fini$'
}
only_ours() { ! foreign_names "$@"; }
declared() {
    # shellcheck disable=SC2086
    $cc -E -P "$source/include/bantam/bantam.h" | tr '\n' ' ' | tr ';' '\n' |
        grep 'visibility' | grep -oE '\bbt_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}
all_there() {
    nm -D -P --defined-only "$library" | awk '{ print $1 }' | sort -u >"$work/have"
    declared >"$work/want"
    [ -s "$work/want" ] && ! comm -23 "$work/want" "$work/have" | grep .
}
installed() {
    DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
}
# A real prefix is not needed: the paths of bantam.pc are put under the DESTDIR by hand.
flags() {
    prefix=$(sed -n 's/^prefix=//p' "$(find "$work/root" -name bantam.pc)")
    PKG_CONFIG_PATH=$(dirname "$(find "$work/root" -name bantam.pc)") \
        pkg-config --define-variable=prefix="$work/root$prefix" "$@" --cflags --libs bantam
}
builds_shared() {
    # shellcheck disable=SC2046
    $cc "$source/examples/stream.c" $(flags) -o "$work/shared" && ldd "$work/shared" | grep -q bantam
}
builds_static() {
    # shellcheck disable=SC2046
    $cc "$source/examples/stream.c" $(flags --static | sed 's/-lbantam/-l:libbantam.a/g') \
        -o "$work/static" && ! ldd "$work/static" | grep bantam
}
usage_of() { # program
    LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name libbantam.so)") "$1"
    [ $? = 2 ]
}
refuses() { # program
    echo 'not a model' >"$work/bad.gguf"
    LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name libbantam.so)") \
        "$1" "$work/bad.gguf" hello >"$work/out" 2>"$work/err"
    [ $? = 1 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] &&
        grep 'bad.gguf' "$work/err"
}
streams() { # program: no fault in ten answers, and one of some length (the seed is not fixed)
    "$mkmodel" llama "$work/m.gguf" --template chatml --ctx 96 || return
    : >"$work/long"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$1" "$work/m.gguf" "Hello?" >"$work/out" 2>"$work/err" || return
        [ ! -s "$work/err" ] || return
        [ "$(wc -c <"$work/out")" -le 16 ] || cp "$work/out" "$work/long"
    done
    [ -s "$work/long" ]
}
reads_as_cpp() {
    printf '#include <bantam/bantam.h>\nint main() { return bt_version() == nullptr; }\n' |
        c++ -std=c++11 -Wall -Wextra -Werror -I"$source/include" -x c++ -fsyntax-only -
}
uninstalls() {
    (cd "$source" && DESTDIR=$work/root tools/uninstall "$build") &&
        ! find "$work/root" ! -type d | grep .
}

library=$(find "$build/package" -name 'libbantam.so.*.*' | head -n 1)
echo 1..11
try 'the shared library exports bt_ names alone' only_ours -D -P --defined-only "$library"
try 'the static library exports bt_ names alone' \
    only_ours -g -P --defined-only "$build/package/libbantam.a"
try 'every function of the header is there' all_there
try 'it installs under a DESTDIR' installed
try 'a program builds against the shared library' builds_shared
try 'a program builds against the static library' builds_static
try 'the example explains its use' usage_of "$work/shared"
try 'the example refuses a file that is no model, in one line' refuses "$work/static"
try 'the example streams an answer' streams "$work/static"
if command -v c++ >/dev/null 2>&1; then
    try 'the header reads as C++' reads_as_cpp
else
    n=$((n + 1))
    echo "ok $n - the header reads as C++ # SKIP no C++ compiler here"
fi
try 'it uninstalls and leaves nothing' uninstalls
