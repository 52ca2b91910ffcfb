"""From a list of passes to a filtered array: the one place that calls the kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsep import _threads
from fastsep._lines import FilterPlan, filter_pair, filter_passes
from fastsep._passes import Pass
from fastsep._usual_filter import UsualFilters, key_of
from fastsep.ndimage import _arguments
from fastsep.ndimage._line import are_long_lines, filter_lines

Array = NDArray[Any]


class Options(NamedTuple):
    """What fastsep offers beyond SciPy, as the functions' keywords have it."""

    threads: int | None = None
    rounding: str = "truncate"
    nan_policy: str = "propagate"
    precision: str | None = None


_USUAL = Options()


def options(
    threads: int | None, rounding: str = "truncate", nan_policy: str = "propagate", precision: Any = None
) -> Options:
    """The keywords, checked."""
    if threads is None and rounding == "truncate" and nan_policy == "propagate" and precision is None:
        return _USUAL
    if threads is not None:
        _threads.check(threads)
    if rounding not in ("truncate", "nearest"):
        raise ValueError(f'rounding must be "truncate" (as SciPy) or "nearest"; got {rounding!r}')
    if nan_policy not in ("propagate", "omit"):
        raise ValueError(f'nan_policy must be "propagate" or "omit"; got {nan_policy!r}')
    if precision not in (None, "double"):
        raise ValueError(f'precision must be None or "double"; got {precision!r}')
    return Options(threads, rounding, nan_policy, precision)


def filtered_shape(shape: tuple[int, ...], passes: Sequence[Pass]) -> tuple[int, ...]:
    """The output's shape: the input's, less what mode="valid" leaves out."""
    if all(one.mode != "valid" for one in passes):
        return shape
    sizes = list(shape)
    for one in passes:
        if one.mode == "valid":
            sizes[one.axis] = max(0, sizes[one.axis] - one.size + 1)
    return tuple(sizes)


# A program repeats few filters.
usual = UsualFilters(256)


def filtered(
    array: Array,
    output: Any,
    make: Callable[..., Sequence[Pass]],
    arguments: tuple[Any, ...],
    threads: int | None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: Any = None,
    complex_output: bool = False,
) -> Array:
    """The array filtered by the passes ``make(array.ndim, array.dtype.kind == "c", *arguments)``.

    Parameters
    ----------
    output
        As the user gave it.
    make : callable
        Depends on nothing else, raises what is wrong with `arguments`, and copies arrays among them. If it
        makes no passes, `array` is copied.
    threads, rounding, nan_policy, precision
        As the user gave them.
    complex_output : bool
        As in `_arguments.output`.
    """
    call = (make, *arguments, rounding, nan_policy, precision)
    found = usual.run(call, array, output, threads)
    if isinstance(found, np.ndarray):
        return found
    key = found
    chosen = options(threads, rounding, nan_policy, precision)
    passes = usual.known_passes(key) or make(array.ndim, array.dtype.kind == "c", *arguments)
    target = _arguments.output(output, array, filtered_shape(array.shape, passes), complex_output)
    if not passes:
        target[...] = array[...]
        return target
    plan = run(array, target, passes, chosen)
    # Arrays among the arguments may have been written to by another thread since.
    if plan is not None and key is not None and key == key_of(call, array, output):
        usual.keep(key, passes, plan, target)
    return target


def run(
    array: Array, output: Array, passes: Sequence[Pass], chosen: Options, missing: str | None = None
) -> FilterPlan | None:
    """Filter `array` into `output`, which may share its memory.

    Complex input is filtered as two real arrays, and needs complex output; real input, real output.
    `missing`, of real input: as in `filter_passes`.

    Returns
    -------
    FilterPlan or None
        What would do the same for arrays that lie in memory as these do, if one plan does.
    """
    _arguments.filterable(array, "input")
    if chosen.nan_policy == "omit":
        from fastsep.ndimage._nan import run_omitting

        return run_omitting(array, output, passes, chosen)
    if array.dtype.kind == "c":
        if output.dtype.kind != "c":
            raise RuntimeError(f"output must have complex dtype for complex input; got {output.dtype}")
        _arguments.filterable(output, "output")
        real = [one._replace(cval=one.cval.real) for one in passes]
        imaginary = [one._replace(cval=one.cval.imag) for one in passes]
        if np.may_share_memory(array, output):
            array = array.copy()
        _run_real(array.real, output.real, real, chosen)
        _run_real(array.imag, output.imag, imaginary, chosen)
        return None
    _arguments.real_array(output, "output")
    return _run_real(array, output, passes, chosen, missing)


def _run_real(
    array: Array, output: Array, passes: Sequence[Pass], chosen: Options, missing: str | None = None
) -> FilterPlan | None:
    if output.size == 0:
        return None
    how = arithmetic(array.dtype, output.dtype, chosen)
    if how == "nearest":
        for one in passes:
            if one.mode == "constant" and not math.isfinite(one.cval):
                raise ValueError(
                    f'cval must be finite with rounding="nearest", for integers are; got {one.cval!r}'
                )
        # Elsewhere it is not looked at.
        passes = [one if one.mode == "constant" else one._replace(cval=0.0) for one in passes]
        # The kernel knows bool, whose range ends at 1, and has one type for both arrays.
        given = array.astype(output.dtype, copy=False)
        plan = _run_passes(given, output, passes, how, chosen.threads)
        return plan if given is array else None
    array = array.view(np.uint8) if array.dtype.char == "?" else array
    output = output.view(np.uint8) if output.dtype.char == "?" else output
    return _run_passes(array, output, passes, how, chosen.threads, missing)


def run_pair(
    array: Array,
    output: Array,
    pair: tuple[Sequence[Pass], Sequence[Pass]],
    chosen: Options,
    joint: str,
    whole: float = 1.0,
    always: bool = False,
) -> FilterPlan | None:
    """Two filters of real numbers in one traversal, joined as `filter_pair` says; `output` of floats.

    None, and nothing has been done, where one traversal does not do.
    """
    passes, others = pair
    if output.size == 0 or np.may_share_memory(array, output) or not output.dtype.isnative:
        return None
    how = arithmetic(array.dtype, output.dtype, chosen)
    if len(passes) == 1 and are_long_lines(array, output, passes[0], how):
        return None
    return filter_pair(
        array.view(np.uint8) if array.dtype.char == "?" else array,
        output,
        passes,
        others,
        arithmetic=how,
        joint=joint,
        whole=whole,
        always=always,
        threads=chosen.threads,
    )


def _run_passes(
    array: Array,
    output: Array,
    passes: Sequence[Pass],
    how: str,
    threads: int | None,
    missing: str | None = None,
) -> FilterPlan | None:
    if len(passes) == 1 and are_long_lines(array, output, passes[0], how):
        filter_lines(
            array,
            output,
            passes[0],
            lambda x, out, one: filter_passes(
                x, out, [one], arithmetic=how, missing=missing, threads=threads
            ),
        )
        return None
    return filter_passes(array, output, passes, arithmetic=how, missing=missing, threads=threads)


def arithmetic(given: np.dtype[Any], stored: np.dtype[Any], chosen: Options) -> str:
    """How sums are formed: as SciPy for integers, in the output's type for floats."""
    if stored.kind != "f":
        if chosen.rounding == "nearest":
            if given.kind == "f" or stored.itemsize > 2 or not np.can_cast(given, stored):
                raise ValueError(
                    'rounding="nearest" is integer arithmetic: input and output must be integers of up to 16 '
                    f"bits, the output no narrower than the input; got {given} and {stored}"
                )
            return "nearest"
        return "scipy"
    if chosen.rounding == "nearest":
        raise ValueError(f'rounding="nearest" is for integer output; {stored} always rounds to nearest')
    if chosen.precision == "double":
        return "scipy"
    # float32 holds every float32 and every integer of up to 16 bits; anything else is summed in double.
    narrow = given.char == "f" or (given.kind in "iu" and given.itemsize <= 2)
    return "float32" if stored.char == "f" and narrow else "float64"
