"""The ways that a row is computed, by their names: each makes the calls of a pass over some sets of arrays."""

import torch
import torch._dynamo
import torch._functorch.config
from torch._dynamo.utils import counters

import passes


class NotHere(Exception):
    """A way that this machine, or a pass, does not have."""


def eager(name, sets):
    """PyTorch as it is: it picks cuDNN or its own kernels."""
    torch.backends.cudnn.benchmark = False
    return list(passes.calls_of(name, passes.PASSES[name][0], sets))


def benchmark(name, sets):
    """With cuDNN trying out its algorithms first; cuDNN's batch norm may know one alone, and is then timed twice."""
    torch.backends.cudnn.benchmark = True
    return list(passes.calls_of(name, passes.PASSES[name][0], sets))


def compile(name, sets):
    """Inductor's kernels for this very shape: from the second shape on it would make some for any."""
    torch._dynamo.reset()
    counters.clear()
    torch._dynamo.config.accumulated_recompile_limit = 1 << 20
    # Past a limit it would run eagerly without a word.
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    # A backward pass that is called again and again cannot give away what the forward pass kept for it.
    torch._functorch.config.donated_buffer = False
    forward = torch.compile(passes.PASSES[name][0], dynamic=False, fullgraph=True)
    calls = list(passes.calls_of(name, forward, sets))
    calls[0]()
    if counters["stats"]["unique_graphs"] < 1:
        raise RuntimeError("nothing was compiled")
    return calls


def cudnn(name, sets):
    """cuDNN's fused engines, through its own Python package."""
    try:
        import cudnn_norm
    except ImportError as error:
        raise NotHere(str(error)) from error
    return cudnn_norm.calls_of(name, sets)


def triton(name, sets):
    """A batch norm in Triton."""
    try:
        import triton_norm
    except ImportError as error:
        raise NotHere(str(error)) from error
    return triton_norm.calls_of(name, sets)


WAYS = {way.__name__: way for way in (eager, benchmark, cudnn, triton, compile)}
