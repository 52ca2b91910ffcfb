"""SciPy's separable filters replaced by ours, for programs that call SciPy."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

Function = Callable[..., Any]

_lock = threading.RLock()
# By name: SciPy's function, and what stands in for it.
_stand_ins: dict[str, tuple[Function, Function]] = {}


class Acceleration:
    """What `accelerate_scipy` returns: on already; off at the end of its `with` block, or by `stop()`."""

    def __init__(self, threads: int | None) -> None:
        self.threads = threads
        self.running = False
        self.start()

    def start(self) -> None:
        """Switch on; nothing if it is on."""
        with _lock:
            if not self.running:
                _replace()
                self.running = True
                _active.append(self)

    def stop(self) -> None:
        """Switch off; SciPy's functions come back when no other acceleration is on."""
        with _lock:
            if self.running:
                self.running = False
                _active.remove(self)
                if not _active:
                    _restore()

    def __enter__(self) -> Acceleration:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<SciPy's separable filters by fastsep: {'on' if self.running else 'off'}>"


# Those that are on, the newest last.
_active: list[Acceleration] = []


def accelerate_scipy(*, threads: int | None = None) -> Acceleration:
    """Put the filters of this module in the place of SciPy's: scikit-image gets faster unchanged.

    Replaces them in `scipy.ndimage`, and in every module loaded so far that holds one of them under whatever
    name (``from scipy.ndimage import convolve``). Modules loaded meanwhile get ours, and SciPy's when it
    ends.

    Parameters
    ----------
    threads : int, optional
        For every call, as in `correlate1d`.

    Returns
    -------
    Acceleration
        As a context manager it ends with its block; as a switch, with ``stop()``.

    Raises
    ------
    ImportError
        There is no SciPy.

    Examples
    --------
    >>> with accelerate_scipy():  # doctest: +SKIP
    ...     edges = skimage.feature.canny(image)
    """
    from fastsep.ndimage._run import options

    options(threads)
    return Acceleration(threads)


def _make_stand_ins() -> None:
    import scipy.ndimage

    from fastsep import ndimage

    for name in ndimage.__all__:
        original = getattr(scipy.ndimage, name, None)
        if original is not None and name not in _stand_ins:
            _stand_ins[name] = (original, _stand_in(getattr(ndimage, name), original))


def _stand_in(ours: Function, original: Function) -> Function:
    """A function of its own, so that what was replaced can be told from what imported ours."""
    # The two gaussian_… functions hand their keywords on.
    takes_threads = {"threads", "kwargs"} & inspect.signature(ours).parameters.keys()

    @functools.wraps(original)
    def accelerated(*arguments: Any, **keywords: Any) -> Any:
        threads = next((one.threads for one in reversed(_active) if one.threads is not None), None)
        if threads is not None and takes_threads:
            keywords.setdefault("threads", threads)
        return ours(*arguments, **keywords)

    return accelerated


def _replace() -> None:
    _make_stand_ins()
    _exchange({id(original): stand_in for original, stand_in in _stand_ins.values()})


def _restore() -> None:
    _exchange({id(stand_in): original for original, stand_in in _stand_ins.values()})


def _exchange(new: dict[int, Function]) -> None:
    """Put functions in the place of others, by identity, in the namespaces of all loaded modules."""
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType) or module.__name__ == __name__:
            continue
        namespace = vars(module)
        for name, value in list(namespace.items()):
            if inspect.isfunction(value) and id(value) in new:
                namespace[name] = new[id(value)]
