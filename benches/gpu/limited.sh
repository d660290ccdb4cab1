# Runs a step in a time of its own and leaves nothing of it behind, however it or this script ends. Sourced by benches/gpu/run.sh,
# which gives it $scratch.

# Seconds between two packings within a step: what is ended from outside loses no more than these.
pack_every=${PACK_EVERY:-5}
# The longest that it takes to end a step.
ending_seconds=3
# The process group of the step that runs.
running=

# So many seconds at most. 124: it was ended.
limited() {
    local seconds=$1 end packed=$SECONDS status
    shift
    set -m
    # By this variable a process is found that has left the group.
    (export BATCHNORM_STEP_OF=$scratch && "$@") </dev/null &
    running=$!
    set +m
    echo "$running" >"$scratch/running"
    end=$((SECONDS + seconds))
    while kill -0 "$running" 2>/dev/null; do
        if [ $SECONDS -ge $end ]; then
            end_running
            return 124
        fi
        if [ $((SECONDS - packed)) -ge "$pack_every" ]; then
            packed=$SECONDS
            pack
        fi
        sleep 0.1
    done
    wait "$running"
    status=$?
    end_running
    return $status
}

# Asks what runs to end, and then does not ask. What even that does not end (it may wait for a driver) is left alone.
end_running() {
    local signal
    [ -n "$running" ] || return 0
    for signal in TERM KILL; do
        kill -s $signal -- "-$running" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 -- "-$running" 2>/dev/null || break 2
            sleep 0.1
        done
    done
    end_those_that_left
    disown "$running" 2>/dev/null
    running=
    rm -f "$scratch/running"
}

# A daemon that a step started has a group of its own, and still the step's environment.
end_those_that_left() {
    local process
    for process in $(grep -lszxF "BATCHNORM_STEP_OF=$scratch" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3); do
        kill -KILL "$process" 2>/dev/null
    done
}

# The signals that ask this script to end, as `timeout` and a closed terminal do.
answer_signals() {
    trap 'interrupted TERM 143' TERM
    trap 'interrupted INT 130' INT
    trap 'interrupted HUP 129' HUP
    # Nobody who reads what is printed any more is no reason to end.
    trap '' PIPE
}

interrupted() {
    trap '' TERM INT HUP
    say "ended from outside by $1, $SECONDS s"
    # First, since whoever asked may not wait.
    pack
    end_running
    leave_results
    exit "$2"
}

# Waits beside the script for the end of it that no script hears of (KILL).
watch_over() {
    # A process that ended and that nobody waited for has no program any more.
    while [ -e /proc/$$/exe ]; do
        sleep 0.5
    done
    running=$(cat "$scratch/running" 2>/dev/null)
    end_running
    pack && rm -rf "$scratch"
}

start_watching() {
    set -m
    watch_over </dev/null >/dev/null 2>&1 &
    watcher=$!
    set +m
    # Of no interest to those who wait for what a step started.
    disown "$watcher"
}

stop_watching() {
    kill -KILL -- "-$watcher" 2>/dev/null
}
