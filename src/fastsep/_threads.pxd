"""The one parallel loop of the package, and the policy of how many threads it gets."""

from libc.stdint cimport int64_t

# Computes one tile of a call. Tiles of a phase are independent, may run in any order and on any thread; `scratch` is
# 64-byte aligned, uninitialised and belongs to this tile alone while it runs.
ctypedef void (*run_tile_function)(const void *call, int64_t tile, char *scratch) noexcept nogil

# A phase begins when every tile of the one before it has ended.
cdef struct phase:
    run_tile_function run_tile
    int64_t tiles              # of one round
    double seconds             # predicted serial time of one round

# Shares of tiles, and what else the threads of a region need of each other.
cdef extern from "team.h" nogil:
    struct fs_share:
        int64_t next, last

    struct fs_barrier:
        int64_t arrived, generation

    int64_t fs_take(fs_share *share)
    void fs_wait(fs_barrier *barrier, int64_t threads)
    int fs_claim(int *flag)
    void fs_release(int *flag)
    double fs_clock()

cdef double SLAB_SECONDS, FIRST_SLAB, HELP_SECONDS

cdef int64_t apart(int64_t scratch_bytes) noexcept nogil
cdef void run_share(run_tile_function run_tile, const void *call, fs_share *shares, int count, int own, bint help,
                    char *scratch) noexcept nogil
cdef int64_t scratch_allocated(int64_t scratch_bytes, int threads) noexcept nogil
cdef int64_t run_phases(const phase *phases, int count, int64_t rounds, const void *call, int64_t scratch_bytes,
                        int threads) except -1
cdef int threads_for(object threads, double seconds) except -1
