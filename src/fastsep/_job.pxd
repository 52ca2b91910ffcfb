"""A call ready to run: what a plan makes of its arrays, and what the parallel loop or a host runs."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport View, window
from fastsep._threads cimport run_tile_function

cdef enum:
    CALL_WORDS = 128


cdef struct job:
    run_tile_function run_tile
    int64_t tiles
    int64_t scratch_bytes      # of one thread
    int threads
    double seconds             # predicted serial time
    int64_t call[CALL_WORDS]  # the family's call struct, which run_tile is given


cdef class CompiledPlan:
    cdef readonly str isa
    cdef const window *geometry                # NULL: the outputs are where the inputs are
    cdef readonly int64_t inputs, outputs      # channels
    cdef int64_t compute(self, View x, View out, View residual, object threads) except -1
    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1
    cdef str tile(self, const job *work)
