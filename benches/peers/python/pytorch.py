"""PyTorch's batch norm, through the operators that take memory that is there."""

import resource

import torch

from problem import CHANNELS_LAST

aten = torch.ops.aten
MOMENTUM = 0.1
MOST_SETTLING = 10


class PyTorch:
    def __init__(self, threads):
        torch.set_num_threads(threads)
        # Nothing here asks for gradients of operators: backward is called as the operator that it is.
        torch.set_grad_enabled(False)
        self.version = f"PyTorch {torch.__version__}"

    def prepare(self, problem):
        self._problem = problem
        channels = problem.channels
        gamma, beta = (self._read(name, [channels]) for name in ("gamma", "beta"))
        running = torch.zeros(channels), torch.ones(channels)
        still = torch.full([channels], problem.running_mean), torch.full([channels], problem.running_variance)
        saved = torch.empty(channels), torch.empty(channels)
        unused = torch.empty(0), torch.empty(0)
        self._results = [None] * problem.sets
        self._calls = {"forward": [], "backward": [], "inference": []}
        for number in range(problem.sets):
            x, dy = (self._array(name) for name in ("x", "dy"))
            y = torch.empty_like(x)

            def forward(x=x, y=y, number=number, statistics=running, kept=saved, training=True):
                self._results[number] = y
                means, inverses = kept
                aten.native_batch_norm.out(
                    *(x, gamma, beta, *statistics, training, MOMENTUM, problem.epsilon),
                    **{"out": y, "save_mean": means, "save_invstd": inverses},
                )

            def inference(forward=forward):
                forward(statistics=still, kept=unused, training=False)

            def backward(x=x, dy=dy, number=number):
                # There is an operator that takes memory, but it computes elsewhere and copies. This one finds what the
                # set's last result leaves, since freed memory stays with the process (the driver sees to it).
                self._results[number] = None
                self._results[number], *_ = aten.native_batch_norm_backward(
                    dy, x, gamma, *running, *saved, True, problem.epsilon, [True, True, True]
                )

            self._calls["forward"].append(forward)
            self._calls["backward"].append(backward)
            self._calls["inference"].append(inference)
        # Whatever is asked for first finds statistics, and memory that has been written to.
        for name in ("forward", "backward"):
            self._settle(self._calls[name])

    def _settle(self, calls):
        """Runs passes until their results find memory that the process has."""
        for _ in range(MOST_SETTLING):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for call in calls:
                call()
            if resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < len(calls):
                return

    def release(self):
        self._results, self._calls = [], {}

    def _read(self, name, dims):
        values = torch.empty(dims)
        self._problem.read(name, values.data_ptr())
        return values

    def _array(self, name):
        """x or dy, with PyTorch's dimensions, in the problem's order."""
        dims = self._problem.dims
        if self._problem.layout != CHANNELS_LAST:
            return self._read(name, dims)
        last = self._read(name, [dims[0], *dims[2:], dims[1]])
        return last.movedim(-1, 1)

    def calls(self, name):
        """One for each set."""
        return self._calls[name]

    def save(self, number, name):
        """Writes a set's result to a file."""
        result = self._results[number]
        if self._problem.layout == CHANNELS_LAST:
            result = result.movedim(1, -1)
        if not result.is_contiguous():
            raise ValueError(f"a result of {list(result.shape)} has strides {result.stride()}")
        self._problem.write(name, result.data_ptr())
