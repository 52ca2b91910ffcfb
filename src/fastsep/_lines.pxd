"""Filters along axes: what a plan is to those who keep it."""

from fastsep._arrays cimport Packed, View


cdef class FilterPlan:
    cdef Packed stages                         # lines_stage[count]
    cdef Packed pair                           # lines_pair in their place, or None
    cdef int count
    cdef list weights                          # packed, as the stages point to them
    cdef list between                          # by stage: shape and dtype of what it leaves for the next; None: the output
    cdef int compute(self, View x, View out, object threads) except -1
    cdef int compute_pair(self, View x, View out, object threads) except -1
