# Takes steps, each in its own time, and packs what they leave after every one. Sourced by benches/gpu.sh.

source "$here/gpu/results.sh"
source "$here/gpu/limited.sh"
source "$here/gpu/steps.sh"

# Seconds for loading the kernels before a call whose first step is another one, which this would take time from.
loading_seconds=60
# Seconds for the question which device there is, which may be asked twice.
device_seconds=${DEVICE_SECONDS:-20}

run() {
    local steps=() number
    read_settings
    open_folders "$1" "$2"
    answer_signals
    start_watching
    keep_earlier_results "${steps[@]}"
    if ! pack; then
        printf '%s cannot be written: nothing was begun\n' "$out" >&2
        exit 64
    fi
    if ! find_device; then
        say "no usable GPU: $(cat "$work/device.log")"
        say "nothing was checked on one and nothing measured"
        leave_results
        exit 2
    fi
    # Some machines shut the GPU down when nobody has it open, and every process would wait for it again.
    [ ! -r /dev/nvidia0 ] || exec 9</dev/nvidia0
    say "on $(cat "$scratch/device"), driver $(driver_version), $(date -u +%F), commit $(cat "$folder/commit")," \
        "kernels by $(cat "$folder/toolkit")"
    pack
    [[ " ${steps[*]} " = *" 1 "* ]] || load_kernels
    failures=0
    for number in "${steps[@]}"; do
        take "$number"
        pack
    done
    say "$failures failed, $SECONDS s"
    leave_results || failures=$((failures + 1))
    print_figures
    [ "$failures" -eq 0 ]
}

refuse() {
    printf '%s\n' "$1" >&2
    exit 64
}

# The numbers of the steps, to `steps`; and settings that are no numbers are refused.
read_settings() {
    local name number given
    for name in STEP_SECONDS DEVICE_SECONDS PACK_EVERY; do
        [[ ${!name:-1} =~ ^[1-9][0-9]*$ ]] || refuse "$name is a number of seconds from 1 on, got '${!name}'"
    done
    IFS=', ' read -ra given <<<"${ONLY:-1,2,3,4,5,6,7,8}"
    for number in "${given[@]}"; do
        # Between two commas.
        [ -n "$number" ] || continue
        [[ $number =~ ^[1-9][0-9]*$ ]] || refuse "ONLY is a list of steps such as 3,5, got '$ONLY'"
        steps+=("$number")
    done
    [ ${#steps[@]} -gt 0 ] || refuse "ONLY names no step: '$ONLY'"
}

# The folder for results, one for what is needed meanwhile, and the unpacked bundle.
open_folders() {
    local bundle=$1
    mkdir -p -- "$2" && out=$(cd -- "$2" && pwd) || exit 64
    scratch=$(mktemp -d) || exit 64
    keep_scratch=0 watcher=
    trap close_folders EXIT
    # What is packed, and what is not: the driver's compiled kernels, of this run alone.
    work=$scratch/results
    export CUDA_CACHE_PATH=$scratch/cache CUDA_CACHE_MAXSIZE=1073741824
    mkdir -p "$work" "$CUDA_CACHE_PATH"
    : >"$work/summary.txt"
    if [ -d "$bundle" ]; then
        folder=$(cd -- "$bundle" && pwd)
    else
        folder=$scratch/bundle
        mkdir -p "$folder" && tar -xzf "$bundle" -C "$folder" || exit 64
    fi
    [ -e "$folder/bin/gpu" ] || refuse "$bundle is no bundle: it has no bin/gpu. Make one: benches/gpu.sh build FOLDER"
    [ -x "$folder/bin/gpu" ] || refuse "$folder/bin/gpu may not be executed there: TMPDIR is to be a folder where programs may run"
}

close_folders() {
    [ -z "$watcher" ] || stop_watching
    [ $keep_scratch = 1 ] || rm -rf "$scratch"
}

# The name of the device to $scratch/device, or why there is none to device.log.
find_device() {
    local status
    ask_device && return
    status=$?
    # A driver that does not answer will not do so a second time.
    if [ $status -ne 124 ]; then
        # Where containers have the driver, should the loader not look there.
        export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/nvidia/lib64:/usr/local/nvidia/lib
        ask_device && return
        status=$?
    fi
    [ $status -ne 124 ] || printf 'it did not answer in %d s\n' "$device_seconds" >>"$work/device.log"
    return 1
}

# What the driver compiles for this is forgotten: the first process that wants kernels is step 1's.
ask_device() {
    CUDA_CACHE_DISABLE=1 limited "$device_seconds" "$folder/bin/gpu" device >"$scratch/device" 2>"$work/device.log"
}

driver_version() {
    local version
    version=$(grep -om 1 '[0-9][0-9]*\.[0-9.]*[0-9]' /proc/driver/nvidia/version 2>/dev/null | head -n 1)
    echo "${version:-unknown}"
}

# Should the driver refuse the machine code, it compiles the kernels here and not in the time of a step.
load_kernels() {
    local start=$SECONDS status
    limited "${STEP_SECONDS:-$loading_seconds}" "$folder/bin/gpu" load >"$work/load.log" 2>&1
    status=$?
    say "loading the kernels took $((SECONDS - start)) s, exit code $status"
}

# One step, in the time that it has; STEP_SECONDS gives all the same.
take() {
    local number=$1 start=$SECONDS status what more
    if ! declare -F "step_$number" >/dev/null; then
        say "FAILED   $number: there is no such step"
        failures=$((failures + 1))
        return
    fi
    step_limit=${STEP_SECONDS:-${step_seconds[$number]}}
    step_end=$((SECONDS + step_limit))
    limited "$step_limit" "step_$number" >"$work/step$number.log" 2>&1
    status=$?
    what="step $number, ${step_name[$number]}, $((SECONDS - start)) s"
    more=$(sed -n 's/^summary: //p' "$work/step$number.log" | paste -sd ';')
    what+=${more:+; ${more//;/; }}
    case $status in
    0) say "passed   $what" ;;
    124) say "FAILED   $what: ended at its limit of $step_limit s" ;;
    *) say "FAILED   $what, exit code $status" ;;
    esac
    [ $status -eq 0 ] && return
    failures=$((failures + 1))
    tail -n 8 "$work/step$number.log" 2>/dev/null
}

# What is wanted first, should only the end of what is printed come back.
print_figures() {
    local table
    for table in limits twelve pytorch-twelve triton-twelve cudnn-twelve inductor-twelve; do
        [ ! -e "$work/$table.md" ] || head -n 40 "$work/$table.md"
    done
} 2>/dev/null
