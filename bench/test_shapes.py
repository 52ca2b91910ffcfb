"""The layer tables are read as written, agree with what is published, and mistakes in them are found."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.shapes import (
    SHAPES,
    Layer,
    layers_of_family,
    load_network,
    parse_layer,
    parse_network,
    separable_pairs,
)

NETWORKS = [path.stem for path in sorted(SHAPES.glob("*.txt"))]
ROW = "conv2 depthwise 149 149 32 32 3x3 2 valid - 4"
CHECKED = "@published 1e6 1e3 1%\n@trainable_parameters 1000 nowhere"


def test_the_five_networks_are_there() -> None:
    assert NETWORKS == ["efficientnet_b0", "mobilenet_v1", "mobilenet_v2", "resnet50_pointwise", "xception"]


@pytest.mark.parametrize("name", NETWORKS)
def test_sums_agree_with_the_published_totals(name: str) -> None:
    network = load_network(name)
    assert network.parameters == network.trainable_parameters
    assert network.multiply_adds == pytest.approx(network.published.multiply_adds, rel=0.02)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "efficientnet_b0"])
def test_layers_without_branches_fit_together(name: str) -> None:
    layers = load_network(name).layers
    for first, second in pairwise(layers):
        assert first.out_shape == second.in_shape, (first.name, second.name)


def test_a_row_is_read_as_written() -> None:
    layer = parse_layer(ROW)
    assert layer == Layer("conv2", "depthwise", 149, 149, 32, 32, (3, 3), 2, "valid", None, 4)
    assert layer.out_shape == (74, 74, 32)
    assert layer.parameters == 3 * 3 * 32
    assert layer.multiply_adds == 74 * 74 * 3 * 3 * 32


def test_same_padding_rounds_up_and_channels_multiply() -> None:
    layer = parse_layer("conv1 conv 299 224 3 32 3x5 2 same relu 1")
    assert layer.out_shape == (150, 112, 32)
    assert layer.parameters == 3 * 5 * 3 * 32


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (ROW.replace("depthwise", "dense"), "family must be one of .* not 'dense'"),
        (ROW.replace("valid", "full"), "padding must be one of .* not 'full'"),
        (ROW.replace("-", "tanh"), "activation must be .* not 'tanh'"),
        (ROW.replace("32 32", "32 48"), "multiple of its 32 input channels, not 48"),
        (ROW.replace("depthwise", "pointwise"), "a pointwise kernel is 1x1"),
        (ROW.replace("149 149", "2 149"), "does not fit"),
        (ROW.replace(" 4", " 0"), "must be positive"),
        (ROW + " 7", "12 columns"),
    ],
)
def test_mistakes_in_a_row_are_found(wrong: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_layer(wrong)


def test_mistakes_are_found_with_their_line() -> None:
    with pytest.raises(ValueError, match="net, line 3: "):
        parse_network("net", f"# a comment\n\n{ROW} 7\n{CHECKED}")
    with pytest.raises(ValueError, match="no @published or @trainable_parameters line"):
        parse_network("net", ROW)


def test_sums_that_disagree_are_found() -> None:
    network = parse_network("net", f"{ROW}\n{CHECKED}")
    with pytest.raises(ValueError, match="1,152 parameters, but its published model has 1,000"):
        network.check()
    network = parse_network("net", f"{ROW}\n{CHECKED}".replace(" 1000 ", " 1152 "))
    with pytest.raises(ValueError, match="6,308,352 multiply-adds, but 1,000,000 are published"):
        network.check()


def test_benchmarks_take_each_work_once() -> None:
    depthwise = layers_of_family("depthwise")
    assert len([name for name, _ in depthwise if name == "mobilenet_v1"]) == 9
    # Blocks 3 and 4 of MobileNetV2 expand alike: 24 to 144 channels at 56x56.
    expansions = [str(layer) for name, layer in layers_of_family("pointwise") if name == "mobilenet_v2"]
    assert expansions.count("pointwise 1x1 56x56x24-144") == 1
    pairs = [(str(first), str(second)) for name, first, second in separable_pairs() if name == "mobilenet_v1"]
    assert ("depthwise 3x3 14x14x512", "pointwise 1x1 14x14x512-512") in pairs
    assert len(pairs) == 9
