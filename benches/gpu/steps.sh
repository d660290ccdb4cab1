# The twelve steps, in the order of their worth: should the time end, the first ones are there. Sourced by benches/gpu/run.sh, which
# gives them $folder (the bundle) and $work (where results go).

step_name=(
    ""
    "the device and its limits"
    "the contract suite as planned"
    "twelve rows"
    "the bits of the SIMT host, and PyTorch's golden cases"
    "twelve rows through PyTorch and others"
    "the contract suite in each other strategy"
    "the table, and through PyTorch"
    "plans on six shapes"
    "six kernels in a profiler"
    "graphs, two streams, 2^31 values"
    "memcheck, racecheck, synccheck"
    "candle, and this machine's processor"
)
step_seconds=(0 90 60 20 20 90 60 120 60 45 90 120 60)

# With SMALL=1, little enough for a stand-in for the GPU (benches/gpu/rehearsal): every line runs, and no figure means anything.
if [ "${SMALL:-0}" = 1 ]; then
    twelve=small table=small calls=2
    contract=contract::a_constant_gives_exactly_beta bits=bits::split golden=(three_steps)
    sanitized=$contract plans=(way=split way=on-chip,cluster=4)
    processor=(--shape 8x16x8x8 --rounds 2)
    profiled=(dims=2x8x4x4)
else
    twelve=twelve table=table calls=200
    contract=contract:: bits=bits:: golden=()
    sanitized=contract::backward_of_large_arrays_matches_the_textbook
    plans=(way=split way=on-chip,cluster={1,2,4,8,16} way=ticketed,group={1,4,16} way=persistent
        way=on-chip,columns={8,32} way=persistent,columns={8,32})
    # A forward and a backward pass each.
    profiled=(dims=32x64x112x112 dims=32x256x56x56 'dims=32x1024x14x14;layout=channels first')
    # The shapes of the twelve rows that an image network has.
    processor=(--shape 32x64x112x112,32x256x56x56,32x1024x14x14,32x512x7x7 --rounds 9)
fi
python=${PYTHON:-python3}

# A program that tests, its log beside the others'. A GPU is there, so nothing has a reason to be skipped; and a filter that finds
# no test any more would pass as well.
check() {
    local name=$1 log=$work/$1.log status
    shift
    "$@" >"$log" 2>&1
    status=$?
    if [ $status -eq 0 ] && ! grep -q '^skipped' "$log" && grep -q '^test result: ok. [1-9]' "$log"; then
        printf 'passed   %s: %s\n' "$name" "$(grep -h '^test result' "$log" | tail -n 1)"
        return 0
    fi
    printf 'FAILED   %s, exit code %d: %s\n' "$name" $status "$(grep -m 1 '^skipped' "$log")"
    tail -n 40 "$log"
    return 1
}

# Waits for all that was started with &. Fails if one failed.
all_of_them() {
    local one failed=0
    for one in $(jobs -p); do
        wait "$one" || failed=1
    done
    return $failed
}

# One of NVIDIA's tools, which may be installed beside the PATH.
tool() {
    local found
    for found in "$(command -v "$1")" /usr/local/cuda/bin/"$1" /opt/nvidia/nsight-compute/*/"$1"; do
        if [ -x "$found" ]; then
            printf '%s\n' "$found"
            return
        fi
    done
    echo "skipped: $1 is not on this machine" >&2
    return 1
}

step_1() {
    local which failed=0
    "$folder/bin/gpu" load --json "$work/load.jsonl" || failed=1
    "$folder/bin/gpu" limits --json "$work/limits.jsonl" | tee "$work/limits.md" || failed=1
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi >"$work/nvidia-smi.txt" 2>&1
        nvidia-smi -q >"$work/nvidia-smi-q.txt" 2>&1
    fi
    # Without the machine code of the bundle the driver compiles the kernels for a first process, and keeps them for a second.
    for which in first second; do
        CUDA_FORCE_PTX_JIT=1 "$folder/bin/gpu" load --json "$work/load-$which.jsonl" || failed=1
    done
    return $failed
}

step_2() {
    check contract "$folder/bin/cuda" "$contract"
}

rows() {
    local name=$1
    shift
    "$folder/bin/gpu" rows --calls $calls --json "$work/$name.jsonl" "$@" | tee "$work/$name.md"
}

step_3() {
    rows twelve --rows $twelve
}

step_4() {
    local failed=0
    check bits "$folder/bin/cuda" "$bits" || failed=1
    BATCHNORM_GOLDEN=$folder/golden check golden "$folder/bin/golden" "${golden[@]}" --nocapture || failed=1
    return $failed
}

# A set of rows through some ways of PyTorch's, beside ours of the same name if they were measured.
peers() {
    local name=$1 of=$2 set=$3
    shift 3
    # Nothing is compiled in processes that outlive this one.
    TORCHINDUCTOR_CACHE_DIR=$CUDA_CACHE_PATH/inductor TRITON_CACHE_DIR=$CUDA_CACHE_PATH/triton TORCHINDUCTOR_COMPILE_THREADS=1 \
        "$python" "$here/gpu/pytorch.py" "$folder/$set.jsonl" --ours "$work/$of.jsonl" --calls $calls \
        --json "$work/$name.jsonl" "$@" | tee "$work/$name.md"
}

step_5() {
    local failed=0
    peers pytorch-twelve twelve $twelve --ways eager,benchmark,cudnn,triton --seconds 30 || failed=1
    # Last, since a row takes its compiler seconds.
    peers inductor-twelve twelve $twelve --ways compile --seconds 40 || failed=1
    return $failed
}

step_6() {
    local way
    # At once: most of the time goes into the processor's textbook.
    for way in split on-chip ticketed persistent; do
        BATCHNORM_PLAN=way=$way check "contract-$way" "$folder/bin/cuda" "$contract" &
    done
    all_of_them
}

step_7() {
    local failed=0
    rows table --rows $table --seconds 55 || failed=1
    peers pytorch-table table $table --ways eager --seconds 50 || failed=1
    return $failed
}

step_8() {
    local plan failed=0
    for plan in "${plans[@]}"; do
        BATCHNORM_PLAN=$plan rows "plan-$plan" --rows $twelve || failed=1
    done
    return $failed
}

step_9() {
    local ncu only number=0 failed=0
    ncu=$(tool ncu) || return 1
    # A run for each, which leaves its figures should the time end in the next. The clocks stay as they are.
    for only in "${profiled[@]}"; do
        number=$((number + 1))
        "$ncu" --clock-control none --set full --kernel-name-base function --kernel-name 'regex:(forward|backward)' \
            --csv --page raw --log-file "$work/ncu-$number.csv" "$folder/bin/gpu" once --rows $twelve --only "$only" || failed=1
    done
    return $failed
}

step_10() {
    check graphs_streams_large "$folder/bin/cuda" graph:: streams:: large::
}

step_11() {
    local sanitizer which way options failed=0
    sanitizer=$(tool compute-sanitizer) || return 1
    for which in memcheck racecheck synccheck; do
        options=(--tool $which --error-exitcode 9)
        # What the driver refuses (a cluster of 16, say) the program hears of itself.
        [ $which = memcheck ] && options+=(--report-api-errors no)
        for way in split on-chip ticketed persistent; do
            BATCHNORM_PLAN=way=$way check "$which-$way" "$sanitizer" "${options[@]}" "$folder/bin/cuda" "$sanitized" &
        done
        all_of_them || failed=1
    done
    return $failed
}

step_12() {
    local dtype failed=0
    if [ -x "$folder/bin/candle" ]; then
        check candle "$folder/bin/candle" cuda || failed=1
    else
        echo "candle is not compared: the bundle was built without CANDLE"
    fi
    for dtype in f32 f16; do
        "$folder/bin/roofline" "${processor[@]}" --dtype $dtype --json "$work/processor-$dtype.json" |
            tee "$work/processor-$dtype.md" || failed=1
    done
    return $failed
}
