"""A batch norm in Triton: a program to a channel, which goes through its values twice."""

import torch
import triton
import triton.language as tl

import passes

BLOCK = 4096
WARPS = 8


@triton.jit
def forward_kernel(x, y, weight, bias, means, inv_stds, count, spatial, over_n, over_c, over_s, epsilon, BLOCK: tl.constexpr):
    channel = tl.program_id(0)
    first = channel.to(tl.int64) * over_c
    # Sums about the first value, which a large mean costs no digits.
    about = tl.load(x + first).to(tl.float32)
    sums = tl.zeros((BLOCK,), tl.float32)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, count, BLOCK):
        index = start + tl.arange(0, BLOCK)
        at = first + (index // spatial).to(tl.int64) * over_n + (index % spatial).to(tl.int64) * over_s
        value = tl.load(x + at, mask=index < count, other=0.0).to(tl.float32)
        value = tl.where(index < count, value - about, 0.0)
        sums += value
        squares += value * value
    mean = tl.sum(sums, 0) / count
    inv_std = 1.0 / tl.sqrt(tl.maximum(tl.sum(squares, 0) / count - mean * mean, 0.0) + epsilon)
    mean += about
    tl.store(means + channel, mean)
    tl.store(inv_stds + channel, inv_std)
    scale = tl.load(weight + channel) * inv_std
    shift = tl.load(bias + channel)
    for start in range(0, count, BLOCK):
        index = start + tl.arange(0, BLOCK)
        at = first + (index // spatial).to(tl.int64) * over_n + (index % spatial).to(tl.int64) * over_s
        value = tl.load(x + at, mask=index < count, other=0.0).to(tl.float32)
        tl.store(y + at, ((value - mean) * scale + shift).to(y.dtype.element_ty), mask=index < count)


@triton.jit
def backward_kernel(
    x, dy, dx, weight, means, inv_stds, dweight, dbias, count, spatial, over_n, over_c, over_s, BLOCK: tl.constexpr
):
    channel = tl.program_id(0)
    first = channel.to(tl.int64) * over_c
    mean = tl.load(means + channel)
    inv_std = tl.load(inv_stds + channel)
    of_dy = tl.zeros((BLOCK,), tl.float32)
    of_products = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, count, BLOCK):
        index = start + tl.arange(0, BLOCK)
        at = first + (index // spatial).to(tl.int64) * over_n + (index % spatial).to(tl.int64) * over_s
        gradient = tl.load(dy + at, mask=index < count, other=0.0).to(tl.float32)
        x_hat = (tl.load(x + at, mask=index < count, other=0.0).to(tl.float32) - mean) * inv_std
        of_dy += gradient
        of_products += gradient * x_hat
    sum_dy = tl.sum(of_dy, 0)
    sum_products = tl.sum(of_products, 0)
    tl.store(dbias + channel, sum_dy)
    tl.store(dweight + channel, sum_products)
    scale = tl.load(weight + channel) * inv_std
    for start in range(0, count, BLOCK):
        index = start + tl.arange(0, BLOCK)
        at = first + (index // spatial).to(tl.int64) * over_n + (index % spatial).to(tl.int64) * over_s
        gradient = tl.load(dy + at, mask=index < count, other=0.0).to(tl.float32)
        x_hat = (tl.load(x + at, mask=index < count, other=0.0).to(tl.float32) - mean) * inv_std
        value = scale * (gradient - (sum_dy + x_hat * sum_products) / count)
        tl.store(dx + at, value.to(dx.dtype.element_ty), mask=index < count)


def shape_of(x):
    """Values of a channel, of a plane, and the distances between samples, channels and places."""
    batch, channels = x.shape[:2]
    spatial = x.numel() // batch // channels
    # Places of a plane are next to each other in either layout.
    over_s = x.stride(-1) if x.dim() > 2 else 1
    return batch * spatial, spatial, x.stride(0), x.stride(1), over_s


def forward(a):
    x = a.x.detach()
    y = torch.empty_like(x)
    mean, inv_std = torch.empty_like(a.mean), torch.empty_like(a.mean)
    forward_kernel[(x.shape[1],)](
        x, y, a.weight.detach(), a.bias.detach(), mean, inv_std, *shape_of(x), passes.EPSILON, BLOCK=BLOCK, num_warps=WARPS
    )
    return y, mean, inv_std


def backward(a, mean, inv_std):
    x = a.x.detach()
    dx, dweight, dbias = torch.empty_like(x), torch.empty_like(a.mean), torch.empty_like(a.mean)
    backward_kernel[(x.shape[1],)](
        x, a.dy, dx, a.weight.detach(), mean, inv_std, dweight, dbias, *shape_of(x), BLOCK=BLOCK, num_warps=WARPS
    )
    return dx, dweight, dbias
