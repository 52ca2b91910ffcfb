"""SciPy: the function of the same name, on its one thread, into an array that is there."""

from __future__ import annotations

from collections.abc import Iterator

import scipy.ndimage

import fastsep
from bench.filter_rows import FilterRow, Image
from bench.peers.form import Form

NAME = "SciPy"


def forms(row: FilterRow, threads: int) -> Iterator[Form]:
    """Yield the one form."""
    if threads != 1:
        raise ValueError(f"scipy.ndimage runs on one thread; asked for {threads}")
    image = row.image()
    out: Image = fastsep.empty(row.shape, row.out_dtype)
    function = getattr(scipy.ndimage, row.function)
    yield Form(
        f"scipy.ndimage.{row.function}", lambda: function(image, output=out, **row.arguments), lambda: out
    )
