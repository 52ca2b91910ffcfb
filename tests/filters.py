"""Filters to compare with scipy.ndimage: what may be asked for, and how far floats may be from exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.ndimage
from bounds import Bounded
from hypothesis import strategies as st
from numpy.typing import NDArray
from pixels import values
from scipy.ndimage._filters import _gaussian_kernel1d

from fastsep import _reference_filters
from fastsep._passes import Pass

Array = NDArray[Any]

MODES = (
    "reflect", "constant", "nearest", "mirror", "wrap", "grid-mirror", "grid-constant", "grid-wrap",
)  # fmt: skip
PLAIN = {"grid-mirror": "reflect", "grid-constant": "constant", "grid-wrap": "wrap"}
INTEGERS = "?bBhHiIlLqQ"
FLOATS = "fd"


@dataclass(frozen=True)
class Step:
    """One pass of a filter, for the reference."""

    axis: int
    weights: Array
    before: int
    mode: str
    cval: float = 0.0
    box: bool = False


@dataclass(frozen=True)
class Call:
    """A call of a function that SciPy has under the same name, and the passes that it means."""

    name: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    steps: Sequence[Step] = field(default=())

    @property
    def input(self) -> Array:
        array: Array = self.arguments[0]
        return array

    def __call__(self, module: Any, **more: Any) -> Array:
        result: Array = getattr(module, self.name)(*self.arguments, **self.keywords, **more)
        return result

    def scipy(self, **more: Any) -> Array:
        return self(scipy.ndimage, **more)

    def sums(self, output: Any, double: bool) -> Any:
        """What ours are summed in, for an output of floats."""
        return np.float64 if double or self.input.dtype.char not in "?bBhHf" else output

    def bounded(self, output: Any, double: bool = False) -> Bounded:
        """SciPy's result, and how far a result in `output` may be from it: both errors together."""
        expected = self.scipy()
        sums = self.sums(output, double)
        ours = computed(self.input, self.steps, sums, output).error
        theirs = computed(self.input, self.steps, np.float64, output, scipy=True).error
        return Bounded(expected.astype(np.longdouble), ours + theirs)


@dataclass(frozen=True)
class JoinedCall(Call):
    """A call that joins derivatives along axes: their sum, or the root of the sum of their squares."""

    derivatives: Sequence[Sequence[Step]] = field(default=())

    def bounded(self, output: Any, double: bool = False) -> Bounded:
        """The same for a call of this kind."""
        expected = self.scipy()
        error = self._error(self.sums(output, double), output) + self._error(np.float64, output, scipy=True)
        return Bounded(expected.astype(np.longdouble), error)

    def _error(self, sums: Any, stored: Any, scipy: bool = False) -> Array:
        """Of squares, sums and roots, each rounded once to what is stored.

        |√a - √b| is |a - b| / (√a + √b), and never more than the root of |a - b|.
        """
        squared = self.name == "gaussian_gradient_magnitude"
        total = Bounded.given(np.zeros(self.input.shape))
        for number, steps in enumerate(self.derivatives):
            one = computed(self.input, steps, sums, stored, scipy)
            if not steps:
                one = rounded(one, stored)
            if squared:
                spread = one.error * (2 * np.abs(one.exact) + one.error)
                one = rounded(Bounded(one.exact**2, spread), stored)
            total = Bounded(total.exact + one.exact, total.error + one.error)
            if number:
                total = rounded(total, stored)
        if squared and self.derivatives:
            far = total.exact > total.error
            root = np.sqrt(np.where(far, total.exact, 1))
            total = Bounded(np.sqrt(total.exact), np.where(far, total.error / root, np.sqrt(total.error)))
            total = rounded(total, stored)
        return total.error


def rounded(values: Bounded, stored: Any) -> Bounded:
    """Rounded once more, to the type that is stored."""
    half, smallest = np.longdouble(np.finfo(stored).eps) / 2, np.finfo(stored).smallest_subnormal
    return Bounded(
        values.exact,
        values.error + half * (np.abs(values.exact) + values.error) + np.longdouble(smallest),
    )


def passes_by_scipy(x: Array, passes: Sequence[Pass], dtype: Any) -> Array:
    """One pass after another by SciPy, each stored in the output's type."""
    for p in passes:
        out = np.empty(x.shape, dtype)
        origin = p.before - p.size // 2
        if p.weights is None:
            scipy.ndimage.uniform_filter1d(x, p.size, p.axis, out, p.mode, p.cval, origin)
        else:
            scipy.ndimage.correlate1d(x, p.weights, p.axis, out, p.mode, p.cval, origin)
        x = out
    return x


def computed(array: Array, steps: Sequence[Step], sums: Any, stored: Any, scipy: bool = False) -> Bounded:
    """What passes make exactly, and how far they may be from it: summed in one type, each stored in another.

    A term is rounded k + 2 times at most: its tap and cval to the type of the sums, the product, and k - 1
    additions (folded, a pair is added first, and half as many additions follow). Storing rounds once more.
    A box of k taps rounds its quotient instead of its products. `scipy`: a pair of taps that differ by up to
    2⁻⁵² is taken for equal, and a box is a running sum, with two more roundings at each position, of any sum
    on its way.
    """
    before = Bounded.given(_reference_filters.load(array).astype(np.longdouble))
    for step in steps:
        unit = np.longdouble(np.finfo(sums).eps) / 2
        running = scipy and step.box
        terms = len(step.weights) + 2 + 2 * array.shape[step.axis] * running
        gamma = terms * unit / (1 - terms * unit)
        along = (step.axis, np.abs(step.weights), step.before, step.mode)
        largest = np.abs(before.exact) + before.error
        sums_of_terms = _reference_filters.exact_pass(largest, *along, abs(step.cval))
        if running and sums_of_terms.size:
            sums_of_terms = np.broadcast_to(sums_of_terms.max(step.axis, keepdims=True), sums_of_terms.shape)
        total = gamma * sums_of_terms
        total = total + terms * np.longdouble(np.finfo(sums).smallest_subnormal)
        if scipy:
            ones = (step.axis, np.ones_like(step.weights), step.before, step.mode)
            epsilon = np.finfo(np.float64).eps
            total = total + epsilon * _reference_filters.exact_pass(largest, *ones, abs(step.cval))
        total = total + _reference_filters.exact_pass(before.error, *along)
        exact = _reference_filters.exact_pass(
            before.exact, step.axis, step.weights, step.before, step.mode, step.cval
        )
        store = np.longdouble(np.finfo(stored).eps) / 2
        total = total + store * (np.abs(exact) + total) + np.longdouble(np.finfo(stored).smallest_subnormal)
        before = Bounded(exact, total)
    return before


shapes = st.lists(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]), min_size=1, max_size=3).map(
    tuple
) | (
    st.sampled_from([(70,), (300,), (2, 3, 4, 5), (1, 1, 3, 1, 2), (0,), (3, 0), (0, 2), (5, 130), (130, 5)])
)
# Three and four axes, of which the rows are so short that pixels of several channels may be meant.
volumes = st.tuples(*[st.integers(1, 9)] * 2, st.integers(1, 17)) | st.tuples(
    *[st.integers(1, 5)] * 3, st.integers(1, 17)
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def arrays(draw: st.DrawFn, dtypes: str, shapes: st.SearchStrategy[tuple[int, ...]] = shapes) -> Array:
    array = values(draw(seeds), draw(shapes), draw(st.sampled_from(dtypes)))
    layout = draw(st.sampled_from(["C", "C", "C", "F", "reversed", "sliced", "swapped", "unaligned"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    if layout == "sliced":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
        wide[..., 1::2] = array
        return wide[..., 1::2]
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder())
    if layout == "unaligned":
        moved = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    return array


modes = st.sampled_from(MODES)
cvals = st.sampled_from([0.0, 1.0, -2.5, 17.0])


@st.composite
def kernels(draw: st.DrawFn) -> Array:
    """Taps: symmetric, antisymmetric or neither; even or odd; whole or not; some of them zero."""
    size = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 9, 12, 17, 40, 65]))
    generator = np.random.default_rng(draw(seeds))
    taps = generator.standard_normal(size)
    if draw(st.booleans()):
        taps = generator.integers(-3, 4, size).astype(np.float64)
    kind = draw(st.sampled_from(["symmetric", "antisymmetric", "neither"]))
    if kind == "symmetric":
        return taps + taps[::-1]
    if kind == "antisymmetric":
        return taps - taps[::-1]
    return taps


@st.composite
def correlate1d_calls(draw: st.DrawFn, dtypes: str) -> Call:
    array = draw(arrays(dtypes))
    taps = draw(kernels())
    axis = draw(st.integers(-array.ndim, array.ndim - 1))
    half = len(taps) // 2
    origin = draw(st.sampled_from([0, 0, -half, (len(taps) - 1) // 2]))
    mode, cval = draw(modes), draw(cvals)
    step = Step(axis % array.ndim, taps, half + origin, PLAIN.get(mode, mode), cval)
    return Call("correlate1d", (array, taps, axis), {"mode": mode, "cval": cval, "origin": origin}, [step])


@st.composite
def convolve1d_calls(draw: st.DrawFn, dtypes: str) -> Call:
    call = draw(correlate1d_calls(dtypes))
    taps = call.arguments[1]
    odd = len(taps) % 2
    # The origins that convolution allows mirror those of correlation.
    origin = -call.keywords["origin"] - (0 if odd else 1)
    step = call.steps[0]
    turned = Step(step.axis, taps[::-1], len(taps) // 2 - origin - (0 if odd else 1), step.mode, step.cval)
    return Call("convolve1d", call.arguments, call.keywords | {"origin": origin}, [turned])


def some_axes(draw: st.DrawFn, array: Array) -> tuple[Any, list[int]]:
    axes = draw(st.none() | st.lists(st.integers(0, array.ndim - 1), unique=True, max_size=array.ndim))
    if axes is None:
        return None, list(range(array.ndim))
    signed = tuple(axis - array.ndim if draw(st.booleans()) else axis for axis in axes)
    return signed, axes


def per_axis(draw: st.DrawFn, choices: st.SearchStrategy[Any], count: int) -> tuple[Any, list[Any]]:
    if draw(st.booleans()):
        one = draw(choices)
        return one, [one] * count
    several = [draw(choices) for _ in range(count)]
    return several, several


@st.composite
def gaussian_filter_calls(
    draw: st.DrawFn, dtypes: str, shapes: st.SearchStrategy[tuple[int, ...]] = shapes
) -> Call:
    array = draw(arrays(dtypes, shapes))
    axes, along = some_axes(draw, array)
    count = len(along)
    sigma, sigmas = per_axis(draw, st.sampled_from([0.0, 0.4, 1, 1.0, 2.3, 6.0]), count)
    order, orders = per_axis(draw, st.sampled_from([0, 0, 0, 1, 2, 3]), count)
    mode, mode_names = per_axis(draw, modes, count)
    radius, radii = per_axis(draw, st.sampled_from([None, None, 0, 1, 5]), count)
    cval, truncate = draw(cvals), draw(st.sampled_from([4.0, 3, 2.5, 0.1]))
    steps = []
    for i, axis in enumerate(along):
        if sigmas[i] > 1e-15:
            reach = int(truncate * float(sigmas[i]) + 0.5) if radii[i] is None else radii[i]
            taps = _gaussian_kernel1d(sigmas[i], orders[i], reach)[::-1]
            steps.append(Step(axis, taps, reach, PLAIN.get(mode_names[i], mode_names[i]), cval))
    keywords = {"order": order, "mode": mode, "cval": cval, "truncate": truncate, "axes": axes}
    return Call("gaussian_filter", (array, sigma), keywords | {"radius": radius}, steps)


@st.composite
def gaussian_filter1d_calls(draw: st.DrawFn, dtypes: str) -> Call:
    array = draw(arrays(dtypes))
    axis = draw(st.integers(-array.ndim, array.ndim - 1))
    sigma, order = draw(st.sampled_from([0.5, 1, 3.0])), draw(st.integers(0, 5))
    radius = draw(st.sampled_from([None, 0, 4]))
    mode, cval = draw(modes), draw(cvals)
    reach = int(4 * sigma + 0.5) if radius is None else radius
    taps = _gaussian_kernel1d(sigma, order, reach)[::-1]
    step = Step(axis % array.ndim, taps, reach, PLAIN.get(mode, mode), cval)
    keywords = {"axis": axis, "order": order, "mode": mode, "cval": cval, "radius": radius}
    return Call("gaussian_filter1d", (array, sigma), keywords, [step])


def _box_step(axis: int, size: int, origin: int, mode: str, cval: float) -> Step:
    return Step(
        axis, np.full(size, np.longdouble(1) / size), size // 2 + origin, PLAIN.get(mode, mode), cval, True
    )


sizes = st.sampled_from([1, 2, 3, 4, 5, 8, 9, 15, 40])


def _box_origin(draw: st.DrawFn, size: int) -> int:
    return draw(st.sampled_from([0, 0, -(size // 2), (size - 1) // 2]))


@st.composite
def uniform_filter_calls(
    draw: st.DrawFn, dtypes: str, shapes: st.SearchStrategy[tuple[int, ...]] = shapes
) -> Call:
    array = draw(arrays(dtypes, shapes))
    axes, along = some_axes(draw, array)
    size, lengths = per_axis(draw, sizes, len(along))
    mode, mode_names = per_axis(draw, modes, len(along))
    origins = [_box_origin(draw, length) for length in lengths]
    cval = draw(cvals)
    steps = [
        _box_step(axis, length, origin, mode, cval)
        for axis, length, origin, mode in zip(along, lengths, origins, mode_names, strict=True)
        if length > 1
    ]
    keywords = {"mode": mode, "cval": cval, "origin": origins, "axes": axes}
    return Call("uniform_filter", (array, size), keywords, steps)


@st.composite
def uniform_filter1d_calls(draw: st.DrawFn, dtypes: str) -> Call:
    array = draw(arrays(dtypes))
    axis = draw(st.integers(-array.ndim, array.ndim - 1))
    size, mode, cval = draw(sizes), draw(modes), draw(cvals)
    origin = _box_origin(draw, size)
    step = _box_step(axis % array.ndim, size, origin, mode, cval)
    keywords = {"axis": axis, "mode": mode, "cval": cval, "origin": origin}
    return Call("uniform_filter1d", (array, size), keywords, [step])


@st.composite
def edge_calls(draw: st.DrawFn, dtypes: str, shapes: st.SearchStrategy[tuple[int, ...]] = shapes) -> Call:
    array = draw(arrays(dtypes, shapes))
    axis = draw(st.integers(-array.ndim, array.ndim - 1))
    mode, mode_names = per_axis(draw, modes, array.ndim)
    cval, name = draw(cvals), draw(st.sampled_from(["sobel", "prewitt"]))
    smoothing = np.array([1.0, 2, 1] if name == "sobel" else [1.0, 1, 1])
    order = [axis % array.ndim, *(i for i in range(array.ndim) if i != axis % array.ndim)]
    steps = [
        Step(i, smoothing if n else np.array([-1.0, 0, 1]), 1, PLAIN.get(mode_names[i], mode_names[i]), cval)
        for n, i in enumerate(order)
    ]
    return Call(name, (array, axis), {"mode": mode, "cval": cval}, steps)


def one_traversal_calls(dtypes: str) -> st.SearchStrategy[Call]:
    """Calls that are one list of passes."""
    return st.one_of(
        correlate1d_calls(dtypes),
        convolve1d_calls(dtypes),
        gaussian_filter1d_calls(dtypes),
        gaussian_filter_calls(dtypes),
        uniform_filter1d_calls(dtypes),
        uniform_filter_calls(dtypes),
        edge_calls(dtypes),
    )


def volume_calls(dtypes: str) -> st.SearchStrategy[Call]:
    """Calls of several passes over volumes of short rows, of which there are few among all calls."""
    return st.one_of(
        uniform_filter_calls(dtypes, volumes),
        gaussian_filter_calls(dtypes, volumes),
        edge_calls(dtypes, volumes),
    )


@st.composite
def joined_calls(draw: st.DrawFn, dtypes: str) -> JoinedCall:
    """Calls that join derivatives along axes."""
    array = draw(arrays(dtypes))
    name = draw(st.sampled_from(["laplace", "gaussian_laplace", "gaussian_gradient_magnitude"]))
    axes, along = some_axes(draw, array)
    mode, mode_names = per_axis(draw, modes, len(along))
    plain, cval = [PLAIN.get(one, one) for one in mode_names], draw(cvals)
    keywords = {"mode": mode, "cval": cval, "axes": axes}
    if name == "laplace":
        second = np.array([1.0, -2, 1])
        differences = [[Step(axis, second, 1, one, cval)] for axis, one in zip(along, plain, strict=True)]
        return JoinedCall(name, (array,), keywords, derivatives=differences)
    every = name == "gaussian_gradient_magnitude" or len(along) == array.ndim
    sigma, sigmas = per_axis(draw, st.sampled_from([0.0, 0.7, 1, 2.3]), array.ndim if every else len(along))
    by_axis = dict(zip(range(array.ndim) if every else along, sigmas, strict=True))
    truncate, radius = draw(st.sampled_from([4.0, 2.5])), draw(st.sampled_from([None, None, 0, 2]))
    order = 1 if name == "gaussian_gradient_magnitude" else 2
    derivatives = []
    for axis, one in zip(along, plain, strict=True):
        steps = []
        for other in range(array.ndim):
            width = by_axis.get(other, 0.0)
            if width > 1e-15:
                reach = int(truncate * float(width) + 0.5) if radius is None else radius
                taps = _gaussian_kernel1d(width, order if other == axis else 0, reach)[::-1]
                steps.append(Step(other, taps, reach, one, cval))
        derivatives.append(steps)
    keywords |= {"truncate": truncate, "radius": radius}
    return JoinedCall(name, (array, sigma), keywords, derivatives=derivatives)
