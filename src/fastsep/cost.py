"""Parameters, multiply-adds and bytes: a convolution in all its forms, and published networks."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fastsep import _validate

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastsep._costs import Cost, Costs
    from fastsep._layer_costs import Layer
else:

    def __getattr__(name):
        # Everybody who imports fastsep imports this; the classes, formulas and tables take 8 ms.
        if name in ("Cost", "Costs", "Layer"):
            from fastsep import _costs

            return getattr(_costs, name)
        raise AttributeError(f"module 'fastsep.cost' has no attribute {name!r}")


__all__ = ["Cost", "Costs", "Layer", "cost", "networks"]

FORMS = ("standard", "spatially separable", "depthwise separable")


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
    from fastsep._costs import Cost, Costs
    from fastsep._layer_costs import Window, passes, separated, standard
    from fastsep._table import sizes

    kind = _dtype(dtype)
    if isinstance(what, str):
        given = {
            "kernel_size": kernel_size is not None,
            "outputs": outputs is not None,
            "strides": strides != 1,
            "padding": padding != "valid",
            "dilation_rate": dilation_rate != 1,
            "multiplier": multiplier != 1,
            "rank": rank != 1,
            "bias": bias is not False,
        }
        if what in networks() and any(given.values()):
            names = ", ".join(name for name, is_given in given.items() if is_given)
            raise TypeError(f"what={what!r} is a network, whose layers are known; it goes without {names}")
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
    from fastsep import _networks

    return tuple(_networks.variants())


def _network(name: str, form: str | None, dtype: str) -> Cost:
    from fastsep import _networks
    from fastsep._costs import Cost

    known = _networks.variants()
    if name not in known:
        raise ValueError(
            f"what must be the shape of an image, such as (12, 12, 3), or one of {', '.join(known)}; "
            f"got {name!r}"
        )
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
