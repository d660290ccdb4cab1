"""Stands in for PyTorch where there is no GPU, so that every line of the scripts beside it runs: arrays have a shape and no values,
and a time is that of doing nothing. `TORCH_STAND_IN=wrong`, `failing` or `full` makes results wrong, calls fail, or memory end."""

import contextlib
import os
import sys
import time
import types

MODE = os.environ.get("TORCH_STAND_IN", "")

__version__ = "a stand-in"
float32, float16, bfloat16, float64, bool, uint8 = "float32", "float16", "bfloat16", "float64", "bool", "uint8"


class Size(tuple):
    def numel(self):
        count = 1
        for one in self:
            count *= one
        return count


class Tensor:
    def __init__(self, shape, dtype=float32, worst=0.0):
        self.shape, self.dtype, self.worst = Size(shape), dtype, worst

    def same(self, *_, **__):
        return self

    detach = normal_ = add_ = copy_ = requires_grad_ = abs = max = __sub__ = __add__ = __radd__ = __truediv__ = __gt__ = __getitem__ = same

    def movedim(self, source, destination):
        shape = list(self.shape)
        shape.insert(destination, shape.pop(source))
        return Tensor(shape, self.dtype)

    def double(self):
        return Tensor(self.shape, float64, self.worst)

    def item(self):
        return 1.0 if MODE == "wrong" else self.worst

    def numel(self):
        return self.shape.numel()

    def dim(self):
        return len(self.shape)

    def size(self):
        return self.shape

    def stride(self, axis=None):
        strides = [Size(self.shape[after + 1 :]).numel() for after in range(len(self.shape))]
        return strides if axis is None else strides[axis]

    def reshape(self, shape):
        return Tensor([self.numel() if one == -1 else one for one in shape], self.dtype)


def empty(shape, dtype=float32, device=None):
    if MODE == "full":
        raise cuda.OutOfMemoryError("there is none left")
    return Tensor(shape if isinstance(shape, (tuple, list)) else (shape,), dtype)


def rand(count, device=None, generator=None):
    return empty(count)


def full(shape, value, device=None):
    return empty(shape)


def empty_like(array, dtype=None):
    return Tensor(array.shape, dtype or array.dtype)


randn, ones, ones_like = rand, empty, empty_like


def finfo(dtype):
    return types.SimpleNamespace(bits=32 if dtype == float32 else 16)


class Generator:
    def __init__(self, device):
        assert device == "cuda"

    def manual_seed(self, seed):
        return self


@contextlib.contextmanager
def nothing(*_, **__):
    yield


set_grad_enabled = nothing


def compile(function, dynamic, fullgraph):
    assert not dynamic and fullgraph

    def compiled(*arguments):
        counters["stats"]["unique_graphs"] = 1
        return function(*arguments)

    return compiled


class Counters(dict):
    """Of what was compiled."""

    def clear(self):
        self["stats"] = {"unique_graphs": 0}


counters = Counters()


def batch_norm(x, mean, variance, weight, bias, training, eps):
    if MODE == "failing" and x.dtype != float64:
        raise RuntimeError("a stand-in that fails\nwith two lines")
    return Tensor(x.shape, x.dtype)


def grad(y, inputs, dy, retain_graph=False):
    many = isinstance(inputs, tuple)
    gradients = tuple(Tensor(one.shape, one.dtype) for one in (inputs if many else (inputs,)))
    return gradients


class Event:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = time.monotonic()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return (end.time - self.time) * 1e3 + 1e-3


class Stream:
    cuda_stream = 1

    def synchronize(self):
        pass


class CUDAGraph:
    def replay(self):
        pass


class OutOfMemoryError(RuntimeError):
    pass


def module(name, **contents):
    made = types.ModuleType(f"torch.{name}")
    made.__dict__.update(contents)
    sys.modules[f"torch.{name}"] = made
    return made


cuda = module(
    "cuda",
    is_available=lambda: True,
    get_device_name=lambda: "a stand-in",
    get_device_properties=lambda ordinal: types.SimpleNamespace(L2_cache_size=1 << 10),
    Stream=Stream,
    Event=Event,
    CUDAGraph=CUDAGraph,
    OutOfMemoryError=OutOfMemoryError,
    current_stream=Stream,
    empty_cache=lambda: None,
    stream=nothing,
    graph=nothing,
)
cudnn = module("backends.cudnn", version=lambda: 1, benchmark=False, flags=nothing)
backends = module("backends", cudnn=cudnn)
version = module("version", cuda="a stand-in")
autograd = module("autograd", grad=grad)
functional = module("nn.functional", batch_norm=batch_norm, relu=lambda v: v)
nn = module("nn", functional=functional)
_dynamo = module("_dynamo", reset=lambda: None, config=types.SimpleNamespace())
_dynamo.utils = module("_dynamo.utils", counters=counters)
_functorch = module("_functorch", config=module("_functorch.config"))
