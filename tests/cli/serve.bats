# serve, ps, stop, selfcheck --live: a server over a small model.
load helpers

start() { # arguments; sets url, and pid for teardown
    export XDG_RUNTIME_DIR= OLLAMA_MODELS=$PWD/none HF_HUB_CACHE=$PWD/none
    : > out # not the last server's
    "$bantam" serve "$@" > out 2> err 3>&- &
    pid=$!
    for _ in $(seq 300); do
        grep -q ^ready out && break
        kill -0 "$pid" || { cat err; return 1; }
        sleep 0.1
    done
    url=$(head -1 out)
}

teardown() {
    [ -z "${pid:-}" ] || kill -KILL "$pid" 2>/dev/null || true
}

# ask PATH [BODY [HEADER]]: prints the body, fails unless the status is 200.
ask() {
    python3 - "$url$1" "${2:-}" "${3:-}" <<'END'
import sys, urllib.request
url, body, header = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, {"Content-Type": "application/json"})
if header:
    request.add_header(*header.split(": ", 1))
print(urllib.request.urlopen(request, timeout=60).read().decode())
END
}

@test "serve answers, ps shows, selfcheck --live finds no way out, stop ends" {
    [ "$(uname -s)" = Linux ] || skip "Linux only for now"
    "$bantam" serve --new-key || skip "built without a server"
    make_model
    start -m m.gguf --port 0
    grep -q "^ready: .* the first is m$" out
    ask /health | grep -q ok
    ask /v1/models | grep -q '"m"'
    hello='"messages":[{"role":"user","content":"hi"}],"max_tokens":3'
    ask /v1/chat/completions "{\"model\":\"m\",$hello}" | grep -q '"assistant"'
    ask /v1/chat/completions "{$hello,\"stream\":true}" | grep -q DONE
    # Names that requests make, which the next start still knows.
    ask /api/create '{"model":"brief","from":"m","system":"Be brief."}' | grep -q success
    ask /api/copy '{"source":"brief","destination":"short"}' | grep -q success
    ask /v1/chat/completions "{\"model\":\"short\",$hello}" | grep -q '"assistant"'
    run ask /api/create '{"model":"other","from":"/etc/passwd"}'
    [[ $output == *404* ]]
    run ask /api/create '{"model":"m","from":"brief"}'
    [[ $output == *400* ]]
    [ "$("$bantam" ps --json | json servers.0.url)" = "$url" ]
    [ "$("$bantam" ps --json | json servers.0.models.0.name)" = m ]
    "$bantam" ps | grep -q " m "
    sleep 0.5
    if [ -z "${BANTAM_SANITIZED:-}" ]; then
        run "$bantam" selfcheck --live
        echo "$output"
        [ "$status" -eq 0 ]
        [[ $output == *"the front:"*" 0 got through"* && $output == *" m:"*" 0 got through"* ]]
    fi
    "$bantam" stop
    run "$bantam" ps --json
    [ "$(json servers <<< "$output")" = "[]" ]
    wait "$pid"
    start -m m.gguf --port 0
    ask /v1/models | grep -q '"short"'
}

@test "serve refuses other addresses without key and TLS, and what cannot be" {
    "$bantam" serve --new-key || skip "built without a server"
    make_model
    for arguments in "--host 0.0.0.0" "--host 0.0.0.0 --api-key 0123456789abcdefgh" \
        "--host :: --tls-cert x" "--api-key short" "--keep-alive soon" "--tls-cert m.gguf" extra; do
        # shellcheck disable=SC2086
        run "$bantam" serve -m m.gguf $arguments
        echo "$arguments: $output"
        [ "$status" -ne 0 ]
    done
    run "$bantam" serve -m m.gguf --host 300.1.2.3
    [ "$status" -ne 0 ]
    run "$bantam" stop
    [ "$status" -eq 1 ]
    [[ $output == *"no server"* ]]
    run "$bantam" stop 99999
    [ "$status" -eq 2 ]
}

@test "serve asks for the key of the configuration" {
    [ "$(uname -s)" = Linux ] || skip "Linux only for now"
    "$bantam" serve --new-key > key || skip "built without a server"
    make_model
    mkdir -p "$HOME/.config/bantam"
    printf '{"models":[{"name":"own","model":"%s/m.gguf","aliases":["gpt-4o"]}],"keys":[%s]}' \
        "$PWD" "$(tail -1 key)" > "$HOME/.config/bantam/serve.json"
    start --port 0
    run ask /v1/models
    [[ $output == *401* ]]
    ask /v1/models "" "Authorization: Bearer $(head -1 key)" | grep -q '"own"'
    ask /tokenize '{"model":"gpt-4o","content":"hi"}' "x-api-key: $(head -1 key)" | grep -q tokens
    ! grep -q "$(head -1 key)" err
    echo '{"models":3}' > bad.json
    run "$bantam" serve --serve-config bad.json
    [ "$status" -eq 1 ]
    [[ $output == *"bad.json: models must be a list"* ]]
}
