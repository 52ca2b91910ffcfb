"""A standard convolution as depthwise with a multiplier, then pointwise."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep import _validate
from fastsep._not_separable import NotSeparableError, check_tolerance
from fastsep._table import short, sizes, table
from fastsep.layers import SeparableConv
from fastsep.ops import separable_conv

Array = NDArray[Any]


@dataclass(frozen=True)
class Multiplier:
    """What one depth multiplier costs and reaches.

    Attributes
    ----------
    multiplier : int
    error : float
        Frobenius norm of the weights left out, before rounding to the kernel's dtype.
    relative_error : float
        The same over the kernel's norm.
    parameters : int
        Weights of the depthwise and of the pointwise kernel; also multiply-adds for each output pixel.
    """

    multiplier: int
    error: float
    relative_error: float
    parameters: int


@dataclass(frozen=True, eq=False)
class ConvFactors:
    """A standard convolution as a separable one.

    `str` is a table, `to_dict()` a dictionary, `apply(image)` the convolution, `plan()` a `SeparableConv`.

    Attributes
    ----------
    kernel_shape : tuple of int
        (*K, Cin, Cout).
    depthwise_kernel : ndarray (*K, Cin, M)
        Of the kernel's dtype, read-only.
    pointwise_kernel : ndarray (Cin·M, Cout)
        Of the kernel's dtype, read-only.
    error : float
        Frobenius norm of ``kernel - outer()``, in float64: what was left out, and rounding.
    relative_error : float
        The same over the kernel's norm.
    multipliers : tuple of Multiplier
        Every multiplier up to the exact one.
    singular_values : ndarray (Cin, min(prod(K), Cout))
        Of every input channel's matrix (prod(K), Cout), descending.
    """

    kernel_shape: tuple[int, ...]
    depthwise_kernel: Array
    pointwise_kernel: Array
    error: float
    relative_error: float
    multipliers: tuple[Multiplier, ...]
    singular_values: NDArray[np.float64]

    @property
    def multiplier(self) -> int:
        """Depthwise filters for each input channel."""
        return int(self.depthwise_kernel.shape[-1])

    def outer(self) -> NDArray[np.float64]:
        """The standard kernel (*K, Cin, Cout) that the two make, in float64."""
        return _product(self.depthwise_kernel, self.pointwise_kernel)

    def apply(
        self,
        image: Array,
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        **options: Any,
    ) -> Array:
        """Convolve: `fastsep.separable_conv` with these kernels.

        Parameters
        ----------
        image : ndarray (batch, *spatial, Cin), or (batch, Cin, *spatial) for "channels_first"
            Of the kernel's dtype.
        strides, padding, data_format, dilation_rate, **options
            As in `separable_conv`: bias, activation, residual, out, threads.

        Returns
        -------
        ndarray (batch, *spatial, Cout), or channels first
        """
        return separable_conv(
            image,
            self.depthwise_kernel,
            self.pointwise_kernel,
            strides,
            padding,
            data_format,
            dilation_rate,
            **options,
        )

    def plan(self, *arguments: Any, **options: Any) -> SeparableConv:
        """A plan with these kernels; arguments as those of `SeparableConv` after its two kernels."""
        return SeparableConv(self.depthwise_kernel, self.pointwise_kernel, *arguments, **options)

    def to_dict(self) -> dict[str, Any]:
        """All figures, in types that JSON knows; the weights stay in the arrays."""
        return {
            "kernel_shape": list(self.kernel_shape),
            "dtype": str(self.depthwise_kernel.dtype),
            "multiplier": self.multiplier,
            "error": self.error,
            "relative_error": self.relative_error,
            "parameters": {
                "standard": math.prod(self.kernel_shape),
                "separable": self.depthwise_kernel.size + self.pointwise_kernel.size,
            },
            "multipliers": [vars(row) for row in self.multipliers],
        }

    def __str__(self) -> str:
        standard = math.prod(self.kernel_shape)
        rows = [
            [
                f"{row.multiplier}{' ←' if row.multiplier == self.multiplier else ''}",
                short(row.relative_error),
                f"{row.parameters:,}",
                f"{row.parameters / standard:.2f}×",
            ]
            for row in self.multipliers
        ]
        *taps, inputs, outputs = self.kernel_shape
        titles = ["multiplier", "relative error", "parameters", "of the standard's"]
        return (
            f"convolution {sizes(taps)}, {inputs} → {outputs}, {self.depthwise_kernel.dtype}, "
            f"{standard:,} parameters, as depthwise × {self.multiplier}, then pointwise\n\n"
            f"{table(titles, rows)}\n\n"
            f"error  {short(self.error)}, {short(self.relative_error)} of the kernel's norm, "
            "rounding of the weights included"
        )


def factorize_conv(
    kernel: Array, multiplier: int | None = None, *, tolerance: float | None = None
) -> ConvFactors:
    """Write a standard convolution as a depthwise one with a multiplier, then a pointwise one.

    Parameters
    ----------
    kernel : ndarray (*K, Cin, Cout), float32 or float64
        One to three spatial axes, one group.
    multiplier : int or None
        Depthwise filters for each input channel, M. None: as few as meet the tolerance, and without one as
        few as are exact but for rounding: min(prod(K), Cout) at most, which any kernel needs.
    tolerance : float or None
        Greatest relative error of the weights, in the Frobenius norm.

    Returns
    -------
    ConvFactors
        Computed in float64, rounded to the kernel's dtype at the end.

    Raises
    ------
    NotSeparableError
        The multiplier does not meet the tolerance; the message has the error that it reaches.
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    Input channel c acts through the matrix kernel[…, c, :] of prod(K) × Cout, and depthwise-then-pointwise
    with multiplier M makes any such matrix of rank at most M. So the truncated SVD of each is the best in
    least squares on the weights (Eckart and Young, 1936), its square error the sum of the squares of the
    singular values left out, and M = min(prod(K), Cout) is always exact. Guo, Li, Lin, Chen and Li, "Network
    Decoupling: From Regular to Depthwise Separable Convolutions" (2018), arXiv:1808.05517.
    """
    array = _validate.kernel(kernel, "kernel", "(*K, Cin, Cout)", (1, 2, 3))
    if not np.isfinite(array).all():
        raise ValueError("kernel must be finite; it holds NaN or an infinity")
    limit = None if tolerance is None else check_tolerance(tolerance)
    *taps, inputs, outputs = array.shape
    most = min(math.prod(taps), outputs)
    wanted = None if multiplier is None else _check_multiplier(multiplier, most, taps, outputs)

    matrices = np.moveaxis(array.reshape(-1, inputs, outputs), 1, 0).astype(np.float64)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    norm = float(np.linalg.norm(values))
    # Squares of what a multiplier leaves out: sums from the smallest singular value.
    tails = np.sqrt(np.cumsum(np.square(values).sum(0)[::-1])[::-1])
    errors = [*(float(tail) for tail in tails[1:]), 0.0]
    reached = [error / norm if norm else 0.0 for error in errors]
    rounding = float(np.finfo(array.dtype).eps)
    if wanted is None:
        enough = rounding if limit is None else limit
        wanted = next(index for index, error in enumerate(reached, 1) if error <= enough)

    # Both kernels get a root of the singular value: of one size, neither overflows before the other.
    roots = np.sqrt(values[:, :wanted])
    depthwise = np.moveaxis(left[:, :, :wanted] * roots[:, np.newaxis, :], 0, 1)
    pointwise = roots[:, :, np.newaxis] * right[:, :wanted, :]
    first = np.ascontiguousarray(depthwise.reshape(*taps, inputs, wanted), array.dtype)
    second = np.ascontiguousarray(pointwise.reshape(inputs * wanted, outputs), array.dtype)
    first.flags.writeable = second.flags.writeable = False
    error = float(np.linalg.norm(array - _product(first, second)))
    factors = ConvFactors(
        kernel_shape=array.shape,
        depthwise_kernel=first,
        pointwise_kernel=second,
        error=error,
        relative_error=error / norm if norm else 0.0,
        multipliers=tuple(
            Multiplier(
                count, errors[count - 1], reached[count - 1], inputs * count * (math.prod(taps) + outputs)
            )
            for count in range(1, most + 1)
        ),
        singular_values=values,
    )
    if limit is not None and reached[wanted - 1] > limit:
        enough_for_all = next(index for index, error in enumerate(reached, 1) if error <= limit)
        raise NotSeparableError(
            f"kernel of {sizes(array.shape)} with multiplier={wanted} has a relative error of "
            f"{reached[wanted - 1]:.3g}, and tolerance is {limit:.3g}; multiplier={enough_for_all} is enough",
            reached[wanted - 1],
            limit,
        )
    return factors


def _check_multiplier(multiplier: object, most: int, taps: list[int], outputs: int) -> int:
    try:
        number = -1 if isinstance(multiplier, bool) else operator.index(multiplier)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"multiplier must be None or an int; got {multiplier!r}") from None
    if not 1 <= number <= most:
        raise ValueError(
            f"multiplier must be from 1 to {most}, the least of {math.prod(taps)} taps and {outputs} output "
            f"channels, where the factors are exact; got {multiplier!r}"
        )
    return number


def _product(depthwise: Array, pointwise: Array) -> NDArray[np.float64]:
    """The standard kernel (*K, Cin, Cout) of a depthwise (*K, Cin, M) and a pointwise one (Cin·M, Cout)."""
    inputs, multiplier = depthwise.shape[-2:]
    second = pointwise.reshape(inputs, multiplier, -1).astype(np.float64)
    product: NDArray[np.float64] = np.einsum("...cm,cmo->...co", depthwise.astype(np.float64), second)
    return product
