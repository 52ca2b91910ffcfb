"""Which table of micro-kernels is in use, and what the machine is. The only module that links the C kernels."""

import os

from libc.stdint cimport int64_t

from fastsep._isa cimport cache_sizes, fs_kernels, fs_real_kernels

cdef extern from "fastsep_kernels.h" nogil:
    int fs_isa_count()
    const fs_kernels *fs_isa(int)
    int fs_isa_supported(int)
    const char *fs_cpu_features()


cdef int chosen = 0
cdef cache_sizes sizes
cdef tuple names = tuple([fs_isa(i).name.decode() for i in range(fs_isa_count())])


cdef const fs_real_kernels *kernels_named(str isa, int64_t item_bytes) except NULL:
    """The table that a plan was made for, whatever is chosen now."""
    cdef int i
    for i in range(fs_isa_count()):
        if <str>names[i] == isa:
            return &fs_isa(i).types[0 if item_bytes == 4 else 1]
    raise ValueError(f"{isa!r} is not an instruction set of fastsep")


cdef const cache_sizes *caches() noexcept nogil:
    return &sizes


def compiled_isas():
    """Instruction sets in this build, slowest first."""
    return names


def available_isas():
    """Instruction sets in this build that this machine can run, slowest first.

    Returns
    -------
    tuple of str
        Names that `set_isa` and the environment variable ``FASTSEP_ISA`` accept here.
    """
    return tuple(fs_isa(i).name.decode() for i in range(fs_isa_count()) if fs_isa_supported(i))


def get_isa():
    """Name of the instruction set that new plans use.

    Returns
    -------
    str
        One of `available_isas()`.
    """
    return names[chosen]


def set_isa(name):
    """Choose the instruction set for plans made from now on; existing plans keep theirs.

    Parameters
    ----------
    name : str
        One of `available_isas()`.

    Raises
    ------
    TypeError
        `name` is not a string.
    ValueError
        `name` is unknown, or this machine cannot run it.
    """
    _choose(name, "name")


def _choose(name, source):
    global chosen
    if not isinstance(name, str):
        raise TypeError(f"{source} must be a str, one of {available_isas()}; got {type(name).__name__}")
    for i in range(fs_isa_count()):
        if fs_isa(i).name.decode() == name:
            if not fs_isa_supported(i):
                raise ValueError(
                    f"{source}={name!r}: this CPU or its operating system cannot run {name}; "
                    f"available here: {', '.join(available_isas())}"
                )
            chosen = i
            return
    raise ValueError(
        f"{source}={name!r} is not an instruction set of fastsep; available here: {', '.join(available_isas())}"
    )


def cpu_features():
    """CPU features that a kernel could use, as a tuple of names."""
    return tuple(fs_cpu_features().decode().split())


def cache_bytes():
    """Data cache sizes in bytes by level, as the operating system reports them (or the fallback in use)."""
    return {"L1": sizes.level1, "L2": sizes.level2, "L3": sizes.level3}


def vectors(name):
    """Of one instruction set: bytes of a vector, vector registers, and whether it fuses multiply and add."""
    cdef int i
    for i in range(fs_isa_count()):
        if fs_isa(i).name.decode() == name:
            return fs_isa(i).vector_bytes, fs_isa(i).vector_registers, bool(fs_isa(i).has_fma)
    raise ValueError(f"name={name!r} is not an instruction set of fastsep")


def register_tiles(name):
    """Register tiles of one instruction set.

    Returns
    -------
    dict
        By dtype name: ``lanes``, ``panel`` (pixels of the pointwise tile by width in vectors) and ``strip``
        (output rows × columns of the depthwise tile).
    """
    cdef const fs_kernels *table
    cdef int i, t, v
    for i in range(fs_isa_count()):
        table = fs_isa(i)
        if table.name.decode() == name:
            return {
                dtype: {
                    "lanes": table.types[t].lanes,
                    "panel": {v: table.types[t].panel_pixels[v] for v in range(1, table.types[t].panel_vectors + 1)},
                    "strip": (table.types[t].strip_rows, table.types[t].strip_columns),
                }
                for t, dtype in enumerate(("float32", "float64"))
            }
    raise ValueError(f"name={name!r} is not an instruction set of fastsep")


def _read_caches():
    """Data cache sizes by level from Linux's sysfs; empty where there is none."""
    found = {}
    folder = "/sys/devices/system/cpu/cpu0/cache"
    try:
        for name in os.listdir(folder):
            if not name.startswith("index"):
                continue
            words = []
            for item in ("type", "level", "size"):
                with open(f"{folder}/{name}/{item}") as file:
                    words.append(file.read().strip())
            kind, level, size = words
            unit = {"K": 1024, "M": 1024 * 1024}.get(size[len(size) - 1 :], 1)
            if kind != "Instruction":
                found[level] = int(size.rstrip("KM")) * unit
    except (OSError, ValueError):
        return {}
    return found


# Where the system does not say: sizes that most CPUs have at least.
_caches = _read_caches()
sizes.level1 = _caches.get("1") or 32 * 1024
sizes.level2 = _caches.get("2") or 512 * 1024
sizes.level3 = _caches.get("3") or 8 * 1024 * 1024

_choose(max(available_isas(), key=available_isas().index), "default")
if os.environ.get("FASTSEP_ISA"):
    _choose(os.environ["FASTSEP_ISA"], "FASTSEP_ISA")
