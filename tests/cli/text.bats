# tokenize and detokenize.
load helpers

@test "there and back, the model first or with -m" {
    make_model
    printf 'Hello, wörld <|im_end|>!\n\tend' > text
    ids=$("$bantam" tokenize m.gguf < text)
    [ "$ids" = "$("$bantam" tokenize -m m.gguf --file text)" ]
    [[ $ids =~ ^[0-9]+(\ [0-9]+)*$ ]]
    # shellcheck disable=SC2086
    "$bantam" detokenize m.gguf --special $ids > back
    { cat text; echo; } | cmp - back
    # shellcheck disable=SC2086
    [ "$("$bantam" detokenize -m m.gguf $ids --special)" = "$(cat text)" ]
    [ "$(echo "$ids" | "$bantam" detokenize m.gguf --special)" = "$(cat text)" ]
    # shellcheck disable=SC2086
    [[ "$("$bantam" detokenize m.gguf $ids)" != *im_end* ]]
}

@test "special tokens are found or not, BOS is added or not" {
    make_model
    with=$(printf '<|im_end|>' | "$bantam" tokenize m.gguf | wc -w)
    without=$(printf '<|im_end|>' | "$bantam" tokenize m.gguf --no-special | wc -w)
    [ "$with" -eq 1 ]
    [ "$without" -gt 1 ]
    plain=$(printf 'x' | "$bantam" tokenize m.gguf)
    bos=$(printf 'x' | "$bantam" tokenize m.gguf --add-bos)
    [[ $bos == *" $plain" ]]
    [ -z "$("$bantam" tokenize m.gguf </dev/null | tr -d '\n')" ]
}

@test "JSON" {
    make_model
    printf 'ab c' | "$bantam" tokenize m.gguf --json > out
    count=$(json count < out)
    [ "$(json ids < out | tr , '\n' | wc -l)" -eq "$count" ]
    [ "$(python3 -c 'import json; print("".join(json.load(open("out"))["pieces"]))')" = 'ab c' ]
    [ "$("$bantam" detokenize m.gguf 97 98 --json | json text)" != "" ]
}

@test "what is no id is refused" {
    make_model
    run "$bantam" detokenize m.gguf 1 x
    [ "$status" -eq 2 ]
    run "$bantam" detokenize m.gguf 1 999999
    [ "$status" -eq 1 ]
    [[ $output == *"token 999999 is outside the vocabulary"* ]]
    run "$bantam" detokenize m.gguf -- -5
    [ "$status" -eq 2 ]
}

@test "golden vocabularies through the program" {
    file=$golden/vocab/ggml-vocab-llama-spm.gguf
    [ -f "$file" ] || skip "no golden data"
    ids=$(printf 'Hello world' | "$bantam" tokenize -m "$file")
    [ "$ids" = "15043 3186" ]
    # shellcheck disable=SC2086
    [ "$("$bantam" detokenize -m "$file" $ids)" = 'Hello world' ]
}
