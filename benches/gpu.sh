#!/usr/bin/env bash
# Everything there is to check and measure on a GPU, in a quarter of an hour, from a bundle that is built elsewhere.
#
#     benches/gpu.sh build FOLDER       where there is Rust: FOLDER/bundle.tar.gz, with kernels of one architecture
#     benches/gpu.sh run BUNDLE [OUT]   where there is a GPU: bash is enough; OUT (results) gets summary.txt, results.tar.gz
#
# `run` takes twelve steps in the order of their worth (benches/gpu/steps.sh). Each has its own time: one that fails or hangs costs
# that and nothing else, and what was reached is packed after every step. It exits with 0 if all that was asked for passed, 1 if
# something failed, and 2 if there is no usable GPU.
#
# ONLY=1,2,3,4,5,6,7,8 are the steps: these take less than nine minutes by their limits, and ONLY=9,10,11,12 is for a second call.
# ARCHITECTURE=90 is what is built for, PROFILE=dev builds sooner, and CANDLE=PROGRAM takes along a test of the feature candle-cuda
# that was built before. PYTHON=python3 is the interpreter that may have PyTorch.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

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
