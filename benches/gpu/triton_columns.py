"""A batch norm in Triton for arrays whose channels are next to each other: a program to some rows of some channels, in two kernels,
of which the first leaves a sum for each program."""

import torch
import triton
import triton.language as tl

import passes

ROWS = 64
MOST_CHANNELS = 64
PROGRAMS = 512  # about so many to a launch, a few for each multiprocessor
WARPS = 8


@triton.jit
def tile(row, channel, end, channels):
    """Where the values of a tile are, and which of them there are."""
    at = row[:, None].to(tl.int64) * channels + channel[None, :]
    return at, (row < end)[:, None] & (channel < channels)[None, :]


@triton.jit
def total(sums, channel, channels, parts, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """What all programs of the first kernel found for some channels."""
    found = tl.zeros((ROWS, CHANNELS), tl.float32)
    for start in range(0, parts, ROWS):
        at, there = tile(start + tl.arange(0, ROWS), channel, parts, channels)
        found += tl.load(sums + at, mask=there, other=0.0)
    return tl.sum(found, 0)


@triton.jit
def statistics_kernel(x, sums, squares, rows, channels, of_part, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    part = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    # Sums about the first value, which a large mean costs no digits.
    about = tl.load(x + channel, mask=channel < channels, other=0.0).to(tl.float32)
    of_values = tl.zeros((ROWS, CHANNELS), tl.float32)
    of_squares = tl.zeros((ROWS, CHANNELS), tl.float32)
    end = tl.minimum((part + 1) * of_part, rows)
    for start in range(part * of_part, end, ROWS):
        at, there = tile(start + tl.arange(0, ROWS), channel, end, channels)
        value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
        value = tl.where(there, value - about[None, :], 0.0)
        of_values += value
        of_squares += value * value
    tl.store(sums + part * channels + channel, tl.sum(of_values, 0), mask=channel < channels)
    tl.store(squares + part * channels + channel, tl.sum(of_squares, 0), mask=channel < channels)


@triton.jit
def normalize_kernel(
    x, y, weight, bias, means, inv_stds, sums, squares, rows, channels, of_part, parts, epsilon,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    about = tl.load(x + channel, mask=channel < channels, other=0.0).to(tl.float32)
    mean = total(sums, channel, channels, parts, ROWS, CHANNELS) / rows
    square = total(squares, channel, channels, parts, ROWS, CHANNELS) / rows
    inv_std = 1.0 / tl.sqrt(tl.maximum(square - mean * mean, 0.0) + epsilon)
    mean += about
    first = (channel < channels) & (part == 0)
    tl.store(means + channel, mean, mask=first)
    tl.store(inv_stds + channel, inv_std, mask=first)
    scale = tl.load(weight + channel, mask=channel < channels, other=0.0) * inv_std
    shift = tl.load(bias + channel, mask=channel < channels, other=0.0)
    end = tl.minimum((part + 1) * of_part, rows)
    for start in range(part * of_part, end, ROWS):
        at, there = tile(start + tl.arange(0, ROWS), channel, end, channels)
        value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
        value = (value - mean[None, :]) * scale[None, :] + shift[None, :]
        tl.store(y + at, value.to(y.dtype.element_ty), mask=there)


@triton.jit
def backward_sums_kernel(
    x, dy, means, inv_stds, sums, products, rows, channels, of_part, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    part = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    mean = tl.load(means + channel, mask=channel < channels, other=0.0)
    inv_std = tl.load(inv_stds + channel, mask=channel < channels, other=0.0)
    of_dy = tl.zeros((ROWS, CHANNELS), tl.float32)
    of_products = tl.zeros((ROWS, CHANNELS), tl.float32)
    end = tl.minimum((part + 1) * of_part, rows)
    for start in range(part * of_part, end, ROWS):
        at, there = tile(start + tl.arange(0, ROWS), channel, end, channels)
        gradient = tl.load(dy + at, mask=there, other=0.0).to(tl.float32)
        value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
        of_dy += gradient
        of_products += gradient * (value - mean[None, :]) * inv_std[None, :]
    tl.store(sums + part * channels + channel, tl.sum(of_dy, 0), mask=channel < channels)
    tl.store(products + part * channels + channel, tl.sum(of_products, 0), mask=channel < channels)


@triton.jit
def backward_kernel(
    x, dy, dx, weight, means, inv_stds, sums, products, dweight, dbias, rows, channels, of_part, parts,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    mean = tl.load(means + channel, mask=channel < channels, other=0.0)
    inv_std = tl.load(inv_stds + channel, mask=channel < channels, other=0.0)
    sum_dy = total(sums, channel, channels, parts, ROWS, CHANNELS)
    sum_products = total(products, channel, channels, parts, ROWS, CHANNELS)
    first = (channel < channels) & (part == 0)
    tl.store(dbias + channel, sum_dy, mask=first)
    tl.store(dweight + channel, sum_products, mask=first)
    scale = tl.load(weight + channel, mask=channel < channels, other=0.0) * inv_std
    end = tl.minimum((part + 1) * of_part, rows)
    for start in range(part * of_part, end, ROWS):
        at, there = tile(start + tl.arange(0, ROWS), channel, end, channels)
        gradient = tl.load(dy + at, mask=there, other=0.0).to(tl.float32)
        x_hat = (tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]) * inv_std[None, :]
        value = scale[None, :] * (gradient - (sum_dy[None, :] + x_hat * sum_products[None, :]) / rows)
        tl.store(dx + at, value.to(dx.dtype.element_ty), mask=there)


class Cut:
    """How an array is cut into programs."""

    def __init__(self, x):
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        width = min(1 << (self.channels - 1).bit_length(), MOST_CHANNELS)
        groups = -(-self.channels // width)
        parts = max(1, min(PROGRAMS // groups, -(-self.rows // ROWS)))
        # Whole tiles.
        self.of_part = -(-self.rows // (parts * ROWS)) * ROWS
        self.parts = -(-self.rows // self.of_part)
        self.grid = (self.parts, groups)
        self.options = {"ROWS": ROWS, "CHANNELS": width, "num_warps": WARPS}

    def sums(self):
        return torch.empty((self.parts, self.channels), device="cuda")


def forward(a):
    x = a.x.detach()
    cut = Cut(x)
    y = torch.empty_like(x)
    mean, inv_std = torch.empty_like(a.mean), torch.empty_like(a.mean)
    sums, squares = cut.sums(), cut.sums()
    shape = cut.rows, cut.channels, cut.of_part
    statistics_kernel[cut.grid](x, sums, squares, *shape, **cut.options)
    parameters = a.weight.detach(), a.bias.detach()
    normalize_kernel[cut.grid](
        x, y, *parameters, mean, inv_std, sums, squares, *shape, cut.parts, passes.EPSILON, **cut.options
    )
    return y, mean, inv_std


def backward(a, mean, inv_std):
    x = a.x.detach()
    cut = Cut(x)
    dx, dweight, dbias = torch.empty_like(x), torch.empty_like(a.mean), torch.empty_like(a.mean)
    sums, products = cut.sums(), cut.sums()
    shape = cut.rows, cut.channels, cut.of_part
    backward_sums_kernel[cut.grid](x, a.dy, mean, inv_std, sums, products, *shape, **cut.options)
    backward_kernel[cut.grid](
        x, a.dy, dx, a.weight.detach(), mean, inv_std, sums, products, dweight, dbias, *shape, cut.parts, **cut.options
    )
    return dx, dweight, dbias
