"""A filter row as fastsep.ndimage computes it, and how every library's output is checked."""

from __future__ import annotations

import numpy as np

import fastsep.ndimage
from bench.filter_rows import SMALL, FilterRow, Image
from bench.peers.form import Form
from fastsep import _threads


def our_form(row: FilterRow, threads: int) -> Form:
    """Return fastsep.ndimage's function, into an array that is there.

    On all threads, a small image is called as anybody calls it: OpenCV too decides by itself whether to fork.
    """
    image = row.image()
    out: Image = np.empty(row.shape, row.out_dtype)
    function = getattr(fastsep.ndimage, row.function)
    arguments = {**row.arguments, "threads": threads}
    if row.shape in SMALL and threads > 1:
        arguments["threads"] = None
        limit = _threads.resolve(None)
        assert limit == threads, f"threads=None would mean {limit} here, and the row is for {threads}"
    if row.rounds_to_nearest:
        arguments["rounding"] = "nearest"
    words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Form(f"{row.function}({words})", lambda: function(image, output=out, **arguments), lambda: out)


def checked(row: FilterRow, name: str, form: Form, expected: Image) -> tuple[float, float | None]:
    """Return how far the form's output is off, and on which share of pixels; fail if it is too far."""
    form.call()
    difference = row.difference(form.output(), expected)
    assert difference <= row.tolerance, f"{name} ({form.description}) differs by {difference:.1e}"
    return difference, row.share_off(form.output(), expected)
