# What a run leaves: lines of a summary, and one file with everything. Sourced by benches/gpu/run.sh, which gives it $out, $scratch
# and $work.

# A log is packed as far as this from either end: one that was printed without end would leave no room for figures.
log_bytes=200000
# Some machines send nothing back that is larger than 16 MiB.
most_packed_bytes=$((15 << 20))

# To the file first: what is printed may have no reader any more.
say() {
    printf '%s\n' "$*" >>"$work/summary.txt"
    printf '%s\n' "$*" 2>/dev/null
}

# What earlier calls left in the same folder stays there, and this call's results come beside it. Of steps that are taken again the
# earlier results are kept in a folder of their own. Takes the numbers of the steps.
keep_earlier_results() {
    local number kept=1
    [ -e "$out/results.tar.gz" ] || return 0
    if ! tar -xzf "$out/results.tar.gz" -C "$work"; then
        say "the results of an earlier call cannot be unpacked: they stay as they are, in earlier.tar.gz"
        mv --backup=numbered "$out/results.tar.gz" "$out/earlier.tar.gz"
        return
    fi
    for number in "$@"; do
        [ -e "$work/step$number.log" ] || continue
        while [ -e "$work/earlier-$kept" ]; do
            kept=$((kept + 1))
        done
        mkdir "$work/earlier-$kept"
        find "$work" -mindepth 1 -maxdepth 1 ! -name 'earlier-*' -exec cp -r {} "$work/earlier-$kept/" \;
        return
    done
}

# All results so far, in one file that is whole at any time. Fails, and leaves the file as it was, if they cannot be written.
pack() {
    local new=$out/.results.tar.gz status instead=() left_out=()
    cut_long_logs
    tar -czf "$new" -C "$work" "${left_out[@]}" . "${instead[@]}"
    status=$?
    # 1: a file grew meanwhile, and is packed as far as it was.
    if [ $status -gt 1 ] || ! gzip -t "$new" || ! mv "$new" "$out/results.tar.gz"; then
        rm -f "$new"
        return 1
    fi
    cp "$work/summary.txt" "$out/summary.txt"
} 2>/dev/null

# Begin and end of the logs that are too long, to $scratch/cut: tar leaves out what is in `left_out`, and packs what is in `instead`.
# A log may be written to meanwhile, so it stays as it is.
cut_long_logs() {
    local log
    rm -rf "$scratch/cut"
    mkdir -p "$scratch/cut"
    for log in "$work"/*.log; do
        [ -e "$log" ] && [ "$(stat -c %s "$log")" -gt $((2 * log_bytes)) ] || continue
        {
            head -c $log_bytes "$log"
            printf '\n[...]\n'
            tail -c $log_bytes "$log"
        } >"$scratch/cut/${log##*/}"
        instead+=(-C "$scratch/cut" "${log##*/}")
        left_out+=(--exclude="./${log##*/}")
    done
}

# The last word on where the results are. Fails if they are not where they should be.
leave_results() {
    if ! pack; then
        keep_scratch=1
        printf '%s cannot be written: the results are in %s\n' "$out" "$work" >&2
        return 1
    fi
    if [ "$(stat -c %s "$out/results.tar.gz")" -gt $most_packed_bytes ]; then
        say "results.tar.gz has more than $most_packed_bytes bytes"
    fi
}
