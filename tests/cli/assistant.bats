# The assistant: calls of a scripted model are carried out in the sandbox, `bantam due`, refusals.
load helpers

says() { # FILE NAME ARGUMENTS: a model that answers with this call
    python3 "$BANTAM_SOURCE/tests/cli/scripted_model.py" "$1" '<tool_call>' \
        "{\"name\": \"$2\", \"arguments\": $3}" '</tool_call>'
}
database() { echo "$HOME/.local/share/bantam/assistant/assistant.db"; }

@test "a call is carried out and kept, and answered in words" {
    export TZ=UTC0
    says r.gguf remind '{"text": "call the dentist", "day": "tomorrow", "time": "5"}'
    says l.gguf list '{"kind": "reminder"}'
    "$bantam" run r.gguf -p 'remind me to call the dentist tomorrow at 5' </dev/null >out 2>err
    [[ $(<out) == "I will remind you tomorrow ("*") at 17:00: call the dentist" ]]
    grep -q 'sandbox: seccomp' err
    [ "$(stat -c %a "$(database)")" = 600 ]
    only "$bantam" run l.gguf -p 'which reminders are there' > out
    [[ $(<out) == *"1. call the dentist: tomorrow ("*") at 17:00" ]]
    only "$bantam" run l.gguf -p x --json > out
    [ "$(json tool_calls.0.function.name < out)" = list ]
    [[ $(json text < out) == *"call the dentist"* ]]
}

@test "the calculator, and what needs a larger model" {
    says c.gguf calculate '{"expr": "15% of 80"}'
    [ "$(only "$bantam" run c.gguf -p 'what is 15% of 80')" = '15% of 80 = 12' ]
    says e.gguf escalate '{"reason": "code"}'
    [[ $(only "$bantam" run e.gguf -p x) == *"larger model"*"bantam run FILE.gguf"* ]]
}

@test "with --raw or tools of one's own nothing is carried out" {
    says n.gguf note '{"text": "a"}'
    [[ $(only "$bantam" run n.gguf -p x --raw -n 8) == *'<tool_call>'* ]]
    [ ! -e "$(database)" ]
    echo '[{"type": "function", "function": {"name": "note", "parameters": {"type": "object",
      "properties": {"text": {"type": "string"}}}}}]' > tools.json
    [ "$(only "$bantam" run n.gguf -p x --tools tools.json)" = \
        '{"name": "note", "arguments": {"text": "a"}}' ]
    [ ! -e "$(database)" ]
}

@test "calls are held to the tools" {
    says n.gguf fly '{"to": "the moon"}'
    [[ $(only "$bantam" run n.gguf -p x -n 300) != *"moon"* ]]
}

@test "what is copied is held to what was said" {
    says n.gguf note '{"text": "call the dentist"}'
    only "$bantam" run n.gguf -p 'note to call the dentist, please' > out
    [ "$(<out)" = 'Noted: call the dentist' ]
    [[ $(only "$bantam" run n.gguf -p 'note to call Dr. Quux' -n 300) != *"dentist"* ]]
    calls='[{"name": "note", "arguments": {"text": "call the dentist"}}]'
    for said in 'call the dentist' 'call Dr. Quux'; do
        printf '{"kind": "tool_call", "calls": %s, "messages": %s}\n' "$calls" \
            "[{\"role\": \"user\", \"content\": \"$said\"}]"
    done > tasks.jsonl
    set="$BANTAM_SOURCE/models.d/hatchling"
    only "$bantam" eval n.gguf --tasks tasks.jsonl --hold "$set/tools.json" > out
    grep -Eq '^all +2 +50.00 %' out
    only "$bantam" eval n.gguf --tasks tasks.jsonl --hold "$set/tools.json" --free > out
    grep -Eq '^all +2 +100.00 %' out
}

@test "due: each once, a repetition again, and the calendar" {
    export TZ=UTC0
    [ -z "$("$bantam" due)" ]
    python3 - "$(database)" <<'END'
import sqlite3, sys, time
now = int(time.time())
with sqlite3.connect(sys.argv[1]) as db:
    row = "INSERT INTO items (kind, state, text, at, until, first, whole_day, every, made) " \
          "VALUES (?, 0, ?, ?, 0, ?, 0, ?, 1)"
    db.execute(row, (0, "pills", now - 60, now - 60, "day"))
    db.execute(row, (1, "tea", now - 5, now - 5, ""))
    db.execute(row, (0, "later", now + 9000, now + 9000, ""))
    db.execute(row, (2, "party; at home", now + 9000, now + 9000, ""))
    db.execute(row, (2, "fair", now - 2, now - 2, ""))
END
    run "$bantam" due
    [ "$status" -eq 0 ]
    [[ ${lines[0]} =~ ^Reminder:\ pills\ \((today|yesterday) ]]
    [ "${lines[1]}" = "Timer: tea (time is up)" ]
    [[ ${lines[2]} == "Calendar: fair ("* ]]
    [ "${#lines[@]}" -eq 3 ]
    [ -z "$("$bantam" due)" ]
    "$bantam" due --ics > calendar.ics
    grep -q '^SUMMARY:party\\; at home' calendar.ics
    grep -q 'RRULE:FREQ=DAILY;INTERVAL=1' calendar.ics
    [ "$(grep -c $'\r$' calendar.ics)" -eq "$(wc -l < calendar.ics)" ]
    run "$bantam" due more
    [ "$status" -eq 2 ]
}

@test "a damaged database is refused with what to do" {
    says n.gguf note '{"text": "a"}'
    mkdir -p "$(dirname "$(database)")"
    head -c 5000 /dev/urandom > "$(database)"
    run "$bantam" run n.gguf -p 'note a'
    [ "$status" -eq 1 ]
    [[ $output == *"assistant.db: cannot be "*"damaged"*"moving it away"* ]]
    run "$bantam" due
    [ "$status" -eq 1 ]
}

@test "where nothing can be kept, sums are done and the rest says why" {
    says c.gguf calculate '{"expr": "2 + 2"}'
    says n.gguf note '{"text": "a"}'
    [ "$(HOME= only "$bantam" run c.gguf -p 'what is 2+2')" = '2 + 2 = 4' ]
    HOME= run "$bantam" run n.gguf -p 'note a' -q
    [ "$status" -eq 1 ]
    [[ $output == *"nothing can be kept: there is no home folder"* ]]
    mkdir -p "$(database)"
    [ "$(only "$bantam" run c.gguf -p 'what is 2+2')" = '2 + 2 = 4' ]
    run "$bantam" run n.gguf -p 'note a' -q
    [ "$status" -eq 1 ]
    [[ $output == *"assistant.db"* ]]
    HOME= run "$bantam" due
    [ "$status" -eq 1 ]
}

@test "what is no text is not heard" {
    says n.gguf note '{"text": "red"}'
    [ "$(only "$bantam" run n.gguf -p $'note\e \001red\a\xff')" = 'Noted: red' ]
    run "$bantam" run n.gguf -p $' \001\n '
    [ "$status" -eq 2 ]
    run "$bantam" run n.gguf -p "note $(seq -s ' ' 60)" -q
    [ "$status" -eq 1 ]
    [[ $output == *"60 words at a time"* ]]
    for foreign in 'Привет' '明天5点' 'مرحبا 12'; do
        run "$bantam" run n.gguf -p "$foreign" -q
        [ "$status" -eq 1 ]
        [[ $output == *"understands English alone"* ]]
    done
    [ "$(only "$bantam" run n.gguf -p 'red Привет é')" = 'Noted: red' ]
}

@test "half an answer is none" {
    says n.gguf note '{"text": "red"}'
    run "$bantam" run n.gguf -p 'note red' -q -n 2
    [ "$status" -eq 1 ]
    [ "$output" = "bantam: the assistant did not understand that; say it in other words" ]
    run "$bantam" run n.gguf -p 'note red' -q
    [ "$output" = 'Noted: red' ]
}

@test "the hand-written test set is read by eval" {
    says l.gguf list '{"kind": "all"}'
    set="$BANTAM_SOURCE/models.d/hatchling"
    for half in dev final; do
        only "$bantam" eval l.gguf --tasks "$set/$half.jsonl" --hold "$set/tools.json" > $half
        grep -Eq '^all +22[78] ' $half
    done
    grep -Eq '^list +15 +6.67 %' dev
}
