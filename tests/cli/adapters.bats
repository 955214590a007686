# Adapters from outside.
load helpers

adapter() {
    python3 "$BANTAM_SOURCE/tests/cli/make_adapter.py" "$@"
}

logits() { # logits OUT [OPTION ...]
    "$bantam" logits -m m.gguf --tokens 1,2,3,4,5 -q -o "$@"
}

@test "an adapter changes answers by its scale, in either form" {
    make_model
    adapter peft
    logits plain
    logits one --adapter peft
    ! cmp -s plain one
    logits zero --adapter peft:0
    cmp plain zero
    "$bantam" convert peft a.gguf --base m.gguf -q
    logits two --adapter a.gguf
    cmp one two
    logits half --adapter peft:0.5
    logits halves --adapter a.gguf:0.25 --adapter peft:0.25
    ! cmp -s half one
    "$bantam" convert a.gguf back --base m.gguf -q
    logits three --adapter back
    cmp one three
}

@test "run, perplexity, eval and bench take them too" {
    make_model
    adapter peft
    only "$bantam" run m.gguf -p hello --raw -n 12 --temp 0 > plain
    only "$bantam" run m.gguf -p hello --raw -n 12 --temp 0 --adapter peft:2 > adapted
    ! cmp -s plain adapted
    for i in $(seq 200); do echo "the small bird sings"; done > text
    "$bantam" perplexity m.gguf -f text --ctx 64 --adapter peft --json | json perplexity
    printf '{"prompt": "hello", "kind": "exact", "expect": "x"}\n' > tasks
    for use in peft:0 peft:2; do
        "$bantam" eval m.gguf --tasks tasks -n 12 --adapter $use --json > out 2>/dev/null
        json tasks.0.answer < out >> answers
    done
    [ "$(uniq < answers | wc -l)" -ge 2 ]
    "$bantam" bench m.gguf -p 8 -n 2 -r 1 --adapter peft --json > /dev/null
}

@test "merged, unmerged and reloaded agree" {
    make_model
    adapter peft
    logits beside --adapter peft:0.5
    "$bantam" merge -m m.gguf --adapter peft:0.5 -o merged.gguf --json > json
    [ "$(json matrices < json)" = 6 ]
    "$bantam" logits -m merged.gguf --tokens 1,2,3,4,5 -q -o merged
    python3 - beside merged <<'END'
import array, sys
a, b = (array.array("f", open(n, "rb").read()) for n in sys.argv[1:])
assert sum((x - y) ** 2 for x, y in zip(a, b)) < 1e-8 * sum(x * x for x in a)
END
    run "$bantam" merge -m m.gguf --adapter peft -o m.gguf
    [ "$status" -eq 1 ]
    run "$bantam" merge -m m.gguf -o x.gguf
    [ "$status" -eq 2 ]
    [ ! -e x.gguf ]
}

@test "the mean of models" {
    make_model
    adapter peft
    "$bantam" merge -m m.gguf --adapter peft --type F32 -o other.gguf
    "$bantam" merge -m m.gguf --with other.gguf --with m.gguf -o mean.gguf --json > json
    [ "$(json models < json)" = 3 ]
    "$bantam" logits -m mean.gguf --tokens 1,2,3,4,5 -q -o mean
    "$bantam" logits -m m.gguf --tokens 1,2,3,4,5 -q -o plain
    ! cmp -s mean plain
    run "$bantam" merge -m m.gguf --with other.gguf --adapter peft -o x.gguf
    [ "$status" -eq 2 ]
    run "$bantam" merge -m m.gguf --with other.gguf -o other.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"another file"* ]]
}

@test "what does not belong is refused, with what to do" {
    make_model
    adapter peft 48
    run logits out --adapter peft
    [ "$status" -eq 1 ]
    [[ $output == *"another base"* && $output == *"attn_v"* ]]
    adapter peft
    run logits out --adapter peft:much
    [ "$status" -eq 2 ]
    [[ $output == *"no scale"* ]]
    run logits out --adapter nowhere.gguf
    [ "$status" -eq 1 ]
    "$bantam" convert peft a.gguf --base m.gguf -q
    make_model --seed 9
    run logits out --adapter a.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"--any-base"* ]]
    logits out --adapter a.gguf --any-base
    head -c 3000 a.gguf > cut.gguf
    run logits out --adapter cut.gguf
    [ "$status" -eq 1 ]
}
