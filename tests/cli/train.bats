# train from outside.
load helpers

# config.json, tok.gguf and page.txt: a model of about 100,000 numbers, and what it is to learn.
make_run() {
    cat > config.json <<'JSON'
{"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
 "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": true}
JSON
    cat > page.txt <<'TEXT'
A bantam is a small hen. Any small kind of fowl may be called so, and most large breeds have a
bantam beside them, a third or a quarter of their size. Some have no large one beside them: these
are the true bantams. They lay small eggs, eat little, need little room, and will sit on eggs of
any hen, so that farmers kept them to hatch what others would not.
TEXT
    "$bantam" vocab page.txt -o tok.gguf --size 320 -q
}

# train [OPTION ...]: m.gguf from them, in a few steps.
common=(train -c config.json --tokenizer tok.gguf --data page.txt -o m.gguf --ctx 64 --batch 128
    --steps 10 --lr 5e-3 -t 2 -q)
train() {
    "$bantam" "${common[@]}" "$@"
}

@test "a page is learned by heart, and said again" {
    make_run
    train --ctx 256 --batch 512 --steps 120 --lr 1e-2 --eval page.txt --json > json
    [ "$(json params < json)" -gt 80000 ]
    python3 -c "import json; assert json.load(open('json'))['eval_loss'] < 0.15"
    only "$bantam" run m.gguf --raw -p "A bantam is a small hen." -n 24 --temp 0 > said
    [ "$(head -c 60 said)" = "$(head -c 60 page.txt)" ]
    grep -q '</svg>' m.gguf.training/loss.svg
    python3 -c "
import json
lines = [json.loads(line) for line in open('m.gguf.training/metrics.jsonl')]
assert [line['step'] for line in lines] == list(range(1, 121))
assert lines[-1]['loss'] < lines[0]['loss'] / 10
assert {'step', 'loss', 'lr', 'grad_norm', 'tokens', 'tokens_per_s', 'eval/loss'} <= set(lines[-1])"
}

@test "every step of a run may be its last: the same file comes out" {
    make_run
    train --type f32
    mv m.gguf want.gguf
    train --type f32 --restart -t 1
    cmp m.gguf want.gguf
    rm -r m.gguf m.gguf.training
    for turn in 1 2 3 4 5 6 7 8 9; do
        "$bantam" "${common[@]}" --type f32 --save-every 1 --resume > /dev/null 2>&1 &
        pid=$!
        sleep "0.0$turn"
        kill -9 $pid 2> /dev/null || true
        wait $pid || true
    done
    train --type f32 --resume
    cmp m.gguf want.gguf
    [ -z "$(ls -A m.gguf.training | grep tmp)" ]
}

@test "Ctrl-C writes a checkpoint and says how to go on" {
    make_run
    train > /dev/null
    mv m.gguf want.gguf
    rm -r m.gguf.training # whose metrics would look like those of the run to wait for
    "$bantam" "${common[@]}" --restart --steps 100000 > out 2> err &
    pid=$!
    for turn in $(seq 200); do
        [ -s m.gguf.training/metrics.jsonl ] && break
        sleep 0.02
    done
    run train --resume
    [ "$status" -eq 1 ]
    [[ $output == *"another run is at work"* ]]
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 1 ]
    grep -q 'stopped after step .* of 100000; a checkpoint is in m.gguf.training' err
    grep -q -- '--resume' err
    [ ! -s out ]
    [ ! -e m.gguf ]
    run train
    [ "$status" -eq 1 ]
    [[ $output == *"a run is there, at step"*"--resume"*"--restart"* ]]
    train --restart
    cmp m.gguf want.gguf
}

@test "a full disk keeps the checkpoint" {
    make_run
    train --save-every 5 --steps 20 > /dev/null
    mv m.gguf want.gguf
    train --save-every 5 --steps 5 --restart --schedule constant > /dev/null
    before=$(sha256sum < m.gguf.training/a.checkpoint)
    run bash -c "ulimit -f 20
        '$bantam' train -c config.json --tokenizer tok.gguf --data page.txt -o n.gguf --ctx 64 \
            --batch 128 --steps 20 --save-every 5 --resume --folder m.gguf.training -t 2"
    [ "$status" -eq 1 ]
    [[ $output == *"no checkpoint at step 10"* ]]
    [[ $output == *"n.gguf: cannot write"*"step 5 is kept in m.gguf.training, and --resume"* ]]
    [ ! -e n.gguf ]
    [ "$(sha256sum < m.gguf.training/a.checkpoint)" = "$before" ]
    train --save-every 5 --steps 20 --restart
    cmp m.gguf want.gguf
}

@test "damaged checkpoints are told, and never overwritten unasked" {
    make_run
    train --save-every 5 --steps 10 > /dev/null
    printf x | dd of=m.gguf.training/b.checkpoint bs=1 seek=5000 conv=notrunc 2> err
    cp m.gguf.training/a.checkpoint a
    "$bantam" "${common[@]::${#common[@]}-1}" --steps 10 --resume 2> err > out
    grep -q 'b.checkpoint: damaged; going on from step 5, of a.checkpoint' err
    truncate -s 100 m.gguf.training/a.checkpoint m.gguf.training/b.checkpoint
    run train --steps 10 --resume
    [ "$status" -eq 1 ]
    [[ $output == *"a.checkpoint and b.checkpoint are damaged"*"--restart begins anew"* ]]
    train --steps 10 --restart
}

@test "a model goes on learning, and is written in any type" {
    make_run
    train --type q4_0 > /dev/null
    "$bantam" info m.gguf --json > json
    grep -q Q4_0 json
    [ "$(json name < json)" = m ]
    [ ! -e m.gguf.training/float32.gguf ]
    seq 3000 3400 > long.txt
    "$bantam" train -m m.gguf long.txt -o n.gguf --ctx 64 --batch 128 --epochs 2 -t 2 \
        --hold-out 0.2 --type q8_0 --schedule wsd --optimizer muon -q --json > json
    [ "$(json steps < json)" -gt 1 ]
    json eval_loss < json
    only "$bantam" run n.gguf --raw -p hen -n 2 --temp 0
}

@test "what cannot be is said" {
    make_run
    for line in "" "-o m.gguf" "-o m.gguf -c config.json" \
        "-o m.gguf -c config.json --tokenizer tok.gguf" \
        "-o m.gguf -c config.json -m m.gguf page.txt" "-o m.gguf --schedule flat page.txt"; do
        run "$bantam" train $line
        [ "$status" -eq 2 ]
    done
    sed -i s/qwen3/nobody/ config.json
    run train
    [ "$status" -eq 1 ]
    [[ $output == *"'nobody' is not known"* ]]
    sed -i s/nobody/qwen3/ config.json
    printf '{"text": "good"}\n{"txet": "bad"}\n' > bad.jsonl
    run train --data bad.jsonl
    [ "$status" -eq 1 ]
    [[ $output == *bad.jsonl:2* ]]
    : > none.jsonl
    run train --eval none.jsonl
    [ "$status" -eq 1 ]
    [[ $output == *"none.jsonl: no document in it"* ]]
    run train --stop-loss 0.1
    [ "$status" -eq 1 ]
    [[ $output == *"step 1: the loss is "*", above 0.1 (--stop-loss)"*"a higher --stop-loss"* ]]
    run "$bantam" run tok.gguf -p hen
    [ "$status" -eq 1 ]
    [[ $output == *"tok.gguf: is no model but a vocabulary"* ]]
    run train --lr 100 --warmup -1 --steps 50 --save-every 1
    [ "$status" -eq 1 ]
    [[ $output == *"stopped at step"*page.txt*"last good checkpoint"* ]]
}
