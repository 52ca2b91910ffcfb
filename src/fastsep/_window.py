"""How much of an image a window sees."""

from __future__ import annotations

from collections.abc import Iterator


def positions_read(size: int, outputs: int, taps: int, stride: int, dilation: int, before: int) -> int:
    """Return how many of `size` positions along one axis at least one of the windows reads.

    Output y reads positions ``y * stride + t * dilation - before``, t = 0 … taps - 1, as far as they exist.
    A stride above the window's width leaves positions out, and so do strides and dilations with a common
    factor.
    """
    progressions: dict[int, list[tuple[int, int]]] = {}
    for tap in range(taps):
        # Tap t of all outputs: every stride-th position, from the first one inside the image to the last.
        step, offset = divmod(tap * dilation - before, stride)
        low, high = max(step, 0), min(step + outputs, -(-(size - offset) // stride))
        if low < high:
            progressions.setdefault(offset, []).append((low, high))
    return sum(
        high - low for ranges in progressions.values() for low, high in _without_overlap(sorted(ranges))
    )


def _without_overlap(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted ranges without what an earlier one holds."""
    end = 0
    for low, high in ranges:
        yield max(low, min(end, high)), high
        end = max(end, high)
