#!/usr/bin/env python3
"""The rows of benches/gpu through PyTorch on the same GPU, beside this crate's figures, in one table.

    pytorch.py FIGURES.json [--json OUT.json]

FIGURES.json is what the benchmark wrote. Each row is timed alike: CUDA events around a replayed graph of many calls, with
arrays that rotate so that none is found in the cache. `eager` is torch.nn.functional.batch_norm on an array of the row's
layout (where PyTorch itself picks cuDNN or its own kernels), `compile` the same through torch.compile.
"""

import argparse
import json
import statistics
import sys

import torch
import torch._dynamo
from torch.nn import functional

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
REPLAYS = 11
MOST_SETS = 64


class Arrays:
    """One set of a layer's arrays."""

    def __init__(self, dims, layout, dtype, seed):
        generator = torch.Generator("cuda").manual_seed(seed)

        def random():
            array = torch.empty(dims, dtype=dtype, device="cuda")
            if layout == "channels last":
                last = torch.channels_last_3d if len(dims) == 5 else torch.channels_last
                array = array.to(memory_format=last)
            return array.normal_(1.0, 2.0, generator=generator)

        channels = dims[1]
        # Parameters and statistics of half arrays are f32, as ours are.
        self.weight = torch.rand(channels, device="cuda", generator=generator).add_(0.5)
        self.bias = torch.randn(channels, device="cuda", generator=generator)
        self.mean = torch.ones(channels, device="cuda")
        self.variance = torch.full((channels,), 4.0, device="cuda")
        self.x, self.dy, self.residual = random(), random(), random()
        for array in (self.x, self.weight, self.bias, self.residual):
            array.requires_grad_(True)


def training(a):
    return functional.batch_norm(a.x, None, None, a.weight, a.bias, training=True)


def frozen(a):
    return functional.batch_norm(a.x, a.mean, a.variance, a.weight, a.bias, training=False)


def add_relu(a):
    return functional.relu(training(a) + a.residual)


# The row's pass: the forward function, and whether its backward is what is timed (else no gradient is kept track of).
PASSES = {
    "forward": (training, False),
    "backward": (training, True),
    "inference": (frozen, False),
    "frozen backward": (frozen, True),
    "forward, add, ReLU": (add_relu, False),
    "backward, add, ReLU": (add_relu, True),
}


def calls_of(name, forward, sets):
    """One function a set; called, it starts the pass."""

    def wanted(a):
        return (a.x, a.weight, a.bias) + ((a.residual,) if "add" in name else ())

    backward = PASSES[name][1]
    for a in sets:
        if backward:
            y = forward(a)
            yield lambda a=a, y=y: torch.autograd.grad(y, wanted(a), a.dy, retain_graph=True)
        else:

            def call(a=a):
                # A training step's forward keeps what its backward needs, an inference nothing.
                with torch.set_grad_enabled(name != "inference"):
                    return forward(a)

            yield call


def seconds(name, forward, sets, count):
    """The median time of one call, in a graph of `count` calls."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        calls = list(calls_of(name, forward, sets))
        for call in calls * 2:
            call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for i in range(count):
            calls[i % len(calls)]()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    with torch.cuda.stream(stream):
        for replay in range(REPLAYS + 1):
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            if replay > 0:
                times.append(start.elapsed_time(end) / 1e3 / count)
    return statistics.median(times)


def measure(rows, l2_bytes):
    """PyTorch's seconds for each row, or the words why not; each of a shape's rows with the same arrays."""
    arrays_of, sets = None, []
    for number, row in enumerate(rows):
        of = (tuple(row["dims"]), row["layout"], row["dtype"])
        element = torch.finfo(DTYPES[row["dtype"]]).bits // 8
        values = torch.Size(row["dims"]).numel()
        found = {}
        try:
            if of != arrays_of:
                sets = []
                torch.cuda.empty_cache()
                many = min(1 + 3 * l2_bytes // (2 * values * element), MOST_SETS)
                sets = [Arrays(of[0], of[1], DTYPES[of[2]], seed) for seed in range(many)]
                arrays_of = of
            count = max(10, min(200, 10_000_000_000 // row["bytes"]))
            count = -(-count // len(sets)) * len(sets)
            forward = PASSES[row["pass"]][0]
            for way, function in (("eager", forward), ("compile", torch.compile(forward))):
                try:
                    found[way] = seconds(row["pass"], function, sets, count)
                except Exception as error:  # noqa: BLE001 - a row that fails is a row that says so
                    found[way] = f"{type(error).__name__}: {error}".splitlines()[0]
        except torch.cuda.OutOfMemoryError as error:
            arrays_of = None
            found = {way: f"no memory: {error}".splitlines()[0] for way in ("eager", "compile")}
        yield found
        print(f"{number + 1}/{len(rows)} {of} {row['pass']} {found}", file=sys.stderr, flush=True)


def cell(value, ours):
    if isinstance(value, str):
        return "failed"
    return f"{value * 1e6:.2f} ({value / ours:.2f}x)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures")
    parser.add_argument("--json", help="where PyTorch's figures go")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU here: nothing was measured", file=sys.stderr)
        return 2
    with open(arguments.figures, encoding="utf-8") as file:
        figures = json.load(file)
    rows = figures["rows"]
    # Every row of a set of arrays is compiled anew for its shape.
    torch._dynamo.config.cache_size_limit = 4096
    theirs = list(measure(rows, figures["machine"]["l2_bytes"]))
    cudnn = torch.backends.cudnn.version()
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}; {torch.cuda.get_device_name()}\n")
    print("Median microseconds, and how many times ours.\n")
    print("| N x C x ... | layout | type | pass | ours | share of the copy | PyTorch | torch.compile |")
    print("|---|---|---|---|---|---|---|---|")
    failures = []
    for row, their in zip(rows, theirs):
        dims, ours = "x".join(map(str, row["dims"])), row["seconds"]
        share = row["bytes"] / ours / figures["copy_limit"]
        cells = [cell(their[way], ours) for way in ("eager", "compile")]
        print(f"| {dims} | {row['layout']} | {row['dtype']} | {row['pass']} | {ours * 1e6:.2f} | {share:.2f} | {' | '.join(cells)} |")
        failures += [f"{dims}, {row['layout']}, {row['dtype']}, {row['pass']}, {way}: {what}" for way, what in their.items() if isinstance(what, str)]
    for failure in failures:
        print(f"\nfailed: {failure}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump([{**row, **their} for row, their in zip(rows, theirs)], file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
