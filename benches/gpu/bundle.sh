# One file with all that a GPU machine needs: programs, their data and the scripts. Sourced by benches/gpu.sh.

# It travels to machines that take no more.
most_bytes=$((32 << 20))

build() {
    set -e
    local folder=$1 profile=${PROFILE:-release} contents name
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    contents=$folder/contents
    rm -rf "$contents"
    mkdir -p "$contents/bin" "$contents/golden"
    cd "$here/.."
    need_nvcc
    export BATCHNORM_REQUIRE_NVCC=1 BATCHNORM_CUDA_ARCHITECTURES=${ARCHITECTURE:-90}
    # Machine code too: the assembler takes most of a minute for all kernels, and so would the driver, where every second counts.
    export BATCHNORM_CUDA_CUBINS=$BATCHNORM_CUDA_ARCHITECTURES
    # Bindings that need nothing of the driver that came after CUDA 12.0.
    export CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-12000}
    # In one run, so that what they share is compiled once; and without the library that draws charts.
    cargo build --profile "$profile" --message-format=json-render-diagnostics \
        -p batchnorm -p cuda-machine -p gpu-bench -p roofline --no-default-features --features batchnorm/default,batchnorm/cuda,cuda-machine/nccl \
        --test golden --test cuda --bench gpu --bin roofline >"$folder/built.json"
    for name in golden cuda gpu roofline; do
        cp "$(executable "$name" "$folder/built.json")" "$contents/bin/$name"
    done
    [ -z "${CANDLE:-}" ] || cp "$CANDLE" "$contents/bin/candle"
    strip "$contents"/bin/*
    cp -r tests/golden/cases tests/golden/expected "$contents/golden/"
    for name in twelve table small; do
        "$contents/bin/gpu" list --rows "$name" >"$contents/$name.jsonl"
    done
    cp -r benches/gpu.sh benches/gpu "$contents/"
    git describe --always --abbrev=40 --exclude='*' --dirty >"$contents/commit" 2>/dev/null ||
        echo "not in a repository" >"$contents/commit"
    toolkit "$folder/built.json" >"$contents/toolkit"
    tar -czf "$folder/bundle.tar.gz" -C "$contents" .
    printf 'glibc that it needs: %s\n' "$(newest_glibc "$contents"/bin/*)"
    ls -l "$contents/bin" "$folder/bundle.tar.gz"
    if [ "$(stat -c %s "$folder/bundle.tar.gz")" -gt $most_bytes ]; then
        printf '%s has more than %d bytes\n' "$folder/bundle.tar.gz" $most_bytes >&2
        return 1
    fi
}

# The path of a program, by what cargo said that it made.
executable() {
    grep -F "\"name\":\"$1\"" "$2" | grep -o '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}

# Which nvcc made kernels, as the text that it wrote for the benchmark says.
toolkit() {
    local out
    out=$(grep -o '"out_dir":"[^"]*/workload-[^"]*"' "$1" | tail -n 1 | cut -d '"' -f 4)
    grep -m 1 -o 'Cuda compilation tools, release.*' "$out/ceilings.ptx"
}

# The newest version of glibc's functions that programs call.
newest_glibc() {
    objdump -T "$@" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1
}

# nvcc, from PyPI where there is none.
need_nvcc() {
    local environment=${CARGO_TARGET_DIR:-target}/nvcc
    if [ -n "${NVCC:-}${CUDA_HOME:-}${CUDA_PATH:-}" ] || command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
        return
    fi
    python3 -m venv "$environment"
    "$environment/bin/pip" install -q -r benches/gpu/nvcc.txt
    CUDA_HOME=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/nvidia/cu13")')
    export CUDA_HOME
}
