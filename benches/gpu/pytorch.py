#!/usr/bin/env python3
"""Rows through PyTorch and others on the same GPU, beside this crate's figures if there are some.

    pytorch.py ROWS.jsonl --ways eager,compile [--ours FIGURES.jsonl] [--json OUT.jsonl] [--seconds 80]

ROWS.jsonl is what `gpu list` prints. Each row is timed as ours: CUDA events around a replayed graph of many calls, with arrays that
rotate so that none is found in the cache, inputs and outputs both; and the same bytes are counted. A result that is not the
textbook's has no time. Rows are printed and written as they are measured, and after so many seconds none is begun.
"""

import time

# Before PyTorch, whose import takes seconds of the time that was given.
START = time.monotonic()

import argparse
import importlib.metadata
import json
import statistics
import sys

import torch

import passes
from ways import WAYS, NotHere

REPLAYS = 11
COPIED = 1 << 30  # bytes
# Relative to the value and to 1: two units in the last place of f16 and bf16, and of f32 what sums in another order differ by.
TOLERANCE = {"f32": 2.0**-12, "f16": 2.0**-9, "bf16": 2.0**-6}


def count_of(row, sets, most):
    """A few milliseconds of calls, and every set as often as every other."""
    count = min(max(10, 10_000_000_000 // row["bytes"]), most)
    return -(-count // len(sets)) * len(sets)


def seconds(calls, count):
    """The time of one call in a graph of `count`: the least, the median and the most; and what the last replay gave for the first set."""
    # That of the forward passes as well, in which PyTorch runs their backward passes: another could not be captured.
    stream = torch.cuda.current_stream()
    for call in calls * 2:
        call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    # What is kept here is not written by the next call: otherwise all outputs were one array, which stays in the cache.
    kept = [None] * len(calls)
    with torch.cuda.graph(graph, stream=stream):
        for number in range(count):
            kept[number % len(calls)] = calls[number % len(calls)]()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for replay in range(REPLAYS + 1):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        if replay > 0:
            times.append(start.elapsed_time(end) / 1e3 / count)
    return min(times), statistics.median(times), max(times), kept[0]


# Of sums over a channel, relative to how many values it has.
TOLERANCE_OF_SUMS = 2.0**-16


def wrong(row, found, a):
    """In what an output is not the textbook's, or None."""
    found = [found] if isinstance(found, torch.Tensor) else found
    (first, certain), *sums = passes.expected(row["pass"], a)
    off = (found[0].detach().double() - first).abs() / (first.abs() + 1.0)
    worst = off[certain].max().item()
    # NaN is no smaller than anything.
    if not worst <= TOLERANCE[row["dtype"]]:
        return f"wrong: off by {worst:.3g} of the value"
    values = first.numel() // row["dims"][1]
    for name, array, expected in zip(("the gradient of weight", "the gradient of bias"), found[1:], sums):
        worst = (array.detach().double().reshape(expected.shape) - expected).abs().max().item() / values
        if not worst <= TOLERANCE_OF_SUMS:
            return f"wrong: {name} is off by {worst:.3g} for each value of a channel"
    return None


def measured(row, way, sets, most):
    """A row's figures, or why it has none."""
    try:
        calls = list(WAYS[way](row["pass"], sets))
        least, median, longest, found = seconds(calls, count_of(row, sets, most))
        failure = wrong(row, found, sets[0])
        if failure:
            return {"why": failure}
        return {"least": least, "seconds": median, "most": longest}
    except NotHere as error:
        return {"why": f"not here: {error}"}
    except Exception as error:  # noqa: BLE001 - a row that fails is a row that says so
        return {"why": reason(error)}


def reason(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def key(row):
    return tuple(row["dims"]), row["layout"], row["dtype"], row["pass"]


def lines(path):
    """The objects of a file; none if there is no such file, and without a last line that was cut off."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)
    except FileNotFoundError:
        return


LATE = "not begun in time"
# What a table says of rows without a time that are no failures.
SHORT = {"not here": "-", LATE: "late"}


def cell(found, ours):
    if "why" in found:
        return next((short for start, short in SHORT.items() if found["why"].startswith(start)), "failed")
    microseconds = f"{found['seconds'] * 1e6:.2f}"
    return f"{microseconds} ({found['seconds'] / ours['seconds']:.2f}x)" if ours else microseconds


def measure(arguments, ours, write):
    """Whether every row that was begun has a time in every way that is here, and every such way has a row."""
    ways, failed = arguments.ways.split(","), set()
    end = START + arguments.seconds
    timed, here = set(), set(ways)
    sets, sets_of = [], None
    rows = list(lines(arguments.rows))
    for number, row in enumerate(rows):
        if time.monotonic() >= end:
            print(f"\n{len(rows) - number} of {len(rows)} rows were not begun in time.", flush=True)
            break
        try:
            if sets_of != key(row)[:3]:
                sets, sets_of = [], None
                torch.cuda.empty_cache()
                sets, sets_of = passes.sets_of(row), key(row)[:3]
        except Exception as error:  # noqa: BLE001 - as in `measured`: the rows behind it are measured
            unprepared = {"why": reason(error)}
        else:
            unprepared = None
        found = {}
        for way in ways:
            late = {"why": LATE} if time.monotonic() >= end else None
            found[way] = unprepared or late or measured(row, way, sets, arguments.calls)
            # At once: the next way may end the process.
            write({"kind": "row", "way": way, **row, **found[way]})
            if "why" not in found[way]:
                timed.add(way)
            elif found[way]["why"].startswith("not here"):
                here.discard(way)
            elif found[way]["why"] != LATE:
                failed.add(way)
        mine = ours.get(key(row))
        cells = [f"{mine['seconds'] * 1e6:.2f}" if mine else "-"] + [cell(found[way], mine) for way in ways]
        dims = "x".join(map(str, row["dims"]))
        print(f"| {dims} | {row['layout']} | {row['dtype']} | {row['pass']} | {' | '.join(cells)} |", flush=True)
        for way in ways:
            if "why" in found[way]:
                print(f"{dims}, {row['layout']}, {row['dtype']}, {row['pass']}, {way}: {found[way]['why']}", file=sys.stderr)
    return not failed and here <= timed


def copy_limit():
    """Bytes a second that a copy of PyTorch's reads and writes, in the same process as the rows; or why there is none."""
    try:
        x, y = (torch.randn(COPIED // 4, device="cuda") for _ in range(2))
        _, median, _, _ = seconds([lambda: y.copy_(x)], 10)
        return {"value": 2 * COPIED / median}
    except Exception as error:  # noqa: BLE001 - as in `measured`
        return {"why": reason(error)}


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows")
    parser.add_argument("--ways", default="eager", help=f"some of {','.join(WAYS)}")
    parser.add_argument("--ours", default="", help="this crate's figures")
    parser.add_argument("--json", help="where the figures go, a line of JSON each")
    parser.add_argument("--seconds", type=float, default=1e9, help="of the whole program's, after which no row is begun")
    parser.add_argument("--calls", type=int, default=200, help="the most calls of a graph that is timed")
    arguments = parser.parse_args()
    unknown = set(arguments.ways.split(",")) - set(WAYS)
    if unknown:
        parser.error(f"there is no way {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU here: nothing was measured", file=sys.stderr)
        return 2
    ours = {key(line): line for line in lines(arguments.ours) if line["kind"] == "row"}
    file = open(arguments.json, "w", encoding="utf-8") if arguments.json else None

    def write(line):
        if file:
            print(json.dumps(line), file=file, flush=True)

    versions = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn-frontend": version_of("nvidia-cudnn-frontend"),
        "triton": version_of("triton"),
        "device": torch.cuda.get_device_name(),
    }
    write({"kind": "versions", **versions})
    print(", ".join(f"{name} {version}" for name, version in versions.items()) + "\n")
    print("Median microseconds, and how many times ours.\n")
    head = ["N x C x ...", "layout", "type", "pass", "ours"] + arguments.ways.split(",")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)
    # Not the default stream, which no graph captures.
    with torch.cuda.stream(torch.cuda.Stream()):
        write({"kind": "copy_limit", **copy_limit()})
        torch.cuda.empty_cache()
        return 0 if measure(arguments, ours, write) else 1


if __name__ == "__main__":
    sys.exit(main())
