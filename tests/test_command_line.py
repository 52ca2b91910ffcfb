"""`python -m fastsep`: what it prints, and that its exit code can be trusted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import run_command, run_program

import fastsep
from fastsep._named_kernels import named_kernel


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command outside the source tree."""
    return run_command([sys.executable, "-m", "fastsep", *arguments], folder, timeout=120, **environment)


def test_info(tmp_path: Path) -> None:
    process = command(tmp_path, "info")
    assert process.returncode == 0, process.stderr
    for name in fastsep.available_isas():
        assert name in process.stdout
    assert np.__version__ in process.stdout
    for word in ("OpenMP", "thread", "CPU", "tile", "Python"):
        assert re.search(word, process.stdout, re.IGNORECASE), f"{word} is missing from\n{process.stdout}"


def test_info_tells_the_chosen_instruction_set(tmp_path: Path) -> None:
    shown = {name: command(tmp_path, "info", FASTSEP_ISA=name).stdout for name in fastsep.available_isas()}
    for name, text in shown.items():
        assert re.search(rf"chosen.*\b{name}\b|\b{name}\b.*chosen", text), text
    assert len(set(shown.values())) == len(shown)


def test_info_tells_where_the_number_of_threads_comes_from(tmp_path: Path) -> None:
    assert "OMP_NUM_THREADS" in command(tmp_path, "info", OMP_NUM_THREADS="1").stdout


def test_selftest(tmp_path: Path) -> None:
    process = command(tmp_path, "selftest")
    assert process.returncode == 0, process.stdout + process.stderr
    for name in fastsep.available_isas():
        assert name in process.stdout


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "pointwise_conv", "separable_conv"])
def test_selftest_fails_when_kernel_and_reference_disagree(name: str) -> None:
    """A specification that is wrong by one part in a thousand stands in for a kernel that is."""
    process = run_program(f"""
        import sys
        import numpy as np
        from fastsep import _reference
        right = _reference.{name}
        def wrong(*arguments, **keywords):
            result = np.array(right(*arguments, **keywords))
            result.flat[-1:] *= 1.001
            return result
        _reference.{name} = wrong
        sys.argv = ["fastsep", "selftest"]
        from fastsep.__main__ import main
        sys.exit(main())
    """)
    assert process.returncode == 1, process.stdout + process.stderr


@pytest.mark.parametrize("arguments", [["frobnicate"], ["info", "--frobnicate"], ["selftest", "frobnicate"]])
def test_unknown_commands(tmp_path: Path, arguments: list[str]) -> None:
    process = command(tmp_path, *arguments)
    assert process.returncode == 2
    assert "frobnicate" in process.stderr
    assert "usage" in process.stderr.lower()


def test_help_lists_the_commands(tmp_path: Path) -> None:
    process = command(tmp_path, "--help")
    assert process.returncode == 0
    for name in ("info", "selftest", "bench", "filter", "factorize", "cost"):
        assert name in process.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["sobel"], ["3×3, int64: rank 1, in exact factors", "1  2  1", "-1  0  1", "9 → 6"]),
        (["scharr", "--dimensions", "3", "--axis", "0"], ["3×3×3", "3 10  3", "27 → 9"]),
        (["binomial", "--size", "5"], ["1 4 6 4 1", "25 → 10"]),
        (["box", "--size", "3"], ["1/9", "1 1 1"]),
        (["gaussian", "--sigma", "2"], ["17×17", "every bit is given back", "289 → 34"]),
        (["laplace", "--rank", "2"], ["rank 2, in exact factors", "9 → 12"]),
        (["laplace", "--tolerance", "0.2"], ["rank 1", "0.101 of the kernel's norm"]),
    ],
)
def test_factorize_named_kernels(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    process = command(tmp_path, "factorize", *arguments)
    assert process.returncode == 0, process.stderr
    for part in parts:
        assert part in process.stdout, process.stdout


def test_named_kernels_are_those_that_scipy_filters_with(tmp_path: Path) -> None:
    from scipy import ndimage

    from fastsep._named_kernels import named_kernel

    impulse = np.zeros((25, 25))
    impulse[12, 12] = 1
    for name, response in (
        ("sobel", ndimage.sobel(impulse, axis=0)),
        ("prewitt", ndimage.prewitt(impulse, axis=0)),
        ("laplace", ndimage.laplace(impulse)),
        ("box", ndimage.uniform_filter(impulse, 5)),
        ("gaussian", ndimage.gaussian_filter(impulse, 1.5)),
    ):
        kernel = named_kernel(name, 2, 0, 5, 1.5)
        padded = np.zeros((25, 25))
        margin = (25 - kernel.shape[0]) // 2
        padded[margin : 25 - margin, margin : 25 - margin] = kernel
        # A correlation answers an impulse with the kernel the other way round.
        np.testing.assert_allclose(padded[::-1, ::-1], response, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("k.txt", "# Sobel\n-1 0 1\n-2 0 2\n\n-1 0 1  # last\n"),
        ("k.csv", "-1,0,1\n-2,0,2\n-1,0,1\n"),
        ("k.npy", None),
    ],
)
def test_factorize_reads_files(tmp_path: Path, name: str, text: str | None) -> None:
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    if text is None:
        np.save(tmp_path / name, sobel)
    else:
        (tmp_path / name).write_text(text, encoding="utf-8")
    process = command(tmp_path, "factorize", name, "--json")
    assert process.returncode == 0, process.stderr
    figures = json.loads(process.stdout)
    assert figures == fastsep.factorize(sobel).to_dict()


def test_factorize_a_layer(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 4, 16)).astype(np.float32)
    np.save(tmp_path / "layer.npy", kernel)
    process = command(tmp_path, "factorize", "layer.npy", "--conv", "--multiplier", "4")
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(fastsep.factorize_conv(kernel, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["laplace"], "not separable.*relative error of 0.101.*rank=2 is enough"),
        (["nothing"], "kernel must be a file or one of sobel.*got 'nothing'"),
        (["nothing.npy"], "kernel cannot be read from nothing.npy: .*No such file"),
        (["words.txt"], "kernel cannot be read from words.txt: 'two' is no number"),
        (["ragged.csv"], "kernel cannot be read from ragged.csv: its rows have 2, 1 numbers"),
        (["empty.txt"], "kernel cannot be read from empty.txt: there are no numbers"),
        (["objects.npy"], "kernel cannot be read from objects.npy: .*allow_pickle"),
        (["sobel", "--axis", "2"], "--axis must be from -2 to 1; got 2"),
        (["box", "--size", "0"], "--size must be at least 1; got 0"),
        (["gaussian", "--sigma", "-1"], "--sigma must be greater than 0; got -1"),
        (["sobel", "--rank", "0"], "rank must be None or an int of at least 1; got 0"),
        (["sobel", "--multiplier", "2"], "--multiplier needs --conv"),
        (["sobel", "--size", "3"], "--size goes with binomial, box; got sobel"),
        (["box", "--sigma", "2"], "--sigma goes with gaussian; got box"),
        (["empty.txt", "--axis", "0"], "--axis goes with named kernels; got the file empty.txt"),
        (["sobel", "--dimensions", "40"], "may have 1048576 elements; --dimensions 40 makes more"),
        (
            ["gaussian", "--sigma", "1e308"],
            "may have 1048576 elements; --sigma 1e\\+308 and --dim.* 2 make more",
        ),
        (
            ["gaussian", "--sigma", "0.38", "--dimensions", "9"],
            "may have 1048576 elements; --sigma 0.38 and --dimensions 9 make more",
        ),
        (["sobel", "--dimensions", "1" + "0" * 400], "may have 1048576 elements; --dimensions 1000"),
        (["box", "--size", "2000"], "may have 1048576 elements; --size 2000 and --dimensions 2 make more"),
        (["binomial", "--size", "40"], "int64 does not hold .* of --size 40 and --dimensions 2"),
        (["box", "--size", "1", "--dimensions", "70"], "--dimensions must be at most 32; got 70"),
        (["sobel", "--conv"], "kernel must have dtype float32 or float64"),
    ],
)
def test_factorize_says_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "words.txt").write_text("1 two\n", encoding="utf-8")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    process = command(tmp_path, "factorize", *arguments)
    assert process.returncode == 1
    assert process.stdout == ""
    assert re.search(message, process.stderr), process.stderr
    assert process.stderr.startswith("fastsep factorize: ")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["mobilenet_v1", "568.7 M", "569 M", "efficientnet_b7", "66,347,960"]),
        (["mobilenet_v1"], ["568,740,352", "4,231,976", "569 M", "4.2 M"]),
        (["mobilenet_v1", "--form", "standard"], ["4,866,269,184", "29,294,088"]),
        (["mobilenet_v1", "--layers"], ["depthwise 3×3, 112×112×32 → 112×112×32"]),
        (["12x12x3", "--kernel", "5", "--outputs", "256"], ["1,228,800", "4,800", "49,152"]),
        (["100x100x1", "--padding", "same"], ["90,000", "60,000"]),
        (["8x9x2", "--kernel", "3x1", "--outputs", "4"], ["conv 3×1, 8×9×2 → 6×9×4"]),
    ],
)
def test_cost(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    process = command(tmp_path, "cost", *arguments)
    assert process.returncode == 0, process.stderr
    for part in parts:
        assert part in process.stdout, process.stdout


def test_cost_as_json(tmp_path: Path) -> None:
    every = json.loads(command(tmp_path, "cost", "--json").stdout)
    assert set(every) == set(fastsep.networks())
    one = json.loads(
        command(tmp_path, "cost", "12x12x3", "--kernel", "5", "--outputs", "256", "--json").stdout
    )
    assert one == fastsep.cost((12, 12, 3), 5, 256).to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mobilenet"], "one of .*mobilenet_v1"),
        (["12x"], "image must be positive sizes, such as 12x12x3; got '12x'"),
        (["12x0x3"], "image must be positive sizes, such as 12x12x3; got '12x0x3'"),
        (["12x12x3", "--kernel", "five"], "--kernel must be positive sizes.*got 'five'"),
        (["2x2x3"], "does not fit into an image of 2×2"),
        (
            ["mobilenet_v1", "--kernel", "5"],
            "--kernel goes with an image, such as 12x12x3; got 'mobilenet_v1'",
        ),
        (["mobilenet_v1", "--padding", "valid"], "--padding goes with an image"),
        (["--layers"], "--layers goes with an image or a network; got neither"),
        (["12x12x3", "--layers"], "--form and --layers are for networks"),
        (["efficientnet_b0", "--form", "standard"], "undefined for efficientnet_b0"),
    ],
)
def test_cost_says_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    process = command(tmp_path, "cost", *arguments)
    assert process.returncode == 1
    assert re.search(message, process.stderr), process.stderr


def test_a_narrow_gaussian_of_many_axes_is_one_element() -> None:
    assert named_kernel("gaussian", 25, -1, 5, 0.1).shape == (1,) * 25
