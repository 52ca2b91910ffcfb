"""What the benchmarks share: the machine's description and its roofline."""

from __future__ import annotations

import platform
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

import pytest

PEER_PACKAGES = {
    "XNNPACK": "ai-edge-litert",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "PyTorch": "torch",
    "OpenCV": "opencv-python-headless",
    "SciPy": "scipy",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what bench_peers.py and bench_filters.py can be asked for."""
    parser.addoption(
        "--quick",
        action="store_true",
        help="of what is beside peers: shorter blocks of calls and pauses; short rows are rough",
    )


LEFT_OUT = pytest.StashKey[int]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what `-k` and its like leave out: such a run is a part, and says so."""
    for item in items:
        item.config.stash[LEFT_OUT] = item.config.stash.get(LEFT_OUT, 0) + 1


def measures(session: pytest.Session) -> bool:
    """Tell whether this run holds benchmarks that will be timed."""
    config = session.config
    if config.option.collectonly or getattr(config.option, "benchmark_disable", False):
        return False
    return any("benchmark" in getattr(item, "fixturenames", ()) for item in session.items)


class RooflineRecorder:
    """Measures the machine's roofline before, amid and after the benchmarks; the best of the three counts.

    One measurement could fall into a second in which the machine is busy with something else, and would then
    flatter everything compared with it.
    """

    def __init__(self, benchmarks: int) -> None:
        import fastsep.roofline
        from bench.measure import PORT_DEVIATION, thread_counts

        self.allowed_deviation = PORT_DEVIATION
        self.measure = fastsep.roofline.measure
        self.rooflines: dict[int, list[Any]] = {threads: [] for threads in thread_counts()}
        self.finished = 0
        self.middle = benchmarks // 2

    def record(self) -> None:
        """Measure the roofline of every thread count; once more where peak and frequency do not fit.

        Both are kept: a peak that was reached stays the roof, whether or not its clock was seen.
        """
        for threads, rooflines in self.rooflines.items():
            rooflines.append(self.measure(threads))
            if rooflines[-1].port_deviation > self.allowed_deviation:
                rooflines.append(self.measure(threads))

    def seconds(self, threads: int, multiply_adds: int, moved_bytes: int) -> float:
        """Return the least time that the machine at its best would take."""
        return float(
            min(roofline.seconds(2 * multiply_adds, moved_bytes) for roofline in self.rooflines[threads])
        )

    def best(self) -> list[dict[str, Any]]:
        """Return the best figures seen, for the report's header, and what checks the peak among them."""
        return [
            describe(threads, rooflines, checked_peak(rooflines))
            for threads, rooflines in self.rooflines.items()
        ]

    def pytest_runtest_logfinish(self) -> None:
        """Measure again when half of the benchmarks are done."""
        self.finished += 1
        if self.finished == self.middle:
            self.record()


def checked_peak(rooflines: list[Any]) -> Any:
    """Return the roofline with the highest peak; of those within 1 % of it, the one that its clock fits best.

    A disturbed burst of the clock's chain says nothing against a peak which an undisturbed one confirms.
    """
    peak = max(roofline.flops_per_second for roofline in rooflines)
    candidates = [roofline for roofline in rooflines if roofline.flops_per_second >= 0.99 * peak]
    return min(candidates, key=lambda roofline: roofline.port_deviation)


def describe(threads: int, rooflines: list[Any], best: Any) -> dict[str, Any]:
    """Return the JSON of one thread count's rooflines; what checks the peak comes from the best."""
    return {
        "threads": threads,
        "flops_per_second": max(roofline.flops_per_second for roofline in rooflines),
        "cycles_per_second": best.cycles_per_second,
        "fmas_per_cycle": best.fmas_per_cycle,
        "fma_ports": best.fma_ports,
        "port_deviation": best.port_deviation,
        "every_fmas_per_cycle": [roofline.fmas_per_cycle for roofline in rooflines],
        "bytes_per_second": {
            level: max(roofline.bytes_per_second[level] for roofline in rooflines)
            for level in best.bytes_per_second
        },
        # JSON has no infinity: the last level, DRAM, is left out.
        "cache_bytes": {level: size for level, size in best.cache_bytes.items() if size < float("inf")},
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Measure the roofline around the benchmarks."""
    if not measures(session):
        return (yield)
    recorder = RooflineRecorder(len(session.items))
    session.config.pluginmanager.register(recorder, "roofline-recorder")
    recorder.record()
    outcome = yield
    recorder.record()
    for timed in timed_benchmarks(session.config):
        info = timed.extra_info
        needed = info.get("roofline_multiply_adds", info["multiply_adds"])
        info["roofline_seconds"] = recorder.seconds(info["threads"], needed, info["compulsory_bytes"])
    return outcome


def timed_benchmarks(config: pytest.Config) -> list[Any]:
    """Return what pytest-benchmark has timed without errors."""
    session = getattr(config, "_benchmarksession", None)
    return [] if session is None else [timed for timed in session.benchmarks if not timed.has_error]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what a reader must know to compare the figures with their own."""
    from importlib.metadata import distributions

    import numpy as np
    import threadpoolctl

    import fastsep
    from bench.measure import thread_counts
    from fastsep import _isa

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    # Which kernels the BLAS runs: OPENBLAS_CORETYPE can name older ones than the CPU allows.
    kernels = {library.get("architecture") for library in threadpoolctl.threadpool_info()} - {None}
    machine_info["fastsep"] = {
        "version": fastsep.__version__,
        "isa": fastsep.get_isa(),
        "threads": thread_counts()[-1],
        "numpy": np.__version__,
        "blas": " ".join([blas["name"], blas["version"], *sorted(kernels)]),
        "python": platform.python_version(),
        "caches": _isa.cache_bytes(),
    }
    installed = {distribution.name: distribution.version for distribution in distributions()}
    machine_info["peers"] = {
        peer: installed[package] for peer, package in PEER_PACKAGES.items() if package in installed
    }


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Put the roofline into the JSON, what was left out, and the pace if there are rows beside peers."""
    from bench.peers.rounds import pace_of

    recorder = config.pluginmanager.getplugin("roofline-recorder")
    if recorder is not None:
        output_json["rooflines"] = recorder.best()
    output_json["left_out"] = config.stash.get(LEFT_OUT, 0)
    if any("peers" in benchmark["extra_info"] for benchmark in output_json["benchmarks"]):
        output_json["pace"] = asdict(pace_of(config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how near to the roofline every benchmark came."""
    # Rows of a section have a report of their own.
    timed = [benchmark for benchmark in timed_benchmarks(config) if "section" not in benchmark.extra_info]
    if not timed or config.pluginmanager.getplugin("roofline-recorder") is None:
        return
    terminalreporter.section("share of the roofline")
    terminalreporter.write_line(f"{'ms':>10} {'GFLOP/s':>9} {'roofline':>9}  threads")
    for benchmark in timed:
        info = benchmark.extra_info
        seconds = benchmark.stats.median
        terminalreporter.write_line(
            f"{seconds * 1e3:10.3f} {2e-9 * info['multiply_adds'] / seconds:9.1f} "
            f"{info['roofline_seconds'] / seconds:9.0%}  {info['threads']:>7}  "
            f"{info['step']}: {info['label']}"
        )
