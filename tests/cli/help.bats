# Help, completion, manual page, configuration, exit codes.
load helpers

commands() {
    "$bantam" --help |
        sed -n 's/^  also  *//; ta; s/^ \{15\}//; ta; s/^  \([a-z]*\)  *[a-zA-Z].*/\1/p; b
            :a; s/,$//; s/, /\n/g; p'
}

# Long options in the help of a command.
options() {
    "$bantam" "$1" --help | sed -n 's/^  [ -][ a-z][ ,] --\([a-z-]*\).*/\1/p'
}

@test "the first help fits a screen of 24 by 80" {
    run "$bantam" --help
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -gt 5 ]
    [ "$("$bantam" --help | wc -l)" -le 23 ]
    [ "$("$bantam" --help | wc -L)" -le 80 ]
}

@test "every command's help is at most 80 wide and starts with its usage" {
    for command in $(commands); do
        run "$bantam" "$command" --help
        [ "$status" -eq 0 ]
        [[ ${lines[0]} == "Usage: bantam $command"* ]]
        [ "$("$bantam" "$command" --help | wc -L)" -le 80 ]
        [ "$("$bantam" help "$command")" = "$("$bantam" "$command" --help)" ]
    done
}

@test "the manual page knows every command and every option" {
    "$bantam" man > page
    [ "$(commands | wc -l)" -ge 3 ]
    for command in $(commands); do
        grep -q "^\.SS \"bantam $command" page
        [ -n "$(options "$command")" ]
        for option in $(options "$command"); do
            grep -qF -- "\\-\\-${option//-/\\-}\\fR" page || { echo "$command --$option"; false; }
        done
    done
}

@test "the manual page is clean roff" {
    command -v groff >/dev/null || skip "groff is missing"
    "$bantam" man | groff -man -ww -Tutf8 2>errors >/dev/null
    [ ! -s errors ]
}

# (_bantam || true: compgen returns 1 when it finds nothing.)
@test "bash completes commands, options, values" {
    "$bantam" completion bash > script
    source ./script
    COMP_WORDS=(bantam compl) COMP_CWORD=1; _bantam || true
    [ "${COMPREPLY[*]}" = completion ]
    COMP_WORDS=(bantam man --colo) COMP_CWORD=2; _bantam || true
    [ "${COMPREPLY[*]}" = --color ]
    COMP_WORDS=(bantam man --color n) COMP_CWORD=3; _bantam || true
    [ "${COMPREPLY[*]}" = never ]
    COMP_WORDS=(bantam completion z) COMP_CWORD=2; _bantam || true
    [ "${COMPREPLY[*]}" = zsh ]
    touch model.gguf
    COMP_WORDS=(bantam man mod) COMP_CWORD=2; _bantam || true
    [ "${COMPREPLY[*]}" = model.gguf ]
}

@test "zsh and fish scripts name every command and option" {
    "$bantam" completion zsh > zsh
    "$bantam" completion fish > fish
    for command in $(commands); do
        grep -q "^        $command)" zsh
        for option in $(options "$command"); do
            grep -q -- "--$option[=[]" zsh
            grep -q -- "from $command' -l $option " fish
        done
    done
    if command -v zsh >/dev/null; then zsh -n zsh; fi
    if command -v fish >/dev/null; then fish -n fish; fi
}

@test "version" {
    run "$bantam" --version
    [ "$status" -eq 0 ]
    [[ $output =~ ^bantam\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
    [ "$("$bantam" man --version)" = "$output" ]
}

@test "wrong usage ends with 2, says why and suggests" {
    run "$bantam"
    [ "$status" -eq 2 ]
    run "$bantam" completoin
    [ "$status" -eq 2 ]
    [[ $output == *"did you mean 'completion'?" ]]
    run "$bantam" man --colour always
    [ "$status" -eq 2 ]
    [[ $output == *"did you mean --color?" ]]
    run "$bantam" completion csh
    [ "$status" -eq 2 ]
    run "$bantam" man extra
    [ "$status" -eq 2 ]
    run "$bantam" help nothing
    [ "$status" -eq 2 ]
}

@test "the configuration file is read where XDG says and its errors name the line" {
    mkdir -p "$HOME/.config/bantam"
    printf 'color = mauve\n' > "$HOME/.config/bantam/config"
    run "$bantam" man
    [ "$status" -eq 2 ]
    [[ $output == *".config/bantam/config:1: color: 'mauve' is none of auto|always|never" ]]
    run "$bantam" man --color never # the line wins: the value in the file is not even read
    [ "$status" -eq 0 ]
    run "$bantam" man --help # help never needs a good file
    [ "$status" -eq 0 ]
    mkdir -p other/bantam
    XDG_CONFIG_HOME=$PWD/other run "$bantam" man
    [ "$status" -eq 0 ]
    run "$bantam" man --config missing
    [ "$status" -eq 2 ]
    BANTAM_COLOR=mauve run "$bantam" man --config /dev/null
    [ "$status" -eq 2 ]
    [[ $output == *"BANTAM_COLOR: 'mauve'"* ]]
}

@test "a closed reader ends quietly with 1, a full disk with a word" {
    run bash -c '{ sleep 0.2; "$0" man 2>&3; echo $? >&3; } 3>&2 | true' "$bantam"
    [ "$output" = 1 ]
    [ -w /dev/full ] || skip "no /dev/full"
    run bash -c '"$0" man >/dev/full' "$bantam"
    [ "$status" -eq 1 ]
    [[ $output == "bantam: standard output: "* ]]
}
