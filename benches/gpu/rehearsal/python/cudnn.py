"""Stands in for cuDNN's Python package: see the stand-in for PyTorch. `CUDNN_STAND_IN=crashing` or `hanging` makes it take its
process along."""

import os
import time
import types

MODE = os.environ.get("CUDNN_STAND_IN", "")

data_type = types.SimpleNamespace(FLOAT=0, HALF=1, BFLOAT16=2)
heur_mode = types.SimpleNamespace(A=0, FALLBACK=1)


class cudnnGraphNotSupportedError(RuntimeError):
    pass


class Described:
    def set_output(self, is_output):
        return self

    def set_data_type(self, kind):
        return self


class pygraph:
    def __init__(self, io_data_type, intermediate_data_type, compute_data_type, handle):
        pass

    def tensor(self, name, dim, stride, data_type, is_pass_by_value):
        assert len(dim) == len(stride)
        return Described()

    def batchnorm(self, name, input, scale, bias, in_running_mean, in_running_var, epsilon, momentum):
        return [Described() for _ in range(5)]

    def batchnorm_backward(self, name, grad, input, scale, mean, inv_variance):
        return [Described() for _ in range(3)]

    def validate(self):
        pass

    build_operation_graph = check_support = build_plans = validate

    def create_execution_plans(self, modes):
        pass

    def get_workspace_size(self):
        return 1

    def execute(self, arrays, workspace, handle):
        assert all(isinstance(described, Described) for described in arrays)


def create_handle():
    if MODE == "crashing":
        os.abort()
    if MODE == "hanging":
        time.sleep(1000)
    return 1


def set_stream(handle, stream):
    pass
