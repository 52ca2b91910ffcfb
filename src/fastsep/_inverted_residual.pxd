"""Expand, depthwise, project (and add the input) without the arrays between them."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array, destination
from fastsep._depthwise cimport DepthwisePlan, depthwise_plan
from fastsep._job cimport CompiledPlan
from fastsep._pointwise cimport PointwisePlan, pointwise_plan

cdef struct inverted_residual_plan:
    const pointwise_plan *expand
    const depthwise_plan *depthwise
    const pointwise_plan *project

cdef struct inverted_residual_call:
    inverted_residual_plan plan
    array x
    destination to
    int64_t before[3]
    int64_t block_rows, block_columns, row_blocks, column_blocks
    int64_t group_rows                            # output rows from one filling of the ring
    int64_t most_pixels                           # of one run of the panels
    bint stage_x
    int64_t pointers_at, ring_at, depthwise_at, x_at, scratch_bytes

cdef void inverted_residual_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class InvertedResidualPlan(CompiledPlan):
    cdef inverted_residual_plan plan
    cdef readonly PointwisePlan expand
    cdef readonly DepthwisePlan depthwise
    cdef readonly PointwisePlan project
    cdef double seconds(self, const array *x, const array *out) noexcept
