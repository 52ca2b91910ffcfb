"""A tile of a stage, or of two filters of one traversal."""

from libc.stdint cimport int64_t

from fastsep._line_types cimport lines_call, lines_pair
from fastsep._threads cimport phase

cdef bint cut_stage(lines_call *c, phase *step) noexcept nogil
cdef bint pair_up(lines_pair *p) noexcept nogil
