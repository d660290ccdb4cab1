"""What everybody is given: the driver's raw files of one shape and layout."""

import ctypes
import dataclasses
import math
import os

CHANNELS_FIRST, CHANNELS_LAST = "channels first", "channels last"
FLOAT_BYTES = 4


@dataclasses.dataclass
class Problem:
    dims: list  # N, C, spatial...
    layout: str  # in which order the values of x and dy lie
    sets: int  # of x, dy and a result, which take turns so that nothing large is found in the cache
    epsilon: float
    running_mean: float
    running_variance: float
    folder: str  # of the files x, dy, gamma, beta

    @property
    def channels(self):
        return self.dims[1]

    def read(self, name, address):
        """Reads a file to an address; γ and β have a value for each channel."""
        values = self.channels if name in ("gamma", "beta") else math.prod(self.dims)
        memory = (ctypes.c_char * (values * FLOAT_BYTES)).from_address(address)
        with open(os.path.join(self.folder, name), "rb") as file:
            found = file.readinto(memory)
        if found != len(memory):
            raise ValueError(f"{name} has {found} bytes, not {len(memory)}")

    def fill(self, address, value):
        """Sets each channel's value at an address."""
        (ctypes.c_float * self.channels).from_address(address)[:] = [value] * self.channels

    def write(self, name, address):
        """Writes the values of x's shape at an address to a file."""
        memory = (ctypes.c_char * (math.prod(self.dims) * FLOAT_BYTES)).from_address(address)
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(memory)
