"""Numbers combined place by place, and curves."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array
from fastsep._isa cimport fs_epilogue, fs_real_kernels
from fastsep._job cimport CompiledPlan

cdef struct elementwise_plan:
    const fs_real_kernels *kernels
    bint multiplies
    fs_epilogue epilogue

cdef struct elementwise_call:
    const elementwise_plan *plan
    array x, out, residual
    int64_t pixels, block_pixels, pixel_blocks
    int64_t block_channels, channel_blocks
    bint stage_x, stage_out, stage_residual
    int64_t x_at, out_at, residual_at, scratch_bytes


cdef class ElementwisePlan(CompiledPlan):
    cdef elementwise_plan plan
