"""Thread policy: how many threads a call gets, the parallel loop over its tiles, one phase
after another, and slabs between signals.

`threads=None` follows OpenMP's current limit (OMP_NUM_THREADS, threadpoolctl), capped by the CPUs this process
may use and by the cgroup's quota. A number wins over all of that; -1 is all CPUs this process may use.
A call stays serial where threads would not pay, inside another parallel region, and in a forked child (libgomp's
workers do not survive a fork, and the first parallel region of a child hangs). A serial call enters no OpenMP
construct: measured 1.95 µs through prange(use_threads_if=False) against 0.59 µs for the plain loop.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc

from fastsep._threads cimport fs_share, fs_take, phase, run_tile_function

from time import perf_counter

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    static int fs_has_openmp(void) { return 1; }
    static int fs_openmp_limit(void) { return omp_get_max_threads(); }
    static int fs_openmp_cpus(void) { return omp_get_num_procs(); }
    static int fs_inside_parallel(void) { return omp_in_parallel(); }
    #else
    static int fs_has_openmp(void) { return 0; }
    static int fs_openmp_limit(void) { return 1; }
    static int fs_openmp_cpus(void) { return 1; }
    static int fs_inside_parallel(void) { return 0; }
    #endif
    #if defined(_WIN32)
    static void fs_at_fork(void (*child)(void)) { (void)child; }
    #else
    #include <pthread.h>
    static void fs_at_fork(void (*child)(void)) { pthread_atfork(NULL, NULL, child); }
    #endif
    """
    int fs_has_openmp() noexcept nogil
    int fs_openmp_limit() noexcept nogil
    int fs_openmp_cpus() noexcept nogil
    int fs_inside_parallel() noexcept nogil
    void fs_at_fork(void (*child)() noexcept nogil) noexcept nogil

# Between two slabs the calling thread looks for Ctrl-C. The first slab is sized by prediction, and small, because
# curves, staging and the generic kernels take several times as long; the others by how long the last one took.
SLAB_SECONDS = 0.04
FIRST_SLAB = 0.25
# A parallel region costs 1 to 2 µs with spinning workers on cores side by side, 7 where the host places them badly (44
# with sleeping ones). At 8 µs of serial time a second thread wins 2 µs in the first case and loses 3 in the second, below
# it wins less and loses more. The constants of the predictions were measured on Zen 4 and Zen 3 with AVX2: on the latter
# nine tenths of the sweep's calls of 4 to 30 µs are predicted at 0.72 to 1.44 of their time, half at less than 0.95.
cdef double PARALLEL_SECONDS = 8e-6
# A worker wakes a microsecond or two after its caller; if the caller then takes a tile of a short call from it, the
# tile's output changes caches in every call. Depthwise 3×3 at 14² × 256, two threads: 14 µs without help, 14 to 31 with
# it; at 8² × 128: 5 and 6.
HELP_SECONDS = 100e-6
cdef int MOST_THREADS = 1024
cdef enum:
    MOST_SHARES = 64

cdef int forked = 0
cdef int quota_cpus = MOST_THREADS


cdef void mark_forked() noexcept nogil:
    global forked
    forked = 1


def _quota():
    """CPUs that the cgroup's quota allows, rounded up; MOST_THREADS without one."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return MOST_THREADS
    if quota in ("max", "-1") or not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return MOST_THREADS
    return max(1, -(-int(quota) // int(period)))


cdef int allowed_cpus() noexcept:
    return max(1, min(fs_openmp_cpus(), quota_cpus))


cdef int requested(object threads) except -1:
    """The number asked for, before any reason to stay serial."""
    if threads is None:
        return max(1, min(fs_openmp_limit(), allowed_cpus()))
    if type(threads) is not int:
        if isinstance(threads, bool) or not hasattr(type(threads), "__index__"):
            raise TypeError(f"threads must be None, -1 (all) or a positive int; got {threads!r}")
        threads = threads.__index__()
    if threads == -1:
        return allowed_cpus()
    if threads < 1 or threads > MOST_THREADS:
        raise ValueError(f"threads must be None, -1 (all) or between 1 and {MOST_THREADS}; got {threads}")
    return threads


cdef int threads_for(object threads, double seconds) except -1:
    """Threads that a call of this predicted serial time gets."""
    cdef int count
    if threads is None and seconds < PARALLEL_SECONDS:
        return 1
    count = requested(threads)
    if count > 1 and (forked or not fs_has_openmp() or fs_inside_parallel()):
        return 1
    return count


def resolve(threads=None):
    """Threads that a call long enough to use them would get.

    Parameters
    ----------
    threads : int or None
        As given to a call.

    Returns
    -------
    int
    """
    return threads_for(threads, 1.0)


def check(threads):
    """Raise what a call would raise for this value of `threads`."""
    if threads is not None:
        requested(threads)


def explain():
    """How many threads, and where the number comes from, as a sentence for `python -m fastsep info`."""
    if not fs_has_openmp():
        return "1 (built without OpenMP: FASTSEP_NO_OPENMP was set)"
    if forked:
        return "1 (this process was forked: OpenMP's workers do not survive a fork)"
    limits = {
        "OpenMP's limit (OMP_NUM_THREADS, threadpoolctl)": fs_openmp_limit(),
        "CPUs this process may use": fs_openmp_cpus(),
    }
    if quota_cpus < MOST_THREADS:
        limits["the cgroup's CPU quota"] = quota_cpus
    reasons = "; ".join(f"{name}: {count}" for name, count in limits.items())
    return f"{resolve(None)} (the least of {reasons})"


def has_openmp():
    """Whether this build can use more than one thread."""
    return bool(fs_has_openmp())


cdef void run_share(run_tile_function run_tile, const void *call, fs_share *shares, int count, int own, bint help,
                    char *scratch) noexcept nogil:
    """One thread: its own share to the end, then, if it is to help, what is left of the others'."""
    cdef int i
    cdef int64_t tile
    for i in range(count if help else 1):
        while True:
            tile = fs_take(&shares[(own + i) % count])
            if tile >= shares[(own + i) % count].last:
                break
            run_tile(call, tile, scratch)


cdef void run_parallel(run_tile_function run_tile, const void *call, int64_t first, int64_t last, char *scratch,
                       int64_t scratch_bytes, int threads, bint help) noexcept nogil:
    """The parallel loop over tiles [first, last). Each thread begins with a contiguous share, the same one in every
    call of the kind, so that what it wrote is still in its own L2; then it may help the others."""
    cdef fs_share shares[MOST_SHARES]
    cdef int i, count = min(threads, MOST_SHARES)
    for i in range(count):
        shares[i].next = first + (last - first) * i // count
        shares[i].last = first + (last - first) * (i + 1) // count
    for i in prange(threads, schedule="static", chunksize=1, num_threads=threads):
        run_share(run_tile, call, shares, count, i % count, help or threads > count, scratch + threadid() * scratch_bytes)


cdef void run_range(run_tile_function run_tile, const void *call, int64_t first, int64_t last, char *scratch,
                    int64_t scratch_bytes, int threads, bint help) noexcept nogil:
    cdef int64_t tile
    if threads == 1 or last - first == 1:
        for tile in range(first, last):
            run_tile(call, tile, scratch)
    else:
        run_parallel(run_tile, call, first, last, scratch, scratch_bytes, threads, help)


cdef int64_t apart(int64_t scratch_bytes) noexcept nogil:
    """From one thread's scratch to the next: whole cache lines, and one between them."""
    return (scratch_bytes + 127) // 64 * 64


cdef int64_t scratch_allocated(int64_t scratch_bytes, int threads) noexcept nogil:
    """Bytes that the scratch of so many threads takes, alignment included."""
    return apart(scratch_bytes) * threads + 64


# Where a call stands: a step is one phase of one round.
cdef struct position:
    int64_t step, tile


cdef double run_slab(const phase *phases, int count, int64_t rounds, const void *call, char *scratch,
                     int64_t scratch_bytes, int threads, bint help, position *at, double budget) noexcept nogil:
    """Run on until `budget` seconds of predicted serial time are used up, or to the end; returns those used."""
    cdef const phase *now
    cdef int64_t last, first, share
    cdef int workers
    cdef double used = 0.0, a_tile
    while at.step < rounds * count:
        now = &phases[at.step % count]
        workers = <int>min(threads, max(1, now.tiles))
        a_tile = now.seconds / max(1, now.tiles)
        last = now.tiles
        if (last - at.tile) * a_tile > budget - used:
            share = max(workers, <int64_t>((budget - used) / a_tile))
            last = min(last, at.tile + share)
        first = at.step // count * now.tiles
        run_range(now.run_tile, call, first + at.tile, first + last, scratch, scratch_bytes, workers, help)
        used += (last - at.tile) * a_tile
        at.tile = last
        if at.tile == now.tiles:
            at.step += 1
            at.tile = 0
        if used >= budget:
            break
    return used


cdef int64_t run_phases(const phase *phases, int count, int64_t rounds, const void *call, int64_t scratch_bytes,
                        int threads) except -1:
    """Run every tile of a call: its phases in order, and all of them again for every round, whose tiles count on.
    Returns the bytes of scratch that were allocated."""
    cdef char *memory = NULL
    cdef char *scratch = NULL
    cdef position at
    cdef int i
    cdef int64_t most = 0, allocated
    cdef double begun = 0.0, elapsed, used, budget, seconds = 0.0
    for i in range(count):
        most = max(most, phases[i].tiles)
        seconds += phases[i].seconds * rounds
    if most == 0:
        return 0
    if threads > most:
        threads = <int>most
    if scratch_bytes > (<int64_t>1 << 46) // threads:
        raise MemoryError(f"a tile of this call would need {scratch_bytes} bytes of scratch")
    allocated = scratch_allocated(scratch_bytes, threads)
    memory = <char *>malloc(<size_t>allocated)
    if memory == NULL:
        raise MemoryError(f"no room for {allocated} bytes of scratch")
    scratch_bytes = apart(scratch_bytes)
    scratch = memory + (64 - <uintptr_t>memory % 64)
    budget = FIRST_SLAB * SLAB_SECONDS * threads
    if seconds <= budget:
        budget = INFINITY
    at.step = at.tile = 0
    try:
        while at.step < rounds * count:
            if budget < INFINITY:
                begun = perf_counter()
            with nogil:
                used = run_slab(phases, count, rounds, call, scratch, scratch_bytes, threads, seconds > HELP_SECONDS, &at,
                                budget)
            if at.step < rounds * count:
                PyErr_CheckSignals()
                elapsed = perf_counter() - begun
                budget = used * (SLAB_SECONDS / max(elapsed, 1e-6))
    finally:
        free(memory)
    return allocated


quota_cpus = _quota()
fs_at_fork(mark_forked)
