"""Compare the newest stored run of `make bench-peers` with an earlier one; fail where we became slower."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

from bench.peers.quiet import is_disturbed
from bench.results import read_roofs

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "build" / "bench" / "runs"

# Runs on a quiet machine differ by 3 %; below this a change is not looked at.
NOISE = 0.05

# What is measured beside peers: layers and blocks, filters, and whole networks.
SECTIONS = ("peers", "filters", "networks")

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One row on some threads, before and after."""

    row: str
    threads: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    # How much slower the peers became meanwhile: the machine's part.
    drift: float

    @property
    def time(self) -> float:
        """Our median now over what it was, the machine's drift taken out: above 1 is slower."""
        return float(self.after["ours"]["median"] / self.before["ours"]["median"] / self.drift)

    @property
    def slower(self) -> bool:
        """Tell whether we became slower beyond noise: over 5 %, and the rounds' middle halves lie apart."""
        _, _, upper_before = quartiles(self.before["ours"]["rounds"])
        lower_after, _, _ = quartiles(self.after["ours"]["rounds"])
        return self.time > 1 + NOISE and lower_after / self.drift > upper_before

    def __str__(self) -> str:
        """Return the line that is printed."""
        runs = (self.before, self.after)
        times = " → ".join(milliseconds(run["ours"]["median"]) for run in runs)
        ratios = " → ".join(f"{run['ratio']:5.2f}" for run in runs)
        return (
            f"{self.time - 1:+7.1%}  {times} ms   ratio {ratios}   {self.row}, {threads_text(self.threads)}"
        )


def quartiles(rounds: list[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile; of a single round, itself."""
    if len(rounds) < 2:
        return rounds[0], rounds[0], rounds[0]
    lower, middle, upper = statistics.quantiles(rounds, n=4, method="inclusive")
    return lower, middle, upper


def milliseconds(seconds: float) -> str:
    """Return a time as the lines show it."""
    return f"{seconds * 1e3:9.4f}"


def threads_text(threads: int) -> str:
    """Return a number of threads with its noun."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def row_text(info: Mapping[str, Any]) -> str:
    """Return a measured row in one line: ratio, our time, the peers' times."""
    peers = "  ".join(
        f"{name} {milliseconds(peer['median']).strip()}" if peer["rounds"] else f"{name} {peer['form']}"
        for name, peer in info["peers"].items()
    )
    ours = milliseconds(info["ours"]["median"])
    busy = info["busy_elsewhere"]
    disturbed = f"  DISTURBED: others kept {busy:.2f} CPUs busy" if is_disturbed(busy) else ""
    label = f"{info['row']}, {threads_text(info['threads'])}"
    parts = f"  {info['parts_share']:.0%} of its parts" if "parts_share" in info else ""
    return f"{info['ratio']:5.2f}×  {ours} ms  {label}  ({peers}){parts}{disturbed}"


def rows_of(run: Run) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Return what was measured beside the peers, by row and threads."""
    infos = [benchmark["extra_info"] for benchmark in run["benchmarks"]]
    return {(info["row"], info["threads"]): info for info in infos if info.get("section") in SECTIONS}


def drift_of(before: Run, after: Run, threads: int) -> float:
    """Return how much slower the peers of equal version became on so many threads: a geometric mean."""
    versions_before, versions_after = (run["machine_info"]["peers"] for run in (before, after))
    same = {name for name, version in versions_before.items() if versions_after.get(name) == version}
    logs = []
    rows_before, rows_after = rows_of(before), rows_of(after)
    for key in rows_before.keys() & rows_after.keys():
        if key[1] == threads:
            peers_before, peers_after = rows_before[key]["peers"], rows_after[key]["peers"]
            logs += [
                log(peers_after[name]["median"] / peers_before[name]["median"])
                for name in same & peers_before.keys() & peers_after.keys()
            ]
    return exp(statistics.fmean(logs)) if logs else 1.0


def changes(before: Run, after: Run) -> list[Change]:
    """Return every row that both runs hold, the most slowed down first."""
    rows_before, rows_after = rows_of(before), rows_of(after)
    common = rows_before.keys() & rows_after.keys()
    drifts = {threads: drift_of(before, after, threads) for _, threads in common}
    found = [
        Change(row, threads, rows_before[row, threads], rows_after[row, threads], drifts[threads])
        for row, threads in common
    ]
    return sorted(found, key=lambda change: (-change.time, change.row, change.threads))


def stored_runs(folder: Path) -> list[Path]:
    """Return the stored runs, oldest first: pytest-benchmark numbers them."""
    return sorted(folder.glob("*/[0-9]*_*.json"), key=lambda path: int(path.name.partition("_")[0]))


def choose(paths: list[Path], earlier: str | None) -> tuple[Path, Path]:
    """Return the run to compare with, and the newest; `earlier` is a number or the begin of a file's name."""
    if len(paths) < 2:
        raise ValueError(f"{len(paths)} stored runs; a comparison needs two: run `make bench-peers` again")
    *others, newest = paths
    if not earlier:
        return others[-1], newest
    begin = f"{int(earlier):04}_" if earlier.isdecimal() else earlier  # as pytest-benchmark writes numbers
    matching = [path for path in others if path.name.startswith(begin)]
    if len(matching) != 1:
        names = ", ".join(path.stem for path in others)
        raise ValueError(f"{earlier!r} begins the name of {len(matching)} earlier runs; there are {names}")
    return matching[0], newest


def report(before: Run, after: Run) -> tuple[str, bool]:
    """Return the comparison as text, and whether anything became slower beyond noise."""
    found = changes(before, after)
    slower = [change for change in found if change.slower]
    others = [change for change in found if not change.slower]
    lines = [
        f"INVALID: the FMA peak of the run {which} does not fit the clock on {threads_text(roofs['threads'])}"
        for which, run in (("before", before), ("after", after))
        for roofs in run.get("rooflines", ())
        if not read_roofs(roofs).valid
    ]
    for threads in sorted({change.threads for change in found}):
        drift = next(change.drift for change in found if change.threads == threads)
        lines.append(
            f"{threads_text(threads)}: the peers took {drift - 1:+.1%}: the machine's part, taken out of ours"
        )
    only = len(rows_of(before).keys() ^ rows_of(after).keys())
    lines.append(f"{len(found)} rows in both runs, {only} in one alone")
    if slower:
        lines += ["", f"SLOWER beyond noise: {len(slower)}", *map(str, slower)]
    lines += ["", "within noise, or faster", *map(str, others)]
    return "\n".join(lines), bool(slower)


def main(arguments: list[str] | None = None) -> int:
    """Compare; 1 if anything became slower, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument(
        "earlier", nargs="?", help="number or begin of the name of the earlier run; the previous one"
    )
    options = parser.parse_args(arguments)
    try:
        paths = choose(stored_runs(RUNS), options.earlier)
    except ValueError as error:
        parser.error(str(error))
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    print(f"{paths[0].stem} → {paths[1].stem}")
    text, slower = report(before, after)
    print(text)
    if not changes(before, after):
        print("the runs have no row in common", file=sys.stderr)
        return 2
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
