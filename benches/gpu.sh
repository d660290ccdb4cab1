#!/usr/bin/env bash
# Everything there is to check and measure on a GPU, in a quarter of an hour, from a bundle that is built elsewhere.
#
#     benches/gpu.sh build FOLDER       where there is Rust: FOLDER/bundle.tar.gz, with kernels of one architecture
#     benches/gpu.sh run BUNDLE [OUT]   where there is a GPU: bash is enough; OUT (results) gets summary.txt, results.tar.gz
#
# `run` takes steps in the order of their worth (benches/gpu/steps.sh). Each has its own time: one that fails or hangs costs that and
# nothing else, and what was reached is packed after every step. It exits with 0 if all that was asked for passed, 1 if something
# failed, 2 if there is no usable GPU, and 64 if it cannot begin as it was asked.
#
# ONLY=1,2,3,4,5,6,7,8 are the steps: these take less than nine minutes by their limits, and ONLY=9,10,11,12,13 is for a second call,
# ONLY=14 for a third.
# STEP_SECONDS=60 gives every step the same time, DEVICE_SECONDS=20 is that of the question which device there is, and PACK_EVERY=5
# is how often a step's results are packed while it runs.
# ARCHITECTURE=90 is what is built for, PROFILE=dev builds sooner, and CANDLE=PROGRAM takes along a test of the feature candle-cuda
# that was built before. PYTHON=python3 is the interpreter that may have PyTorch.
set -uo pipefail

unset CDPATH
here=$(cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 64
}

case "${1:-}:$#" in
build:2)
    source "$here/gpu/bundle.sh"
    build "$2"
    ;;
run:2 | run:3)
    source "$here/gpu/run.sh"
    run "$2" "${3:-results}"
    ;;
*) usage ;;
esac
