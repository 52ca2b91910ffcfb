"""What `fastsep.cost` returns: layers, and their sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastsep._layer_costs import Layer
from fastsep._table import sizes, table


@dataclass(frozen=True)
class Cost:
    """The layers of a network, or of one convolution in one form, and their sums.

    `str` is a table of sums, `table()` of all layers, `to_dict()` a dictionary.

    Attributes
    ----------
    name : str
    layers : tuple of Layer
    dtype : str
    published_multiply_adds, published_parameters : float or None
        What the paper states, rounded as there.
    trainable_parameters : int or None
        The exact count of a published model.
    """

    name: str
    layers: tuple[Layer, ...]
    dtype: str = "float32"
    published_multiply_adds: float | None = None
    published_parameters: float | None = None
    trainable_parameters: int | None = None

    @property
    def parameters(self) -> int:
        """Weights, biases, and scales and shifts of normalisations."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """For one image; taps on padding count, as in the papers."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Input, parameters and output of every layer, each moved once: what no layer by itself can avoid."""
        return sum(layer.elements for layer in self.layers) * np.dtype(self.dtype).itemsize

    def to_dict(self) -> dict[str, Any]:
        """All figures, in types that JSON knows."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "bytes": self.bytes,
            "published_multiply_adds": self.published_multiply_adds,
            "published_parameters": self.published_parameters,
            "trainable_parameters": self.trainable_parameters,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def table(self) -> str:
        """A row for every layer."""
        rows = [
            [layer.name, str(layer), f"{layer.parameters:,}", f"{layer.multiply_adds:,}"]
            for layer in self.layers
        ]
        rows.append(["sum", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"])
        return table(["layer", "what", "parameters", "multiply-adds"], rows, left=(0, 1))

    def __str__(self) -> str:
        kinds: Counter[str] = Counter()
        parameters: Counter[str] = Counter()
        multiply_adds: Counter[str] = Counter()
        for layer in self.layers:
            kinds[layer.kind] += 1
            parameters[layer.kind] += layer.parameters
            multiply_adds[layer.kind] += layer.multiply_adds
        rows = [
            [
                kind,
                str(count),
                f"{parameters[kind]:,}",
                f"{multiply_adds[kind]:,}",
                f"{multiply_adds[kind] / max(self.multiply_adds, 1):.1%}",
            ]
            for kind, count in kinds.items()
        ]
        rows.append(["sum", str(len(self.layers)), f"{self.parameters:,}", f"{self.multiply_adds:,}", ""])
        published = ["", "", _rounded(self.published_parameters), _rounded(self.published_multiply_adds), ""]
        if published != [""] * 5:
            rows.append(["published", *published[1:]])
        text = table(["layers", "count", "parameters", "multiply-adds", "share"], rows)
        where = sizes(self.layers[0].input_shape)
        return f"{self.name}, {where}, {self.dtype}, {self.bytes / 1e6:.1f} MB moved\n\n{text}"


@dataclass(frozen=True)
class Costs:
    """One convolution in its three forms; `str` is a table, `to_dict()` a dictionary.

    Attributes
    ----------
    standard, spatially_separable, depthwise_separable : Cost
    """

    standard: Cost
    spatially_separable: Cost
    depthwise_separable: Cost

    def to_dict(self) -> dict[str, Any]:
        """All figures, in types that JSON knows."""
        return {
            "standard": self.standard.to_dict(),
            "spatially_separable": self.spatially_separable.to_dict(),
            "depthwise_separable": self.depthwise_separable.to_dict(),
        }

    def __str__(self) -> str:
        rows = []
        whole = max(self.standard.multiply_adds, 1)
        for form in (self.standard, self.spatially_separable, self.depthwise_separable):
            rows.append(
                [
                    form.name,
                    f"{form.parameters:,}",
                    f"{form.multiply_adds:,}",
                    f"{form.multiply_adds / whole:.3f}×",
                    f"{form.bytes:,}",
                ]
            )
            if len(form.layers) > 1:
                rows += [
                    [f"  {layer.name}", f"{layer.parameters:,}", f"{layer.multiply_adds:,}", "", ""]
                    for layer in form.layers
                ]
        return (
            f"{self.standard.layers[0]}, {self.standard.dtype}\n\n"
            f"{table(['form', 'parameters', 'multiply-adds', 'of the standard', 'bytes'], rows)}"
        )


def _rounded(figure: float | None) -> str:
    """A published figure as it was rounded."""
    if figure is None:
        return ""
    return f"{figure / 1e9:g} G" if figure >= 1e9 else f"{figure / 1e6:g} M"
