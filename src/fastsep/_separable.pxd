"""Depthwise then pointwise without the array between them."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array, destination
from fastsep._depthwise cimport DepthwisePlan, depthwise_plan
from fastsep._job cimport CompiledPlan
from fastsep._pointwise cimport PointwisePlan, pointwise_plan

cdef struct separable_plan:
    const depthwise_plan *depthwise
    const pointwise_plan *pointwise

cdef struct separable_call:
    separable_plan plan
    array x
    destination to
    int64_t before[3]
    int64_t block_rows, block_columns, row_blocks, column_blocks
    int64_t block_panels, panel_blocks
    bint stage_x, streams
    int64_t pointers_at, depthwise_at, ring_at, scratch_bytes

cdef void separable_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class SeparablePlan(CompiledPlan):
    cdef separable_plan plan
    cdef readonly DepthwisePlan depthwise
    cdef readonly PointwisePlan pointwise
    cdef double seconds(self, const array *out) noexcept
