"""Which table of micro-kernels is in use, and what the machine is. The only module that links the C kernels."""

import os
from time import perf_counter

from libc.stdint cimport int64_t

from fastsep._isa cimport cache_sizes, fs_line_kernels, fs_kernels, fs_real_kernels

cdef extern from "fastsep_kernels.h" nogil:
    int fs_isa_count()
    const fs_kernels *fs_isa(int)
    int fs_isa_supported(int)
    const char *fs_cpu_features()

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__linux__)
    #include <unistd.h>
    #elif defined(__APPLE__)
    #include <sys/sysctl.h>
    #endif
    /* Bytes of a level of data cache; 0 where nobody knows. */
    static int64_t fs_cache_bytes(int level) {
    #if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
        const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
        return sysconf(names[level - 1]);
    #elif defined(__APPLE__)
        const char *const names[] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
        int64_t bytes = 0;
        size_t size = sizeof bytes;
        return sysctlbyname(names[level - 1], &bytes, &size, NULL, 0) == 0 ? bytes : 0;
    #else
        (void)level;
        return 0;
    #endif
    }
    """
    int64_t fs_cache_bytes(int level)

cdef enum:
    MOST_CACHE = 0x40000000    # 1 GiB: beyond it nothing changes, and sums of sizes stay far from 2**63

cdef int chosen = 0
# Whether 64-byte vectors run in two halves, as on Zen 4: measured below, a ratio of one or two.
cdef bint wide_in_halves = False
cdef cache_sizes sizes
cdef tuple names = tuple([fs_isa(i).name.decode() for i in range(fs_isa_count())])


cdef const fs_real_kernels *kernels_named(str isa, int64_t item_bytes) except NULL:
    """The table that a plan was made for, whatever is chosen now."""
    cdef int i
    for i in range(fs_isa_count()):
        if <str>names[i] == isa:
            return &fs_isa(i).types[0 if item_bytes == 4 else 1]
    raise ValueError(f"{isa!r} is not an instruction set of fastsep")


cdef const fs_line_kernels *line_kernels(str isa, int64_t item_bytes) except NULL:
    """The same for filters that are not transposed: 16-bit integers besides."""
    cdef int i
    for i in range(fs_isa_count()):
        if <str>names[i] == isa:
            return &fs_isa(i).lines[0 if item_bytes == 2 else 1 if item_bytes == 4 else 2]
    raise ValueError(f"{isa!r} is not an instruction set of fastsep")


cdef const fs_real_kernels *panel_kernels(str isa, int64_t item_bytes, int64_t outputs) except NULL:
    """The table for panels of so many output channels: half as wide vectors where whole ones would run half empty, or
    alone (one vector loads as often as it multiplies), and cost twice as much. The bits are the same."""
    cdef const fs_real_kernels *wide = kernels_named(isa, item_bytes)
    cdef const fs_real_kernels *half
    cdef int64_t vectors = (outputs + wide.lanes - 1) // wide.lanes
    if isa != "avx512" or not wide_in_halves:
        return wide
    half = kernels_named("avx2", item_bytes)
    if vectors == 1 or 10 * 2 * vectors > 11 * ((outputs + half.lanes - 1) // half.lanes):
        return half
    return wide


cdef double fma_rate(str isa) except -1.0:
    """FMAs of one vector's float32 lanes a second: the best of five bursts of some 5 µs."""
    cdef const fs_real_kernels *table = kernels_named(isa, 4)
    cdef double begun, done, best = 0.0
    for _ in range(5):
        begun = perf_counter()
        done = table.fma_burst(1500)
        best = max(best, done / (perf_counter() - begun))
    return best


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
                    "panel": {v: table.types[t].panel_pixels[v] for v in range(1, table.types[t].panel_vectors + 2)},
                    "strip": (table.types[t].strip_rows, table.types[t].strip_columns),
                }
                for t, dtype in enumerate(("float32", "float64"))
            }
    raise ValueError(f"name={name!r} is not an instruction set of fastsep")


# ---- caches ----------------------------------------------------------------------------------------------

# Where nobody says: sizes that most CPUs have at least.
_ASSUMED = {"L1": 32 * 1024, "L2": 512 * 1024, "L3": 8 * 1024 * 1024}
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
_caches_from = ""


def cache_bytes():
    """Data cache sizes in bytes by level, that calls are cut for from now on."""
    return {"L1": sizes.level1, "L2": sizes.level2, "L3": sizes.level3}


def cache_source():
    """Where these sizes come from, as a phrase for `python -m fastsep info`."""
    return _caches_from


def set_caches(text):
    """Cut calls for caches of other sizes, in every thread and plan from now on; the bits stay the same.

    For tests and experiments: the environment variable ``FASTSEP_CACHES`` says the same at import.

    Parameters
    ----------
    text : str or None
        Such as ``"L1=32K,L2=256K,L3=4M"``, in bytes, KiB or MiB. A level not named is as the system says; None: all.

    Raises
    ------
    TypeError
        `text` is not a string.
    ValueError
        `text` is of another form, or a size is 0.
    """
    if text is not None and not isinstance(text, str):
        raise TypeError(f"text must be None or a str such as 'L1=32K,L2=256K,L3=4M'; got {type(text).__name__}")
    _set_caches(text, "text")


def _set_caches(text, name):
    global _caches_from
    given = _parse_caches(text, name) if text is not None else {}
    found, source = system_caches()
    all_sizes = {**_ASSUMED, **found, **given}
    sizes.level1, sizes.level2, sizes.level3 = all_sizes["L1"], all_sizes["L2"], all_sizes["L3"]
    assumed = [level for level in _ASSUMED if level not in found and level not in given]
    parts = []
    if given:
        parts.append(f"{' and '.join(given)} as {'FASTSEP_CACHES' if name == 'FASTSEP_CACHES' else 'set'}")
    if found and len(given) < 3:
        parts.append(f"from {source}")
    if assumed:
        parts.append(f"{' and '.join(assumed)} assumed")
    _caches_from = ", ".join(parts)


def _parse_caches(text, name):
    given = {}
    for item in text.split(","):
        level, _, size = item.strip().partition("=")
        digits, unit = (size[:-1], size[-1:]) if size[-1:] in ("K", "M") else (size, "")
        if level not in _ASSUMED or level in given or not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
            raise ValueError(
                f"{name}={text!r} must name each of L1, L2 and L3 at most once, with its size in bytes, K or M, "
                f"such as 'L1=32K,L2=256K,L3=4M'; got {item.strip()!r}"
            )
        given[level] = min(int(digits) * _UNITS[unit], MOST_CACHE)
    return given


def system_caches(folder="/sys/devices/system/cpu"):
    """Sizes by level that the system reports, and which part of it: sysfs (`folder`), else the C library or the kernel.

    A CPU that has no third level is given the second in its place: the last level is where images stay.
    """
    found, source = _read_sysfs(folder), "sysfs"
    if "L1" not in found or "L2" not in found:
        found, source = {f"L{level}": fs_cache_bytes(level) for level in (1, 2, 3)}, "the operating system"
        found = {level: size for level, size in found.items() if size > 0}
    if "L2" in found and "L3" not in found:
        found["L3"] = found["L2"]
    return found, source


def _read_sysfs(folder):
    """Data caches of a CPU that this process may use; what is not there, or not understood, is left out."""
    found = {}
    try:
        cpu = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        folder = f"{folder}/cpu{cpu}/cache"
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        try:
            words = []
            for item in ("type", "level", "size"):
                with open(f"{folder}/{name}/{item}") as file:
                    words.append(file.read().strip())
            kind, level, size = words
            unit = size[-1:] if size[-1:] in ("K", "M") else ""
            size = int(size.removesuffix(unit)) * _UNITS[unit]
        except (OSError, ValueError):
            continue
        if kind in ("Data", "Unified") and f"L{level}" in _ASSUMED and 0 < size <= MOST_CACHE:
            found[f"L{level}"] = size
    return found


_set_caches(os.environ.get("FASTSEP_CACHES") or None, "FASTSEP_CACHES")

if "avx512" in available_isas():
    wide_in_halves = fma_rate("avx512") < 1.5 * fma_rate("avx2")

_choose(max(available_isas(), key=available_isas().index), "default")
if os.environ.get("FASTSEP_ISA"):
    _choose(os.environ["FASTSEP_ISA"], "FASTSEP_ISA")
