"""Standard convolution with groups: panels of the pointwise family, one row of pixels a tap."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, array, destination, window
from fastsep._isa cimport fs_epilogue
from fastsep._job cimport CompiledPlan
from fastsep._pointwise cimport panels

cdef struct direct_plan:
    panels panels
    window window
    const char *zeros         # a row of taps' worth of padding: all input channels of each
    fs_epilogue epilogue

cdef struct direct_call:
    const direct_plan *plan
    panels panels             # the plan's; where taps of a row are joined, as taps of kernel width · inputs channels
    bint joined
    array x
    destination to
    int64_t before[3]
    int64_t block_rows, block_columns, row_blocks, column_blocks
    int64_t block_panels, panel_blocks           # over the panels of all groups
    bint stage_x
    int64_t ring_at, segments_at, scratch_bytes

cdef void direct_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class DirectPlan(CompiledPlan):
    cdef direct_plan plan
    cdef Packed packed
    cdef Packed padding
    cdef double seconds(self, const array *out) noexcept
