"""The story as a picture: feature maps of the photograph beside bars of the timings."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from bench.blocks import Array, Block
from bench.photograph import feature_maps, photograph
from bench.report import Report, ReportRow, engineering, milliseconds, plural, times
from bench.story import separable_block, standard_block
from bench.variants import unfused

# Colour-blind safe: other ways in greys, ours in colours, the darker shade of a pair for fewer threads.
COLOURS = {
    "naive loops": ("#777777", "#aaaaaa"),
    "NumPy": ("#b8860b", "#e0b84c"),
    "SciPy": ("#777777", "#aaaaaa"),
    "fastsep": ("#1b6ca8", "#7fb6de"),
    "fastsep, fused": ("#a8321b", "#e08d7a"),
}
MAP_SIZE, GAP = 224, 8
BAR = 0.38


def colours_of(label: str) -> tuple[str, str]:
    """Return the colours of the way to compute that a row's label names; the most specific name decides."""
    fitting = [way for way in COLOURS if way in label]
    return COLOURS[max(fitting, key=len)]


def draw_bars(axes: Axes, step: str, rows: list[ReportRow], limits: tuple[float, float]) -> None:
    """Draw one step: a row of the table per line, a bar per thread count."""
    for position, row in enumerate(rows):
        for index, (timing, colour) in enumerate(zip(row.timings, colours_of(row.label), strict=False)):
            y = position + (index - (len(row.timings) - 1) / 2) * BAR
            axes.barh(y, timing.seconds * 1e3, BAR, color=colour)
            axes.text(
                timing.seconds * 1e3 * 1.08,
                y,
                f"{milliseconds(timing.seconds)} ms" + (f"  {times(timing.speedup)}" if position else ""),
                va="center",
                fontsize=6.5,
                color="#333333",
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(*limits)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=7.5)
    axes.set_title(step, fontsize=8.5, loc="left", fontweight="bold", pad=3)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw_timings(figure: SubFigure, report: Report) -> None:
    """Draw every step under one common scale."""
    steps = list(report.steps())
    durations = [timing.seconds * 1e3 for row in report.rows for timing in row.timings]
    limits = (min(durations) / 2, max(durations) * 4)
    panels = figure.subplots(
        len(steps), 1, sharex=True, height_ratios=[len(rows) + 0.6 for _, rows in steps], squeeze=False
    )[:, 0]
    for axes, (step, rows) in zip(panels, steps, strict=True):
        draw_bars(axes, step, rows, limits)
    threads = [plural(timing.threads, "thread") for timing in report.rows[0].timings]
    key = f"; upper bar {threads[0]}, lower bar {threads[1]}" if len(threads) > 1 else f"; {threads[0]}"
    panels[-1].set_xlabel(
        "milliseconds, log scale; × is the speed-up over the panel's first row" + key, fontsize=7.5
    )


def output_maps(block: Block, x: Array) -> Array:
    """Return what the block's layers make of `x`: (height, width, channels)."""
    image: Array = unfused(Block(x, block.stages), 1)()[0]
    return image


def channels_to_show(maps: Array) -> list[int]:
    """Pick a map of edges, a mixed one and a smooth one, by how much neighbouring pixels differ."""
    differences = np.diff(maps, axis=0).std(axis=(0, 1)) / maps.std(axis=(0, 1))
    smooth_to_sharp = np.argsort(differences)
    return [int(smooth_to_sharp[round(quantile * (maps.shape[-1] - 1))]) for quantile in (0.97, 0.75, 0.4)]


def draw_maps(figure: SubFigure) -> None:
    """Draw the photograph, and what the standard convolution and its separable twin make of it."""
    standard, separable = standard_block(), separable_block()
    x = feature_maps(MAP_SIZE, MAP_SIZE, standard.x.shape[-1])
    standard_maps, separable_maps = output_maps(standard, x), output_maps(separable, x)
    difference = np.linalg.norm(standard_maps - separable_maps) / np.linalg.norm(standard_maps)
    shown = channels_to_show(standard_maps)

    after = f"after the standard convolution: {engineering(standard.parameters)} weights"
    after_twin = f"after its separable twin: {engineering(separable.parameters)}, differs by {difference:.0%}"
    low, high = np.percentile(standard_maps[:, :, shown], (1, 99), axis=(0, 1))
    panels = figure.subplots(3, 1, height_ratios=(len(shown), 1, 1))
    draw_image(panels[0], "the photograph", photograph())
    for axes, maps, title in ((panels[1], standard_maps, after), (panels[2], separable_maps, after_twin)):
        draw_image(axes, title, side_by_side((maps[:, :, shown] - low) / (high - low)))


def side_by_side(maps: Array) -> Array:
    """Return (height, width, n) maps as one image, white gaps between them."""
    bordered = np.pad(maps, ((0, 0), (0, GAP), (0, 0)), constant_values=1)
    return np.hstack(list(np.moveaxis(bordered, -1, 0)))[:, :-GAP]


def draw_image(axes: Axes, title: str, pixels: Array) -> None:
    """Draw an image of values from 0 to 1 without axes, its title over its left edge."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_anchor("W")
    axes.set_title(title, fontsize=8.5, loc="left", fontweight="bold", pad=3)


def draw_story(report: Report, path: Path) -> None:
    """Write the figure as PNG."""
    figure = plt.figure(figsize=(13, 13.5), dpi=150, layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.75))[0]
    draw_maps(left)
    draw_timings(right, report)
    figure.supxlabel(report.machine, x=0.004, ha="left", fontsize=6.5, color="#666666")
    figure.savefig(path)
    plt.close(figure)
