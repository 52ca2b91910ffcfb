"""What `plan.describe` returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Description:
    """How a plan would run on inputs of one shape.

    Attributes
    ----------
    plan : str
        The plan's `repr`.
    input_shape, output_shape : tuple of int
    dtype, isa : str
    tile : str
        What one tile computes.
    tiles : int
        How many there are.
    fusion : str
        Which arrays never exist.
    threads : int
        Threads that the call would use.
    flops : int
        Floating-point operations, a multiply-add being two; taps on padding count.
    bytes : int
        Input, weights and output, each moved once.
    scratch_bytes : int
        Memory of the call beyond its arrays, for all threads, where those begin 16 bytes behind a cache line,
        as NumPy's large ones do. Elsewhere a call may take less; a residual given to it may need more.
    roofline_seconds : float
        No call can be faster: the greater of `flops` at the measured FMA peak and `bytes` at the measured
        bandwidth, for these threads.
    """

    plan: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: str
    isa: str
    tile: str
    tiles: int
    fusion: str
    threads: int
    flops: int
    bytes: int
    scratch_bytes: int
    roofline_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [
            ("plan", self.plan),
            ("input → output", f"{self.input_shape} → {self.output_shape}, {self.dtype}"),
            ("instruction set", self.isa),
            ("tile", f"{self.tile}; {self.tiles} of them"),
            ("fusion", self.fusion),
            ("threads", str(self.threads)),
            ("work", f"{self.flops / 1e6:.3f} MFLOP, {self.bytes / 1e6:.3f} MB, "
                     f"{self.flops / max(self.bytes, 1):.1f} FLOP/byte"),
            ("scratch", f"{self.scratch_bytes / 1e3:.1f} kB"),
            ("roofline", f"{self.roofline_seconds * 1e3:.4f} ms"),
        ]  # fmt: skip
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)
