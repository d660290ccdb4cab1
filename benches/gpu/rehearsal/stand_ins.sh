# Bundles and programs that are played, and a run of the script with them. Sourced by rehearse.sh, which gives it $script, $bundle,
# $scratch and $problems.

# expect WHAT COMMAND...: the command succeeds.
expect() {
    local what=$1
    shift
    "$@" >/dev/null 2>&1 || echo "not so: $what" >>"$problems"
}

# A program of this name in a folder, which is these lines of bash.
program() {
    printf '#!/usr/bin/env bash\n%s\n' "$2" >"$1"
    chmod +x "$1"
}

# NVIDIA's tools around a program: their own options go, it runs, and then they say what they found.
tools() {
    mkdir -p "$1"
    program "$1/ncu" 'while [[ "$1" != */bin/* ]]; do [ "$1" = --log-file ] && log=$2; shift; done
"$@" && printf "\"ID\",\"Kernel Name\"\n\"\",\"\"\n\"0\",\"planes_forward_f32\"\n" >"$log"'
    program "$1/compute-sanitizer" 'while [[ "$1" != */bin/* ]]; do shift; done
"$@" && echo "========= ERROR SUMMARY: 0 errors"'
    # It may wait for a driver that does not answer.
    program "$1/nvidia-smi" 'echo a stand-in; trap "" TERM; sleep 1000'
}

# The same, which look at nothing and say no word of it in their exit codes.
blind_tools() {
    mkdir -p "$1"
    program "$1/ncu" 'while [[ "$1" != */bin/* ]]; do [ "$1" = --log-file ] && log=$2; shift; done
"$@"; echo "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission" >"$log"; exit 0'
    program "$1/compute-sanitizer" 'while [[ "$1" != */bin/* ]]; do shift; done; exec "$@"'
}

# A bundle whose programs are all these lines, but for the question which device there is.
played_by() {
    local name
    mkdir -p "$1/bin"
    cp "$bundle"/contents/{commit,toolkit} "$bundle"/contents/*.jsonl "$1/"
    for name in gpu cuda golden roofline candle; do
        program "$1/bin/$name" "[ \"\$1\" = device ] && { echo a stand-in; exit; }; $2"
    done
    for name in python3 ncu compute-sanitizer; do
        program "$1/$name" "$2"
    done
}

# rehearse NAME BUNDLE [SETTING...]: runs the script, whose results go to $scratch/NAME and its exit code to NAME.status.
rehearse() {
    local name=$1 from=$2
    shift 2
    env "$@" "$script" run "$from" "$scratch/$name" >"$scratch/$name.log" 2>&1
    echo $? >"$scratch/$name.status"
    unpack "$name"
}

# The results of a run, to $scratch/NAME.results.
unpack() {
    rm -rf "$scratch/$1.results"
    mkdir -p "$scratch/$1.results"
    tar -xzf "$scratch/$1/results.tar.gz" -C "$scratch/$1.results" 2>/dev/null
}

summary_has() {
    grep -Eq "$2" "$scratch/$1/summary.txt"
}

exited_with() {
    grep -qx "$2" "$scratch/$1.status"
}

# Whether no process calls itself so.
nothing_runs_as() {
    local process name
    for process in /proc/[0-9]*/cmdline; do
        IFS= read -r -d '' name 2>/dev/null <"$process"
        [ "$name" != "$1" ] || return 1
    done
}
