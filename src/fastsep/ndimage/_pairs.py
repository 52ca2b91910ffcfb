"""Two derivatives in one traversal, and their sum or the root of the sum of their squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._passes import Pass
from fastsep._usual_filter import key_of
from fastsep.ndimage import _arguments
from fastsep.ndimage._run import options, run_pair, usual

Array = NDArray[Any]


def joined(
    array: Array,
    output: Any,
    joint: str,
    make: Callable[..., Sequence[Pass]],
    along: Sequence[int],
    modes: Sequence[Any],
    arguments: tuple[Any, ...],
    threads: int | None,
    precision: Any,
) -> tuple[Array | None, Any]:
    """The derivatives along two axes, joined as `filter_pair` says, with the bits of two arrays joined.

    Each is filtered by the passes ``make(array.ndim, False, axis, mode, *arguments)``. None, and nothing has
    been computed, where that needs more than one traversal. Beside it stands the output to go on with, which
    may have become an array: whether one traversal does depends on how that lies in memory.
    """
    if len(along) != 2 or array.dtype.kind not in "iubf" or (array.dtype.kind != "f" and output is None):
        return None, output
    call = (make, joint, *along, *modes, *arguments, precision)
    found = usual.run(call, array, output, threads)
    if isinstance(found, np.ndarray):
        return found, output
    key = found
    if any(_arguments.mode(one) == "valid" for one in modes):
        return None, output
    target = _arguments.output(output, array)
    if target.dtype.kind != "f" or target.dtype.itemsize not in (4, 8):
        return None, target
    chosen = options(threads, precision=precision)
    one, other = (
        make(array.ndim, False, axis, mode, *arguments) for axis, mode in zip(along, modes, strict=True)
    )
    if not one or not other:
        return None, target
    _arguments.filterable(array, "input")
    _arguments.real_array(target, "output")
    plan = run_pair(array, target, (one, other), chosen, joint)
    if plan is None:
        return None, target
    if key is not None and key == key_of(call, array, output):
        usual.keep(key, (), plan, target)
    return target, output
