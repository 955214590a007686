# Shared by the bats files: the program under test, models made on the spot, and a home of its own
# for each test.
bantam=${BANTAM_BUILD:?}/bantam
golden=${BANTAM_GOLDEN:-${BANTAM_SOURCE:?}/../shared/golden}

setup() {
    export HOME=$BATS_TEST_TMPDIR/home XDG_CONFIG_HOME= XDG_CACHE_HOME= XDG_DATA_HOME=
    mkdir -p "$HOME"
    cd "$BATS_TEST_TMPDIR" || exit 1
}

# make_model [OPTION ...]: m.gguf, a small random llama with a ChatML template.
make_model() {
    "$BANTAM_BUILD/tests/support/mkmodel" llama m.gguf --template chatml "$@"
}

# Runs without standard input and standard error.
only() {
    "$@" </dev/null 2>/dev/null
}

# json KEY[.KEY ...]: a value of the JSON object on standard input.
json() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key)] if isinstance(value, list) else value[key]
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}
