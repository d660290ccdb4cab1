#!/usr/bin/env bash
# Takes every step of benches/gpu.sh without a GPU: once with stand-ins for what is missing (the CUDA driver, PyTorch, NVIDIA's
# tools), so that every line has run; once with programs that fail; once with programs that hang; with kernels that are wrong; and
# with all that can end a run before its time, of which nothing that was reached may be lost (kept.sh).
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
all=1,2,3,4,5,6,7,8,9,10,11,12,13,14
export SMALL=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/python
problems=$scratch/problems
: >"$problems"

source "$here/stand_ins.sh"
source "$here/kept.sh"

with_stand_ins() {
    local number file
    # From the packed file, as on the GPU's machine.
    rehearse complete "$bundle/bundle.tar.gz" "${driver[@]}" ONLY=$all STEP_SECONDS="$seconds" PACK_EVERY=1
    for number in 1 2 3 4 5 6 7 8 9 11 12 13; do
        expect "step $number passes" summary_has complete "^passed   step $number,"
    done
    # The stand-in has no room for large arrays, which a GPU has.
    expect "a test that was skipped is a failure" summary_has complete "^FAILED   step 10,"
    # There is no stand-in for NCCL.
    expect "without NCCL its step is a failure" summary_has complete "^FAILED   step 14,"
    expect "the exit code says that one failed" exited_with complete 1
    for file in load limits load-first load-second twelve table pytorch-twelve triton-twelve cudnn-twelve inductor-twelve \
        pytorch-table plan-way=split; do
        expect "$file.jsonl has figures" test -s "$scratch/complete.results/$file.jsonl"
        expect "$file.jsonl is JSON" python3 -c \
            'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$scratch/complete.results/$file.jsonl"
    done
    expect "every row has a time" test "$(grep -c '"kind":"row"' "$scratch/complete.results/twelve.jsonl")" -eq 12
    expect "rows say what was launched for them" grep -q '"ran":"columns_on_chip_forward_' "$scratch/complete.results/twelve.jsonl"
    expect "rows of a plan say what was launched" grep -q '"ran":"columns_statistics.*, then columns_normalize' \
        "$scratch/complete.results/plan-way=split.jsonl"
    expect "loading says of what" grep -Eq '"machine_code":[0-9]+.*"ptx":[0-9]+' "$scratch/complete.results/load.jsonl"
    # Only plain passes are there in Triton and cuDNN's graphs.
    expect "every way has its rows" summary_has complete "^passed   step 5,.*; $(rows_of 4)\$"
    expect "the result is one file and a summary" test "$(ls -A "$scratch/complete" | tr '\n' ' ')" = "results.tar.gz summary.txt "

    # Other kernels than the right ones: the row has no time, and the step fails.
    rehearse kernels "$bundle/contents" "${driver[@]}" ONLY=3 STEP_SECONDS="$seconds" STAND_IN_FAULT="$fault"
    expect "wrong kernels fail the step" summary_has kernels "^FAILED   step 3,"
    expect "a wrong row says so" grep -q '"kind":"missing".*"why":"wrong: ' "$scratch/kernels.results/twelve.jsonl"

    # A kernel that takes its process along: what comes after its arrays is measured by another process.
    for number in FAULTING HANGING; do
        rehearse $number "$bundle/contents" "${driver[@]}" ONLY=3 STEP_SECONDS="$seconds" PATIENCE=20 STAND_IN_${number}_LAUNCH=40
        expect "$number: the step fails" summary_has $number "^FAILED   step 3,"
        expect "$number: all arrays are begun" test "$(grep -c '"kind":"begun"' "$scratch/$number.results/twelve.jsonl")" -eq 2
        for file in first last; do
            expect "$number: rows with channels $file" grep -q "\"kind\":\"row\".*channels $file" "$scratch/$number.results/twelve.jsonl"
        done
    done

    # What was measured becomes the model's.
    cp "$here/../../../src/gpu/plan/cost/constants.rs" "$scratch/"
    expect "the model takes what was measured" python3 "$here/../constants.py" "$scratch/complete.results/limits.jsonl" \
        "$scratch/constants.rs"
    expect "the model says that it was" test "$(grep -c ': measured(' "$scratch/constants.rs")" -ge 8
    expect "the model is Rust" rustfmt --edition 2024 "$scratch/constants.rs"
}

# What step 5 says in the summary, if cuDNN's graphs have so many rows.
rows_of() {
    echo "eager: 12 of 12 rows; benchmark: 12 of 12 rows; triton: 4 of 12 rows; cudnn: $1 of 12 rows; compile: 12 of 12 rows"
}

with_peers_that_fail() {
    local mode file rows='"kind": "row".*"seconds"'
    for mode in wrong failing full; do
        rehearse $mode "$bundle/contents" "${driver[@]}" ONLY=5,99 TORCH_STAND_IN=$mode
        expect "$mode peers fail the step" summary_has $mode "^FAILED   step 5,"
        expect "an unknown step fails" summary_has $mode "^FAILED   99: there is no such step"
        for file in pytorch-twelve inductor-twelve; do
            expect "$mode peers say why" grep -q '"why"' "$scratch/$mode.results/$file.jsonl"
            expect "$mode peers have no time" test "$(grep -c "$rows" "$scratch/$mode.results/$file.jsonl")" -eq 0
        done
    done
    for mode in crashing hanging; do
        rehearse "cudnn_$mode" "$bundle/contents" "${driver[@]}" ONLY=5 STEP_SECONDS="$seconds" CUDNN_STAND_IN=$mode
        expect "a $mode way fails the step" summary_has "cudnn_$mode" "^FAILED   step 5,"
        expect "a $mode way takes no other's rows along" summary_has "cudnn_$mode" \
            "; $(rows_of 0), exit code 1"
    done
    expect "a way that measures no row fails" bash -c '! python3 "$1" "$2" --seconds 0' - \
        "$here/../pytorch.py" "$bundle/contents/small.jsonl"
    expect "a row that was not begun in time is no failure" env "PYTHONPATH=$PYTHONPATH:$here/.." python3 -c \
        'import pytorch; assert pytorch.cell({"why": pytorch.LATE}, None) == "late"'
}

# A profiler and a sanitizer that end well and have looked at nothing.
with_blind_tools() {
    blind_tools "$scratch/blind"
    leaves_figures "$scratch/looked_at" ''
    rehearse blind "$scratch/looked_at" "PATH=$scratch/blind:$PATH" ONLY=9,11
    expect "no kernel in the profiler fails the step" summary_has blind "^FAILED   step 9,"
    expect "no word of the sanitizer fails the step" summary_has blind "^FAILED   step 11,"
}

with_failures() {
    local number
    played_by "$scratch/fails" 'echo "skipped nothing, failed"; exit 3'
    rehearse failing "$scratch/fails" ONLY=$all "PATH=$scratch/fails:$PATH"
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
        expect "step $number fails" summary_has failing "^FAILED   step $number,.*exit code"
    done
}

with_hangs() {
    local number start=$SECONDS marker="$scratch/hangs/hangs"
    # Neither it nor what it starts listens to TERM.
    played_by "$scratch/hangs" "trap '' TERM; exec -a $marker sleep 1000 & exec -a $marker sleep 1000"
    rehearse hanging "$scratch/hangs" ONLY=$all STEP_SECONDS=1 "PATH=$scratch/hangs:$PATH"
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
        expect "step $number is ended" summary_has hanging "^FAILED   step $number,.*ended at its limit of 1 s"
    done
    expect "a step that hangs costs its limit and little more" test $((SECONDS - start)) -le 90
    expect "nothing that hung is left" nothing_runs_as "$marker"
}

without_a_gpu() {
    rehearse none "$bundle/contents" ONLY=1
    expect "without a GPU the exit code is 2" exited_with none 2
    expect "without a GPU it says why" summary_has none "^no usable GPU: "
    expect "what is no bundle is refused" bash -c '! "$1" run "$2" "$2/out"' - "$script" "$scratch"
}

# What is asked for in a way that cannot be meant.
with_wrong_settings() {
    local setting
    for setting in ONLY=, ONLY=' ' ONLY='*' ONLY=x STEP_SECONDS=abc STEP_SECONDS=0 PACK_EVERY=-1; do
        rehearse refused "$bundle/contents" "$setting"
        expect "$setting is refused" exited_with refused 64
    done
    (cd "$scratch" && ONLY='3, 4' "$script" run "$bundle/contents" -dash >dash.log 2>&1)
    echo $? >"$scratch/dash.status"
    expect "a list of steps may have spaces, and a folder's name begin with a dash" exited_with dash 2
    # What is on a disk that no program may be run from looks so.
    cp -r "$bundle/contents" "$scratch/not_executable" && chmod -x "$scratch/not_executable/bin/gpu"
    rehearse refused "$scratch/not_executable"
    expect "where programs may not be run that is said" grep -q 'may not be executed' "$scratch/refused.log"
}

# What the steps of a call may take in all: their limits, the question which device there is, asked twice, and the end of each
# step. The machine ends a call after ten minutes.
limits() {
    local numbers total
    for numbers in "1 2 3 4 5 6 7 8" "9 10 11 12 13" 14; do
        total=$(
            here=$here/../..
            source "$here/gpu/run.sh"
            total=$((2 * (device_seconds + ending_seconds)))
            # What the second call does before its steps.
            [[ $numbers = "1 "* ]] || total=$((total + loading_seconds + ending_seconds))
            for number in $numbers; do
                total=$((total + step_seconds[number] + ending_seconds))
            done
            echo $total
        )
        echo "steps $numbers take $total s at most"
        expect "steps $numbers take nine minutes at most" test "$total" -le 540
    done
}

# A wrong merge of statistics, which shows in every row.
fault=${FAULT:-5}
# Of a step that is not to end at its limit: more where the processor has other work.
seconds=${REHEARSAL_SECONDS:-100}
mkdir -p "$scratch/library"
cp "$2" "$scratch/library/libcuda.so.1"
tools "$scratch/tools"
driver=("LD_LIBRARY_PATH=$scratch/library" "PATH=$scratch/tools:$PATH")
limits
kept &
with_failures &
with_hangs &
with_stand_ins &
with_peers_that_fail &
with_blind_tools &
without_a_gpu &
with_wrong_settings &
wait
if [ -s "$problems" ]; then
    cat "$problems"
    tail -n 30 "$scratch"/*.log
    exit 1
fi
sed 's/^/    /' "$scratch/complete/summary.txt"
echo "rehearsed in $SECONDS s"
