"""Inverted residual with squeeze-and-excite: three phases, with the whole depthwise map between them."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport array, destination
from fastsep._depthwise cimport DepthwisePlan, depthwise_plan
from fastsep._inverted_residual cimport InvertedResidualPlan, expansion
from fastsep._job cimport CompiledPlan
from fastsep._pointwise cimport PointwisePlan, pointwise_plan

cdef struct excite_plan:
    const pointwise_plan *expand                  # NULL: the block begins with its depthwise part
    const depthwise_plan *depthwise
    const pointwise_plan *reduce                  # NULL, and so is the gate: there is none
    const pointwise_plan *gate
    const pointwise_plan *project

cdef struct excite_call:
    excite_plan plan
    expansion expand                              # its x is the input of the block
    destination to                                # axes of an image merged as far as strides allow
    int64_t before[3]
    int64_t shape[3]                              # of the depthwise map of one image
    int64_t round_images                          # whose maps exist at once
    char *shared
    int64_t sums_at, gates_at                     # in shared memory, behind the maps
    # Filter: tiles of rows × blocks of channels.
    int64_t block_rows, row_blocks, block_columns, column_blocks, block_units, channel_blocks
    int64_t units                                 # of channels: the panels of the expansion, or pairs of vectors
    int64_t group_rows                            # output rows from one filling of the ring
    bint stage_x
    int64_t ring_at
    # Gate: one image.
    int64_t hidden_at
    # Project: tiles of pixels × panels.
    int64_t tile_rows, tile_row_blocks, tile_columns, tile_column_blocks, tile_panels, panel_blocks
    int64_t scaled_pixel                          # bytes
    int64_t pointers_at, scaled_at


cdef class ExcitePlan(CompiledPlan):
    cdef excite_plan plan
    cdef readonly PointwisePlan expand            # or None
    cdef readonly DepthwisePlan depthwise
    cdef readonly PointwisePlan reduce
    cdef readonly PointwisePlan gate
    cdef readonly PointwisePlan project
    cdef readonly InvertedResidualPlan rows       # in place of a gate, or None
    cdef bint shares_channels(self, const array *x, const array *out, object threads) except -1
