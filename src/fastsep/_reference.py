"""The specification: every operation as its definition says, in plain NumPy and in extended precision.

Nothing here is fast and nothing is shared with the code it specifies. Images are brought to
channels_last and padded with zeros that take part in the sums; the taps are visited in ascending order,
each one as a strided slice of the padded image. Results keep the type they were computed in, so that
they can be compared before they are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
PerAxis = int | Sequence[int]
Padding = str | int | Sequence[tuple[int, int]]
Activation = str | tuple[float, float] | None

# Enough digits that every rounding error below disappears in the 19 digits of the widest hardware type.
_DIGITS = Context(prec=60, Emin=-999999, Emax=999999)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")


def output_geometry(
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: PerAxis = 1,
    padding: Padding = "valid",
    dilation_rate: PerAxis = 1,
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Find the spatial output sizes, and the zeros to put (before, after) each spatial axis."""
    sizes: list[int] = []
    pads: list[tuple[int, int]] = []
    rank = len(spatial)
    for axis, (size, taps, stride, dilation) in enumerate(
        zip(spatial, kernel, _per_axis(strides, rank), _per_axis(dilation_rate, rank), strict=True)
    ):
        extent = (taps - 1) * dilation + 1
        if isinstance(padding, str) and padding in ("same", "same_lower"):
            # TensorFlow's rule: ceil(size / stride) outputs, and as few zeros as they need.
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            smaller, larger = total // 2, total - total // 2
            before, after = (smaller, larger) if padding == "same" else (larger, smaller)
        elif isinstance(padding, str):
            before, after = {"valid": (0, 0)}[padding]
        else:
            before, after = (padding, padding) if isinstance(padding, int) else padding[axis]
        pads.append((before, after))
        sizes.append(max(0, (size + before + after - extent) // stride + 1))
    return tuple(sizes), tuple(pads)


def conv(
    inputs: Array,
    kernel: Array,
    strides: PerAxis = 1,
    padding: Padding = "valid",
    data_format: str | None = None,
    dilation_rate: PerAxis = 1,
    *,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Cross-correlate with a kernel ``(*K, Cin / groups, Cout)``; the groups follow from the shapes."""
    image = _channels_last(inputs, data_format).astype(accumulate)
    weights = kernel.astype(accumulate)
    depth, filters = kernel.shape[-2:]
    groups = image.shape[-1] // depth
    total: Array | None = None
    for tap, window in _windows(image, kernel.shape[:-2], strides, padding, dilation_rate):
        grouped = window.reshape(*window.shape[:-1], groups, depth)
        factors = weights[tap].reshape(depth, groups, filters // groups)
        product = np.einsum("...gi,igo->...go", grouped, factors).reshape(*window.shape[:-1], filters)
        total = product if total is None else total + product
    return _finish(total, bias, residual, activation, data_format)


def depthwise_conv(
    inputs: Array,
    kernel: Array,
    strides: PerAxis = 1,
    padding: Padding = "valid",
    data_format: str | None = None,
    dilation_rate: PerAxis = 1,
    *,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Convolve each channel c with its own kernels ``(*K, C, M)``, for outputs c·M … c·M + M - 1."""
    image = _channels_last(inputs, data_format).astype(accumulate)
    weights = kernel.astype(accumulate)
    channels, multiplier = kernel.shape[-2:]
    total: Array | None = None
    for tap, window in _windows(image, kernel.shape[:-2], strides, padding, dilation_rate):
        product = (window[..., np.newaxis] * weights[tap]).reshape(*window.shape[:-1], channels * multiplier)
        total = product if total is None else total + product
    return _finish(total, bias, residual, activation, data_format)


def pointwise_conv(
    inputs: Array,
    kernel: Array,
    *,
    data_format: str | None = None,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Apply a linear layer to the channels: a kernel ``(Cin, Cout)`` or ``(1, …, 1, Cin, Cout)``."""
    image = _channels_last(inputs, data_format).astype(accumulate)
    weights = kernel.reshape(kernel.shape[-2:]).astype(accumulate)
    return _finish(np.einsum("...i,io->...o", image, weights), bias, residual, activation, data_format)


def separable_conv(
    inputs: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    strides: PerAxis = 1,
    padding: Padding = "valid",
    data_format: str | None = None,
    dilation_rate: PerAxis = 1,
    *,
    depthwise_bias: Array | None = None,
    depthwise_activation: Activation = None,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Convolve depthwise, then pointwise; nothing is rounded in between."""
    filtered = depthwise_conv(
        inputs, depthwise_kernel, strides, padding, data_format, dilation_rate,
        bias=depthwise_bias, activation=depthwise_activation, accumulate=accumulate,
    )  # fmt: skip
    return pointwise_conv(
        filtered, pointwise_kernel,
        data_format=data_format, bias=bias, activation=activation, residual=residual, accumulate=accumulate,
    )  # fmt: skip


def squeeze_excite(
    inputs: Array,
    reduce_kernel: Array,
    expand_kernel: Array,
    reduce_bias: Array | None = None,
    expand_bias: Array | None = None,
    activation: Activation = "relu",
    gate: Activation = "sigmoid",
    *,
    data_format: str | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Multiply each channel of an image by a gate, two dense layers over the means of all its channels.

    The contract's order, where sums are rounded: each row of pixels from left to right, beginning with +0,
    then the sums of the rows (in 3-D of the first plane, then of the second …), likewise; then one division.
    """
    image = _channels_last(inputs, data_format).astype(accumulate)
    if image[..., :1].size == 0:
        return inputs.astype(accumulate)
    means = np.mean(image, axis=tuple(range(1, image.ndim - 1)), keepdims=True)
    squeezed = pointwise_conv(
        means, reduce_kernel, bias=reduce_bias, activation=activation, accumulate=accumulate
    )
    factors = pointwise_conv(
        squeezed, expand_kernel, bias=expand_bias, activation=gate, accumulate=accumulate
    )
    return _finish(image * factors, None, None, None, data_format)


def inverted_residual(
    inputs: Array,
    expand_kernel: Array | None,
    depthwise_kernel: Array,
    project_kernel: Array,
    *,
    strides: PerAxis = 1,
    padding: Padding = "same",
    data_format: str | None = None,
    dilation_rate: PerAxis = 1,
    expand_bias: Array | None = None,
    depthwise_bias: Array | None = None,
    bias: Array | None = None,
    activation: Activation = "relu6",
    residual: bool = False,
    squeeze_excite: Mapping[str, Any] | None = None,
    accumulate: DTypeLike = np.longdouble,
) -> Array:
    """Expand, filter, gate, project linearly, and add the input if `residual` says so.

    `squeeze_excite` holds the arguments of the function of that name; without it there is no gate.
    """
    expanded = inputs
    if expand_kernel is not None:
        expanded = pointwise_conv(
            inputs, expand_kernel,
            data_format=data_format, bias=expand_bias, activation=activation, accumulate=accumulate,
        )  # fmt: skip
    filtered = depthwise_conv(
        expanded, depthwise_kernel, strides, padding, data_format, dilation_rate,
        bias=depthwise_bias, activation=activation, accumulate=accumulate,
    )  # fmt: skip
    if squeeze_excite is not None:
        filtered = _gate(filtered, **squeeze_excite, data_format=data_format, accumulate=accumulate)
    return pointwise_conv(
        filtered, project_kernel,
        data_format=data_format, bias=bias, residual=inputs if residual else None, accumulate=accumulate,
    )  # fmt: skip


# `inverted_residual` has an argument of the function's name.
_gate = squeeze_excite


def pool_sizes(
    spatial: Sequence[int],
    taps: Sequence[int],
    strides: PerAxis = 1,
    padding: Padding = "valid",
    dilation_rate: PerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Find what `output_geometry` finds, for a pooling window.

    With `ceil_mode` the sizes are ONNX's: rounded up, but no window begins in the padding after.
    """
    sizes, pads = output_geometry(spatial, taps, strides, padding, dilation_rate)
    if not ceil_mode:
        return sizes, pads
    rounded = []
    rank = len(spatial)
    for size, tap, stride, dilation, (before, after) in zip(
        spatial, taps, _per_axis(strides, rank), _per_axis(dilation_rate, rank), pads, strict=True
    ):
        count = max(0, -(-(size + before + after - (tap - 1) * dilation - 1) // stride) + 1)
        while count and (count - 1) * stride >= size + before:
            count -= 1
        rounded.append(count)
    return tuple(rounded), pads


def pool(
    inputs: Array,
    kind: str,
    taps: Sequence[int],
    strides: PerAxis = 1,
    padding: Padding = "valid",
    dilation_rate: PerAxis = 1,
    *,
    ceil_mode: bool = False,
    residual: Array | None = None,
) -> Array:
    """Take the windows of a channels_last image to their largest number ("max") or their mean.

    A mean is computed in the image's own type, so that its bits can be compared: the sum along each row of
    the window, from +0, then over the rows, divided by the places that count: those in the image
    ("average"), or in the image and its padding ("average_including_padding"). Of nothing, the largest is
    -inf and the mean NaN.
    """
    rank = len(taps)
    spatial = inputs.shape[1:-1]
    sizes, pads = pool_sizes(spatial, taps, strides, padding, dilation_rate, ceil_mode)
    steps, dilations = _per_axis(strides, rank), _per_axis(dilation_rate, rank)
    out = np.empty((inputs.shape[0], *sizes, inputs.shape[-1]), inputs.dtype)
    for place in np.ndindex(*sizes):
        seen: list[list[int]] = []
        counted = 1
        for axis in range(rank):
            first = place[axis] * steps[axis] - pads[axis][0]
            positions = [first + tap * dilations[axis] for tap in range(taps[axis])]
            seen.append([at for at in positions if 0 <= at < spatial[axis]])
            margin = pads[axis] if kind == "average_including_padding" else (0, 0)
            counted *= sum(-margin[0] <= at < spatial[axis] + margin[1] for at in positions)
        places: tuple[Any, ...] = np.ix_(*seen)
        window = inputs[(slice(None), *places)]
        out[(slice(None), *place)] = (
            window.max(axis=tuple(range(1, rank + 1)), initial=-np.inf)
            if kind == "max"
            else _raster_mean(window, counted)
        )
    return out if residual is None else np.asarray(out + residual)


def global_pool(inputs: Array, kind: str, *, residual: Array | None = None) -> Array:
    """Take each channels_last image to its largest number ("max") or its mean, summed as by `pool`."""
    axes = tuple(range(1, inputs.ndim - 1))
    if kind == "max":
        out = inputs.max(axis=axes, initial=-np.inf, keepdims=True)
    else:
        mean = _raster_mean(inputs, int(np.prod(inputs.shape[1:-1])))
        out = mean.reshape(inputs.shape[0], *(1 for _ in axes), inputs.shape[-1])
    result: Array = out if residual is None else out + residual
    return result


def _raster_mean(window: Array, count: int) -> Array:
    """Mean of (batch, *spatial, channels) over the spatial axes: along rows, then over rows, one by one."""
    rows = window.reshape(window.shape[0], int(np.prod(window.shape[1:-2])), *window.shape[-2:])
    total = np.zeros((window.shape[0], window.shape[-1]), window.dtype)
    for row in range(rows.shape[1]):
        partial = np.zeros_like(total)
        for column in range(rows.shape[2]):
            partial = partial + rows[:, row, column]
        total = total + partial
    with np.errstate(invalid="ignore"):
        mean: Array = total / window.dtype.type(count)
    return mean


def absolute_terms(
    operation: Callable[..., Array],
    inputs: Array,
    kernel: Array,
    *arguments: Any,
    bias: Array | None = None,
    residual: Array | None = None,
    **keywords: Any,
) -> tuple[Array, int]:
    """Sum of the absolute terms and their number, for the error bound γ_k Σ|x||w| + k·η of one stage.

    Parameters
    ----------
    operation : callable
        `conv`, `depthwise_conv` or `pointwise_conv`.
    inputs, kernel, *arguments, bias, residual, **keywords
        What the operation is called with; an activation is left out of the sum.

    Returns
    -------
    sums : ndarray
        Σ|x||w| + abs(bias) + abs(residual) for every output.
    terms : int
        How many terms each output sums, the zeros of the padding included.
    """
    keywords["activation"] = None
    sums = operation(
        np.abs(inputs), np.abs(kernel), *arguments,
        bias=None if bias is None else np.abs(bias),
        residual=None if residual is None else np.abs(residual), **keywords,
    )  # fmt: skip
    channels = 1 if operation is depthwise_conv else kernel.shape[-2]
    taps = int(np.prod(kernel.shape[:-2], dtype=int))
    return sums, taps * channels + (bias is not None) + (residual is not None)


def activate(values: Array, activation: Activation) -> Array:
    """Apply an activation to every value, in the type of the values.

    NaN stays NaN. The products x·gate(x) are NaN at -∞ (-∞ · 0), as IEEE 754 and every framework has it.
    """
    if activation is None:
        return values
    if not isinstance(activation, str):
        low, high = activation
        clamped: Array = np.minimum(np.maximum(values, values.dtype.type(low)), values.dtype.type(high))
        return clamped
    if activation in ("relu", "relu6"):
        return activate(values, (0.0, np.inf if activation == "relu" else 6.0))
    if activation == "hard_sigmoid":
        # x/6 + ½ in the form that does not cancel near -3.
        return activate((values + 3) / 6, (0.0, 1.0))
    if activation == "hard_swish":
        gate = activate(values, "hard_sigmoid")
        with np.errstate(invalid="ignore"):
            product: Array = values * gate
        return product
    function = {"sigmoid": _sigmoid, "silu": _silu, "gelu": _gelu, "gelu_tanh": _gelu_tanh}[activation]
    at_infinity = (
        {-np.inf: 0.0, np.inf: 1.0} if activation == "sigmoid" else {-np.inf: np.nan, np.inf: np.inf}
    )
    result = np.empty_like(values)
    with localcontext(_DIGITS):
        for index in np.ndindex(values.shape):
            value = values[index]
            if np.isnan(value):
                result[index] = value
            elif np.isinf(value):
                result[index] = at_infinity[float(value)]
            else:
                result[index] = _to_float(function(_to_decimal(value)), values.dtype)
    return result


def _sigmoid(x: Decimal) -> Decimal:
    decay = (-abs(x)).exp()
    return 1 / (1 + decay) if x >= 0 else decay / (1 + decay)


def _silu(x: Decimal) -> Decimal:
    return x * _sigmoid(x)


def _gelu(x: Decimal) -> Decimal:
    return x / 2 * _erfc(-x / Decimal(2).sqrt())


def _gelu_tanh(x: Decimal) -> Decimal:
    # (1 + tanh u) / 2 is the sigmoid of 2u, which does not cancel for negative u.
    return x * _sigmoid(2 * (2 / _PI).sqrt() * (x + Decimal("0.044715") * x**3))


def _erfc(z: Decimal) -> Decimal:
    if z < 0:
        return 2 - _erfc(-z)
    gauss = (-z * z).exp() / _PI.sqrt()
    if z < 3:
        # erf z = 2/√π · exp(-z²) · Σ 2ⁿ z²ⁿ⁺¹ / (2n+1)!! has positive terms only, so nothing cancels.
        term = total = z
        n = 0
        while term > total * Decimal("1e-50"):
            n += 1
            term *= 2 * z * z / (2 * n + 1)
            total += term
        return 1 - 2 * gauss * total
    # Laplace: erfc z = exp(-z²)/√π · 1/(z + ½/(z + 1/(z + 3⁄2/(z + …)))), 40 digits with these levels.
    denominator = z
    for n in range(20 + int(1500 / (z * z)), 0, -1):
        denominator = z + Decimal(n) / 2 / denominator
    return gauss / denominator


def _to_decimal(value: Any) -> Decimal:
    numerator, denominator = value.as_integer_ratio()
    return Decimal(numerator) / Decimal(denominator)


def _to_float(value: Decimal, dtype: np.dtype[Any]) -> Any:
    # NumPy warns of longdouble's subnormals when it reads them; they are nothing beside those of float64.
    return dtype.type(str(value) if value.adjusted() > -4930 else 0)


def _per_axis(value: PerAxis, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _channels_last(image: Array, data_format: str | None) -> Array:
    return np.moveaxis(image, 1, -1) if data_format == "channels_first" else image


def _windows(
    image: Array, taps: Sequence[int], strides: PerAxis, padding: Padding, dilation_rate: PerAxis
) -> Any:
    """Yield every tap's index, ascending, and the part of the padded image that it multiplies."""
    rank = len(taps)
    sizes, pads = output_geometry(image.shape[1:-1], taps, strides, padding, dilation_rate)
    padded = np.pad(image, ((0, 0), *pads, (0, 0)))
    for tap in np.ndindex(*taps):
        spans = []
        for offset, size, stride, dilation in zip(
            tap, sizes, _per_axis(strides, rank), _per_axis(dilation_rate, rank), strict=True
        ):
            first = offset * dilation
            spans.append(slice(first, first + size * stride, stride) if size else slice(0, 0))
        yield tap, padded[(slice(None), *spans)]


def _finish(
    total: Array | None,
    bias: Array | None,
    residual: Array | None,
    activation: Activation,
    data_format: str | None,
) -> Array:
    """Apply the epilogue, activation(total + bias + residual), and return to the caller's data format."""
    assert total is not None, "a kernel has at least one tap"
    if bias is not None:
        total = total + bias.astype(total.dtype)
    if residual is not None:
        total = total + _channels_last(residual, data_format).astype(total.dtype)
    total = activate(total, activation)
    return np.moveaxis(total, -1, 1) if data_format == "channels_first" else total


def filter_in_integers(
    inputs: Array,
    passes: Sequence[Any],
    factors: Sequence[float | Fraction],
    dtype: DTypeLike,
    digits: int | None = None,
) -> Array:
    """Filter along axes as ``rounding="nearest"`` does, in integers of any size.

    `passes`, `factors` and `digits` are what `in_integers` makes of the filter: integer weights, constants in
    units of the pass, and what every sum is multiplied by before its one rounding, halves upward. With
    `digits` the sums themselves are rounded to so many binary digits, and only the last pass to an integer.
    """
    values = inputs.astype(object)
    # With `digits`: all values are in units of 2**-fraction.
    fraction = 0
    if digits is not None:
        fraction = 8
        values = values * 2**fraction
    for index, (p, factor) in enumerate(zip(passes, factors, strict=True)):
        lines = np.moveaxis(values, p.axis, -1)
        size = lines.shape[-1]
        weights = [1] * p.size if p.weights is None else [int(w) for w in p.weights]
        numerator, denominator = Fraction(factor).as_integer_ratio()
        denominator *= p.size if p.weights is None else 1
        constant = int(p.cval * 2**fraction) if digits is not None else int(p.cval)
        start = 0
        if digits is not None and index + 1 == len(passes):
            start = 2 ** (fraction - 1) * denominator // numerator
        outputs = []
        for first in range(size - p.size + 1 if p.mode == "valid" else size):
            places = [extended(first + tap - p.before, size, p.mode) for tap in range(p.size)]
            window = [constant if at is None else lines[..., at] for at in places]
            if digits is not None:
                outputs.append(_rounded_sum(window, weights, start, digits))
                continue
            total: Any = sum(weight * value for weight, value in zip(weights, window, strict=True))
            # floor(total · numerator / denominator + 1/2), without a fraction.
            outputs.append((2 * total * numerator + denominator) // (2 * denominator))
        values = np.moveaxis(np.stack(np.broadcast_arrays(*outputs), -1).astype(object), -1, p.axis)
        if digits is not None:
            fraction += denominator.bit_length() - numerator.bit_length()
    if digits is not None:
        # One half is in it already.
        values = values // 2**fraction
    kind = np.dtype(dtype)
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    result: Array = np.clip(values, low, high).astype(kind)
    return result


def _rounded_sum(window: Sequence[Any], weights: Sequence[int], start: int, digits: int) -> Any:
    """A weighted sum of integers, rounded after every addition of a pair and every multiply-add.

    With an odd number of (anti)symmetric weights the middle first, then the pairs from the outermost inwards;
    else the last one first, then the others ascending.
    """
    size, half = len(weights), len(weights) // 2
    mirrored = list(weights[::-1])
    sign = 1 if list(weights) == mirrored else -1 if list(weights) == [-w for w in mirrored] else 0
    if size % 2 and sign:
        terms = [(weights[half], window[half])]
        for tap in range(half):
            pair = window[tap] + sign * window[size - 1 - tap]
            terms.append((weights[tap], to_digits(pair, digits)))
    else:
        terms = [(weights[-1], window[-1]), *zip(weights[:-1], window[:-1], strict=True)]
    total: Any = start
    for weight, value in terms:
        total = to_digits(weight * value + total, digits)
    return total


def to_digits(values: Any, digits: int) -> Any:
    """Integers, each rounded to so many binary digits, halves to even: what a float of them keeps."""
    rounded = np.frompyfunc(lambda value: _to_digits(int(value), digits), 1, 1)
    return rounded(values)


def _to_digits(value: int, digits: int) -> int:
    shift = value.bit_length() - digits
    if shift <= 0:
        return value
    whole, rest = value >> shift, value & (2**shift - 1)
    half = 2 ** (shift - 1)
    up = rest > half or (rest == half and whole & 1)
    return (whole + up) << shift


def extended(at: int, size: int, mode: str) -> int | None:
    """The element of a line that stands at a position outside of it; None for the constant."""
    if 0 <= at < size:
        return at
    if mode == "constant":
        return None
    if mode == "nearest":
        return 0 if at < 0 else size - 1
    if mode == "wrap":
        return at % size
    if mode == "mirror":
        at = at % max(1, 2 * size - 2)
        return at if at < size else 2 * size - 2 - at
    at = at % (2 * size)
    return at if at < size else 2 * size - 1 - at
