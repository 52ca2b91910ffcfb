"""Panels of packed weights, and the pointwise convolution made of them."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, array
from fastsep._isa cimport fs_epilogue, fs_panel, fs_real_kernels
from fastsep._job cimport CompiledPlan

cdef struct panels:
    const fs_real_kernels *kernels
    int64_t groups, taps, inputs, outputs      # inputs and outputs of one group
    int64_t count                              # panels of one group
    int64_t group_bytes, group_biases          # packed bytes of one group
    const char *weights
    const char *bias

cdef void panel_at(const panels *p, int64_t index, int64_t *first, int64_t *vectors, int64_t *outputs) noexcept nogil
cdef str register_tile(const panels *p)
cdef bint weights_stay(const panels *p) noexcept nogil
cdef void run_panels_ahead(const panels *p, fs_panel *work, const char *ahead, int64_t row_bytes, int64_t rows,
                           int64_t row_stride) noexcept nogil
cdef void run_panels(const panels *p, int64_t group, int64_t first_panel, int64_t last_panel, fs_panel *work,
                     int64_t output_offset) noexcept nogil
cdef Packed pack_panels(panels *p, str isa, int64_t groups, int64_t taps, object kernel, object bias)
cdef double panel_seconds(const panels *p, double pixels, double moved_bytes) noexcept nogil
cdef int64_t pixels_of_level2(int64_t pixel_bytes) noexcept nogil
cdef int64_t pixels_for_cache(int64_t pixel_bytes, bint staged) noexcept nogil

cdef void merge_axes(array *x, array *out, array *residual, int outermost) noexcept nogil

cdef struct pointwise_plan:
    panels panels
    fs_epilogue epilogue

cdef struct pointwise_call:
    const pointwise_plan *plan
    array x, out, residual
    int64_t pixels, block_pixels, pixel_blocks
    int64_t block_panels, panel_blocks
    bint stage_x, stage_out, stage_residual, streams
    int64_t x_at, out_at, residual_at, scratch_bytes   # offsets of the staged blocks behind the pointers

cdef void pointwise_tile(const void *call, int64_t tile, char *scratch) noexcept nogil


cdef class PointwisePlan(CompiledPlan):
    cdef pointwise_plan plan
    cdef Packed packed
    cdef double seconds(self, int64_t pixels) noexcept
