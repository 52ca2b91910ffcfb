"""The sweep for cliffs: one-dimensional walks through shapes, and what a point may cost beside its neighbour.

``python -m bench.sweep [walk …]`` measures the walks whose names contain a word given (all without one) and
prints what it finds. docs/benchmarks.md states and defends the formula; in short, with c the seconds per
multiply-add and

    floor = seconds of the smallest call there is + max(vector FLOPs / FMA peak, compulsory bytes / bandwidth)

a point is a cliff if for one of its two neighbours in the walk

    c(point) > 2 · c(neighbour) · max(1, floor per multiply-add of the point / that of the neighbour).

Vector FLOPs count output channels rounded up to whole vectors. Nothing else is excused: not register tiles
that small images leave half empty, not borders, not the copies that channels_first needs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import fastsep
import fastsep._isa
from bench.blocks import Array, pixels_read
from bench.measure import SECONDS_UNTIL_WORKERS_SLEEP, thread_counts
from fastsep import roofline

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

Family = Literal["depthwise", "pointwise", "separable", "conv", "inverted residual"]
Mode = Literal["one", "all", "auto"]

CLIFF = 2.0
# threads=None against the better of one and all threads: both must be exceeded.
SLOWER_SHARE, SLOWER_SECONDS = 0.05, 2e-6

SECONDS_A_BLOCK = 3e-4
SECONDS_A_POINT = 0.05
ROUNDS_AT_LEAST, ROUNDS_AT_MOST = 3, 7
# How often a point that looks bad is measured again, with its neighbours, before it counts.
SECOND_LOOKS = 6

EXPANSION = 6


@dataclass(frozen=True)
class Shape:
    """One convolution: square image, square kernel, padding "same", float32."""

    family: Family
    size: int = 28
    channels: int = 64
    outputs: int = 64
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    batch: int = 1
    data_format: str = "channels_last"

    @property
    def out_size(self) -> int:
        """Pixels along one side of the output."""
        return ceil(self.size / self.stride)

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.channels if self.family == "depthwise" else self.outputs

    def multiply_adds(self, lanes: int = 1) -> int:
        """Multiply-adds, padding taps included; each layer's output channels rounded up to whole vectors."""

        def whole(count: int) -> int:
            return ceil(count / lanes) * lanes

        pixels_in = self.batch * self.size**2
        pixels = self.batch * self.out_size**2
        taps = self.kernel**2
        match self.family:
            case "depthwise":
                return pixels * taps * whole(self.channels)
            case "pointwise":
                return pixels * self.channels * whole(self.outputs)
            case "conv":
                return pixels * taps * self.channels * whole(self.outputs)
            case "separable":
                return pixels * (taps * whole(self.channels) + self.channels * whole(self.outputs))
            case "inverted residual":
                wide = EXPANSION * self.channels
                expand = pixels_in * self.channels * whole(wide)
                return expand + pixels * (taps * whole(wide) + wide * whole(self.outputs))

    @property
    def weights(self) -> int:
        """Number of weights."""
        taps = self.kernel**2
        wide = EXPANSION * self.channels
        return {
            "depthwise": taps * self.channels,
            "pointwise": self.channels * self.outputs,
            "conv": taps * self.channels * self.outputs,
            "separable": taps * self.channels + self.channels * self.outputs,
            "inverted residual": self.channels * wide + taps * wide + wide * self.outputs,
        }[self.family]

    @property
    def compulsory_bytes(self) -> int:
        """Weights, and what windows see of the input, read once; output written once."""
        taps = 1 if self.family == "pointwise" else self.kernel
        read = pixels_read(self.size, self.out_size, taps, self.stride, self.dilation)
        pixels_in, pixels = self.batch * read**2, self.batch * self.out_size**2
        return 4 * (pixels_in * self.channels + self.weights + pixels * self.out_channels)

    def __str__(self) -> str:
        """Say the shape in one line."""
        kernel = "" if self.family == "pointwise" else f" {self.kernel}×{self.kernel}"
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        dilation = f" dilation {self.dilation}" if self.dilation > 1 else ""
        channels = f"{self.channels}" if self.family == "depthwise" else f"{self.channels}→{self.outputs}"
        first = " channels_first" if self.data_format == "channels_first" else ""
        return (
            f"{self.family}{kernel}{stride}{dilation} {self.batch}×{self.size}×{self.size}×{channels}{first}"
        )

    def plan(self) -> Any:
        """Return the plan with seeded weights."""

        window: dict[str, Any] = {"strides": self.stride, "dilation_rate": self.dilation, "padding": "same"}
        taps = (self.kernel, self.kernel)
        layout: dict[str, Any] = {"data_format": self.data_format}
        match self.family:
            case "depthwise":
                return fastsep.DepthwiseConv(weights_of(*taps, self.channels, 1), **window, **layout)
            case "pointwise":
                return fastsep.PointwiseConv(weights_of(self.channels, self.outputs), **layout)
            case "conv":
                return fastsep.Conv(weights_of(*taps, self.channels, self.outputs), **window, **layout)
            case "separable":
                return fastsep.SeparableConv(
                    weights_of(*taps, self.channels, 1),
                    weights_of(self.channels, self.outputs),
                    **window,
                    **layout,
                )
            case "inverted residual":
                wide = EXPANSION * self.channels
                return fastsep.InvertedResidual(
                    weights_of(self.channels, wide),
                    weights_of(*taps, wide, 1),
                    weights_of(wide, self.outputs),
                    **window,
                    **layout,
                )

    def arrays(self) -> tuple[Array, Array]:
        """Return input and output."""
        x_shape = self.shape_of(self.size, self.channels)
        x = fastsep.empty(x_shape)
        x[...] = numbers(int(np.prod(x_shape))).reshape(x_shape)
        return x, fastsep.empty(self.shape_of(self.out_size, self.out_channels))

    def shape_of(self, size: int, channels: int) -> tuple[int, ...]:
        """Return an array's shape in this data format."""
        if self.data_format == "channels_first":
            return self.batch, channels, size, size
        return self.batch, size, size, channels


@cache
def random_numbers() -> Array:
    """Return what inputs and weights are views of: making numbers anew would take most of the time."""
    values = np.random.default_rng(0).random(1 << 24, dtype=np.float32) - np.float32(0.5)
    values.flags.writeable = False
    return values


def numbers(count: int) -> Array:
    """Return so many of the random numbers."""
    return random_numbers()[:count]


def weights_of(*shape: int) -> Array:
    """Return weights that keep the size of what flows through them."""
    weights: Array = numbers(int(np.prod(shape))).reshape(shape) / np.float32(np.prod(shape[:-1]) ** 0.5)
    return weights


@dataclass(frozen=True)
class Walk:
    """Shapes that differ in one parameter only (channels of input and output may go together)."""

    name: str
    base: Shape
    vary: tuple[str, ...]
    values: tuple[int | str, ...]

    def shapes(self) -> Iterator[tuple[int | str, Shape]]:
        """Yield each value of the parameter with its shape."""
        for value in self.values:
            changes: dict[str, Any] = dict.fromkeys(self.vary, value)
            yield value, replace(self.base, **changes)


# 1…70 holds 3·2ⁿ ± 1 up to 49; the multiples themselves stand between.
CHANNELS = (*range(1, 71), *chain.from_iterable((n - 1, n, n + 1) for n in (96, 192, 384, 768)))
KERNELS = tuple(range(1, 12))
STRIDES = (1, 2, 3)
DILATIONS = (1, 2, 3, 4)
SIZES = tuple(range(1, 131))
BATCHES = tuple(range(1, 33))
FORMATS = ("channels_last", "channels_first")


def walks() -> list[Walk]:
    """Return every walk: each parameter through a few base points."""
    found: list[Walk] = []

    def walk(base: Shape, vary: str | tuple[str, ...], values: Sequence[int | str]) -> None:
        names = (vary,) if isinstance(vary, str) else vary
        changes: dict[str, Any] = dict.fromkeys(names, values[0])
        # The varied number is shown as its letter; the base point's others stay.
        text = str(replace(base, **changes))
        found.append(
            Walk(f"{' = '.join(names)} {values[0]}…{values[-1]}: {text}", base, names, tuple(values))
        )

    both = ("channels", "outputs")
    depthwise, pointwise = Shape("depthwise"), Shape("pointwise")
    separable, conv = Shape("separable"), Shape("conv", size=14, channels=32, outputs=32)
    block = Shape("inverted residual", channels=16, outputs=16)
    for data_format in FORMATS:
        walk(replace(depthwise, data_format=data_format), "channels", CHANNELS)
        walk(replace(pointwise, data_format=data_format), "channels", CHANNELS)
        walk(replace(pointwise, data_format=data_format), "outputs", CHANNELS)
        walk(replace(separable, data_format=data_format), both, CHANNELS)
        walk(replace(depthwise, channels=32, data_format=data_format), "size", SIZES)
        walk(replace(pointwise, channels=32, outputs=32, data_format=data_format), "size", SIZES)
        walk(replace(separable, channels=32, outputs=32, data_format=data_format), "size", SIZES)
        walk(replace(conv, channels=16, outputs=16, data_format=data_format), "size", SIZES)
    walk(conv, "channels", CHANNELS)
    walk(conv, "outputs", CHANNELS)
    walk(block, both, tuple(value for value in CHANNELS if value <= 193))
    walk(replace(depthwise, channels=32, stride=2), "size", SIZES)
    walk(block, "size", SIZES)
    for base in (depthwise, separable, replace(conv, channels=16, outputs=16), replace(block, size=14)):
        for stride in STRIDES:
            walk(replace(base, stride=stride), "kernel", KERNELS)
        walk(replace(base, dilation=2), "kernel", KERNELS)
        for kernel in (2, 3, 5, 7):
            walk(replace(base, kernel=kernel), "stride", STRIDES)
            for stride in STRIDES:
                walk(replace(base, kernel=kernel, stride=stride), "dilation", DILATIONS)
    first = [replace(base, data_format="channels_first") for base in (depthwise, separable)]
    for base in first:
        for stride in STRIDES:
            walk(replace(base, stride=stride), "kernel", KERNELS)
        walk(base, "stride", STRIDES)
        walk(base, "dilation", DILATIONS)
    for base in (
        *(replace(base, size=14) for base in first),
        replace(depthwise, size=14),
        replace(depthwise, size=7, channels=9),
        replace(pointwise, size=7, channels=128, outputs=128),
        replace(separable, size=14),
        replace(conv, size=7),
        replace(block, size=14),
    ):
        walk(base, "batch", BATCHES)
    for base in (depthwise, pointwise, separable, conv, block):
        for size, channels in ((7, 160), (14, 96), (56, 32), (112, 16)):
            at = replace(base, size=size, channels=channels, outputs=channels)
            walk(at, "data_format", FORMATS)
    return found


# ---- what is measured ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One shape of a walk, measured.

    `floor` is the least time by the formula above, with the smallest call in it, for one and all threads;
    `auto` is ``threads=None``, and `chosen` the number of threads it chose.
    """

    value: int | str
    label: str
    multiply_adds: int
    vector_multiply_adds: int
    compulsory_bytes: int
    floor: dict[str, float]
    seconds: dict[str, float]
    chosen: int

    def better_of(self, other: Point) -> Point:
        """Join two measurements of the same shape: each time's minimum."""
        seconds = {mode: min(self.seconds[mode], other.seconds[mode]) for mode in self.seconds}
        return replace(self, seconds=seconds)


@dataclass(frozen=True)
class Cliff:
    """A point that costs too much beside a neighbour: `factor` times as much, where `allowed` was due."""

    walk: str
    mode: str
    label: str
    neighbour: str
    seconds: float
    nanoseconds_a_multiply_add: float
    factor: float
    allowed: float
    value: int | str
    neighbour_value: int | str

    def __str__(self) -> str:
        """Say it in one line."""
        threads = {"one": "1 thread", "auto": "threads=None"}[self.mode]
        return (
            f"{self.label}: {self.factor:.2f}× the cost per multiply-add of {self.neighbour} "
            f"({self.allowed:.2f}× allowed), {self.seconds * 1e6:.1f} µs, {threads}"
        )


@dataclass(frozen=True)
class ThreadChoice:
    """A point where ``threads=None`` is slower than it may be."""

    walk: str
    label: str
    chosen: int
    auto: float
    one: float
    all: float

    @property
    def lost(self) -> float:
        """Share of the better time that is lost."""
        return self.auto / min(self.one, self.all) - 1

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.label}: threads=None takes {self.chosen} and {self.auto * 1e6:.1f} µs, "
            f"{self.lost:+.0%}; 1 thread {self.one * 1e6:.1f} µs, all {self.all * 1e6:.1f} µs"
        )


def cliffs_of(walk: str, points: Sequence[Point], explain: bool = True) -> list[Cliff]:
    """Return the cliffs of a walk, on one thread and with ``threads=None``, each against its worst neighbour.

    `explain=False` leaves the roofline out of the formula: every point that simply costs more than twice a
    neighbour per multiply-add.
    """
    found = []
    for mode, floor in (("one", "one"), ("auto", "all")):
        for index, point in enumerate(points):
            worst: Cliff | None = None
            for neighbour in (*points[max(index - 1, 0) : index], *points[index + 1 : index + 2]):
                cost, other = (p.seconds[mode] / p.multiply_adds for p in (point, neighbour))
                due, other_due = (p.floor[floor] / p.multiply_adds for p in (point, neighbour))
                allowed = CLIFF * max(1.0, due / other_due) if explain else CLIFF
                factor = cost / other
                if factor > allowed and (worst is None or factor / allowed > worst.factor / worst.allowed):
                    worst = Cliff(
                        walk,
                        mode,
                        point.label,
                        neighbour.label,
                        point.seconds[mode],
                        cost * 1e9,
                        factor,
                        allowed,
                        point.value,
                        neighbour.value,
                    )
            if worst is not None:
                found.append(worst)
    return found


def slow_choices(walk: str, points: Sequence[Point]) -> list[ThreadChoice]:
    """Return the points where ``threads=None`` is more than 5 % and 2 µs slower than it could be."""
    found = []
    for point in points:
        one, every, auto = point.seconds["one"], point.seconds["all"], point.seconds["auto"]
        best = min(one, every)
        if auto > max(best * (1 + SLOWER_SHARE), best + SLOWER_SECONDS):
            found.append(ThreadChoice(walk, point.label, point.chosen, auto, one, every))
    return found


# ---- measuring -------------------------------------------------------------------------------------------


def block_seconds(call: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call, by a block of them after one that warms up."""
    call()
    repeat = range(calls)
    begun = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - begun) / calls


def best_seconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the best time of each call. Blocks of back-to-back calls take turns.

    Minima, because this is about the kernels and not about the machine's other work, which only ever adds.
    """
    lengths = {name: max(1, ceil(SECONDS_A_BLOCK / block_seconds(call, 2))) for name, call in calls.items()}
    seconds = {name: block_seconds(call, lengths[name]) for name, call in calls.items()}
    spent = sum(seconds[name] * lengths[name] for name in calls)
    rounds = min(ROUNDS_AT_MOST, max(ROUNDS_AT_LEAST, int(SECONDS_A_POINT / spent)))
    for _ in range(rounds - 1):
        for name, call in calls.items():
            seconds[name] = min(seconds[name], block_seconds(call, lengths[name]))
    return seconds


def measure_shape(shape: Shape) -> tuple[dict[str, float], int]:
    """Return the best time of a call with 1, all and None threads, and what None chose."""
    plan = shape.plan()
    x, out = shape.arrays()
    counts: dict[str, int | None] = {"one": 1, "all": thread_counts()[-1], "auto": None}
    calls = {mode: partial(plan, x, out, threads=threads) for mode, threads in counts.items()}
    return best_seconds(calls), plan.describe(x.shape).threads


def time_call(benchmark: BenchmarkFixture, shape: Shape, threads: int, section: str, **info: Any) -> None:
    """Time calls of one shape by pytest-benchmark, and attach what else was measured."""
    plan = shape.plan()
    x, out = shape.arrays()

    def call() -> object:
        return plan(x, out, threads=threads)

    benchmark.group = section
    benchmark.extra_info.update(
        section=section,
        threads=threads,
        row=str(shape),
        multiply_adds=shape.multiply_adds(),
        compulsory_bytes=shape.compulsory_bytes,
        **info,
    )
    iterations = max(1, ceil(SECONDS_A_BLOCK / block_seconds(call, 2)))
    benchmark.pedantic(call, rounds=ROUNDS_AT_MOST, iterations=iterations, warmup_rounds=1)


@cache
def smallest_call(family: Family, data_format: str) -> float:
    """Seconds of the family's smallest call: one pixel, one channel, one tap."""
    smallest = Shape(family, size=1, channels=1, outputs=1, kernel=1, data_format=data_format)
    return min(measure_shape(smallest)[0]["one"] for _ in range(3))


@cache
def roofs() -> dict[str, roofline.Roofline]:
    """Return the machine's limits with one and all threads."""
    return {"one": roofline.measure(1), "all": roofline.measure(thread_counts()[-1])}


def measure_point(value: int | str, shape: Shape) -> Point:
    """Measure one shape."""
    lanes = fastsep._isa.register_tiles(fastsep.get_isa())["float32"]["lanes"]
    vector_multiply_adds = shape.multiply_adds(lanes)
    smallest = smallest_call(shape.family, shape.data_format)
    seconds, chosen = measure_shape(shape)
    return Point(
        value=value,
        label=str(shape),
        multiply_adds=shape.multiply_adds(),
        vector_multiply_adds=vector_multiply_adds,
        compulsory_bytes=shape.compulsory_bytes,
        floor={
            name: smallest + roof.seconds(2 * vector_multiply_adds, shape.compulsory_bytes)
            for name, roof in roofs().items()
        },
        seconds=seconds,
        chosen=chosen,
    )


def measure_walks(
    chosen: Sequence[Walk], progress: Callable[[str], object] = lambda name: None
) -> list[list[Point]]:
    """Measure walks; then, several times, what looks bad, and its neighbours.

    The second looks come after all walks, because what disturbs a shared machine often lasts for seconds.
    """
    shapes = [list(walk.shapes()) for walk in chosen]
    measured = []
    for walk, stops in zip(chosen, shapes, strict=True):
        progress(walk.name)
        measured.append([measure_point(value, shape) for value, shape in stops])
    for look in range(SECOND_LOOKS):
        progress(f"look {look + 2}")
        for walk, stops, points in zip(chosen, shapes, measured, strict=True):
            for index in suspects(walk.name, points):
                points[index] = points[index].better_of(measure_point(*stops[index]))
    return measured


def suspects(walk: str, points: Sequence[Point]) -> list[int]:
    """Return the positions of the points that look bad, and of the neighbours that make them look so."""
    cliffs = cliffs_of(walk, points)
    labels = {label for cliff in cliffs for label in (cliff.label, cliff.neighbour)}
    labels |= {choice.label for choice in slow_choices(walk, points)}
    return [index for index, point in enumerate(points) if point.label in labels]


@dataclass
class Findings:
    """Everything that a sweep found."""

    points: int = 0
    cliffs: list[Cliff] = field(default_factory=list)
    choices: list[ThreadChoice] = field(default_factory=list)

    def add(self, walk: str, points: Sequence[Point]) -> None:
        """Look at one more walk."""
        self.points += len(points)
        self.cliffs += cliffs_of(walk, points)
        self.choices += slow_choices(walk, points)

    @property
    def worst_cliffs(self) -> list[Cliff]:
        """The cliffs, worst first."""
        return sorted(self.cliffs, key=lambda cliff: cliff.allowed / cliff.factor)

    @property
    def worst_choices(self) -> list[ThreadChoice]:
        """The slow choices, worst first."""
        return sorted(self.choices, key=lambda choice: -choice.lost)

    def __str__(self) -> str:
        """Say everything, worst first."""
        cliffs, choices = self.worst_cliffs, self.worst_choices
        return "\n".join(
            [
                f"{self.points} points, {len(cliffs)} cliffs, {len(choices)} slow choices of threads",
                "",
                *map(str, cliffs),
                "",
                *map(str, choices),
            ]
        )


def main(words: Sequence[str]) -> int:
    """Measure the walks that a word names, or all, and print what is found."""
    findings = Findings()
    chosen = [walk for walk in walks() if not words or any(word in walk.name for word in words)]
    time.sleep(SECONDS_UNTIL_WORKERS_SLEEP)
    measured = measure_walks(chosen, lambda name: print(name, file=sys.stderr))
    for walk, points in zip(chosen, measured, strict=True):
        findings.add(walk.name, points)
    print(findings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
