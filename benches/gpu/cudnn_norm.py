"""cuDNN's batch norm through its graphs (package nvidia-cudnn-frontend), with engines that PyTorch does not call."""

import cudnn
import torch

import passes
from ways import NotHere

TYPES = {
    torch.float32: cudnn.data_type.FLOAT,
    torch.float16: cudnn.data_type.HALF,
    torch.bfloat16: cudnn.data_type.BFLOAT16,
}
MOMENTUM = 0.1


class Graph:
    """A graph of cuDNN's that is built for arrays like those it is first given."""

    def __init__(self, handle):
        self.handle = handle
        self.graph = cudnn.pygraph(
            io_data_type=cudnn.data_type.FLOAT,
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=handle,
        )
        self.inputs, self.outputs = [], []

    def input(self, name, array, by_value=False):
        described = self.graph.tensor(
            name=name,
            dim=list(array.size()),
            stride=list(array.stride()),
            data_type=TYPES[array.dtype],
            is_pass_by_value=by_value,
        )
        self.inputs.append(described)
        return described

    def output(self, described, like):
        described.set_output(True).set_data_type(TYPES[like.dtype])
        self.outputs.append(described)

    def build(self):
        self.graph.validate()
        self.graph.build_operation_graph()
        self.graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        self.graph.check_support()
        self.graph.build_plans()
        self.workspace = torch.empty(self.graph.get_workspace_size(), device="cuda", dtype=torch.uint8)

    def run(self, inputs, likes):
        """New outputs, each like an array."""
        outputs = [torch.empty_like(like) for like in likes]
        cudnn.set_stream(handle=self.handle, stream=torch.cuda.current_stream().cuda_stream)
        arrays = dict(zip(self.inputs + self.outputs, list(inputs) + outputs))
        self.graph.execute(arrays, self.workspace, handle=self.handle)
        return outputs


def per_channel(array, dimensions):
    """With as many dimensions as x, which cuDNN wants."""
    return array.detach().reshape([1, -1] + [1] * (dimensions - 2))


def forward_of(handle, arrays):
    """y, the mean and 1/deviation, and running statistics, which cuDNN has no training pass without."""
    graph = Graph(handle)
    x, weight, bias, mean, variance, epsilon, momentum = map(graph.input, NAMES, arrays, [False] * 5 + [True] * 2)
    outputs = graph.graph.batchnorm(
        name="forward",
        input=x,
        scale=weight,
        bias=bias,
        in_running_mean=mean,
        in_running_var=variance,
        epsilon=epsilon,
        momentum=momentum,
    )
    for described, like in zip(outputs, likes_of(arrays)):
        graph.output(described, like)
    graph.build()
    return graph


NAMES = ("x", "weight", "bias", "mean", "variance", "epsilon", "momentum")


def likes_of(arrays):
    x, weight = arrays[:2]
    return [x, weight, weight, weight, weight]


def backward_of(handle, arrays):
    """dx, and the gradients of weight and bias."""
    graph = Graph(handle)
    dy, x, weight, mean, inv_std = map(graph.input, ("dy", "x", "weight", "mean", "inv_std"), arrays)
    outputs = graph.graph.batchnorm_backward(
        name="backward", grad=dy, input=x, scale=weight, mean=mean, inv_variance=inv_std
    )
    for described, like in zip(outputs, (arrays[1], arrays[2], arrays[2])):
        graph.output(described, like)
    graph.build()
    return graph


def calls_of(name, sets):
    if name not in ("forward", "backward"):
        raise NotHere("only plain passes are measured through cuDNN's graphs")
    try:
        return calls_of_graphs(name, sets)
    except cudnn.cudnnGraphNotSupportedError as error:
        raise NotHere(f"cuDNN has no such graph: {error}") from error


def calls_of_graphs(name, sets):
    handle = cudnn.create_handle()
    dimensions = sets[0].x.dim()
    number = lambda value: torch.full([1] * dimensions, value)

    def given(a):
        channel = [per_channel(array, dimensions) for array in (a.weight, a.bias, a.mean, a.variance)]
        return [a.x.detach(), *channel, number(passes.EPSILON), number(MOMENTUM)]

    of_sets = [given(a) for a in sets]
    forward = forward_of(handle, of_sets[0])
    if name == "forward":
        return [lambda arrays=arrays: forward.run(arrays, likes_of(arrays)) for arrays in of_sets]
    backward, calls = None, []
    for a, arrays in zip(sets, of_sets):
        _, mean, inv_std, *_ = forward.run(arrays, likes_of(arrays))
        of_backward = [a.dy, arrays[0], arrays[1], mean, inv_std]
        backward = backward or backward_of(handle, of_backward)
        likes = (arrays[0], arrays[1], arrays[1])
        calls.append(lambda given=of_backward, likes=likes: backward.run(given, likes))
    return calls
