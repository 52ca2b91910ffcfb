"""A block of rows that go along where they are: for few taps, and for 16-bit lanes. See lines.md."""

from libc.stdint cimport int16_t, int32_t, int64_t

from fastsep._isa cimport FS_KEPT, FS_U8, caches, fs_line_kernels, fs_lines, fs_transfer
from fastsep._line_borders cimport (
    clear_columns,
    decide,
    describe_lines,
    describe_load,
    load_columns,
    mapped,
    pixel_of,
    rows_of,
    uneven_lines,
    whole_lines,
)
from fastsep._line_types cimport CACHE_LINE, WRAP, lines_block, lines_call

cdef enum:
    # Rows of a block.
    BLOCK_ROWS = 64
    # Of floats that go across the image; for more taps than LONG; and the bytes of its strips where rows are staged, which
    # make all that is read and written for one of them fit L1.
    BLOCK_ACROSS = 8
    BLOCK_ACROSS_LONG = 12
    LONG = 10
    # Where sums are decided, what is read is converted, and converted again for every block that reads it.
    BLOCK_DECIDING = 32
    # As many where values are omitted, and looked at first: of 32 rows, halves of an image's width leave too much unread (5 ms
    # more on 3840 × 2160), of 8 every row is converted twice.
    BLOCK_OMITTING = 16
    STRIP_BYTES = 1024
    # Bytes of a row that is read where it is from a cache line on.
    LONG_ROW = 4096


cdef void copy_element(char *to, const char *source, int64_t item) noexcept nogil:
    if item == 2:
        (<int16_t *>to)[0] = (<const int16_t *>source)[0]
    elif item == 4:
        (<int32_t *>to)[0] = (<const int32_t *>source)[0]
    else:
        (<int64_t *>to)[0] = (<const int64_t *>source)[0]


cdef void fill_middle(const lines_call *c, int64_t rows, int64_t first, int64_t last, int64_t begin,
                      char *middle) noexcept nogil:
    """Columns of [first, last) outside the image, from those inside. `middle`: its column `begin`."""
    cdef int64_t at = first, channel, source, row, item = c.unturned.bytes
    cdef char *line
    cdef int16_t short_constant = <int16_t>c.along.cval if item == 2 else 0
    cdef float float_constant = <float>c.along.cval
    cdef const char *constant = <const char *>&c.along.cval
    if item == 2:
        constant = <const char *>&short_constant
    elif item == 4:
        constant = <const char *>&float_constant
    while at < last:
        if 0 <= at < c.columns:
            at = c.columns
            continue
        source = mapped(&c.along, pixel_of(c, at, &channel))
        if source >= 0:
            source = source * c.channels + channel - begin
        for row in range(rows):
            line = middle + row * c.middle_stride
            copy_element(line + (at - begin) * item, line + source * item if source >= 0 else constant, item)
        at += 1


cdef void run_along(const lines_call *c, fs_lines *along, fs_transfer *put, int64_t rows, int64_t first, int64_t done,
                    int64_t ready, const char *middle, char *scratch, char *const *out_rows) noexcept nogil:
    """Outputs [done, ready) of every row, which begin where those of the middle do at `first`."""
    cdef int64_t i, at, count, whole, item = c.unturned.bytes, lanes = c.unturned.lanes
    cdef char *result = scratch + c.result_at
    put.buffer = result
    put.row_stride = c.strip_columns * item
    for i in range(0, rows, 4):
        put.rows = min(4, rows - i)
        put.array = out_rows + i
        along.outputs = put.rows
        at = done
        while at < ready:
            # Scratch, for what is stored elsewhere and for the sums of a mean, is a strip wide.
            count = ready - at
            if not c.out_is_real or along.weights == NULL:
                count = min(c.strip_columns, count)
            whole = count // lanes * lanes if c.out_is_real else 0
            along.rows = middle + i * c.middle_stride + (at - first) * item
            if whole:
                along.vectors = whole // lanes
                along.out = out_rows[i] + at * c.out.item
                along.out_stride = c.out_row
                along.bytes_out = c.out.dtype == FS_U8
                along.words_out = c.words_out
                c.unturned.lines_along(along)
            if whole < count:
                along.vectors = (count - whole + lanes - 1) // lanes
                along.rows += whole * item
                along.out = result
                along.out_stride = put.row_stride
                along.bytes_out = along.words_out = False
                c.unturned.lines_along(along)
                if c.deciding != NULL:
                    decide(c, &c.along, put.rows, along.vectors, along.rows, along.row_stride, along.tap_stride, result,
                           put.row_stride, scratch)
                put.columns = count - whole
                put.offset = (at + whole) * c.out_step
                c.unturned.lines_store(put)
            at += count


cdef void go_down(const lines_call *c, fs_transfer *load, fs_lines *down, const char *in_place, int64_t x_row, int64_t first,
                  int64_t count, char *scratch, char *to) noexcept nogil:
    """Columns [first, first + count) down to `to`; without a pass down they are only loaded. `in_place`: the first row, where
    rows can be read where they are; what lies there before the first cache line and beyond the last vector is staged."""
    cdef const fs_line_kernels *kernels = c.unturned
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes, head = 0, body = 0, at = 0, some, vectors, part
    if in_place != NULL:
        # Of vectors that do not begin at multiples of their size every other one lies in two cache lines: 13.5 → 17 cycles
        # a vector at 25 taps (Zen 3). Short rows are not worth the call.
        if c.x.item == item and x_row % CACHE_LINE == 0 and count * item >= LONG_ROW:
            head = <int64_t>(-<size_t>(in_place + first * item) % CACHE_LINE) // item
            head = min(head, count)
        body = (count - head) // lanes * lanes
    for part in range(3):
        some = head if part == 0 else body if part == 1 else count - head - body
        if some == 0:
            continue
        vectors = (some + lanes - 1) // lanes
        if part != 1:
            load_columns(c, load, first + at, some, scratch if c.down.taps else to)
        if c.down.taps:
            down.vectors = vectors
            down.out = to + at * item
            if part == 1:
                down.rows = in_place + (first + at) * c.x.item
                down.row_stride = x_row
            else:
                if item > 2:
                    clear_columns(scratch, load.rows, load.row_stride, some, vectors * lanes, item)
                down.rows = scratch
                down.row_stride = load.row_stride
            down.bytes_in = item == 2 and part == 1
            down.words_in = c.words_in if part == 1 else 0
            kernels.lines_down(down)
            if c.deciding != NULL:
                decide(c, &c.down, down.outputs, vectors, down.rows, down.row_stride, down.row_stride, down.out,
                       c.middle_stride, scratch)
        at += some


cdef void run_unturned(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil:
    """A block of rows, its columns from `first` on, strip by strip, or whole rows where they are: down into the middle, and
    along, four rows at a time, as far as the middle goes. What borders add is copied within the middle, but for wrapped
    ends of a row that is cut. `x`: as in `rows_of`."""
    cdef const fs_line_kernels *kernels = c.unturned
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes
    cdef int64_t last = min(c.out_columns, first + c.block_columns)
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels
    cdef int64_t begin = first - c.along.before * c.channels, end = last + halo - c.along.before * c.channels
    cdef int64_t left = max(0, begin), right = min(end, c.columns)
    cdef lines_block rows_at = rows_of(c, block, first, x, scratch)
    cdef int64_t row = rows_at.row, rows = rows_at.count, x_row = rows_at.x_row
    cdef int64_t i, at, count, whole, done = first, ready, down_taps = max(1, c.down.taps), ahead
    cdef char **x_rows = rows_at.x
    cdef char **out_rows = rows_at.out
    cdef char *middle = scratch + c.middle_at
    cdef bint x_in_place = False, whole_rows
    # The other end of the row lies in another block: filtered once more, instead of copied.
    cdef bint wraps = c.along.taps != 0 and c.along.mode == WRAP and c.column_blocks > 1
    cdef fs_transfer load, put
    cdef fs_lines down, along

    if c.down.taps:
        # The 16-bit tile reads rows in pairs, and computes four.
        i = (rows + 3) // 4 * 4 + 2 if item == 2 else rows
        x_in_place = c.x_is_real and row >= c.down.before and row - c.down.before + i + down_taps - 1 <= c.down.size

    describe_load(c, &c.down, rows, x_rows, c.strip_columns * item if c.down.taps else c.middle_stride, &load)
    describe_lines(c, &c.down, c.along.taps == 0, &down)
    down.outputs = rows
    down.out_stride = c.middle_stride
    down.sums = scratch + c.sums_at
    down.ahead[0].count = down.ahead[1].count = 0
    put.dtype = c.out.dtype
    put.swapped = c.out.swapped
    put.step = c.out_step
    put.low = c.low
    put.high = c.high
    describe_lines(c, &c.along, True, &along)
    along.tap_stride = c.channels * item
    along.row_stride = c.middle_stride
    along.sums = scratch + c.sums_at
    # Rows that are read where they are go down from end to end: few long streams, as the memory's own prefetching likes them.
    whole_rows = x_in_place and c.deciding == NULL
    at = left
    while at < right:
        count = right - at if whole_rows else min(c.strip_columns, right - at)
        # What the next strip reads, or the first one of the block below.
        load.ahead = count * c.x_step
        load.ahead_bytes = min(c.strip_columns, right - at - count) * c.x_step
        if at + count == right:
            load.ahead = c.block_rows * x_row - (at - left) * c.x_step
            load.ahead_bytes = min(c.strip_columns, right - left) * c.x_step
        if c.x_step != c.x.item or not c.down.taps or x_in_place:
            load.ahead_bytes = 0
        if wraps and at == left and begin < left:
            # Whole vectors: before the columns that the last one reaches into.
            ahead = load.ahead_bytes
            load.ahead_bytes = 0
            go_down(c, &load, &down, NULL, x_row, begin, left - begin, scratch, middle)
            load.ahead_bytes = ahead
        go_down(c, &load, &down, x_rows[0] if x_in_place else NULL, x_row, at, count, scratch,
                middle + (at - begin) * item)
        if c.along.taps:
            if wraps and at + count == right and right < end:
                load.ahead_bytes = 0
                go_down(c, &load, &down, NULL, x_row, right, end - right, scratch, middle + (right - begin) * item)
            if at == left and not wraps:
                fill_middle(c, rows, begin, left, begin, middle)
            # The last outputs of a strip need the next one, or the border.
            ready = first + max(0, at + count - begin - halo) // lanes * lanes
            if at + count == right:
                if not wraps:
                    fill_middle(c, rows, right, end, begin, middle)
                if item > 2:
                    whole = (last - first + lanes - 1) // lanes * lanes
                    clear_columns(middle, rows, c.middle_stride, end - begin, whole + halo, item)
                ready = last
            run_along(c, &along, &put, rows, first, done, ready, middle, scratch, out_rows)
            done = ready
        at += count
    if c.along.taps == 0:
        put.rows = rows
        put.columns = last - first
        put.array = out_rows
        put.offset = first * c.out_step
        put.buffer = middle
        put.row_stride = c.middle_stride
        kernels.lines_store(&put)


cdef void lay_out_unturned(lines_call *c) noexcept nogil:
    """The same as `lay_out_turned` where nothing is turned: a block's middle stays in L2."""
    cdef int64_t item = c.unturned.bytes, lanes = c.unturned.lanes
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels, extra = max(0, c.down.taps - 1)
    cdef int64_t all_rows = c.down.outputs if c.down.taps else c.outer.rows
    cdef int64_t rows = BLOCK_ROWS, width
    cdef bint sequential = c.down.taps != 0 and (c.x_is_real or item != 2)
    # Rows that are read where they are want to be read one behind the other, as memory is.
    if sequential:
        rows = BLOCK_ACROSS_LONG if c.down.taps > LONG or c.words_in else BLOCK_ACROSS
        if c.deciding != NULL and not c.words_in:
            rows = BLOCK_DECIDING
    c.row_blocks = max(1, (all_rows + rows // 2) // rows)
    c.block_rows = min(all_rows, ((all_rows + c.row_blocks - 1) // c.row_blocks + 3) // 4 * 4)
    # Some of the blocks that rows read where they are go by.
    if c.missing != FS_KEPT:
        c.block_rows *= max(1, BLOCK_OMITTING // c.block_rows)
    c.row_blocks = (all_rows + c.block_rows - 1) // c.block_rows
    # The 16-bit tile computes four rows, however few there are.
    rows = (c.block_rows + 3) // 4 * 4
    c.block_columns = max(16 * halo, caches().level2 // 2 // (rows * item), 512)
    c.column_blocks = max(1, (c.out_columns + c.block_columns // 2) // c.block_columns)
    c.block_columns = ((c.out_columns + c.column_blocks - 1) // c.column_blocks + lanes - 1) // lanes * lanes
    c.column_blocks = (c.out_columns + c.block_columns - 1) // c.block_columns
    # Borders, unless wrapped, are copied from columns of the same block; a mirror's lie one pixel further in than there are
    # of it.
    if c.in_place or (c.along.taps and c.along.mode != WRAP
                      and c.out_columns - (c.column_blocks - 1) * c.block_columns < halo + c.channels):
        c.column_blocks = 1
        c.block_columns = c.out_columns
    # Twice L1, as in `lay_out_turned`, in even strips of whole vectors.
    width = max(2 * CACHE_LINE, 2 * caches().level1 // (rows + extra + 1)) // item
    if sequential:
        width = c.block_columns + halo if item == 2 else STRIP_BYTES // item
    # What stands at the left of the first strip, mirrored or not, must be in it.
    width = max(width, 2 * halo + 2 * lanes)
    if c.along.taps and c.along.mode == WRAP and c.column_blocks == 1:
        width = c.block_columns + halo
    c.strip_columns = (c.block_columns + halo) // max(1, (c.block_columns + halo + width // 2) // width) + lanes
    c.strip_columns = whole_lines(c.strip_columns * item) // item
    # A vector beyond the last, and the pair beyond the last tap.
    c.middle_stride = uneven_lines((c.block_columns + halo + 2 * lanes + 2 * c.channels) * item)
    c.rows_at = whole_lines((rows + extra + 2) * c.strip_columns * item) if c.down.taps else 0
    c.bits_at = c.rows_at + whole_lines((2 * c.block_rows + extra) * sizeof(char *))
    c.sums_at = c.bits_at + (3 * c.strip_columns * item if c.deciding != NULL else 0)
    c.middle_at = c.sums_at
    if item != 2 and c.down.taps and c.down.weights == NULL:
        c.middle_at += (rows + extra) * lanes * item
    if item != 2 and c.along.taps and c.along.weights == NULL:
        c.middle_at = max(c.middle_at, c.sums_at + whole_lines((c.strip_columns + halo + 2 * lanes) * item))
    c.result_at = c.middle_at + rows * c.middle_stride
    c.plane_at = c.result_at + (4 * c.strip_columns * item if c.along.taps else 0)
    c.scratch_bytes = c.plane_at + (c.down.size * c.columns * c.x.item if c.in_place else 0)
