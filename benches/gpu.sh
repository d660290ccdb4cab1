#!/usr/bin/env bash
# Everything there is to check and measure on a GPU, in one go, from binaries built elsewhere.
#
#     benches/gpu.sh build FOLDER       where there are Rust and nvcc: builds, and collects what is needed in FOLDER
#     benches/gpu.sh run FOLDER [OUT]   where there is a GPU: bash is enough; results go to OUT (FOLDER/results)
#
# `run` tries the contract suite as planned and in each way there is to plan, the golden cases, graphs, two streams, and
# more than 2^31 values; compute-sanitizer's memcheck, racecheck and synccheck over the contract suite, if it is there;
# then measures what the memory can do and every row of the table, and the same rows through PyTorch, if PYTHON (python3)
# has it. It exits with 0 if all of that passed, 1 if something failed, and 2 if there is no usable GPU: then nothing is
# measured.
#
# PROFILE=dev builds sooner, to try this script; QUICK=1 measures batches of 32 only; SANITIZER_SECONDS (600) is how long
# each of compute-sanitizer's runs may take: one that is not finished then has failed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 64
}

# The path of the program that cargo says it made last.
executable() {
    grep -o '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}

build() {
    local folder=$1 profile=${PROFILE:-release} name program
    set -e
    mkdir -p "$folder/golden-cases"
    folder=$(cd "$folder" && pwd)
    cd "$here/.."
    export BATCHNORM_REQUIRE_NVCC=1
    # Bindings that need nothing of the driver that came after CUDA 12.0.
    export CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-12000}
    for name in contract golden; do
        program=$(cargo test --profile "$profile" --features cuda --test "$name" --no-run --message-format=json | executable)
        cp "$program" "$folder/$name"
    done
    program=$(cargo test --profile "$profile" -p cuda-machine --test cuda --no-run --message-format=json | executable)
    cp "$program" "$folder/cuda"
    program=$(cargo bench --profile "$profile" -p benches --features cuda --bench gpu --no-run --message-format=json | executable)
    cp "$program" "$folder/bench"
    cp -r tests/golden/cases tests/golden/expected "$folder/golden-cases/"
    cp benches/gpu.sh benches/gpu/pytorch.py "$folder/"
    git rev-parse HEAD >"$folder/commit" 2>/dev/null || echo "not in a repository" >"$folder/commit"
    printf 'collected in %s:\n' "$folder"
    ls -l "$folder"
}

failures=0

# One check: its name, and the command. What it prints is kept in OUT/NAME.log and shown if it fails.
check() {
    local name=$1 log=$out/$1.log start=$SECONDS status
    shift
    "$@" >"$log" 2>&1
    status=$?
    if [ $status -eq 0 ] && ! grep -q '^skipped' "$log"; then
        say "passed   $name, $((SECONDS - start)) s: $(grep -h '^test result' "$log" | tail -n 1)"
    elif [ $status -eq 0 ]; then
        # A GPU is there, so nothing has a reason to be skipped.
        say "FAILED   $name, skipped: $(grep -m 1 '^skipped' "$log")"
        failures=$((failures + 1))
    else
        say "FAILED   $name, $((SECONDS - start)) s, exit code $status; the end of $log:"
        tail -n 40 "$log"
        failures=$((failures + 1))
    fi
}

say() {
    printf '%s\n' "$*" | tee -a "$out/checks.txt"
}

# The contract suite with kernels of each kind: arrays of a test's size fit on chip, so the others must be asked for.
contract() {
    local way
    check contract "$folder/contract" cuda::
    for way in split on-chip ticketed persistent; do
        BATCHNORM_PLAN=way=$way check "contract-$way" "$folder/contract" cuda::
    done
}

sanitize() {
    local tool way
    if ! command -v compute-sanitizer >/dev/null; then
        say "skipped  compute-sanitizer: it is not on this machine"
        return
    fi
    for tool in memcheck racecheck synccheck; do
        for way in on-chip ticketed persistent split; do
            # The two left out are the longest, and differ from others in nothing that these tools see.
            BATCHNORM_PLAN=way=$way check "$tool-$way" timeout "${SANITIZER_SECONDS:-600}" \
                compute-sanitizer --tool "$tool" --error-exitcode 1 "$folder/contract" cuda:: \
                --skip streamed --skip runs_change_no_bit --test-threads 1
        done
    done
}

measure() {
    local options=()
    [ "${QUICK:-0}" = 1 ] && options+=(--quick)
    {
        printf 'Measured %s, commit %s.\n\n' "$(date -u +%F)" "$(cat "$folder/commit")"
        "$folder/bench" ${options[@]+"${options[@]}"} --json "$out/figures.json"
    } >"$out/gpu.md" 2>"$out/bench.log"
    local status=$?
    cat "$out/gpu.md"
    if [ $status -ne 0 ]; then
        say "FAILED   the benchmark, exit code $status: $(tail -n 3 "$out/bench.log")"
        failures=$((failures + 1))
        return
    fi
    say "passed   the benchmark: $out/gpu.md, $out/figures.json"
    local python=${PYTHON:-python3}
    if ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
        say "skipped  the comparison with PyTorch: $python has none that sees the GPU"
        return
    fi
    if "$python" "$folder/pytorch.py" "$out/figures.json" --json "$out/pytorch.json" \
        >"$out/pytorch.md" 2>"$out/pytorch.log"; then
        cat "$out/pytorch.md"
        say "passed   the comparison with PyTorch: $out/pytorch.md"
    else
        say "FAILED   the comparison with PyTorch: $(tail -n 3 "$out/pytorch.log")"
        failures=$((failures + 1))
    fi
}

run() {
    folder=$(cd "$1" && pwd) || exit 64
    out=$2
    mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 64
    : >"$out/checks.txt"
    for program in bench contract cuda golden; do
        if [ ! -x "$folder/$program" ]; then
            say "there is no $folder/$program: run 'benches/gpu.sh build $folder' first"
            exit 64
        fi
    done
    local device
    if ! device=$("$folder/bench" --device 2>"$out/bench.log"); then
        say "no usable GPU: $(cat "$out/bench.log")"
        say "nothing was checked on one and nothing measured"
        exit 2
    fi
    say "on $device"
    contract
    BATCHNORM_GOLDEN=$folder/golden-cases check golden "$folder/golden" --nocapture
    check graph_streams_large "$folder/cuda"
    sanitize
    measure
    say "$failures failed"
    [ $failures -eq 0 ]
}

case "${1:-}:$#" in
build:2) build "$2" ;;
run:2 | run:3) run "$2" "${3:-$2/results}" ;;
*) usage ;;
esac
