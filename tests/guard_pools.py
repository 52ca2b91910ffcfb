"""Run pools and elementwise steps with every array between pages that may not be touched; see guard_pages."""

from __future__ import annotations

import faulthandler
import itertools
import sys
from collections.abc import Iterator

import numpy as np
from bounds import assert_same_bits
from guard_pages import Guarded, strides_of
from strategies import numbers

import fastsep
from fastsep._elementwise import ElementwisePlan
from fastsep._job import CompiledPlan
from fastsep._pooling import GlobalPoolPlan, PoolPlan

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def plans(isa: str) -> Iterator[tuple[str, CompiledPlan, tuple[int, ...], np.dtype]]:  # type: ignore[type-arg]
    """A plan, what it is, the shape of an input, its dtype."""
    for channels, dtype in itertools.product((1, 3, 8, 16, 21, 36), (F32, F64)):
        for kind, taps, stride in itertools.product(("max", "average"), (2, 3, 4), (1, 2)):
            spec = ((taps, taps), (stride, stride), (1, 1), ((1, 1), (1, 1)))
            plan = PoolPlan(kind, spec, channels, dtype, isa)
            yield f"{kind} {taps}×{taps} stride {stride}", plan, (1, 9, 13, channels), dtype
        for kind in ("max", "average"):
            yield (
                f"global {kind}",
                GlobalPoolPlan(kind, channels, dtype, isa),
                (2, 5, 7, channels),
                dtype,
            )
        for activation in ("clamp", "silu"):
            curve = (activation, -np.inf, np.inf)
            plan = ElementwisePlan("multiply", channels, curve, dtype, isa)
            yield f"multiply {activation}", plan, (2, 5, 7, channels), dtype


def main(isa: str) -> None:
    fastsep.set_isa(isa)
    count = 0
    for name, plan, shape, dtype in plans(isa):
        for at_end, gap, first in itertools.product((True, False), (0, 5), (True, False)):
            print(f"{name}, {shape}, {dtype}, at_end={at_end}, gap={gap}, channels_first={first}", flush=True)
            out_shape = (shape[0], *plan.output_shape(shape[1:-1]), shape[-1])
            operands = {"x": numbers(1, shape, dtype), "residual": numbers(2, out_shape, dtype)}
            expected = np.empty(out_shape, dtype)
            plan.run(operands["x"], expected, operands["residual"], 2, False, 1)
            operands["out"] = np.zeros(out_shape, dtype)
            guarded = {}
            for key, values in operands.items():
                laid = np.moveaxis(values, -1, 1) if first else values
                guarded[key] = Guarded(
                    laid.shape, strides_of(laid.shape, laid.itemsize, gap), laid.dtype, at_end
                )
                guarded[key].array[...] = laid
            plan.run(
                guarded["x"].array, guarded["out"].array, guarded["residual"].array, 2, first, 1 + count % 3
            )
            out = guarded["out"].array.copy()
            assert_same_bits(np.ascontiguousarray(np.moveaxis(out, 1, -1) if first else out), expected)
            for key, memory in guarded.items():
                assert memory.outside_is_untouched(), f"a byte beside {key} was written"
            count += 1
    print(f"{count} cases stayed inside their memory")


if __name__ == "__main__":
    faulthandler.enable()
    main(sys.argv[1])
