"""The filters of bench-peers are the rows asked for, and what they are checked against is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.families import FILTER_FAMILIES
from bench.filter_forms import checked, our_form
from bench.filter_rows import (
    BOX,
    DTYPES,
    HD,
    SIGMAS,
    SMALL,
    SMALL_DTYPES,
    UHD,
    FilterRow,
    all_filter_rows,
    expected_of,
    image_of,
)
from bench.filters import FILTER_ROWS, StoryFilter
from bench.peers import scipy_ndimage
from bench.peers.form import Form

ROWS = all_filter_rows()
TINY = (11, 13)


def tiny(row: FilterRow) -> FilterRow:
    """Return the row on so small an image that any loop will do."""
    return replace(row, shape=TINY if len(row.shape) == 2 else (5, 6, 7))


def test_no_two_rows_have_one_label() -> None:
    assert len({row.label for row in ROWS}) == len(ROWS)


def test_every_row_has_a_family_and_every_family_rows() -> None:
    assert {row.family for row in ROWS} == FILTER_FAMILIES.keys()


def test_beside_opencv_is_every_gaussian_of_the_table() -> None:
    found = {
        (row.dtype, row.sigma, row.shape)
        for row in ROWS
        if row.function == "gaussian_filter" and row.peer == "OpenCV" and row.shape not in SMALL
    }
    assert found == {(dtype, sigma, shape) for dtype in DTYPES for sigma in SIGMAS for shape in (UHD, HD)}
    for function in ("uniform_filter", "sobel"):
        others = {(row.dtype, row.shape) for row in ROWS if row.function == function and row.peer == "OpenCV"}
        assert others >= {(dtype, shape) for dtype in DTYPES for shape in (UHD, HD)}


def test_small_images_are_filtered_by_every_gaussian() -> None:
    small = {
        (row.dtype, row.sigma, row.shape)
        for row in ROWS
        if row.function == "gaussian_filter" and row.shape in SMALL
    }
    assert small >= {(dtype, sigma, shape) for dtype in SMALL_DTYPES for sigma in SIGMAS for shape in SMALL}


def test_flat_images_stand_beside_photographs() -> None:
    flat = [row for row in ROWS if row.picture == "flat"]
    gaussians = {(row.dtype, row.sigma) for row in flat if row.function == "gaussian_filter"}
    assert gaussians == {(dtype, sigma) for dtype in ("uint8", "uint16") for sigma in SIGMAS}
    assert {row.dtype for row in flat if row.function == "uniform_filter"} == {"uint8", "uint16"}
    assert {replace(row, picture="photograph") for row in flat} <= set(ROWS)
    assert np.unique(image_of("uint8", TINY, "flat")).tolist() == [200]


def test_labels_say_what_is_computed() -> None:
    assert FilterRow("gaussian_filter", "uint8", UHD, sigma=3).label == "Gaussian sigma 3 uint8 3840x2160"
    assert FilterRow("sobel", "uint8", HD).label == "Sobel uint8 to int16 1920x1080"
    flat = FilterRow("uniform_filter", "uint16", HD, "SciPy", picture="flat")
    assert flat.label == "box 9 uint16 1920x1080 flat as SciPy"
    assert flat.family == "integers with SciPy's bits"


@pytest.mark.parametrize("shape", [TINY, (64, 64), (301, 517)])
def test_photographs_have_their_shape_and_range(shape: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        image = image_of(dtype, shape, "photograph")
        assert image.shape == shape
        assert image.dtype == dtype
        assert len(np.unique(image)) > 50
    assert image_of("uint16", (64, 64), "photograph").max() > 2**15


def test_expected_is_the_definition_at_a_pixel() -> None:
    row = FilterRow("uniform_filter", "float64", TINY)
    window = row.image()[: BOX // 2 + 6, 1 : BOX + 1]
    # Rows 5 - 4 … 5 + 4 and columns 5 - 4 … 5 + 4.
    assert expected_of(row)[5, 5] == pytest.approx(window[1:10].mean(), rel=1e-12)
    gaussian = FilterRow("gaussian_filter", "uint8", TINY, sigma=1)
    bell = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    weights = np.outer(bell, bell) / bell.sum() ** 2
    assert expected_of(gaussian)[5, 5] == np.rint((gaussian.image()[1:10, 1:10] * weights).sum())


def test_the_border_is_the_peers_own() -> None:
    beside_opencv = FilterRow("sobel", "float64", TINY)
    x = beside_opencv.image()
    # Mirrored, the neighbours of the first column are one pixel, so their difference is 0.
    assert np.abs(expected_of(beside_opencv)[:, 0]).max() == 0
    beside_scipy = replace(beside_opencv, peer="SciPy")
    column = x[:, 1] - x[:, 0]
    assert expected_of(beside_scipy)[5, 0] == pytest.approx(column[4] + 2 * column[5] + column[6])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_ours_passes_the_check_that_stands_before_the_clock(row: FilterRow) -> None:
    small = tiny(row)
    difference, off = checked(small, "fastsep", our_form(small, 1), expected_of(small))
    assert difference <= small.tolerance
    assert (off is None) == (np.dtype(row.out_dtype).kind == "f")
    if row.family == "integers with SciPy's bits":
        assert off == 0


def test_scipy_passes_the_check_on_one_thread_alone() -> None:
    row = tiny(FilterRow("gaussian_filter", "uint8", HD, "SciPy", 3))
    (form,) = scipy_ndimage.forms(row, 1)
    assert checked(row, "SciPy", form, expected_of(row)) == (0, 0)
    with pytest.raises(ValueError, match="runs on one thread; asked for 2"):
        next(scipy_ndimage.forms(row, 2))


@pytest.mark.parametrize(("dtype", "peer"), [("uint8", "OpenCV"), ("uint8", "SciPy"), ("float64", "OpenCV")])
def test_a_wrong_output_fails(dtype: str, peer: str) -> None:
    row = FilterRow("gaussian_filter", dtype, TINY, peer, 3)  # type: ignore[arg-type]
    wrong = expected_of(row).astype(dtype)
    # One count more than is allowed; for doubles, what a sum in float32 would be off.
    wrong[3, 4] += row.tolerance + 1 if dtype == "uint8" else 1e-5
    with pytest.raises(AssertionError, match=r"wrong .*differs by"):
        checked(row, "wrong", Form("by one pixel", lambda: None, lambda: wrong), expected_of(row))


def test_work_counts_lanes_and_bytes() -> None:
    single = FilterRow("gaussian_filter", "float32", HD, sigma=1)
    pixels = 1080 * 1920
    assert single.multiply_adds == pixels * 2 * 9
    assert replace(single, dtype="float64").multiply_adds == 2 * single.multiply_adds
    assert replace(single, dtype="uint8").multiply_adds == single.multiply_adds // 2
    assert single.compulsory_bytes == pixels * 8
    assert FilterRow("sobel", "uint8", HD).compulsory_bytes == pixels * 3


@pytest.mark.parametrize("story", FILTER_ROWS, ids=lambda row: row.name)
def test_the_storys_roofline_is_that_of_the_same_filter_beside_peers(story: StoryFilter) -> None:
    peer = FilterRow(story.function, story.dtype, HD, "SciPy", story.arguments.get("sigma", 0))
    assert story.work["roofline_multiply_adds"] == peer.multiply_adds
    # No more than what the textbook counts, which GFLOP/s are of: doubles are not in the story.
    assert story.work["roofline_multiply_adds"] <= story.work["multiply_adds"]
