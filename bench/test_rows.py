"""The rows are every layer once, in the right family; their blocks compute what their labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.blocks import Block, Gate, Stage
from bench.families import FAMILIES, FILTER_FAMILIES, L3_BYTES, NETWORK_FAMILIES, family_of, unfused_bytes
from bench.peers.form import pads_of
from bench.rows import DESIGN_TABLE, Row, all_rows, block_of_row, merge, same_work
from bench.shapes import Layer, load_networks, parse_layer
from bench.variants import naive, numpy_matmul, ours, single_plans, unfused

ROWS = all_rows()


def labelled(label: str) -> Row:
    """Return the row of this label."""
    (row,) = [row for row in ROWS if row.label == label]
    return row


def test_no_two_rows_have_one_label() -> None:
    assert len({row.label for row in ROWS}) == len(ROWS)


def test_every_layer_of_every_network_is_a_row_that_names_the_network() -> None:
    single = {same_work(row.layers[0]): row.networks for row in ROWS if len(row.layers) == 1}
    layers = [(network.name, layer) for network in load_networks() for layer in network.layers]
    assert [(name, layer.name) for name, layer in layers if name not in single[same_work(layer)]] == []


def test_every_family_has_rows_and_thresholds_name_rows() -> None:
    # No network here has a standard convolution other than 3x3.
    elsewhere = FILTER_FAMILIES.keys() | NETWORK_FAMILIES.keys() | {"standard other"}
    assert {row.family for row in ROWS} == FAMILIES.keys() - elsewhere
    labels = {row.label for row in ROWS if row.family == "separable beyond L3"}
    assert {label for label, _, _ in FAMILIES["separable beyond L3"].rows} == labels


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("x pointwise 56 56 128 64 1x1 1 same - 1", "pointwise K>=128"),
        ("x pointwise 56 56 127 64 1x1 1 same - 1", "pointwise 33<=K<=127"),
        ("x pointwise 56 56 33 64 1x1 1 same - 1", "pointwise 33<=K<=127"),
        ("x pointwise 56 56 32 64 1x1 1 same - 1", "pointwise K<=32"),
        ("x depthwise 56 56 32 32 3x3 1 same - 1", "depthwise 3x3"),
        ("x depthwise 56 56 32 32 3x3 2 same - 1", "depthwise stride 2 or dilated"),
        ("x depthwise 56 56 32 32 5x5 2 same - 1", "depthwise stride 2 or dilated"),
        ("x depthwise 56 56 32 32 5x5 1 same - 1", "depthwise 5x5 and larger"),
        ("x conv 56 56 32 32 3x3 2 same - 1", "standard 3x3"),
        ("x conv 56 56 32 32 5x5 1 same - 1", "standard other"),
    ],
)
def test_a_layer_falls_into_its_family(text: str, family: str) -> None:
    assert family_of((parse_layer(text),)) == family


def test_a_dilated_layer_falls_into_its_family() -> None:
    layer = replace(parse_layer("x depthwise 56 56 32 32 3x3 1 same - 1"), dilation=2)
    assert family_of((layer,)) == "depthwise stride 2 or dilated"
    assert str(layer) == "depthwise 3x3 dilation 2 56x56x32"


def test_pairs_and_blocks_fall_into_their_families() -> None:
    assert labelled("separable 3x3 56x56x128-128").family == "separable in cache"
    assert labelled("inverted residual 3x3 56x56x24-144-24 residual").family == "inverted residual"
    gated = labelled("inverted residual 3x3 112x112x32-16 squeeze-excite silu")
    assert gated.family == "inverted residual"
    assert gated.squeezed == 8
    batch = labelled("separable 3x3 16x112x112x32-64")
    assert unfused_bytes(batch.layers, 16) == 4 * 16 * 112 * 112 * (32 + 32 + 64) > L3_BYTES


def test_narrow_separable_rows_in_cache_are_held_against_their_parts() -> None:
    held = {row.label for row in ROWS if row.beside_its_parts}
    assert {"separable 3x3 112x112x32-64", "separable 3x3/2 112x112x64-128"} <= held
    assert "separable 3x3 56x56x128-128" not in held
    assert "separable 3x3 512x512x32-32" not in held
    # The others of the family have the channels of which the share of the peak is asked.
    family = {row.label: row.layers[0].in_channels for row in ROWS if row.family == "separable in cache"}
    assert held == {label for label, channels in family.items() if channels < 128}


def test_the_design_table_and_the_named_rows_are_there() -> None:
    named = {row.label for row in ROWS if DESIGN_TABLE in row.networks}
    assert named == {
        "pointwise 1x1 112x112x32-64",
        "pointwise 1x1 112x112x16-96",
        "pointwise 1x1 56x56x144-24",
        "pointwise 1x1 28x28x256-256",
        "pointwise 1x1 7x7x1024-1024",
        "pointwise 1x1 19x19x728-728",
        "depthwise 3x3 112x112x32",
        "depthwise 3x3/2 112x112x64",
        "depthwise 3x3 14x14x512",
        "depthwise 3x3 7x7x1024",
        "depthwise 5x5 28x28x240",
        "depthwise 7x7 14x14x384",
        "depthwise 3x3 dilation 2 28x28x256",
        "separable 3x3 56x56x128-128",
        "separable 3x3 512x512x32-32",
        "separable 3x3 1024x1024x16-16",
        "separable 3x3 16x112x112x32-64",
        "conv 3x3/2 224x224x3-32",
        "conv 3x3 56x56x64-64",
        "conv 3x3 14x14x256-256",
        "inverted residual 3x3 56x56x24-144-24 residual",
        "inverted residual 3x3 14x14x96-576-96 residual",
    }


def test_networks_with_and_without_squeeze_and_excite_have_their_blocks() -> None:
    blocks = [row for row in ROWS if row.family == "inverted residual"]
    assert [row.networks[0] for row in blocks].count("mobilenet_v2") == 11
    assert [row.networks[0] for row in blocks].count("efficientnet_b0") == 12
    assert {bool(row.squeezed) for row in blocks if "efficientnet_b0" in row.networks} == {True}
    assert {bool(row.squeezed) for row in blocks if "mobilenet_v2" in row.networks} == {False}


def test_the_same_work_in_two_networks_is_one_row_unless_its_activation_costs() -> None:
    layer = parse_layer("x depthwise 56 56 32 32 3x3 1 same relu6 1")
    twin = replace(layer, name="y", activation=None, count=3)
    silu = replace(layer, activation="silu")
    merged = merge([Row((layer,), ("a",)), Row((twin,), ("b",)), Row((silu,), ("b",))])
    assert merged == [Row((layer,), ("a", "b")), Row((silu,), ("b",))]


def test_a_batch_holds_images_that_differ() -> None:
    pair = labelled("separable 3x3 56x56x128-128").layers
    small = tuple(replace(layer, in_height=6, in_width=6) for layer in pair)
    block = block_of_row(Row(small, ("a",), batch=3))
    assert block.x.shape == (3, 6, 6, 128)
    assert not np.array_equal(block.x[0], block.x[1])
    assert block.multiply_adds == 3 * 36 * (9 * 128 + 128 * 128)


def small_block(stages: tuple[Stage, ...], channels: int, gate: Gate | None = None) -> Block:
    """Return stages on a random 9x8 image."""
    random = np.random.default_rng(7)
    x = random.normal(size=(2, 9, 8, channels)).astype(np.float32)
    return Block(x, stages, gate=gate)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_dilated_stage_is_the_same_in_all_variants(padding: str) -> None:
    kernel = np.random.default_rng(3).normal(size=(3, 3, 5, 1)).astype(np.float32)
    block = small_block((Stage("depthwise", kernel, padding=padding, dilation=2),), 5)  # type: ignore[arg-type]
    expected = numpy_matmul(block.astype(np.float64), 1)()
    assert expected.shape == block.out_shapes[0]
    # The definition, at one pixel that no padding reaches.
    offset = 2 if padding == "valid" else 0
    y, x = 4 - offset, 3 - offset
    taps = block.x[0, 2:7:2, 1:6:2].astype(np.float64)
    np.testing.assert_allclose(expected[0, y, x], (taps * kernel[..., 0]).sum((0, 1)), rtol=1e-6)
    for variant in (naive, ours):
        np.testing.assert_allclose(variant(block, 1)(), expected, rtol=0, atol=1e-5)


def test_single_plans_read_what_the_one_before_wrote_and_compute_what_one_plan_does() -> None:
    random = np.random.default_rng(11)
    kernel = random.normal(size=(3, 3, 6, 1)).astype(np.float32)
    depthwise = Stage("depthwise", kernel, stride=2, activation="relu")
    pointwise = Stage("pointwise", random.normal(size=(6, 5)).astype(np.float32), activation="relu6")
    block = small_block((depthwise, pointwise), 6)
    first, second = single_plans(block, 1)
    np.testing.assert_array_equal(first(), ours(small_block((depthwise,), 6), 1)())
    expected = ours(block, 1)()
    np.testing.assert_array_equal(second(), expected)
    np.testing.assert_array_equal(unfused(block, 1)(), expected)


def test_a_gate_scales_each_channel_of_each_image() -> None:
    random = np.random.default_rng(5)
    depthwise = Stage("depthwise", random.normal(size=(3, 3, 6, 1)).astype(np.float32), activation="silu")
    project = Stage("pointwise", random.normal(size=(6, 4)).astype(np.float32))
    reduce, expand = random.normal(size=(6, 2)), random.normal(size=(2, 6))
    gate = Gate(reduce.astype(np.float32), expand.astype(np.float32), "silu")
    block = small_block((depthwise, project), 6, gate)
    maps = numpy_matmul(small_block((depthwise,), 6), 1)().astype(np.float64)
    squeezed = maps.mean((1, 2)) @ reduce
    scale = 1 / (1 + np.exp(-(squeezed / (1 + np.exp(-squeezed))) @ expand))
    expected = (maps * scale[:, np.newaxis, np.newaxis]) @ project.kernel
    np.testing.assert_allclose(numpy_matmul(block, 1)(), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(naive(block, 1)(), expected, rtol=0, atol=1e-4)
    assert block.parameters == 9 * 6 + 6 * 4 + 2 * 12
    assert block.multiply_adds == 2 * (9 * 8 * (9 * 6 + 6 * 4) + 2 * 12)


@pytest.mark.parametrize(
    ("layer", "pads"),
    [
        ("x depthwise 8 9 4 4 3x3 2 same - 1", ((0, 1), (1, 1))),
        ("x conv 8 9 4 4 5x3 1 same - 1", ((2, 2), (1, 1))),
        ("x conv 8 9 4 4 5x3 1 valid - 1", ((0, 0), (0, 0))),
        ("x pointwise 8 9 4 4 1x1 2 same - 1", ((0, 0), (0, 0))),
    ],
)
def test_pads_are_tensorflows(layer: str, pads: tuple[tuple[int, int], tuple[int, int]]) -> None:
    parsed: Layer = parse_layer(layer)
    stages, _ = Row((parsed,), ("a",)).weights()
    assert pads_of(stages[0], (1, *parsed.in_shape)) == pads
