# Nothing that was reached is lost, whatever ends a run, a step or a program, and nothing is left running. Sourced by rehearse.sh.

# A bundle whose steps leave a figure and pass or not: `$2` are lines of bash that come after the figure.
leaves_figures() {
    played_by "$1" 'while [ $# -gt 0 ]; do
    [ "$1" = --json ] && echo "{\"kind\":\"row\",\"seconds\":1}" >"$2"
    shift
done
echo "test result: ok. 1 passed"
'"$2"
}

# A second call into the same folder, one that finds no GPU, and one that takes a step again.
calls_after_each_other() {
    leaves_figures "$scratch/figures" ''
    rehearse calls "$scratch/figures" ONLY=3
    rehearse calls "$scratch/figures" ONLY=4
    expect "a second call keeps the first one's figures" test -s "$scratch/calls.results/twelve.jsonl"
    expect "a second call has its own results" test -s "$scratch/calls.results/bits.log"
    expect "the summary is of both calls" summary_has calls "^passed   step 3,"
    mkdir -p "$scratch/no_gpu/bin"
    program "$scratch/no_gpu/bin/gpu" 'echo "there is none" >&2; exit 2'
    rehearse calls "$scratch/no_gpu"
    expect "a call without a GPU keeps what there was" test -s "$scratch/calls.results/twelve.jsonl"
    expect "a call without a GPU says so" exited_with calls 2
    rehearse calls "$scratch/figures" ONLY=3
    expect "a step that is taken again keeps its earlier results" test -s "$scratch/calls.results/earlier-1/twelve.jsonl"
}

# Where results cannot be written: from the beginning, and from the middle on. A folder in place of the new file is as good as a
# full disk, and root cannot write there either.
without_room() {
    local kept
    mkdir -p "$scratch/no_room/.results.tar.gz/x"
    rehearse no_room "$scratch/figures" ONLY=3
    expect "without room for results nothing is begun" exited_with no_room 64
    leaves_figures "$scratch/fills" "mkdir -p '$scratch/fills_up/.results.tar.gz/x'"
    mkdir -p "$scratch/temporary"
    rehearse fills_up "$scratch/fills" ONLY=3 TMPDIR="$scratch/temporary"
    expect "results that could not be written are a failure" exited_with fills_up 1
    expect "an archive that was whole stays so" gzip -t "$scratch/fills_up/results.tar.gz"
    kept=$(sed -n 's/.*the results are in //p' "$scratch/fills_up.log")
    expect "what could not be written is where it is said to be" test -s "$kept/twelve.jsonl"
}

# A run whose step hangs is ended from outside by a signal.
ended_by() {
    local signal=$1 name=ended_by_$1 pid marker=$scratch/ended_by_$1.hangs
    leaves_figures "$scratch/$name.bundle" \
        "trap '' TERM; exec -a $marker sleep 1000 & setsid bash -c 'exec -a $marker sleep 1000' & wait"
    ONLY=1 PACK_EVERY=600 "$script" run "$scratch/$name.bundle" "$scratch/$name" >"$scratch/$name.log" 2>&1 &
    pid=$!
    until_so runs_as "$marker"
    kill -s "$signal" $pid
    wait $pid 2>/dev/null
    until_so nothing_runs_as "$marker"
    expect "$signal leaves nothing running" nothing_runs_as "$marker"
    # What packs after KILL is beside the script.
    until_so has_figures "$name"
    expect "$signal loses nothing" has_figures "$name"
}

runs_as() {
    ! nothing_runs_as "$1"
}

has_figures() {
    unpack "$1"
    [ -s "$scratch/$1.results/load.jsonl" ]
}

# Waits for something, 30 seconds at most.
until_so() {
    for _ in $(seq 150); do
        "$@" 2>/dev/null && return
        sleep 0.2
    done
}

# A driver that does not answer the question which device there is.
without_an_answer() {
    local start=$SECONDS marker=$scratch/unanswered
    mkdir -p "$scratch/silent/bin"
    program "$scratch/silent/bin/gpu" "trap '' TERM; exec -a $marker sleep 1000 & exec -a $marker sleep 1000"
    rehearse silent "$scratch/silent" DEVICE_SECONDS=1
    expect "a question that hangs is no GPU" exited_with silent 2
    expect "a question that hangs is asked once, and ended" test $((SECONDS - start)) -le 20
    expect "a question that hangs leaves nothing running" nothing_runs_as "$marker"
}

# A test that prints without end, which would fill the archive.
with_a_long_log() {
    leaves_figures "$scratch/talks" 'echo the first line; head -c 25000000 /dev/urandom | base64; echo the last line; exit 1'
    rehearse long "$scratch/talks" ONLY=2
    expect "a long log leaves the archive small" test "$(stat -c %s "$scratch/long/results.tar.gz")" -lt 2000000
    expect "a long log keeps its begin" grep -q 'the first line' "$scratch/long.results/contract.log"
    expect "a long log keeps its end" grep -q 'the last line' "$scratch/long.results/contract.log"
}

# Nobody reads what is printed.
without_a_reader() {
    ONLY=3,4 "$script" run "$scratch/figures" "$scratch/unread" 2>/dev/null | true
    expect "the summary needs nobody to read it" summary_has unread "^passed   step 3,.*"
    expect "steps are taken though nobody reads" summary_has unread " failed, "
}

kept() {
    calls_after_each_other
    without_room
    without_an_answer
    with_a_long_log
    without_a_reader
    ended_by TERM
    ended_by KILL
}
