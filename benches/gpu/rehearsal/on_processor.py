#!/usr/bin/env python3
"""Takes small rows through PyTorch itself where there is no GPU: what `pytorch.py` makes of them, a line of JSON each.

    on_processor.py ROWS.jsonl eager,benchmark,compile
    TRITON_INTERPRET=1 on_processor.py ROWS.jsonl triton

Arrays are the processor's, graphs are not replayed, and times mean nothing: results are held against the textbook, and PyTorch's
own functions are given what they are given on a GPU.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import types

import torch
import torch._dynamo
import torch._inductor.compile_fx


def given_to_the_processor(function):
    def called(*arguments, **named):
        if named.get("device") == "cuda":
            named["device"] = "cpu"
        return function(*arguments, **named)

    return called


class Generator(torch.Generator):
    def __new__(cls, device):
        return super().__new__(cls, "cpu")


class Stream:
    cuda_stream = 0

    def synchronize(self):
        pass


class Graph:
    def replay(self):
        pass


class Event:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = time.monotonic()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return (end.time - self.time) * 1e3 + 1e-3


@contextlib.contextmanager
def nothing(*_, **__):
    yield


def play_a_gpu():
    for name in ("empty", "ones", "rand", "randn", "full"):
        setattr(torch, name, given_to_the_processor(getattr(torch, name)))
    torch.Generator = Generator
    torch.cuda.get_device_properties = lambda ordinal: types.SimpleNamespace(L2_cache_size=1 << 10)
    torch.cuda.Stream = torch.cuda.current_stream = Stream
    torch.cuda.Event = Event
    torch.cuda.CUDAGraph = Graph
    torch.cuda.stream = torch.cuda.graph = nothing
    torch.cuda.empty_cache = lambda: None


play_a_gpu()
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import pytorch  # noqa: E402 - with a GPU that is played

rows, ways = sys.argv[1:]
arguments = argparse.Namespace(rows=rows, ways=ways, calls=2, seconds=1e9)
sys.exit(0 if pytorch.measure(arguments, {}, lambda line: print(json.dumps(line))) else 1)
