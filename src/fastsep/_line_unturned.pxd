"""Blocks of rows, filtered along where they are."""

from libc.stdint cimport int64_t

from fastsep._line_types cimport lines_call

cdef void lay_out_unturned(lines_call *c) noexcept nogil
cdef void run_unturned(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil
