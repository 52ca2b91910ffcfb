"""A block of rows walked from left to right in strips that fit L1, turned for the pass along them. See lines.md."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memmove, memset

from fastsep._isa cimport caches, fs_ahead, fs_lines, fs_real_kernels, fs_transfer, fs_turn
from fastsep._line_borders cimport (
    clear_columns,
    decide,
    describe_lines,
    describe_load,
    fill,
    load_columns,
    mapped,
    rows_of,
    whole_lines,
)
from fastsep._line_types cimport CACHE_LINE, CONSTANT, SAME_SETS, VALID, lines_block, lines_call, lines_pass

cdef enum:
    # Rows of a block: what a block reads beyond its own rows, taps - 1 of them, is read twice.
    BLOCK_ROWS = 64
    BLOCK_DOWN_ALONE = 16
    # Vectors times taps of a tile of long rows that go along alone, some 2 ms: between tiles Ctrl-C is heard, and threads
    # share them. What comes before a block is only loaded and turned again, or is added up again for a mean.
    TILE_PRODUCTS = 12000000
    SHORTEST_PART = 1024


cdef void fill_constant(const lines_call *c, int64_t rows, int64_t first, int64_t count, char *to,
                        int64_t row_stride) noexcept nogil:
    """The columns outside the image are the constant, which was not filtered by the pass before."""
    cdef int64_t r, item = c.kernels.bytes, left = min(count, max(0, -first)), inside = min(count, max(0, c.columns - first))
    for r in range(rows):
        fill(to + r * row_stride, left, c.along.cval, item)
        fill(to + r * row_stride + inside * item, count - inside, c.along.cval, item)


cdef void filter_lines(const lines_call *c, const lines_pass *p, bint last, fs_lines *work) noexcept nogil:
    describe_lines(c, p, last, work)
    c.kernels.lines_filter(work)


cdef void fill_turned(const lines_call *c, char *turned) noexcept nogil:
    """The columns before and behind the image, of rows of lanes whose image begins `before` pixels on."""
    cdef int64_t pixel_bytes = c.channels * c.kernels.lanes * c.kernels.bytes, size = c.along.size
    cdef int64_t position, source, i
    cdef char *to
    for i in range(c.along.taps - 1):
        position = i - c.along.before if i < c.along.before else i - c.along.before + size
        source = mapped(&c.along, position)
        to = turned + (position + c.along.before) * pixel_bytes
        if source >= 0:
            memcpy(to, turned + (source + c.along.before) * pixel_bytes, pixel_bytes)
        else:
            fill(to, c.channels * c.kernels.lanes, c.along.cval, c.kernels.bytes)


cdef void look_ahead(fs_ahead *ahead, char *const *rows, int64_t count, int64_t first, int64_t last,
                     int64_t step, int64_t offset) noexcept nogil:
    """Have columns [first, last) of some rows, `offset` bytes on, fetched, unless they are scattered."""
    ahead.rows = rows
    ahead.count = count
    # The line that holds the first column is there already, unless it begins with it.
    ahead.offset = first * step + offset + CACHE_LINE - 1
    ahead.lines = (max(0, last - first) * step + CACHE_LINE - 1) // CACHE_LINE if 0 < step <= 8 else 0


cdef void run_turned(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil:
    """A block of rows, its columns from `first` on. `x`: the block's plane of the input, or NULL where it lies in the
    array."""
    cdef const fs_real_kernels *kernels = c.kernels
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes
    cdef int64_t last = min(c.out_columns, first + c.block_columns)
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels
    cdef lines_block rows_at = rows_of(c, block, first, x, scratch)
    cdef int64_t rows = rows_at.count, i
    cdef int64_t down_taps = max(1, c.down.taps)
    cdef int64_t strip_stride = c.strip_columns * item
    cdef int64_t groups, group, group_bytes = (halo + c.channels + c.strip_columns) * lanes * item
    cdef int64_t at, count, end, held = 0, ready, done = first, channel
    cdef bint begin = True
    cdef char **x_rows = rows_at.x
    cdef char **out_rows = rows_at.out
    cdef char **middle_rows = out_rows + rows
    cdef char *strip = scratch
    cdef char *middle = scratch + c.middle_at if c.down.taps else strip
    cdef char *turned = scratch + c.turned_at
    cdef char *result = scratch + c.result_at
    cdef fs_transfer load, settle, put
    cdef fs_lines work
    cdef fs_turn turn
    cdef bint direct, whole, more
    cdef int64_t x_row = rows_at.x_row

    groups = (rows + lanes - 1) // lanes
    for i in range(rows):
        middle_rows[i] = middle + i * strip_stride

    describe_load(c, &c.down, rows, x_rows, strip_stride, &load)
    settle.dtype = c.out.dtype
    settle.rows = rows
    settle.buffer = middle
    settle.row_stride = strip_stride
    put.dtype = c.out.dtype
    put.swapped = c.out.swapped
    put.rows = rows
    put.array = out_rows
    put.step = c.out_step
    put.row_stride = strip_stride

    # The running sum needs the column that leaves as well.
    if c.along.running:
        held = c.channels
    at = first - c.along.before * c.channels
    end = last + halo - c.along.before * c.channels
    # A row that fits a strip is extended when it is turned, instead of being gathered.
    whole = c.column_blocks == 1 and c.columns <= c.strip_columns and c.along.taps and not c.along.running
    if whole:
        held = c.along.before * c.channels
        at = 0
        end = c.columns
    while at < end:
        count = min(c.strip_columns, end - at)
        # Reals side by side need no staging on their way to be turned.
        direct = c.x_is_real and c.down.taps == 0 and at >= 0 and at + count <= c.columns
        if not direct:
            load_columns(c, &load, at, count, strip)
        if c.down.taps:
            clear_columns(strip, load.rows, strip_stride, count, (count + lanes - 1) // lanes * lanes, item)
            work.outputs = rows
            work.vectors = (count + lanes - 1) // lanes
            work.rows = strip
            work.row_stride = strip_stride
            work.out = middle
            work.out_stride = strip_stride
            if c.along.taps == 0 and c.out_is_real and count % lanes == 0:
                work.out = out_rows[0] + at * c.out_step
                work.out_stride = c.out_row
            work.sums = scratch + c.sums_at
            more = at + count < min(c.columns, end)
            if x_row % SAME_SETS == 0:
                # L2 would not hold a line of every row.
                work.ahead[0].count = work.ahead[1].count = 0
            elif more:
                look_ahead(&work.ahead[0], x_rows, load.rows, max(0, at + count), min(c.columns, at + 2 * count),
                           c.x_step, 0)
            else:
                look_ahead(&work.ahead[0], x_rows + down_taps - 1, rows, max(0, first),
                           min(c.columns, first + c.strip_columns), c.x_step, c.block_rows * x_row)
            if x_row % SAME_SETS == 0:
                pass
            elif c.along.taps:
                look_ahead(&work.ahead[1], out_rows, rows, done, min(last, max(done, at + count - halo)), c.out_step, 0)
            elif more:
                look_ahead(&work.ahead[1], out_rows, rows, at + count, min(last, at + 2 * count), c.out_step, 0)
            else:
                look_ahead(&work.ahead[1], out_rows, rows, first, min(last, first + c.strip_columns), c.out_step,
                           c.block_rows * c.out_row)
            filter_lines(c, &c.down, c.along.taps == 0, &work)
            if c.deciding != NULL:
                decide(c, &c.down, rows, work.vectors, strip, strip_stride, strip_stride, middle, strip_stride,
                       scratch)
        if c.along.taps == 0:
            if work.out == middle:
                put.columns = count
                put.offset = at * c.out_step
                put.buffer = middle
                kernels.lines_store(&put)
            at += count
            continue
        if c.settle:
            settle.columns = count
            kernels.lines_settle(&settle)
        if c.along.mode == CONSTANT and not whole and (at < 0 or at + count > c.columns):
            fill_constant(c, rows, at, count, middle, strip_stride)

        ready = held + count - halo - (c.channels if c.along.running else 0)
        for group in range(groups):
            turn.columns = count
            turn.count = min(rows - group * lanes, lanes)
            turn.rows = (x_rows if direct else middle_rows) + group * lanes
            turn.offset = at * item if direct else 0
            turn.lanes = turned + group * group_bytes + held * lanes * item
            if turn.count < lanes:
                memset(turn.lanes, 0, count * lanes * item)
            kernels.lines_turn(&turn)
            if whole:
                fill_turned(c, turned + group * group_bytes)
        held += count
        at += count
        if whole:
            held = c.columns + (halo if c.along.mode != VALID else 0)
            ready = c.out_columns
        if ready <= 0:
            continue
        for group in range(groups):
            for channel in range(min(c.channels, ready)):
                work.outputs = (ready - channel + c.channels - 1) // c.channels
                work.vectors = 1
                work.rows = turned + group * group_bytes + channel * lanes * item
                work.row_stride = c.channels * lanes * item
                work.out = result + channel * lanes * item
                work.out_stride = work.row_stride
                if c.along.running:
                    work.taps = c.along.taps
                    work.sums = scratch + c.states_at + ((done + channel) % c.channels * groups + group) * lanes * item
                    kernels.lines_run(&work, done + channel < c.channels)
                else:
                    work.sums = scratch + c.sums_at
                    work.ahead[0].count = work.ahead[1].count = 0
                    if c.down.taps == 0 and channel == 0 and group + 1 < groups:
                        i = (group + 1) * lanes
                        look_ahead(&work.ahead[0], out_rows + i, min(rows - i, lanes), done, done + ready, c.out_step, 0)
                    elif c.down.taps == 0 and channel == 0:
                        look_ahead(&work.ahead[0], out_rows, min(rows, lanes), done + ready,
                                   min(last, done + ready + c.strip_columns), c.out_step, 0)
                    if c.down.taps == 0 and channel == 0:
                        i = group * lanes
                        look_ahead(&work.ahead[1], x_rows + i, min(rows - i, lanes), max(0, at),
                                   min(min(c.columns, end), at + c.strip_columns), c.x_step, 0)
                    filter_lines(c, &c.along, True, &work)
                    if c.deciding != NULL:
                        decide(c, &c.along, work.outputs, 1, work.rows, work.row_stride, work.row_stride, work.out,
                               work.out_stride, scratch)
            turn.columns = ready
            turn.count = min(rows - group * lanes, lanes)
            turn.rows = (out_rows if c.out_is_real else middle_rows) + group * lanes
            turn.offset = done * item if c.out_is_real else 0
            turn.lanes = result
            kernels.lines_turn_back(&turn)
            memmove(turned + group * group_bytes, turned + group * group_bytes + ready * lanes * item,
                    (held - ready) * lanes * item)
        held -= ready
        if not c.out_is_real:
            put.columns = ready
            put.offset = done * c.out_step
            put.buffer = middle
            kernels.lines_store(&put)
        done += ready


cdef void lay_out_turned(lines_call *c) noexcept nogil:
    """Cut a stage into tiles, and a tile's scratch into buffers."""
    cdef int64_t item = c.kernels.bytes, lanes = c.kernels.lanes
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels, extra = max(0, c.down.taps - 1)
    cdef int64_t planes = c.outer.rows if c.down.taps else 1
    cdef int64_t all_rows = c.down.outputs if c.down.taps else c.outer.rows
    cdef int64_t rows, groups, strip, products, shortest
    # Blocks of even heights, in whole squares where there are squares to turn.
    rows = BLOCK_ROWS if extra < BLOCK_ROWS * 3 // 4 else 2 * BLOCK_ROWS
    # Nothing to turn: few rows and long strips, as memory likes it, unless too many rows were read again, from L3 where they
    # begin in the same sets (first axis of 256³: 30 ms, and 16 with narrow strips of many rows).
    if c.along.taps == 0 and c.x_is_real and not c.paired and extra <= BLOCK_DOWN_ALONE and c.x_row % SAME_SETS:
        rows = BLOCK_DOWN_ALONE
    c.row_blocks = max(1, (all_rows + rows // 2) // rows)
    c.block_rows = (all_rows + c.row_blocks - 1) // c.row_blocks
    if c.along.taps:
        c.block_rows = min(all_rows, (c.block_rows + lanes - 1) // lanes * lanes)
    c.row_blocks = (all_rows + c.block_rows - 1) // c.block_rows
    # Rows that the block below reads again stay in L2, unless that would make more columns to be filtered twice.
    c.block_columns = c.out_columns
    if c.down.taps > 1 and not c.in_place:
        rows = c.block_rows + extra
        c.block_columns = max(16 * halo, caches().level2 * 3 // 4 // (rows * c.x.item), 512)
    elif c.down.taps == 0 and not c.along.running:
        products, shortest = c.along.taps, SHORTEST_PART
        if c.along.weights == NULL:
            # A mean's sums double, and begin again in each part.
            products, shortest = 8, 16 * halo + SHORTEST_PART
        c.block_columns = max(shortest, TILE_PRODUCTS // ((c.block_rows + lanes - 1) // lanes * (products + 4)))
    c.column_blocks = max(1, (c.out_columns + c.block_columns // 2) // c.block_columns)
    c.block_columns = ((c.out_columns + c.column_blocks - 1) // c.column_blocks + lanes - 1) // lanes * lanes
    c.column_blocks = (c.out_columns + c.block_columns - 1) // c.block_columns
    groups = (c.block_rows + lanes - 1) // lanes
    rows = groups * lanes + extra
    # Twice L1: narrower strips cost more calls than they save misses. At least two cache lines wide.
    strip = 4 if rows <= 2 * BLOCK_DOWN_ALONE and c.along.taps == 0 else 2
    c.strip_columns = max(2 * CACHE_LINE, strip * caches().level1 // rows) // CACHE_LINE * CACHE_LINE // item
    c.strip_columns = min(c.strip_columns, (c.out_columns + halo + lanes - 1) // lanes * lanes)
    strip = whole_lines(rows * c.strip_columns * item)
    c.rows_at = strip
    c.bits_at = c.rows_at + whole_lines((3 * c.block_rows + extra) * sizeof(char *))
    c.sums_at = c.bits_at + (whole_lines(3 * max(lanes, c.strip_columns) * item) if c.deciding != NULL else 0)
    c.middle_at = c.sums_at
    if c.down.taps and c.down.weights == NULL:
        c.middle_at += rows * lanes * item
    if c.along.taps and c.along.weights == NULL and not c.along.running:
        c.middle_at = max(c.middle_at, c.sums_at + (halo + c.channels + c.strip_columns) * lanes * item)
    c.turned_at = c.middle_at + (whole_lines(groups * lanes * c.strip_columns * item) if c.down.taps else 0)
    c.states_at = c.turned_at
    if c.along.taps:
        c.states_at += groups * (halo + c.channels + c.strip_columns) * lanes * item
    c.result_at = c.states_at + (groups * c.channels * lanes * item if c.along.running else 0)
    c.plane_at = c.result_at + (c.strip_columns * lanes * item if c.along.taps else 0)
    c.scratch_bytes = c.plane_at + (c.down.size * c.columns * c.x.item if c.in_place else 0)
