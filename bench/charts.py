"""The figures of the report. One function a figure; `draw_all` returns them by name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.families import FAMILIES
from bench.filter_charts import draw_filter_times
from bench.report import plural
from bench.results import Family, Results, Roofs, Row, Walk
from bench.sweep import SLOWER_SECONDS, SLOWER_SHARE

# Text, ticks and frames; on the page they take the colour of its text.
INK, GRID = "#1f2328", "#8c959f"
BAD = "#d1242f"
# Colour-blind safe (Okabe and Ito), readable on white and on near-black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
ONE, ALL = "#0072b2", "#d55e00"

RATIO_TICKS = (0.1, 0.25, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 40)

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fastsep",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


def family_colours(results: Results) -> dict[str, str]:
    """Return a colour for every family with rows; the ninth and tenth take the first two again."""
    names = [name for name in FAMILIES if any(row.family == name for row in results.layers)]
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def draw_roofline(results: Results) -> Canvas:
    """Every layer under the measured roofs: FLOP/s against FLOPs a byte of compulsory traffic."""
    roofs = [roof for roof in results.roofs if any(row.threads == roof.threads for row in results.layers)]
    figure, panels = plt.subplots(1, len(roofs), figsize=(5.6 * len(roofs), 4.8), squeeze=False, sharey=True)
    colours = family_colours(results)
    intensities = [2 * row.multiply_adds / row.compulsory_bytes for row in results.layers]
    limits = np.array([min(0.3, min(intensities) / 2), max(intensities) * 2])
    for axes, roof in zip(panels[0], roofs, strict=True):
        draw_roofs(axes, roof, limits)
        for index, (family, colour) in enumerate(colours.items()):
            rows = [row for row in results.layers if row.family == family and row.threads == roof.threads]
            axes.scatter(
                [2 * row.multiply_adds / row.compulsory_bytes for row in rows],
                [row.flops_per_second / 1e9 for row in rows],
                s=16,
                color=colour,
                marker="o" if index < len(COLOURS) else "^",
                linewidths=0,
                alpha=0.85,
                label=family,
            )
        axes.set_title(plural(roof.threads, "thread"))
        axes.set_xlabel("FLOPs a byte (input, weights and output once)")
    panels[0][0].set_ylabel("GFLOP/s")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def draw_roofs(axes: Axes, roof: Roofs, limits: Any) -> None:
    """Draw a peak, and each level's bandwidth up to it."""
    peak = roof.flops_per_second / 1e9
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*limits)
    for level, rate in roof.bytes_per_second.items():
        ridge = peak / (rate / 1e9)
        axes.plot([limits[0], ridge], [limits[0] * rate / 1e9, peak], color=GRID, linewidth=1)
        axes.annotate(
            f"{level} {rate / 1e9:.0f} GB/s",
            (limits[0], limits[0] * rate / 1e9),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=7,
        )
    axes.axhline(peak, color=INK, linewidth=1)
    axes.annotate(
        f"FMA peak {peak:.0f} GFLOP/s",
        (limits[1], peak),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        fontsize=7,
    )


def draw_ratios(results: Results, shown: Sequence[Row]) -> Canvas:
    """The ratio to the best peer of each layer, or of each filter; a line for every family."""
    counts = sorted({row.threads for row in shown})
    names = [name for name in FAMILIES if any(row.family == name for row in shown)]
    figure, panels = plt.subplots(
        1, len(counts), figsize=(5.6 * len(counts), 0.42 * len(names) + 1.3), squeeze=False, sharey=True
    )
    for axes, threads in zip(panels[0], counts, strict=True):
        families = {family.name: family for family in results.families if family.threads == threads}
        for position, name in enumerate(names):
            if name in families:
                draw_family(axes, position, families[name])
        axes.axvline(1, color=INK, linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        ratios = [row.ratio for row in shown]
        axes.set_xticks([t for t in RATIO_TICKS if min(ratios) / 1.2 < t < max(ratios) * 1.2])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(plural(threads, "thread"))
        axes.set_xlabel("time of the best peer over ours (right of 1: we are faster)")
    return figure


def draw_family(axes: Axes, position: int, family: Family) -> None:
    """Draw a dot for every row, a bar for the geometric mean, ticks for must and reach."""
    spread = np.linspace(-0.22, 0.22, len(family.rows)) if len(family.rows) > 1 else np.zeros(1)
    for offset, row in zip(spread, family.rows, strict=True):
        axes.plot(row.ratio, position + offset, ".", markersize=5, color=BAD if row.lost else ONE, alpha=0.8)
    axes.plot([family.ratio] * 2, [position - 0.36, position + 0.36], color=GRID, linewidth=3, zorder=1.5)
    for wanted in (family.threshold.must_ratio, family.threshold.reach_ratio):
        if wanted is not None:
            axes.plot(wanted, position, "|", markersize=11, color=INK)


def draw_scaling(results: Results) -> Canvas | None:
    """GFLOP/s against size, channels and batch."""
    found = [info for info in results.scaling if info["parameter"] != "threads"]
    if not found:
        return None
    families = list(dict.fromkeys(info["family"] for info in found))
    parameters = list(dict.fromkeys(info["parameter"] for info in found))
    figure, panels = plt.subplots(
        len(families), len(parameters), figsize=(11, 1.9 * len(families) + 0.6), squeeze=False
    )
    for info in found:
        axes = panels[families.index(info["family"])][parameters.index(info["parameter"])]
        values = [point["value"] for point in info["points"]]
        for mode, floor, colour, label in (
            ("one", "one", ONE, "1 thread"),
            ("all", "all", ALL, plural(info["all_threads"], "thread")),
        ):
            rates = [2e-9 * point["multiply_adds"] / point["seconds"][mode] for point in info["points"]]
            bound = [2e-9 * point["multiply_adds"] / point["floor"][floor] for point in info["points"]]
            axes.plot(values, rates, ".-", color=colour, label=label)
            axes.plot(values, bound, ":", color=colour, linewidth=1, label=f"roofline, {label}")
        axes.set_xscale("log", base=2)
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(f"{info['family']}: {info['parameter']}")
    for row in panels:
        row[0].set_ylabel("GFLOP/s")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def draw_threads(results: Results) -> Canvas | None:
    """Speed-up against threads."""
    found = [info for info in results.scaling if info["parameter"] == "threads"]
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 3.4))
    labels = [info["row"] for info in found]
    numbers = sorted({int(number) for info in found for number in info["seconds_by_threads"]})
    height = 0.8 / max(1, len(numbers) - 1)
    for index, number in enumerate(numbers[1:]):
        ups = [info["seconds_by_threads"]["1"] / info["seconds_by_threads"][str(number)] for info in found]
        positions = np.arange(len(found)) + index * height
        axes.barh(
            positions, ups, height, color=COLOURS[(index + 1) % len(COLOURS)], label=f"{number} threads"
        )
        axes.axvline(number, color=GRID, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(found)), labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("speed-up over 1 thread")
    if len(numbers) > 1:
        axes.legend(loc="lower right")
    return figure


def draw_fusion(results: Results) -> Canvas | None:
    """How much faster fused is, beside how much less memory it moves."""
    if not results.fusion:
        return None
    labels = list(dict.fromkeys(info["row"] for info in results.fusion))
    counts = sorted({info["threads"] for info in results.fusion})
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(labels) + 1.2))
    height = 0.8 / len(counts)
    for index, threads in enumerate(counts):
        rows = {info["row"]: info for info in results.fusion if info["threads"] == threads}
        ups = [rows[label]["unfused_seconds"] / rows[label]["fused_seconds"] for label in labels]
        positions = np.arange(len(labels)) + (index - (len(counts) - 1) / 2) * height
        axes.barh(positions, ups, height, color=(ONE, ALL)[index % 2], label=plural(threads, "thread"))
    rows = {info["row"]: info for info in results.fusion}
    saved = [rows[label]["traffic"]["unfused"] / rows[label]["traffic"]["fused"] for label in labels]
    axes.plot(saved, range(len(labels)), "|", color=INK, markersize=14, markeredgewidth=1.6, label="bytes")
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xticks([1, 1.5, 2, 3, 5, 10])
    axes.set_xlabel("unfused over fused: time (bars), bytes moved (marks)")
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def draw_overhead(results: Results) -> Canvas | None:
    """A call's time against the image's size, beside the kernel's own time."""
    if not results.overhead:
        return None
    families = list(dict.fromkeys(info["family"] for info in results.overhead))
    figure, panels = plt.subplots(1, len(families), figsize=(11, 3), squeeze=False, sharey=True)
    for axes, family in zip(panels[0], families, strict=True):
        found = [info for info in results.overhead if info["family"] == family]
        sizes = [overhead_size(info) for info in found]
        for index, call in enumerate(found[0]["seconds_by_call"]):
            times = [info["seconds_by_call"][call] * 1e6 for info in found]
            axes.plot(sizes, times, ".-", color=COLOURS[index], label=call)
        axes.plot(
            sizes,
            [info["kernel_seconds"] * 1e6 for info in found],
            ".:",
            color=GRID,
            label="kernel alone",
        )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(sizes, [f"{size}²" for size in sizes])
        axes.minorticks_off()
        axes.set_title(family)
        axes.set_xlabel("pixels, 8 channels")
    panels[0][0].set_ylabel("µs a call")
    panels[0][0].legend()
    return figure


def overhead_size(info: Mapping[str, Any]) -> int:
    """Return the image's height, from the row's label."""
    found = re.search(r"×(\d+)×\d+×\d+", info["row"])
    if found is None:
        raise ValueError(f"no size in {info['row']!r}")
    return int(found[1])


def draw_sweep(results: Results, family: str) -> Canvas:
    """A family's walks: nanoseconds per multiply-add, a panel for every parameter; cliffs in red."""
    walks = [walk for walk in results.walks if walk.family == family]
    panels_of: dict[str, list[Walk]] = {}
    for walk in walks:
        panels_of.setdefault(" = ".join(walk.vary), []).append(walk)
    columns = 3
    rows = -(-len(panels_of) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(11, 2.5 * rows), squeeze=False)
    cliffs = {(cliff.walk, cliff.value) for cliff in results.findings.cliffs if cliff.mode == "one"}
    auto_cliffs = {(cliff.walk, cliff.value) for cliff in results.findings.cliffs if cliff.mode == "auto"}
    for axes, (parameter, members) in zip(panels.flat, panels_of.items(), strict=False):
        for index, walk in enumerate(members):
            positions = list(positions_of(walk))
            costs = [1e9 * point.seconds["one"] / point.multiply_adds for point in walk.points]
            marker = "." if len(walk.points) < 40 else ""
            short = walk.name.partition(": ")[2]
            axes.plot(
                positions,
                costs,
                marker=marker,
                linewidth=0.9,
                color=COLOURS[index % len(COLOURS)],
                label=short,
            )
            for position, cost, point in zip(positions, costs, walk.points, strict=True):
                if (walk.name, point.value) in cliffs | auto_cliffs:
                    axes.plot(position, cost, "o", color=BAD, markersize=5, fillstyle="none")
        axes.set_yscale("log")
        axes.set_title(parameter)
        if parameter in ("channels", "outputs", "channels = outputs"):
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
        if parameter == "data_format":
            axes.set_xticks([0, 1], ["channels_last", "channels_first"])
        if parameter in ("stride", "dilation"):
            axes.set_xticks([point.value for point in members[0].points])
        if len(members) <= 4:
            axes.legend(fontsize=6)
    for axes in list(panels.flat)[len(panels_of) :]:
        axes.set_axis_off()
    for row in panels:
        row[0].set_ylabel("ns a multiply-add, 1 thread")
    return figure


def positions_of(walk: Walk) -> Iterator[float]:
    """Yield where a walk's points stand: at their values, or side by side if those are words."""
    for index, point in enumerate(walk.points):
        yield index if isinstance(point.value, str) else point.value


def draw_choices(results: Results) -> Canvas | None:
    """threads=None over the better of one and all threads, for every point of the sweep."""
    points = [point for walk in results.walks for point in walk.points]
    if not points:
        return None
    figure, axes = plt.subplots(figsize=(9, 3.4))
    best = np.array([min(point.seconds["one"], point.seconds["all"]) for point in points])
    auto = np.array([point.seconds["auto"] for point in points])
    slow = {choice.label for choice in results.findings.choices}
    is_slow = np.array([point.label in slow for point in points])
    axes.plot(best[~is_slow] * 1e6, auto[~is_slow] / best[~is_slow], ".", color=ONE, markersize=3, alpha=0.6)
    axes.plot(best[is_slow] * 1e6, auto[is_slow] / best[is_slow], ".", color=BAD, markersize=5)
    times = np.geomspace(best.min(), best.max(), 200)
    limit = np.maximum(1 + SLOWER_SHARE, 1 + SLOWER_SECONDS / times)
    axes.plot(times * 1e6, limit, color=INK, linewidth=1, label="allowed: 5 % and 2 µs")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0.8, max(2.0, float((auto / best).max()) * 1.05))
    axes.set_xlabel("better of 1 and all threads, µs")
    axes.set_ylabel("threads=None over it")
    axes.legend()
    return figure


def draw_all(results: Results) -> dict[str, Canvas]:
    """Return every figure that the run has data for, by name."""
    with plt.rc_context(STYLE):
        figures: dict[str, Canvas | None] = {}
        if results.layers:
            figures["roofline"] = draw_roofline(results)
            figures["ratios"] = draw_ratios(results, results.layers)
        if results.filters:
            figures["filter-ratios"] = draw_ratios(results, results.filters)
            figures["filter-times"] = draw_filter_times(results)
        if results.networks:
            figures["network-ratios"] = draw_ratios(results, results.networks)
        figures["scaling"] = draw_scaling(results)
        figures["threads"] = draw_threads(results)
        figures["fusion"] = draw_fusion(results)
        figures["overhead"] = draw_overhead(results)
        for family in dict.fromkeys(walk.family for walk in results.walks):
            figures[sweep_figure(family)] = draw_sweep(results, family)
        figures["thread-choice"] = draw_choices(results)
    return {name: figure for name, figure in figures.items() if figure is not None}


def sweep_figure(family: str) -> str:
    """Return the name of a family's sweep figure."""
    return f"sweep-{family.replace(' ', '-')}"


def save(figures: Mapping[str, Canvas], directory: Path) -> dict[str, str]:
    """Write PNG and SVG files; return each figure as an SVG element that takes the page's text colour."""
    elements = {}
    with plt.rc_context(STYLE):
        for name, figure in figures.items():
            figure.savefig(directory / f"{name}.png", facecolor="white")
            figure.savefig(directory / f"{name}.svg", facecolor="white", metadata={"Date": None})
            text = io.StringIO()
            figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
            elements[name] = inline_svg(text.getvalue(), name)
            plt.close(figure)
    return elements


def inline_svg(text: str, name: str) -> str:
    """Return the <svg> element alone, without what names other documents, its ids its own."""
    element = text[text.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", element)
    element = element.replace("xlink:href", "href").replace(INK, "currentColor")
    element = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', element)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", element)
