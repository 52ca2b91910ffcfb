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

cdef int64_t scratch_allocated(int64_t scratch_bytes, int threads) noexcept nogil
cdef int64_t run_phases(const phase *phases, int count, int64_t rounds, const void *call, int64_t scratch_bytes,
                        int threads) except -1
cdef int threads_for(object threads, double seconds) except -1
