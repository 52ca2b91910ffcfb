"""`accelerate_scipy`: scikit-image computes with our filters, and with SciPy's again afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.feature
import skimage.filters
from programs import run_program

import fastsep.ndimage as ndi
from fastsep._lines import FilterPlan
from fastsep._usual_filter import UsualFilters
from fastsep.ndimage import _run

IMAGE = skimage.data.camera()[:160, :200]
PHOTOGRAPH = skimage.data.astronaut()[:90, :120]
ORIGINALS = {name: getattr(scipy.ndimage, name) for name in ndi.__all__ if hasattr(scipy.ndimage, name)}

FILTERS: dict[str, Callable[[], Any]] = {
    "gaussian": lambda: skimage.filters.gaussian(IMAGE, sigma=2.5),
    "gaussian of colours": lambda: skimage.filters.gaussian(PHOTOGRAPH, sigma=(1, 2), channel_axis=-1),
    "sobel": lambda: skimage.filters.sobel(IMAGE),
    "sobel along an axis": lambda: skimage.filters.sobel(IMAGE.astype(np.float32), axis=0),
    "scharr": lambda: skimage.filters.scharr(IMAGE),
    "farid": lambda: skimage.filters.farid(IMAGE),
    "canny": lambda: skimage.feature.canny(IMAGE, sigma=2),
    "difference of Gaussians": lambda: skimage.filters.difference_of_gaussians(IMAGE, 1, 4),
    "unsharp mask": lambda: skimage.filters.unsharp_mask(IMAGE, radius=2),
    "corners": lambda: skimage.feature.corner_harris(IMAGE),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The threads of every call of our kernels."""
    seen: list[Any] = []
    original = _run.filter_passes

    def counted(*arguments: Any, **keywords: Any) -> FilterPlan | None:
        seen.append(keywords["threads"])
        return original(*arguments, **keywords)

    # Nothing is kept: every call makes its plan.
    monkeypatch.setattr(_run, "usual", UsualFilters(0))
    monkeypatch.setattr(_run, "filter_passes", counted)
    return seen


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", FILTERS)
def test_scikit_image_computes_with_ours(name: str, calls: list[Any]) -> None:
    expected = FILTERS[name]()
    assert not calls
    with ndi.accelerate_scipy():
        actual = FILTERS[name]()
    assert calls, "SciPy was used"
    assert actual.dtype == expected.dtype
    if expected.dtype == bool:
        # Edges are where magnitudes are compared: a few of them may be equal but for rounding.
        assert np.count_nonzero(actual != expected) <= 2
    else:
        single = expected.dtype == np.float32
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=(3e-6 if single else 1e-13) * np.ptp(expected)
        )
    count = len(calls)
    FILTERS[name]()
    assert len(calls) == count, "SciPy did not come back"


def test_every_function_is_exchanged_and_comes_back() -> None:
    assert len(ORIGINALS) == 15
    with ndi.accelerate_scipy() as acceleration:
        assert acceleration.running
        for name, original in ORIGINALS.items():
            stand_in = getattr(scipy.ndimage, name)
            assert stand_in is not original
            assert getattr(scipy.ndimage._filters, name) is stand_in
            assert stand_in.__name__ == name
    for name, original in ORIGINALS.items():
        assert getattr(scipy.ndimage, name) is original
        assert getattr(scipy.ndimage._filters, name) is original
    assert not acceleration.running


def test_references_that_other_modules_hold_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    holder, late = ModuleType("holder"), ModuleType("late")
    holder.smooth = scipy.ndimage.gaussian_filter
    holder.ours = ndi.gaussian_filter
    monkeypatch.setitem(sys.modules, "holder", holder)
    with ndi.accelerate_scipy():
        assert holder.smooth is scipy.ndimage.gaussian_filter
        assert holder.smooth is not ORIGINALS["gaussian_filter"]
        late.smooth = scipy.ndimage.gaussian_filter
        monkeypatch.setitem(sys.modules, "late", late)
    assert holder.smooth is ORIGINALS["gaussian_filter"]
    assert late.smooth is ORIGINALS["gaussian_filter"]
    assert holder.ours is ndi.gaussian_filter


def test_as_a_switch_and_nested(calls: list[Any]) -> None:
    switch = ndi.accelerate_scipy()
    try:
        with ndi.accelerate_scipy(threads=1):
            scipy.ndimage.sobel(IMAGE)
            scipy.ndimage.gaussian_laplace(IMAGE, 1)
        assert set(calls) == {1}
        scipy.ndimage.sobel(IMAGE)
        assert calls[-1] is None
        assert scipy.ndimage.sobel is not ORIGINALS["sobel"]
    finally:
        switch.stop()
    assert scipy.ndimage.sobel is ORIGINALS["sobel"]
    switch.stop()
    assert "off" in repr(switch)
    switch.start()
    assert scipy.ndimage.sobel is not ORIGINALS["sobel"]
    switch.stop()
    assert scipy.ndimage.sobel is ORIGINALS["sobel"]


def test_an_error_ends_it() -> None:
    with pytest.raises(KeyError), ndi.accelerate_scipy():
        raise KeyError
    assert scipy.ndimage.sobel is ORIGINALS["sobel"]


def test_bad_threads_switch_nothing_on() -> None:
    with pytest.raises(ValueError, match="threads"):
        ndi.accelerate_scipy(threads=0)
    assert scipy.ndimage.sobel is ORIGINALS["sobel"]


def test_fastsep_itself_needs_no_scipy(tmp_path: Path) -> None:
    process = run_program("""
        import sys
        import fastsep.ndimage as ndi
        ndi.gaussian_filter([[1.0, 2.0]], 1)
        ndi.correlate([[1.0, 2.0]], [[1, 2, 1]] * 3)
        assert not any(name.split(".")[0] == "scipy" for name in sys.modules)
        sys.modules["scipy"] = None
        try:
            ndi.accelerate_scipy()
        except ImportError:
            print("refused")
    """)
    assert process.returncode == 0, process.stderr
    assert "refused" in process.stdout
