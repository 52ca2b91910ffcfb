"""A comparison shows slow-downs first, and only those beyond noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import compare

STEADY = [1.0e-3, 1.01e-3, 0.99e-3, 1.0e-3, 1.0e-3]


def run(rows: dict[tuple[str, int], list[float]], peer: float = 2e-3, version: str = "1") -> dict[str, Any]:
    """Return a stored run; every row has one peer of the same time, and a naive one."""
    benchmarks = [
        {
            "extra_info": {
                "section": "peers",
                "row": row,
                "threads": threads,
                "ours": {"rounds": rounds, "median": sorted(rounds)[len(rounds) // 2]},
                "peers": {
                    "XNNPACK": {"rounds": [peer], "median": peer},
                    "naive": {"rounds": [], "form": "not timed"},
                },
                "ratio": peer / sorted(rounds)[len(rounds) // 2],
            }
        }
        for (row, threads), rounds in rows.items()
    ]
    sweep = {"extra_info": {"section": "sweep", "row": "another", "threads": 1}}
    return {"machine_info": {"peers": {"XNNPACK": version}}, "benchmarks": [*benchmarks, sweep]}


def scaled(rounds: list[float], factor: float) -> list[float]:
    """Return every round times `factor`."""
    return [seconds * factor for seconds in rounds]


def test_a_slow_down_is_found_and_stands_first() -> None:
    before = run({("a", 1): STEADY, ("b", 1): STEADY, ("b", 2): STEADY})
    after = run({("a", 1): STEADY, ("b", 1): scaled(STEADY, 1.2), ("b", 2): scaled(STEADY, 0.5)})
    found = compare.changes(before, after)
    assert [(change.row, change.threads, change.slower) for change in found] == [
        ("b", 1, True),
        ("a", 1, False),
        ("b", 2, False),
    ]
    text, slower = compare.report(before, after)
    assert slower
    assert (
        "SLOWER beyond noise: 1\n +20.0%     1.0000 →    1.2000 ms   ratio  2.00 →  1.67   b, 1 thread"
        in text
    )


def test_a_run_whose_peak_does_not_fit_its_clock_is_named() -> None:
    runs = [run({("a", 1): STEADY}) for _ in range(3)]
    for each, fmas_per_cycle in zip(runs, (2.0, 2.0, 1.7), strict=True):
        each["rooflines"] = [
            {"threads": 1, "flops_per_second": 1e11, "bytes_per_second": {}, "cycles_per_second": 3e9}
            | {"fmas_per_cycle": fmas_per_cycle}
        ]
    valid, also_valid, invalid = runs
    assert "INVALID" not in compare.report(valid, also_valid)[0]
    said = "INVALID: the FMA peak of the run {} does not fit the clock on 1 thread"
    assert said.format("after") in compare.report(valid, invalid)[0]
    assert said.format("before") in compare.report(invalid, valid)[0]


def test_five_percent_are_noise_and_so_are_rounds_that_overlap() -> None:
    before = run({("a", 1): STEADY, ("b", 1): [0.8e-3, 1e-3, 1e-3, 1.3e-3, 1.4e-3]})
    after = run({("a", 1): scaled(STEADY, 1.04), ("b", 1): [0.9e-3, 1.2e-3, 1.2e-3, 1.2e-3, 1.4e-3]})
    text, slower = compare.report(before, after)
    assert not slower
    assert "SLOWER" not in text


def test_a_slower_machine_is_not_our_slow_down() -> None:
    before, after = run({("a", 1): STEADY}), run({("a", 1): scaled(STEADY, 1.25)}, peer=2.5e-3)
    (change,) = compare.changes(before, after)
    assert change.drift == pytest.approx(1.25)
    assert change.time == pytest.approx(1)
    assert not change.slower


def test_a_peers_new_version_does_not_count_as_the_machine() -> None:
    before = run({("a", 1): STEADY})
    after = run({("a", 1): scaled(STEADY, 1.25)}, peer=2.5e-3, version="2")
    (change,) = compare.changes(before, after)
    assert change.drift == 1
    assert change.slower


def test_rows_of_one_run_alone_are_counted() -> None:
    text, _ = compare.report(
        run({("a", 1): STEADY, ("b", 1): STEADY}), run({("a", 1): STEADY, ("c", 1): STEADY})
    )
    assert "1 rows in both runs, 2 in one alone" in text


def test_the_previous_run_is_taken_unless_one_is_named() -> None:
    paths = [Path(f"{number:04}_x.json") for number in (1, 2, 3)]
    assert compare.choose(paths, None) == (paths[1], paths[2])
    assert compare.choose(paths, "0001") == (paths[0], paths[2])
    assert compare.choose(paths, "1") == (paths[0], paths[2])
    assert compare.choose(paths, paths[0].stem) == (paths[0], paths[2])
    with pytest.raises(
        ValueError, match="'0004' begins the name of 0 earlier runs; there are 0001_x, 0002_x"
    ):
        compare.choose(paths, "0004")
    with pytest.raises(ValueError, match="'0003' begins the name of 0 earlier runs"):
        compare.choose(paths, "0003")  # the newest is what is compared
    with pytest.raises(ValueError, match="1 stored runs; a comparison needs two"):
        compare.choose(paths[:1], None)


def test_the_command_fails_on_a_slow_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "RUNS", tmp_path)
    folder = tmp_path / "Linux-CPython"
    folder.mkdir()
    # Numbered, not in the order of the alphabet.
    for number, factor in ((9999, 1.0), (10000, 1.2), (10001, 1.2)):
        stored = run({("a", 1): scaled(STEADY, factor)})
        (folder / f"{number}_commit.json").write_text(json.dumps(stored), encoding="utf-8")
    assert compare.main([]) == 0
    assert compare.main(["9999"]) == 1
    assert "9999_commit → 10001_commit" in capsys.readouterr().out


def test_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "RUNS", tmp_path)
    with pytest.raises(SystemExit) as error:
        compare.main([])
    assert error.value.code == 2
