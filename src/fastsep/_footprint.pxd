"""Correlation over a footprint of any shape: one call as plain data."""

from libc.stdint cimport int64_t

from fastsep._isa cimport fs_real_kernels
from fastsep._line_types cimport MOST_AXES, elements

cdef struct footprint_call:
    const fs_real_kernels *kernels
    elements x, out
    int ndim                                   # at least 2: planes …, rows, columns
    int64_t shape[MOST_AXES]                   # of the output
    int64_t x_strides[MOST_AXES]
    int64_t out_strides[MOST_AXES]
    const int64_t *positions[MOST_AXES]        # [shape + reach]: of the input, -1 for the constant
    int64_t reach[MOST_AXES]                   # taps - 1
    int64_t taps
    const int64_t *tap_planes                  # [taps]: which of the planes
    const int64_t *tap_rows                    # [taps]
    const int64_t *tap_columns                 # [taps]
    const char *weights                        # [taps] reals
    int64_t planes                             # that the kernel touches
    const int64_t *plane_offsets               # [planes][ndim - 2]
    double constant
    int exact
    # how the call is cut
    int64_t block_rows, row_blocks, strip_columns, strips
    int64_t row_stride, result_stride
    int64_t result_at, pointers_at, taps_at, scratch_bytes
