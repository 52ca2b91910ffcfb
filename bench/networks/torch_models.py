"""Small PyTorch networks of the usual blocks, as their users write them, for the exporters."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    activation: Callable[[], nn.Module] | None,
    groups: int = 1,
) -> nn.Sequential:
    """Return convolution, batch norm and activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class SqueezeExcite(nn.Module):  # type: ignore[misc]
    """Scale each channel by what the channels' means say; means by a pooling or by `mean`."""

    def __init__(self, channels: int, squeezed: int, gate: Callable[[], nn.Module], pool: bool) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.gate, self.pool = gate(), pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x, scaled."""
        means = F.adaptive_avg_pool2d(x, 1) if self.pool else x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(F.relu(self.reduce(means))))


class InvertedResidual(nn.Module):  # type: ignore[misc]
    """Expand, depthwise, squeeze-and-excite if asked for, project; the input is added where shapes allow."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        kernel: int,
        stride: int,
        activation: Callable[[], nn.Module],
        excite: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(conv_norm(inputs, hidden, 1, 1, activation))
        layers.append(conv_norm(hidden, hidden, kernel, stride, activation, groups=hidden))
        if excite is not None:
            layers.append(excite(hidden))
        layers.append(conv_norm(hidden, outputs, 1, 1, None))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layers make of x."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.adds else y


class SplitBlock(nn.Module):  # type: ignore[misc]
    """ShuffleNetV2's unit: half of the channels pass, the others are filtered, then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            conv_norm(half, half, 1, 1, nn.ReLU),
            conv_norm(half, half, 3, 1, None, groups=half),
            conv_norm(half, half, 1, 1, nn.ReLU),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x, its second half filtered."""
        passing, filtered = x.chunk(2, dim=1)
        y = torch.cat([passing, self.layers(filtered)], dim=1)
        batch, channels, height, width = y.shape
        y = y.view(batch, 2, channels // 2, height, width).transpose(1, 2)
        return y.reshape(batch, channels, height, width)


def mobilenet_v3_like() -> nn.Module:
    """Return hard-swish, squeeze-and-excite by pooling, hard-sigmoid gates, a hidden linear layer."""

    def excite(hidden: int) -> nn.Module:
        return SqueezeExcite(hidden, hidden // 4, nn.Hardsigmoid, pool=True)

    return nn.Sequential(
        conv_norm(3, 16, 3, 2, nn.Hardswish),
        InvertedResidual(16, 16, 16, 3, 1, nn.ReLU),
        InvertedResidual(16, 64, 24, 5, 2, nn.ReLU, excite),
        InvertedResidual(24, 72, 24, 5, 1, nn.Hardswish, excite),
        conv_norm(24, 96, 1, 1, nn.Hardswish),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, 64),
        nn.Hardswish(),
        nn.Dropout(0.2),
        nn.Linear(64, 10),
    )


def efficientnet_like() -> nn.Module:
    """Return SiLU, squeeze-and-excite by means, sigmoid gates."""

    def excite(hidden: int) -> nn.Module:
        return SqueezeExcite(hidden, 6, nn.Sigmoid, pool=False)

    return nn.Sequential(
        conv_norm(3, 16, 3, 2, nn.SiLU),
        InvertedResidual(16, 16, 16, 3, 1, nn.SiLU, excite),
        InvertedResidual(16, 96, 24, 3, 2, nn.SiLU, excite),
        InvertedResidual(24, 144, 24, 5, 1, nn.SiLU, excite),
        conv_norm(24, 96, 1, 1, nn.SiLU),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, 10),
    )


def shuffle_like() -> nn.Module:
    """Return channels split, concatenated and shuffled, and a max pooling."""
    return nn.Sequential(
        conv_norm(3, 24, 3, 2, nn.ReLU),
        nn.MaxPool2d(3, 2, 1),
        SplitBlock(24),
        SplitBlock(24),
        nn.AvgPool2d(2),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
        nn.LogSoftmax(dim=1),
    )


def convnext_like() -> nn.Module:
    """Return large depthwise kernels, GELU, and layers of grouped and transposed-free plain convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 4, 4),
        nn.Conv2d(24, 24, 7, padding=3, groups=24),
        nn.BatchNorm2d(24),
        nn.Conv2d(24, 96, 1),
        nn.GELU(),
        nn.Conv2d(96, 24, 1, groups=4),
        nn.LeakyReLU(0.1),
        nn.Conv2d(24, 32, 3, padding="same", dilation=2),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
        nn.Softmax(dim=-1),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v3_like": mobilenet_v3_like,
    "efficientnet_like": efficientnet_like,
    "shuffle_like": shuffle_like,
    "convnext_like": convnext_like,
}


def with_statistics(network: nn.Module, size: int) -> nn.Module:
    """Return the network ready to export: weights seeded, batch norms that have seen some noise."""
    random = torch.Generator().manual_seed(0)
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=random)
        for _ in range(4):
            network(torch.randn(8, 3, size, size, generator=random))
    return network.eval()
