"""oneDNN's batch norm on arrays in the order that the values come in (plain), or in blocks of channels (blocked)."""

import os

import dnnl
from problem import CHANNELS_LAST

# Orders of dimensions by their number; 2 is (N, C).
PLAIN = {2: "ab", 3: "abc", 4: "abcd", 5: "abcde"}
LAST = {3: "acb", 4: "acdb", 5: "acdeb"}
# In blocks of 16 channels, and of 8.
BLOCKED = {3: ("aBc16b", "aBc8b"), 4: ("aBcd16b", "aBcd8b"), 5: ("aBcde16b", "aBcde8b")}
AFFINE = dnnl.USE_SCALE | dnnl.USE_SHIFT


class OneDnn:
    def __init__(self, blocked, threads):
        self._blocked = blocked
        # The one limit that oneDNN keeps whatever its threads are made of; it counts the processors when it is loaded.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self._library = dnnl.Library()
        self.version = self._library.version

    def _of_channels(self, fill):
        memory = dnnl.Memory(self._library, self._library.descriptor([self._problem.channels], "a"))
        memory.mapped(fill)
        return memory

    def _primitives(self, descriptor):
        """The three passes' over arrays of a descriptor."""
        library, epsilon = self._library, self._problem.epsilon
        forward = library.forward(dnnl.FORWARD_TRAINING, descriptor, epsilon, AFFINE)
        return {
            "forward": forward,
            "backward": library.backward(descriptor, epsilon, AFFINE, forward),
            "inference": library.forward(
                dnnl.FORWARD_INFERENCE, descriptor, epsilon, AFFINE | dnnl.USE_GLOBAL_STATISTICS
            ),
        }

    def _chosen(self, plain):
        """The order of the arrays, and its primitives."""
        if not self._blocked:
            return plain, self._primitives(plain)
        tried = []
        for tag in BLOCKED[len(self._problem.dims)]:
            descriptor = self._library.descriptor(self._problem.dims, tag)
            primitives = self._primitives(descriptor)
            name = self._library.implementation(primitives["forward"])
            # Whichever width this processor has code of its own for.
            if "jit" in name:
                return descriptor, primitives
            tried.append(f"{tag}: {name}")
        raise dnnl.Error(f"no blocked layout is fast on this processor ({', '.join(tried)})")

    def prepare(self, problem):
        """The name of the implementation that oneDNN has chosen."""
        self._problem = problem
        rank = len(problem.dims)
        tag = LAST[rank] if problem.layout == CHANNELS_LAST else PLAIN[rank]
        self._plain = dnnl.Memory(self._library, self._library.descriptor(problem.dims, tag))
        descriptor, primitives = self._chosen(self._plain.descriptor)
        gamma, beta = (self._of_channels(lambda at, name=name: problem.read(name, at)) for name in ("gamma", "beta"))
        # What the forward pass finds; of all sets, since their values are the same.
        statistics = {index: self._of_channels(lambda at: None) for index in (dnnl.MEAN, dnnl.VARIANCE)}
        running = {
            dnnl.MEAN: self._of_channels(lambda at: problem.fill(at, problem.running_mean)),
            dnnl.VARIANCE: self._of_channels(lambda at: problem.fill(at, problem.running_variance)),
        }
        affine = {dnnl.SCALE: gamma, dnnl.SHIFT: beta}
        gradients = {index: self._of_channels(lambda at: None) for index in (dnnl.DIFF_SCALE, dnnl.DIFF_SHIFT)}
        calls = {name: [] for name in primitives}
        self._results = []
        for _ in range(problem.sets):
            x, dy = (self._filled(name, descriptor) for name in ("x", "dy"))
            result = dnnl.Memory(self._library, descriptor)
            self._results.append(result)
            forward = {dnnl.SRC: x, dnnl.DST: result, **affine}
            backward = {dnnl.SRC: x, dnnl.DIFF_DST: dy, dnnl.DIFF_SRC: result, dnnl.SCALE: gamma, **gradients}
            arguments = {
                "forward": {**forward, **statistics},
                "backward": {**backward, **statistics},
                "inference": {**forward, **running},
            }
            for name, primitive in primitives.items():
                calls[name].append(dnnl.Call(self._library, primitive, arguments[name]))
        self._calls = calls
        # Whatever is asked for first finds statistics, and memory that has been written to.
        for call in calls["forward"]:
            call()
        return ", ".join({self._library.implementation(primitive) for primitive in primitives.values()})

    def release(self):
        self._library.release()
        self._results, self._calls = [], {}

    def _filled(self, name, descriptor):
        self._plain.mapped(lambda at: self._problem.read(name, at))
        memory = dnnl.Memory(self._library, descriptor)
        self._library.reorder(self._plain, memory)
        return memory

    def calls(self, name):
        """One for each set."""
        return self._calls[name]

    def save(self, number, name):
        """Writes a set's result to a file."""
        self._library.reorder(self._results[number], self._plain)
        self._plain.mapped(lambda at: self._problem.write(name, at))
