"""Parameters, multiply-adds and bytes: a convolution in all its forms, and published networks."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike

from fastsep import _networks, _validate
from fastsep._layer_costs import Layer, Window, passes, separated, standard
from fastsep._table import sizes, table

__all__ = ["Cost", "Costs", "Layer", "cost", "networks"]

FORMS = ("standard", "spatially separable", "depthwise separable")


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


@overload
def cost(what: str, *, form: str | None = None, dtype: DTypeLike = "float32") -> Cost: ...
@overload
def cost(
    what: tuple[int, ...],
    kernel_size: int | tuple[int, ...],
    outputs: int,
    strides: int | tuple[int, ...] = 1,
    padding: Any = "valid",
    dilation_rate: int | tuple[int, ...] = 1,
    *,
    multiplier: int = 1,
    rank: int = 1,
    bias: bool = False,
    dtype: DTypeLike = "float32",
) -> Costs: ...
def cost(
    what: str | tuple[int, ...],
    kernel_size: int | tuple[int, ...] | None = None,
    outputs: int | None = None,
    strides: int | tuple[int, ...] = 1,
    padding: Any = "valid",
    dilation_rate: int | tuple[int, ...] = 1,
    *,
    multiplier: int = 1,
    rank: int = 1,
    bias: bool = False,
    form: str | None = None,
    dtype: DTypeLike = "float32",
) -> Cost | Costs:
    """Parameters, multiply-adds and bytes of a convolution in its three forms, or of a published network.

    Parameters
    ----------
    what : tuple of int, or str
        The shape of an image, (*spatial, Cin); or the name of a network: `fastsep.networks()` has all.
    kernel_size : int or one int per spatial axis
    outputs : int
        Cout.
    strides, padding, dilation_rate
        As in `Conv`.
    multiplier : int
        Depthwise filters for each input channel, M, of the depthwise separable form.
    rank : int
        Terms of each kernel, of the spatially separable form.
    bias : bool
        One for each output channel, in each form.
    form : None, "standard", "spatially separable" or "depthwise separable"
        For a network: None is as published; otherwise the twin that has every convolution in that form.
        "standard" makes one convolution of each depthwise one and the pointwise one that it feeds, as the
        authors of MobileNet did to compare.
    dtype : dtype
        Of all arrays, for the bytes.

    Returns
    -------
    Costs or Cost
        Of a convolution all three forms, of a network its layers.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    For P output pixels: standard P·prod(K)·Cin·Cout multiply-adds; spatially separable P·sum(K)·Cin·Cout, if
    every kernel is an outer product (the passes before the last one have more pixels under strides or without
    padding, and these count); depthwise separable P·(prod(K)·Cin·M + Cin·M·Cout). Howard et al.,
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), section 3.1.
    Taps on padding count. Bytes are input, parameters and output of every layer, each moved once.

    Examples
    --------
    >>> costs = cost((12, 12, 3), 5, 256)
    >>> costs.standard.multiply_adds
    1228800
    >>> [layer.multiply_adds for layer in costs.depthwise_separable.layers]
    [4800, 49152]
    """
    kind = _dtype(dtype)
    if isinstance(what, str):
        return _network(what, form, kind)
    if form is not None:
        raise TypeError("form is for networks; a convolution is told in all three forms")
    if kernel_size is None or outputs is None:
        raise TypeError("kernel_size and outputs are needed beside the shape of an image")
    if not isinstance(what, tuple | list) or len(what) < 2:
        raise TypeError(
            f"what must be the shape of an image, (*spatial, Cin), or a network's name; got {what!r}"
        )
    shape = tuple(_positive(size, "what") for size in what)
    axes = len(shape) - 1
    taps = _validate.axes(kernel_size, "kernel_size", axes)
    window = Window(*_validate.window(taps, strides, padding, dilation_rate))
    filters, depth, terms = (
        _positive(value, name)
        for value, name in ((outputs, "outputs"), (multiplier, "multiplier"), (rank, "rank"))
    )
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be True or False; got {bias!r}")
    other = filters if bias else 0
    if 0 in window.output(shape[:-1]):
        raise ValueError(
            f"kernel_size={kernel_size!r} does not fit into an image of {sizes(shape[:-1])} pixels"
        )
    forms = (
        (standard("conv", shape, window, filters, other),),
        passes("pass", shape, window, filters, terms, other),
        separated("conv", shape, window, filters, depth, other=other),
    )
    return Costs(*(Cost(name, layers, kind) for name, layers in zip(FORMS, forms, strict=True)))


def networks() -> tuple[str, ...]:
    """Names of the published networks that `cost` knows."""
    return tuple(_networks.variants())


def _network(name: str, form: str | None, dtype: str) -> Cost:
    known = _networks.variants()
    if name not in known:
        raise ValueError(f"what must be the shape of an image or one of {', '.join(known)}; got {name!r}")
    variant, rows = known[name]
    layers = _networks.build(variant, rows)
    if form is None:
        return Cost(
            name, layers, dtype, variant.multiply_adds, variant.parameters, variant.trainable_parameters
        )
    if form not in FORMS:
        raise ValueError(f"form must be None or one of {', '.join(FORMS)}; got {form!r}")
    return Cost(f"{name}, {form}", _networks.in_form(name, layers, form), dtype)


def _dtype(dtype: DTypeLike) -> str:
    try:
        return str(np.dtype(dtype))
    except TypeError:
        raise TypeError(f"dtype must be a dtype; got {dtype!r}") from None


def _positive(value: object, name: str) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must hold ints; got {value!r}") from None
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be at least 1; got {value!r}")
    return number


def _rounded(figure: float | None) -> str:
    """A published figure as it was rounded."""
    if figure is None:
        return ""
    return f"{figure / 1e9:g} G" if figure >= 1e9 else f"{figure / 1e6:g} M"
