"""Filters along axes: blocks of rows, walked from left to right in strips that fit L1. See lines.md."""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, fabs, log2
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.string cimport memcpy, memmove, memset

from fastsep._arrays cimport Packed, View, allocate, strided
from fastsep._isa cimport (
    FS_ANTISYMMETRIC,
    FS_F32,
    FS_F64,
    FS_I16,
    FS_SYMMETRIC,
    FS_U16,
    FS_U64,
    FS_U8,
    FS_UNFOLDED,
    caches,
    fs_ahead,
    fs_bits,
    fs_dtype,
    fs_line_kernels,
    fs_lines,
    fs_real_kernels,
    fs_transfer,
    fs_turn,
    kernels_named,
    line_kernels,
)
from fastsep._lines cimport (
    CONSTANT,
    MIRROR,
    MOST_AXES,
    NEAREST,
    REFLECT,
    VALID,
    WRAP,
    FilterPlan,
    border,
    elements,
    lines_call,
    lines_outer,
    lines_pass,
    lines_stage,
)
from fastsep._threads cimport phase, run_phases, threads_for

import numpy

from fastsep._bits import boxes_cut, in_narrow_sums
from fastsep._isa import get_isa, vectors
from fastsep._passes import dividing_once, exact_in_short_integers, in_integers, in_order_of_axes, reciprocal, short_division
from fastsep._threads import check

cdef double DBL_EPSILON = 2.0 ** -52
cdef dict MODES = {
    "reflect": REFLECT,
    "constant": CONSTANT,
    "nearest": NEAREST,
    "mirror": MIRROR,
    "wrap": WRAP,
    "valid": VALID,
}
cdef enum:
    # Rows of a block: what a block reads beyond its own rows, taps - 1 of them, is read twice.
    BLOCK_ROWS = 64
    BLOCK_DOWN_ALONE = 16
    CACHE_LINE = 64
    # Rows so far apart begin in the same sets of most caches of level 2.
    SAME_SETS = 1 << 16
    # Taps along rows of floats that are read where they are, in vectors of up to 32 bytes, and in wider ones, whose squares
    # take longer to turn; of a mean, whose sums double.
    MOST_UNTURNED = 25
    MOST_UNTURNED_WIDE = 129
    MOST_UNTURNED_SUMS = 33
    # Of a mean whose tile stores integers of 16 bits; any odd number.
    MOST_UNTURNED_WORDS = 9
    # Rows of a block of floats that goes across the image; for more taps than LONG; and the bytes of its strips where rows
    # are staged, which make all that is read and written for one of them fit L1.
    BLOCK_ACROSS = 8
    BLOCK_ACROSS_LONG = 12
    LONG = 10
    # Where sums are decided what is read is converted, and converted again for every block that reads it.
    BLOCK_DECIDING = 32
    STRIP_BYTES = 1024
    # Bytes of a row that is read where it is from a cache line on.
    LONG_ROW = 4096
    # Taps down rows of bytes that are read where they are.
    MOST_BYTES = 16


# ---- borders ---------------------------------------------------------------------------------------------


cdef int64_t mapped(const lines_pass *p, int64_t at) noexcept nogil:
    """The position of the input that stands at `at`, which may lie outside; -1 for the constant."""
    cdef int64_t size = p.size, period
    if 0 <= at < size:
        return at
    if p.mode == CONSTANT:
        return -1
    if p.mode == NEAREST:
        return 0 if at < 0 else size - 1
    if p.mode == WRAP:
        at = at % size
        return at + size if at < 0 else at
    if p.mode == MIRROR:
        if size == 1:
            return 0
        period = 2 * size - 2
    else:
        period = 2 * size
    # Divisions take as long as all the rest.
    if at < -size or at >= period + size:
        at = at % period
    if at < 0:
        at += period
    elif at >= period:
        at -= period
    if at < size:
        return at
    return period - at if p.mode == MIRROR else period - 1 - at


cdef int64_t pixel_of(const lines_call *c, int64_t at, int64_t *channel) noexcept nogil:
    """The pixel of the extended row that column `at` belongs to, and which of its channels that is."""
    channel[0] = 0
    if c.channels == 1:
        return at
    channel[0] = at % c.channels
    if channel[0] < 0:
        channel[0] += c.channels
    return (at - channel[0]) // c.channels


cdef int64_t whole_lines(int64_t size) noexcept nogil:
    return (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


# ---- one tile --------------------------------------------------------------------------------------------


cdef int64_t offset_of(const lines_outer *outer, const int64_t *strides, int64_t row) noexcept nogil:
    """Bytes to the row of that number, counted along the innermost axis first."""
    cdef int64_t offset = 0
    cdef int axis = outer.count - 1
    while axis >= 0:
        offset += row % outer.shape[axis] * strides[axis]
        row = row // outer.shape[axis]
        axis -= 1
    return offset


cdef int64_t item_of(const lines_call *c) noexcept nogil:
    """Bytes of what a stage computes with."""
    return c.kernels.bytes if c.unturned == NULL else c.unturned.bytes


cdef void load_columns(const lines_call *c, fs_transfer *move, int64_t first, int64_t count, char *to) noexcept nogil:
    """Columns [first, first + count) of the extended rows, in elements from the first column of the image on, to the
    strip. Those that are the constant are left to `fill_constant`."""
    cdef int64_t at = first, run, pixel, channel, item = item_of(c)
    while at < first + count:
        if 0 <= at < c.columns:
            run = min(first + count, c.columns) - at
            pixel = at
        else:
            pixel = mapped(&c.along, pixel_of(c, at, &channel))
            run = min(c.channels - channel, first + count - at)
            if pixel < 0:
                at += run
                continue
            pixel = pixel * c.channels + channel
        move.columns = run
        move.offset = pixel * move.step
        move.buffer = to + (at - first) * item
        if c.unturned == NULL:
            c.kernels.lines_load(move)
        else:
            c.unturned.lines_load(move)
        at += run


cdef void clear_columns(char *rows, int64_t count, int64_t row_stride, int64_t first, int64_t last,
                        int64_t item) noexcept nogil:
    """Zeros where whole vectors reach beyond what was loaded. What lies there reaches no output, but subnormal numbers
    (the halves of a pointer are such) take a hundred cycles each: 16 × 16 of float32 took 51 µs instead of 4."""
    cdef int64_t row
    for row in range(count if first < last else 0):
        memset(rows + row * row_stride + first * item, 0, (last - first) * item)


cdef void fill_constant(const lines_call *c, int64_t rows, int64_t first, int64_t count, char *to,
                        int64_t row_stride) noexcept nogil:
    """The columns outside the image are the constant, which was not filtered by the pass before."""
    cdef int64_t r, at
    for at in range(first, first + count):
        if at < 0 or at >= c.columns:
            for r in range(rows):
                if c.kernels.bytes == 4:
                    (<float *>(to + r * row_stride))[at - first] = <float>c.along.cval
                else:
                    (<double *>(to + r * row_stride))[at - first] = c.along.cval


cdef void describe_lines(const lines_call *c, const lines_pass *p, bint last, fs_lines *work) noexcept nogil:
    work.taps = p.taps
    work.weights = p.weights
    work.folding = p.folding
    work.exact = p.exact
    work.once = p.once
    work.start = p.start
    work.rounds = p.rounds
    work.factor = p.factor
    work.divisor = p.divisor
    work.bytes_in = work.bytes_out = work.words_out = False
    work.words_in = 0
    work.low = c.low if last else -INFINITY
    work.high = c.high if last else INFINITY
    work.half = p.half
    work.shift = p.shift
    work.multiplier = p.multiplier


cdef void filter_lines(const lines_call *c, const lines_pass *p, bint last, fs_lines *work) noexcept nogil:
    describe_lines(c, p, last, work)
    c.kernels.lines_filter(work)


cdef void decide(const lines_call *c, const lines_pass *p, int64_t outputs, int64_t vectors, const char *rows,
                 int64_t row_stride, int64_t tap_stride, char *sums, int64_t sums_stride,
                 char *scratch) noexcept nogil:
    """Sums in float32, of a pass over `rows`, become what the pass leaves."""
    cdef fs_bits bits = p.bits
    bits.outputs = outputs
    bits.vectors = vectors
    bits.rows = rows
    bits.row_stride = row_stride
    bits.tap_stride = tap_stride
    bits.sums = sums
    bits.sums_stride = sums_stride
    bits.memory = scratch + c.bits_at
    c.deciding.lines_bits(&bits)


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
        elif c.kernels.bytes == 4:
            for source in range(pixel_bytes // 4):
                (<float *>to)[source] = <float>c.along.cval
        else:
            for source in range(pixel_bytes // 8):
                (<double *>to)[source] = c.along.cval


cdef void look_ahead(fs_ahead *ahead, char *const *rows, int64_t count, int64_t first, int64_t last,
                     int64_t step, int64_t offset) noexcept nogil:
    """Have columns [first, last) of some rows, `offset` bytes on, fetched, unless they are scattered."""
    ahead.rows = rows
    ahead.count = count
    # The line that holds the first column is there already, unless it begins with it.
    ahead.offset = first * step + offset + CACHE_LINE - 1
    ahead.lines = (max(0, last - first) * step + CACHE_LINE - 1) // CACHE_LINE if 0 < step <= 8 else 0


cdef void run_block(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil:
    """A block of rows, its columns from `first` on. `x`: the block's plane of the input, or NULL where it lies in the
    array."""
    cdef const fs_real_kernels *kernels = c.kernels
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes
    cdef int64_t last = min(c.out_columns, first + c.block_columns)
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels
    cdef int64_t plane, row, rows, i, position
    cdef int64_t down_taps = max(1, c.down.taps)
    cdef int64_t strip_stride = c.strip_columns * item
    cdef int64_t groups, group, group_bytes = (halo + c.channels + c.strip_columns) * lanes * item
    cdef int64_t at, count, end, held = 0, ready, done = first, channel
    cdef bint begin = True
    cdef char **x_rows = <char **>(scratch + c.rows_at)
    cdef char **out_rows
    cdef char *strip = scratch
    cdef char *middle = scratch + c.middle_at if c.down.taps else strip
    cdef char *turned = scratch + c.turned_at
    cdef char *result = scratch + c.result_at
    cdef fs_transfer load, settle, put
    cdef fs_lines work
    cdef fs_turn turn
    cdef bint direct, whole, more
    cdef int64_t x_row = c.x_row if x == NULL else c.columns * c.x.item

    if c.down.taps:
        plane = block // c.row_blocks
        row = block % c.row_blocks * c.block_rows
        rows = min(c.block_rows, c.down.outputs - row)
        out_rows = x_rows + rows + down_taps - 1
        if x == NULL:
            x = c.x.data + offset_of(&c.outer, c.outer.x_strides, plane)
        for i in range(rows + down_taps - 1):
            position = mapped(&c.down, row - c.down.before + i)
            x_rows[i] = NULL
            if position >= 0:
                x_rows[i] = <char *>x + position * x_row
        for i in range(rows):
            out_rows[i] = c.out.data + offset_of(&c.outer, c.outer.out_strides, plane) + (row + i) * c.out_row
    else:
        row = block * c.block_rows
        rows = min(c.block_rows, c.outer.rows - row)
        out_rows = x_rows + rows
        for i in range(rows):
            x_rows[i] = c.x.data + offset_of(&c.outer, c.outer.x_strides, row + i)
            out_rows[i] = c.out.data + offset_of(&c.outer, c.outer.out_strides, row + i)
    groups = (rows + lanes - 1) // lanes
    cdef char **middle_rows = out_rows + rows
    for i in range(rows):
        middle_rows[i] = middle + i * strip_stride

    load.ahead = load.ahead_bytes = 0
    load.dtype = c.x.dtype
    load.swapped = c.x.swapped
    load.rows = rows + down_taps - 1
    load.array = x_rows
    load.step = c.x_step
    load.constant = c.down.cval
    load.row_stride = strip_stride
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


# ---- one tile, nothing turned ----------------------------------------------------------------------------


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
    along, four rows at a time, as far as the middle goes. What borders add is copied within the middle. `x`: as in `run_block`."""
    cdef const fs_line_kernels *kernels = c.unturned
    cdef int64_t item = kernels.bytes, lanes = kernels.lanes
    cdef int64_t last = min(c.out_columns, first + c.block_columns)
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels
    cdef int64_t begin = first - c.along.before * c.channels, end = last + halo - c.along.before * c.channels
    cdef int64_t left = max(0, begin), right = min(end, c.columns)
    cdef int64_t row, rows, i, position, at, count, whole, done = first, ready, down_taps = max(1, c.down.taps)
    cdef char **x_rows = <char **>(scratch + c.rows_at)
    cdef char **out_rows
    cdef int64_t x_row = c.x_row if x == NULL else c.columns * c.x.item
    cdef char *middle = scratch + c.middle_at
    cdef bint x_in_place = False, whole_rows
    cdef fs_transfer load, put
    cdef fs_lines down, along

    if c.down.taps:
        i = block // c.row_blocks
        row = block % c.row_blocks * c.block_rows
        rows = min(c.block_rows, c.down.outputs - row)
        out_rows = x_rows + rows + down_taps - 1
        if x == NULL:
            x = c.x.data + offset_of(&c.outer, c.outer.x_strides, i)
        out_rows[0] = c.out.data + offset_of(&c.outer, c.outer.out_strides, i) + row * c.out_row
        for i in range(rows + down_taps - 1):
            position = mapped(&c.down, row - c.down.before + i)
            x_rows[i] = NULL
            if position >= 0:
                x_rows[i] = <char *>x + position * x_row
        for i in range(1, rows):
            out_rows[i] = out_rows[i - 1] + c.out_row
        # The 16-bit tile reads rows in pairs, and computes four.
        i = (rows + 3) // 4 * 4 + 2 if item == 2 else rows
        x_in_place = c.x_is_real and row >= c.down.before and row - c.down.before + i + down_taps - 1 <= c.down.size
    else:
        row = block * c.block_rows
        rows = min(c.block_rows, c.outer.rows - row)
        out_rows = x_rows + rows
        for i in range(rows):
            x_rows[i] = c.x.data + offset_of(&c.outer, c.outer.x_strides, row + i)
            out_rows[i] = c.out.data + offset_of(&c.outer, c.outer.out_strides, row + i)

    load.dtype = c.x.dtype
    load.swapped = c.x.swapped
    load.rows = rows + down_taps - 1
    load.array = x_rows
    load.step = c.x_step
    load.constant = c.down.cval
    load.row_stride = c.strip_columns * item if c.down.taps else c.middle_stride
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
        go_down(c, &load, &down, x_rows[0] if x_in_place else NULL, x_row, at, count, scratch,
                middle + (at - begin) * item)
        if c.along.taps:
            if at == left:
                fill_middle(c, rows, begin, left, begin, middle)
            # The last outputs of a strip need the next one, or the border.
            ready = first + max(0, at + count - begin - halo) // lanes * lanes
            if at + count == right:
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


# ---- one tile, turned or not ----------------------------------------------------------------------------


ctypedef void (*block_runner)(const lines_call *, int64_t, int64_t, const char *, char *) noexcept nogil


cdef void copy_plane(const lines_call *c, int64_t tile, char *plane) noexcept nogil:
    cdef int64_t row, bytes = c.columns * c.x.item
    cdef const char *source = c.x.data + offset_of(&c.outer, c.outer.x_strides, tile)
    for row in range(c.down.size):
        memcpy(plane + row * bytes, source + row * c.x_row, bytes)


cdef void lines_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const lines_call *c = <const lines_call *>opaque
    cdef block_runner run
    cdef int64_t blocks = c.row_blocks * (c.outer.rows if c.down.taps else 1), row
    run = run_block if c.unturned == NULL else run_unturned
    if not c.in_place:
        run(c, tile % blocks, tile // blocks * c.block_columns, NULL, scratch)
        return
    copy_plane(c, tile, scratch + c.plane_at)
    for row in range(c.row_blocks):
        run(c, tile * c.row_blocks + row, 0, scratch + c.plane_at, scratch)


cdef void lay_out_unturned(lines_call *c) noexcept nogil:
    """The same as `lay_out` where nothing is turned: a block's middle stays in L2."""
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
    c.row_blocks = (all_rows + c.block_rows - 1) // c.block_rows
    # The 16-bit tile computes four rows, however few there are.
    rows = (c.block_rows + 3) // 4 * 4
    c.block_columns = max(16 * halo, caches().level2 // 2 // (rows * item), 512)
    c.column_blocks = max(1, (c.out_columns + c.block_columns // 2) // c.block_columns)
    c.block_columns = ((c.out_columns + c.column_blocks - 1) // c.column_blocks + lanes - 1) // lanes * lanes
    c.column_blocks = (c.out_columns + c.block_columns - 1) // c.block_columns
    # Borders are copied from columns of the same block.
    if c.in_place or c.along.taps and (c.along.mode == WRAP or c.out_columns - (c.column_blocks - 1) * c.block_columns < halo):
        c.column_blocks = 1
        c.block_columns = c.out_columns
    # Twice L1, as in `lay_out`, in even strips of whole vectors.
    width = max(2 * CACHE_LINE, 2 * caches().level1 // (rows + extra + 1)) // item
    if sequential:
        width = c.block_columns + halo if item == 2 else STRIP_BYTES // item
    # What stands at the left of the first strip, mirrored or not, must be in it.
    width = max(width, 2 * halo + 2 * lanes)
    if c.along.taps and c.along.mode == WRAP:
        width = c.block_columns + halo
    c.strip_columns = (c.block_columns + halo) // max(1, (c.block_columns + halo + width // 2) // width) + lanes
    c.strip_columns = whole_lines(c.strip_columns * item) // item
    # A vector beyond the last, and the pair beyond the last tap; rows that do not all begin in the same sets of L1.
    width = whole_lines((c.block_columns + halo + 2 * lanes + 2 * c.channels) * item)
    c.middle_stride = width if width // CACHE_LINE % 2 else width + CACHE_LINE
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


# ---- one stage -------------------------------------------------------------------------------------------


cdef void lay_out(lines_call *c) noexcept nogil:
    """Cut a stage into tiles, and a tile's scratch into buffers."""
    cdef int64_t item = c.kernels.bytes, lanes = c.kernels.lanes
    cdef int64_t halo = max(0, c.along.taps - 1) * c.channels, extra = max(0, c.down.taps - 1)
    cdef int64_t planes = c.outer.rows if c.down.taps else 1
    cdef int64_t all_rows = c.down.outputs if c.down.taps else c.outer.rows
    cdef int64_t rows, groups, strip
    # Blocks of even heights, in whole squares where there are squares to turn.
    rows = BLOCK_ROWS if extra < BLOCK_ROWS * 3 // 4 else 2 * BLOCK_ROWS
    # Nothing to turn: few rows and long strips, as memory likes it, unless too many rows were read again, from L3 where they
    # begin in the same sets (first axis of 256³: 30 ms, and 16 with narrow strips of many rows).
    if c.along.taps == 0 and c.x_is_real and extra <= BLOCK_DOWN_ALONE and c.x_row % SAME_SETS:
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


cdef double stage_seconds(const lines_call *c) noexcept nogil:
    """Serial time, for the choice of threads and slabs only."""
    cdef double outputs = 1.0 * c.outer.rows * c.out_columns * max(1, c.down.outputs if c.down.taps else 1)
    cdef double taps = 4.0 + c.down.taps + c.along.taps
    # Products of pairs of 16-bit integers take as long as folded products of floats.
    cdef int64_t item = max(4, item_of(c)), lanes = c.unturned.lanes if c.unturned != NULL else c.kernels.lanes
    return outputs * taps / (min(lanes * item_of(c) // item, 48 // item) * 3e9)


cdef bint is_real(const lines_call *c, const elements *x, int64_t step) noexcept nogil:
    """Whether the elements of a row are what the kernels compute with, side by side."""
    cdef int64_t item = item_of(c)
    return item != 2 and x.dtype == (FS_F32 if item == 4 else FS_F64) and not x.swapped and step == item


cdef void cut_stage(lines_call *c, phase *step) noexcept nogil:
    """Cut a stage into tiles, for any number of threads."""
    c.x_is_real = is_real(c, &c.x, c.x_step)
    c.out_is_real = is_real(c, &c.out, c.out_step)
    c.words_in = 0
    c.words_out = False
    if c.unturned != NULL:
        if c.unturned.bytes == 2:
            # Bytes become 16 bits, and are read again, for every four rows: not for many taps.
            c.x_is_real = (c.down.taps != 0 and c.down.taps <= MOST_BYTES and c.x.dtype == FS_U8 and c.x_step == 1)
            c.out_is_real = (c.down.taps != 0 and not c.out.swapped and c.out_step == c.out.item
                             and (c.out.dtype == FS_U8 or c.out.dtype == FS_I16))
        elif c.unturned.stores_words:
            if (c.down.taps and c.down.weights == NULL and c.down.divisor == 1 and c.x_step == c.x.item
                    and not c.x.swapped):
                c.words_in = 1 if c.x.dtype == FS_U16 else -1 if c.x.dtype == FS_I16 else 0
                c.x_is_real = c.x_is_real or c.words_in != 0
            if c.along.taps and c.along.rounds and c.along.start > 0 and (
                    c.along.weights != NULL or (c.along.taps <= MOST_UNTURNED_WORDS and c.along.taps % 2 == 1)):
                c.words_out = ((c.out.dtype == FS_U16 or c.out.dtype == FS_I16) and not c.out.swapped
                               and c.out_step == c.out.item)
                c.out_is_real = c.words_out
        lay_out_unturned(c)
    else:
        lay_out(c)
    step.run_tile = lines_tile
    step.tiles = c.column_blocks * c.row_blocks * (c.outer.rows if c.down.taps else 1)
    if c.in_place:
        step.tiles = c.outer.rows
    step.seconds = stage_seconds(c)


# ---- from passes to stages -------------------------------------------------------------------------------

cdef int code_of(object dtype) except -1:
    kind = dtype.kind
    if kind == "b":
        return FS_U8
    if kind == "u" or kind == "i":
        return {1: 0, 2: 2, 4: 4, 8: 6}[dtype.itemsize] + (1 if kind == "i" else 0)
    if kind == "f" and dtype.itemsize == 4:
        return FS_F32
    if kind == "f" and dtype.itemsize == 8:
        return FS_F64
    raise TypeError(f"filter_passes takes integers, bool, float32 and float64; got {dtype}")


cdef class Operand:
    """An array, held while a stage is laid out."""
    cdef View view
    cdef elements elements
    cdef int ndim
    cdef object array

    def __init__(self, array, bint writable):
        self.array = array
        self.view = strided(array, writable)
        self.ndim = self.view.buffer.ndim
        if self.ndim > MOST_AXES:
            raise ValueError(f"an array of at most {MOST_AXES} axes was promised, this one has {self.ndim}")
        self.elements.data = <char *>self.view.buffer.buf
        self.elements.dtype = <fs_dtype>code_of(array.dtype)
        self.elements.swapped = not array.dtype.isnative
        self.elements.item = self.view.buffer.itemsize


cdef Packed pairs_of(const double *values, int64_t taps):
    """Integer weights as lines16.inc wants them: pairs from the first tap on, then pairs from one before it on."""
    cdef int64_t pairs = taps // 2 + 1, place, tap
    cdef Packed packed = allocate(2 * pairs * sizeof(int32_t))
    cdef int16_t *to = <int16_t *>packed.data
    for place in range(4 * pairs):
        tap = place if place < 2 * pairs else place - 2 * pairs - 1
        to[place] = <int16_t>values[tap] if 0 <= tap < taps else 0
    return packed


cdef int fill_pass(lines_pass *p, object spec, Operand x, Operand out, const fs_real_kernels *kernels,
                   bint exact, double unit, list held) except -1:
    """A pass for the kernels (NULL: 16-bit lanes), its weights in multiples of `unit`. They are packed and appended to
    `held`, which must outlive the pass."""
    cdef int64_t tap, half
    cdef double w, other
    cdef Packed packed
    cdef View weights
    cdef const double *values
    cdef bint symmetric = True, antisymmetric = True
    p.taps = spec.size
    p.before = spec.before
    p.size = x.view.buffer.shape[spec.axis]
    p.outputs = out.view.buffer.shape[spec.axis]
    p.mode = <border>(<int>MODES[spec.mode])
    p.cval = spec.cval
    p.exact = exact and kernels != NULL and kernels.bytes == 8
    p.folding = FS_UNFOLDED
    p.weights = NULL
    p.running = False
    if spec.kind == "box":
        # Sums of narrow integers are exact in any order; those of anything else follow SciPy's running sum.
        p.running = exact and (x.elements.dtype >= FS_U64 or out.elements.dtype >= FS_U64
                               or p.taps > (<int64_t>1 << 20)
                               or (p.mode == CONSTANT and p.cval != <double>(<int64_t>p.cval)))
        return 0
    weights = strided(spec.weights)
    values = <const double *>weights.buffer.buf
    if kernels == NULL:
        packed = pairs_of(values, p.taps)
        held.append(packed)
        p.weights = packed.data
        return 0
    packed = allocate(p.taps * kernels.bytes)
    held.append(packed)
    for tap in range(p.taps):
        if kernels.bytes == 4:
            (<float *>packed.data)[tap] = <float>(unit * values[tap])
        else:
            (<double *>packed.data)[tap] = unit * values[tap]
    p.weights = packed.data
    half = p.taps // 2
    for tap in range(half):
        w = values[tap]
        other = values[p.taps - 1 - tap]
        if exact:
            # SciPy's own test, by which a NaN is symmetric.
            if fabs(other - w) > DBL_EPSILON:
                symmetric = False
            if fabs(other + w) > DBL_EPSILON:
                antisymmetric = False
        else:
            symmetric = symmetric and w == other
            antisymmetric = antisymmetric and w == -other
    if p.taps % 2:
        p.folding = FS_SYMMETRIC if symmetric else FS_ANTISYMMETRIC if antisymmetric else FS_UNFOLDED
    return 0


cdef int shape_stage(lines_call *c, Operand x, Operand out, int down, int along) except -1:
    """Lay the axes of both arrays out: `down` and `along` are axes, or -1 for none. Free axes that lie one behind the
    other in both arrays become one."""
    cdef int axis, i, j, count = 0
    cdef int64_t shape[MOST_AXES]
    cdef int64_t xs[MOST_AXES]
    cdef int64_t outs[MOST_AXES]
    cdef int64_t size, a, b
    for axis in range(x.ndim):
        size = x.view.buffer.shape[axis]
        if axis == down or axis == along or size == 1:
            continue
        a = x.view.buffer.strides[axis]
        b = out.view.buffer.strides[axis]
        # Sorted by the output's stride, widest first.
        i = count
        while i > 0 and abs(outs[i - 1]) < abs(b):
            shape[i], xs[i], outs[i] = shape[i - 1], xs[i - 1], outs[i - 1]
            i -= 1
        shape[i], xs[i], outs[i] = size, a, b
        count += 1
    i = 0
    for j in range(1, count):
        if xs[i] == xs[j] * shape[j] and outs[i] == outs[j] * shape[j]:
            shape[i], xs[i], outs[i] = shape[i] * shape[j], xs[j], outs[j]
        else:
            i += 1
            shape[i], xs[i], outs[i] = shape[j], xs[j], outs[j]
    count = min(count, i + 1)

    c.channels = 1
    if along >= 0:
        c.x_step = x.view.buffer.strides[along]
        c.out_step = out.view.buffer.strides[along]
        c.columns = x.view.buffer.shape[along]
        c.out_columns = out.view.buffer.shape[along]
        if (count and xs[count - 1] == x.elements.item and outs[count - 1] == out.elements.item
                and c.x_step == shape[count - 1] * xs[count - 1]
                and c.out_step == shape[count - 1] * outs[count - 1]):
            count -= 1
            c.channels = shape[count]
            c.x_step, c.out_step = xs[count], outs[count]
            c.columns *= c.channels
            c.out_columns *= c.channels
    elif count:
        count -= 1
        c.columns = c.out_columns = shape[count]
        c.x_step, c.out_step = xs[count], outs[count]
    else:
        c.columns = c.out_columns = 1
        c.x_step, c.out_step = x.elements.item, out.elements.item
    c.x_row = x.view.buffer.strides[down] if down >= 0 else 0
    c.out_row = out.view.buffer.strides[down] if down >= 0 else 0
    c.outer.count = count
    c.outer.rows = 1
    for i in range(count):
        c.outer.shape[i] = shape[i]
        c.outer.x_strides[i] = xs[i]
        c.outer.out_strides[i] = outs[i]
        c.outer.rows *= shape[i]
    return 0


cdef int64_t channels_below(Operand x, Operand out, int axis) noexcept:
    """Elements of a pixel if the axis is filtered along the rows: 1 where it is the innermost, the product of the axes
    below it where those lie side by side in both arrays, else 0."""
    cdef int i
    cdef int64_t below = 1
    for i in range(x.ndim):
        if i != axis and x.view.buffer.shape[i] > 1 and (
                abs(out.view.buffer.strides[i]) < abs(out.view.buffer.strides[axis])):
            below *= x.view.buffer.shape[i]
    if below == 1 or (x.view.buffer.strides[axis] == below * x.elements.item
                      and out.view.buffer.strides[axis] == below * out.elements.item):
        return below
    return 0


cdef bint goes_along(Operand x, Operand out, object spec, bint running) except -1:
    """Whether a pass runs along rows, not down them."""
    cdef int64_t below
    if running or x.ndim == 1:
        return True
    below = channels_below(x, out, spec.axis)
    return below == 1 or (0 < below <= 16 and spec.size * below <= 512)


cdef bint fuses_in_place(object passes, int first, object output, bint already) except -1:
    """Whether what is left of the passes is one stage that can read the output and write it: two passes over planes
    that are copied to scratch, one at a time."""
    cdef Operand out
    if already or len(passes) - first != 2:
        return False
    down, along = passes[first], passes[first + 1]
    if "valid" in [p.mode for p in passes] or down.axis == along.axis or "box" in (down.kind, along.kind):
        return False
    out = Operand(output, True)
    return (not out.elements.swapped and not goes_along(out, out, down, False) and goes_along(out, out, along, False)
            and channels_below(out, out, along.axis) == 1
            and out.view.buffer.strides[along.axis] == out.elements.item
            and out.view.buffer.shape[down.axis] * out.view.buffer.shape[along.axis] * out.elements.item
            <= caches().level2 // 2)


cdef int set_rounding(lines_pass *p, object factor, object division, int working, int item_bytes, bint once,
                      bint last) except -1:
    """What a sum is multiplied by before it is rounded; in 16-bit lanes, as shifts. `division`: what it is, if
    not None. `once`: only the last pass rounds to an integer, and its sums begin with one half."""
    p.once = once
    p.rounds = last or not once
    p.start = 0.5 if once and last else -0.0
    p.factor = float(factor)
    p.divisor = float(p.taps / factor)
    p.half = p.shift = p.multiplier = 0
    if working == 4 and division is not None:
        p.factor, p.start = division
        p.rounds, p.divisor = True, 1
        return 0
    if working == 4 and p.taps and p.weights == NULL and last:
        parts = reciprocal(int(p.taps / factor), 1 << 8 * item_bytes)
        if parts is not None:
            p.factor, p.start = parts
    if working > 2 or p.taps == 0:
        return 0
    if p.weights == NULL:
        p.half, p.multiplier, p.shift = short_division(int(p.taps / factor)) if division is None else division
    else:
        p.shift = <int32_t>-log2(p.factor)
        p.half = 1 << (p.shift - 1) if p.shift else 0
    return 0


cdef int set_decision(lines_pass *p, object spec, object decision, object stored, list held) except -1:
    """How sums in float32 become SciPy's integers in the type `stored`."""
    cdef Packed packed
    cdef View weights
    memset(&p.bits, 0, sizeof(p.bits))
    if decision is None or p.taps == 0:
        return 0
    p.bits.taps = p.taps
    p.bits.folding = p.folding
    p.bits.is_signed = decision.is_signed
    p.bits.relative, p.bits.absolute, p.bits.factor, p.bits.wraps = decision[:2] + decision[3:]
    p.bits.mask = (1 << 8 * stored.itemsize) - 1
    p.bits.sign = 1 << (8 * stored.itemsize - 1) if stored.kind == "i" else 0
    if p.weights != NULL:
        weights = strided(spec.weights)
        packed = allocate(p.taps * sizeof(double))
        memcpy(packed.data, weights.buffer.buf, p.taps * sizeof(double))
        held.append(packed)
        p.bits.weights = <const double *>packed.data
    return 0


cdef class FilterPlan:
    """Passes over arrays of one layout: cut into stages, their weights packed. Never written to once it is made, so any
    number of threads may run it at once."""

    cdef int compute(self, View x, View out, object threads) except -1:
        """Filter `x` into `out`, which have the layout that the plan was made for and share no memory."""
        cdef const lines_stage *stages = <const lines_stage *>self.stages.data
        cdef lines_stage stage
        cdef View source = x, target
        cdef int i
        for i in range(self.count):
            between = self.between[i]
            target = out if between is None else strided(numpy.empty(*between), True)
            stage = stages[i]
            stage.call.x.data = <char *>source.buffer.buf
            stage.call.out.data = <char *>target.buffer.buf
            run_phases(&stage.step, 1, 1, &stage.call, stage.call.scratch_bytes,
                       threads_for(threads, stage.step.seconds))
            source = target
        return 0


def limits(dtype):
    """The least and the greatest value of a type of integers; of bool, 0 and 1."""
    return (0, 1) if dtype.kind == "b" else (int(numpy.iinfo(dtype).min), int(numpy.iinfo(dtype).max))


def filter_passes(input, output, passes, *, str arithmetic, threads=None):
    """Filter `input` along axes, one pass after another, into `output`.

    Parameters
    ----------
    input, output : ndarray
        Integers, bool, float32 or float64, of any strides, alignment and byte order, and of the same shape; along an
        axis with ``mode="valid"`` the output is ``size - 1`` shorter. They may overlap: the input is then copied.
    passes : sequence of Pass
        In the order in which they run; each stores in the output's type.
    arithmetic : str
        ``"scipy"``: in double precision, in SciPy's order, rounded after every product and every sum: SciPy's bits.
        ``"float64"`` and ``"float32"``: with fused multiply-adds, in that precision; "float32" needs an output of
        float32, "float64" one of float32 or float64.
        ``"nearest"``: integers of up to 16 bits, by weights that are integers over a power of two, rounded to the
        nearest and kept within the type's range: `in_integers`, and lines.md.
    threads : int or None
        As everywhere.

    Returns
    -------
    FilterPlan or None
        What filters any arrays that lie in memory as these do; None where the output is empty, or the input had to be
        copied.

    Raises
    ------
    TypeError
        A type is none of those above.
    ValueError
        `arithmetic` is unknown or does not go with the output's type, or `passes` is empty.
    """
    cdef bint exact = arithmetic == "scipy", nearest = arithmetic == "nearest"
    cdef const fs_real_kernels *kernels
    cdef const fs_line_kernels *unturned
    cdef bint short, once = False
    cdef double unit
    cdef Operand x, out
    cdef lines_call call
    cdef lines_pass one, two
    cdef lines_stage *stages
    cdef FilterPlan plan
    cdef list factors = []
    cdef list divisors = []
    cdef int stage = 0, count = len(passes)
    cdef list divisions = [None] * count
    cdef list decisions = None
    if arithmetic not in ("scipy", "float64", "float32", "nearest"):
        raise ValueError(f"arithmetic must be 'scipy', 'float64', 'float32' or 'nearest'; got {arithmetic!r}")
    if count == 0:
        raise ValueError("passes must hold at least one pass; got none")
    code = code_of(output.dtype)
    if ((nearest and not (code <= FS_I16 and input.dtype.newbyteorder("=") == output.dtype.newbyteorder("=")))
            or (arithmetic == "float32" and code != FS_F32) or (arithmetic == "float64" and code < FS_F32)):
        raise ValueError(f"arithmetic={arithmetic!r} does not go from {input.dtype} to an output of {output.dtype}")
    code_of(input.dtype)
    if output.size == 0:
        check(threads)
        return None
    working = 4 if arithmetic == "float32" else 8
    stored = output.dtype.newbyteorder("=")
    if nearest:
        working, passes, factors, digits = in_integers(tuple(passes), output.dtype)
        once = digits is not None
        # Between stages the fractional bits must stay.
        stored = numpy.dtype("i2" if working == 2 else f"f{working}")
    elif exact and exact_in_short_integers(passes, input.dtype, output.dtype):
        # SciPy's bits, whatever computes them.
        working, stored, factors = 2, numpy.dtype("i2"), [1.0] * count
        passes = in_order_of_axes(passes)
    elif exact and (cut := boxes_cut(passes, input.dtype, output.dtype)) is not None:
        working, divisions = cut
        factors = [1.0] * count
        stored = numpy.dtype("i2") if working == 2 else stored
    elif exact and (decisions := in_narrow_sums(passes, input.dtype, output.dtype, vectors(get_isa())[2])) is not None:
        # In double only where these sums do not say which integer SciPy's become.
        working, divisors = 4, [1.0] * count
    elif not exact and output.dtype.itemsize == working:
        passes, divisors = dividing_once(in_order_of_axes(passes))
    unturned = line_kernels(get_isa(), working)
    kernels = kernels_named(get_isa(), working) if working > 2 else NULL
    copied = numpy.may_share_memory(input, output)
    if copied:
        input = input.copy()
    plan = FilterPlan.__new__(FilterPlan)
    plan.stages = allocate(count * sizeof(lines_stage))
    plan.weights = []
    plan.between = []
    stages = <lines_stage *>plan.stages.data
    source = input
    while stage < count:
        x = Operand(source, False)
        spec = passes[stage]
        last = stage + 1
        shape = list(source.shape)
        if spec.mode == "valid":
            shape[spec.axis] -= spec.size - 1
        # A pass down the rows takes the next pass along them with it.
        if last == count or (not nearest and fuses_in_place(passes, last, output, source is output)):
            target = output
        else:
            target = numpy.empty(shape, stored)
        out = Operand(target, True)
        # In sums that are not exact the weights carry the power of two.
        unit = factors[stage] if once else 1.0
        fill_pass(&one, spec, x, out, kernels, exact, unit, plan.weights)
        if not goes_along(x, out, spec, one.running):
            two.taps = 0
            if last < count:
                after = passes[last]
                if after.axis != spec.axis:
                    if after.mode == "valid":
                        shape[after.axis] -= after.size - 1
                    both = output if last + 1 == count else numpy.empty(shape, stored)
                    wide = Operand(both, True)
                    unit = factors[last] if once else 1.0
                    fill_pass(&two, after, x, wide, kernels, exact, unit, plan.weights)
                    if not two.running and goes_along(x, wide, after, False):
                        last += 1
                        target = both
                        out = wide
                    else:
                        two.taps = 0
            call.down = one
            call.along = two
        else:
            call.down.taps = 0
            call.down.weights = NULL
            call.along = one
        if call.along.taps == 0:
            call.along.before = 0
            call.along.mode = VALID
            call.along.running = False
        call.nearest = nearest
        # 16-bit lanes are never turned, floats only for many taps.
        short = call.along.taps <= (MOST_UNTURNED_SUMS if call.along.weights == NULL else MOST_UNTURNED
                                    if unturned.lanes * unturned.bytes <= 32 else MOST_UNTURNED_WIDE)
        call.unturned = NULL
        if working == 2 or (call.down.taps and call.along.taps and short and (not exact or working == 4)
                            and (nearest or exact or out.elements.item == working)):
            call.unturned = unturned
        call.down.divisor, call.along.divisor = call.down.taps, call.along.taps
        if divisors:
            call.down.divisor, call.along.divisor = divisors[stage], divisors[last - 1]
        call.deciding = unturned if decisions is not None else NULL
        if decisions is not None:
            set_decision(&call.down, spec, decisions[stage], output.dtype, plan.weights)
            set_decision(&call.along, passes[last - 1], decisions[last - 1], output.dtype, plan.weights)
        call.down.once = call.down.rounds = call.along.once = call.along.rounds = False
        call.down.start = call.along.start = -0.0
        if factors:
            set_rounding(&call.down, factors[stage], divisions[stage], working, output.itemsize, once, stage + 1 == count)
            set_rounding(&call.along, factors[last - 1], divisions[last - 1], working, output.itemsize, once,
                         last == count)
            call.low, call.high = -INFINITY, INFINITY
            if working == 2:
                call.low, call.high = limits(stored)
            if last == count:
                call.low, call.high = limits(output.dtype)
        call.kernels = kernels
        call.x = x.elements
        call.out = out.elements
        call.settle = (not nearest and working == 8 and kernels != NULL and call.down.taps != 0 and call.along.taps != 0
                       and (out.elements.dtype < FS_F32 or out.elements.item != kernels.bytes))
        call.in_place = source is output
        shape_stage(&call, x, out, spec.axis if call.down.taps else -1,
                    -1 if call.along.taps == 0 else passes[last - 1].axis)
        cut_stage(&call, &stages[plan.count].step)
        stages[plan.count].call = call
        plan.between.append(None if target is output else (target.shape, target.dtype))
        plan.count += 1
        source = target
        stage = last
    plan.compute(strided(input), strided(output, True), threads)
    return None if copied else plan
