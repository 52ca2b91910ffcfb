"""Depthwise convolution: the plan, and the rectangle of outputs that other drivers fuse with."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, array, rectangle, source, window
from fastsep._isa cimport fs_epilogue, fs_real_kernels, fs_row
from fastsep._job cimport CompiledPlan

cdef struct depthwise_plan:
    const fs_real_kernels *kernels
    window window
    int64_t channels          # of the output
    int64_t repeat            # depth multiplier
    int64_t taps
    const char *weights       # [⌈channels/lanes⌉][taps][lanes]
    const char *bias
    const char *zeros         # one pixel of padding
    fs_epilogue epilogue

cdef Packed pack_depthwise(depthwise_plan *p, const fs_real_kernels *kernels, object kernel, object bias,
                           int64_t repeat)
cdef double depthwise_seconds(const depthwise_plan *p, double pixels, double moved_bytes) noexcept nogil
cdef str row_pairs(const depthwise_plan *p)
cdef int64_t row_table_bytes(const depthwise_plan *p) noexcept nogil
cdef void run_rectangle(const depthwise_plan *p, const source *input, const int64_t *before, const rectangle *r,
                        fs_row *rows) noexcept nogil

cdef struct depthwise_call:
    const depthwise_plan *plan
    array x, out, residual
    int64_t before[3]
    int64_t block_rows, block_columns, block_channels
    int64_t row_blocks, column_blocks, channel_blocks
    bint stage_x, stage_out, stage_residual, compact, distant, in_lines
    int64_t ring_at, out_at, residual_at, scratch_bytes

cdef void depthwise_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class DepthwisePlan(CompiledPlan):
    cdef depthwise_plan plan
    cdef Packed packed
    cdef double seconds(self, const array *out) noexcept
