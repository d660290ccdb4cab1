"""What the assembler makes of each kernel for one generation of GPUs: registers, occupancy by calculation, and instructions.

It takes ptxas and nvdisasm (PyPI: nvidia-cuda-nvcc, nvidia-cuda-nvdisasm) and the texts that a build with the feature `cuda`
leaves in its output folder; no GPU.

    python3 benches/gpu/sass.py --device 90 target/debug/build/batchnorm-*/out/*_90.ptx > kernels.md
"""

import argparse
import collections
import pathlib
import re
import subprocess
import tempfile

# Of a multiprocessor of compute capability 8.0, 9.0 or 10.0. (7.5 has 1024 threads; 8.6, 8.9 and 12.0 have 1536.)
REGISTERS = 65536
THREADS = 2048
# Registers are given to threads by so many.
GRANULE = 8

COLUMNS = (
    "kernel",
    "threads of a block, blocks it is written for",
    "registers",
    "blocks that registers leave",
    "occupancy",
    "static shared bytes",
    "instructions",
    "loads 128 / 64 / 32 bits or fewer",
    "stores 128 / 64 / 32 bits or fewer",
    "shuffles",
    "barriers",
    "f64",
)


def usages(said):
    """Registers and shared memory of every kernel, from what ptxas says."""
    kernel, found = None, {}
    for line in said.splitlines():
        if "Compiling entry function" in line:
            kernel = line.split("'")[1]
        used = re.search(r"Used (\d+) registers", line)
        if used:
            shared = re.search(r"(\d+) bytes smem", line)
            found[kernel] = (int(used[1]), int(shared[1]) if shared else 0)
    return found


def bounds(ptx):
    """Threads and blocks that every kernel is written for."""
    found = {}
    for entry in ptx.split(".visible .entry ")[1:]:
        head = entry.split("{")[0]
        threads = re.search(r"\.maxntid (\d+)", head) or re.search(r"\.reqntid (\d+)", head)
        blocks = re.search(r"\.minnctapersm (\d+)", head)
        found[entry.split("(")[0]] = (int(threads[1]), int(blocks[1]) if blocks else 1)
    return found


def instructions(listing):
    """The instructions of every kernel, without those that only fill up lines."""
    kernel, found = None, collections.defaultdict(list)
    for line in listing.splitlines():
        section = re.match(r"\s*\.section\s+\.text\.(\w+)", line)
        if section:
            kernel = section[1]
        one = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line)
        if one and kernel and one[1] != "NOP":
            found[kernel].append(one[1])
    return found


def by_width(found, operation):
    """How many accesses to global memory there are of each width."""
    accesses = [name for name in found if re.match(operation, name)]
    wide, half = (sum(f".{bits}" in name for name in accesses) for bits in (128, 64))
    return f"{wide} / {half} / {len(accesses) - wide - half}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptxas", default="ptxas")
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("--device", default="90", help="compute capability, without the point")
    parser.add_argument("ptx", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    rows, local = [], []
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder, "kernels.cubin")
        for path in sorted(arguments.ptx):
            assemble = [arguments.ptxas, "-v", f"-arch=sm_{arguments.device}", str(path), "-o", str(binary)]
            said = subprocess.run(assemble, check=True, capture_output=True, text=True).stderr
            disassemble = [arguments.nvdisasm, "-c", str(binary)]
            listing = subprocess.run(disassemble, check=True, capture_output=True, text=True).stdout
            texts, written_for = instructions(listing), bounds(path.read_text())
            for kernel, (registers, shared) in sorted(usages(said).items()):
                (threads, blocks), found = written_for[kernel], texts[kernel]
                given = -(-registers // GRANULE) * GRANULE
                left = min(REGISTERS // (given * threads), THREADS // threads)
                count = lambda pattern: sum(bool(re.match(pattern, name)) for name in found)
                local += [kernel] if count(r"(LDL|STL)\b") else []
                rows.append((
                    f"`{kernel}`", f"{threads}, {blocks}", registers, left, f"{left * threads / THREADS:.0%}", shared,
                    len(found), by_width(found, r"(LDG|LD)\."), by_width(found, r"(STG|ST)\."), count("SHFL"),
                    count(r"BAR|UCGABAR"), count(r"D(ADD|MUL|FMA|SETP)\b"),
                ))
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(f"\n{len(rows)} kernels; with local memory: {', '.join(local) or 'none'}")


if __name__ == "__main__":
    main()
