"""Measures the two roofs of this machine with the kernels' own vectors: FMA peak, with the clock's frequency to
check it, and bandwidth by cache level."""

from cython.parallel cimport prange
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import time

from fastsep._isa cimport fs_real_kernels, kernels_named
from fastsep._threads cimport threads_for


def fma_burst(str isa, int item_bytes, int threads, int64_t repetitions):
    """Floating-point operations per second of `threads` at once, in one burst."""
    cdef const fs_real_kernels *kernels = kernels_named(isa, item_bytes)
    cdef double done = 0.0, begun, ended
    cdef int i
    threads = threads_for(threads, 1.0)
    begun = time.perf_counter()
    if threads == 1:
        with nogil:
            done = kernels.fma_burst(repetitions)
    else:
        for i in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            done += kernels.fma_burst(repetitions)
    ended = time.perf_counter()
    return done / (ended - begun)


def clock_burst(str isa, int item_bytes, int threads, int64_t repetitions, int ports):
    """Cycles per second by a chain of dependent additions beside FMAs, on a core with `ports` of them.

    Returns
    -------
    tuple of float
        Cycles per second of one core: true where the chain takes longer than the FMAs beside it, else too low;
        floating-point operations per second of `threads` at once.
    """
    cdef const fs_real_kernels *kernels = kernels_named(isa, item_bytes)
    cdef double cycles = 0.0, begun, seconds
    cdef int i
    threads = threads_for(threads, 1.0)
    begun = time.perf_counter()
    if threads == 1:
        with nogil:
            cycles = kernels.clock_burst(repetitions, ports)
    else:
        for i in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            cycles += kernels.clock_burst(repetitions, ports)
    seconds = time.perf_counter() - begun
    return cycles / threads / seconds, kernels.fma_burst(1) * repetitions * threads / seconds


def memory_burst(str isa, int item_bytes, int threads, int64_t size, double moved):
    """Bytes per second of `threads` at once, each over `size` bytes of its own, moving about `moved` bytes each.

    Returns
    -------
    tuple of float
        Reading only; copying one half to the other (bytes read and written both count).
    """
    cdef const fs_real_kernels *kernels = kernels_named(isa, item_bytes)
    cdef char *memory
    cdef char *base
    cdef int64_t repetitions = max(1, <int64_t>(moved / size)), half = size // 2
    cdef double read = 0.0, copied = 0.0, begun, between, ended
    cdef int i
    threads = threads_for(threads, 1.0)
    size = (size + 4095) // 4096 * 4096
    memory = <char *>malloc(<size_t>(size * threads + 4096))
    if memory == NULL:
        raise MemoryError(f"no room for {size * threads} bytes")
    base = memory + (4096 - <uintptr_t>memory % 4096)
    try:
        if threads == 1:
            with nogil:
                memset(base, 1, size)
            begun = time.perf_counter()
            with nogil:
                read = kernels.read_burst(base, size, repetitions)
            between = time.perf_counter()
            with nogil:
                copied = kernels.copy_burst(base + half, base, half, repetitions)
        else:
            for i in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                memset(base + i * size, 1, size)
            begun = time.perf_counter()
            for i in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                read += kernels.read_burst(base + i * size, size, repetitions)
            between = time.perf_counter()
            for i in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                copied += kernels.copy_burst(base + i * size + half, base + i * size, half, repetitions)
        ended = time.perf_counter()
    finally:
        free(memory)
    return read / (between - begun), copied / (ended - between)
