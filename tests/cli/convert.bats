# convert, and a maker's folder in place of a file.
load helpers

folder=${BANTAM_SOURCE:?}/tests/data/folder

@test "a folder becomes a file that answers as the folder does" {
    "$bantam" convert "$folder" m.gguf 2> talk
    grep -q 'm.gguf: .* written' talk
    ids=1,2,3,4,5
    "$bantam" logits m.gguf --tokens $ids -o a
    "$bantam" logits "$folder" --tokens $ids -o b
    cmp a b
    text='a bantam hen<|end|>'
    [ "$(printf '%s' "$text" | "$bantam" tokenize m.gguf)" = \
      "$(printf '%s' "$text" | "$bantam" tokenize "$folder")" ]
}

@test "info and run take a folder, also one of links" {
    "$bantam" info "$folder" --json > out
    [ "$(json architecture < out)" = llama ]
    mkdir links
    for file in "$folder"/*.*; do ln -s "$file" links; done
    only "$bantam" run links -p 'a hen' --raw -n 4 --temp 0 > a
    only "$bantam" run "$folder" -p 'a hen' --raw -n 4 --temp 0 > b
    cmp a b
    [[ $(cat a) == 'a hen'* ]]
}

@test "types, and a file replaced as a whole" {
    echo old > m.gguf
    "$bantam" convert "$folder" m.gguf --type q8_0 -q
    "$bantam" info m.gguf | grep -q 'Q8_0'
    run "$bantam" convert "$folder" m.gguf --type q2_0
    [ "$status" -eq 2 ]
}

@test "what is missing or not known is said, and nothing is written" {
    run "$bantam" convert
    [ "$status" -eq 2 ]
    run "$bantam" convert "$folder" a b
    [ "$status" -eq 2 ]
    run "$bantam" convert . m.gguf
    [ "$status" -eq 1 ]
    [[ $output == *'config.json'* ]]
    cp -r "$folder" copy
    sed -i 's/"llama"/"llamo"/' copy/config.json
    run "$bantam" convert copy m.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"'llamo' is not known"* ]]
    rm copy/model-00002*
    sed -i 's/"llamo"/"llama"/' copy/config.json
    run "$bantam" convert copy m.gguf
    [ "$status" -eq 1 ]
    [[ $output == *model-00002-of-00002.safetensors* ]]
    [ ! -e m.gguf ]
    mkdir empty
    run "$bantam" run empty -p x
    [ "$status" -ne 0 ]
    [[ $output == *'is a folder'* ]]
}
