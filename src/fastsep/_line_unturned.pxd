"""Blocks of rows, filtered along where they are."""

from libc.stdint cimport int64_t

from fastsep._isa cimport fs_lines, fs_transfer
from fastsep._line_types cimport lines_call

cdef void lay_out_unturned(lines_call *c) noexcept nogil
cdef void fill_middle(const lines_call *c, int64_t rows, int64_t first, int64_t last, int64_t begin, char *middle) noexcept nogil
cdef void run_along(const lines_call *c, fs_lines *along, fs_transfer *put, int64_t rows, int64_t first, int64_t done,
                    int64_t ready, const char *middle, char *scratch, char *const *out_rows) noexcept nogil
cdef void run_unturned(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil
