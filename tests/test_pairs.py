"""Two filters of one traversal: the bits of two calls, joined by NumPy; missing values count for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from numpy.typing import NDArray

import fastsep.ndimage as ndi
from fastsep._isa import set_caches
from fastsep._lines import filter_pair, filter_passes
from fastsep._passes import Pass
from fastsep._usual_filter import UsualFilters
from fastsep.ndimage import _arguments, _pairs, _run

pytestmark = pytest.mark.usefixtures("isa")

Array = NDArray[Any]
SHAPES = [(2, 40), (7, 1000), (150, 700), (3, 90, 301), (90, 300, 3)]
CACHES = [None, "L1=1K,L2=4K,L3=16K"]


@pytest.fixture(params=CACHES, ids=["caches", "tiny caches"])
def cut(request: pytest.FixtureRequest) -> Iterator[None]:
    """As for this machine, and in many strips and blocks."""
    set_caches(request.param)
    yield
    set_caches(None)


def pass_along(axis: int, size: int, mode: str, rng: np.random.Generator, sign: int = 1) -> Pass:
    """Taps of which none is negative, or antisymmetric ones."""
    half = rng.random(size // 2)
    weights = np.concatenate([sign * half, [1.0 if sign > 0 else 0.0], half[::-1]])
    return Pass(axis, "correlate", weights, size, size // 2, mode, 2.0)


def axes_of(shape: tuple[int, ...]) -> tuple[int, int]:
    return (1, 2) if shape[0] == 3 else (0, 1)


def filtered(x: Array, passes: list[Pass], kind: str, arithmetic: str) -> Array:
    out = np.empty(x.shape, kind)
    filter_passes(x, out, passes, arithmetic=arithmetic, threads=1)
    return out


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("mode", ["reflect", "wrap"])
@pytest.mark.parametrize("size", [3, 19, 41])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("given", "kind"), [("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("f8", "f4")])
def test_a_pair_has_the_bits_of_two_filters(
    given: str, kind: str, shape: tuple[int, ...], size: int, mode: str
) -> None:
    rng = np.random.default_rng(size)
    x = (rng.random(shape) * 250).astype(given)
    down, along = axes_of(shape)
    one = [pass_along(down, size, mode, rng, -1), pass_along(along, size, mode, rng)]
    other = [pass_along(down, size, mode, rng), pass_along(along, size, mode, rng, -1)]
    own = "float32" if given != "f8" and kind == "f4" else "float64"
    for arithmetic in (own, "scipy"):
        a, b = (filtered(x, passes, kind, arithmetic) for passes in (one, other))
        for joint, expected in (("sum", a + b), ("magnitude", np.sqrt(a * a + b * b))):
            for threads in (1, 3):
                out = np.empty(shape, kind)
                plan = filter_pair(x, out, one, other, arithmetic=arithmetic, joint=joint, threads=threads)
                assert plan is not None
                assert_same_bits(out, expected)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("mode", ["reflect", "constant", "wrap"])
@pytest.mark.parametrize("size", [3, 19, 41])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("given", "kind"), [("f4", "f4"), ("f8", "f8"), (">f4", "f4"), ("f8", "f4")])
def test_missing_values_count_for_nothing(
    given: str, kind: str, shape: tuple[int, ...], size: int, mode: str
) -> None:
    rng = np.random.default_rng(size)
    x = (rng.standard_normal(shape) * 9).astype(given)
    axes = axes_of(shape)
    passes = [pass_along(axis, size, mode, rng) for axis in axes]
    arithmetic = "float32" if given != "f8" and kind == "f4" else "float64"
    first = [passes[0]._replace(mode="nearest")]
    beyond = float(filtered(np.ones(shape, given), first, kind, arithmetic).flat[0])
    weights = [passes[0]._replace(cval=1.0), passes[1]._replace(cval=beyond)]
    whole = filtered(np.ones(shape, given), weights, kind, arithmetic).flat[0]
    plain = filtered(x, passes, kind, arithmetic)
    for holes in (0, 1, x.size // 3):
        holed = x.copy()
        holed.flat[rng.permutation(x.size)[:holes]] = np.nan
        missing = np.isnan(holed)
        zeroed = filtered(np.where(missing, 0, holed).astype(given), passes, kind, arithmetic)
        weight = filtered((~missing).astype(given), weights, kind, arithmetic)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.where(weight == 0, np.nan, zeroed * (whole / weight)).astype(kind)
        expected = np.where(weight == whole, zeroed, scaled)
        for threads in (1, 3):
            out = np.empty(shape, kind)
            plan = filter_pair(
                holed, out, passes, weights, arithmetic=arithmetic, joint="quotient", whole=float(whole),
                threads=threads,
            )  # fmt: skip
            assert plan is not None
            seen = filtered(missing.astype("f8"), [p._replace(cval=0.0) for p in passes], "f8", "float64") > 0
            assert_same_bits(out[seen], expected[seen])
            assert_same_bits(out[~seen], plain[~seen])


@pytest.mark.parametrize("missing", ["zeroed", "weighed"])
@pytest.mark.parametrize("shape", [(400,), (40, 50), (20, 30, 40)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_nan_counts_for_nothing_whatever_the_number_of_stages(
    order: Any, shape: tuple[int, ...], missing: str
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype("f4")
    x[rng.random(shape) < 0.3] = np.nan
    passes = [pass_along(axis, 7, "reflect", rng) for axis in range(len(shape))]
    as_meant = np.where(np.isnan(x), 0, x if missing == "zeroed" else 1).astype("f4")
    out = np.empty(shape, "f4")
    filter_passes(np.asarray(x, order=order), out, passes, arithmetic="float32", missing=missing)
    assert_same_bits(out, filtered(np.asarray(as_meant, order=order), passes, "f4", "float32"))


def test_what_is_no_single_traversal_is_not_begun() -> None:
    rng = np.random.default_rng(0)
    volume = rng.random((9, 10, 11))
    passes = [pass_along(axis, 3, "reflect", rng) for axis in range(3)]
    swapped = np.full((9, 10), 5.0, ">f8")
    for x, out, some in (
        (volume, np.full_like(volume, 5), passes),
        (volume[0].T, np.full((11, 10), 5.0, order="F"), passes[:2]),
        (volume[..., 0], swapped, passes[:2]),
        (volume[..., 0], np.full((9, 20), 5.0)[:, ::2], passes[:2]),
    ):
        assert filter_pair(x, out, some, some, arithmetic="float64", joint="sum") is None
        assert (out == 5).all()
    with pytest.raises(ValueError, match="floats"):
        filter_pair(volume, np.empty((9, 10, 11), "i2"), passes, passes, arithmetic="scipy", joint="sum")


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_derivatives_are_joined_as_arrays_are(kind: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((130, 170), (9, 10, 11)):
        image = rng.standard_normal(shape).astype(kind)
        for edge in (ndi.sobel, ndi.prewitt, ndi.scharr):
            parts = [edge(image, axis) for axis in range(len(shape))]
            expected = parts[0] * parts[0]
            for part in parts[1:]:
                expected += part * part
            for _ in range(2):
                assert_same_bits(ndi.generic_gradient_magnitude(image, edge), np.sqrt(expected))
        orders = np.eye(len(shape), dtype=int)
        first = [ndi.gaussian_filter(image, 1.5, order) for order in orders.tolist()]
        second = [ndi.gaussian_filter(image, 1.5, order) for order in (2 * orders).tolist()]
        squares, laplace = first[0] * first[0], second[0].copy()
        for one, two in zip(first[1:], second[1:], strict=True):
            squares += one * one
            laplace += two
        for _ in range(2):
            assert_same_bits(ndi.gaussian_gradient_magnitude(image, 1.5), np.sqrt(squares))
            assert_same_bits(ndi.gaussian_laplace(image, 1.5), laplace)


@pytest.mark.parametrize("shape", [(40, 50), (12, 13, 14), (50, 40)])
def test_a_plan_for_an_image_without_holes_serves_one_with_holes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal(shape)
    whole = np.asfortranarray(image) if shape == (50, 40) else image
    holed = whole.copy(order="K")
    holed[rng.random(shape) < 0.3] = np.nan
    filled = ndi.gaussian_filter(holed, 1.5, nan_policy="omit")
    assert not np.isnan(filled).any()
    for _ in range(2):
        assert_same_bits(ndi.gaussian_filter(whole, 1.5, nan_policy="omit"), ndi.gaussian_filter(whole, 1.5))
        assert_same_bits(ndi.gaussian_filter(holed, 1.5, nan_policy="omit"), filled)


@pytest.mark.parametrize(
    ("shape", "more", "arrays"),
    [
        ((40, 50), {}, 1),
        ((40, 50), {"output": np.int16}, 2),
        ((9, 10, 11), {"axes": (0, 2)}, 2),
        ((9, 10, 11), {"axes": (1, 2), "output": "f8"}, 2),
    ],
)
def test_an_output_is_allocated_once(
    shape: tuple[int, ...], more: dict[str, Any], arrays: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where one traversal does not do, the second derivative."""
    image = np.random.default_rng(0).standard_normal(shape).astype("f4")
    made: list[Any] = []
    original = _arguments._new

    def new(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        made.append(shape)
        return original(shape, dtype)

    monkeypatch.setattr(_arguments, "_new", new)
    # Nothing is kept: every call makes its plan.
    for module in (_run, _pairs):
        monkeypatch.setattr(module, "usual", UsualFilters(0))
    for function in (
        lambda: ndi.gaussian_laplace(image, 1, **more),
        lambda: ndi.gaussian_gradient_magnitude(image, 1, **more),
        lambda: ndi.generic_gradient_magnitude(image, ndi.sobel, **more),
    ):
        made.clear()
        function()
        assert 1 <= len(made) <= arrays
