# eval: tasks through the program.
load helpers

@test "tasks of every kind, by group" {
    make_model
    cat > tasks.jsonl <<'END'
{"id": "a", "kind": "exact", "group": "words", "prompt": "Hi", "expect": "nothing like it"}
{"kind": "tool_call", "group": "calls", "prompt": "Hi", "calls": [{"name": "f", "arguments": {}}]}
{"kind": "choice", "prompt": "Once upon a", "choices": [" time", " xq"], "answer": 1}
{"kind": "perplexity", "text": "Once upon a time"}
END
    only "$bantam" eval m.gguf --tasks tasks.jsonl -n 5 > out
    grep -q '^words *1 *0.00 %' out
    grep -q '^calls *1 *0.00 %' out
    grep -q '^all *4 .*perplexity' out
    only "$bantam" eval m.gguf --tasks tasks.jsonl -n 5 --free --json > out
    [ "$(json all.tasks < out)" -eq 4 ]
    [ "$(json tasks.0.id < out)" = a ]
    [ "$(json constrained < out)" = false ]
}

@test "faults in tasks are told with their lines" {
    make_model
    printf '{"kind": "exact"}\n{"kind": "perplexity", "text": "a"}\nx\n' > bad.jsonl
    run "$bantam" eval m.gguf --tasks bad.jsonl
    [ "$status" -eq 1 ]
    [[ $output == *"bad.jsonl:1: "* ]]
    [[ $output == *"bad.jsonl:3: no JSON"* ]]
    run "$bantam" eval m.gguf
    [ "$status" -eq 2 ]
}
