#!/usr/bin/env python3
"""Writes what was measured on a GPU into the model of the plan, over what was predicted.

    constants.py benches/results/FOLDER/limits.jsonl src/gpu/plan/cost/constants.rs

Those of H100 and H200 (`HOPPER`): step 1's figures, in the units of the model. What step 1 does not time stays predicted: a block's
begin, end and reductions, and the kernels' own counts.
"""

import json
import os
import re
import sys

HOPPER = re.compile(r"pub const HOPPER: DeviceConstants =\s.*?;\n", re.DOTALL)
NANOSECONDS, BYTES_PER_CLOCK = "NANOSECONDS", "BYTES_PER_CLOCK"
CLUSTERS = (2, 4, 8, 16)


class Figures:
    """Of one run of `gpu limits`."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.machine = next((line for line in lines if line["kind"] == "machine"), None)
        self.values = {line["what"]: line["value"] for line in lines if line["kind"] == "ceiling"}

    def __getitem__(self, what):
        value = self.values.get(what)
        # What could not be timed is no number, or one that no time is.
        if value is None or value <= 0.0:
            raise ValueError(f"there is no time or rate of {what!r}, but {value}")
        return value

    def again(self):
        """Shares of the cache, and the rate at which as much is read again, from the least on."""
        named = re.compile(r"read again, .*, (\d+) eighths of the cache")
        found = ((named.fullmatch(what), value) for what, value in self.values.items())
        return sorted((int(match[1]) / 8, value) for match, value in found if match)


def cached_share(again):
    """Up to which share of the cache reading again is nearer to the cache's rate than to the memory's."""
    rates = [rate for _, rate in again]
    middle = (max(rates) + min(rates)) / 2
    return max(min(share, 1.0) for share, rate in again if rate >= middle)


def measured(figures, block):
    """Name, value, unit and source of each constant; `block` is what the model takes for a block's begin and end."""
    machine = figures.machine
    clock = figures["the clock"]
    copy = max(figures["copy (bytes read and written)"], figures["copy by the driver"])
    barriers = {count: figures.values.get(f"a barrier of a cluster of {count}") for count in CLUSTERS}
    few, *_, many = (count for count, seconds in barriers.items() if seconds)
    of_few, of_many = barriers[few] * 1e9, barriers[many] * 1e9
    grid = figures[f"a barrier of {2 * machine['multiprocessors']} blocks"]
    cache = figures["an access to the cache"]
    if machine["memory_rate"]:
        share = copy / machine["memory_rate"]
        yield "copy_share", share, '"of the peak"', "the faster of two copies, of the peak that the driver reports"
    if machine["clock_khz"]:
        yield "clock_share", clock / (machine["clock_khz"] * 1e3), '"of the boost clock"', "clocks that one thread counted"
    yield "memory_latency", figures["an access to memory"] * 1e9, NANOSECONDS, "a chain of lines"
    yield "cache_latency", cache * 1e9, NANOSECONDS, "a chain of lines that had been gone through"
    most = max(rate for _, rate in figures.again())
    yield "cache_rate", most / clock / machine["multiprocessors"], BYTES_PER_CLOCK, "reading again at its fastest"
    yield "rate_alone", figures["read by one multiprocessor"] / clock, BYTES_PER_CLOCK, "one block that reads"
    yield "cache_share", cached_share(figures.again()), '"of the cache"', "up to where reading again is fast"
    launch = figures["an empty kernel in a graph"] * 1e9 - block
    yield "launch", launch, NANOSECONDS, "an empty kernel in a graph, without a block's begin and end"
    yield "cluster", 2 * of_few, NANOSECONDS, f"two barriers of a cluster of {few}"
    each = 2 * (of_many - of_few) / (many - few)
    yield "cluster_block", each, NANOSECONDS, f"two barriers of a cluster of {many}, beside one of {few}"
    yield "grid", (grid + cache) * 1e9, NANOSECONDS, "a barrier of two blocks of each multiprocessor, and a read"


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 64
    path, source = sys.argv[1:]
    figures = Figures(path)
    if not figures.machine or figures.machine["compute_capability"] != 90:
        print(f"{path} is not of an H100 or H200, whose constants these are", file=sys.stderr)
        return 1
    with open(source, encoding="utf-8") as file:
        text = file.read()
    block = float(re.search(r"\bblock: \w+\(\s*([\d.]+)", text)[1])
    run = f"{figures.machine['device']}, {os.path.basename(os.path.dirname(os.path.abspath(path)))}"
    fields = []
    for name, value, unit, how in measured(figures, block):
        if value <= 0.0:
            print(f"{name} stays predicted: {value:.3g} is no figure of {how}", file=sys.stderr)
            continue
        value = float(f"{value:.3g}")
        print(f"{name}: {value}")
        fields.append(f'    {name}: measured({value}, {unit}, "{run}: {how}"),\n')
    constant = f"pub const HOPPER: DeviceConstants = DeviceConstants {{\n{''.join(fields)}    ..PREDICTED_OF_HOPPER\n}};\n"
    text, count = HOPPER.subn(lambda _: constant, text, count=1)
    if count != 1:
        print(f"{source} has no constant HOPPER", file=sys.stderr)
        return 1
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
