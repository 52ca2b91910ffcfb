"""Pooling: windows of an image, and whole images, to their largest number or their mean."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array, window
from fastsep._isa cimport fs_epilogue, fs_real_kernels
from fastsep._job cimport CompiledPlan

cdef struct pool_plan:
    const fs_real_kernels *kernels
    window window
    int64_t channels
    bint largest, counts_padding
    fs_epilogue epilogue       # of the residual's addition: bounds of ±inf

cdef struct pool_call:
    const pool_plan *plan
    array x, out, residual
    int64_t before[3]
    int64_t margins[3][2]      # padding that counts
    int64_t block_rows, block_columns, block_channels
    int64_t row_blocks, column_blocks, channel_blocks
    bint stage_x, stage_out, stage_residual
    int64_t ring_at, out_at, residual_at, scratch_bytes

cdef struct global_pool_call:
    const pool_plan *plan
    array x, out, residual
    int64_t block_channels, channel_blocks
    bint stage_x
    int64_t parts_at, staged_at, scratch_bytes


cdef class PoolPlan(CompiledPlan):
    cdef pool_plan plan


cdef class GlobalPoolPlan(CompiledPlan):
    cdef pool_plan plan
