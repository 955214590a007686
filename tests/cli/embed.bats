# `bantam embed`: vectors, where texts come from, prefixes, what is refused.
load helpers

make_encoder() {
    "$BANTAM_BUILD/tests/support/mkmodel" bert e.gguf "$@"
}

@test "a vector a line of length 1, the same in every company" {
    make_encoder --type q8_0
    "$bantam" embed e.gguf 'small bird' hen </dev/null >both 2>err
    [ "$(wc -l < both)" -eq 2 ]
    [ "$(head -n 1 both | wc -w)" -eq 64 ]
    python3 -c '
for line in open("both"):
    assert abs(sum(float(x) ** 2 for x in line.split()) - 1) < 1e-6'
    only "$bantam" embed -m e.gguf hen > one
    tail -n 1 both | cmp - one
    only "$bantam" embed e.gguf hen --batch 1 -t 2 | cmp - one
    [ ! -s err ]
}

@test "texts are arguments, lines of files or of standard input, or whole files" {
    make_encoder
    only "$bantam" embed e.gguf 'one bird' 'two' > want
    printf 'one bird\r\ntwo' | "$bantam" embed e.gguf | cmp - want
    printf 'one bird\n' > first
    printf 'two\n' > second
    only "$bantam" embed e.gguf --file first -f second | cmp - want
    printf 'two' | "$bantam" embed e.gguf 'one bird' --file - | cmp - want
    printf 'one\nbird' | "$bantam" embed e.gguf --whole | cmp - <(head -n 1 want)
    run "$bantam" embed e.gguf </dev/null
    [ "$status" -eq 2 ]
    [[ $output == *"there is no text"* ]]
}

@test "one JSON object" {
    make_encoder
    only "$bantam" embed e.gguf 'small bird' hen --json --dimensions 9 > out
    [ "$(json model < out)" = e.gguf ]
    [ "$(json dimensions < out)" = 9 ]
    [ "$(json pooling < out)" = mean ]
    [ "$(json usage.prompt_tokens < out)" = 7 ]
    [ "$(json usage.total_tokens < out)" = 7 ]
    only "$bantam" embed e.gguf 'small bird' hen --dimensions 9 > lines
    python3 -c '
import json
want = [[float(x) for x in line.split()] for line in open("lines")]
assert json.load(open("out"))["embeddings"] == want'
    only "$bantam" embed e.gguf 'small bird' --pooling none --json > out
    [ "$(json embeddings.0 < out | tr -cd '[' | wc -c)" -eq 5 ]
}

@test "pooling, length and dimensions as asked" {
    make_encoder --pooling 2
    only "$bantam" embed e.gguf 'small bird' --pooling none --normalize off > rows
    [ "$(wc -l < rows)" -eq 4 ]
    only "$bantam" embed e.gguf 'small bird' --normalize off | cmp - <(head -n 1 rows)
    only "$bantam" embed e.gguf 'small bird' --normalize off --pooling last |
        cmp - <(tail -n 1 rows)
    only "$bantam" embed e.gguf 'small bird' --normalize off -d 3 |
        cmp - <(head -n 1 rows | cut -d ' ' -f 1-3)
    run "$bantam" embed e.gguf hen -d 65
    [ "$status" -eq 1 ]
    [[ $output == *"65 dimensions are asked; the model gives 64"* ]]
    make_encoder --pooling 4
    run "$bantam" embed e.gguf hen
    [ "$status" -eq 1 ]
    [[ $output == *"reranker"* ]]
}

@test "prefixes are the file's, the family's or one's own" {
    make_encoder --name e5-small
    only "$bantam" embed e.gguf 'query: hen' 'passage: hen' --prefix '' > want
    only "$bantam" embed e.gguf hen --prefix query | cmp - <(head -n 1 want)
    only "$bantam" embed e.gguf hen --prefix document | cmp - <(tail -n 1 want)
    only "$bantam" embed e.gguf hen --prefix 'passage: ' | cmp - <(tail -n 1 want)
    "$bantam" embed e.gguf hen 2>&1 >/dev/null | grep -q -- '--prefix query or --prefix document'
    [ -z "$("$bantam" embed e.gguf hen --prefix '' 2>&1 >/dev/null)" ]
    "$bantam" info e.gguf | grep -q 'before a query: "query: "'
    make_encoder --query-prefix 'small '
    only "$bantam" embed e.gguf 'small hen' > want
    only "$bantam" embed e.gguf hen --prefix query | cmp - want
    run "$bantam" embed e.gguf hen --prefix document
    [ "$status" -eq 1 ]
    [[ $output == *"--prefix TEXT"* ]]
}

@test "too long a text is refused with both counts" {
    make_encoder --ctx 64
    run "$bantam" embed e.gguf hen "$(printf 'bird %.0s' {1..63})"
    [ "$status" -eq 1 ]
    [[ $output == *"text 2 has 65 tokens, and the model was trained for 64"* ]]
    run "$bantam" embed e.gguf 'small small bird' --ctx 4
    [ "$status" -eq 1 ]
    [[ $output == *"text 1 has 5 tokens, and --ctx allows 4"* ]]
    only "$bantam" embed e.gguf "$(printf 'bird %.0s' {1..62})"
}

@test "models that write give vectors, encoders write nothing" {
    make_model
    only "$bantam" embed m.gguf Hello > a
    [ "$(wc -w < a)" -eq 64 ]
    only "$bantam" embed m.gguf "$(printf 'bird %.0s' {1..99})" --batch 32 > long
    only "$bantam" embed m.gguf "$(printf 'bird %.0s' {1..99})" | cmp - long
    make_encoder
    run "$bantam" run e.gguf -p Hello
    [ "$status" -eq 1 ]
    [[ $output == *"'bantam embed' gives them"* ]]
    "$bantam" info e.gguf | grep -q 'vectors .*of 64 numbers, pooling mean'
    "$bantam" info e.gguf --json | json embedding.encoder | grep -qx true
}

@test "the right to open sockets is given up" {
    make_encoder
    "$bantam" embed e.gguf hen 'small bird' -v 2>err >/dev/null </dev/null
    grep -q '2 texts, 7 tokens; pooling mean, 64 numbers; sandbox: seccomp' err
    [ "$("$bantam" embed e.gguf hen --no-sandbox 2>&1 >/dev/null </dev/null | wc -l)" -eq 1 ]
}
