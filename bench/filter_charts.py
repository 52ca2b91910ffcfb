"""The figure of the filters: Gaussians beside OpenCV against sigma, size, dtype and threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.results import Results, Row

# Colour-blind safe (Okabe and Ito), a colour for every dtype.
COLOUR_OF = {"uint8": "#0072b2", "uint16": "#d55e00", "float32": "#009e73", "float64": "#cc79a7"}
INK = "#1f2328"
SIGMA = 3


def draw_filter_times(results: Results) -> Canvas | None:
    """Nanoseconds a pixel against sigma and size, milliseconds by dtype, speed-up with threads."""
    rows = results.gaussians_beside_opencv
    if not rows:
        return None
    largest = max(pixels(row) for row in rows)
    one = [row for row in rows if row.threads == 1]
    figure, panels = plt.subplots(2, 2, figsize=(11, 7))
    draw_lines(panels[0][0], [row for row in one if pixels(row) == largest], sigma)
    panels[0][0].set_title("against σ, the largest image, 1 thread")
    panels[0][0].set_xlabel("σ")
    panels[0][0].set_ylabel("ns a pixel")
    every_size = [row for row in one if sigma(row) == SIGMA]
    draw_lines(panels[0][1], every_size, pixels)
    sizes = {pixels(row): size(row) for row in every_size}
    panels[0][1].set_xticks(list(sizes), list(sizes.values()))
    panels[0][1].set_title(f"against size, σ = {SIGMA}, 1 thread")
    panels[0][1].set_xlabel("pixels, on a logarithmic scale")
    panels[0][1].set_ylabel("ns a pixel")
    draw_dtypes(panels[1][0], [row for row in one if pixels(row) == largest and sigma(row) == SIGMA])
    draw_threads(panels[1][1], [row for row in rows if pixels(row) == largest and sigma(row) == SIGMA])
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def pixels(row: Row) -> int:
    """Of the image."""
    assert row.filter is not None
    return int(row.filter["pixels"])


def size(row: Row) -> str:
    """Return the image's width and height in words."""
    assert row.filter is not None
    return "×".join(map(str, reversed(row.filter["shape"])))


def sigma(row: Row) -> float:
    """Of the Gaussian."""
    assert row.filter is not None
    return float(row.filter["sigma"])


def dtypes(rows: Sequence[Row]) -> list[str]:
    """Return the dtypes that occur, in the order of the colours."""
    return [dtype for dtype in COLOUR_OF if any(row.filter and row.filter["dtype"] == dtype for row in rows)]


def of_dtype(rows: Sequence[Row], dtype: str) -> list[Row]:
    """Return the rows of a dtype."""
    return [row for row in rows if row.filter and row.filter["dtype"] == dtype]


def peer_seconds(row: Row) -> float:
    """Return OpenCV's time."""
    return row.seconds * row.ratio


def draw_lines(axes: Axes, rows: Sequence[Row], position: Callable[[Row], float]) -> None:
    """Draw two lines for every dtype: ours solid, OpenCV's dashed."""
    for dtype in dtypes(rows):
        found = sorted(of_dtype(rows, dtype), key=position)
        places = [position(row) for row in found]
        ours = [1e9 * row.seconds / pixels(row) for row in found]
        peers = [1e9 * peer_seconds(row) / pixels(row) for row in found]
        axes.plot(places, ours, ".-", color=COLOUR_OF[dtype], label=f"fastsep {dtype}")
        axes.plot(places, peers, ".--", color=COLOUR_OF[dtype], linewidth=1, label=f"OpenCV {dtype}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xticks(sorted({position(row) for row in rows}))


def draw_dtypes(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw two bars for every dtype: ours filled, OpenCV's hollow."""
    for index, dtype in enumerate(dtypes(rows)):
        (row,) = of_dtype(rows, dtype)
        axes.bar(index - 0.2, 1e3 * row.seconds, 0.36, color=COLOUR_OF[dtype])
        axes.bar(index + 0.2, 1e3 * peer_seconds(row), 0.36, edgecolor=COLOUR_OF[dtype], fill=False)
        axes.annotate(f"{row.ratio:.1f}×", (index + 0.2, 1e3 * peer_seconds(row)), ha="center", va="bottom")
    axes.set_xticks(range(len(dtypes(rows))), dtypes(rows))
    axes.grid(axis="x", visible=False)
    axes.set_title(f"by dtype, σ = {SIGMA}, the largest image, 1 thread; hollow: OpenCV")
    axes.set_ylabel("ms")


def draw_threads(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the speed-up with all threads: ours filled, OpenCV's hollow."""
    most = max((row.threads for row in rows), default=1)
    for index, dtype in enumerate(dtypes(rows)):
        found = {row.threads: row for row in of_dtype(rows, dtype)}
        if found.keys() < {1, most}:
            continue
        ours = found[1].seconds / found[most].seconds
        peers = peer_seconds(found[1]) / peer_seconds(found[most])
        axes.bar(index - 0.2, ours, 0.36, color=COLOUR_OF[dtype])
        axes.bar(index + 0.2, peers, 0.36, edgecolor=COLOUR_OF[dtype], fill=False)
    axes.axhline(most, color=INK, linewidth=1, linestyle=":")
    axes.set_xticks(range(len(dtypes(rows))), dtypes(rows))
    axes.grid(axis="x", visible=False)
    axes.set_title(f"speed-up of {most} threads, σ = {SIGMA}, the largest image; hollow: OpenCV")
