# The recipe of the assistant's model, in small: every stage once, then passed over.
load helpers

@test "the recipe makes a model of the assistant's tools, and goes on where it stopped" {
    head -n 3 "$BANTAM_SOURCE/models.d/hatchling/dev.jsonl" > few.jsonl
    export COUNT=1000 STEPS=1 TASKS=few.jsonl
    "$BANTAM_SOURCE/tools/hatchling" "$BANTAM_BUILD" made > out
    grep -q hatchling-tools made/hatchling.gguf
    [ "$(wc -c < made/hatchling.gguf)" -le 5000000 ]
    [ "$(grep -c '^all ' out)" -eq 2 ]
    cp made/hatchling.gguf want.gguf
    rm made/hatchling.gguf
    "$BANTAM_SOURCE/tools/hatchling" "$BANTAM_BUILD" made > out 2> err
    cmp made/hatchling.gguf want.gguf
    ! grep -q 'teacher, 8 million' err
    # The study of what the teacher gave: each run once, then the table alone.
    export SEEDS=4
    python3 "$BANTAM_SOURCE/tools/hatchling-study" "$BANTAM_BUILD" made > table 2> err
    [ "$(grep -c ', seed ' err)" -eq 3 ]
    [ "$(grep -c '^teacher  *1 \|^alone, equal [a-z]*  *1 ' table)" -eq 3 ]
    python3 "$BANTAM_SOURCE/tools/hatchling-study" "$BANTAM_BUILD" made > again 2> err
    cmp table again
    ! grep -q ', seed ' err
}
