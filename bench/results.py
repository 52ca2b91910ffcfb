"""From the JSON of `make bench-peers` to what the report says: rows, families, validity, cliffs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from typing import Any, Literal

from bench.families import FAMILIES, WIDE_CHANNELS, Threshold
from bench.measure import PORT_DEVIATION
from bench.peers.quiet import is_disturbed
from bench.peers.rounds import Pace
from bench.report import describe_machine, plural
from bench.sweep import Findings, Point
from fastsep.roofline import whole_ports

# What the targets call noise; on a shared machine single rows move by more.
NOISE = 0.03
NAIVE = "naive"
OURS = "fastsep"

# What a check of them is called.
OF_ITS_PARTS = "share of what its two parts compose to"

Status = Literal["reached", "must", "short", "none asked"]


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean: the one mean whose value does not depend on which side is the baseline."""
    logarithms = [log(value) for value in values]
    return exp(sum(logarithms) / len(logarithms))


@dataclass(frozen=True)
class Roofs:
    """The machine's limits on some threads, as the run measured them."""

    threads: int
    flops_per_second: float
    bytes_per_second: Mapping[str, float]
    cycles_per_second: float | None
    fmas_per_cycle: float | None
    every_fmas_per_cycle: Sequence[float]

    @property
    def ports(self) -> int | None:
        """The whole number of FMA ports that is nearest."""
        return None if self.fmas_per_cycle is None else whole_ports(self.fmas_per_cycle)

    @property
    def deviation(self) -> float | None:
        """How far the peak lies from frequency × ports; None if the frequency was not measured."""
        if self.fmas_per_cycle is None or self.ports is None:
            return None
        return abs(self.fmas_per_cycle / self.ports - 1)

    @property
    def valid(self) -> bool:
        """Whether the peak was checked and holds."""
        return self.deviation is not None and self.deviation <= PORT_DEVIATION

    def __str__(self) -> str:
        """Say peak and check in a sentence."""
        peak = f"{plural(self.threads, 'thread')}: FMA peak {self.flops_per_second / 1e9:.1f} GFLOP/s"
        if self.deviation is None or self.cycles_per_second is None:
            return f"{peak}; its frequency was not measured, so nothing checks it"
        return (
            f"{peak}; {self.cycles_per_second / 1e9:.2f} GHz by a chain of dependent additions, so "
            f"{self.fmas_per_cycle:.2f} vector FMAs a cycle and core; {self.deviation:.1%} from {self.ports}"
        )


@dataclass(frozen=True)
class Peer:
    """A peer's time for one row."""

    name: str
    seconds: float
    form: str
    difference: float


@dataclass(frozen=True)
class Part:
    """A layer of a fused row, as a plan of its own."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """One row on some threads: ours beside the peers; medians of the rounds."""

    family: str
    label: str
    networks: tuple[str, ...]
    threads: int
    multiply_adds: int
    compulsory_bytes: int
    roofline_seconds: float
    seconds: float
    peers: tuple[Peer, ...]
    best_peer: str
    ratio: float
    difference: float
    peak_share: float
    # Of a filter: function, sigma, dtype, shape, picture, pixels, share_off; None for layers and blocks.
    filter: Mapping[str, Any] | None = None
    # Images of a whole network; None for everything else.
    batch: int | None = None
    # CPUs that other processes kept busy meanwhile; None where that is not known.
    busy_elsewhere: float | None = None
    # Our own layers, where the row is held against them.
    parts: tuple[Part, ...] = ()

    @property
    def parts_share(self) -> float | None:
        """The time of all parts over that of the fused plan; None where they were not measured."""
        return sum(part.seconds for part in self.parts) / self.seconds if self.parts else None

    @property
    def roofline_share(self) -> float:
        """The least time by the roofline, over ours."""
        return self.roofline_seconds / self.seconds

    @property
    def flops_per_second(self) -> float:
        """A multiply-add is two; taps in the padding count."""
        return 2 * self.multiply_adds / self.seconds

    @property
    def lost(self) -> bool:
        """Whether a peer is faster."""
        return self.ratio < 1

    @property
    def lost_beyond_noise(self) -> bool:
        """Whether a peer is faster by more than the measurement's noise."""
        return self.ratio < 1 - NOISE

    @property
    def disturbed(self) -> bool:
        """Whether other processes kept the machine too busy for the figures to be trusted."""
        return is_disturbed(self.busy_elsewhere)

    @property
    def channels(self) -> int | None:
        """Input channels, from the label: the last number of the input's shape, before the outputs."""
        found = re.search(r"\d+x\d+x(\d+)(?!x|\d)", self.label)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class Check:
    """A figure beside what it must be and what it should be."""

    what: str
    figure: float
    must: float
    reach: float | None
    unit: Literal["×", "%"]
    detail: str = ""
    # Of a single row: whether that row was.
    disturbed: bool = False

    @property
    def status(self) -> Status:
        """How far it comes."""
        if self.figure < self.must:
            return "short"
        return "reached" if self.reach is None or self.figure >= self.reach else "must"

    def text(self, value: float) -> str:
        """Return a figure in its unit."""
        return f"{value:.0%}" if self.unit == "%" else f"{value:.2f}×"


@dataclass(frozen=True)
class Family:
    """A family's rows on some threads."""

    name: str
    threads: int
    rows: tuple[Row, ...]
    most_threads: int

    @property
    def threshold(self) -> Threshold:
        """What is asked of it."""
        return FAMILIES[self.name]

    @property
    def ratio(self) -> float:
        """Geometric mean of the best peer's time over ours."""
        return geometric_mean(row.ratio for row in self.rows)

    @property
    def worst(self) -> Row:
        """The row with the smallest ratio."""
        return min(self.rows, key=lambda row: row.ratio)

    @property
    def rows_of_share(self) -> tuple[Row, ...]:
        """The rows whose share is asked for: of separable convolutions in cache, the wide ones."""
        if self.name != "separable in cache":
            return self.rows
        return tuple(row for row in self.rows if (row.channels or 0) >= WIDE_CHANNELS)

    def share(self, of: Literal["FMA peak", "roofline"] | None = None) -> float | None:
        """Geometric mean of the share of the FMA peak, or of the roofline."""
        rows = self.rows_of_share
        if not rows:
            return None
        if (of or self.threshold.share_of) == "FMA peak":
            return geometric_mean(row.peak_share for row in rows)
        return geometric_mean(row.roofline_share for row in rows)

    @property
    def parts_share(self) -> float | None:
        """Geometric mean of the share of what the parts compose to, over the rows that have it."""
        shares = [row.parts_share for row in self.rows if row.parts_share is not None]
        return geometric_mean(shares) if shares else None

    @property
    def checks(self) -> list[Check]:
        """Return everything that is asked of this family on these threads."""
        asked, found = self.threshold, []
        share = self.share()
        if asked.must_share is not None and share is not None:
            what = f"share of the {asked.share_of}"
            if len(self.rows_of_share) < len(self.rows):
                what += f", {WIDE_CHANNELS} channels and more"
            found.append(Check(what, share, asked.must_share, asked.reach_share, "%"))
        if asked.must_parts is not None and self.parts_share is not None:
            below = f"fewer than {WIDE_CHANNELS} channels"
            found.append(Check(OF_ITS_PARTS, self.parts_share, asked.must_parts, None, "%", below))
        every = self.threads == self.most_threads and self.threads > 1
        if every and asked.must_ratio_all_threads is not None:
            found.append(Check("ratio to the best peer", self.ratio, asked.must_ratio_all_threads, None, "×"))
        elif asked.must_ratio is not None and not asked.rows:
            found.append(
                Check("ratio to the best peer", self.ratio, asked.must_ratio, asked.reach_ratio, "×")
            )
        if asked.worst_ratio is not None:
            worst = self.worst
            found.append(
                Check("worst row", worst.ratio, asked.worst_ratio, None, "×", worst.label, worst.disturbed)
            )
        for label, must, reach in asked.rows:
            found += [
                Check("ratio of a row", row.ratio, must, reach, "×", row.label, row.disturbed)
                for row in self.rows
                if row.label == label
            ]
        return found

    @property
    def status(self) -> Status:
        """The worst of its checks."""
        statuses = {check.status for check in self.checks}
        for status in ("short", "must", "reached"):
            if status in statuses:
                return status
        return "none asked"


@dataclass(frozen=True)
class Walk:
    """A walk of the sweep, measured."""

    family: str
    name: str
    vary: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Results:
    """Everything that one run says."""

    machine: str
    software: Mapping[str, str]
    caches: Mapping[str, float]
    commit: str
    date: str
    roofs: tuple[Roofs, ...]
    rows: tuple[Row, ...]
    walks: tuple[Walk, ...]
    scaling: tuple[Mapping[str, Any], ...]
    fusion: tuple[Mapping[str, Any], ...]
    overhead: tuple[Mapping[str, Any], ...]
    footprint: tuple[Mapping[str, Any], ...]
    # Of the rows; None where the run does not say.
    pace: Pace | None
    # Benchmarks of the suite that were not asked for: of a part, which stands in no README.
    left_out: int

    @property
    def valid(self) -> bool:
        """Whether the peak on every number of threads fits frequency × ports."""
        return all(roofs.valid for roofs in self.roofs)

    @cached_property
    def layers(self) -> tuple[Row, ...]:
        """The rows that are layers or blocks."""
        return tuple(row for row in self.rows if row.filter is None and row.batch is None)

    @cached_property
    def networks(self) -> tuple[Row, ...]:
        """The rows that are whole networks."""
        return tuple(row for row in self.rows if row.batch is not None)

    @cached_property
    def filters(self) -> tuple[Row, ...]:
        """The rows that are filters."""
        return tuple(row for row in self.rows if row.filter is not None)

    @cached_property
    def gaussians_beside_opencv(self) -> list[Row]:
        """The rows that the figure of the filters' times shows."""
        return [
            row
            for row in self.filters
            if row.filter and row.filter["function"] == "gaussian_filter" and row.best_peer == "OpenCV"
        ]

    @cached_property
    def thread_counts(self) -> tuple[int, ...]:
        """The numbers of threads that rows were measured on."""
        return tuple(sorted({row.threads for row in self.rows}))

    @cached_property
    def families(self) -> list[Family]:
        """Every family that has rows, in the order of FAMILIES, fewest threads first."""
        found = []
        for name in FAMILIES:
            for threads in self.thread_counts:
                rows = tuple(row for row in self.rows if row.family == name and row.threads == threads)
                if rows:
                    found.append(Family(name, threads, rows, self.thread_counts[-1]))
        return found

    @cached_property
    def lost(self) -> list[Row]:
        """The rows where a peer is faster, worst first."""
        return sorted((row for row in self.rows if row.lost), key=lambda row: row.ratio)

    @cached_property
    def disturbed(self) -> list[Row]:
        """The rows that other processes disturbed."""
        return [row for row in self.rows if row.disturbed]

    @cached_property
    def findings(self) -> Findings:
        """Cliffs and slow choices of threads."""
        findings = Findings()
        for walk in self.walks:
            findings.add(walk.name, walk.points)
        return findings


def losers_first(rows: Iterable[Row]) -> list[Row]:
    """Return rows by their label's worst ratio on any number of threads, so that those we lose come first."""
    listed = list(rows)
    worst: dict[str, float] = {}
    for row in listed:
        worst[row.label] = min(row.ratio, worst.get(row.label, row.ratio))
    return sorted(listed, key=lambda row: (worst[row.label], row.label, row.threads))


def read_results(measurements: Mapping[str, Any]) -> Results:
    """Read what `make bench-peers` stored."""
    roofs = tuple(read_roofs(roofline) for roofline in measurements["rooflines"])
    peaks = {roof.threads: roof.flops_per_second for roof in roofs}
    sections: dict[str, list[Mapping[str, Any]]] = {}
    for benchmark in measurements["benchmarks"]:
        info = benchmark["extra_info"]
        sections.setdefault(info.get("section", "none"), []).append(info)
    machine = measurements["machine_info"]
    ours = machine["fastsep"]
    commit = measurements.get("commit_info", {})
    return Results(
        machine=describe_machine(machine),
        software={"fastsep": ours["version"], **machine.get("peers", {})},
        caches=ours.get("caches", {}),
        commit=str(commit.get("id", ""))[:12] + (" and changes" if commit.get("dirty") else ""),
        date=str(measurements.get("datetime", ""))[:16].replace("T", " "),
        roofs=roofs,
        rows=tuple(
            read_row(info, peaks)
            for section in ("peers", "filters", "networks")
            for info in sections.get(section, [])
        ),
        walks=tuple(
            Walk(
                info["family"],
                walk["name"],
                tuple(walk["vary"]),
                tuple(Point(**point) for point in walk["points"]),
            )
            for info in sections.get("sweep", [])
            for walk in info["walks"]
        ),
        scaling=tuple(sections.get("scaling", [])),
        fusion=tuple(sections.get("fusion", [])),
        overhead=tuple(sections.get("overhead", [])),
        footprint=tuple(sections.get("footprint", [])),
        pace=Pace(**measurements["pace"]) if "pace" in measurements else None,
        left_out=measurements.get("left_out", 0),
    )


def read_roofs(roofline: Mapping[str, Any]) -> Roofs:
    """Read one entry of the JSON's `rooflines`."""
    return Roofs(
        threads=roofline["threads"],
        flops_per_second=roofline["flops_per_second"],
        bytes_per_second=roofline["bytes_per_second"],
        cycles_per_second=roofline.get("cycles_per_second"),
        fmas_per_cycle=roofline.get("fmas_per_cycle"),
        every_fmas_per_cycle=roofline.get("every_fmas_per_cycle", ()),
    )


def read_row(info: Mapping[str, Any], peaks: Mapping[int, float]) -> Row:
    """Read one side-by-side benchmark's `extra_info`; the ratio is worked out again from the medians."""
    seconds = float(info["ours"]["median"])
    peers = tuple(
        Peer(name, float(peer["median"]), peer.get("form", ""), float(peer.get("difference", 0.0)))
        for name, peer in info["peers"].items()
        if peer.get("rounds")
    )
    best = min((peer for peer in peers if peer.name != NAIVE), key=lambda peer: peer.seconds)
    return Row(
        family=info["family"],
        label=info["row"],
        networks=tuple(info["networks"]),
        threads=info["threads"],
        multiply_adds=info["multiply_adds"],
        compulsory_bytes=info["compulsory_bytes"],
        roofline_seconds=info["roofline_seconds"],
        seconds=seconds,
        peers=peers,
        best_peer=best.name,
        ratio=best.seconds / seconds,
        difference=float(info.get("largest_difference", 0.0)),
        peak_share=2 * info["multiply_adds"] / seconds / peaks[info["threads"]],
        filter=info.get("filter"),
        batch=info.get("batch"),
        busy_elsewhere=info.get("busy_elsewhere"),
        parts=tuple(Part(name, float(part["median"])) for name, part in info.get("parts", {}).items()),
    )
