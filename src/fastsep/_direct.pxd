"""Standard convolution with groups: panels of the pointwise family, one row of pixels a tap."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, View, array, window
from fastsep._isa cimport fs_epilogue
from fastsep._pointwise cimport panels

cdef struct direct_plan:
    panels panels
    window window
    const char *zeros         # one pixel of padding: all input channels
    fs_epilogue epilogue

cdef struct direct_call:
    const direct_plan *plan
    array x, out, residual
    int64_t before[3]
    int64_t block_rows, block_columns, row_blocks, column_blocks
    int64_t block_panels, panel_blocks           # over the panels of all groups
    bint stage_x, stage_out, stage_residual
    int64_t ring_at, out_at, residual_at, scratch_bytes

cdef void direct_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class DirectPlan:
    cdef direct_plan plan
    cdef Packed packed
    cdef Packed padding
    cdef readonly str isa
    cdef double seconds(self, const array *out) noexcept
    cdef int prepare(self, direct_call *call, View x, View out, View residual, object threads) except -1
