"""Windows of convolutions and pools: how many there are, and where."""

import math
from typing import NamedTuple

import numpy as np

from fastsep.onnx._graph import Array, Node
from fastsep.onnx._operators._specs import MOST_BYTES, Shape

#: What pads its image before it slides windows over it. Never computed before a run: a small model could ask
#: for much memory that way.
WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool")
_MOST = 2**31 - 1


class Windows(NamedTuple):
    """The windows along each spatial axis; with ceil_mode the last may reach beyond `pads`."""

    taps: Shape
    strides: Shape
    dilations: Shape
    pads: tuple[tuple[int, int], ...]
    outputs: Shape


def windows_of(node: Node, spatial: Shape, taps: Shape) -> Windows:
    """Find out where the windows of a convolution or pool lie.

    Parameters
    ----------
    node : Node
        Attributes `strides`, `dilations`, `pads` (all befores, then all afters), `auto_pad`, `ceil_mode`;
        absent ones have ONNX's defaults.
    spatial, taps : tuple of int
        The sizes of the image and of the window.

    Raises
    ------
    ValueError
        An attribute has a wrong length or value, or no window fits.
    """
    rank = len(spatial)
    if len(taps) != rank:
        raise ValueError(f"{node.describe()}: a window {taps} does not fit an image of {rank} spatial axes")
    strides, dilations, numbers = window_numbers(node, taps)
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    ceil = bool(node.attributes.get("ceil_mode", 0))
    pads, outputs = [], []
    for axis in range(rank):
        size, stride = spatial[axis], strides[axis]
        extent = (taps[axis] - 1) * dilations[axis] + 1
        before, after = numbers[axis], numbers[axis + rank]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            count = -(-size // stride)
            total = max((count - 1) * stride + extent - size, 0)
            smaller, larger = total // 2, total - total // 2
            before, after = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
        else:
            count = window_count(size, before, after, extent, stride, ceil)
            if count < 1:
                raise ValueError(
                    f"{node.describe()}: a window of {extent} does not fit {size} + {before} + {after} "
                    f"elements of spatial axis {axis}"
                )
        pads.append((before, after))
        outputs.append(count)
    return Windows(taps, strides, dilations, tuple(pads), tuple(outputs))


def window_count(size: int, before: int, after: int, extent: int, stride: int, ceil: bool) -> int:
    """Return how many windows there are along an axis, 0 or less if none fits.

    With `ceil` there is one more where the last is cut off, but none that begins behind the image.
    """
    room = size + before + after - extent
    if ceil:
        return min(-(-room // stride) + 1, -(-(size + before) // stride))
    return room // stride + 1 if room >= 0 else 0


def window_numbers(node: Node, taps: Shape) -> tuple[Shape, Shape, Shape]:
    """Strides, dilations and pads of a window, whatever the image; pads are 0 if `auto_pad` says them.

    Raises
    ------
    ValueError
        As `windows_of`, but for what depends on the image.
    """
    rank = len(taps)
    if any(size < 1 for size in taps):
        raise ValueError(f"{node.describe()}: a window {taps} is empty")
    strides, dilations = _per_axis(node, "strides", rank), _per_axis(node, "dilations", rank)
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"{node.describe()}: auto_pad {auto_pad!r} is unknown")
    pads = tuple(node.attributes.get("pads") or ()) if auto_pad == "NOTSET" else ()
    pads = pads or (0,) * (2 * rank)
    if len(pads) != 2 * rank:
        raise ValueError(f"{node.describe()}: pads must hold {2 * rank} numbers; got {pads}")
    if any(number < 0 for number in pads):
        raise ValueError(f"{node.describe()}: pads must not be negative; got {pads}")
    if max(*strides, *dilations, *pads, *taps) > _MOST:
        raise ValueError(
            f"{node.describe()}: strides {strides}, dilations {dilations}, pads {pads} and taps {taps} "
            f"must be at most {_MOST}"
        )
    return strides, dilations, pads


def _per_axis(node: Node, name: str, rank: int) -> Shape:
    numbers = tuple(node.attributes.get(name) or (1,) * rank)
    if len(numbers) != rank or any(number < 1 for number in numbers):
        raise ValueError(f"{node.describe()}: {name} must hold {rank} positive numbers; got {numbers}")
    return numbers


def padded(x: Array, windows: Windows, fill: object) -> Array:
    """The image with `fill` around it, as far as windows reach."""
    widths = [(0, 0), (0, 0)]
    for axis, (before, _) in enumerate(windows.pads):
        extent = (windows.taps[axis] - 1) * windows.dilations[axis] + 1
        reach = (windows.outputs[axis] - 1) * windows.strides[axis] + extent
        widths.append((before, max(reach - before - x.shape[2 + axis], 0)))
    if not any(before or after for before, after in widths):
        return x
    shape = [size + sum(width) for size, width in zip(x.shape, widths, strict=True)]
    if math.prod(shape) * x.itemsize > MOST_BYTES:
        raise ValueError(
            f"an image of shape {x.shape} would be padded to {tuple(shape)}, too much for memory"
        )
    return np.pad(x, widths, constant_values=fill)  # type: ignore[call-overload, no-any-return]


def tap(image: Array, windows: Windows, place: Shape) -> Array:
    """The elements of a padded image that one tap of the windows reads: (N, C, *outputs)."""
    return image[
        (
            slice(None),
            slice(None),
            *tuple(
                slice(first * dilation, first * dilation + (count - 1) * stride + 1, stride)
                for first, dilation, count, stride in zip(
                    place, windows.dilations, windows.outputs, windows.strides, strict=True
                )
            ),
        )
    ]
