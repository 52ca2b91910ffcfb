"""`fastsep.load`: a network that `session.save` wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastsep._threads import check as check_threads

if TYPE_CHECKING:
    from fastsep.onnx import InferenceSession


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> InferenceSession:
    """Read a network that `InferenceSession.save` wrote; needs NumPy alone.

    Parameters
    ----------
    path : str or path
        The file may change or go once it is loaded: the session has its weights in memory of its own, once,
        packed for the kernels. Processes share none of it.
    threads : int or None
        As for a session.

    Returns
    -------
    fastsep.onnx.InferenceSession

    Raises
    ------
    fastsep.onnx.ModelError
        The file is not one of these, is damaged, or is of a newer format.
    OSError
        It cannot be read.
    """
    from fastsep.onnx._errors import reading
    from fastsep.onnx._file import read
    from fastsep.onnx._session import InferenceSession

    check_threads(threads)
    graph = read(path)
    with reading(path):
        return InferenceSession._of(graph, threads)
