"""Filters along axes: one stage of a call, a pass down the rows, one along them, or both in one traversal. Types alone: no
module has this name."""

from libc.stdint cimport int32_t, int64_t

from fastsep._isa cimport (
    fs_bits,
    fs_dtype,
    fs_folding,
    fs_joint,
    fs_line_kernels,
    fs_missing,
    fs_real_kernels,
)
from fastsep._threads cimport phase

cdef enum:
    MOST_AXES = 64
    CACHE_LINE = 64
    # Rows so far apart begin in the same sets of most caches of level 2.
    SAME_SETS = 1 << 16

cdef enum border:
    REFLECT, CONSTANT, NEAREST, MIRROR, WRAP, VALID

# An array as a stage reads or writes it.
cdef struct elements:
    char *data
    fs_dtype dtype
    int swapped
    int64_t item

# One pass as the kernels see it. No taps: there is no such pass.
cdef struct lines_pass:
    int64_t taps, before, size, outputs        # positions of the input and of the output along the axis
    border mode
    double cval
    const char *weights                        # [taps] reals, or pairs for lines16.inc; NULL: a mean
    fs_folding folding
    int exact
    double factor                              # of the sums, before they are rounded to the nearest integers
    double divisor                             # of a mean
    bint rounds, once                          # to the nearest; every multiply-add rounded once: see fs_lines
    double start                               # what the first product is added to
    int32_t half, shift, multiplier            # the same in 16-bit lanes: see fs_lines
    fs_bits bits                               # how sums in float32 become SciPy's integers
    bint running                               # SciPy's running sum, from the first output to the last

# Free axes, outermost first: where a row begins.
cdef struct lines_outer:
    int count
    int64_t rows
    int64_t shape[MOST_AXES]
    int64_t x_strides[MOST_AXES]
    int64_t out_strides[MOST_AXES]

cdef struct lines_call:
    const fs_real_kernels *kernels
    const fs_line_kernels *unturned            # in their place where the pass along reads rows where they are, else NULL
    elements x, out
    lines_pass down, along
    lines_pass through                         # before both, through the slices of a volume; no taps: there is none
    lines_outer outer                          # of volumes, or planes where there is a pass down, else of rows
    int64_t x_row, out_row                     # strides of the axis of the pass down
    int64_t x_slice, out_slice                 # of the axis of the pass through slices
    int64_t channels, x_step, out_step         # elements of a pixel; bytes from pixel to pixel, or element to element
    int64_t columns, out_columns               # elements of a row of the input and of the output
    bint settle                                # what goes down is stored in the output's type before it goes along
    const fs_line_kernels *deciding            # what makes SciPy's integers of sums in float32, or NULL
    bint nearest                               # passes round to integers
    double low, high                           # within which the last one stays
    bint in_place                              # x is out: planes are copied to scratch, which need fit there
    int words_in                               # the pass down reads integers of 16 bits where they are; -1: with a sign
    bint words_out                             # the pass along stores them where they are
    bint paired                                 # one of two filters of one traversal
    fs_missing missing                         # what becomes of NaN
    int64_t aside                              # where in scratch the output goes, in rows of a block; 0: into the array
    bint x_is_real, out_is_real                # rows that need no conversion, or none that the tile does not do itself
    # how the call is cut
    int64_t block_rows, row_blocks, block_columns, column_blocks
    int64_t strip_columns
    int64_t middle_stride                      # where nothing is turned: bytes from row to row
    int64_t block_slices, slice_blocks         # of volumes, and bytes from row to row and from slice to slice
    int64_t strip_stride, window_stride, slice_stride
    int64_t rows_at, sums_at, bits_at, middle_at, turned_at, states_at, result_at, plane_at, window_at
    int64_t scratch_bytes

# Rows of a tile.
cdef struct lines_block:
    int64_t row, count                         # the first, of its plane or of all, and how many
    char **x                                   # [count + taps - 1] that are read
    char **out                                 # [count] that are written
    int64_t x_row                              # from one that is read to the next, where none is mapped

# Where `x` and `out` lie is said when it runs.
cdef struct lines_stage:
    lines_call call
    phase step

# Two filters of one input, of one stage each and cut alike, and what becomes of their outputs, tile by tile.
cdef struct lines_pair:
    lines_call first, second                   # the second leaves its rows aside
    lines_call plain                           # of quotients: the first where nothing is missing
    const fs_real_kernels *input               # which look for what is missing; NULL: no matter
    const fs_real_kernels *joining             # of the output's type
    fs_joint joint
    double whole
    int64_t plain_blocks                       # of which one of the first is some
    phase step
    int64_t scratch_bytes
