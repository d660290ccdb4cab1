#!/usr/bin/env python3
"""Makes the golden files of this folder: what PyTorch's batch normalisation gives.

    python3 -m venv golden-venv
    golden-venv/bin/pip install --no-cache-dir -r tests/golden/requirements.txt
    golden-venv/bin/python tests/golden/make.py

Everything runs on the CPU. On Linux x86-64 the plain torch wheel all the same needs
its nvidia packages just to be imported (`pip install --no-deps torch` ends in
"libcudart.so.13: cannot open shared object file"), so the environment takes
5.4 GB; no GPU is used.

Each case NAME gives two files: cases/NAME.safetensors (tensors and, as string
metadata, the settings) and expected/NAME.safetensors. README.md has the format.
Running the script again gives the same bytes.
"""

import os

# Before torch is imported: the plain kernels, so that the last bits do not depend on
# which vector instructions this machine has (AVX2 and AVX-512 differ from these, and not
# from each other).
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import itertools
import json
import pathlib
import zlib

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

torch.set_num_threads(1)

HERE = pathlib.Path(__file__).parent
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
MODULES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
# What a key that is left out of a case's metadata means.
DEFAULTS = {
    "pass": "training",
    "layout": "channels_first",
    "epsilon": "1e-5",
    "momentum": "0.1",
    "num_batches_tracked": "0",
    "activation": "none",
}


# ---- From a case to what PyTorch gives ---------------------------------------------


def run(case, meta):
    """What PyTorch gives for a case: it uses nothing but what the case file holds."""
    meta = DEFAULTS | meta
    dtype, rank = case["x"].dtype, case["x"].ndim
    half = dtype in (torch.float16, torch.bfloat16)
    channel_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    channels_last = meta["layout"] == "channels_last"
    tracked = "running_mean" in case

    # PyTorch's dimensions are always (N, C, ...). A permuted view of the memory order
    # (N, ..., C) is exactly its channels_last memory format (4-D and 5-D; PyTorch has
    # no name for it in 3-D).
    def view(t):
        return t.movedim(-1, 1) if channels_last else t

    def memory(t):
        return (t.detach().movedim(1, -1) if channels_last else t.detach()).contiguous()

    x = view(case["x"]).detach().clone(memory_format=torch.preserve_format)
    if channels_last and rank > 3:
        memory_format = torch.channels_last if rank == 4 else torch.channels_last_3d
        assert x.is_contiguous(memory_format=memory_format)

    momentum = None if meta["momentum"] == "cumulative" else float(meta["momentum"])
    module = MODULES[rank](
        x.shape[1],
        eps=float(meta["epsilon"]),
        momentum=momentum,
        affine="weight" in case or "bias" in case,  # the absent one stays at 1 or 0
        track_running_stats=tracked,
        dtype=channel_dtype,
    )
    state = {k: case[k] for k in ("weight", "bias", "running_mean", "running_var") if k in case}
    if tracked:
        state["num_batches_tracked"] = torch.tensor(int(meta["num_batches_tracked"]))
    module.load_state_dict(state, strict=False)
    module.train(meta["pass"] == "training")

    out = {}
    if module.training or not tracked:
        # PyTorch uses batch statistics in eval mode too if none are tracked.
        running = (module.running_mean.clone(), module.running_var.clone()) if tracked else (None, None)
        with torch.no_grad():
            _, out["save_mean"], out["save_invstd"] = torch.native_batch_norm(
                x, module.weight, module.bias, *running, True, 0.0, module.eps
            )
    else:
        out["save_mean"] = module.running_mean.clone()
        out["save_invstd"] = (1 / (module.running_var.double() + module.eps).sqrt()).to(channel_dtype)
    assert out["save_mean"].dtype == out["save_invstd"].dtype == channel_dtype

    residual = view(case["residual"]).detach() if "residual" in case else None
    gradients = meta["pass"] != "inference"
    x.requires_grad_(gradients)
    if residual is not None:
        residual.requires_grad_(gradients)
    with torch.set_grad_enabled(gradients):
        # With something after the normalisation, half precision is rounded once, at the
        # end; alone, it is PyTorch's own mixed half/float32 operator.
        fused = half and (residual is not None or meta["activation"] == "relu")
        y = module(x.float() if fused else x)
        if residual is not None:
            y = y + (residual.float() if fused else residual)
        if meta["activation"] == "relu":
            y = y.relu()
        y = y.to(dtype)
    out["y"] = memory(y)

    if "dy" in case:
        y.backward(view(case["dy"]))
        out["dx"] = memory(x.grad)
        if residual is not None:
            out["dresidual"] = memory(residual.grad)
        for name in ("weight", "bias"):
            if name in case:
                out["d" + name] = getattr(module, name).grad
    if tracked:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            out[name] = getattr(module, name)
    return {name: t.detach() for name, t in out.items()}


def robust(case, meta, out):
    """Whether no value of a case turns on the last bits of float32 arithmetic.

    The judge is PyTorch itself on the same values in float64.
    """
    dtype = case["x"].dtype
    half = dtype in (torch.float16, torch.bfloat16)
    wide = {name: t.double() for name, t in case.items()}
    if meta.get("activation") == "relu":
        # What goes into the ReLU is nowhere near 0.
        before = run(wide, meta | {"activation": "none"})["y"].abs()
        if before.min() <= (2e-3 * before.max() if half else 1e-4):
            return False
    if half:
        # Nothing lies near the middle between two halves: the rounding is certain.
        exact = run(wide, meta)
        for name in {"y", "dx", "dresidual"} & out.keys():
            margin = torch.where(exact[name] == 0, 0, 5e-7 * (1 + exact[name].abs()))
            for near in (exact[name] - margin, exact[name] + margin):
                if not torch.equal(near.to(dtype), out[name]):
                    return False
    return True


# ---- The inputs --------------------------------------------------------------------


def draw(seed, shape, dtype, meta, parameters, tracked, dy, residual, mean, std):
    """The tensors of a case, from NumPy's generator (the same on every machine)."""
    rng = np.random.default_rng(seed)
    channels_last = meta.get("layout") == "channels_last"
    channels = shape[-1] if channels_last else shape[1]
    per_channel = (channels,) if channels_last else (channels,) + (1,) * (len(shape) - 2)
    channel_dtype = torch.float64 if dtype == torch.float64 else torch.float32

    def channel(values):
        return torch.from_numpy(values).to(channel_dtype)

    shift, scale = rng.uniform(-1.5, 1.5, per_channel), rng.uniform(0.6, 1.7, per_channel)
    x = mean + std * (shift + scale * rng.standard_normal(shape))
    case = {"x": torch.from_numpy(x).to(dtype)}
    weight, bias = rng.uniform(0.4, 1.8, channels), rng.uniform(-1, 1, channels)
    if "weight" in parameters:
        case["weight"] = channel(weight)
    if "bias" in parameters:
        case["bias"] = channel(bias)
    if tracked:
        case["running_mean"] = channel(mean + std * rng.uniform(-1.5, 1.5, channels))
        case["running_var"] = channel(std**2 * rng.uniform(0.4, 2.5, channels))
    if dy:
        case["dy"] = torch.from_numpy(rng.standard_normal(shape)).to(dtype)
    if residual:
        case["residual"] = torch.from_numpy(rng.standard_normal(shape)).to(dtype)
    return case


def write(path, tensors, metadata=None):
    """One safetensors file. The safetensors package writes the metadata in an order that
    changes from run to run, so this writes the format itself: the header's length, the
    header (JSON), the values. The package then reads it back."""
    names = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))  # keeps values aligned
    header, values = {"__metadata__": metadata} if metadata else {}, b""
    code = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    for name in names:
        t = tensors[name].contiguous()
        data = t.reshape(-1).view(torch.uint8).numpy().tobytes()
        offsets = [len(values), len(values) + len(data)]
        header[name] = {"dtype": code[t.dtype], "shape": list(t.shape), "data_offsets": offsets}
        values += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    with safe_open(path, "pt") as file:
        assert file.metadata() == (metadata or None) and set(file.keys()) == set(tensors)
        assert all(torch.equal(file.get_tensor(name), t) for name, t in tensors.items())


def make(name, shape, dtype="f32", parameters=("weight", "bias"), tracked=True, dy=True,
         residual=False, mean=0.0, std=1.0, change=None, **meta):
    """Makes the two files of one case. `shape` is in memory order; `meta` goes into the
    file as it is; `change` may edit the drawn tensors. Gives what PyTorch gave."""
    if "mode" in meta:
        meta = {"pass": meta.pop("mode")} | meta  # `pass` is no name in Python
    meta = {key: str(value) for key, value in meta.items()}
    dy = dy and meta.get("pass") != "inference"
    for attempt in itertools.count():  # draw again until no value is fragile
        seed = [zlib.crc32(name.encode()), attempt]
        case = draw(seed, shape, DTYPES[dtype], meta, parameters, tracked, dy, residual, mean, std)
        if change:
            change(case)
        out = run(case, meta)
        if robust(case, meta, out):
            break
        assert attempt < 5000, f"{name}: no robust draw"
    write(HERE / "cases" / f"{name}.safetensors", case, meta)
    write(HERE / "expected" / f"{name}.safetensors", out)
    print(f"{name:32} {str(tuple(shape)):16} {dtype:5} draw {attempt}")
    return out


# ---- The cases ---------------------------------------------------------------------


def main():
    for folder in ("cases", "expected"):
        (HERE / folder).mkdir(exist_ok=True)
        for old in (HERE / folder).glob("*.safetensors"):
            old.unlink()

    last = {"layout": "channels_last"}

    # Training, forward and backward. The keys left out take their defaults.
    make("train_f32_2d", (16, 10))
    make("train_f32_3d", (8, 3, 9), mode="training")
    make("train_f32_4d", (4, 5, 6, 7), layout="channels_first", epsilon=1e-5, momentum=0.1)
    make("train_f32_5d", (2, 3, 3, 4, 5), num_batches_tracked=41)
    make("train_f32_2d_last", (7, 11), **last)
    make("train_f32_3d_last", (5, 9, 3), **last)
    make("train_f32_4d_last", (3, 5, 3, 17), **last, activation="none")
    make("train_f32_5d_last", (2, 3, 2, 5, 4), **last, momentum=0.3)
    make("train_f64_2d", (13, 7), "f64")
    make("train_f64_4d", (3, 5, 4, 3), "f64")
    make("train_f64_4d_last", (3, 4, 3, 5), "f64", **last)
    make("train_f64_5d_last", (2, 2, 3, 3, 4), "f64", **last, epsilon=1e-3)
    make("train_f16_3d", (5, 3, 7), "f16")
    make("train_f16_4d", (3, 4, 3, 5), "f16")
    make("train_f16_4d_last", (3, 3, 5, 4), "f16", **last)
    # PyTorch rounds `dx` twice here (3-D halves that are not contiguous): no `dy`.
    make("train_f16_3d_last", (4, 3, 7), "f16", dy=False, **last)
    make("train_bf16_2d", (17, 9), "bf16")
    make("train_bf16_4d", (3, 5, 4, 5), "bf16")
    make("train_bf16_4d_last", (3, 4, 5, 5), "bf16", **last)
    make("train_bf16_5d_last", (2, 3, 3, 3, 4), "bf16", **last)
    make("train_forward_only", (3, 4, 5), dy=False)
    make("train_two_values", (2, 6))  # the smallest batch that has a variance

    # Inference, and inference's statistics with gradients ("frozen").
    for mode, short in (("inference", "infer"), ("frozen", "frozen")):
        make(f"{short}_f32_2d", (1, 10), mode=mode)
        make(f"{short}_f32_4d", (3, 5, 4, 7), mode=mode, epsilon=1e-3)
        make(f"{short}_f32_4d_last", (3, 3, 4, 7), mode=mode, **last, num_batches_tracked=5)
        make(f"{short}_f64_3d_last", (4, 5, 3), "f64", mode=mode, **last)
        make(f"{short}_f64_5d", (2, 3, 2, 3, 4), "f64", mode=mode)
        make(f"{short}_f16_3d", (5, 3, 7), "f16", mode=mode)
        make(f"{short}_f16_4d_last", (2, 3, 4, 5), "f16", mode=mode, **last)
        make(f"{short}_bf16_4d", (3, 5, 4, 3), "bf16", mode=mode)
        make(f"{short}_bf16_5d_last", (2, 2, 3, 4, 3), "bf16", mode=mode, **last)

    # Momentum.
    make("momentum_0", (5, 3, 4), momentum=0, num_batches_tracked=2)
    make("momentum_1", (5, 3, 4), momentum=1, num_batches_tracked=2)
    make("momentum_cumulative_0", (5, 3, 4), momentum="cumulative", num_batches_tracked=0)
    make("momentum_cumulative_3", (5, 3, 4), momentum="cumulative", num_batches_tracked=3)
    make("momentum_cumulative_frozen", (5, 3, 4), mode="frozen", momentum="cumulative", num_batches_tracked=3)

    # Weight only, bias only, neither.
    for kind, parameters in (("weight_only", ["weight"]), ("bias_only", ["bias"]), ("no_affine", [])):
        make(f"{kind}_train", (4, 5, 3, 3), parameters=parameters)
        make(f"{kind}_frozen", (4, 7, 5), parameters=parameters, mode="frozen", **last)
    make("no_affine_train_bf16", (5, 3, 4), "bf16", parameters=[])
    make("no_affine_infer", (3, 5), parameters=[], mode="inference")

    # No running statistics: batch statistics whatever the mode.
    make("no_stats_train", (4, 3, 5), tracked=False)
    make("no_stats_infer", (4, 3, 5), tracked=False, mode="inference")
    make("no_stats_frozen", (3, 4, 3, 5), tracked=False, mode="frozen", **last)
    make("no_stats_no_affine_train", (3, 2, 5, 4), tracked=False, parameters=[], **last)

    # ReLU, residual, and both.
    for mode, short in (("training", "train"), ("frozen", "frozen"), ("inference", "infer")):
        relu = {"mode": mode, "activation": "relu"}
        make(f"relu_{short}_f32", (3, 5, 4, 7), **relu)
        make(f"residual_{short}_f32", (7, 3, 5), mode=mode, residual=True)
        make(f"residual_relu_{short}_f32", (3, 5, 4, 3), **relu, residual=True)
        make(f"residual_relu_{short}_f32_last", (3, 4, 3, 5), **relu, **last, residual=True)
        make(f"residual_relu_{short}_f64", (2, 3, 2, 3, 4), "f64", **relu, residual=True)
        make(f"residual_relu_{short}_f16", (5, 3, 7), "f16", **relu, residual=True)
        make(f"residual_relu_{short}_bf16_last", (3, 3, 2, 5), "bf16", **relu, **last, residual=True)
    make("residual_train_bf16", (5, 3, 7), "bf16", residual=True)
    make("relu_train_f16_last", (3, 4, 2, 5), "f16", activation="relu", **last)
    make("relu_train_bf16", (11, 7), "bf16", activation="relu")
    make("relu_train_no_affine", (6, 3, 5), parameters=[], activation="relu")

    # Awkward values.
    def weights(case):
        case["weight"][:4] = torch.tensor([0.0, -1.25, 1.0, -0.5])

    make("zero_negative_weight_train", (4, 5, 3, 4), change=weights)
    make("zero_negative_weight_frozen", (4, 5, 3, 4), change=weights, mode="frozen")
    make("zero_negative_weight_relu", (4, 3, 4, 5), change=weights, residual=True, activation="relu", **last)

    def dead(case):
        case["x"][:, 1] = 0

    make("dead_channel_train", (6, 3, 5), change=dead)  # a variance of 0
    make("big_mean_train_f32", (4, 3, 5, 7), mean=1000.0)
    make("big_mean_train_f32_last", (4, 5, 7, 3), mean=1000.0, **last)
    make("big_mean_train_f64", (4, 3, 5), "f64", mean=1000.0)
    make("epsilon_large_train", (5, 4, 6), epsilon=1e-1)
    make("epsilon_large_frozen", (5, 4, 6), epsilon=1e-1, mode="frozen")
    make("epsilon_small_train", (5, 4, 6), epsilon=1e-12, std=1e-3)
    make("epsilon_small_frozen", (5, 4, 6), epsilon=1e-12, std=1e-3, mode="frozen")

    # Three training steps of one module: each carries what the step before left.
    for name, momentum in (("three_steps", 0.1), ("three_steps_cumulative", "cumulative")):
        carried = {"running_mean": torch.zeros(5), "running_var": torch.ones(5)}
        carried["weight"] = torch.tensor([0.75, 1.0, -1.5, 0.5, 2.0])
        carried["bias"] = torch.tensor([0.5, -0.25, 0.0, 1.0, -1.0])
        for step in (1, 2, 3):
            out = make(f"{name}_{step}", (4, 5, 3, 3), change=lambda case: case.update(carried),
                       momentum=momentum, num_batches_tracked=step - 1)
            assert out["num_batches_tracked"] == step
            carried |= {key: out[key] for key in ("running_mean", "running_var")}


if __name__ == "__main__":
    main()
