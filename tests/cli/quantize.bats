# quantize from outside.
load helpers

@test "a smaller file, that runs, and a table of what is in it" {
    make_model --embd 256 --ff 512
    "$bantam" quantize m.gguf q.gguf q8_0 > out
    grep -q '^Q8_0 ' out
    grep -q 'bits a weight' out
    [ "$(stat -c %s q.gguf)" -lt "$(stat -c %s m.gguf)" ]
    only "$bantam" run q.gguf -p hello --raw -n 4 --temp 0 > a
    [[ $(cat a) == hello* ]]
    "$bantam" quantize m.gguf q2.gguf Q8_0 --threads 1 --json > json
    [ "$(json file < json)" = q2.gguf ]
    [ "$(json types.0.type < json)" = Q8_0 ]
    cmp q.gguf q2.gguf
}

@test "a maker's folder, as its conversion" {
    folder=$BANTAM_SOURCE/tests/data/folder
    "$bantam" quantize "$folder" a.gguf Q8_0 -q
    "$bantam" convert "$folder" c.gguf -q
    "$bantam" quantize c.gguf b.gguf Q8_0 -q
    cmp a.gguf b.gguf
}

@test "types are listed, and the options of types heeded" {
    [ "$("$bantam" quantize --types | wc -l)" -gt 30 ]
    "$bantam" quantize --types --json | json 10.type
    make_model --embd 256 --ff 512
    "$bantam" quantize m.gguf q.gguf Q8_0 --tensor-type 'ffn_(up|gate)=q4_0' \
        --tensor-type '^output=bf16' --json > json
    for type in Q8_0 Q4_0 BF16; do grep -q "$type" json; done
    "$bantam" quantize m.gguf q.gguf Q8_0 --keep-output --json | grep -q F32
}

@test "what cannot be is said, and nothing is written" {
    make_model
    run "$bantam" quantize m.gguf q.gguf
    [ "$status" -eq 2 ]
    run "$bantam" quantize m.gguf q.gguf Q8_0 more
    [ "$status" -eq 2 ]
    run "$bantam" quantize m.gguf q.gguf Q9_0
    [ "$status" -eq 1 ]
    [[ $output == *"'Q9_0' is no type"* ]]
    run "$bantam" quantize m.gguf q.gguf Q8_0 --tensor-type 'attn_w=q4_0'
    [ "$status" -eq 1 ]
    [[ $output == *"no matrix"* ]]
    run "$bantam" quantize m.gguf ./m.gguf Q8_0
    [ "$status" -eq 1 ]
    [[ $output == *"name another file"* ]]
    [ "$(ls)" = "$(printf 'home\nm.gguf')" ]
}

@test "a quantised file is not taken, unless asked" {
    make_model
    "$bantam" quantize m.gguf q.gguf Q8_0 -q
    run "$bantam" quantize q.gguf r.gguf Q4_0
    [ "$status" -eq 1 ]
    [[ $output == *--requantize* ]]
    [ ! -e r.gguf ]
    "$bantam" quantize q.gguf r.gguf BF16 --requantize
}

@test "a full disk is named and leaves nothing" {
    make_model --embd 256 --ff 512
    trap '' XFSZ # a file too large is then an error, as a full disk is
    run bash -c 'ulimit -f 100; exec "$0" quantize m.gguf q.gguf Q8_0' "$bantam"
    [ "$status" -eq 1 ]
    [[ $output == *"q.gguf"* ]]
    [[ $output == *"File too large"* ]]
    [ "$(ls)" = "$(printf 'home\nm.gguf')" ]
}

@test "Ctrl-C stops and leaves nothing, not even of the file that was there" {
    make_model --embd 1024 --ff 4096 --layers 4
    cp m.gguf q.gguf
    before=$(sha256sum < q.gguf)
    "$bantam" quantize m.gguf q.gguf Q8_0 --threads 1 2> talk &
    pid=$!
    while kill -0 $pid && ! compgen -G '.bantam-*' > /dev/null; do
        sleep 0.01
    done
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 1 ]
    grep -q 'stopped; nothing was written' talk
    [ "$(sha256sum < q.gguf)" = "$before" ]
    [ "$(ls -A | sort | tr '\n' ' ')" = 'home m.gguf q.gguf talk ' ]
}
