"""A call ready to run: what a plan makes of its arrays, and what the parallel loop or a host runs."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport View, window
from fastsep._threads cimport phase, run_tile_function

cdef enum:
    CALL_WORDS = 160
    MOST_PHASES = 3


cdef struct job:
    phase phases[MOST_PHASES]  # run in this order
    int phase_count
    int64_t rounds             # all phases are run so often
    int64_t scratch_bytes      # of one thread
    int64_t shared_bytes       # of the call: what one phase leaves for the next
    char **shared              # in `call`: receives the address of that memory, 64-byte aligned; NULL if there is none
    int threads
    double seconds             # predicted serial time
    int64_t call[CALL_WORDS]   # the family's call struct, which run_tile is given


cdef void begin(job *work) noexcept
cdef void add_phase(job *work, run_tile_function run_tile, int64_t tiles, double seconds) noexcept
cdef int64_t shared_allocated(const job *work) noexcept


cdef class CompiledPlan:
    cdef readonly str isa
    cdef readonly int64_t item_bytes           # of a number in the arrays
    cdef const window *geometry                # NULL: the outputs are where the inputs are
    cdef readonly int64_t inputs, outputs      # channels
    cdef int64_t compute(self, View x, View out, View residual, object threads) except -1
    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1
    cdef str tile(self, const job *work)
