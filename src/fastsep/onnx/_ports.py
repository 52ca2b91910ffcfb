"""What goes in and comes out of a run, checked; every message names the input or output."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastsep import _validate
from fastsep._plan import overlap
from fastsep.onnx._graph import Array, Graph, Port, Spec
from fastsep.onnx._specialise import input_spec

_TYPES = {
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    **{name: name for kind in ("int", "uint") for name in (f"{kind}{bits}" for bits in (8, 16, 32, 64))},
}
_MOST_NAMED = 5
# Integer inputs of at most so many elements may say how large something is.
_MOST_SIZES = 1024


class NodeArg(NamedTuple):
    """An input or output: `name`, `type` such as "tensor(float)", and `shape`, a str where it is open."""

    name: str
    type: str
    shape: list[int | str | None]


def node_arg(port: Port) -> NodeArg:
    """Return a port in ONNX Runtime's form."""
    shape = [] if port.shape is None else list(port.shape)
    return NodeArg(port.name, f"tensor({_TYPES.get(port.dtype.name, port.dtype.name)})", shape)


def fixed_shapes(graph: Graph) -> dict[str, tuple[int, ...]] | None:
    """Return the inputs' shapes if the model fixes them all."""
    shapes: dict[str, tuple[int, ...]] = {}
    for port in graph.inputs:
        sizes = port.shape
        if sizes is None or not all(isinstance(size, int) for size in sizes):
            return None
        shapes[port.name] = tuple(size for size in sizes if isinstance(size, int))
    return shapes


def may_say_sizes(dtype: np.dtype[Any], count: int) -> bool:
    """Return whether an input of so many elements may say how large something is: a shape, or one number."""
    return count == 1 or (dtype.kind in "iu" and count <= _MOST_SIZES)


def output_names(graph: Graph, names: Sequence[str] | None) -> list[str]:
    """Return the outputs asked for.

    Raises
    ------
    TypeError, ValueError
    """
    there = [port.name for port in graph.outputs]
    if names is None:
        return there
    # Once: a generator gives its names only once.
    asked = None if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    if asked is None or not all(isinstance(name, str) for name in asked):
        raise TypeError(f"output_names must be a list of names or None; got {names!r}")
    # ONNX Runtime takes an empty list for all.
    if not asked:
        return there
    for name in asked:
        if name not in there:
            raise ValueError(f"output_names asks for {name!r}; the model has {_listed(there)}")
    return asked


def feeds(graph: Graph, given: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs in the graph's order.

    Raises
    ------
    TypeError, ValueError
        One is missing or not known, or has a wrong dtype or shape.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"input_feed must be a dict of arrays by input name; got {type(given).__name__}")
    there = [port.name for port in graph.inputs]
    missing = [name for name in there if name not in given]
    if missing:
        raise ValueError(f"input_feed lacks {_listed(missing)}; the model takes {_listed(there)}")
    for name in given:
        if name not in there:
            raise ValueError(
                f"input_feed holds {name!r}, which the model does not take; it takes {_listed(there)}; "
                "what it stores cannot be replaced"
            )
    open_sizes: dict[str, tuple[int, str]] = {}
    return {port.name: _fed(port, given[port.name], open_sizes) for port in graph.inputs}


def _fed(port: Port, value: object, open_sizes: dict[str, tuple[int, str]]) -> Array:
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"input {port.name!r} must be a np.ndarray of {port.dtype}; got {type(value).__name__}"
        )
    value = _plain(value, f"input {port.name!r}")
    if value.dtype.newbyteorder("=") != port.dtype:
        raise TypeError(f"input {port.name!r} must be of {port.dtype}; got {value.dtype}")
    _check_shape(port, value.shape, open_sizes)
    return value if value.dtype.isnative else value.astype(port.dtype)


def _check_shape(port: Port, shape: tuple[int, ...], open_sizes: dict[str, tuple[int, str]]) -> None:
    if port.shape is None:
        return
    wanted = ", ".join("?" if size is None else str(size) for size in port.shape)
    if len(shape) != len(port.shape):
        raise ValueError(
            f"input {port.name!r} must have {len(port.shape)} axes, ({wanted}); got shape {shape}"
        )
    for axis, (size, got) in enumerate(zip(port.shape, shape, strict=True)):
        if isinstance(size, int) and size != got:
            raise ValueError(
                f"input {port.name!r} must be of shape ({wanted}); got {shape}, {got} on axis {axis}"
            )
        if isinstance(size, str):
            before, of = open_sizes.setdefault(size, (got, port.name))
            if before != got:
                raise ValueError(
                    f"size {size!r} is {before} in input {of!r} and {got} on axis {axis} of {port.name!r}"
                )


def _plain(value: Array, what: str) -> Array:
    """Return an array without its subclass, such as np.memmap, in the same memory; kernels take no other.

    Raises
    ------
    TypeError
        It is masked: its mask would be ignored.
    """
    if type(value) is np.ndarray:
        return value
    # To ask for np.ma imports it: 1 MB, 10 ms.
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{what} must be a plain np.ndarray; got a MaskedArray, whose mask would be ignored")
    return value.view(np.ndarray)


def results(
    names: Sequence[str],
    specs: Mapping[str, Spec],
    out: Sequence[Array | None] | None,
    inputs: Mapping[str, Array],
) -> list[Array]:
    """Return the arrays that receive the outputs: those of `out`, new ones for the rest.

    All are plain arrays; of a subclass in `out`, such as np.memmap, it is one in the same memory.

    Raises
    ------
    TypeError, ValueError
        An array of `out` does not fit.
    """
    if out is None:
        out = [None] * len(names)
    if isinstance(out, np.ndarray) or not isinstance(out, Sequence) or len(out) != len(names):
        raise ValueError(
            f"out must be a list of {len(names)} arrays or None, one for each output; got {out!r:.80}"
        )
    found = []
    for name, target in zip(names, out, strict=True):
        spec = specs[name]
        if target is None:
            found.append(np.empty(spec.shape, spec.dtype))
            continue
        if not isinstance(target, np.ndarray):
            raise TypeError(f"out for {name!r} must be a np.ndarray; got {type(target).__name__}")
        target = _plain(target, f"out for {name!r}")
        if target.shape != spec.shape or target.dtype != spec.dtype:
            raise ValueError(
                f"out for {name!r} must be of {spec.dtype} and shape {spec.shape}; "
                f"got {target.dtype} and {target.shape}"
            )
        if not target.flags.writeable:
            raise ValueError(f"out for {name!r} is read-only")
        if not target.flags.c_contiguous and _validate.overlaps_itself(target):
            raise ValueError(
                f"out for {name!r} must not overlap itself; "
                f"got shape {target.shape}, strides {target.strides}"
            )
        others = [("input", *each) for each in inputs.items()]
        others += [("out for", *each) for each in zip(names, found, strict=False)]
        for role, other, value in others:
            if overlap(target, value):
                raise ValueError(f"out for {name!r} must not share memory with {role} {other!r}")
        found.append(target)
    return found


def random_feeds(graph: Graph, shapes: Mapping[str, Sequence[int]] | None) -> dict[str, Array]:
    """Return seeded inputs of these shapes; of the model's own where it fixes them.

    Raises
    ------
    TypeError, ValueError
        An input has open sizes, and no shape is given for it; `shapes` is no mapping of shapes by name.
    """
    shapes = {} if shapes is None else shapes
    if not isinstance(shapes, Mapping):
        raise TypeError(f"shapes must be a dict of shapes by input name, or None; got {shapes!r}")
    there = [port.name for port in graph.inputs]
    asked: Mapping[str, Any] = shapes
    for name, shape in asked.items():
        if name not in there:
            raise ValueError(f"shapes holds {name!r}; the model takes {_listed(there)}")
        if not _is_shape(shape):
            raise ValueError(
                f"shapes[{name!r}] must be a tuple of whole numbers of at least 0; got {shape!r}"
            )
    generator = np.random.default_rng(0)
    made: dict[str, Array] = {}
    open_sizes: dict[str, tuple[int, str]] = {}
    for port in graph.inputs:
        sizes: Any = asked.get(port.name, port.shape)
        if sizes is None or not all(isinstance(size, int | np.integer) for size in sizes):
            raise ValueError(
                f"shapes must hold input {port.name!r}, whose size the model leaves open: {port.shape}; "
                f"such as shapes={{{port.name!r}: (1, 3, 224, 224)}}"
            )
        size = tuple(map(int, sizes))
        # Of its shape, not yet of its memory.
        _check_shape(port, size, open_sizes)
        input_spec(port, size)
        try:
            np.broadcast_to(np.zeros((), port.dtype), size)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"input {port.name!r} cannot have shape {size}: {error}") from None
        if port.dtype.kind == "f":
            made[port.name] = generator.standard_normal(size).astype(port.dtype)
        else:
            made[port.name] = np.ones(size, port.dtype)
    return feeds(graph, made)


def _is_shape(sizes: object) -> bool:
    return (
        isinstance(sizes, Sequence)
        and not isinstance(sizes, str)
        and all(isinstance(size, int | np.integer) and size >= 0 for size in sizes)
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
