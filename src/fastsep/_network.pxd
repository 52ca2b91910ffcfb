"""A list of steps, prepared once and run as one."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, View
from fastsep._job cimport CompiledPlan, job
from fastsep._threads cimport fs_barrier, fs_share

# Where a run stands: a step; of its phases, rounds counted on, one; and its first tile that is still to do.
cdef struct position:
    int64_t step, phase, tile

# What the threads of a region share.
cdef struct team_work:
    job *jobs
    int64_t count
    char *scratch
    int64_t scratch_bytes      # from one thread's to the next
    fs_share *shares           # two sets, one thread's after the other
    fs_barrier barrier
    double *begun              # receives when each step began; NULL: nobody asks


cdef class Step:
    cdef CompiledPlan plan
    cdef View x, out, residual # ABSENT: none, or still to come
    cdef bint adds             # a residual: it had one, or has
    cdef bint ready            # its job is that of its arrays


cdef class Network:
    cdef list steps
    cdef team_work work
    cdef Packed scratch, shared, shares
    cdef readonly int threads
    cdef object asked          # `threads` as given
    cdef int running
    cdef double rate           # seconds of the last run by predicted serial second; 0: there was none
    cdef double predicted_seconds(self) noexcept
    cdef Step step_at(self, object index)
    cdef int place(self, int64_t index, object x, object out, object residual) except -1
    cdef int let_go(self, int64_t index, object x, object out, object residual) except -1
    cdef int prepare(self, int64_t index) except -1
    cdef int reserve(self, const job *work) except -1
    cdef int execute(self, object replacements, double *begun) except -1
    cdef int run_slabs(self) except -1
