"""A block of slices walked from its first rows to its last: through the slices into a window that stays in L2, from there
down and along as in an image. A slice is a place along the axis of the first pass, mostly the middle one. See lines.md."""

from libc.stdint cimport int64_t
from libc.string cimport memmove

from fastsep._isa cimport caches, fs_line_kernels, fs_lines, fs_transfer
from fastsep._line_borders cimport (
    clear_columns,
    describe_lines,
    describe_load,
    fill,
    load_columns,
    mapped,
    offset_of,
    uneven_lines,
    whole_lines,
)
from fastsep._line_types cimport CACHE_LINE, SAME_SETS, WRAP, lines_call
from fastsep._line_unturned cimport fill_middle, run_along

cdef enum:
    # Slices of a block and rows of a step: two tiles of six.
    BLOCK_SLICES = 12
    STEP_ROWS = 12


cdef void go_through(const lines_call *c, fs_transfer *load, fs_lines *through, char **rows, int64_t slices,
                     const char *plane, int64_t first, int64_t row, int64_t left, int64_t right, char *strip,
                     char *to) noexcept nogil:
    """A row of every slice from slice `first` on, columns [left, right) of it, to a row of the window. `plane`: where the
    volume begins; `row`: which may lie outside."""
    cdef int64_t item = c.unturned.bytes, lanes = c.unturned.lanes, extra = max(1, c.through.taps) - 1
    cdef int64_t source = mapped(&c.down, row), position, i, at, count
    if source < 0:
        for i in range(slices):
            fill(to + i * c.slice_stride, right - left, c.down.cval, item)
        return
    for i in range(slices + extra):
        position = mapped(&c.through, first - c.through.before + i)
        rows[i] = <char *>plane + position * c.x_slice + source * c.x_row if position >= 0 else NULL
    at = left
    while at < right:
        count = min(c.strip_columns, right - at)
        load_columns(c, load, at, count, strip)
        clear_columns(strip, slices + extra, load.row_stride, count, (count + lanes - 1) // lanes * lanes, item)
        through.vectors = (count + lanes - 1) // lanes
        through.out = to + (at - left) * item
        c.unturned.lines_down(through)
        at += count


cdef void run_volume(const lines_call *c, int64_t tile, char *scratch) noexcept nogil:
    cdef const fs_line_kernels *kernels = c.unturned
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes
    cdef int64_t halo = max(0, c.along.taps - 1), extra = c.down.taps - 1
    cdef int64_t first_slice = tile % c.slice_blocks * c.block_slices
    cdef int64_t slices = min(c.block_slices, c.through.outputs - first_slice)
    cdef int64_t first, last, begin, end, left, right, row, row_end, rows, held = 0, i, s
    cdef char *middle = scratch + c.middle_at
    cdef char *window = scratch + c.window_at
    cdef char *out
    cdef char **pointers = <char **>(scratch + c.rows_at)
    cdef const char *x
    cdef fs_transfer load, put
    cdef fs_lines through, down, along
    tile //= c.slice_blocks
    first = tile % c.column_blocks * c.block_columns
    tile //= c.column_blocks
    row = tile % c.row_blocks * c.block_rows
    tile //= c.row_blocks
    row_end = min(c.down.outputs, row + c.block_rows)
    x = c.x.data + offset_of(&c.outer, c.outer.x_strides, tile)
    out = c.out.data + offset_of(&c.outer, c.outer.out_strides, tile) + first_slice * c.out_slice
    last = min(c.out_columns, first + c.block_columns)
    begin = first - c.along.before
    end = last + halo - c.along.before
    left = max(0, begin)
    right = min(end, c.columns)

    describe_load(c, &c.through, slices, pointers, c.strip_stride, &load)
    describe_lines(c, &c.through, False, &through)
    through.outputs = slices
    through.rows = scratch
    through.row_stride = c.strip_stride
    through.out_stride = c.slice_stride
    through.sums = scratch + c.sums_at
    through.ahead[0].count = through.ahead[1].count = 0
    describe_lines(c, &c.down, False, &down)
    down.vectors = (right - left + lanes - 1) // lanes
    down.row_stride = c.window_stride
    down.out = middle + (left - begin) * item
    down.out_stride = c.middle_stride
    down.sums = scratch + c.sums_at
    down.ahead[0].count = 0
    down.ahead[1].rows = pointers
    down.ahead[1].offset = first * c.out_step
    down.ahead[1].lines = 0
    if c.out_is_real and c.through.outputs * c.down.outputs * c.out_columns * c.out.item > caches().level3:
        down.ahead[1].lines = (last - first) * c.out.item // CACHE_LINE + 1
    describe_lines(c, &c.along, True, &along)
    along.tap_stride = item
    along.row_stride = c.middle_stride
    along.sums = scratch + c.sums_at
    put.dtype = c.out.dtype
    put.swapped = c.out.swapped
    put.step = c.out_step
    put.low = c.low
    put.high = c.high
    put.array = pointers

    while row < row_end:
        rows = min(STEP_ROWS, row_end - row)
        for i in range(held, rows + extra):
            go_through(c, &load, &through, pointers, slices, x, first_slice, row - c.down.before + i, left, right, scratch,
                       window + i * c.window_stride)
        down.outputs = rows
        for s in range(slices):
            for i in range(rows):
                pointers[i] = out + s * c.out_slice + (row + i) * c.out_row
            # What is written is fetched while sums are computed, where no cache holds it.
            down.ahead[1].count = rows
            down.rows = window + s * c.slice_stride
            kernels.lines_down(&down)
            fill_middle(c, rows, begin, left, begin, middle)
            fill_middle(c, rows, right, end, begin, middle)
            clear_columns(middle, rows, c.middle_stride, end - begin,
                          (last - first + lanes - 1) // lanes * lanes + halo, item)
            run_along(c, &along, &put, rows, first, first, last, middle, scratch, pointers)
            # The next rows want the last of these again.
            if row + rows < row_end:
                memmove(window + s * c.slice_stride, window + s * c.slice_stride + rows * c.window_stride,
                        extra * c.window_stride)
        held = extra
        row += rows


cdef bint lay_out_volume(lines_call *c) noexcept nogil:
    """Cut a volume into tiles, and a tile's scratch into buffers; False where its window would not stay in L2."""
    cdef int64_t item = c.unturned.bytes, lanes = c.unturned.lanes
    cdef int64_t halo = max(0, c.along.taps - 1), extra = c.down.taps - 1, most, rows
    c.block_slices = min(BLOCK_SLICES, c.through.outputs)
    c.slice_blocks = (c.through.outputs + c.block_slices - 1) // c.block_slices
    # Of slices that begin in the same sets, a line of each is read at a time.
    if c.x_slice % SAME_SETS == 0:
        return False
    # Window, strip and middle.
    rows = min(STEP_ROWS, c.down.outputs)
    most = caches().level2 * 7 // 8 // ((c.block_slices * (rows + extra) + rows) * item) - halo - lanes
    if most < max(1, min(c.out_columns, 4 * halo)):
        return False
    c.column_blocks = (c.out_columns + most - 1) // most
    c.block_columns = ((c.out_columns + c.column_blocks - 1) // c.column_blocks + lanes - 1) // lanes * lanes
    c.column_blocks = (c.out_columns + c.block_columns - 1) // c.block_columns
    # Borders are copied from columns of the same block; a mirror's lie one further in than there are columns of it.
    if c.column_blocks > 1 and (c.along.mode == WRAP or c.out_columns - (c.column_blocks - 1) * c.block_columns <= halo):
        return False
    # Slices are read again for the next block: from L3.
    most = caches().level3 // 4 // ((c.block_slices + c.through.taps) * c.columns * c.x.item) - extra
    most = max(most, max(4 * extra, STEP_ROWS))
    c.row_blocks = (c.down.outputs + most - 1) // most
    c.block_rows = (c.down.outputs + c.row_blocks - 1) // c.row_blocks
    c.row_blocks = (c.down.outputs + c.block_rows - 1) // c.block_rows
    # What is staged stays in L1.
    most = max(2 * CACHE_LINE, caches().level1 // (c.block_slices + c.through.taps)) // CACHE_LINE * CACHE_LINE // item
    c.strip_columns = min(most, whole_lines((c.block_columns + halo) * item) // item)
    c.strip_stride = uneven_lines(c.strip_columns * item)
    c.rows_at = (c.block_slices + c.through.taps) * c.strip_stride
    c.sums_at = c.rows_at + whole_lines(max(c.block_slices + c.through.taps, STEP_ROWS) * sizeof(char *))
    c.middle_at = c.sums_at
    if c.through.weights == NULL or c.down.weights == NULL or c.along.weights == NULL:
        c.middle_at += max(max(c.block_slices + c.through.taps, rows + c.down.taps) * lanes * item,
                           whole_lines((c.strip_columns + halo + 2 * lanes) * item))
    c.middle_stride = uneven_lines((c.block_columns + halo + 3 * lanes) * item)
    c.result_at = c.middle_at + (rows + 3) * c.middle_stride
    c.window_at = c.result_at + 4 * c.strip_columns * item
    c.window_stride = uneven_lines((c.block_columns + halo + lanes) * item)
    c.slice_stride = uneven_lines((rows + extra) * c.window_stride)
    c.scratch_bytes = c.window_at + c.block_slices * c.slice_stride
    return True
