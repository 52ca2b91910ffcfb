"""The report of a run of `make bench-peers`.

``python -m bench.peers_report [run.json]`` writes Markdown, JSON, figures and one HTML page to
build/bench/peers, and exits with 3 if the cross-check of the FMA peak invalidates the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.document import Block, Details, Figure, Heading, Items, Paragraph, Table, to_html, to_markdown
from bench.families import WIDE_CHANNELS
from bench.measure import PORT_DEVIATION
from bench.peers.quiet import DISTURBED_CPUS
from bench.report import markdown_table, milliseconds, plural
from bench.results import NAIVE, NOISE, OF_ITS_PARTS, OURS, Family, Results, Row, losers_first, read_results
from bench.sweep import SLOWER_SECONDS, SLOWER_SHARE, Cliff, cliffs_of

ROOT = Path(__file__).parents[1]
RUN = ROOT / "build" / "bench" / "peers.json"
DIRECTORY = ROOT / "build" / "bench" / "peers"
INVALID = 3
# Cliffs, and slow choices, that the README names.
NAMED = 8

TITLE = "fastsep beside its peers"
COMMAND = "make bench-peers"
RATIO_CAPTION = "Each dot is a row; red: a peer is faster. Grey bar: geometric mean. Ticks: must and reach."
# Behind the name of a row that other processes disturbed.
MARK = " †"
STATUS = {"reached": "reached", "must": "must reached", "short": "**short**", "none asked": ""}


def microseconds(seconds: float) -> str:
    """Return a time with about three digits."""
    value = seconds * 1e6
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def marked(row: Row) -> str:
    """Return a row's label, with the mark if it was disturbed."""
    return row.label + MARK * row.disturbed


def pace_text(results: Results) -> str:
    """Say whether the run was a quick or a full one; nothing where it does not tell."""
    pace = results.pace
    if pace is None:
        return ""
    block = f"{pace.block_seconds * 1e3:.0f} ms"
    if pace.name == "quick":
        return (
            f"These figures are of `{COMMAND} ARGS=--quick`, whose blocks of calls are short ({block}): "
            "rows of some microseconds are rough."
        )
    return f"These figures are of a full run: {plural(pace.rounds, 'round')} of blocks of {block}."


def disturbed_text(results: Results) -> str:
    """Say what the mark means and how many rows have it; if none has, that none was disturbed."""
    known = [row for row in results.rows if row.busy_elsewhere is not None]
    what = f"more than {DISTURBED_CPUS} CPUs busy"
    if not known:
        return "Nobody looked at whether other processes kept the CPUs busy while rows were measured."
    if not results.disturbed:
        return f"During no row did other processes keep {what}."
    return (
        f"{MARK.strip()} marks rows during which other processes kept {what} ({len(results.disturbed)} of "
        f"{len(results.rows)} rows): their figures are to be doubted, ours and the peers' alike."
    )


def validity(results: Results) -> Iterator[Block]:
    """Say first whether the run counts."""
    if results.left_out:
        yield Paragraph(
            f"A PART of the suite: {plural(results.left_out, 'benchmark')} of it were not asked for. "
            "Means of families are of the rows that stand here; README.md keeps the last whole run.",
            warning=True,
        )
    if results.valid:
        yield Paragraph(
            f"Valid: on every number of threads the measured FMA peak lies within {PORT_DEVIATION:.0%} of "
            "frequency × a whole number of FMA ports."
        )
    else:
        wrong = [roof for roof in results.roofs if not roof.valid]
        yield Paragraph(
            "INVALID RUN. The measured FMA peak is not within "
            f"{PORT_DEVIATION:.0%} of frequency × a whole number "
            f"of FMA ports: {'; '.join(map(str, wrong))}. Shares of the "
            "roofline and of the peak mean nothing "
            "here; measure again on a quieter machine.",
            warning=True,
        )
    yield Items([str(roof) for roof in results.roofs])


def machine(results: Results) -> Iterator[Block]:
    """Yield what the run was made on and with."""
    yield Paragraph(f"{results.machine}.")
    versions = ", ".join(f"{name} {version}" for name, version in results.software.items())
    caches = ", ".join(f"{level} {int(size) // 1024} KB" for level, size in results.caches.items())
    yield Items(
        [
            f"Versions: {versions}.",
            *([f"Caches: {caches} (L1 and L2 of one core)."] if caches else []),
            f"Commit {results.commit}, {results.date} UTC.",
        ]
    )
    levels = list(results.roofs[0].bytes_per_second)
    yield Table(
        ["measured limits", "GFLOP/s", *(f"{level}, GB/s" for level in levels)],
        [
            [
                plural(roof.threads, "thread"),
                f"{roof.flops_per_second / 1e9:.1f}",
                *(f"{roof.bytes_per_second[level] / 1e9:.0f}" for level in levels),
            ]
            for roof in results.roofs
        ],
    )


def wanted_text(family: Family) -> tuple[str, str]:
    """Return what must be, and what should be reached, in words."""
    must, reach = [], []
    for check in family.checks:
        name = {"%": "", "×": ""}[check.unit]
        suffix = {
            "worst row": " in every row",
            "ratio of a row": f" {check.detail}",
            OF_ITS_PARTS: f" of its parts, {check.detail}",
        }.get(check.what, name)
        must.append(check.text(check.must) + suffix)
        if check.reach is not None:
            reach.append(check.text(check.reach) + suffix)
    return "; ".join(must) or "–", "; ".join(reach) or "–"


def family_row(family: Family) -> list[str]:
    """Return a family's line."""
    share, parts, worst = family.share(), family.parts_share, family.worst
    shares = [] if share is None else [f"{share:.0%} of {family.threshold.share_of}"]
    shares += [] if parts is None else [f"{parts:.0%} of its parts"]
    must, reach = wanted_text(family)
    return [
        family.name,
        str(family.threads),
        str(len(family.rows)),
        f"{family.ratio:.2f}×",
        f"{worst.ratio:.2f}× {marked(worst)} ({worst.best_peer})",
        "; ".join(shares) or "–",
        must,
        reach,
        STATUS[family.status],
    ]


FAMILY_TITLES = [
    "family",
    "threads",
    "rows",
    "ratio to the best peer, geometric mean",
    "worst case",
    "share, geometric mean",
    "must",
    "reach",
    "",
]
FAMILY_LEFT = frozenset({0, 4, 6, 7, 8})


def family_table(results: Results) -> Table:
    """Return the table of families."""
    families = results.families
    bad = frozenset(index for index, family in enumerate(families) if family.status == "short")
    return Table(FAMILY_TITLES, [family_row(family) for family in families], bad, FAMILY_LEFT)


def lost_table(rows: Sequence[Row]) -> Table:
    """Return the rows where a peer is faster."""
    return Table(
        ["row", "threads", "ratio", "best peer", "µs, ours", "µs, peer", "of FMA peak", "of roofline"],
        [
            [
                marked(row),
                str(row.threads),
                f"{row.ratio:.2f}×",
                row.best_peer,
                microseconds(row.seconds),
                microseconds(row.seconds * row.ratio),
                f"{row.peak_share:.0%}" if row.filter is None else "–",
                f"{row.roofline_share:.0%}",
            ]
            for row in rows
        ],
        bad=frozenset(index for index, row in enumerate(rows) if row.lost_beyond_noise),
        left=frozenset({0, 3}),
    )


def lost_section(results: Results) -> Iterator[Block]:
    """Yield every row where we lose."""
    lost = results.lost
    beyond = [row for row in lost if row.lost_beyond_noise]
    yield Paragraph(
        f"Of {len(results.rows)} rows (a layer, block, filter or network on one number of "
        f"threads), a peer is faster in {len(lost)}, in "
        f"{len(beyond)} of them by more than the {NOISE:.0%} that count as noise. Worst first."
    )
    if lost:
        yield lost_table(lost)


def row_table(rows: Sequence[Row]) -> Table:
    """Return a family's rows on all numbers of threads: ours, each peer, ratio, shares."""
    if all(row.filter is not None for row in rows):
        return filter_table(rows)
    if all(row.batch is not None for row in rows):
        return network_table(rows)
    return beside_table(
        rows,
        "row",
        "µs",
        microseconds,
        {
            "GFLOP/s": lambda row: f"{row.flops_per_second / 1e9:.1f}",
            "of FMA peak": lambda row: f"{row.peak_share:.0%}",
            "of roofline": lambda row: f"{row.roofline_share:.0%}",
            **(PARTS_COLUMNS if any(row.parts for row in rows) else {}),
            "in": lambda row: ", ".join(row.networks),
        },
        text="in",
    )


def parts_text(row: Row) -> str:
    """Return the times of a row's parts: depthwise + pointwise."""
    return " + ".join(microseconds(part.seconds) for part in row.parts) or "–"


PARTS_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "µs, its parts": parts_text,
    "of its parts": lambda row: "–" if row.parts_share is None else f"{row.parts_share:.0%}",
}


def beside_table(
    rows: Sequence[Row],
    subject: str,
    unit: str,
    in_unit: Callable[[float], str],
    more: Mapping[str, Callable[[Row], str]],
    text: str,
) -> Table:
    """Return rows, those we lose first: ours, each peer, ratio, and more columns, one of which holds text."""
    names = list(dict.fromkeys(peer.name for row in rows for peer in row.peers))
    names = sorted(names, key=lambda name: name == NAIVE)
    listed = losers_first(rows)
    cells = []
    for row in listed:
        times = {peer.name: peer.seconds for peer in row.peers}
        cells.append(
            [
                marked(row),
                str(row.threads),
                in_unit(row.seconds),
                *(in_unit(times[name]) if name in times else "–" for name in names),
                f"{row.ratio:.2f}×",
                *(show(row) for show in more.values()),
            ]
        )
    titles = [subject, "threads", f"{unit}, fastsep", *names, "ratio", *more]
    bad = frozenset(index for index, row in enumerate(listed) if row.lost)
    return Table(titles, cells, bad, frozenset({0, titles.index(text)}))


def filter_table(rows: Sequence[Row]) -> Table:
    """Return a family of filters on all numbers of threads; integers with the pixels that are off."""
    listed = losers_first(rows)
    cells = []
    for row in listed:
        assert row.filter is not None
        (peer,) = row.peers
        cells.append(
            [
                marked(row),
                str(row.threads),
                microseconds(row.seconds),
                microseconds(peer.seconds),
                f"{peer.name} {peer.form}",
                f"{row.ratio:.2f}×",
                f"{row.filter['pixels'] / row.seconds / 1e6:.0f}",
                f"{row.roofline_share:.0%}",
                *(
                    "–" if row.filter["share_off"][name] is None else f"{row.filter['share_off'][name]:.3%}"
                    for name in (OURS, peer.name)
                ),
            ]
        )
    titles = ["row", "threads", "µs, fastsep", "µs, peer", "peer", "ratio", "Mpixel/s", "of roofline"]
    titles += ["pixels off, ours", "pixels off, peer"]
    bad = frozenset(index for index, row in enumerate(listed) if row.lost)
    return Table(titles, cells, bad, frozenset({0, 4}))


def families_section(results: Results) -> Iterator[Block]:
    """Yield a table for every family."""
    for name in dict.fromkeys(family.name for family in results.families):
        rows = [row for row in results.rows if row.family == name]
        yield Heading(3, name)
        for family in results.families:
            if family.name == name:
                yield from (
                    Paragraph(
                        f"{plural(family.threads, 'thread')}, {check.what}"
                        f"{f' ({check.detail}{MARK * check.disturbed})' if check.detail else ''}: "
                        f"{check.text(check.figure)}; must "
                        f"{check.text(check.must)}"
                        f"{f', reach for {check.text(check.reach)}' if check.reach is not None else ''}: "
                        f"{STATUS[check.status]}."
                    )
                    for check in family.checks
                )
        if any(row.parts for row in rows):
            yield Paragraph(
                f"The parts of a row below {WIDE_CHANNELS} channels are our depthwise and our pointwise "
                "plan, each timed by itself in blocks of its own, on the same arrays again and again. The "
                "share is the sum of their times over that of the fused plan."
            )
        yield row_table(rows)
    forms = dict.fromkeys((peer.name, peer.form) for row in results.rows for peer in row.peers)
    counts = [row.difference for row in results.rows if is_counted(row)]
    floats = [row.difference for row in results.rows if not is_counted(row)]
    said = []
    if floats:
        said.append(
            "Every output was compared with a float64 one first; ours "
            f"differs by {max(floats):.1e} of the largest output at most."
        )
    if counts:
        said.append(
            f"Integers of ours differ by {max(counts):.0f} count at most from the correctly rounded ones, "
            "and where SciPy's bits are promised not at all."
        )
    yield Details(
        "What was done for each peer",
        [
            Items([f"{name}: {form}" for name, form in sorted(forms)]),
            Paragraph(" ".join(said)),
        ],
    )


def is_counted(row: Row) -> bool:
    """Tell whether the row's difference is in counts of integers."""
    return row.filter is not None and row.filter["share_off"][OURS] is not None


def filters_section(results: Results) -> Iterator[Block]:
    """Yield the figures of filters; their rows stand with the other families'."""
    yield Paragraph(
        "fastsep.ndimage beside OpenCV (the faster of its own function and sepFilter2D, same taps, same "
        "border) and beside SciPy (same function, one thread; integers with the same bits)."
    )
    yield Figure("filter-ratios", RATIO_CAPTION)
    if results.gaussians_beside_opencv:
        yield Figure(
            "filter-times",
            "Gaussians beside OpenCV: against σ, against the size of the image, by dtype, and how threads "
            "help. Solid: fastsep; dashed: OpenCV.",
        )


def network_table(rows: Sequence[Row]) -> Table:
    """Return whole networks, those we lose first: ours, each peer, ratio, shares."""
    return beside_table(
        rows,
        "network",
        "ms",
        milliseconds,
        {
            "best peer": lambda row: row.best_peer,
            "of FMA peak": lambda row: f"{row.peak_share:.0%}",
            "of roofline": lambda row: f"{row.roofline_share:.0%}",
        },
        text="best peer",
    )


def footprint_table(results: Results, figure: str, unit: float) -> Table:
    """Return a figure of fresh processes: a line for every network, a column for every library."""
    names = list(dict.fromkeys(name for info in results.footprint for name in info["libraries"]))
    return Table(
        ["network", *names],
        [
            [
                info["row"],
                *(
                    f"{info['libraries'][name][figure] / unit:.0f}" if name in info["libraries"] else "–"
                    for name in names
                ),
            ]
            for info in results.footprint
        ],
    )


def installed_table(results: Results) -> Table:
    """Return the size of everything that each library brings, the smallest first."""
    sizes = sorted(results.footprint[0]["installed"].items(), key=lambda item: sum(item[1].values()))
    return Table(
        ["library", "MB", "packages"],
        [
            [
                name,
                f"{sum(packages.values()) / 1e6:.1f}",
                ", ".join(sorted(packages, key=lambda package: -packages[package])),
            ]
            for name, packages in sizes
        ],
        left=frozenset({0, 2}),
    )


def networks_section(results: Results) -> Iterator[Block]:
    """Yield whole networks: times, and what it takes to run one at all."""
    if results.networks:
        yield Paragraph(
            "Published networks with random weights, float32, from an ONNX file; the peers in their best "
            "form. Outputs agree within 10⁻⁴ of the largest logit, and so do the five best classes."
        )
        yield network_table(results.networks)
        yield Figure("network-ratios", RATIO_CAPTION)
    if results.footprint:
        threads = plural(results.footprint[0]["threads"], "thread")
        yield Paragraph(
            f"A fresh process that loads a network and runs one image, {threads}, the least of several. "
            "fastsep.load reads our own file; PyTorch an exported program, not compiled; nothing is Python "
            "and NumPy. Load time in ms, without import:"
        )
        yield footprint_table(results, "load_seconds", 1e-3)
        yield Paragraph("Import, ms:")
        yield footprint_table(results, "import_seconds", 1e-3)
        yield Paragraph("First run, ms:")
        yield footprint_table(results, "first_run_seconds", 1e-3)
        yield Paragraph("Resident set at its peak, MB:")
        yield footprint_table(results, "peak_bytes", 1e6)
        yield Paragraph("Installed, everything that is required included:")
        yield installed_table(results)


def scaling_section(results: Results) -> Iterator[Block]:
    """Yield the figures of scaling."""
    yield Figure(
        "scaling",
        "GFLOP/s against one parameter, the others at 28×28 and 64 "
        "channels (standard 32, inverted residual 24). "
        "Dotted: the roofline with the smallest call's time added. Minima of blocks of back-to-back calls.",
    )
    if any(info["parameter"] == "threads" for info in results.scaling):
        yield Figure("threads", "Speed-up with threads, for layers of a network's beginning, middle and end.")


def fusion_section(results: Results) -> Iterator[Block]:
    """Yield fused beside unfused."""
    yield Paragraph(
        "One plan beside one plan a layer; the bits are the same (checked). Unfused writes and reads every "
        "intermediate; fused keeps it in the thread's cache. Where "
        "all of it fits into the caches anyway, less "
        "traffic saves little."
    )
    yield Figure("fusion", "Unfused over fused: time (bars) and computed bytes (marks).")
    yield Table(
        [
            "work",
            "threads",
            "µs, unfused",
            "µs, fused",
            "faster",
            "MB, unfused",
            "MB, fused",
            "fewer bytes",
            "GB/s, unfused",
            "GB/s, fused",
        ],
        [
            [
                info["row"],
                str(info["threads"]),
                microseconds(info["unfused_seconds"]),
                microseconds(info["fused_seconds"]),
                f"{info['unfused_seconds'] / info['fused_seconds']:.2f}×",
                f"{info['traffic']['unfused'] / 1e6:.2f}",
                f"{info['traffic']['fused'] / 1e6:.2f}",
                f"{info['traffic']['unfused'] / info['traffic']['fused']:.2f}×",
                f"{info['traffic']['unfused'] / info['unfused_seconds'] / 1e9:.1f}",
                f"{info['traffic']['fused'] / info['fused_seconds'] / 1e9:.1f}",
            ]
            for info in results.fusion
        ],
        bad=frozenset(
            index
            for index, info in enumerate(results.fusion)
            if info["unfused_seconds"] < info["fused_seconds"] * (1 - NOISE)
        ),
    )


def overhead_section(results: Results) -> Iterator[Block]:
    """Yield what calls cost beyond their kernels."""
    yield Paragraph(
        "One thread. The kernel's own time is what one more image "
        "adds to a call of several (as many as stay in "
        "cache); overhead is the rest of `plan(x, out)`."
    )
    yield Figure("overhead", "µs a call against size; dotted: the kernel alone.")
    yield Table(
        ["shape", "µs, kernel", "plan(x, out)", "plan(x)", "function", "overhead of plan(x, out), µs"],
        [
            [
                info["row"],
                microseconds(info["kernel_seconds"]),
                *(
                    microseconds(info["seconds_by_call"][call])
                    for call in ("plan(x, out)", "plan(x)", "function")
                ),
                microseconds(info["seconds_by_call"]["plan(x, out)"] - info["kernel_seconds"]),
            ]
            for info in results.overhead
        ],
    )


def cliff_table(cliffs: Sequence[Cliff]) -> Table:
    """Return cliffs, worst first."""
    return Table(
        ["point", "beside", "threads", "µs", "ns a multiply-add", "times the neighbour's", "allowed"],
        [
            [
                cliff.label,
                cliff.neighbour,
                {"one": "1", "auto": "None"}[cliff.mode],
                microseconds(cliff.seconds),
                f"{cliff.nanoseconds_a_multiply_add:.4f}",
                f"{cliff.factor:.2f}×",
                f"{cliff.allowed:.2f}×",
            ]
            for cliff in cliffs
        ],
        left=frozenset({0, 1}),
    )


def sweep_section(results: Results) -> Iterator[Block]:
    """Yield cliffs and slow choices first, then the figures."""
    findings = results.findings
    cliffs, choices = findings.worst_cliffs, findings.worst_choices
    yield Paragraph(
        f"{findings.points} points in {len(results.walks)} walks: {plural(len(cliffs), 'cliff')}, "
        f"{plural(len(choices), 'slow choice')} of threads."
    )
    yield Paragraph(
        "A point is a cliff if its time per multiply-add is more "
        "than twice that of a point beside it in the walk, "
        "times what the roofline explains: the ratio of their floors "
        "per multiply-add, if above 1. The floor is "
        "the time of the smallest call there is, plus the roofline's "
        "time with output channels rounded up to whole "
        "vectors. Nothing else is excused."
    )
    if cliffs:
        yield cliff_table(cliffs)
    unexplained = {(cliff.walk, cliff.mode, cliff.label) for cliff in cliffs}
    excused = [
        cliff
        for walk in results.walks
        for cliff in cliffs_of(walk.name, walk.points, explain=False)
        if (cliff.walk, cliff.mode, cliff.label) not in unexplained
    ]
    yield Details(
        f"{len(excused)} points cost more than twice a neighbour, and the floor explains it",
        [cliff_table(sorted(excused, key=lambda cliff: -cliff.factor))] if excused else [],
    )
    yield Paragraph(
        f"`threads=None` may be {SLOWER_SHARE:.0%} and "
        f"{SLOWER_SECONDS * 1e6:.0f} µs slower than the better of one "
        "and all threads, workers warm, calls back to back."
    )
    if choices:
        yield Table(
            ["point", "chosen", "µs, None", "1 thread", "all", "lost"],
            [
                [
                    choice.label,
                    str(choice.chosen),
                    microseconds(choice.auto),
                    microseconds(choice.one),
                    microseconds(choice.all),
                    f"{choice.lost:+.0%}",
                ]
                for choice in choices
            ],
        )
    yield Figure("thread-choice", "`threads=None` over the better of one and all threads; red: too slow.")
    for family in dict.fromkeys(walk.family for walk in results.walks):
        yield Figure(
            f"sweep-{family.replace(' ', '-')}",
            f"{family}: nanoseconds a multiply-add on one thread; red "
            "rings are cliffs (on one thread or with None).",
        )


def report(results: Results) -> list[Block]:
    """Return the whole report; sections that the run holds nothing of are left out."""
    blocks: list[Block] = [Heading(1, TITLE), *validity(results)]
    if results.rows:
        blocks += [
            Heading(2, "Families"),
            Paragraph(
                "Ratio: the best peer's time over ours, medians of the "
                "rounds; above 1 we are faster. FLOPs count "
                "taps in the padding. docs/benchmarks.md says how it is measured."
            ),
            Paragraph(" ".join(filter(None, [pace_text(results), disturbed_text(results)]))),
            family_table(results),
            Heading(2, "Rows where we lose"),
            *lost_section(results),
        ]
    if results.layers:
        blocks += [
            Heading(2, "Ratio to the best peer"),
            Figure("ratios", RATIO_CAPTION),
            Heading(2, "Roofline"),
            Figure("roofline", "Every layer under the limits that the same run measured."),
        ]
    if results.filters:
        blocks += [Heading(2, "Filters"), *filters_section(results)]
    if results.networks or results.footprint:
        blocks += [Heading(2, "Networks"), *networks_section(results)]
    blocks += [Heading(2, "Machine"), *machine(results)]
    if results.rows:
        blocks += [Heading(2, "Every row"), *families_section(results)]
    for title, data, section in (
        ("Scaling", results.scaling, scaling_section),
        ("Fused and unfused", results.fusion, fusion_section),
        ("Call overhead", results.overhead, overhead_section),
        ("Sweep for cliffs", results.walks, sweep_section),
    ):
        if data:
            blocks += [Heading(2, title), *section(results)]
    return blocks


def summary(results: Results) -> dict[str, Any]:
    """Return the report's figures for programs."""
    return {
        "valid": results.valid,
        "machine": results.machine,
        "software": dict(results.software),
        "commit": results.commit,
        "date": results.date,
        "pace": None if results.pace is None else asdict(results.pace),
        "disturbed": {"cpus": DISTURBED_CPUS, "rows": len(results.disturbed)},
        "roofs": [
            {**asdict(roof), "ports": roof.ports, "deviation": roof.deviation} for roof in results.roofs
        ],
        "families": [
            {
                "name": family.name,
                "threads": family.threads,
                "rows": len(family.rows),
                "ratio": family.ratio,
                "worst_ratio": family.worst.ratio,
                "worst_row": family.worst.label,
                "worst_row_disturbed": family.worst.disturbed,
                "share_of_peak": family.share("FMA peak"),
                "share_of_roofline": family.share("roofline"),
                "share_of_parts": family.parts_share,
                "checks": [{**asdict(check), "status": check.status} for check in family.checks],
                "status": family.status,
            }
            for family in results.families
        ],
        "rows": [
            {
                **asdict(row),
                "roofline_share": row.roofline_share,
                "lost_beyond_noise": row.lost_beyond_noise,
                "disturbed": row.disturbed,
                "parts_share": row.parts_share,
            }
            for row in losers_first(results.rows)
        ],
        "fusion": [dict(info) for info in results.fusion],
        "overhead": [dict(info) for info in results.overhead],
        "footprint": [dict(info) for info in results.footprint],
        "sweep": {
            "points": results.findings.points,
            "cliffs": [asdict(cliff) for cliff in results.findings.cliffs],
            "slow_thread_choices": [asdict(choice) for choice in results.findings.choices],
        },
    }


# ---- README ----------------------------------------------------------------------------------------------


def readme_block(results: Results) -> str:
    """Return README's performance section: machine, families, every row where we lose, the command."""
    parts = []
    if not results.valid:
        parts.append("**The run behind these figures is invalid: its FMA peak does not fit the clock.**")
    versions = ", ".join(
        f"{name} {version}" for name, version in results.software.items() if name != "fastsep"
    )
    parts += [
        f"{results.machine}, beside {versions}; commit {results.commit}, {results.date[:10]}.",
        "Ratio: the best peer's time over ours, medians of "
        "alternating blocks; above 1 we are faster. The share is "
        "a geometric mean as well.",
        *([disturbed_text(results)] if results.rows else []),
        markdown_table(FAMILY_TITLES, [family_row(family) for family in results.families]),
    ]
    lost = results.lost
    if lost:
        beyond = sum(row.lost_beyond_noise for row in lost)
        parts.append(
            f"A peer is faster in {len(lost)} of {len(results.rows)} "
            f"rows, in {beyond} by more than the noise of "
            f"{NOISE:.0%}. All of them, ratio and best peer, worst first:"
        )
        parts.append("\n".join(lost_lines(lost)))
    else:
        parts.append(f"No peer is faster in any of the {len(results.rows)} rows.")
    if results.networks:
        parts += [
            "Whole networks from ONNX files, ms:",
            to_markdown([network_table(results.networks)]).strip(),
        ]
    if results.footprint:
        parts += [
            "A fresh process that loads one and runs one image; resident set at its peak, MB:",
            to_markdown([footprint_table(results, "peak_bytes", 1e6)]).strip(),
            "Load time, ms:",
            to_markdown([footprint_table(results, "load_seconds", 1e-3)]).strip(),
        ]
    findings = results.findings
    if findings.points:
        parts.append(
            f"The sweep of {findings.points} points found "
            f"{plural(len(findings.cliffs), 'cliff')} (more than twice "
            f"a neighbour's cost per multiply-add) and {plural(len(findings.choices), 'slow choice')} by "
            "`threads=None` (more than 5 % and 2 µs behind the better of one and all threads)."
        )
        if worst := [
            f"- {found}" for found in (*findings.worst_cliffs[:NAMED], *findings.worst_choices[:NAMED])
        ]:
            parts.append("The worst of them:\n\n" + "\n".join(worst))
    full = " at the full pace" if results.pace is not None and results.pace.name == "quick" else ""
    parts.append(
        f"{pace_text(results)} `{COMMAND}` measures all of it again{full} and writes tables, "
        "figures and one HTML page to `build/bench/peers`; "
        "`make readme` puts them here.".lstrip()
    )
    return "\n\n".join(parts) + "\n"


def lost_lines(lost: Sequence[Row]) -> list[str]:
    """Return a line for every family and number of threads with all its lost rows."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in lost:
        groups.setdefault((row.family, row.threads), []).append(row)
    return [
        f"- {family}, {plural(threads, 'thread')}: "
        + ", ".join(
            f"{short_label(row)}{MARK * row.disturbed} {row.ratio:.2f}× {row.best_peer}" for row in rows
        )
        for (family, threads), rows in groups.items()
    ]


def short_label(row: Row) -> str:
    """Return a row's label without the words that its family says already."""
    first = row.family.partition(" ")[0]
    return (
        row.label.removeprefix(f"{first} ")
        .removeprefix("residual ")
        .removeprefix("conv ")
        .removeprefix("1x1 ")
    )


# ---- writing ---------------------------------------------------------------------------------------------


def write(run: Path, directory: Path) -> bool:
    """Write the report of a stored run; return whether the run is valid."""
    from bench.charts import draw_all, save

    results = read_results(json.loads(run.read_text(encoding="utf-8")))
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        if old.suffix in (".md", ".json", ".html", ".png", ".svg"):
            old.unlink()
    blocks = report(results)
    figures = save(draw_all(results), directory)
    (directory / "report.md").write_text(to_markdown(blocks), encoding="utf-8")
    (directory / "report.html").write_text(to_html(TITLE, blocks, figures), encoding="utf-8")
    text = json.dumps(summary(results), indent=2, ensure_ascii=False)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    if not results.left_out:
        (directory / "readme.md").write_text(readme_block(results), encoding="utf-8")
    return results.valid


def main(arguments: Sequence[str]) -> int:
    """Write the report, say where it is and what it says first."""
    run = Path(arguments[0]) if arguments else RUN
    if not run.exists():
        print(f"{run} does not exist: run `{COMMAND}` first", file=sys.stderr)
        return 2
    valid = write(run, DIRECTORY)
    print(f"written: {(DIRECTORY / 'report.html').relative_to(ROOT)}, report.md, report.json, figures")
    if not valid:
        print(
            "the run is INVALID: the FMA peak does not fit frequency × ports; report.md says more",
            file=sys.stderr,
        )
    return 0 if valid else INVALID


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
