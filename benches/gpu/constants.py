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
EMPTY = "an empty kernel in a graph"


class Figures:
    """Of one run of `gpu limits`."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            # A last line that was cut off has no end.
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        self.machine = next((line for line in lines if line["kind"] == "machine"), None)
        self.values = {line["what"]: line["value"] for line in lines if line["kind"] == "ceiling"}

    def __getitem__(self, what):
        value = self.values.get(what)
        # What could not be timed is no number, or one that no time is.
        if value is None or value <= 0.0:
            raise ValueError(f"there is no time or rate of {what!r}, but {value}")
        return value

    def again(self):
        """Shares of the cache, and the rate at which as much is read again once it has begun, from the least on."""
        named = re.compile(r"read again, .*, (\d+) eighths of the cache")
        found = ((named.fullmatch(what), value) for what, value in self.values.items())
        shares = sorted((int(match[1]) / 8, value) for match, value in found if match)
        if not shares:
            raise ValueError("nothing was read again")
        launch, cache = self[EMPTY], self.machine["l2_bytes"]
        # What is timed has a launch in it, which the model counts beside.
        seconds = [(share, share * cache / rate - launch) for share, rate in shares]
        rates = [(share, share * cache / rest) for share, rest in seconds if rest > 0.0]
        if not rates:
            raise ValueError("reading again took no longer than a launch")
        return rates


def cached_share(again):
    """Up to which share of the cache reading again is nearer to the cache's rate than to the memory's."""
    rates = [rate for _, rate in again]
    middle = (max(rates) + min(rates)) / 2
    return max(min(share, 1.0) for share, rate in again if rate >= middle)


def rate_of_copy(figures):
    """Of the faster of two copies."""
    return max(figures["copy (bytes read and written)"], figures["copy by the driver"])


def barriers(figures):
    """The least and the most blocks of a cluster that took a barrier, and its nanoseconds."""
    taken = [count for count in CLUSTERS if figures.values.get(f"a barrier of a cluster of {count}")]
    if len(taken) < 2:
        raise ValueError(f"barriers of two sizes of a cluster are needed, and {len(taken)} were timed")
    few, many = min(taken), max(taken)
    return few, figures[f"a barrier of a cluster of {few}"] * 1e9, many, figures[f"a barrier of a cluster of {many}"] * 1e9


def cluster(figures):
    few, of_few, _, _ = barriers(figures)
    return 2 * of_few, f"two barriers of a cluster of {few}"


def cluster_block(figures):
    few, of_few, many, of_many = barriers(figures)
    return 2 * (of_many - of_few) / (many - few), f"two barriers of a cluster of {many}, beside one of {few}"


def cache_rate(figures):
    most = max(rate for _, rate in figures.again())
    rate = most / figures["the clock"] / figures.machine["multiprocessors"]
    return rate, "reading again at its fastest, without the launch"


def grid(figures):
    barrier = figures[f"a barrier of {2 * figures.machine['multiprocessors']} blocks"]
    return (barrier + figures["an access to the cache"]) * 1e9, "a barrier of two blocks of each multiprocessor, and a read"


def constants_of(block):
    """Name, unit, and what makes value and source of a run's figures; `block` is what the model takes for a block's begin and
    end."""
    return [
        (
            "copy_share",
            '"of the peak"',
            lambda of: (
                rate_of_copy(of) / of.machine["memory_rate"],
                "the faster of two copies, of the peak that the driver reports",
            ),
        ),
        (
            "clock_share",
            '"of the boost clock"',
            lambda of: (of["the clock"] / (of.machine["clock_khz"] * 1e3), "clocks that one thread counted"),
        ),
        ("memory_latency", NANOSECONDS, lambda of: (of["an access to memory"] * 1e9, "a chain of lines")),
        (
            "cache_latency",
            NANOSECONDS,
            lambda of: (of["an access to the cache"] * 1e9, "a chain of lines that had been gone through"),
        ),
        ("cache_rate", BYTES_PER_CLOCK, cache_rate),
        (
            "rate_alone",
            BYTES_PER_CLOCK,
            lambda of: (of["read by one multiprocessor"] / of["the clock"], "one block that reads"),
        ),
        (
            "cache_share",
            '"of the cache"',
            lambda of: (cached_share(of.again()), "up to where reading again is fast"),
        ),
        (
            "launch",
            NANOSECONDS,
            lambda of: (of[EMPTY] * 1e9 - block, "an empty kernel in a graph, without a block's begin and end"),
        ),
        ("cluster", NANOSECONDS, cluster),
        ("cluster_block", NANOSECONDS, cluster_block),
        ("grid", NANOSECONDS, grid),
    ]


def measured(figures, block):
    """Name, value, unit and source of each constant that the figures are enough for. What the others lack is said."""
    for name, unit, of in constants_of(block):
        try:
            value, how = of(figures)
        except (ValueError, ZeroDivisionError) as error:
            print(f"{name} stays predicted: {error}", file=sys.stderr)
            continue
        if value <= 0.0:
            print(f"{name} stays predicted: {value:.3g} is no figure of {how}", file=sys.stderr)
            continue
        yield name, float(f"{value:.3g}"), unit, how


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
