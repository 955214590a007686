# The model in the program: talked to where none is named, and a model like any other by its name.
load helpers

setup_file() {
    [ "$("${BANTAM_BUILD:?}/bantam" list --json | python3 -c '
import json, sys
print(any(m["source"] == "built in" for m in json.load(sys.stdin)["models"]))')" = True ] || \
        export WITHOUT=1
}

with_model() {
    [ -z "${WITHOUT:-}" ] || skip "no model in this program"
}

@test "a build without it says so" {
    [ -n "${WITHOUT:-}" ] || skip "this one has it"
    export OLLAMA_MODELS=$PWD/none HF_HUB_CACHE=$PWD/none
    run "$bantam" info hatchling
    [ "$status" -eq 1 ]
    [[ $output == *"there is no model in this program"* ]]
    run "$bantam" run -p x
    [ "$status" -eq 2 ]
    [[ $output == *"no model in this program"* ]]
}

@test "run needs no model, no network and no cache: a sum, and who answered" {
    with_model
    "$bantam" run -p 'what is 15% of 80' </dev/null >out 2>err
    [ "$(<out)" = '15% of 80 = 12' ]
    [ "$(wc -l < err)" -eq 1 ]
    grep -q '^hatchling, the small assistant .*sandbox: .*bantam run FILE.gguf$' err
    [ -z "$(find "$HOME" -name '*.panels' -o -path '*cache*' -type f)" ]
    make_model
    mkdir -p "$HOME/.local/share/bantam/models"
    mv m.gguf "$HOME/.local/share/bantam/models/other.gguf"
    "$bantam" run -p 'what is 15% of 80' </dev/null >out 2>err
    [ "$(<out)" = '15% of 80 = 12' ]
    grep -q "'bantam list' shows 1" err
    "$BANTAM_SOURCE/tools/chat" "$BANTAM_BUILD" '' -p 'what is 15% of 80' </dev/null >out 2>err
    [ "$(<out)" = '15% of 80 = 12' ]
    echo 'model = other' > config
    "$bantam" run --config config -p x -n 1 </dev/null 2>err
    grep -q '(llama, ' err
}

@test "a prompt in a model's place is told where it belongs" {
    run "$bantam" info "what is 2+2"
    [ "$status" -eq 1 ]
    [[ $output == *"(a prompt is given with -p)" ]]
}

@test "an answer in words ends with one line break" {
    with_model
    only "$bantam" run -p hello > out
    [ -n "$(<out)" ]
    [ "$(printf '%s\n' "$(<out)" | wc -c)" -eq "$(wc -c < out)" ]
}

@test "what it is asked to keep is kept" {
    with_model
    export TZ=UTC0
    "$bantam" run -p 'remind me to call the dentist tomorrow at 5' </dev/null >out 2>err
    [[ $(<out) == "I will remind you tomorrow ("*") at 17:00: call the dentist" ]]
    "$bantam" due --ics > calendar.ics
    grep -q '^SUMMARY:call the dentist' calendar.ics
    [ -z "$("$bantam" due)" ]
    python3 - "$HOME/.local/share/bantam/assistant/assistant.db" <<'END'
import sqlite3, sys, time
with sqlite3.connect(sys.argv[1]) as db: # tomorrow at 5 has come
    (at,), = db.execute("SELECT at FROM items WHERE text = 'call the dentist'")
    assert at % 86400 == 17 * 3600 and 0 < at - time.time() < 2 * 86400, at
    db.execute("UPDATE items SET at = ?, first = ?", (int(time.time()) - 1,) * 2)
END
    [[ $("$bantam" due) == "Reminder: call the dentist ("* ]]
    [ -z "$("$bantam" due)" ]
}

@test "its name is a model's in every command, whatever else is called so" {
    with_model
    mkdir hatchling
    [ "$("$bantam" info hatchling --json | json license)" = MIT ]
    "$bantam" info hatchling | grep -q '^file  *part of this program ('
    "$bantam" list | grep -Eq '^hatchling .* built in '
    [ "$("$bantam" tokenize -m hatchling <<< hi)" = "$("$bantam" tokenize <<< hi)" ]
    printf '{"prompt": "what is 15%% of 80", "kind": "exact", "expect": "x"}\n' > tasks.jsonl
    only "$bantam" eval hatchling --tasks tasks.jsonl -n 2 > out
    grep -q '^all *1 ' out
    only "$bantam" quantize hatchling q4.gguf Q4_0 --requantize
    [ "$(only "$bantam" run q4.gguf -p 'what is 15% of 80')" = '15% of 80 = 12' ]
    echo '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}' \
        > chats.jsonl
    only "$bantam" adapt -m hatchling chats.jsonl -o a.gguf --steps 1 --ctx 64 --rank 2
    only "$bantam" eval hatchling --adapter a.gguf --tasks tasks.jsonl -n 2 > out
    grep -q '^all *1 ' out
    only "$bantam" merge hatchling --adapter a.gguf -o merged.gguf
    [ -s merged.gguf ]
    run "$bantam" info ./hatchling
    [ "$status" -eq 1 ]
}
