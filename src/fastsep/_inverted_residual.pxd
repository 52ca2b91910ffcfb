"""Expand, depthwise, project (and add the input) without the arrays between them."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array, destination, source, window
from fastsep._depthwise cimport DepthwisePlan, depthwise_plan
from fastsep._job cimport CompiledPlan
from fastsep._pointwise cimport PointwisePlan, pointwise_plan

cdef struct inverted_residual_plan:
    const pointwise_plan *expand
    const depthwise_plan *depthwise
    const pointwise_plan *project

# The first part of a block: pixels of the input into a ring of expanded rows.
cdef struct expansion:
    const pointwise_plan *plan
    array x
    bint stage_x
    int64_t most_pixels                           # of one run of the panels
    int64_t pointers_at, x_at                     # in scratch

cdef int64_t pointer_bytes(int64_t pixels) noexcept nogil
cdef int64_t lay_out_expansion(expansion *e, int64_t most_pixels, int64_t pointers_at, int64_t x_at) noexcept nogil
cdef void expand_seen(const expansion *e, const window *w, const int64_t *before, int64_t first_panel,
                      int64_t last_panel, int64_t batch, int64_t depth, int64_t row_low, int64_t row_high,
                      const source *ring, int64_t low, int64_t high, char *scratch) noexcept nogil

cdef struct inverted_residual_call:
    inverted_residual_plan plan
    expansion expand
    destination to
    int64_t before[3]
    int64_t block_rows, block_columns, row_blocks, column_blocks
    int64_t group_rows                            # output rows from one filling of the ring
    int64_t pointers_at, ring_at, depthwise_at, scratch_bytes

cdef void inverted_residual_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class InvertedResidualPlan(CompiledPlan):
    cdef inverted_residual_plan plan
    cdef readonly PointwisePlan expand
    cdef readonly DepthwisePlan depthwise
    cdef readonly PointwisePlan project
    cdef double seconds(self, const array *x, const array *out) noexcept
