# adapt from outside.
load helpers

make_all() {
    make_model --type Q8_0
    cat > chats.jsonl <<'JSON'
{"instruction": "ab", "output": "the bantam is small"}
{"instruction": "cd", "output": "the bantam sings"}
JSON
}

common=(adapt -m m.gguf chats.jsonl --ctx 128 --batch 128 --rank 4 --steps 8 --lr 1e-2 -t 2 -q)

@test "a quantised model learns an answer through an adapter, and says it" {
    make_all
    "$bantam" "${common[@]}" -o a.gguf --steps 80 --json > json
    python3 -c "import json; j = json.load(open('json')); assert j['loss'] < j['first_loss'] / 8, j"
    only "$bantam" run m.gguf --adapter a.gguf -p ab --temp 0 -n 24 --type-kv f32 > said
    [[ $(cat said) == "the bantam is small"* ]]
    "$bantam" merge -m m.gguf --adapter a.gguf -o merged.gguf --type F32 -q
    only "$bantam" run merged.gguf -p ab --temp 0 -n 24 --type-kv f32 > again
    [[ $(cat again) == "the bantam is small"* ]]
    grep -q '</svg>' a.gguf.training/loss.svg
}

@test "an interrupted run goes on to the same bits; PEFT out, and on from there" {
    make_all
    for kind in "" --dora; do
        rm -rf a.gguf* b.gguf*
        "$bantam" "${common[@]}" $kind -o a.gguf
        "$bantam" "${common[@]}" $kind -o b.gguf --steps 8 --save-every 2 &
        sleep 0.4
        kill -9 $! || true
        wait $! || true
        "$bantam" "${common[@]}" $kind -o b.gguf --resume
        cmp a.gguf b.gguf
    done
    "$bantam" "${common[@]}" -o peft
    [ -e peft/adapter_model.safetensors ]
    "$bantam" "${common[@]}" -o more.gguf --from peft
    ! cmp -s a.gguf more.gguf
}

@test "what cannot be is said" {
    make_all
    run "$bantam" adapt chats.jsonl -o a.gguf
    [ "$status" -eq 2 ]
    run "$bantam" "${common[@]}" -o a.gguf --targets attn_q,token_embd
    [ "$status" -eq 1 ]
    [[ $output == *"target 'token_embd'"*"looked up"*"bantam train -m"* ]]
    run "$bantam" "${common[@]}" -o a.gguf --targets nose
    [ "$status" -eq 1 ]
    [[ $output == *nose* ]]
    run "$bantam" "${common[@]}" -o a.gguf --rank 0
    [ "$status" -eq 2 ]
    [ ! -e a.gguf ]
}
