"""Activations, and what exporters write for them, become fastsep.Activation on the value they begin with.

Whatever is computed on the way to a product is only a function of that value, so that the product may be
replaced whoever else reads the steps: those that nothing else reads disappear.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from fastsep._activations import Activation
from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite

# Exporters round constants such as 1/6 and √½ to float32, an error of 6e-8, and multiply two of them at most.
_TOLERANCE = 5e-7
# Products are taken apart so far: x·½·(1 + …) and its like need three steps, and the cost doubles with each.
_DEPTH = 6
_NAMES = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}


_PRODUCTS = ("Mul", "Div")
_CLAMPS = ("Relu", "Clip", "Max", "Min")
_CURVES = ("Sigmoid", "HardSwish", "HardSigmoid", "Swish", "Gelu")
_ACTIVATIONS = (*_PRODUCTS, *_CLAMPS, *_CURVES)


def fuse_activations(graph: Graph) -> Graph:
    """Turn activations, written as one operator or as several, into fastsep.Activation."""
    return rewrite(graph, _activation, *_ACTIVATIONS)


def _activation(draft: Draft, node: Node) -> list[Node] | None:
    if node.op not in _ACTIVATIONS or not draft.fact(node.outputs[0]).is_real:
        return None
    found = _product(draft, node) if node.op in _PRODUCTS else _clamp(draft, node) or _curve(node)
    if found is None:
        return None
    value, activation = found
    steps = _between(draft, node, value)
    return [fused("fastsep.Activation", (value,), node, {"activation": activation}, *steps)]


Found = tuple[str, Activation]  # the value that an activation is a function of, and the activation


def _between(draft: Draft, last: Node, value: str) -> list[Node]:
    """Return what lies on the ways from a value to the node that replaces them, in order of execution."""
    found: dict[str, Node] = {}

    def visit(node: Node) -> None:
        for name in node.inputs:
            maker = draft.maker(name)
            if name != value and maker is not None and name not in found:
                visit(maker)
                found[name] = maker

    visit(last)
    return list(found.values())


# --- one operator ---


def _curve(node: Node) -> Found | None:
    """Recognise an operator that is an activation by itself."""
    value, attributes = node.inputs[0], node.attributes
    if node.op == "Sigmoid":
        return value, "sigmoid"
    if node.op == "HardSwish":
        return value, "hard_swish"
    if node.op == "HardSigmoid":
        alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
        return (value, "hard_sigmoid") if _near(alpha, 1 / 6) and _near(beta, 0.5) else None
    if node.op == "Swish":
        return (value, "silu") if attributes.get("alpha", 1.0) == 1.0 else None
    if node.op == "Gelu":
        return value, "gelu_tanh" if attributes.get("approximate", "none") == "tanh" else "gelu"
    return None


def _clamp(draft: Draft, node: Node) -> Found | None:
    """Recognise an operator that clamps: part of a hard sigmoid, one with the clamp before it, or alone."""
    found = _bounds(draft, node)
    if found is None:
        return None
    value, bounds = found
    before = draft.sole(value, "fastsep.Activation")
    first = None if before is None else clamp_of(before.attributes["activation"])
    if before is not None and first is not None:
        low, high = (min(max(bound, bounds[0]), bounds[1]) for bound in first)
        value, bounds = before.inputs[0], (low, high)
    if bounds == (0.0, 1.0):
        line = _with_scalar(draft, value, "Add")
        inside = None if line is None else _unscaled(draft, line[0], 1 / 6)
        if line is not None and inside is not None and _near(line[1], 0.5):
            return inside, "hard_sigmoid"
    return value, _NAMES.get(bounds, bounds)


def clamp_of(activation: Activation) -> tuple[float, float] | None:
    """Return the bounds of an activation that is a clamp."""
    if isinstance(activation, str):
        return next((bounds for bounds, name in _NAMES.items() if name == activation), None)
    return activation


def _bounds(draft: Draft, node: Node) -> tuple[str, tuple[float, float]] | None:
    if node.op == "Relu":
        return node.inputs[0], (0.0, math.inf)
    if node.op == "Clip":
        low, high = _bound(draft, node, 1, -math.inf), _bound(draft, node, 2, math.inf)
        # Reversed bounds mean different things to ONNX and to fastsep.
        return (node.inputs[0], (low, high)) if low is not None and high is not None and low <= high else None
    if node.op in ("Max", "Min"):
        split = _with_scalar(draft, node.outputs[0], node.op)
        if split is None or math.isnan(split[1]):
            return None
        value, bound = split
        return value, (bound, math.inf) if node.op == "Max" else (-math.inf, bound)
    return None


def _bound(draft: Draft, node: Node, index: int, default: float) -> float | None:
    if index >= len(node.inputs) or not node.inputs[index]:
        return default
    return draft.scalar(node.inputs[index])


# --- products ---


class _Gate(NamedTuple):
    """A factor that makes an activation of a product: scale · (the value if `times` ·) the factor."""

    activation: Activation
    value: str
    scale: float
    times: bool = True


def _product(draft: Draft, node: Node) -> Found | None:
    """Recognise products such as x·sigmoid(x), in any order and association."""
    for factor in _leaves(draft, node.outputs[0]):
        for gate in _gates(draft, factor):
            scale, factors = _factors(draft, node.outputs[0], {factor, gate.value})
            wanted = Counter([factor, gate.value] if gate.times else [factor])
            if factors == wanted and _near(scale, gate.scale):
                return gate.value, gate.activation
    return None


def _gates(draft: Draft, factor: str) -> list[_Gate]:
    node = draft.maker(factor, "fastsep.Activation", "Add")
    if node is None:
        return []
    if node.op == "Add":
        found = _error_function(draft, factor) or _hyperbolic_tangent(draft, factor)
        return [] if found is None else [found]
    activation, inside = node.attributes["activation"], node.inputs[0]
    if activation == "sigmoid":
        return [_Gate("silu", inside, 1.0)]
    if activation == "hard_sigmoid":
        return [_Gate("hard_swish", inside, 1.0)]
    shifted = _with_scalar(draft, inside, "Add")
    if activation == "relu6" and shifted is not None and shifted[1] == 3.0:
        return [_Gate("hard_swish", shifted[0], 1 / 6), _Gate("hard_sigmoid", shifted[0], 1 / 6, times=False)]
    return []


def _error_function(draft: Draft, factor: str) -> _Gate | None:
    """Recognise c·(1 + erf(x·√½)), of which x·½/c makes a gelu."""
    found = _one_plus(draft, factor, "Erf")
    if found is None:
        return None
    scale, inside = found
    value = _unscaled(draft, inside, math.sqrt(0.5))
    return None if value is None else _Gate("gelu", value, 0.5 / scale)


def _hyperbolic_tangent(draft: Draft, factor: str) -> _Gate | None:
    """Recognise c·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the cube also as x·(1 + 0.044715·x²)."""
    found = _one_plus(draft, factor, "Tanh")
    if found is None:
        return None
    scale, inside = found
    for term in _leaves(draft, inside):
        value = _cubic(draft, inside, term)
        if value is not None:
            return _Gate("gelu_tanh", value, 0.5 / scale)
    return None


def _cubic(draft: Draft, inside: str, term: str) -> str | None:
    total = draft.maker(term, "Add")
    if total is None:
        return None
    for small, large in (total.inputs, total.inputs[::-1]):
        power = _unscaled(draft, small, 0.044715)
        if power is None:
            continue
        unit = draft.scalar(large) == 1.0
        value = _base(draft, power) if unit else large
        if value is None:
            continue
        outer = _factors(draft, inside, {term, value})
        wanted = Counter([term, value] if unit else [term])
        inner = _factors(draft, power, {value})
        cubed = inner == (1.0, Counter({value: 2 if unit else 3}))
        if cubed and outer[1] == wanted and _near(outer[0], math.sqrt(2 / math.pi)):
            return value
    return None


def _base(draft: Draft, square: str) -> str | None:
    """Return what is squared."""
    node = draft.maker(square, "Mul", "Pow")
    return None if node is None or (node.op == "Mul" and len(set(node.inputs)) > 1) else node.inputs[0]


def _one_plus(draft: Draft, value: str, op: str) -> tuple[float, str] | None:
    """Recognise c + c·op(inside); return c and inside."""
    split = _with_scalar(draft, value, "Add")
    if split is None:
        return None
    scale, curve = list(_scaled(draft, split[0]))[-1]
    node = draft.maker(curve, op)
    return (scale, node.inputs[0]) if node is not None and scale and _near(split[1], scale) else None


def _leaves(draft: Draft, value: str, depth: int = _DEPTH) -> list[str]:
    """Return the factors of a product that are no products themselves, and no constants."""
    node = draft.maker(value, "Mul", "Div")
    if node is None or depth == 0 or (node.op == "Div" and _with_scalar(draft, value, "Div") is None):
        return [value] if draft.constant(value) is None else []
    return [leaf for name in dict.fromkeys(node.inputs) for leaf in _leaves(draft, name, depth - 1)]


def _factors(draft: Draft, value: str, whole: set[str], depth: int = _DEPTH) -> tuple[float, Counter[str]]:
    """Return a value as number · factors; those named in `whole` are not taken apart."""
    if value in whole or depth == 0:
        return 1.0, Counter([value])
    split = _with_scalar(draft, value, "Mul", "Div")
    if split is not None:
        scale, factors = _factors(draft, split[0], whole, depth - 1)
        return scale * split[1], factors
    power = draft.maker(value, "Pow")
    exponent = None if power is None else draft.scalar(power.inputs[1])
    if power is not None and exponent in (2.0, 3.0):
        scale, factors = _factors(draft, power.inputs[0], whole, depth - 1)
        return scale ** int(exponent), Counter({name: n * int(exponent) for name, n in factors.items()})
    product = draft.maker(value, "Mul")
    if product is None:
        return 1.0, Counter([value])
    parts = [_factors(draft, name, whole, depth - 1) for name in product.inputs]
    return parts[0][0] * parts[1][0], parts[0][1] + parts[1][1]


def _scaled(draft: Draft, value: str) -> Iterator[tuple[float, str]]:
    """Yield all ways to write a value as number · value, from itself on."""
    scale = 1.0
    yield scale, value
    while (split := _with_scalar(draft, value, "Mul", "Div")) is not None:
        value, factor = split
        scale *= factor
        yield scale, value


def _unscaled(draft: Draft, value: str, wanted: float) -> str | None:
    """Return what is multiplied by a certain number."""
    return next((inside for scale, inside in _scaled(draft, value) if _near(scale, wanted)), None)


def _with_scalar(draft: Draft, value: str, *ops: str) -> tuple[str, float] | None:
    """Return operand and constant of an operator with one number; for Div its reciprocal."""
    node = draft.maker(value, *ops)
    if node is None or len(node.inputs) != 2:
        return None
    sides = [node.inputs] if node.op == "Div" else [node.inputs, node.inputs[::-1]]
    for operand, constant in sides:
        number, held = draft.scalar(constant), draft.constant(constant)
        if number is None or held is None or draft.constant(operand) is not None:
            continue
        rank = draft.fact(operand).rank
        if held.ndim and (rank is None or rank < held.ndim):
            continue
        if node.op != "Div":
            return operand, number
        if number:
            return operand, 1 / number
    return None


def _near(number: float, wanted: float) -> bool:
    return math.isclose(number, wanted, rel_tol=_TOLERANCE)
