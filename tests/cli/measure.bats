# logits, perplexity, bench, info.
load helpers

@test "logits: a row per position, however the tokens are fed" {
    make_model
    "$bantam" logits -m m.gguf --tokens 1,2,3,4,5,6,7,8 -o all.f32
    vocab=$("$bantam" info m.gguf --json | json sizes.vocab)
    [ "$(stat -c %s all.f32)" -eq $((8 * vocab * 4)) ]
    "$bantam" logits m.gguf --tokens 1,2,3,4,5,6,7,8 --chunk 3 -o chunks.f32
    "$bantam" logits m.gguf --tokens 1,2,3,4,5,6,7,8 --chunk 1 --ctx 64 -o ones.f32
    python3 - all.f32 chunks.f32 ones.f32 <<'END'
import struct, sys
rows = [struct.unpack(f"<{len(d)//4}f", d) for d in (open(p, "rb").read() for p in sys.argv[1:])]
assert any(x != 0 for x in rows[0])
for other in rows[1:]:
    error = sum((a - b) ** 2 for a, b in zip(rows[0], other)) / sum(a * a for a in rows[0])
    assert error < 1e-9, error
END
}

@test "logits: refusals, and nothing left behind" {
    make_model
    run "$bantam" logits m.gguf --tokens 1,2
    [ "$status" -eq 2 ]
    run "$bantam" logits m.gguf --tokens 1,9999 -o out
    [ "$status" -eq 1 ]
    run "$bantam" logits m.gguf --tokens 1,2,3 --ctx 2 -o out
    [ "$status" -eq 1 ]
    [[ $output == *"3 tokens and the context holds 2"* ]]
    run "$bantam" logits m.gguf --tokens 1,2 -o no/such/folder/out
    [ "$status" -eq 1 ]
    run "$bantam" logits m.gguf --tokens 1,,2x -o out
    [ "$status" -eq 2 ]
    [ "$(ls)" = "$(printf 'home\nm.gguf')" ]
    "$bantam" logits m.gguf --tokens 1,2 -o file
    "$bantam" logits m.gguf --tokens 1,2 -o - | cmp - file
    [ -w /dev/full ] || skip "no /dev/full"
    run "$bantam" logits m.gguf --tokens 1,2 -o /dev/full
    [ "$status" -eq 1 ]
    [[ $output == "bantam: /dev/full: "*"No space left on device"* ]]
    [ -c /dev/full ]
}

@test "perplexity agrees with the logits it stands for" {
    make_model
    printf 'The cat sat on the mat and the dog lay by the door. %.0s' {1..40} > text
    ids=$("$bantam" tokenize m.gguf --no-special --add-bos < text | tr ' ' ,)
    for ctx in 32 300; do # 300: more scored tokens in a window than one step keeps logits of
    "$bantam" perplexity m.gguf -f text --ctx $ctx --json --type-kv f32 > out
    python3 - "$bantam" out "$ids" $ctx <<'END'
import json, math, struct, subprocess, sys
program, out = sys.argv[1], json.load(open(sys.argv[2]))
ids = [int(i) for i in sys.argv[3].split(",")]
info = json.loads(subprocess.run([program, "info", "m.gguf", "--json"], capture_output=True).stdout)
vocab, n, total, count = info["sizes"]["vocab"], int(sys.argv[4]), 0.0, 0
bos = ids[0] if info["add_bos"] else None
if not info["add_bos"]:
    ids = ids[1:] if info["bos"] >= 0 and ids[0] == info["bos"] else ids
for w in range(len(ids) // n):
    window = ids[w * n:(w + 1) * n]
    fed = ([bos] if bos is not None else [window[0]]) + window[1:]
    subprocess.run([program, "logits", "m.gguf", "--tokens", ",".join(map(str, fed)), "-o", "l",
                    "--ctx", str(n)],
                   check=True)
    rows = open("l", "rb").read()
    for i in range(n // 2, n - 1):
        row = struct.unpack_from(f"<{vocab}f", rows, i * vocab * 4)
        most = max(row)
        total += most + math.log(sum(math.exp(x - most) for x in row)) - row[window[i + 1]]
        count += 1
assert out["scored"] == count, (out, count)
assert abs(out["nll"] - total / count) < 1e-4, (out["nll"], total / count)
assert abs(out["perplexity"] - math.exp(total / count)) < 1e-3 * out["perplexity"]
END
    done
    [[ "$("$bantam" perplexity m.gguf --ctx 32 < text 2>/dev/null)" == "perplexity "* ]]
    head -c 300 text > short
    run "$bantam" perplexity m.gguf --ctx 512 -f short
    [ "$status" -eq 1 ]
    [[ $output == *"a window needs 512"* ]]
}

@test "bench: medians, spread, memory, load; in words and in JSON" {
    make_model
    "$bantam" bench -m m.gguf -p 32 -n 8 -r 3 -t 1 --json > out
    python3 - <<'END'
import json
o = json.load(open("out"))
for part in ("prefill", "decode"):
    runs = sorted(o[part]["runs"])
    assert len(runs) == 3 and o[part]["tokens_per_s"] == runs[1] > 0
    assert abs(o[part]["spread"] - (runs[2] - runs[0])) < 1e-3 * runs[2]
assert o["first_token_s"] > 0 and o["load_s"] > 0 and o["peak_resident"] > 1 << 20
assert (o["prompt"], o["generate"], o["threads"]) == (32, 8, 1)
END
    run "$bantam" bench m.gguf -p 16 -n 4 -d 20 -b 3 -r 2
    [ "$status" -eq 0 ]
    [[ $output == *"prefill 16"*"decode 4"*"first token"*"peak memory"* ]]
    run "$bantam" bench m.gguf -p 0 -n 0
    [ "$status" -eq 2 ]
    run "$bantam" bench m.gguf -p 64 --ctx 32
    [ "$status" -eq 2 ]
}

@test "bench --roofline: the machine's limits and the shares reached" {
    make_model
    "$bantam" bench m.gguf -p 32 -n 8 -r 1 --roofline --json > out
    python3 - <<'END'
import json
o = json.load(open("out"))["roofline"]
assert o["memory_gb_s"] > 0 and o["f32_tflops"] > 0, o
assert o["prefill_share"] > 0 and o["decode_share"] > 0, o
END
    run "$bantam" bench m.gguf -p 32 -n 8 -r 1 --roofline
    [[ $output == *"% of reading memory in decode"* ]]
}

@test "info: what the file holds and what it takes" {
    make_model --name 'Tiny Test'
    run "$bantam" info m.gguf
    [ "$status" -eq 0 ]
    [[ $output == *"Tiny Test"*llama*"context 512"*"fits"* ]]
    [[ $output != *"general.name"* ]]
    [[ "$("$bantam" info -m m.gguf -v)" == *"general.name = "*"Tiny Test"* ]]
    "$bantam" info m.gguf --json > out
    [ "$(json architecture < out)" = llama ]
    [ "$(json template < out)" = chatml ]
    [ "$(json memory.0.ctx < out)" = 512 ]
    [ "$(json sizes.layers < out)" = 2 ]
    mkdir -p "$HOME/.local/share/bantam/models"
    cp m.gguf "$HOME/.local/share/bantam/models/one.gguf"
    "$bantam" info | grep -q '^file .*one.gguf' # the only one there is
    cp m.gguf "$HOME/.local/share/bantam/models/two.gguf"
    run "$bantam" info
    [ "$status" -eq 2 ]
    [[ $output == *"which model?"* ]]
}
