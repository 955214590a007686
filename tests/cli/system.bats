# doctor, selfcheck: this machine and its sandbox.
load helpers

@test "doctor names what it found, in words and in JSON" {
    run "$bantam" doctor
    [ "$status" -eq 0 ]
    for word in system cores cpu kernels memory sandbox cache terminal; do
        [[ $output == *"$word"* ]]
    done
    [ "$("$bantam" doctor | wc -L)" -le 80 ]
    "$bantam" doctor --json > out
    [ "$(json checks.0.what < out)" = system ]
    run "$bantam" doctor --cache-dir /proc/none
    [ "$status" -eq 0 ]
    [[ $output == *"--cache-dir"* ]]
}

@test "selfcheck: no way out gets through" {
    [ "$(uname -s)" = Linux ] || skip "no sandbox on this system"
    run "$bantam" selfcheck --egress
    echo "$output"
    if [ -z "${BANTAM_SANITIZED:-}" ]; then
        [ "$status" -eq 0 ]
        [[ $output != *THROUGH* ]]
    fi
    for way in TCP UDP MPTCP "Fast Open" netlink vsock io_uring UNIX; do
        grep -qi "^refused .*$way" <<< "$output" || { echo "missing: $way"; false; }
    done
    "$bantam" selfcheck --egress --json > out || [ "${BANTAM_SANITIZED:-}" ]
    [ "$(json through < out)" = 0 ] || [ "${BANTAM_SANITIZED:-}" ]
    [ "$(json egress.0.refused < out)" = true ]
}

@test "selfcheck: the kernels agree with plain C" {
    [ "$(uname -s)" = Linux ] || skip "no sandbox on this system"
    run "$bantam" selfcheck
    echo "$output"
    [[ $output == *" kernels ("*") tried, 0 wrong"* && $output == *"got through"* ]]
    [[ $output != *WRONG* ]]
    "$bantam" selfcheck --json > out || [ "${BANTAM_SANITIZED:-}" ]
    [ "$(json kernels.0.good < out)" = true ]
}

@test "list shows models by names that other commands take" {
    export OLLAMA_MODELS=$PWD/none HF_HUB_CACHE=$PWD/none
    run "$bantam" list
    [ "$status" -eq 0 ]
    [[ $output == *"models here"* || $output == *ollama* ]]
    folder=$("$bantam" list --json | json folder)
    mkdir -p "$folder"
    make_model
    mv m.gguf "$folder/tiny-test.gguf"
    [[ "$("$bantam" list)" == *"tiny-test"* ]]
    [ "$("$bantam" list --json | json models.-1.source)" = bantam ]
    [ "$("$bantam" list --json | json models.-1.path)" = "$folder/tiny-test.gguf" ]
    [ "$("$bantam" info tiny-test --json | json architecture)" = llama ]
    [ "$(printf x | "$bantam" tokenize -m tiny-test)" = "$(printf x | "$bantam" tokenize)" ]
    run "$bantam" info tiny-tst
    [ "$status" -eq 1 ]
}

@test "a model behind a link runs in the sandbox, as in the Hugging Face cache" {
    make_model
    repo=hub/models--org--repo
    mkdir -p $repo/blobs $repo/snapshots/1f2e $repo/refs
    mv m.gguf $repo/blobs/5a
    ln -s ../../blobs/5a $repo/snapshots/1f2e/tiny.gguf
    printf 1f2e > $repo/refs/main
    export HF_HUB_CACHE=$PWD/hub
    run "$bantam" run org/repo/tiny.gguf -p Hi -n 2 -q </dev/null
    [ "$status" -eq 0 ]
}

@test "cache: prepared weights are listed, verified, trimmed and cleared" {
    # Smaller models are not worth a file.
    make_model --type q8_0 --vocab none --size 130048 --embd 128 --ff 256 --head-dim 32 --tied
    use() { "$bantam" logits m.gguf --tokens 1 -o l.f32 "$@"; }
    use
    "$bantam" cache list --json > out
    [ "$(json sidecars.0.model < out)" = "$PWD/m.gguf" ]
    [ "$(json bytes < out)" -gt 1000 ]
    [[ "$("$bantam" cache)" == *"m.gguf" ]]
    run "$bantam" cache verify
    [ "$status" -eq 0 ]
    file=$(json sidecars.0.path < out)
    size=$(stat -c %s "$file")
    printf 'damage' | dd of="$file" bs=1 seek=$((size - 100)) conv=notrunc 2>/dev/null
    run "$bantam" cache verify
    [ "$status" -eq 1 ]
    [[ "$("$bantam" cache limit)" == *"of 64.0 GB used"* ]]
    [[ "$(BANTAM_CACHE_LIMIT=2G "$bantam" cache limit)" == *"of 2.0 GB used"* ]]
    "$bantam" cache limit 1G
    [ -f "$file" ]
    "$bantam" cache clear
    [ ! -f "$file" ]
    run "$bantam" cache shrink
    [ "$status" -eq 2 ]
    run "$bantam" cache limit much
    [ "$status" -eq 2 ]
    use --no-cache
    [ ! -f "$file" ]
}
