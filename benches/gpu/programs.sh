# The bundle's programs, PyTorch and NVIDIA's tools, and whether what one left is a result. Sourced by benches/gpu/steps.sh.

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

# The same under compute-sanitizer, which can be there and look at nothing: it must say that it found nothing.
check_sanitized() {
    local name=$1
    check "$@" || return 1
    grep -Eq 'ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards' "$work/$name.log" && return
    printf 'FAILED   %s: the sanitizer does not say that it found nothing\n' "$name"
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

# How many rows of a set have a time in a file of figures, for the summary; of one way, if it is named. Fails if none has.
count_rows() {
    local name=$1 set=$2 way=${3:-} found
    found=$(grep -c "\"kind\": *\"row\".*${way:+\"way\": \"$way\".*}\"seconds\":" "$work/$name.jsonl")
    printf 'summary: %s: %d of %d rows\n' "${way:-$name}" "${found:-0}" "$(grep -c . "$folder/$set.jsonl")"
    [ "${found:-0}" -gt 0 ]
}

# A set of rows of ours, in so many seconds at most. A kernel that faults or hangs takes its process along, and costs its own arrays
# alone: what comes after them is measured by another process.
rows() {
    local name=$1 set=$2 end=$((SECONDS + $3)) status=0 failed=0 begun=0 before=-1 seconds
    shift 3
    : >"$work/$name.jsonl"
    : >"$work/$name.md"
    while [ "$begun" -gt "$before" ] && [ $SECONDS -lt $end ]; do
        before=$begun seconds=$((end - SECONDS)) status=0
        timeout -k 1 "$seconds" "$folder/bin/gpu" rows --rows "$set" --calls $calls --json "$work/$name.part" \
            --skip "$begun" --patience $patience "$@" | tee -a "$work/$name.md" || status=$?
        cat "$work/$name.part" >>"$work/$name.jsonl"
        [ $status -eq 0 ] || failed=$status
        # Its context was lost, or it ended itself by a signal.
        [ $status -eq 3 ] || [ $status -eq 134 ] || [ $status -eq 139 ] || break
        begun=$(grep -c '"kind":"begun"' "$work/$name.jsonl")
    done
    rm -f "$work/$name.part"
    count_rows "$name" "$set" || failed=1
    return $failed
}

# Seconds that the step still has, less what it takes to end a program and to begin a last row.
left() {
    local seconds=$((step_end - SECONDS - 2))
    echo $((seconds > 1 ? seconds : 1))
}

# A part of the step's time, in hundredths; no more than is left of it.
hundredths() {
    least "$((step_limit * $1 / 100))" "$(left)"
}

# For a program that others come after: should it hang, they have as much again.
half() {
    least "$(($(left) / 2))" "$(left)"
}

# Of two numbers of seconds; not 0, which `timeout` takes for no end.
least() {
    local seconds=$(($1 < $2 ? $1 : $2))
    echo $((seconds > 1 ? seconds : 1))
}

# A set of rows through some ways of PyTorch's in so many seconds, beside ours of the same set if they were measured.
peers() {
    local name=$1 ours=$2 set=$3 ways=$4 seconds=$5 way failed=0
    # No row is begun in the last of it. Nothing is compiled in processes that outlive this one.
    TORCHINDUCTOR_CACHE_DIR=$CUDA_CACHE_PATH/inductor TRITON_CACHE_DIR=$CUDA_CACHE_PATH/triton TORCHINDUCTOR_COMPILE_THREADS=1 \
        timeout -k 1 "$seconds" "$python" "$here/gpu/pytorch.py" "$folder/$set.jsonl" --ours "$work/$ours.jsonl" --calls $calls \
        --json "$work/$name.jsonl" --ways "$ways" --seconds $((seconds - seconds / 6 - 1)) | tee "$work/$name.md" || failed=$?
    [ $failed -ne 124 ] && [ $failed -ne 137 ] || printf '%s was ended after its %d s\n' "$name" "$seconds"
    for way in ${ways//,/ }; do
        # A way that is not on this machine has no rows; pytorch.py fails where one that is there has none.
        count_rows "$name" "$set" "$way" || true
    done
    return $failed
}

# How long one process takes to have every kernel while the driver compiles them all, in so many seconds at most.
compile_by_driver() {
    local name=$1 seconds=$2 status
    CUDA_FORCE_PTX_JIT=1 CUDA_CACHE_PATH=$CUDA_CACHE_PATH/compiled \
        timeout -k 1 "$seconds" "$folder/bin/gpu" load --json "$work/$name.jsonl"
    status=$?
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then
        printf '{"kind":"load","more_than_seconds":%d}\n' "$seconds" | tee "$work/$name.jsonl"
    fi
    return $status
}

# One pass or two in the profiler, to a file. That can end well and have looked at nothing, where counters are not allowed.
profile() {
    local name=$1 ncu=$2
    shift 2
    # The clocks stay as they are.
    timeout -k 1 "$(half)" "$ncu" --clock-control none --set full --kernel-name-base function \
        --kernel-name 'regex:(forward|backward|statistics|normalize)' --csv --page raw --log-file "$work/$name.csv" "$@" || return 1
    # The line of a kernel begins with its number.
    grep -Eq '^"[0-9]+",' "$work/$name.csv" && return
    printf 'FAILED   %s: no kernel was profiled: %s\n' "$name" "$(grep -m 1 ERROR "$work/$name.csv")"
    return 1
}
