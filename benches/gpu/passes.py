"""The passes as PyTorch's own functions, on sets of arrays that take turns."""

import torch
from torch.nn import functional

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
EPSILON = 1e-5
MOST_SETS = 64
BETWEEN = 3  # times the cache is what is touched between two visits of the same arrays


class Arrays:
    """One set of a layer's arrays."""

    def __init__(self, dims, layout, dtype, seed):
        generator = torch.Generator("cuda").manual_seed(seed)
        if layout == "channels last" and len(dims) == 3:
            # As images of one line: PyTorch has no memory format for three dimensions, and would copy.
            dims = (*dims[:2], 1, dims[2])

        def random():
            if layout == "channels last":
                # Of any number of dimensions, which PyTorch's memory formats are not.
                array = torch.empty((dims[0], *dims[2:], dims[1]), dtype=dtype, device="cuda").movedim(-1, 1)
            else:
                array = torch.empty(dims, dtype=dtype, device="cuda")
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


def sets_of(row):
    """So many sets that a call finds nothing of its own in the cache."""
    values = torch.Size(row["dims"]).numel()
    dtype = DTYPES[row["dtype"]]
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    count = min(1 + BETWEEN * cache // (2 * values * (torch.finfo(dtype).bits // 8)), MOST_SETS)
    return [Arrays(tuple(row["dims"]), row["layout"], dtype, seed) for seed in range(count)]


def training(a):
    return functional.batch_norm(a.x, None, None, a.weight, a.bias, training=True, eps=EPSILON)


def frozen(a):
    return functional.batch_norm(a.x, a.mean, a.variance, a.weight, a.bias, training=False, eps=EPSILON)


def add_relu(a):
    return functional.relu(training(a) + a.residual)


# A pass: the forward function, and whether its backward is what is timed (else no gradient is kept track of).
PASSES = {
    "forward": (training, False),
    "backward": (training, True),
    "inference": (frozen, False),
    "frozen backward": (frozen, True),
    "forward, add, ReLU": (add_relu, False),
    "backward, add, ReLU": (add_relu, True),
}


def calls_of(name, forward, sets):
    """One function a set; called, it starts the pass and gives what it writes."""

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


# Nearer to zero than this, rounding decides whether ReLU lets a gradient through.
NEAR_ZERO = 0.02


def expected(name, a):
    """The first output of a pass over one set, in f64 and by PyTorch's own formulas, and where it is certain; then the gradients
    of weight and bias, where rounding cannot decide which values they are sums of."""
    copy = object.__new__(Arrays)
    for field in ("x", "dy", "residual", "weight", "bias", "mean", "variance"):
        setattr(copy, field, getattr(a, field).detach().double())
    for array in (copy.x, copy.weight, copy.bias):
        array.requires_grad_(True)
    forward, backward = PASSES[name]
    # Not cuDNN's, which has no f64 in every layout.
    with torch.backends.cudnn.flags(enabled=False):
        y = forward(copy)
        if not backward:
            return [(y.detach(), torch.ones_like(y, dtype=torch.bool))]
        if forward is add_relu:
            certain = (training(copy) + copy.residual).abs() > NEAR_ZERO
            return [(torch.autograd.grad(y, copy.x, copy.dy)[0], certain)]
        dx, dweight, dbias = torch.autograd.grad(y, (copy.x, copy.weight, copy.bias), copy.dy)
        return [(dx, torch.ones_like(y, dtype=torch.bool)), dweight, dbias]
