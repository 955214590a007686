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
    run "$bantam" quantize m.gguf x.gguf --fit 0
    [ "$status" -eq 2 ]
    [[ $output == *"--fit: no file is of 0 bytes"* ]]
    for command in "quantize m.gguf no/x.gguf Q8_0" "vocab m.gguf -o no/x.gguf" \
        "convert $BANTAM_SOURCE/tests/data/folder no/x.gguf" \
        "merge -m m.gguf --with m.gguf -o no/x.gguf"; do
        run "$bantam" $command
        [ "$status" -eq 1 ]
        [ "$output" = "bantam: no: No such file or directory; make the folder first" ]
    done
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

@test "an importance matrix is gathered, and used" {
    make_model --embd 256 --ff 512
    head -c 6000 "$BANTAM_SOURCE/README.md" > text
    "$bantam" imatrix m.gguf -f text -o m.imatrix.gguf -c 128 --windows 8 2> talk
    grep -q 'm.imatrix.gguf written' talk
    "$bantam" quantize m.gguf q.gguf Q4_0 --pure --imatrix m.imatrix.gguf -q
    "$bantam" quantize m.gguf p.gguf Q4_0 --pure -q
    ! cmp -s p.gguf q.gguf
    "$bantam" info q.gguf -v | grep -q 'imatrix.dataset = text'
    run "$bantam" quantize m.imatrix.gguf o.gguf Q8_0
    [ "$status" -eq 1 ]
    [[ $output == *'an importance matrix'* ]]
    # Another model's, a damaged one, no text.
    "$BANTAM_BUILD/tests/support/mkmodel" llama other.gguf --embd 128
    run "$bantam" quantize other.gguf o.gguf Q4_0 --imatrix m.imatrix.gguf
    [ "$status" -eq 1 ]
    [[ $output == *'made for another model'* ]]
    head -c 2000 m.imatrix.gguf > short
    run "$bantam" quantize m.gguf o.gguf Q4_0 --imatrix short
    [ "$status" -eq 1 ]
    [[ $output == *short* ]]
    run "$bantam" imatrix m.gguf -o x < /dev/null
    [ "$status" -eq 1 ]
    [[ $output == *'more text'* ]]
    [ ! -e o.gguf ]
    [ ! -e x ]
}

@test "compare gives what numpy computes from the logits" {
    python3 -c 'import numpy' || skip 'numpy is missing'
    make_model --vocab spm
    "$bantam" quantize m.gguf q.gguf Q4_0 --pure -q
    head -c 1500 "$BANTAM_SOURCE/README.md" > text
    "$bantam" compare m.gguf q.gguf -f text -c 64 --type-kv f32 --windows 4 --json > json
    "$bantam" tokenize m.gguf --add-bos --no-special < text > ids
    for window in 0 1 2 3; do
        cut -d ' ' -f $((window * 64 + 1))-$((window * 64 + 64)) ids | tr ' ' , > ids.$window
        sed -i 's/^[0-9]*/1/' ids.$window # BOS
        for name in m q; do
            "$bantam" logits $name.gguf --tokens "$(cat ids.$window)" -o $name.$window -q
        done
    done
    python3 - <<'PYTHON'
import json
import numpy as np
kl, same, nll = [], [], [[], []]
for window in range(4):
    ids = [int(i) for i in open(f"ids.{window}").read().split(",")]
    both = []
    for name in "mq":
        x = np.fromfile(f"{name}.{window}", "<f4").reshape(64, -1).astype(np.float64)[32:63]
        both.append(x - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
                    - x.max(1, keepdims=True))
    p, q = both
    kl += list((np.exp(p) * (p - q)).sum(1))
    same += list(p.argmax(1) == q.argmax(1))
    for m in range(2):
        nll[m] += [-both[m][i, ids[33 + i]] for i in range(31)]
got = json.load(open("json"))
for key, want in (("kl_mean", np.mean(kl)), ("kl_99", np.percentile(kl, 99)),
                  ("kl_median", np.median(kl)), ("same_top", np.mean(same))):
    assert abs(got[key] - want) <= 1e-3 * abs(want) + 1e-9, (key, got[key], want)
for m, key in enumerate("ab"):
    want = np.exp(np.mean(nll[m]))
    assert abs(got[key]["perplexity"] - want) <= 1e-4 * want, (key, got[key], want)
PYTHON
}

@test "compare tells what cannot be compared" {
    make_model
    "$BANTAM_BUILD/tests/support/mkmodel" llama other.gguf --vocab spm
    run "$bantam" compare m.gguf other.gguf -f "$BANTAM_SOURCE/README.md"
    [ "$status" -eq 1 ]
    [[ $output == *'different tokens'* ]]
    run "$bantam" compare m.gguf
    [ "$status" -eq 2 ]
    run "$bantam" compare m.gguf missing.gguf -f "$BANTAM_SOURCE/README.md"
    [ "$status" -eq 1 ]
    [[ $output == *missing.gguf* ]]
    "$bantam" compare m.gguf m.gguf -f "$BANTAM_SOURCE/README.md" --windows 1 | grep -q '100.00%'
    # Special tokens that a text names are letters, unless they are meant.
    echo '{"text": "to be heard, to be seen"}' > chats.jsonl
    "$bantam" vocab chats.jsonl -o tok.gguf --size 300 -q > out
    cat > config.json <<'END'
{"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
 "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
 "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": true}
END
    "$bantam" train -c config.json --tokenizer tok.gguf chats.jsonl -o t.gguf --steps 1 -q > out
    printf '<|im_start|>ab<|im_end|>%.0s' {1..16} > text # 64 tokens, or more letters
    "$bantam" compare t.gguf t.gguf -f text --ctx 32 --special --json > json
    [ "$(json windows < json)" -eq 2 ]
    "$bantam" compare t.gguf t.gguf -f text --ctx 32 --json > json
    [ "$(json windows < json)" -gt 4 ]
    run "$bantam" quantize t.gguf u.gguf Q8_0 --special
    [ "$status" -eq 2 ]
    [[ $output == *"--special goes with -f"* ]]
}

@test "a size in place of a type" {
    make_model --embd 256 --ff 256 --layers 1 --type f16
    size=$(($(stat -c %s m.gguf) * 6 / 10))
    "$bantam" quantize m.gguf q.gguf --fit $size > out
    [ "$(stat -c %s q.gguf)" -le "$size" ]
    grep -q 'divergence from the original' out
    grep -q 'needs .* with 4,096 tokens of context' out
    "$bantam" quantize m.gguf r.gguf --fit $size --json -f "$BANTAM_SOURCE/README.md" > json
    [ "$(json fit.held_out < json)" = true ]
    for wrong in "--fit $size Q4_0" "-f README.md Q4_0" ""; do
        run "$bantam" quantize m.gguf x.gguf $wrong
        [ "$status" -eq 2 ]
    done
    kib=$((size / 1024)) # a size as people write it, with a point
    words="$((kib / 1024)).$(printf %03d $((kib % 1024 * 1000 / 1024)))MB"
    "$bantam" quantize m.gguf s.gguf --fit "$words" -q
    [ "$(stat -c %s s.gguf)" -le "$size" ]
    run "$bantam" quantize m.gguf x.gguf --fit 3e9
    [ "$status" -eq 2 ]
    [[ $output == *"is no size; write it as"* ]]
    run "$bantam" quantize m.gguf x.gguf --fit 20K
    [ "$status" -eq 1 ]
    [ ! -e x.gguf ]
}
