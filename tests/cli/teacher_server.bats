# A teacher on a server: a tiny one of our own, on loopback, that is good or bad in every way.
load helpers

setup_file() {
    python3 "$BANTAM_SOURCE/tests/cli/teacher_server.py" "$BATS_FILE_TMPDIR/port" \
        "$BATS_FILE_TMPDIR/log" 3>&- &
    echo $! > "$BATS_FILE_TMPDIR/pid"
    for _ in $(seq 100); do
        [ -s "$BATS_FILE_TMPDIR/port" ] && return
        sleep 0.1
    done
    false
}

teardown_file() {
    kill "$(cat "$BATS_FILE_TMPDIR/pid")"
}

# A vocabulary, data, and where the server is.
begin() {
    "$bantam" doctor | grep -q 'can ask a teacher' || skip 'built without libcurl'
    at=http://127.0.0.1:$(cat "$BATS_FILE_TMPDIR/port")
    log=$BATS_FILE_TMPDIR/log
    : > "$log"
    python3 - <<'END'
import json
with open("chats.jsonl", "w") as f:
    for i in range(6):
        f.write(json.dumps({"messages": [
            {"role": "user", "content": "long" if i == 3 else f"call number {i}"},
            {"role": "assistant", "content": f"I call {i} and wait."}]}) + "\n")
END
    echo 'the sun is warm and the sea is wide' > text.txt
    for _ in 1 2 3 4; do cat chats.jsonl text.txt > page.txt; done
    "$bantam" vocab page.txt chats.jsonl -o tok.gguf --size 300 2> err
    cat > small.json <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
 "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
 "num_key_value_heads": 1, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
 "rope_theta": 10000, "tie_word_embeddings": true, "vocab_size": 300}
END
}

# ask WAY [OPTION ...]: to t.targets, of the chats.
ask() {
    way=$1
    shift
    "$bantam" distill --teacher "$at/$way/v1" --teacher-model m --tokenizer tok.gguf \
        --data chats.jsonl --ctx 64 --store t.targets --timeout 4 "$@"
}

@test "a server that reads: stored, and a student learns from it" {
    begin
    ask good --yes --json > out 2> err
    grep -q "goes to $at/good/v1, for its model m: 6 requests" err
    [ "$(json mode < out)" = reads ]
    [ "$(json requests < out)" -eq 7 ]
    [ "$(json compared < out)" -gt 10 ]
    [ "$(json counted < out)" -ge "$(json compared < out)" ]
    [ "$(grep -c '"echo": true' "$log")" -eq 7 ]
    "$bantam" distill --targets t.targets --student small.json --tokenizer tok.gguf --ctx 64 \
        --data chats.jsonl --steps 3 --mix 1 -o s.gguf > out
    # All is there: the same command sends nothing, and stores the same.
    cp t.targets want.targets
    rm t.targets
    ask good < /dev/null
    cmp t.targets want.targets
    [ "$(wc -l < "$log")" -eq 7 ]
    run ask good --yes --data text.txt
    [ "$status" -eq 1 ]
    [[ $output == *"t.targets.replies: answers to another request"* ]]
}

@test "a server that writes: its answers are the data" {
    begin
    ask chats --yes 2> err
    grep -q 'writes answers' err
    grep -q '1 answers did not end' err
    grep -q '1 answers have no words' err
    [ "$(wc -l < t.targets.jsonl)" -eq 4 ]
    grep -q '"I call 1"' t.targets.jsonl
    ! grep -q 'and wait' t.targets.jsonl
    "$bantam" distill --targets t.targets --student small.json --tokenizer tok.gguf --ctx 64 \
        --data t.targets.jsonl --steps 3 -o s.gguf > out
    run ask good --yes --ask writes --data text.txt
    [ "$status" -eq 1 ]
}

@test "nothing is sent without a yes" {
    begin
    run ask good < /dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"nothing was sent"* ]]
    [ ! -s "$log" ]
    run "$bantam" distill --teacher http://example.org/v1 --teacher-model m --data chats.jsonl \
        --tokenizer tok.gguf --store t.targets --yes
    [ "$status" -eq 2 ]
    [[ $output == *"use https"* ]]
    for bad in https:// https:///v1 https://me@host/v1 'https://host/v1?x' "https://host/'"; do
        run "$bantam" distill --teacher "$bad" --teacher-model m --data chats.jsonl \
            --tokenizer tok.gguf --store t.targets --yes
        [ "$status" -eq 2 ]
    done
    run "$bantam" distill --teacher "$at/good/v1" --teacher-model m --data chats.jsonl \
        --tokenizer tok.gguf --student small.json -o s.gguf --yes
    [ "$status" -eq 2 ]
    [[ $output == *"stored first"* ]]
}

@test "the key goes to the server, from a file or the environment" {
    begin
    run ask locked --yes
    [ "$status" -eq 1 ]
    [[ $output == *"401: who is there?"*"key"* ]]
    echo sesame > key
    ask locked --yes --teacher-key key 2> err
    rm t.targets*
    BANTAM_TEACHER_KEY=sesame ask locked --yes 2> err
    ! grep -q sesame err t.targets*
}

@test "busy, cut off, and going on" {
    begin
    ask flaky --yes 2> err
    [ "$(grep -c 'again in' err)" -eq 4 ]
    grep -q 'busy now' err
    cp t.targets want.targets
    rm t.targets*
    run ask stops --yes
    [ "$status" -eq 1 ]
    [[ $output == *"402: no more credit"* ]]
    [ "$(wc -l < t.targets.replies)" -eq 4 ]
    printf '{"n":3,"cut"' >> t.targets.replies
    ask good --yes --json > out 2> err
    [ "$(json requests < out)" -eq 4 ]
    cmp t.targets want.targets
}

@test "servers that are no teachers" {
    begin
    run ask silent --yes
    [ "$status" -eq 1 ]
    [[ $output == *"gives no log-probabilities"*"/completions with echo"*"top_logprobs"* ]]
    run ask calls --yes
    [ "$status" -eq 1 ]
    [[ $output == *"gives no log-probabilities"*"a call or no words"* ]]
    run ask broken --yes
    [ "$status" -eq 1 ]
    run ask moved --yes
    [ "$status" -eq 1 ]
    run ask slow --yes --timeout 1
    [ "$status" -eq 1 ]
    [[ $output == *"imed out"* ]]
    run ask gone --yes --timeout 1
    [ "$status" -eq 1 ]
    [[ $output == *"no answer in 6 tries"* ]]
    run ask huge --yes --timeout 60
    [ "$status" -eq 1 ]
    [[ $output == *"over 64 MB"* ]]
    [ ! -e t.targets ]
}

# learn NAME [OPTION ...]: a student's loss on the page after a few steps, in NAME.
learn() {
    "$bantam" distill --student small.json --ctx 64 --batch 128 --lr 1e-2 --steps 30 -t 2 -q \
        --eval page.jsonl -o "$1.gguf" "${@:2}" > out
    tail -n 1 "$1.gguf.training/metrics.jsonl" | json eval/loss > "$1"
}

@test "bantam serve is a teacher: as good as the same model at hand" {
    [ "$(uname -s)" = Linux ] || skip 'no server there'
    "$bantam" serve --new-key > key || skip 'built without a server'
    begin
    for i in $(seq 20); do
        printf '{"messages": [{"role": "user", "content": "call number %s"}, ' "$i"
        printf '{"role": "assistant", "content": "I call %s and wait."}]}\n' "$i"
    done > page.jsonl
    sed -e 's/size": 32/size": 64/' -e 's/layers": 1/layers": 2/' small.json > large.json
    "$bantam" train -c large.json --tokenizer tok.gguf --data page.jsonl --ctx 64 --batch 256 \
        --lr 1e-2 --steps 60 -t 2 -q -o teacher.gguf
    export XDG_RUNTIME_DIR= OLLAMA_MODELS=$PWD/none HF_HUB_CACHE=$PWD/none
    "$bantam" serve -m teacher.gguf --port 0 > url 2> err 3>&- &
    for _ in $(seq 300); do
        grep -q ^ready url && break
        sleep 0.1
    done
    "$bantam" distill --teacher "$(head -1 url)/v1" --teacher-model teacher --tokenizer tok.gguf \
        --data page.jsonl --ctx 64 --longest 32 --store w.targets --yes --json > out 2> err || {
        cat err
        "$bantam" stop
        false
    }
    "$bantam" stop
    wait
    [ "$(json mode < out)" = writes ]
    [ "$(json compared < out)" -gt 100 ]
    learn server --targets w.targets --tokenizer tok.gguf --data w.targets.jsonl
    learn hand --teacher teacher.gguf --data w.targets.jsonl
    echo "$(cat server) from the server, $(cat hand) at hand"
    python3 -c 'import sys; s, h = (float(open(n).read()) for n in ("server", "hand"))
sys.exit(not (s < 3 and abs(s - h) < 0.2))'
}
