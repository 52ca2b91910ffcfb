"""What `python -m fastsep info` prints: what this machine and this build can do."""

from __future__ import annotations

import os
import platform

import numpy as np

from fastsep import _isa, _threads, _version


def _openmp() -> str:
    """The OpenMP runtimes in this process, as threadpoolctl sees them."""
    if not _threads.has_openmp():
        return "none: built with FASTSEP_NO_OPENMP, one thread only"
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "yes (install threadpoolctl to see which runtime)"
    runtimes = [
        f"{pool['prefix']}{' ' + pool['version'] if pool['version'] else ''} at {pool['filepath']}"
        for pool in threadpool_info()
        if pool["user_api"] == "openmp"
    ]
    return "; ".join(runtimes) or "yes, a runtime that threadpoolctl does not know"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _tiles(isa: str) -> list[str]:
    size, registers, fused = _isa.vectors(isa)
    lines = [f"{isa}: {registers} registers of {size} bytes, {'fused' if fused else 'separate'} multiply-add"]
    for dtype, tiles in _isa.register_tiles(isa).items():
        panels = ", ".join(
            f"{pixels} × {vectors * tiles['lanes']}" for vectors, pixels in tiles["panel"].items()
        )
        rows, columns = tiles["strip"]
        lines.append(
            f"{isa} {dtype}: pointwise {panels} (pixels × channels); "
            f"depthwise {rows} × {columns} × {tiles['lanes']} (rows × columns × channels)"
        )
    return lines


def report() -> str:
    """The whole report as text."""
    source = "FASTSEP_ISA" if os.environ.get("FASTSEP_ISA") else "the best available"
    sizes = ", ".join(f"{level} {size / 1024:g} KB" for level, size in _isa.cache_bytes().items())
    rows = [
        ("fastsep", _version.__version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        ("NumPy", np.__version__),
        ("CPU", f"{_cpu()}, {os.cpu_count()} CPUs"),
        ("CPU features", " ".join(_isa.cpu_features())),
        ("caches", f"{sizes} ({_isa.cache_source()})"),
        ("compiled", " ".join(_isa.compiled_isas())),
        ("available", " ".join(_isa.available_isas())),
        ("chosen", f"{_isa.get_isa()} ({source})"),
        *(("register tiles", line) for isa in _isa.available_isas() for line in _tiles(isa)),
        ("threads", _threads.explain()),
        ("OpenMP", _openmp()),
    ]
    width = max(len(name) for name, _ in rows)
    lines, last = [], ""
    for name, text in rows:
        lines.append(f"{'' if name == last else name:<{width}}  {text}")
        last = name
    return "\n".join(lines)
