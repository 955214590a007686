# vocab: a vocabulary from data, that the other commands read.
load helpers

@test "a vocabulary from text, read by tokenize" {
    yes 'the dentist calls the bank' | head -n 20 > a.txt
    "$bantam" vocab a.txt -o v.gguf --size 290 --json > out
    [ "$(json tokens < out)" -le 290 ]
    [ "$(json documents < out)" -eq 1 ]
    ids=$(printf 'the dentist<|im_end|>' | "$bantam" tokenize v.gguf)
    [ "$(wc -w <<< "$ids")" -eq 3 ]
    # shellcheck disable=SC2086
    [ "$("$bantam" detokenize v.gguf --special $ids)" = 'the dentist<|im_end|>' ]
    "$bantam" vocab a.txt -o w.gguf --size 290
    cmp v.gguf w.gguf
    "$bantam" info v.gguf
}

@test "faults in data are told with their lines" {
    printf '{"text": "good"}\n{"text":\n{"what": 1}\n' > bad.jsonl
    run "$bantam" vocab bad.jsonl -o v.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"bad.jsonl:2: no JSON"* ]]
    [[ $output == *"bad.jsonl:3: no known form"* ]]
    [[ $output == *"(2 refused, 1 good)"*"--lenient"* ]]
    [ ! -e v.gguf ]
    run "$bantam" vocab bad.jsonl -o v.gguf --lenient
    [ "$status" -eq 0 ]
    [[ $output == *"left out: 2 documents"* ]]
}

@test "what is missing is asked for" {
    run "$bantam" vocab -o v.gguf
    [ "$status" -eq 2 ]
    run "$bantam" vocab a.txt
    [ "$status" -eq 2 ]
    run "$bantam" vocab nothing.txt -o v.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"nothing.txt: No such file"* ]]
}
