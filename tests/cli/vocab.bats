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

@test "the assistant's tools are named by the vocabulary and by its models" {
    yes 'remind me to call the bank' | head -n 40 > a.txt
    "$bantam" vocab a.txt -o v.gguf --size 290 --assistant hatchling-tools
    cat > c.json << 'END'
{"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
 "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 320,
 "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000,
 "tie_word_embeddings": true, "architectures": ["Qwen3ForCausalLM"]}
END
    "$bantam" train -c c.json --tokenizer v.gguf --data a.txt --steps 1 --batch 64 -o m.gguf
    grep -q hatchling-tools m.gguf
    run "$bantam" vocab a.txt -o w.gguf --assistant other-tools
    [ "$status" -eq 2 ]
    [[ $output == *"'other-tools' is not known"* ]]
    [ ! -e w.gguf ]
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
