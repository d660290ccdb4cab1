"""Asks SentryWard, a prover of race freedom for PTX, about the kernels that keep a channel on the chip.

    pip install sentryward==0.1.1
    python kernels/races/prove.py FOLDER [KERNEL ...]

FOLDER has the modules' PTX for compute capability 9.0, as a build with nvcc leaves it in its OUT_DIR (planes_on_chip_90.ptx, ...). Of
each kernel it is asked about one small launch, of one block to a channel and of clusters of two; then about the same kernel with one
barrier less, for each barrier that a block passes there. It prints the table of the section "Races" of benches/results/kernels.md.

What it assumes: branches that depend on values (sums taken again in f64) go one way for all threads ("representative branches").
It does not model fences, and gives up on control that depends on an atomic: the ticketed, pipelined, persistent and split kernels.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 180

# Where struct Arguments of kernels/arguments.cuh has its addresses.
ADDRESSES = {
    "x": 0, "dy": 8, "out": 16, "residual": 24, "dresidual": 32, "mask": 40, "preactivation": 48, "gamma": 56, "beta": 64,
    "mean": 72, "mean_low": 80, "variance": 88, "inv_std": 96, "running_mean": 104, "running_variance": 112, "dgamma": 120,
    "dbeta": 128, "counters": 136, "partials": 144,
}  # fmt: skip
ABSENT = {
    "forward": ["residual", "dresidual", "mask", "preactivation", "dy", "running_mean", "running_variance"],
    "backward": ["residual", "dresidual", "mask", "preactivation"],
}
KERNELS = [f"{family}_on_chip_{way}_{kind}" for family in ("planes", "columns") for way in ABSENT for kind in ("f32", "f16")]


def launch(kernel, cluster):
    """What the prover is told: 2 channels of 2 planes of 256 f32, or 32 rows of 8; f16 as many packets."""
    way = "forward" if "forward" in kernel else "backward"
    lanes = 8 if kernel.endswith("f16") else 4
    f64 = {152: 1e-5, 160: 0.1, 168: 1.0, 176: 512.0, 184: 0.0}
    choices = {256: 0, 260: 0, 264: 1, 268: 0, 272: 7, 276: 0}
    if kernel.startswith("planes"):
        # batch, channels, spatial, packets, neighbours, tile; tiles, group, kept rows
        sizes = {192: 2, 200: 2, 208: 64 * lanes, 216: 64, 224: 64 * lanes, 232: 128 // cluster}
        counts = {240: cluster, 244: 0, 248: 0}
        blocks, threads, shared = 2 * cluster, 128, 2 * 16 * 128
    else:
        sizes = {192: 16 * cluster, 200: 2 * lanes, 208: 1, 216: 2, 224: 1, 232: 16}
        counts = {240: cluster, 244: 2 * lanes, 248: 16}
        blocks, threads = cluster, 64
        shared = 2 * 16 * 2 * 16 + 128 * lanes * 16 + 2 * lanes * (16 + 7 * 4)
    arguments = [("f64", f64), ("u64", sizes), ("u32", counts | choices)]
    absent = ABSENT[way]
    return {
        "schema": "spverify.kernel-input/v1",
        "launch": {
            "grid_dim": [blocks, 1, 1],
            "block_dim": [threads, 1, 1],
            "cluster_dim": [cluster, 1, 1],
            "dynamic_shared_bytes": shared,
        },
        "arguments": [
            {"parameter": 0, "offset": offset, "type": kind, "value": value}
            for kind, values in arguments
            for offset, value in values.items()
        ]
        + [{"parameter": 0, "offset": ADDRESSES[name], "type": "pointer", "value": None} for name in absent],
        "declarations": [
            {"parameter": 0, "offset": offset, "type": "pointer"}
            for name, offset in ADDRESSES.items()
            if name not in absent
        ],
        "assumptions": {"representative_branches": True},
    }


def alone(ptx, kernel):
    """The module with one kernel: what is before the first, and the kernel."""
    pieces = re.split(r"(?=^\s*// \.globl|^\.visible \.entry )", ptx, flags=re.MULTILINE)
    mine = next(piece for piece in pieces if piece.startswith(f".visible .entry {kernel}("))
    rest = [piece for piece in pieces if not piece.startswith(".visible .entry ") and "// .globl" not in piece]
    shared = re.findall(r"^(?:\.extern )?\.shared [^;]*;", ptx, flags=re.MULTILINE)
    head = "".join(rest)
    return head + "".join(f"{line}\n" for line in shared if line not in head) + mine


def ask(ptx, document):
    """What the prover answers, in a word."""
    with tempfile.TemporaryDirectory() as folder:
        program, given = Path(folder, "kernel.ptx"), Path(folder, "input.json")
        program.write_text(ptx)
        given.write_text(json.dumps(document))
        command = [Path(sys.executable).with_name("sentryward"), program, "--input", given, "--timeout", str(SECONDS)]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    reason = next((one.get("code", "") for one in answer.get("diagnostics", [])), "")
    return answer["result"], reason


def without_each_barrier(ptx):
    """The text once for each barrier of a block or cluster, without it."""
    for barrier in re.finditer(r"^\s*(?:bar\.sync|barrier\.cluster\.(?:arrive|wait)\S*)[^;\n]*;", ptx, flags=re.MULTILINE):
        yield ptx[: barrier.start()] + ptx[barrier.end() :]


def main():
    folder, asked = Path(sys.argv[1]), sys.argv[2:] or KERNELS
    print("| kernel | blocks of a cluster | answer | barriers whose removal it answers otherwise |\n|---|---|---|---|")
    for kernel in asked:
        module = folder / f"{re.match('.*_on_chip', kernel)[0]}_90.ptx"
        ptx = alone(module.read_text(), kernel)
        for cluster in (1, 2):
            document = launch(kernel, cluster)
            result, reason = ask(ptx, document)
            found = "-"
            if result == "race_free" and cluster == 1:
                answers = [ask(other, document)[0] for other in without_each_barrier(ptx)]
                found = f"{sum(answer != 'race_free' for answer in answers)} of {len(answers)} in all forms"
            print(f"| `{kernel}` | {cluster} | {result} {reason} | {found} |", flush=True)


main()
