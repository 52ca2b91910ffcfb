"""A whole network in PyTorch: one graph of F.conv2d and the like, channels_last, through torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from bench.network_rows import NetworkRow
from bench.networks.folded import Network, Step
from bench.peers.form import Form, aligned
from bench.peers.pytorch import NAME

__all__ = ["NAME", "module_of", "network_forms"]


def network_forms(row: NetworkRow, threads: int) -> Iterator[Form]:
    """Yield the compiled graph: weights frozen, so that they are packed and activations fused."""
    torch.set_num_threads(threads)
    # Graphs are compiled for a number of threads; none compiled before may be taken.
    torch.compiler.reset()
    module = module_of(row.folded())
    x = torch.from_numpy(aligned(row.images().transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    yield form(
        torch.compile(module, options={"freezing": True}), x, "torch.compile, weights frozen, channels_last"
    )


def form(network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, words: str) -> Form:
    """Return the form; PyTorch allocates its output."""
    last: list[torch.Tensor] = []

    def call() -> None:
        last[:] = [network(x)]

    return Form(words, call, lambda: last[0].numpy())


def module_of(network: Network) -> fx.GraphModule:
    """Return the network as a module, its kernels in channels_last."""
    root = torch.nn.Module()
    graph = fx.Graph()
    values = {"x": graph.placeholder("x")}
    for index, step in enumerate(network.steps):
        weights = []
        for name, array in (("kernel", step.kernel), ("bias", step.bias)):
            if array is not None:
                tensor = torch.from_numpy(np.array(array))
                if tensor.ndim == 4:
                    tensor = tensor.contiguous(memory_format=torch.channels_last)
                root.register_buffer(f"{name}{index}", tensor)
                weights.append(graph.get_attr(f"{name}{index}"))
        values[step.output] = node_of(graph, step, [values[name] for name in step.inputs], weights)
    graph.output(values[network.output])
    return fx.GraphModule(root, graph).eval()


def node_of(graph: fx.Graph, step: Step, inputs: list[fx.Node], weights: list[fx.Node]) -> fx.Node:
    """Add one step."""
    x, attributes = inputs[0], step.attributes
    match step.operator:
        case "conv":
            assert step.kernel is not None
            # With stride 1, "same" is symmetric; a kernel of one pixel needs none.
            pads = (step.kernel.shape[2] - 1) // 2 if attributes["pads"] == "same" else attributes["pads"]
            if attributes["pads"] == "same" and attributes["stride"] > 1 and pads:
                raise ValueError(f'F.conv2d has no "same" with stride {attributes["stride"]}')
            stride, groups = attributes["stride"], attributes["groups"]
            return graph.call_function(F.conv2d, (x, *weights, stride, pads, 1, groups))
        case "dense":
            return graph.call_function(F.linear, (x, *weights))
        case "max_pool":
            same = attributes["pads"] == "same"
            function = max_pool_same if same else F.max_pool2d
            pads = () if same else (attributes["pads"],)
            return graph.call_function(function, (x, attributes["taps"], attributes["stride"], *pads))
        case "mean":
            return graph.call_function(torch.mean, (x, (2, 3), True))
        case "flatten":
            return graph.call_function(torch.flatten, (x, 1))
        case "add":
            return graph.call_function(torch.add, tuple(inputs))
        case "multiply":
            return graph.call_function(torch.mul, tuple(inputs))
        case "softmax":
            return graph.call_function(torch.softmax, (x, -1))
        case operator:
            functions: dict[str, Callable[..., torch.Tensor]] = {
                "relu": F.relu,
                "relu6": F.relu6,
                "silu": F.silu,
                "hard_swish": F.hardswish,
                "hard_sigmoid": F.hardsigmoid,
                "sigmoid": torch.sigmoid,
            }
            return graph.call_function(functions[operator], (x,))


def max_pool_same(x: torch.Tensor, taps: int, stride: int) -> torch.Tensor:
    """Return max pooling that pads as "same": a surplus of one pixel goes after, where ceil_mode puts it."""
    surplus = {max((-(-size // stride) - 1) * stride + taps - size, 0) for size in x.shape[2:]}
    if surplus == {taps - 1}:
        return F.max_pool2d(x, taps, stride, taps // 2)
    if surplus == {taps - 2}:
        return F.max_pool2d(x, taps, stride, 0, ceil_mode=True)
    raise ValueError(f"sizes {tuple(x.shape[2:])} need another padding than the networks here")


max_pool_same.__module__ = __name__
