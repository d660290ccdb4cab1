#!/usr/bin/env bash
# Takes every step of benches/gpu.sh without a GPU: once with stand-ins for what is missing (the CUDA driver, PyTorch, NVIDIA's
# tools), so that every line has run; once with programs that fail; once with programs that hang; and with kernels that are wrong.
# Says what is not as it should be, and then exits with 1.
#
#     benches/gpu/rehearsal/rehearse.sh BUNDLE LIBRARY
#
# BUNDLE is a folder that `benches/gpu.sh build` has made, LIBRARY what `cargo build -p cuda-stand-in` has.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$here/../../gpu.sh
bundle=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
all=1,2,3,4,5,6,7,8,9,10,11,12
export SMALL=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/python
problems=$scratch/problems
: >"$problems"

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

# NVIDIA's tools around a program: their own options go, it runs.
tools() {
    local name
    mkdir -p "$1"
    for name in ncu compute-sanitizer; do
        program "$1/$name" 'while [[ "$1" != */bin/* ]]; do shift; done; exec "$@"'
    done
    program "$1/nvidia-smi" 'echo a stand-in'
}

# rehearse NAME BUNDLE [SETTING...]: runs the script, whose results go to $scratch/NAME and its exit code to NAME.status.
rehearse() {
    local name=$1 from=$2
    shift 2
    env "$@" "$script" run "$from" "$scratch/$name" >"$scratch/$name.log" 2>&1
    echo $? >"$scratch/$name.status"
    mkdir -p "$scratch/$name.results"
    tar -xzf "$scratch/$name/results.tar.gz" -C "$scratch/$name.results"
}

summary_has() {
    grep -Eq "$2" "$scratch/$1/summary.txt"
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

with_stand_ins() {
    local number file mode
    mkdir -p "$scratch/library"
    cp "$1" "$scratch/library/libcuda.so.1"
    tools "$scratch/tools"
    local driver=("LD_LIBRARY_PATH=$scratch/library" "PATH=$scratch/tools:$PATH")
    # From the packed file, as on the GPU's machine.
    rehearse complete "$bundle/bundle.tar.gz" "${driver[@]}" ONLY=$all STEP_SECONDS="$seconds" PACK_EVERY=1
    for number in 1 2 3 4 5 6 7 8 9 11 12; do
        expect "step $number passes" summary_has complete "^passed   step $number,"
    done
    # The stand-in has no room for large arrays, which a GPU has.
    expect "a test that was skipped is a failure" summary_has complete "^FAILED   step 10,"
    expect "the exit code says that one failed" grep -qx 1 "$scratch/complete.status"
    for file in load limits load-first load-second twelve table pytorch-twelve inductor-twelve pytorch-table plan-way=split; do
        expect "$file.jsonl has figures" test -s "$scratch/complete.results/$file.jsonl"
        expect "$file.jsonl is JSON" python3 -c \
            'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$scratch/complete.results/$file.jsonl"
    done
    expect "every row has a time" test "$(grep -c '"kind":"row"' "$scratch/complete.results/twelve.jsonl")" -eq 12
    expect "every way has its rows" test "$(grep -c '"kind": "row"' "$scratch/complete.results/pytorch-twelve.jsonl")" -eq 48
    expect "every row is compiled" test "$(grep -c '"kind": "row"' "$scratch/complete.results/inductor-twelve.jsonl")" -eq 12
    expect "the result is one file and a summary" test "$(ls -A "$scratch/complete" | tr '\n' ' ')" = "results.tar.gz summary.txt "

    # Other kernels than the right ones: the row has no time, and the step fails.
    rehearse kernels "$bundle/contents" "${driver[@]}" ONLY=3 STEP_SECONDS="$seconds" STAND_IN_FAULT="$fault"
    expect "wrong kernels fail the step" summary_has kernels "^FAILED   step 3,"
    expect "a wrong row says so" grep -q '"kind":"missing".*"why":"wrong: ' "$scratch/kernels.results/twelve.jsonl"
    for mode in wrong failing full; do
        rehearse $mode "$bundle/contents" "${driver[@]}" ONLY=5,99 TORCH_STAND_IN=$mode
        expect "$mode peers fail the step" summary_has $mode "^FAILED   step 5,"
        expect "an unknown step fails" summary_has $mode "^FAILED   99: there is no such step"
        for file in pytorch-twelve inductor-twelve; do
            expect "$mode peers say why" grep -q '"why"' "$scratch/$mode.results/$file.jsonl"
            # Where PyTorch fails, cuDNN and Triton do not.
            expect "$mode peers have no time" test \
                "$(grep -Ec '"way": "(eager|benchmark|compile)".*"seconds"' "$scratch/$mode.results/$file.jsonl")" -eq 0
        done
    done

    # What was measured becomes the model's.
    cp "$here/../../../src/gpu/plan/cost/constants.rs" "$scratch/"
    expect "the model takes what was measured" python3 "$here/../constants.py" "$scratch/complete.results/limits.jsonl" \
        "$scratch/constants.rs"
    expect "the model says that it was" test "$(grep -c ': measured(' "$scratch/constants.rs")" -ge 8
    expect "the model is Rust" rustfmt --edition 2024 "$scratch/constants.rs"
}

with_failures() {
    local number
    played_by "$scratch/fails" 'echo "skipped nothing, failed"; exit 3'
    rehearse failing "$scratch/fails" ONLY=$all "PATH=$scratch/fails:$PATH"
    for number in 1 2 3 4 5 6 7 8 9 10 11 12; do
        expect "step $number fails" summary_has failing "^FAILED   step $number,.*exit code"
    done
}

with_hangs() {
    local number start=$SECONDS marker="$scratch/hangs/hangs"
    # Neither it nor what it starts listens to TERM.
    played_by "$scratch/hangs" "trap '' TERM; exec -a $marker sleep 1000 & exec -a $marker sleep 1000"
    rehearse hanging "$scratch/hangs" ONLY=$all STEP_SECONDS=1 "PATH=$scratch/hangs:$PATH"
    for number in 1 2 3 4 5 6 7 8 9 10 11 12; do
        expect "step $number is ended" summary_has hanging "^FAILED   step $number,.*ended at its limit of 1 s"
    done
    expect "a step that hangs costs its limit and little more" test $((SECONDS - start)) -le 90
    expect "nothing that hung is left" nothing_runs_as "$marker"
}

# Whether no process calls itself so.
nothing_runs_as() {
    local process name
    for process in /proc/[0-9]*/cmdline; do
        IFS= read -r -d '' name 2>/dev/null <"$process"
        [ "$name" != "$1" ] || return 1
    done
}

without_a_gpu() {
    rehearse none "$bundle/contents" ONLY=1
    expect "without a GPU the exit code is 2" grep -qx 2 "$scratch/none.status"
    expect "without a GPU it says why" summary_has none "^no usable GPU: "
    expect "what is no bundle is refused" bash -c '! "$1" run "$2" "$2/out"' - "$script" "$scratch"
}

# The limits of the steps of the first call, which must end before the machine does.
limits() {
    local total
    total=$(bash -c 'source "$1"; total=0; for number in 1 2 3 4 5 6 7 8; do total=$((total + step_seconds[number])); done; echo $total' - \
        "$here/../steps.sh")
    expect "steps 1 to 8 take nine minutes at most" test "$total" -le 540
}

# A wrong merge of statistics, which shows in every row.
fault=${FAULT:-5}
# Of a step that is not to end at its limit: more where the processor has other work.
seconds=${REHEARSAL_SECONDS:-100}
limits
with_failures &
with_hangs &
with_stand_ins "$2" &
without_a_gpu &
wait
if [ -s "$problems" ]; then
    cat "$problems"
    tail -n 30 "$scratch"/*.log
    exit 1
fi
sed 's/^/    /' "$scratch/complete/summary.txt"
echo "rehearsed in $SECONDS s"
