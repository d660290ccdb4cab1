"""oneDNN through its C interface: the few calls that a batch norm takes, with their errors.

https://uxlfoundation.github.io/oneDNN; the numbers are those of its headers dnnl_types.h and dnnl_common_types.h, version 3.
"""

import ctypes
import os
import sys
import sysconfig

CPU = 1
F32 = 3
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128
USE_GLOBAL_STATISTICS, USE_SCALE, USE_SHIFT = 1, 2, 4
SRC, DST, MEAN, VARIANCE, SCALE, SHIFT = 1, 17, 49, 50, 51, 52
DIFF_SRC, DIFF_DST, DIFF_SCALE, DIFF_SHIFT = 129, 145, 255, 256
IN_ORDER = 1
ALLOCATE = ctypes.c_void_p(-1)
IMPLEMENTATION_NAME = 8
RUNTIMES = {1: "sequential", 2: "OpenMP", 4: "TBB", 8: "threadpool", 512: "SYCL and TBB"}
STATUSES = ("success", "out of memory", "invalid arguments", "unimplemented", "last implementation", "runtime error")
MOST_DIMENSIONS = 12


class _Version(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("major", "minor", "patch")]
    _fields_ += [("hash", ctypes.c_char_p), ("cpu_runtime", ctypes.c_uint), ("gpu_runtime", ctypes.c_uint)]


class _Argument(ctypes.Structure):
    _fields_ = [("index", ctypes.c_int), ("memory", ctypes.c_void_p)]


class Error(Exception):
    """A call that was refused."""


# What the package's SYCL build needs, which lies beside it, where no loader looks. An OpenMP build needs nothing.
BESIDE = ("libtbb.so.12", "libintlc.so.5", "libimf.so", "libsvml.so", "libumf.so.1", "libsycl.so.9")


def _load():
    """The library of a package on PyPI, which puts it beside the interpreter's own."""
    folder = os.path.join(sysconfig.get_path("data"), "lib")
    path = os.path.join(folder, "libdnnl.so.3")
    if not os.path.exists(path):
        raise Error(f"{sys.executable} has no oneDNN: there is no {path}")
    # SYCL finds the processor through OpenCL, which has to be told of the driver that comes with the package.
    os.environ.setdefault("OCL_ICD_FILENAMES", os.path.join(folder, "libintelocl.so"))
    for beside in (os.path.join(folder, name) for name in BESIDE):
        if os.path.exists(beside):
            ctypes.CDLL(beside, mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(path)


class Library:
    """The library, an engine on the processor and a stream."""

    def __init__(self):
        self._library = _load()
        self._library.dnnl_version.restype = ctypes.POINTER(_Version)
        self._library.dnnl_fmt_tag2str.restype = ctypes.c_char_p
        version = self._library.dnnl_version().contents
        if version.major != 3:
            raise Error(f"oneDNN {version.major}.{version.minor}: the calls here are those of version 3")
        runtime = RUNTIMES.get(version.cpu_runtime, f"runtime {version.cpu_runtime}")
        self.version = f"oneDNN {version.major}.{version.minor}.{version.patch}, {runtime}"
        self._made = []
        self.engine = self.created("dnnl_engine_create", CPU, ctypes.c_size_t(0))
        self.stream = self.created("dnnl_stream_create", self.engine, IN_ORDER)
        names = (self._library.dnnl_fmt_tag2str(tag) for tag in range(1, 1000))
        self._tags = {(name or b"").decode(): tag for tag, name in enumerate(names, 1)}

    def call(self, name, *arguments):
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            what = STATUSES[status] if status < len(STATUSES) else str(status)
            raise Error(f"{name}: {what}")

    def created(self, name, *arguments, destroy=None):
        """The object that the call writes through its first argument, and the call that will destroy it."""
        made = ctypes.c_void_p()
        self.call(name, ctypes.byref(made), *arguments)
        if destroy:
            self._made.append((destroy, made))
        return made

    def release(self):
        """Destroys everything but the engine and the stream."""
        while self._made:
            self.call(*self._made.pop())

    def descriptor(self, dims, tag):
        """Of an f32 array in an order of its dimensions (`acdb`) or in blocks of channels (`aBcd16b`)."""
        padded = (ctypes.c_int64 * MOST_DIMENSIONS)(*dims)
        arguments = len(dims), padded, F32, self._tags[tag]
        return self.created("dnnl_memory_desc_create_with_tag", *arguments, destroy="dnnl_memory_desc_destroy")

    def implementation(self, primitive):
        name = ctypes.c_char_p()
        self.call("dnnl_primitive_desc_query", primitive, IMPLEMENTATION_NAME, 0, ctypes.byref(name))
        return name.value.decode()

    def _primitive(self, name, *arguments):
        """A primitive's descriptor, with the defaults of its attributes."""
        return self.created(name, *arguments, None, destroy="dnnl_primitive_desc_destroy")

    def forward(self, kind, descriptor, epsilon, flags):
        arguments = self.engine, kind, descriptor, descriptor, ctypes.c_float(epsilon), flags
        return self._primitive("dnnl_batch_normalization_forward_primitive_desc_create", *arguments)

    def backward(self, descriptor, epsilon, flags, forward):
        arguments = self.engine, BACKWARD, *[descriptor] * 3, ctypes.c_float(epsilon), flags, forward
        return self._primitive("dnnl_batch_normalization_backward_primitive_desc_create", *arguments)

    def reorder(self, source, target):
        """Copies an array into another of a different order, and waits."""
        arguments = source.descriptor, self.engine, target.descriptor, self.engine
        primitive = self._primitive("dnnl_reorder_primitive_desc_create", *arguments)
        Call(self, primitive, {SRC: source, DST: target})()


class Memory:
    """An array of oneDNN's."""

    def __init__(self, library, descriptor):
        self._library = library
        self.descriptor = descriptor
        arguments = descriptor, library.engine, ALLOCATE
        self.handle = library.created("dnnl_memory_create", *arguments, destroy="dnnl_memory_destroy")

    def mapped(self, use):
        """Calls `use` with the address of the values."""
        address = ctypes.c_void_p()
        self._library.call("dnnl_memory_map_data", self.handle, ctypes.byref(address))
        use(address.value)
        self._library.call("dnnl_memory_unmap_data", self.handle, address)


class Call:
    """A primitive with its arguments; called, it runs and waits for its end."""

    def __init__(self, library, descriptor, arguments):
        primitive = library.created("dnnl_primitive_create", descriptor, destroy="dnnl_primitive_destroy")
        pairs = [_Argument(index, memory.handle) for index, memory in arguments.items()]
        self._execute = library.call
        self._arguments = primitive, library.stream, len(pairs), (_Argument * len(pairs))(*pairs)
        self._stream = library.stream

    def __call__(self):
        self._execute("dnnl_primitive_execute", *self._arguments)
        self._execute("dnnl_stream_wait", self._stream)
