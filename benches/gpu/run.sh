# Takes steps, each in its own time, and packs what they leave after every one. Sourced by benches/gpu.sh.

source "$here/gpu/steps.sh"

# Seconds between two packings within a step: should everything be ended from outside, no more than these are lost.
pack_every=${PACK_EVERY:-20}

run() {
    local bundle=$1 device steps number
    mkdir -p "$2" && out=$(cd "$2" && pwd) || exit 64
    scratch=$(mktemp -d) || exit 64
    trap 'rm -rf "$scratch"' EXIT
    # What is packed, and what is not: the driver's compiled kernels, of this run alone.
    work=$scratch/results
    export CUDA_CACHE_PATH=$scratch/cache CUDA_CACHE_MAXSIZE=1073741824
    mkdir -p "$work" "$CUDA_CACHE_PATH"
    if [ -d "$bundle" ]; then
        folder=$(cd "$bundle" && pwd)
    else
        folder=$scratch/bundle
        mkdir -p "$folder" && tar -xzf "$bundle" -C "$folder" || exit 64
    fi
    if [ ! -x "$folder/bin/gpu" ]; then
        printf '%s is no bundle: it has no bin/gpu. Make one: benches/gpu.sh build FOLDER\n' "$bundle" >&2
        exit 64
    fi
    if ! device=$(ask_device); then
        # Where containers have the driver, should the loader not look there.
        export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/nvidia/lib64:/usr/local/nvidia/lib
        if ! device=$(ask_device); then
            say "no usable GPU: $(cat "$work/device.log")"
            say "nothing was checked on one and nothing measured"
            pack
            exit 2
        fi
    fi
    say "on $device, $(date -u +%F), commit $(cat "$folder/commit"), kernels by $(cat "$folder/toolkit")"
    steps=${ONLY:-1,2,3,4,5,6,7,8}
    case ,$steps, in
    *,1,*) ;;
    # Should the driver refuse the machine code, it compiles the kernels here and not in the time of a step.
    *) limited "${STEP_SECONDS:-60}" "$folder/bin/gpu" load >"$work/load.log" 2>&1 ;;
    esac
    failures=0
    for number in $(tr ',' ' ' <<<"$steps"); do
        take "$number"
        pack
    done
    say "$failures failed, $SECONDS s"
    pack
    # What is wanted first, should only the end of what this prints come back.
    tail -n 40 "$work/limits.md" "$work/pytorch-twelve.md" 2>/dev/null
    [ "$failures" -eq 0 ]
}

# The device, or why there is none. What the driver compiles for this is forgotten: the first process that wants kernels is
# step 1's.
ask_device() {
    CUDA_CACHE_DISABLE=1 timeout 60 "$folder/bin/gpu" device 2>"$work/device.log"
}

# One step, in the time that it has; STEP_SECONDS gives all the same.
take() {
    local number=$1 start=$SECONDS status seconds
    if ! declare -F "step_$number" >/dev/null; then
        say "FAILED   $number: there is no such step"
        failures=$((failures + 1))
        return
    fi
    seconds=${STEP_SECONDS:-${step_seconds[$number]}}
    limited "$seconds" "step_$number" >"$work/step$number.log" 2>&1
    status=$?
    local what="step $number, ${step_name[$number]}, $((SECONDS - start)) s"
    case $status in
    0) say "passed   $what" ;;
    124) say "FAILED   $what: ended at its limit of $seconds s" ;;
    *) say "FAILED   $what, exit code $status" ;;
    esac
    [ $status -eq 0 ] && return
    failures=$((failures + 1))
    tail -n 8 "$work/step$number.log"
}

# Runs something in a process group of its own for so many seconds at most, and leaves nothing of the group behind. 124: it was
# ended.
limited() {
    local seconds=$1 group end packed=$SECONDS
    shift
    set -m
    "$@" </dev/null &
    group=$!
    set +m
    end=$((SECONDS + seconds))
    while kill -0 "$group" 2>/dev/null; do
        if [ $SECONDS -ge $end ]; then
            end_group "$group"
            return 124
        fi
        if [ $((SECONDS - packed)) -ge $pack_every ]; then
            packed=$SECONDS
            pack
        fi
        sleep 0.1
    done
    wait "$group"
    local status=$?
    kill -KILL -- "-$group" 2>/dev/null
    return $status
}

# Asks a process group to end, and then does not ask. What even that does not end (it may wait for a driver) is left alone.
end_group() {
    local signal
    for signal in TERM KILL; do
        kill -s $signal -- "-$1" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 -- "-$1" 2>/dev/null || return
            sleep 0.1
        done
    done
    disown "$1" 2>/dev/null
}

say() {
    printf '%s\n' "$*" | tee -a "$work/summary.txt"
}

# All results so far, in one file that is whole at any time.
pack() {
    cp "$work/summary.txt" "$out/summary.txt"
    # A file that grows meanwhile is packed as far as it is.
    tar -czf "$scratch/results.tar.gz" -C "$work" . 2>/dev/null
    cp "$scratch/results.tar.gz" "$out/.results.tar.gz" && mv "$out/.results.tar.gz" "$out/results.tar.gz"
}
