"""Filters that were asked for before: their plans, kept."""

from fastsep._lines cimport FilterPlan


# A plan, and the output that a call without one gets.
cdef class KeptFilter:
    cdef FilterPlan plan
    cdef tuple shape
    cdef object dtype, new_array


cdef class UsualFilters:
    cdef dict plans, passes                    # in the order in which they came
    cdef object lock
    cdef int most
