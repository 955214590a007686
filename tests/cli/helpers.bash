# Shared by the bats files: the program under test, and a home of its own for each test.
bantam=${BANTAM_BUILD:?}/bantam

setup() {
    export HOME=$BATS_TEST_TMPDIR/home XDG_CONFIG_HOME= XDG_CACHE_HOME= XDG_DATA_HOME=
    mkdir -p "$HOME"
    cd "$BATS_TEST_TMPDIR" || exit 1
}

# Standard output alone, for `run`.
quietly() {
    "$@" 2>/dev/null
}
