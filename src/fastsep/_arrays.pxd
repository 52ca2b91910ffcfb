"""What every driver shares: arrays as pointers and byte strides, windows, staging, packed weights."""

from libc.stdint cimport int64_t

from fastsep._isa cimport fs_epilogue, fs_panel, fs_real_kernels, fs_row

# Axes of everything inside: batch, depth, height, width, channels. Lower ranks have leading spatial axes of 1.
cdef enum:
    BATCH = 0
    DEPTH = 1
    HEIGHT = 2
    WIDTH = 3
    CHANNELS = 4

cdef struct array:
    char *data                 # NULL: absent
    int64_t shape[5]
    int64_t strides[5]         # bytes

# One spatial window: index 0, 1, 2 = depth, height, width.
cdef struct window:
    int64_t taps[3]
    int64_t strides[3]
    int64_t dilation[3]
    int padding                # 0 explicit, 1 same, 2 same_lower, 3: the whole axis is one window
    int64_t pads[3][2]         # explicit (before, after)
    bint ceil                  # explicit: a last window may reach beyond the padding, if it begins before it

# Where a call's input lies for one tile: the array itself, or a ring of rows in scratch.
cdef struct source:
    const char *data           # depth 0, row 0, column 0, first channel; may lie outside when staged
    int64_t strides[3]         # bytes: depth, row, column
    int64_t ring[2]            # depth and row are taken modulo these; 0: not a ring
    int64_t shape[3]           # of the image
    const char *zeros          # one pixel of padding
    bint empty                 # every column it could show is padding
    bint distant               # too large for the last-level cache: worth prefetching
    bint in_lines              # too large with the output: pixels are best read whole

# One pixel of an array.
cdef struct cursor:
    int64_t batch, depth, row, column

# A rectangle of outputs within one image, and where it goes.
cdef struct rectangle:
    int64_t depth, row, rows, column, columns, channel, channels
    char *out                  # of its first row, column and channel
    int64_t out_row_stride, out_pixel_stride
    const char *residual       # or NULL
    int64_t residual_row_stride, residual_pixel_stride

# Where the pixels of a call go and what is added to them; arrays whose channels are apart by way of scratch.
cdef struct destination:
    array out, residual
    bint stage_out, stage_residual
    int64_t out_at, residual_at         # in scratch

cdef int64_t divide_up(int64_t a, int64_t b) noexcept nogil
cdef int64_t align(int64_t size) noexcept nogil
cdef int64_t effective(const window *w, int axis) noexcept nogil
cdef int64_t output_size(const window *w, int axis, int64_t size) noexcept nogil
cdef int64_t pad_before(const window *w, int axis, int64_t size) noexcept nogil
cdef void fill_before(const window *w, const array *x, int64_t *before) noexcept nogil
cdef cursor place_tile(const array *out, int64_t tile, int64_t block_rows, int64_t row_blocks, int64_t block_columns,
                       int64_t column_blocks, rectangle *r) noexcept nogil
cdef void place_outputs(const array *out, cursor at, int64_t item, char *staged, rectangle *r) noexcept nogil
cdef void row_of(const source *s, int64_t depth, int64_t row, fs_row *result) noexcept nogil
cdef void source_of_array(const array *x, int64_t batch, const char *zeros, source *result) noexcept nogil
cdef char *pixel_address(const array *x, cursor at) noexcept nogil
cdef cursor cursor_at(const array *x, int64_t pixel) noexcept nogil
cdef void next_row(cursor *at, const array *x) noexcept nogil
cdef bint beyond_level2(const array *x) noexcept nogil
cdef void fill_pointers(char **pointers, char *base, int64_t stride, int64_t count) noexcept nogil
cdef bint channels_apart(const array *x, int64_t item_bytes) noexcept nogil
cdef void stage(const fs_real_kernels *kernels, const array *x, cursor at, int64_t columns, int64_t first_channel,
                int64_t channels, int64_t repeat, char *to, int64_t to_pixel_stride) noexcept nogil
cdef void unstage(const fs_real_kernels *kernels, const char *pixels, int64_t from_pixel_stride, const array *x,
                  cursor at, int64_t columns, int64_t first_channel, int64_t channels) noexcept nogil
cdef void stage_rows(const fs_real_kernels *kernels, const array *x, cursor at, int64_t rows, int64_t columns,
                     int64_t first_channel, int64_t channels, int64_t repeat, char *to) noexcept nogil
cdef void unstage_rows(const fs_real_kernels *kernels, const char *pixels, const array *x, cursor at, int64_t rows,
                       int64_t columns, int64_t first_channel, int64_t channels) noexcept nogil
cdef void window_range(const window *w, const int64_t *before, const int64_t *shape, int axis, int64_t first,
                       int64_t count, int64_t *low, int64_t *high) noexcept nogil
cdef int64_t seen(const window *w, const int64_t *shape, int axis, int64_t outputs) noexcept nogil
cdef int64_t ring_bytes(const window *w, const int64_t *shape, int64_t rows, int64_t columns,
                        int64_t pixel_bytes) noexcept nogil
cdef void ring_for(const window *w, const int64_t *shape, char *ring, int64_t rows, int64_t columns, int64_t column,
                   int64_t pixel_bytes, const char *zeros, source *result) noexcept nogil
cdef void stage_window(const fs_real_kernels *kernels, const window *w, const array *x, int64_t batch,
                       const int64_t *before, const rectangle *r, int64_t repeat, const char *zeros, char *ring,
                       source *result) noexcept nogil
cdef int64_t staging_bytes() noexcept nogil
cdef int64_t most_scratch() noexcept nogil
cdef int64_t staged_outputs(const destination *to, int64_t item_bytes) noexcept nogil
cdef int64_t lay_out_destination(destination *to, int64_t item_bytes, int64_t at, int64_t staged_bytes) noexcept nogil
cdef void fill_destination(const fs_real_kernels *kernels, const destination *to, cursor at, int64_t rows,
                           int64_t columns, int64_t first_channel, int64_t channels, char *scratch, fs_panel *work,
                           char **pointers) noexcept nogil
cdef void flush_destination(const fs_real_kernels *kernels, const destination *to, cursor at, int64_t rows,
                            int64_t columns, int64_t first_channel, int64_t channels,
                            const char *scratch) noexcept nogil
cdef double predicted_seconds(const fs_real_kernels *kernels, double flops, double moved_bytes) noexcept nogil
cdef double staging_seconds(const array *x, const array *out, int64_t item) noexcept nogil
cdef int fill_window(window *w, object spec) except -1
cdef tuple spatial_output(const window *w, tuple spatial)
cdef int fill_epilogue(fs_epilogue *epilogue, object activation) except -1


cdef class Packed:
    """Memory of packed weights, 64-byte aligned, freed with its plan."""
    cdef char *memory
    cdef char *data
    cdef int64_t size


cdef Packed allocate(int64_t size)


cdef class View:
    """A NumPy array as the struct `array`, for as long as this object lives."""
    cdef array array
    cdef Py_buffer buffer
    cdef bint held


cdef bint is_empty(const array *x) noexcept nogil
cdef View ABSENT                # the view of no array
cdef View strided(object x, bint writable=*)
cdef bint disjoint(View a, View b) noexcept
cdef void arrange(View result, int rank, bint channels_first) noexcept
cdef View view(object x, int rank, bint channels_first, bint writable)
