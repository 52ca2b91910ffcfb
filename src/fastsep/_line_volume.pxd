"""Volumes, their three axes filtered in one traversal."""

from libc.stdint cimport int64_t

from fastsep._line_types cimport lines_call

cdef bint lay_out_volume(lines_call *c) noexcept nogil
cdef void run_volume(const lines_call *c, int64_t tile, char *scratch) noexcept nogil
