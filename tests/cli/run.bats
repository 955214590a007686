# `bantam run` with one answer: what it prints where, what it refuses, what it stores.
load helpers

@test "the answer alone goes to standard output, talk to standard error" {
    make_model
    "$bantam" run m.gguf -p Hello -n 8 --seed 1 </dev/null >out 2>err
    [ -s out ]
    [ "$(tail -c 1 out | od -An -tx1 | tr -d ' ')" = 0a ]
    grep -q 'context 512 of 512' err
    grep -q 'sandbox: seccomp' err
    "$bantam" run m.gguf -p Hello -n 8 --seed 1 -q </dev/null >again 2>err
    [ ! -s err ]
    cmp out again
}

@test "the same seed gives the same text, temperature 0 always does" {
    make_model
    one=$(only "$bantam" run m.gguf -p Hello -n 20 --seed 5 --raw)
    two=$(only "$bantam" run -m m.gguf -p Hello -n 20 --seed 5 --raw)
    three=$(only "$bantam" run m.gguf -p Hello -n 20 --seed 6 --raw)
    [ "$one" = "$two" ]
    [ "$one" != "$three" ]
    one=$(only "$bantam" run m.gguf -p Hello -n 20 --temp 0 --raw --seed 1)
    two=$(only "$bantam" run m.gguf -p Hello -n 20 --temp 0 --raw --seed 2)
    [ "$one" = "$two" ]
}

@test "raw prints prompt and continuation; text, files and standard input are joined" {
    make_model
    [ "$(only "$bantam" run m.gguf -p 'Once upon' -n 0 --raw)" = 'Once upon' ]
    printf 'one\n' > one
    printf 'two\n' > two
    printf 'three\n' | "$bantam" run m.gguf -p text --file one -f two -n 0 --raw 2>/dev/null >out
    printf 'text\n\none\n\ntwo\n\nthree\n' | cmp - out
    printf 'alone' | "$bantam" run m.gguf -n 0 --raw 2>/dev/null >out
    printf 'alone\n' | cmp - out
    run "$bantam" run m.gguf </dev/null
    [ "$status" -eq 2 ]
    printf 'a\0b' > nul
    run "$bantam" run m.gguf --file nul </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"nul: a NUL byte at offset 1"* ]]
    run "$bantam" run m.gguf --file missing </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"missing: No such file"*"; check how the path is written"* ]]
    run "$bantam" logits -m m.gguf --tokens 1 -o nowhere/out.f32
    [ "$status" -eq 1 ]
    [[ $output == *"nowhere/out.f32: "*"that its folder is there"* ]]
}

@test "the golden story, word for word" {
    [ -f "$golden/real/stories260K.gguf" ] || skip "no golden data"
    "$bantam" run -m "$golden/real/stories260K.gguf" -p "Once upon a time" -n 200 --temp 0 --raw \
        </dev/null 2>/dev/null >out
    head -c -1 "$golden/real/stories260K.greedy.txt" | cmp - out # its last newline is the tool's
}

@test "one JSON object" {
    make_model
    only "$bantam" run m.gguf -p Hello -n 5 --seed 7 --json --logit-bias 319=-inf > out
    [ "$(json finish_reason < out)" = length ]
    [ "$(json usage.completion_tokens < out)" = 5 ]
    [ "$(json usage.total_tokens < out)" = $(($(json usage.prompt_tokens < out) + 5)) ]
    [ "$(json usage.cached_tokens < out)" = 0 ]
    [ "$(json tool_calls < out)" = "[]" ]
    [ "$(json reasoning < out)" = "" ]
    [ "$(json seed < out)" = 7 ]
    for key in load_s prompt_s prompt_per_s decode_s decode_per_s first_token_s; do
        json timings.$key < out
    done
    text=$(json text < out)
    [ "$text" = "$(only "$bantam" run m.gguf -p Hello -n 5 --seed 7 --logit-bias 319=-inf)" ]
}

@test "thoughts, text and calls of an answer are told apart" {
    make_model
    cat > answer.gbnf <<'END'
root ::= "<think>\nHm.\n</think>\n\nLook.\n" call
call ::= "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"
END
    only "$bantam" run m.gguf -p Hello --grammar answer.gbnf --json > out
    [ "$(json text < out)" = "Look." ]
    [ "$(json reasoning < out)" = "Hm." ]
    [ "$(json tool_calls.0.type < out)" = function ]
    [ "$(json tool_calls.0.function.name < out)" = f ]
    [ "$(json tool_calls.0.function.arguments < out)" = '{"a": 1}' ]
    [ -n "$(json tool_calls.0.id < out)" ]
    [ "$(json finish_reason < out)" = tool_calls ]
    "$bantam" run m.gguf -p Hello --grammar answer.gbnf --save talk.json </dev/null >out 2>err
    printf 'Look.\n{"name": "f", "arguments": {"a": 1}}\n' | cmp - out
    grep -q '^Hm\.$' err
    grep -q 'Look' talk.json
    "$bantam" run m.gguf -p Hello --grammar answer.gbnf --think hide </dev/null 2>err | cmp - out
    [ "$(grep -c Hm err)" = 0 ]
    "$bantam" run m.gguf -p Hello --grammar answer.gbnf --color always </dev/null 2>err >out
    grep -q $'\033\\[2mH' err
    only "$bantam" run m.gguf -p Hello --grammar answer.gbnf --raw > out
    grep -q '<tool_call>' out
}

@test "tool calls are held to the tools' schemas, or the schema is refused" {
    make_model
    printf '[{"name": "f", "parameters": {"type": "object", "if": {}}}]' > tools.json
    run "$bantam" run m.gguf -p Hello --tools tools.json </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"--tools: tool 'f'"*"'if'"* ]]
    printf '[{"name": "f", "parameters": {"type": "object"}}]' > tools.json
    only "$bantam" run m.gguf -p Hello --tools tools.json -n 8 --seed 1 --json > out
    [ "$(json tool_calls < out)" = "[]" ]
}

@test "a system message and the template change the prompt" {
    make_model
    count() { only "$bantam" run m.gguf -p Hi -n 1 --json "$@" | json usage.prompt_tokens; }
    plain=$(count)
    [ "$(count --system 'Be kind.')" -gt "$plain" ]
    other=$(count --template llama3)
    [ "$other" -ne "$plain" ]
}

@test "a template from a file, tools and the will to think change the prompt" {
    make_model
    tokens() { only "$bantam" run m.gguf -p Hi -n 1 --json "$@" | json usage.prompt_tokens; }
    cat > t.jinja <<'END'
{%- for m in messages %}{{ m.role }}: {{ m.content }}{{ tools|tojson if tools }}
{%- if enable_thinking is defined %}{{ 'think' if enable_thinking else 'no thoughts' }}{% endif %}
{%- endfor %}
END
    echo '[{"type": "function", "function": {"name": "f"}}]' > tools.json
    plain=$(tokens --template t.jinja)
    [ "$(tokens --template t.jinja --tools tools.json)" -gt $((plain + 20)) ]
    on=$(tokens --template t.jinja --think on)
    [ "$on" -gt "$plain" ]
    [ "$(tokens --template t.jinja --think off)" -gt "$on" ]
    # A template without these says so, and the answer comes all the same.
    run "$bantam" run m.gguf -p Hi -n 1 --think on --tools tools.json </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *"--tools changes nothing"* && $output == *"--think changes nothing"* ]]
    echo '{"a": 1}' > object.json
    run "$bantam" run m.gguf -p Hi --tools object.json </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"object.json: a JSON array"* ]]
    run "$bantam" run m.gguf -p Hi --tools missing.json </dev/null
    [ "$status" -eq 1 ]
    run "$bantam" run m.gguf -p Hi --raw --tools tools.json </dev/null
    [ "$status" -eq 2 ]
    printf '{%% if x %%}{{ raise_exception("not like this") }}{%% endif %%}' > no.jinja
    sed -i 's/if x/if messages/' no.jinja
    run "$bantam" run m.gguf -p Hi --template no.jinja </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"m.gguf: the chat template refuses this: not like this"* ]]
}

@test "a hostile template of a model is refused at once; it runs with --template and --raw" {
    { printf '{{ '; printf '(%.0s' {1..6000}; } > deep.jinja
    echo '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}' \
        > long.jinja
    printf '{%% macro m() %%}{{ m() }}{%% endmacro %%}{{ m() }}' > calls.jinja
    for case in deep long calls; do
        "$BANTAM_BUILD/tests/support/mkmodel" llama m.gguf --template "$(cat $case.jinja)"
        run timeout 5 "$bantam" run m.gguf -p Hi -n 1 </dev/null
        [ "$status" -eq 1 ]
        [[ $output == *"m.gguf: the chat template cannot be used (template line 1, column "* ]]
        [[ $output == *"--template"*"--raw"* ]]
        only "$bantam" run m.gguf -p Hi -n 1 --template plain
        only "$bantam" run m.gguf -p Hi -n 1 --raw
        "$bantam" info m.gguf | grep -q 'template *cannot be used'
    done
}

@test "a prompt longer than the context is refused with both counts" {
    make_model
    printf 'word %.0s' {1..100} > long
    count=$("$bantam" tokenize m.gguf --add-bos < long 2>/dev/null | wc -w)
    run "$bantam" run m.gguf --file long --raw -n 4 --ctx 32 </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"prompt has $count tokens and the context holds 32"* ]]
    [[ $output == *"--context-shift"* ]]
    run "$bantam" run m.gguf --file long --raw -n 4 --ctx 32 --context-shift </dev/null
    [ "$status" -eq 0 ]
}

@test "an answer that fills the context ends there, or goes on with --context-shift" {
    make_model
    bans=$(for id in {311..319}; do printf -- '--logit-bias %d=-inf ' "$id"; done)
    # shellcheck disable=SC2086
    only "$bantam" run m.gguf -p a --raw --ctx 32 -n 100 --json $bans > out
    [ "$(json finish_reason < out)" = context ]
    [ "$(json usage.total_tokens < out)" -le 33 ]
    # shellcheck disable=SC2086
    only "$bantam" run m.gguf -p a --raw --ctx 32 -n 100 --json $bans --context-shift > out
    [ "$(json usage.completion_tokens < out)" = 100 ]
}

@test "bad models: one clear line, exit code 1" {
    for case in missing folder empty text; do
        case $case in
            folder) mkdir folder ;;
            empty) : > empty ;;
            text) echo 'this is no model' > text ;;
        esac
        run "$bantam" run $case -p Hi </dev/null
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == "bantam: "*"$case"* ]]
    done
    make_model
    head -c 2000 m.gguf > cut
    run "$bantam" run cut -p Hi </dev/null
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "a reader that goes away ends it quietly; a full disk is told" {
    make_model
    run bash -c '{ "$0" run m.gguf -p Hi -n 400 -q </dev/null; echo "code $?" >&2; } |
        head -c 1 >/dev/null' "$bantam"
    [ "${#lines[@]}" -eq 1 ]
    [ -w /dev/full ] || skip "no /dev/full"
    run bash -c '"$0" run m.gguf -p Hi -n 4 -q </dev/null >/dev/full' "$bantam"
    [ "$status" -eq 1 ]
    [[ $output == "bantam: standard output: No space left on device; make room"* ]]
    run "$bantam" run m.gguf -p Hi -n 4 -q --save /dev/full </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"bantam: --save /dev/full: No space left on device; make room"* ]]
}

@test "nothing is stored, unless --save says where" {
    make_model
    only "$bantam" run m.gguf -p 'a secret word' -n 4 >/dev/null
    ! grep -rl 'a secret word' "$HOME" .
    only "$bantam" run m.gguf -p 'a secret word' -n 4 --save talk.txt >/dev/null
    [ "$(grep -c 'a secret word' talk.txt)" -eq 1 ]
    [ "$(stat -c %a talk.txt)" = 600 ]
    only "$bantam" run m.gguf -p 'a secret word' -n 4 --save talk.json --system kind >/dev/null
    [ "$(json messages.0.role < talk.json)" = system ]
    [ "$(json messages.1.content < talk.json)" = 'a secret word' ]
    [ "$(json messages.2.role < talk.json)" = assistant ]
}

@test "running without the sandbox has to be spelled out, and is said aloud" {
    make_model
    run "$bantam" run m.gguf -p Hi -n 1 --no-sandbox </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *"warning: --no-sandbox"* ]]
    ! grep -q no-sandbox <("$bantam" man | grep Configuration)
}

@test "values out of range are wrong usage" {
    make_model
    for wrong in '--temp -1' '--top-p 2' '--ctx -5' '--logit-bias x=1' '--logit-bias 1' \
        '--type-kv q4' '--cpu-mask sse9' '-n x' '--mirostat 1'; do
        # shellcheck disable=SC2086
        run "$bantam" run m.gguf -p Hi $wrong </dev/null
        [ "$status" -eq 2 ] || { echo "$wrong: $status $output"; false; }
    done
}

@test "every sampling option is taken" {
    make_model
    run "$bantam" run m.gguf -p Hi -n 3 -q --temp 1 --top-k 5 --top-p 0.9 --min-p 0.1 \
        --typical-p 0.9 \
        --repeat-penalty 1.1 --presence-penalty 0.1 --frequency-penalty 0.1 --penalty-last-n 32 \
        --dry-multiplier 0.8 --dry-base 1.75 --dry-allowed-length 2 --dry-last-n 64 --seed 3 \
        --logit-bias 5=1.5 </dev/null
    [ "$status" -eq 0 ]
    run "$bantam" run m.gguf -p Hi -n 3 -q --mirostat 2 --mirostat-tau 4 --mirostat-eta 0.2 \
        </dev/null
    [ "$status" -eq 0 ]
}

@test "an answer held to a schema is JSON of it, whatever the model" {
    make_model
    schema='{"type": "object", "properties": {"name": {"type": "string", "maxLength": 6},
             "n": {"type": "integer", "minimum": 3, "maximum": 12}}, "required": ["name", "n"]}'
    printf '%s' "$schema" > schema.json
    for seed in 1 2 3 4 5 6 7 8; do
        only "$bantam" run m.gguf -p Hello -n 400 --seed $seed --schema schema.json > out
        python3 -c '
import json, sys
value = json.load(open("out"))
assert set(value) == {"name", "n"} and len(value["name"]) <= 6 and 3 <= value["n"] <= 12' || {
            cat out
            return 1
        }
    done
    only "$bantam" run m.gguf -p Hello -n 400 --seed 1 --schema schema.json > one
    only "$bantam" run m.gguf -p Hello -n 400 --seed 1 --schema "$schema" > two
    cmp one two
    run "$bantam" run m.gguf -p Hello -n 2 --seed 1 --schema schema.json </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *"the answer ended before it was whole by schema.json"* ]]
}

@test "an answer held to a grammar" {
    make_model
    printf 'root ::= "yes" | "no" # nothing else\n' > yes-no.gbnf
    for seed in 1 2 3 4; do
        answer=$(only "$bantam" run m.gguf -p Hello --seed $seed --grammar yes-no.gbnf)
        [ "$answer" = yes ] || [ "$answer" = no ]
    done
}

@test "schemas and grammars that are wrong are refused with their place" {
    make_model
    refused() { # what it must say, options ...
        says=$1
        shift
        run "$bantam" run m.gguf -p Hello "$@" </dev/null
        [ "$status" -eq 1 ] && [[ $output == *"$says"* ]]
    }
    printf '{"type":\n "objec"}' > bad.json
    refused "bad.json: #: 'type' must be" --schema bad.json
    printf '{"type":\n objec}' > bad.json
    refused "bad.json: JSON, line 2, column 2" --schema bad.json
    refused "--schema: #/items: the keyword 'if' is not supported" --schema '{"items":{"if":{}}}'
    printf 'root ::= "a\n' > bad.gbnf
    refused "bad.gbnf: line 1, column 12" --grammar bad.gbnf
    refused "missing.gbnf: No such file" --grammar missing.gbnf
    run "$bantam" run m.gguf -p Hello --schema '{}' --grammar bad.gbnf </dev/null
    [ "$status" -eq 2 ]
}
