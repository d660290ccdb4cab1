# The steps, in the order of their worth: should the time end, the first ones are there. Sourced by benches/gpu/run.sh, which gives
# them $folder (the bundle), $work (where results go), and the step's $step_limit and $step_end in seconds.

source "$here/gpu/programs.sh"

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
    "the kernels compiled by the driver"
    "ranks through NCCL"
)
step_seconds=(0 30 60 20 20 90 60 120 60 45 90 120 60 90 30)

# With SMALL=1, little enough for a stand-in for the GPU (benches/gpu/rehearsal): every line runs, and no figure means anything.
if [ "${SMALL:-0}" = 1 ]; then
    twelve=small table=small calls=2 patience=${PATIENCE:-60}
    contract=contract::a_constant_gives_exactly_beta bits=bits::split golden=(three_steps)
    sanitized=$contract plans=(way=split way=on-chip,cluster=4)
    processor=(--shape 8x16x8x8 --rounds 2)
    profiled=(dims=2x8x4x4)
else
    twelve=twelve table=table calls=200 patience=8
    contract=contract:: bits=bits:: golden=()
    sanitized=contract::backward_of_large_arrays_matches_the_textbook
    plans=(way=split way=on-chip,cluster={1,2,4,8,16} way=ticketed,group={1,4,16} way=pipelined,group={1,4,16} way=pipelined,places={2,3}
        way=persistent way=on-chip,cluster={8,16},threads=128 way=on-chip,columns={8,16,32} way=persistent,columns={8,16,32})
    # A forward and a backward pass each.
    profiled=(dims=32x64x112x112 dims=32x256x56x56 'dims=32x1024x14x14;layout=channels first')
    # The shapes of the twelve rows that an image network has.
    processor=(--shape 32x64x112x112,32x256x56x56,32x1024x14x14,32x512x7x7 --rounds 9)
fi
python=${PYTHON:-python3}

step_1() {
    local failed=0 watching=
    # While the limits are measured: the clocks of a GPU that works.
    if command -v nvidia-smi >/dev/null; then
        timeout -k 1 "$(left)" nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv -lms 500 \
            >"$work/nvidia-smi.csv" 2>&1 &
        watching=$!
    fi
    # A first process, and a second.
    "$folder/bin/gpu" load --json "$work/load.jsonl" || failed=1
    "$folder/bin/gpu" load --json "$work/load-again.jsonl" || failed=1
    "$folder/bin/gpu" limits --json "$work/limits.jsonl" | tee "$work/limits.md" || failed=1
    if command -v nvidia-smi >/dev/null; then
        kill $watching 2>/dev/null
        timeout -k 1 "$(least 8 "$(left)")" nvidia-smi -q >"$work/nvidia-smi-q.txt" 2>&1
    fi
    return $failed
}

step_2() {
    # Gigabytes of PyTorch's libraries are read for the first time here, where nothing is timed, and not in the time of step 5.
    timeout -k 1 "$(left)" "$python" -c 'import torch, torch._dynamo, torch._inductor.compile_fx, triton
torch.zeros(1, device="cuda"), torch.backends.cudnn.version()' >"$work/pytorch-first.log" 2>&1 &
    check contract "$folder/bin/cuda" "$contract"
}

step_3() {
    rows twelve $twelve "$(left)"
}

step_4() {
    local failed=0
    check bits timeout -k 1 "$(hundredths 70)" "$folder/bin/cuda" "$bits" || failed=1
    BATCHNORM_GOLDEN=$folder/golden check golden "$folder/bin/golden" "${golden[@]}" --nocapture || failed=1
    return $failed
}

step_5() {
    local failed=0
    # A process each: what one does to itself, or how long it takes, the others do not notice.
    peers pytorch-twelve twelve $twelve eager,benchmark "$(hundredths 32)" || failed=1
    peers triton-twelve twelve $twelve triton "$(hundredths 20)" || failed=1
    peers cudnn-twelve twelve $twelve cudnn "$(hundredths 14)" || failed=1
    # Last, since a row takes its compiler seconds.
    peers inductor-twelve twelve $twelve compile "$(left)" || failed=1
    return $failed
}

step_6() {
    local way
    # At once: most of the time goes into the processor's textbook.
    for way in split on-chip ticketed pipelined persistent; do
        BATCHNORM_PLAN=way=$way check "contract-$way" "$folder/bin/cuda" "$contract" &
    done
    all_of_them
}

step_7() {
    local failed=0
    rows table $table "$(hundredths 52)" --seconds "$(hundredths 46)" || failed=1
    peers pytorch-table table $table eager "$(left)" || failed=1
    return $failed
}

step_8() {
    local plan failed=0
    for plan in "${plans[@]}"; do
        # A plan that hangs leaves time for the others.
        BATCHNORM_PLAN=$plan rows "plan-$plan" $twelve "$(hundredths 20)" >"$work/plan-$plan.log" 2>&1 || failed=1
        grep '^summary: ' "$work/plan-$plan.log"
    done
    return $failed
}

step_9() {
    local ncu only failed=0
    ncu=$(tool ncu) || return 1
    # A run for each, which leaves its figures should the time end in the next.
    for only in "${profiled[@]}"; do
        profile "ncu-${only//[^a-z0-9=]/-}" "$ncu" "$folder/bin/gpu" once --rows $twelve --only "$only" || failed=1
    done
    return $failed
}

step_10() {
    check graphs_streams_large "$folder/bin/cuda" graph:: ranks:: streams:: large::
}

step_11() {
    local sanitizer which way options seconds failed=0
    sanitizer=$(tool compute-sanitizer) || return 1
    for which in memcheck racecheck synccheck; do
        options=(--tool $which --error-exitcode 9)
        # The last one has what is left.
        [ $which = synccheck ] && seconds=$(left) || seconds=$(half)
        # What the driver refuses (a cluster of 16, say) the program hears of itself.
        [ $which = memcheck ] && options+=(--report-api-errors no)
        for way in split on-chip ticketed pipelined persistent; do
            BATCHNORM_PLAN=way=$way check_sanitized "$which-$way" timeout -k 1 "$seconds" "$sanitizer" "${options[@]}" \
                "$folder/bin/cuda" "$sanitized" &
        done
        all_of_them || failed=1
    done
    return $failed
}

step_12() {
    local dtype failed=0
    if [ -x "$folder/bin/candle" ]; then
        check candle timeout -k 1 "$(half)" "$folder/bin/candle" cuda || failed=1
    else
        # In the summary, where "passed" could be read as of both.
        echo "summary: candle is not compared, the bundle was built without CANDLE"
    fi
    for dtype in f32 f16; do
        "$folder/bin/roofline" "${processor[@]}" --dtype $dtype --json "$work/processor-$dtype.json" |
            tee "$work/processor-$dtype.md" || failed=1
    done
    return $failed
}

# Without the machine code of the bundle the driver compiles the kernels for a first process, and keeps them for a second.
step_13() {
    compile_by_driver load-first "$(hundredths 80)" && compile_by_driver load-second "$(left)"
}

# One rank, and two on this GPU, which NCCL allows from 2.30 on. Where the system has no NCCL, PyTorch may have brought one.
step_14() {
    local nccl
    nccl=$(timeout -k 1 "$(half)" "$python" -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0] + "/lib")' 2>/dev/null)
    export NCCL_MULTI_RANK_GPU_ENABLE=1 LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}${nccl:+:$nccl}
    check nccl timeout -k 1 "$(left)" "$folder/bin/cuda" nccl::
}
