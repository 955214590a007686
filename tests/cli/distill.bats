# distill and prune: students of a teacher at hand, of a stored one, of a model cut smaller.
load helpers

config() { # layers, width
    cat <<END
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": $2,
 "intermediate_size": 64, "num_hidden_layers": $1, "num_attention_heads": 2,
 "num_key_value_heads": 1, "vocab_size": $vocabulary, "max_position_embeddings": 128,
 "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true}
END
}

# A vocabulary, a page and a teacher of it.
school() {
    for i in 1 2 3 4 5 6 7 8; do
        printf '{"messages": [{"role": "user", "content": "call %s"}, ' "$i"
        printf '{"role": "assistant", "content": "I call %s and wait"}]}\n' "$i"
    done > page.jsonl
    "$bantam" vocab page.jsonl -o tok.gguf --size 300 --json > out 2>/dev/null
    vocabulary=$(json tokens < out)
    config 2 32 > large.json
    config 1 16 > small.json
    train=(--data page.jsonl --ctx 64 --batch 128 --lr 1e-2 -t 2 -q)
    "$bantam" train -c large.json --tokenizer tok.gguf "${train[@]}" --steps 30 -o t.gguf
}

@test "a student of a teacher at hand, the same again" {
    school
    "$bantam" distill --teacher t.gguf --student small.json "${train[@]}" --steps 30 -o a.gguf \
        --soft 0.8 --temperature 2 --json > out
    [ "$(json steps < out)" -eq 30 ]
    "$bantam" distill --teacher t.gguf --student small.json "${train[@]}" --steps 30 -o b.gguf \
        --soft 0.8 --temperature 2 > out
    cmp <(tail -c 1000 a.gguf) <(tail -c 1000 b.gguf)
    "$bantam" eval a.gguf --tasks <(echo '{"kind": "perplexity", "text": "I call 3"}') > out
    grep -q perplexity out
    # The student goes on, writing half of its batches.
    "$bantam" distill --teacher t.gguf --student a.gguf "${train[@]}" --steps 10 -o c.gguf \
        --mix 0.5 --on-policy 0.5 > out
}

@test "a student of a stored teacher" {
    school
    "$bantam" distill --teacher t.gguf "${train[@]}" --store t.targets --samples 20
    "$bantam" distill --targets t.targets --student small.json --tokenizer tok.gguf \
        "${train[@]}" --steps 10 -o a.gguf > out
    run "$bantam" distill --targets t.targets --student small.json --tokenizer tok.gguf \
        "${train[@]}" --steps 10 -o b.gguf --mix 1
    [ "$status" -eq 1 ]
    [[ $output == *"t.targets: a reverse or mixed divergence"*"samples do not say"* ]]
    echo '{"text": "other"}' >> page.jsonl
    run "$bantam" distill --targets t.targets --student small.json --tokenizer tok.gguf \
        "${train[@]}" --steps 10 -o b.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"t.targets: stored for other data"* ]]
}

@test "a teacher cut smaller is a student" {
    school
    yes 'I call 3 and wait' | head -n 40 > text
    "$bantam" prune t.gguf -f text --ctx 32 --layers 1 --ff 32 -o less.gguf --json > out
    [ "$(json layers < out)" -eq 1 ]
    [ "$(json ff < out)" -eq 32 ]
    "$bantam" distill --teacher t.gguf --student less.gguf "${train[@]}" --steps 10 -o a.gguf > out
}

@test "another vocabulary, and what is missing" {
    school
    make_model
    run "$bantam" distill --teacher m.gguf --student t.gguf "${train[@]}" --steps 2 -o a.gguf
    [ "$status" -eq 1 ]
    [[ $output == *"vocabulary"* ]]
    "$bantam" distill --teacher m.gguf --student t.gguf "${train[@]}" --steps 5 -o a.gguf \
        --match text --mix 0.5 --on-policy 0.5 > out
    run "$bantam" distill --teacher t.gguf --data page.jsonl -o a.gguf
    [ "$status" -eq 2 ]
    run "$bantam" distill --student t.gguf --data page.jsonl -o a.gguf
    [ "$status" -eq 2 ]
    run "$bantam" distill --teacher t.gguf --store x --student t.gguf --data page.jsonl
    [ "$status" -eq 2 ]
}
