"""The usual call of a plan."""

from fastsep._job cimport CompiledPlan


cdef class UsualCall:
    cdef readonly CompiledPlan plan
    cdef object dtype, threads
    cdef int lowest, highest                   # spatial axes that inputs may have
    cdef bint channels_first
