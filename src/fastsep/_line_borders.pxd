"""What the two ways of filtering a block of rows share."""

from libc.stdint cimport int64_t

from fastsep._isa cimport fs_lines, fs_transfer
from fastsep._line_types cimport lines_block, lines_call, lines_outer, lines_pass

cdef int64_t whole_lines(int64_t size) noexcept nogil
cdef int64_t uneven_lines(int64_t size) noexcept nogil
cdef void fill(char *to, int64_t count, double value, int64_t item) noexcept nogil
cdef int64_t mapped(const lines_pass *p, int64_t at) noexcept nogil
cdef int64_t pixel_of(const lines_call *c, int64_t at, int64_t *channel) noexcept nogil
cdef int64_t offset_of(const lines_outer *outer, const int64_t *strides, int64_t row) noexcept nogil
cdef lines_block rows_of(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil
cdef int64_t item_of(const lines_call *c) noexcept nogil
cdef void describe_load(const lines_call *c, const lines_pass *p, int64_t outputs, char *const *array,
                        int64_t row_stride, fs_transfer *load) noexcept nogil
cdef void load_columns(const lines_call *c, fs_transfer *move, int64_t first, int64_t count, char *to) noexcept nogil
cdef void clear_columns(char *rows, int64_t count, int64_t row_stride, int64_t first, int64_t last, int64_t item) noexcept nogil
cdef void describe_lines(const lines_call *c, const lines_pass *p, bint last, fs_lines *work) noexcept nogil
cdef void decide(const lines_call *c, const lines_pass *p, int64_t outputs, int64_t vectors, const char *rows,
                 int64_t row_stride, int64_t tap_stride, char *sums, int64_t sums_stride, char *scratch) noexcept nogil
