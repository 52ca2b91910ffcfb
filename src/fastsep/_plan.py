"""What the plans of layers.py share: immutability, pickling, description, and the one way a call takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastsep import _validate
from fastsep._job import CompiledPlan
from fastsep._usual import UsualCall
from fastsep._validate import Array

if TYPE_CHECKING:
    from fastsep._describe import Description

# Not worth a place in `repr`.
_DEFAULTS = (("strides", 1), ("dilation_rate", 1))


def settled(value: Any) -> Any:
    """An argument that its giver can no longer change: lists become tuples."""
    return tuple(settled(item) for item in value) if isinstance(value, list | tuple) else value


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; yes where that is too hard to tell."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type] # NumPy's stub knows -1 and 0
    except np.exceptions.TooHardError:
        return True


def run_checked(
    compiled_for: Callable[[int], CompiledPlan],
    ranks: tuple[int, ...],
    first: bool,
    dtype: np.dtype[Any],
    dtype_of: str,
    inputs: object,
    out: object,
    residual: object,
    threads: object,
) -> Array:
    """A call that may be anything: what is wrong is said, what is unusual is done.

    `compiled_for` gives the compiled plan for the inputs' channels.
    """
    x = _validate.inputs(inputs, ranks, first, dtype, dtype_of)
    batch, spatial, channels = _validate.split_shape(x.shape, first)
    compiled = compiled_for(channels)
    shape = _validate.join_shape(batch, compiled.output_shape(spatial), compiled.outputs, first)
    addend = _validate.residual(residual, shape, dtype)
    result = target = _validate.out(out, shape, dtype)
    if out is not None and (overlap(target, x) or (addend is not None and overlap(target, addend))):
        target = np.empty(shape, dtype)
    compiled.run(x, target, addend, x.ndim - 2, first, threads)
    if target is not result:
        result[...] = target
    return result


class Immutable:
    """Made once from arguments, of which it keeps private copies; a pickle holds those."""

    __slots__ = ("_arguments",)
    _arguments: dict[str, Any]

    def _set(self, **attributes: Any) -> None:
        if hasattr(self, "_arguments"):
            raise AttributeError(f"a {type(self).__name__} is immutable; make a new one")
        attributes["_arguments"] = {name: settled(value) for name, value in attributes["_arguments"].items()}
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} is immutable; make a new one to change {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is immutable; {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._arguments)

    def _options(self) -> str:
        """The arguments that are not weights and not defaults, for `repr`."""
        shown = []
        for name, value in self._arguments.items():
            if isinstance(value, np.ndarray):
                if "bias" in name:
                    shown.append(name)
            elif value is not None and value is not False and (name, value) not in _DEFAULTS:
                shown.append(f"{name}={value!r}")
        return "".join(f", {option}" for option in shown)


class Plan(Immutable):
    """What all plans share: the one way a call takes, and how it is described."""

    __slots__ = (
        "_channels_first",
        "_dtype",
        "_inputs",
        "_isa",
        "_outputs",
        "_ranks",
        "_threads",
        "_usual",
    )
    _dtype_of: ClassVar[str] = "kernel"  # the argument that fixes the dtype of all others
    _channels_first: bool
    _dtype: np.dtype[Any]
    _inputs: int
    _isa: str
    _outputs: int
    _ranks: tuple[int, ...]  # spatial axes that inputs may have
    _threads: int | None
    _usual: UsualCall

    def _usual_call(self, compiled: CompiledPlan) -> UsualCall:
        return UsualCall(compiled, self._dtype, self._ranks, self._channels_first, self._threads)

    def _make_usual(self, compiled: CompiledPlan) -> None:
        object.__setattr__(self, "_usual", self._usual_call(compiled))

    # A subclass says what it is: taps and widths.
    def _outline(self) -> str:
        raise NotImplementedError

    def _choice(self) -> str:
        """What was chosen before any input came."""
        return self._usual.plan.choice()

    # A subclass says which compiled plan serves an input of so many channels.
    def _compiled(self, channels: int) -> CompiledPlan:
        raise NotImplementedError

    def _run(self, inputs: object, out: object, residual: object, threads: object) -> Array:
        result = self._usual.run(inputs, out, residual, threads)
        return self._run_checked(inputs, out, residual, threads) if result is None else result

    def _run_checked(self, inputs: object, out: object, residual: object, threads: object) -> Array:
        return run_checked(
            self._compiled,
            self._ranks,
            self._channels_first,
            self._dtype,
            self._dtype_of,
            inputs,
            out,
            residual,
            self._threads if threads is None else threads,
        )

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        """Floating-point operations and bytes of weights, for so many input and output pixels."""
        raise NotImplementedError

    def _fusion(self, compiled: CompiledPlan) -> str:
        return "epilogue: bias, residual and activation in registers"

    def _own_residual(self, x: Array) -> Array | None:
        """What every call of this plan adds."""
        return None

    def describe(self, input_shape: tuple[int, ...], threads: int | None = None) -> Description:
        """How this plan would run on contiguous inputs of one shape.

        Parameters
        ----------
        input_shape : tuple of int
            In the plan's data format, batch included.
        threads : int or None
            As for a call.

        Returns
        -------
        Description
            Its `str` is a table; `to_dict()` gives the figures. The first call measures the machine's roofs,
            which takes about half a second.

        Raises
        ------
        ValueError
            The plan cannot take such a shape.
        """
        from fastsep._describe import Description
        from fastsep.roofline import remembered

        first = self._channels_first
        x = _validate.inputs(_validate.unallocated(input_shape, self._dtype), self._ranks, first, self._dtype)
        batch, spatial, channels = _validate.split_shape(x.shape, first)
        compiled = self._compiled(channels)
        spatial_out = compiled.output_shape(spatial)
        shape = _validate.join_shape(batch, spatial_out, self._outputs, first)
        if threads is None:
            threads = self._threads
        out = _validate.unallocated(shape, self._dtype)
        layout = compiled.layout(x, out, self._own_residual(x), x.ndim - 2, first, threads)
        flops, weights = self._work(compiled, batch, math.prod(spatial), math.prod(spatial_out), channels)
        # Of the input only what some window sees; a residual is the input, and read whole.
        read = math.prod(spatial) if self._own_residual(x) is not None else compiled.pixels_read(spatial)
        moved = (batch * read * channels + math.prod(shape) + weights) * self._dtype.itemsize
        roofs = remembered(layout["threads"], str(self._dtype), self._isa)
        return Description(
            plan=repr(self),
            input_shape=x.shape,
            output_shape=shape,
            dtype=str(self._dtype),
            isa=self._isa,
            fusion=self._fusion(compiled),
            flops=flops,
            bytes=moved,
            roofline_seconds=roofs.seconds(flops, moved),
            **layout,
        )

    def __repr__(self) -> str:
        """What it is, and after a semicolon how it was decided to compute it, before any input came.

        The tile of one shape is `describe`'s.
        """
        options = f"{self._options()}, {self._dtype}, {self._isa}"
        return f"{type(self).__name__}({self._outline()}{options}; {self._choice()})"


def _rebuild(kind: type[Immutable], arguments: dict[str, Any]) -> Immutable:
    return kind(**arguments)


def taps_text(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)
