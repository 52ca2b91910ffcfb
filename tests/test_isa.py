"""Instruction sets: how one is chosen, and what a plan keeps of the choice."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from calls import CASES, FUNCTIONS, PLANS, channels_first, compute
from programs import output_of, run_program

import fastsep
from fastsep import _isa


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = fastsep.get_isa()
    yield
    fastsep.set_isa(before)


def test_generic_is_always_there() -> None:
    assert "generic" in fastsep.available_isas()
    assert fastsep.get_isa() in fastsep.available_isas()


def test_the_best_one_is_chosen_at_import() -> None:
    printed = output_of("import fastsep; print(fastsep.get_isa())", FASTSEP_ISA="")
    assert printed.strip() == fastsep.available_isas()[-1]


def test_environment_chooses(isa: str) -> None:
    assert output_of("import fastsep; print(fastsep.get_isa())", FASTSEP_ISA=isa).strip() == isa


def test_an_unknown_name_in_the_environment_is_an_error() -> None:
    process = run_program("import fastsep; fastsep.get_isa()", FASTSEP_ISA="mmx")
    assert process.returncode != 0
    last = process.stderr.strip().splitlines()[-1]
    assert "FASTSEP_ISA" in last
    assert "'mmx'" in last
    for name in fastsep.available_isas():
        assert name in last


def test_set_isa(isa: str) -> None:
    assert fastsep.get_isa() == isa


@pytest.mark.parametrize("name", ["mmx", "", "AVX2", "generic "])
def test_unknown_names(name: str) -> None:
    before = fastsep.get_isa()
    with pytest.raises(ValueError, match=rf"{name!r}.*{', '.join(fastsep.available_isas())}"):
        fastsep.set_isa(name)
    assert fastsep.get_isa() == before


@pytest.mark.parametrize("name", [None, 2, b"generic"])
def test_names_are_strings(name: Any) -> None:
    with pytest.raises(TypeError, match="str"):
        fastsep.set_isa(name)


def slowest_and_fastest() -> tuple[str, str]:
    names = fastsep.available_isas()
    return names[0], names[-1]


@pytest.mark.parametrize("family", PLANS)
def test_a_plan_keeps_the_table_it_was_packed_for(family: str) -> None:
    """Generic kernels round every product and an FMA does not, so a switch would show in the bits."""
    slow, fast = slowest_and_fastest()
    case = CASES[family](size=20)
    fastsep.set_isa(slow)
    plan = case.plan(PLANS[family])
    expected = case.run(plan)
    fastsep.set_isa(fast)
    assert_same_bits(case.run(plan), expected)
    faster = case.plan(PLANS[family])
    other = case.run(faster)
    assert np.array_equal(other, expected) == (slow == fast)
    fastsep.set_isa(slow)
    assert_same_bits(case.run(faster), other)
    assert_same_bits(case.run(plan), expected)


FUSED = [name for name in fastsep.available_isas() if name in ("avx2", "split", "avx512")]


@pytest.mark.skipif(len(FUSED) < 2, reason="one instruction set with fused multiply-add")
@pytest.mark.parametrize("activation", [None, "relu6", "sigmoid", "silu", "hard_swish", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_with_fused_multiply_add_give_the_same_bits(dtype: Any, activation: str | None) -> None:
    """So a plan may take half vectors where they are faster: 16, 24 and 40 outputs are such."""
    random = np.random.default_rng(5)
    x = (random.standard_normal((1, 9, 11, 24)) * 4).astype(dtype)
    depthwise = random.standard_normal((3, 3, 24, 1)).astype(dtype)
    outputs = []
    for name in FUSED:
        fastsep.set_isa(name)
        between = fastsep.depthwise_conv(x, depthwise, padding="same", activation=activation)
        last = [
            fastsep.pointwise_conv(
                between,
                np.random.default_rng(count).standard_normal((24, count)).astype(dtype),
                activation=activation,
            )
            for count in (1, 16, 24, 40, 70)
        ]
        outputs.append(np.concatenate([between, *last], axis=-1))
    for other in outputs[1:]:
        assert_same_bits(other, outputs[0])


@pytest.mark.parametrize("family", FUNCTIONS)
def test_functions_use_the_present_choice(isa: str, family: str) -> None:
    case = CASES[family](size=20)
    assert_same_bits(case.call(FUNCTIONS[family]), compute(family, case))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", PLANS)
def test_pickle_round_trip(isa: str, family: str, dtype: Any) -> None:
    case = CASES[family](dtype)
    plan = case.plan(PLANS[family])
    expected = case.run(plan)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(plan, protocol))
        assert type(again) is type(plan)
        assert repr(again) == repr(plan)
        assert_same_bits(case.run(again), expected)
    for duplicate in (copy.copy(plan), copy.deepcopy(plan)):
        assert_same_bits(case.run(duplicate), expected)


@pytest.mark.parametrize("family", PLANS)
def test_a_pickle_is_packed_anew_where_it_is_loaded(family: str) -> None:
    """It holds weights, not panels: under another instruction set it computes like a plan made there."""
    slow, fast = slowest_and_fastest()
    case = CASES[family]()
    fastsep.set_isa(slow)
    data = pickle.dumps(case.plan(PLANS[family]))
    fastsep.set_isa(fast)
    assert_same_bits(case.run(pickle.loads(data)), case.run(case.plan(PLANS[family])))


def test_a_pickle_loads_in_another_process(tmp_path: Any) -> None:
    case = CASES["separable"]()
    plan = case.plan(fastsep.SeparableConv)
    inputs = case.operands["inputs"]
    (tmp_path / "plan").write_bytes(pickle.dumps((plan, inputs, plan(inputs))))
    program = f"""
        import pickle
        from bounds import assert_same_bits
        plan, inputs, expected = pickle.loads(open({str(tmp_path / "plan")!r}, "rb").read())
        assert_same_bits(plan(inputs), expected)
    """
    output_of(program)


@pytest.mark.parametrize("family", PLANS)
def test_plans_are_immutable(family: str) -> None:
    plan = CASES[family]().plan(PLANS[family])
    visible = [name for name in dir(plan) if not name.startswith("__")]
    for name in (*visible, "strides", "threads", "something_new"):
        with pytest.raises(AttributeError):
            setattr(plan, name, None)
        with pytest.raises(AttributeError):
            delattr(plan, name)


@pytest.mark.parametrize("family", PLANS)
def test_plans_print_themselves(family: str) -> None:
    case = CASES[family](channels=11)
    plan = case.plan(PLANS[family])
    assert type(plan).__name__ in repr(plan)
    assert "11" in repr(plan)
    assert "float32" in repr(plan)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", PLANS)
def test_plans_print_how_they_compute(family: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, the same whatever was computed meanwhile, and without measuring anything."""

    def measure(*arguments: object) -> None:
        raise AssertionError("repr measures the machine")

    monkeypatch.setattr(fastsep.roofline, "measure", measure)
    fastsep.roofline.remembered.cache_clear()
    case = CASES[family](dtype, channels=45)
    plan = case.plan(PLANS[family])
    text = repr(plan)
    what, choice = text.rsplit("; then ", 1)[0].rsplit("; ", 1)
    assert what.startswith(f"{type(plan).__name__}(")
    assert plan._isa in what
    assert re.search(r"(about|at least) \d+ pixels", choice)
    fused = {
        "separable": "depthwise → pointwise fused",
        "inverted residual": "expand → depthwise → project fused",
        "squeeze and excite": "expand → depthwise → sums fused",
    }
    assert ("fused" in choice) == (family in fused)
    assert fused.get(family, "") in choice
    assert ("rows in pairs" in choice) == (family == "depthwise" or family in fused)
    # One of the register tiles there are: of a part whose outputs are few, those with half vectors as well.
    tiles = {
        f"{pixels} × {vectors * tile['lanes']} in registers"
        for tile in (_isa.register_tiles(name)[np.dtype(dtype).name] for name in fastsep.available_isas())
        for vectors, pixels in tile["panel"].items()
    }
    printed = set(re.findall(r"\d+ × \d+ in registers", text))
    assert printed <= tiles
    assert bool(printed) == (family != "depthwise")
    assert "\n" not in text
    case.run(plan)
    assert repr(plan) == text


def test_plans_print_which_rows_share_their_input() -> None:
    kernel = np.ones((3, 3, 8, 1), np.float32)
    for strides, words in ((1, "rows in pairs"), (2, "rows in pairs"), (3, "rows one by one")):
        assert words in repr(fastsep.DepthwiseConv(kernel, strides))
        assert words in repr(fastsep.SeparableConv(kernel, np.ones((8, 8), np.float32), strides))


def test_a_standard_convolution_prints_what_it_runs_as() -> None:
    """With one group; with more, which inputs alone can tell, `describe` says."""
    pointwise = fastsep.Conv(np.ones((1, 1, 16, 24), np.float32))
    _, alike = repr(fastsep.PointwiseConv(np.ones((16, 24), np.float32))).rsplit("; ", 1)
    assert repr(pointwise).endswith(f"; one group (runs as a pointwise convolution): {alike}")
    depthwise = fastsep.Conv(np.ones((3, 3, 1, 8), np.float32))
    text = repr(depthwise)
    assert "; one group: about" in text
    assert "depthwise" in depthwise.describe((1, 9, 9, 8)).fusion
    assert repr(depthwise) == text


@pytest.mark.parametrize("family", ["conv", "pointwise", "separable"])
def test_what_plans_print_is_the_tile_of_a_long_row(family: str) -> None:
    """On one thread, where a row is several whole tiles."""
    plan = CASES[family](channels=45).plan(PLANS[family])
    found = re.search(r"about (\d+) pixels a tile", repr(plan))
    assert found
    pixels = int(found[1])
    tile = plan.describe((1, 1, 4 * pixels, 45), threads=1).tile
    assert re.search(rf"\b{pixels} (pixels|columns) ×", tile)


def test_what_depthwise_prints_is_the_work_of_a_tile() -> None:
    plan = fastsep.DepthwiseConv(np.ones((3, 3, 300, 1), np.float32), padding="same")
    found = re.search(r"about (\d+) pixels × (\d+) channels a tile", repr(plan))
    assert found
    pixels, channels = map(int, found.groups())
    tile = plan.describe((1, 1000, 20, 300), threads=1).tile
    rows, columns, of = map(int, re.findall(r"\d+", tile))
    assert (columns, of) == (20, channels)
    # In whole pairs of rows.
    assert abs(rows * columns - pixels) <= 2 * columns


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("family", PLANS)
def test_describe(family: str, data_format: str) -> None:
    case = CASES[family](size=56)
    if data_format == "channels_first":
        case = channels_first(case)
    plan = case.plan(PLANS[family])
    description = plan.describe(case.operands["inputs"].shape)
    assert tuple(description.output_shape) == case.run(plan).shape
    # Every weight is multiplied and added once for every output pixel that it belongs to.
    kernels = [array for name, array in case.operands.items() if "kernel" in name]
    assert description.flops >= 2 * 2 * 56 * 57 * sum(kernel.size for kernel in kernels)
    smallest = (
        case.operands["inputs"].nbytes + case.run(plan).nbytes + sum(kernel.nbytes for kernel in kernels)
    )
    assert description.bytes >= smallest
    assert description.scratch_bytes >= 0
    assert description.roofline_seconds > 0
    table = str(description)
    for name in (
        "output_shape",
        "tile",
        "fusion",
        "threads",
        "flops",
        "bytes",
        "scratch_bytes",
        "roofline_seconds",
    ):
        assert name in description.to_dict()
        assert description.to_dict()[name] == getattr(description, name)
    assert str(description.output_shape[-1]) in table
    assert len(table.splitlines()) >= 5


# ---- immutability -----------------------------------------------------------------------------------------


def test_describe_measures_with_the_instruction_set_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = fastsep.roofline.measure

    def measure(threads: int, dtype: str, isa: str) -> fastsep.roofline.Roofline:
        asked.append(isa)
        return real(threads, dtype, isa)

    monkeypatch.setattr(fastsep.roofline, "measure", measure)
    fastsep.roofline.remembered.cache_clear()
    chosen = fastsep.get_isa()
    try:
        fastsep.set_isa("generic")
        plan = fastsep.DepthwiseConv(np.ones((3, 3, 8, 1), np.float32))
        fastsep.set_isa(fastsep.available_isas()[-1])
        plan.describe((1, 9, 9, 8), threads=1)
    finally:
        fastsep.set_isa(chosen)
        fastsep.roofline.remembered.cache_clear()
    assert asked == ["generic"]


def test_lists_given_to_a_plan_are_not_kept() -> None:
    strides, padding = [2, 2], [[1, 1], [1, 1]]
    kernel = np.ones((3, 3, 4, 1), np.float32)
    plan = fastsep.DepthwiseConv(kernel, strides, padding)
    text, x = repr(plan), np.ones((1, 8, 8, 4), np.float32)
    strides[:] = [1, 1]
    padding[0][0] = 5
    assert repr(plan) == text
    assert pickle.loads(pickle.dumps(plan))(x).shape == plan(x).shape == (1, 4, 4, 4)


def test_a_plan_is_made_once() -> None:
    plan = fastsep.PointwiseConv(np.ones((4, 4), np.float32))
    with pytest.raises(AttributeError, match="immutable"):
        plan.__init__(np.zeros((4, 4), np.float32))  # type: ignore[misc]


def test_a_copy_of_a_plan_is_the_plan() -> None:
    plan = fastsep.PointwiseConv(np.ones((4, 4), np.float32))
    assert copy.copy(plan) is plan
    assert copy.deepcopy(plan) is plan
