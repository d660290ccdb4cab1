"""What Triton's kernels are written in."""

constexpr = int
