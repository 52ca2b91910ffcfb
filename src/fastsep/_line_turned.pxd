"""Blocks of rows, turned for the pass along them."""

from libc.stdint cimport int64_t

from fastsep._line_types cimport lines_call

cdef void lay_out_turned(lines_call *c) noexcept nogil
cdef void run_turned(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil
