"""Bad arguments: the right exception, and a message that says which argument, what it was, what is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from calls import CASES, FUNCTIONS, PLANS, compute
from strategies import Case

import fastsep

LAYERS = ["conv", "depthwise", "separable", "inverted residual"]
FAMILIES = [*LAYERS, "pointwise"]

KERNELS = {
    "conv": ["kernel"],
    "depthwise": ["kernel"],
    "pointwise": ["kernel"],
    "separable": ["depthwise_kernel", "pointwise_kernel"],
    "inverted residual": ["expand_kernel", "depthwise_kernel", "project_kernel"],
}
BIASES = {
    "conv": ["bias"],
    "depthwise": ["bias"],
    "pointwise": ["bias"],
    "separable": ["depthwise_bias", "bias"],
    "inverted residual": ["expand_bias", "depthwise_bias", "bias"],
}
ACTIVATION_NAMES = {family: ["activation"] for family in FAMILIES} | {
    "separable": ["depthwise_activation", "activation"]
}


def refused(error: type[Exception], action: Callable[[], Any], *fragments: str) -> None:
    """The action raises exactly this error, and its message holds every fragment, in any order."""
    with pytest.raises(error) as caught:
        action()
    assert caught.type is error
    message = str(caught.value)
    for fragment in fragments:
        assert re.search(fragment, message), f"{fragment!r} is not in {message!r}"


def refused_option(family: str, name: str, value: Any, error: type[Exception], *fragments: str) -> None:
    """Function and plan both refuse an option, the plan when it is made."""
    case = CASES[family]()
    options = case.options | {name: value}
    if name == "residual":
        raise ValueError("a residual is an operand")
    wrong = Case(case.operands, options)
    refused(error, lambda: wrong.plan(PLANS[family]), *fragments)
    if family in FUNCTIONS:
        refused(error, lambda: wrong.call(FUNCTIONS[family]), *fragments)


def refused_operand(family: str, name: str, value: Any, error: type[Exception], *fragments: str) -> None:
    """Function and plan both refuse an operand, the plan in the constructor or in the call."""
    case = CASES[family]()
    wrong = Case(case.operands | {name: value}, case.options)
    refused(error, lambda: compute(family, wrong), *fragments)
    if family in FUNCTIONS:
        refused(error, lambda: wrong.call(FUNCTIONS[family]), *fragments)


def quoted(value: Any) -> str:
    return re.escape(repr(value))


# ---- types of arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_operands_are_numpy_arrays(family: str) -> None:
    for name, array in CASES[family]().operands.items():
        refused_operand(family, name, array.tolist(), TypeError, name, r"numpy\.ndarray|np\.ndarray", "list")
        refused_operand(family, name, memoryview(array), TypeError, name, r"ndarray", "memoryview")
        if name == "inputs" or ("kernel" in name and name != "expand_kernel"):
            refused_operand(family, name, None, TypeError, name, "ndarray", "None")


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_types_are_named(family: str) -> None:
    for name, array in CASES[family](np.float32).operands.items():
        refused_operand(family, name, array.astype(np.float64), TypeError, name, "float32", "float64")


@pytest.mark.parametrize(
    "dtype", [np.int32, np.uint8, np.float16, np.complex64, np.longdouble, bool, object, "U3"]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_other_types_are_refused(family: str, dtype: Any) -> None:
    for name, array in CASES[family]().operands.items():
        name_of_type = re.escape(np.dtype(dtype).name) + "|" + re.escape(str(np.dtype(dtype)))
        refused_operand(family, name, array.astype(dtype), TypeError, name, name_of_type, "float32")


@pytest.mark.parametrize("dtype", [np.int32, np.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_other_types_are_refused_even_if_all_agree(family: str, dtype: Any) -> None:
    case = CASES[family]()
    wrong = Case({name: array.astype(dtype) for name, array in case.operands.items()}, case.options)
    refused(TypeError, lambda: compute(family, wrong), np.dtype(dtype).name, "float32", "float64")


# ---- shapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_channels_must_match(family: str) -> None:
    inputs = CASES[family]().operands["inputs"]
    shape = (*inputs.shape[:-1], inputs.shape[-1] + 1)
    wrong = np.zeros(shape, np.float32)
    refused_operand(family, "inputs", wrong, ValueError, "channels", str(shape[-1]), str(inputs.shape[-1]))


@pytest.mark.parametrize("family", FAMILIES)
def test_channels_must_match_in_channels_first(family: str) -> None:
    """A channels_last image where channels_first was promised: its axis 1 is not the kernel's."""
    case = CASES[family](data_format="channels_first")
    refused(ValueError, lambda: compute(family, case), "channels", str(case.operands["inputs"].shape[1]))


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("separable", "pointwise_kernel", (14, 18)),
        ("inverted residual", "depthwise_kernel", (3, 3, 44, 1)),
        ("inverted residual", "project_kernel", (46, 10)),
    ],
)
def test_kernels_must_match_each_other(family: str, name: str, shape: tuple[int, ...]) -> None:
    refused_operand(family, name, np.zeros(shape, np.float32), ValueError, name, str(shape[-2]))


def test_groups_must_divide() -> None:
    inputs = np.zeros((1, 5, 5, 12), np.float32)
    for kernel, fragment in [((3, 3, 5, 10), r"\b5\b"), ((3, 3, 4, 10), r"\b10\b")]:
        wrong = np.zeros(kernel, np.float32)
        fragments = ("kernel", "group", r"\b12\b|\b3\b", fragment)
        refused(ValueError, lambda wrong=wrong: fastsep.conv(inputs, wrong), *fragments)


@pytest.mark.parametrize("family", FAMILIES)
def test_number_of_axes_of_the_inputs(family: str) -> None:
    inputs = CASES[family]().operands["inputs"]
    if family != "pointwise":
        refused_operand(family, "inputs", inputs[0], ValueError, "inputs", r"\b3\b|\(9, 10", r"\b4\b|2-D")
        refused_operand(
            family, "inputs", inputs[np.newaxis], ValueError, "inputs", r"\b5\b|\(1, 2, 9", r"\b4\b|2-D"
        )
    refused_operand(family, "inputs", np.float32(1), TypeError, "inputs", "ndarray", "float32")
    refused_operand(family, "inputs", np.zeros((), np.float32), ValueError, "inputs", r"\b0\b|\(\)")


@pytest.mark.parametrize("family", FAMILIES)
def test_number_of_axes_of_the_kernels(family: str) -> None:
    case = CASES[family]()
    for name in KERNELS[family]:
        for wrong in (
            case.operands[name].ravel(),
            case.operands[name].reshape((1,) * 6 + case.operands[name].shape),
        ):
            refused_operand(
                family, name, wrong, ValueError, name, str(wrong.ndim) + "|" + re.escape(str(wrong.shape))
            )


def test_a_pointwise_kernel_has_one_tap() -> None:
    inputs = np.zeros((1, 5, 5, 4), np.float32)
    refused(
        ValueError,
        lambda: fastsep.pointwise_conv(inputs, np.zeros((3, 3, 4, 6), np.float32)),
        "kernel",
        r"\(3, 3, 4, 6\)",
    )
    refused(
        ValueError,
        lambda: fastsep.separable_conv(
            inputs, np.zeros((3, 3, 4, 1), np.float32), np.zeros((1, 3, 4, 6), np.float32)
        ),
        "pointwise_kernel",
        r"\(1, 3, 4, 6\)",
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_are_not_empty(family: str) -> None:
    """Neither taps nor channels nor filters may be missing."""
    case = CASES[family]()
    for name in KERNELS[family]:
        for axis in range(case.operands[name].ndim):
            shape = list(case.operands[name].shape)
            shape[axis] = 0
            wrong = np.zeros(shape, np.float32)
            refused_operand(family, name, wrong, ValueError, name, re.escape(str(tuple(shape))))


@pytest.mark.parametrize(
    ("data_format", "shape"), [("channels_last", (2, 9, 10, 0)), ("channels_first", (2, 0, 9, 10))]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_images_without_channels(family: str, data_format: str, shape: tuple[int, ...]) -> None:
    case = CASES[family](data_format=data_format)
    wrong = Case(case.operands | {"inputs": np.zeros(shape, np.float32)}, case.options)
    wrong.operands.pop("residual", None)
    refused(ValueError, lambda: compute(family, wrong), "inputs", r"\b0\b", "channels")


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_of_the_biases(family: str) -> None:
    for name in BIASES[family]:
        bias = CASES[family]().operands[name]
        for wrong in (bias[:-1], bias[np.newaxis], np.concatenate([bias, bias]), bias[:1]):
            fragments = (rf"\b{name}\b", re.escape(str(wrong.shape)), re.escape(str(bias.shape)))
            refused_operand(family, name, wrong, ValueError, *fragments)


@pytest.mark.parametrize("family", FUNCTIONS)
def test_shape_of_the_residual(family: str) -> None:
    """It is not broadcast: neither a bias nor an image of another size is taken."""
    residual = CASES[family]().operands["residual"]
    for wrong in (residual[:1], residual[..., :-1], residual[0], residual[:, :1], residual[0, 0, 0]):
        fragments = ("residual", re.escape(str(wrong.shape)), re.escape(str(residual.shape)))
        refused_operand(family, "residual", wrong, ValueError, *fragments)


@pytest.mark.parametrize("family", ["inverted residual", "squeeze and excite"])
@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"strides": 2}, r"strides=1.*got strides=2"),
        ({"strides": (1, 2)}, r"strides=1.*got strides=\(1, 2\)"),
        ({"strides": 2, "padding": "valid"}, r"strides=1.*got strides=2"),
        ({"padding": "valid"}, r'padding="same".*\(2, 2\).*got padding=\'valid\''),
        ({"padding": 0}, r'padding="same".*got padding=0'),
        ({"padding": ((1, 1), (1, 2))}, r"got padding=\(\(1, 1\), \(1, 2\)\)"),
        ({"padding": 1, "dilation_rate": (1, 2)}, r"\(2, 4\).*got padding=1"),
    ],
)
def test_residual_of_a_block_needs_outputs_of_the_inputs_size(
    family: str, options: dict[str, Any], got: str
) -> None:
    """Known without an input, so it is said before there is one."""
    case = CASES[family](**options)
    refused(ValueError, lambda: case.plan(PLANS[family]), "residual=True", got)
    without = Case(case.operands, case.options | {"residual": False})
    assert without.plan(PLANS[family]) is not None


@pytest.mark.parametrize("padding", ["same", "same_lower", 1, ((2, 0), (1, 1)), ((0, 2), (0, 2))])
def test_residual_of_a_block_with_padding_that_keeps_the_size(padding: Any) -> None:
    case = CASES["inverted residual"](padding=padding)
    assert compute("inverted residual", case).shape == case.operands["inputs"].shape


def test_residual_of_a_block_needs_as_many_channels() -> None:
    case = CASES["inverted residual"]()
    case.operands["project_kernel"] = case.operands["project_kernel"][:, :-1]
    case.operands["bias"] = case.operands["bias"][:-1]
    refused(ValueError, lambda: case.plan(fastsep.InvertedResidual), "residual", r"\b9\b", r"\b10\b")


@pytest.mark.parametrize("residual", [1, None, "yes", np.zeros((1, 2))])
def test_residual_of_a_block_is_a_bool(residual: Any) -> None:
    case = CASES["inverted residual"]()
    wrong = Case(case.operands, case.options | {"residual": residual})
    refused(TypeError, lambda: wrong.plan(fastsep.InvertedResidual), "residual", "bool|True or False")


# ---- out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_out(family: str) -> None:
    case = CASES[family]()
    expected = compute(family, case)
    read_only = np.empty_like(expected)
    read_only.flags.writeable = False
    right = re.escape(str(expected.shape))
    for out, error, fragments in [
        (expected[:1], ValueError, (re.escape(str(expected[:1].shape)), right)),
        (expected[..., :-1], ValueError, (re.escape(str(expected[..., :-1].shape)), right)),
        (expected.ravel(), ValueError, (re.escape(str(expected.ravel().shape)), right)),
        (expected.astype(np.float64), TypeError, ("float64", "float32")),
        (expected.astype(np.int32), TypeError, ("int32", "float32")),
        (read_only, ValueError, ("read-only|writ",)),
        (expected.astype(expected.dtype.newbyteorder()), TypeError, (">f4|<f4", "float32")),
        (np.ma.masked_array(expected), TypeError, ("MaskedArray", "ndarray")),
        (np.broadcast_to(expected[:1], expected.shape), ValueError, ("read-only|writ|overlap",)),
        (
            np.lib.stride_tricks.as_strided(expected, strides=(0, *expected.strides[1:])),
            ValueError,
            ("overlap",),
        ),
        (expected.tolist(), TypeError, ("list", "ndarray")),
        (memoryview(expected), TypeError, ("memoryview", "ndarray")),
    ]:
        refused(error, lambda out=out: compute(family, case, out=out), r"\bout\b", *fragments)
        if family in FUNCTIONS:
            refused(error, lambda out=out: case.call(FUNCTIONS[family], out=out), r"\bout\b", *fragments)


# ---- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["SAME", "full", "", "same_upper"])
@pytest.mark.parametrize("family", LAYERS)
def test_names_of_paddings(family: str, padding: str) -> None:
    refused_option(
        family,
        "padding",
        padding,
        ValueError,
        "padding",
        quoted(padding),
        "['\"]valid",
        "['\"]same['\"]",
        "same_lower",
    )


@pytest.mark.parametrize("padding", [(1, 1), [2, 3], (0, 0)])
@pytest.mark.parametrize("family", LAYERS)
def test_flat_pairs_show_the_right_form(family: str, padding: Any) -> None:
    """(1, 1) could mean either axes or ends; the message says how to write it."""
    first, second = padding
    pair = rf"\(\({first}, {first}\), \({second}, {second}\)\)"
    refused_option(family, "padding", padding, ValueError, "padding", quoted(padding), pair)


@pytest.mark.parametrize(
    ("padding", "error"),
    [
        (-1, ValueError),
        (((0, -1), (0, 0)), ValueError),
        (((1, 1),), ValueError),
        (((1, 1), (1, 1), (1, 1)), ValueError),
        (((1, 1, 1), (1, 1, 1)), ValueError),
        (1.0, TypeError),
        (True, TypeError),
        (None, TypeError),
        (((1.5, 1), (0, 0)), TypeError),
        (((True, False), (0, 0)), TypeError),
        (np.ones((2, 2)), TypeError),
    ],
)
@pytest.mark.parametrize("family", LAYERS)
def test_bad_paddings(family: str, padding: Any, error: type[Exception]) -> None:
    refused_option(family, "padding", padding, error, "padding", re.escape(repr(padding)))


def test_flat_padding_of_one_axis() -> None:
    inputs, kernel = np.zeros((1, 5, 4), np.float32), np.zeros((3, 4, 2), np.float32)
    refused(ValueError, lambda: fastsep.conv(inputs, kernel, padding=(1, 2)), "padding", r"\(\(1, 2\),\)")


@pytest.mark.parametrize("name", ["strides", "dilation_rate"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        ((1, 0), ValueError),
        ((1,), ValueError),
        ((1, 1, 1), ValueError),
        ((), ValueError),
        (True, TypeError),
        ((1, False), TypeError),
        (1.0, TypeError),
        ((1, 2.0), TypeError),
        ("2", TypeError),
        (None, TypeError),
    ],
)
@pytest.mark.parametrize("family", LAYERS)
def test_strides_and_dilation(family: str, name: str, value: Any, error: type[Exception]) -> None:
    refused_option(family, name, value, error, rf"\b{name}\b", quoted(value), r"\bints?\b|at least 1")


@pytest.mark.parametrize("name", ["strides", "dilation_rate", "padding"])
def test_numpy_integers_and_lists_are_welcome(name: str) -> None:
    case = CASES["conv"](**{name: 2})
    del case.operands["residual"]
    expected = compute("conv", case)
    pair = (np.int64(2), np.int64(2))
    forms = (
        [np.int64(2), list(pair), pair]
        if name != "padding"
        else [np.int64(2), [pair, pair], (list(pair), pair)]
    )
    for form in forms:
        np.testing.assert_array_equal(
            compute("conv", Case(case.operands, case.options | {name: form})), expected
        )


@pytest.mark.parametrize("data_format", ["NHWC", "channels-last", "", 1, True, b"channels_last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_data_formats(family: str, data_format: Any) -> None:
    fragments = ("data_format", quoted(data_format), "channels_last", "channels_first")
    refused_option(family, "data_format", data_format, ValueError, *fragments)


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_activations(family: str) -> None:
    for name in ACTIVATION_NAMES[family]:
        for value in ("swish6", "ReLU", ""):
            fragments = (rf"\b{name}\b", quoted(value), "relu6", "gelu_tanh", r"\(low, high\)")
            refused_option(family, name, value, ValueError, *fragments)


@pytest.mark.parametrize(
    ("value", "error", "fragment"),
    [
        ((6.0, 0.0), ValueError, r"6\.0.*0\.0"),
        ((np.nan, 1.0), ValueError, "nan"),
        ((0.0, np.nan), ValueError, "nan"),
        ((0.0,), ValueError, r"\(0\.0,\)"),
        ((0.0, 1.0, 2.0), ValueError, r"0\.0, 1\.0, 2\.0"),
        ((0.0, "6"), TypeError, "'6'"),
        ((None, 6.0), TypeError, "None"),
        ((0.0, 1j), TypeError, "1j"),
        (6.0, TypeError, r"6\.0|float"),
        (np.tanh, TypeError, "tanh|ufunc"),
        (True, TypeError, "True|bool"),
        ([0.0, 6.0], TypeError, "list"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_clamps(family: str, value: Any, error: type[Exception], fragment: str) -> None:
    for name in ACTIVATION_NAMES[family]:
        refused_option(family, name, value, error, rf"\b{name}\b", fragment, r"\(low, high\)")


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_keywords(family: str) -> None:
    refused_option(family, "stride", 1, TypeError, "'stride'")


# ---- plans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", LAYERS)
def test_describe_checks_the_shape(family: str) -> None:
    case = CASES[family]()
    plan = case.plan(PLANS[family])
    channels = case.operands["inputs"].shape[-1]
    for shape in [(1, 9), (1, 9, 10, channels + 1), (1, 9, -1, channels), (1.0, 9, 10, channels), 7, None]:
        with pytest.raises((TypeError, ValueError), match=r"shape|channels"):
            plan.describe(shape)


def test_set_of_options_that_plans_do_not_take() -> None:
    """`residual` and `out` belong to the call."""
    for family in FUNCTIONS:
        case = CASES[family]()
        for name in ("residual", "out"):
            refused(
                TypeError,
                lambda case=case, family=family, name=name: case.plan(PLANS[family], **{name: None}),
                f"'{name}'",
            )
