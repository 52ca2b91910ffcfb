"""Pooling: rectangles of outputs × blocks of channels, each one tile; of whole images, blocks of channels. See
pooling.md."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from fastsep._arrays cimport (
    View,
    align,
    array,
    channels_apart,
    cursor,
    divide_up,
    effective,
    fill_before,
    fill_epilogue,
    fill_window,
    pixel_address,
    place_outputs,
    place_tile,
    predicted_seconds,
    rectangle,
    ring_bytes,
    row_of,
    seen,
    source,
    source_of_array,
    stage,
    stage_window,
    staging_bytes,
    unstage,
    unstage_rows,
    window,
)
from fastsep._isa cimport fs_elementwise, fs_pool, fs_row, fs_sums, kernels_named
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pooling cimport global_pool_call, pool_call, pool_plan
from fastsep._threads cimport threads_for

cdef enum:
    # Numbers that a tile reads: 128 KB of float32, 5 to 10 µs.
    TILE_NUMBERS = 32768
    # Channels of a tile of a staged image, so that its ring stays small.
    STAGED_CHANNELS = 64
    # Row sums of a whole image that are kept before they are added up.
    PARTS = 64
    MOST_GLOBAL_CHANNELS = 512


cdef int fill_plan(pool_plan *p, object kind, int64_t channels, object dtype, str isa) except -1:
    if kind not in ("max", "average", "average_including_padding"):
        raise ValueError(f"kind must be 'max', 'average' or 'average_including_padding'; got {kind!r}")
    p.kernels = kernels_named(isa, dtype.itemsize)
    p.channels = channels
    p.largest = kind == "max"
    p.counts_padding = kind == "average_including_padding"
    return fill_epilogue(&p.epilogue, ("clamp", -INFINITY, INFINITY))


cdef void add_residual(const pool_plan *p, int64_t pixels, int64_t channels, char *out, int64_t out_pixel_stride,
                       const char *residual, int64_t residual_pixel_stride) noexcept nogil:
    """To outputs just written, still in L1."""
    cdef fs_elementwise work
    work.pixels = pixels
    work.channels = channels
    work.x = out
    work.x_pixel_stride = out_pixel_stride
    work.other = residual
    work.other_pixel_stride = residual_pixel_stride
    work.multiplies = False
    work.out = out
    work.out_pixel_stride = out_pixel_stride
    work.epilogue = &p.epilogue
    p.kernels.elementwise(&work)


# ---- windows ---------------------------------------------------------------------------------------------


cdef int64_t table_bytes(const window *w) noexcept nogil:
    """Scratch for a pointer to each row of a window."""
    return align(w.taps[0] * w.taps[1] * sizeof(char *))


cdef int64_t taps_within(const window *w, int axis, int64_t first, int64_t low, int64_t high) noexcept nogil:
    """Taps at positions in [low, high), of a window that begins at `first`."""
    cdef int64_t step = w.dilation[axis], begin = 0, end = 0
    if first < low:
        begin = divide_up(low - first, step)
    if first < high:
        end = min(w.taps[axis], divide_up(high - first, step))
    return max(0, end - begin)


cdef int64_t fill_rows(const pool_call *call, const source *input, int64_t depth, int64_t row,
                       const char **rows) noexcept nogil:
    """The rows inside the image that a row of outputs sees; returns how many."""
    cdef const window *w = &call.plan.window
    cdef int64_t i, j, count = 0, at_depth, at_row
    cdef fs_row found
    if input.empty:
        return 0
    for i in range(w.taps[0]):
        at_depth = depth * w.strides[0] - call.before[0] + i * w.dilation[0]
        if at_depth < 0 or at_depth >= input.shape[0]:
            continue
        for j in range(w.taps[1]):
            at_row = row * w.strides[1] - call.before[1] + j * w.dilation[1]
            if at_row >= 0 and at_row < input.shape[1]:
                row_of(input, at_depth, at_row, &found)
                rows[count] = found.data
                count += 1
    return count


cdef void pool_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const pool_call *call = <const pool_call *>opaque
    cdef const pool_plan *p = call.plan
    cdef const window *w = &p.window
    cdef int64_t item = p.kernels.bytes, i, depth_taps
    cdef rectangle r
    cdef source input
    cdef cursor at
    cdef fs_pool work
    # Channels vary fastest: the tiles of one rectangle share lines of input.
    r.channel = tile % call.channel_blocks * call.block_channels
    r.channels = min(call.block_channels, p.channels - r.channel)
    at = place_tile(&call.out, tile // call.channel_blocks, call.block_rows, call.row_blocks, call.block_columns,
                    call.column_blocks, &r)
    if call.stage_x:
        stage_window(p.kernels, w, &call.x, at.batch, call.before, &r, 1, NULL, scratch + call.ring_at, &input)
    else:
        source_of_array(&call.x, at.batch, NULL, &input)
        input.data += r.channel * item
    place_outputs(&call.out, at, item, scratch + call.out_at if call.stage_out else NULL, &r)

    work.largest = p.largest
    work.rows = <const char **>scratch
    work.pixel_stride = input.strides[2]
    work.first_column = r.column
    work.columns = r.columns
    work.taps = w.taps[2]
    work.stride = w.strides[2]
    work.dilation = w.dilation[2]
    work.before = call.before[2]
    work.width = 0 if input.empty else call.x.shape[3]
    work.channels = r.channels
    work.out_pixel_stride = r.out_pixel_stride
    work.margins[0] = call.margins[2][0]
    work.margins[1] = call.x.shape[3] - work.width + call.margins[2][1]
    depth_taps = taps_within(w, 0, r.depth * w.strides[0] - call.before[0], -call.margins[0][0],
                             call.x.shape[1] + call.margins[0][1])
    for i in range(r.rows):
        at.row = r.row + i
        work.row_count = fill_rows(call, &input, r.depth, at.row, <const char **>scratch)
        work.counted_rows = depth_taps * taps_within(w, 1, at.row * w.strides[1] - call.before[1],
                                                     -call.margins[1][0], call.x.shape[2] + call.margins[1][1])
        work.out = r.out + i * r.out_row_stride
        p.kernels.pool_row(&work)
        if call.stage_residual:
            stage(p.kernels, &call.residual, at, r.columns, r.channel, r.channels, 1, scratch + call.residual_at,
                  r.channels * item)
            add_residual(p, r.columns, r.channels, work.out, r.out_pixel_stride, scratch + call.residual_at,
                         r.channels * item)
        elif call.residual.data != NULL:
            add_residual(p, r.columns, r.channels, work.out, r.out_pixel_stride,
                         pixel_address(&call.residual, at) + r.channel * item, call.residual.strides[3])
    if call.stage_out:
        at.row = r.row
        unstage_rows(p.kernels, r.out, &call.out, at, r.rows, r.columns, r.channel, r.channels)


cdef void lay_out(pool_call *call, int threads) noexcept nogil:
    cdef const pool_plan *p = call.plan
    cdef const window *w = &p.window
    cdef const int64_t *image = &call.x.shape[1]
    cdef int64_t item = p.kernels.bytes, rows = call.out.shape[0] * call.out.shape[1] * call.out.shape[2]
    cdef int64_t blocks, budget, held, line = 64 // item
    call.stage_x = channels_apart(&call.x, item)
    call.stage_out = channels_apart(&call.out, item)
    call.stage_residual = call.residual.data != NULL and channels_apart(&call.residual, item)

    # Channels: all, so that pixels are read whole, unless they are staged or there are too few rows for the threads.
    blocks = 1
    if call.stage_x or call.stage_out or call.stage_residual:
        blocks = divide_up(p.channels, STAGED_CHANNELS)
    if threads > 1 and rows < 2 * threads:
        blocks = max(blocks, divide_up(2 * threads, rows))
    call.block_channels = min(p.channels, divide_up(divide_up(p.channels, blocks), line) * line)
    call.channel_blocks = divide_up(p.channels, call.block_channels)

    # Columns: whole rows, unless one row is too much scratch, or too much work.
    held = seen(w, image, 0, 1) * seen(w, image, 1, 1) * w.strides[2] * call.block_channels
    budget = max(16, 8 * TILE_NUMBERS // max(1, held))
    if call.stage_x:
        budget = min(budget, max(16, staging_bytes() // max(1, held * item)))
    call.column_blocks = divide_up(call.out.shape[3], budget)
    call.block_columns = divide_up(call.out.shape[3], call.column_blocks)
    call.column_blocks = divide_up(call.out.shape[3], call.block_columns)

    # Rows: by the numbers that a tile reads, but four tiles a thread, and as many for each.
    held = seen(w, image, 0, 1) * w.strides[1] * seen(w, image, 2, call.block_columns) * call.block_channels
    call.block_rows = min(call.out.shape[2], max(1, TILE_NUMBERS // max(1, held)))
    blocks = call.out.shape[0] * call.out.shape[1] * call.column_blocks * call.channel_blocks
    if threads > 1:
        held = divide_up(blocks * call.out.shape[2], 4 * threads)
        call.block_rows = max(1, min(call.block_rows, held))
        if blocks % threads:
            held = divide_up(divide_up(call.out.shape[2], call.block_rows), threads) * threads
            call.block_rows = divide_up(call.out.shape[2], min(held, call.out.shape[2]))
    call.row_blocks = divide_up(call.out.shape[2], call.block_rows)

    call.ring_at = table_bytes(w)
    held = ring_bytes(w, image, call.block_rows, call.block_columns, call.block_channels * item)
    call.out_at = call.ring_at + align(held) * call.stage_x
    held = align(call.block_columns * call.block_channels * item)
    call.residual_at = call.out_at + held * call.block_rows * call.stage_out
    call.scratch_bytes = call.residual_at + held * call.stage_residual


cdef double pool_seconds(const pool_plan *p, const array *x, const array *out) noexcept nogil:
    """Serial time: a maximum or a sum of every number that a window sees, four operations each, or the memory."""
    cdef double numbers = p.channels, moved = p.channels, taps = 1.0
    cdef int axis
    for axis in range(4):
        numbers *= out.shape[axis]
        moved *= x.shape[axis]
    for axis in range(3):
        taps *= p.window.taps[axis]
    return predicted_seconds(p.kernels, 4.0 * taps * numbers, p.kernels.bytes * (moved + numbers))


cdef class PoolPlan(CompiledPlan):
    """Windows of an image; immutable.

    `kind` is "max", "average" (of the numbers inside the image) or "average_including_padding" (whose zeros count, but
    not what lies beyond the padding); `spec` = (taps, strides, dilation_rate, padding) by axis, padding "same",
    "same_lower" or (before, after) pairs. `ceil_mode`: the number of windows is rounded up, but none begins beyond the
    image and its padding before. A window that sees nothing has a maximum of -inf and a mean of NaN. A residual is
    added afterwards.
    """

    def __init__(self, str kind, spec, int64_t channels, dtype, str isa, bint ceil_mode=False):
        cdef window *w = &self.plan.window
        fill_plan(&self.plan, kind, channels, dtype, isa)
        fill_window(w, spec)
        w.ceil = ceil_mode
        self.isa, self.item_bytes = isa, dtype.itemsize
        self.geometry = w
        self.inputs = self.outputs = channels

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef pool_call *call = <pool_call *>work.call
        cdef const window *w = &self.plan.window
        cdef int axis
        work.seconds = pool_seconds(&self.plan, &x.array, &out.array)
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.out = out.array
        call.residual = residual.array
        fill_before(w, &call.x, call.before)
        for axis in range(3):
            call.margins[axis][0] = call.margins[axis][1] = 0
            if self.plan.counts_padding:
                call.margins[axis][0] = call.before[axis]
                call.margins[axis][1] = w.pads[axis][1]
                if w.padding:
                    call.margins[axis][1] = max(0, (out.array.shape[1 + axis] - 1) * w.strides[axis]
                                                + effective(w, axis) - x.array.shape[1 + axis] - call.before[axis])
        lay_out(call, work.threads)
        add_phase(work, pool_tile, call.out.shape[0] * call.out.shape[1] * call.row_blocks * call.column_blocks
                  * call.channel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    cdef str tile(self, const job *work):
        cdef const pool_call *call = <const pool_call *>work.call
        return f"{call.block_rows} rows × {call.block_columns} columns × {call.block_channels} channels"


# ---- whole images ----------------------------------------------------------------------------------------


cdef void reduce_pixels(const pool_plan *p, const char *pixels, int64_t count, int64_t pixel_stride, int64_t channels,
                        char *to, bint begin, double divisor) noexcept nogil:
    """Pixels in order to one: their sum, on top of what `to` holds unless it is to begin, or their largest number, of
    `to` as well."""
    cdef fs_sums sums
    cdef fs_pool largest
    if not p.largest:
        sums.pixels = count
        sums.channels = channels
        sums.from_ = pixels
        sums.pixel_stride = pixel_stride
        sums.sums = to
        sums.begin = begin
        sums.divisor = divisor
        p.kernels.sum_pixels(&sums)
        return
    largest.largest = True
    largest.row_count = 1
    largest.rows = &pixels
    largest.pixel_stride = pixel_stride
    largest.first_column = 0
    largest.columns = 1
    largest.taps = largest.width = count
    largest.stride = largest.dilation = 1
    largest.before = 0
    largest.channels = channels
    largest.out = to
    largest.out_pixel_stride = 0
    largest.counted_rows = largest.margins[0] = largest.margins[1] = 0
    p.kernels.pool_row(&largest)


cdef void global_pool_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    """A block of channels of an image: every row to one pixel, and these, PARTS at a time, to the result."""
    cdef const global_pool_call *call = <const global_pool_call *>opaque
    cdef const pool_plan *p = call.plan
    cdef const array *x = &call.x
    cdef int64_t item = p.kernels.bytes, first = tile % call.channel_blocks * call.block_channels
    cdef int64_t channels = min(call.block_channels, p.channels - first), pixel = channels * item
    cdef int64_t rows = x.shape[1] * x.shape[2], row, count = 0
    cdef char *parts = scratch + call.parts_at
    cdef cursor at
    cdef bint begin = True
    at.batch = tile // call.channel_blocks
    at.column = 0
    # The result so far, in scratch, is the first of the parts of a maximum.
    if p.largest:
        reduce_pixels(p, parts, 0, pixel, channels, parts, True, 1)
    elif rows == 0:
        reduce_pixels(p, parts, 0, pixel, channels, parts, True, 0)
    for row in range(rows):
        at.depth = row // x.shape[2]
        at.row = row % x.shape[2]
        count += 1
        if call.stage_x:
            stage(p.kernels, x, at, x.shape[3], first, channels, 1, scratch + call.staged_at, pixel)
            reduce_pixels(p, scratch + call.staged_at, x.shape[3], pixel, channels, parts + count * pixel, True, 1)
        else:
            reduce_pixels(p, pixel_address(x, at) + first * item, x.shape[3], x.strides[3], channels,
                          parts + count * pixel, True, 1)
        if count == PARTS or row + 1 == rows:
            if p.largest:
                reduce_pixels(p, parts, count + 1, pixel, channels, parts, begin, 1)
            else:
                reduce_pixels(p, parts + pixel, count, pixel, channels, parts, begin,
                              <double>rows * x.shape[3] if row + 1 == rows else 1.0)
            begin = False
            count = 0
    at.depth = at.row = 0
    if call.residual.data != NULL:
        stage(p.kernels, &call.residual, at, 1, first, channels, 1, parts + pixel, pixel)
        add_residual(p, 1, channels, parts, pixel, parts + pixel, pixel)
    unstage(p.kernels, parts, pixel, &call.out, at, 1, first, channels)


cdef void lay_out_global(global_pool_call *call, int threads) noexcept nogil:
    cdef const pool_plan *p = call.plan
    cdef int64_t item = p.kernels.bytes, blocks, line = 64 // item
    blocks = divide_up(p.channels, MOST_GLOBAL_CHANNELS)
    if threads > 1:
        # As many blocks of every image for each thread.
        blocks = max(blocks, divide_up(threads, call.out.shape[0]))
        if call.out.shape[0] % threads:
            blocks = divide_up(blocks, threads) * threads
    call.block_channels = min(p.channels, divide_up(divide_up(p.channels, blocks), line) * line)
    call.channel_blocks = divide_up(p.channels, call.block_channels)
    call.stage_x = channels_apart(&call.x, item)
    call.parts_at = 0
    call.staged_at = align((PARTS + 1) * call.block_channels * item)
    call.scratch_bytes = call.staged_at + call.x.shape[3] * call.block_channels * item * call.stage_x


cdef class GlobalPoolPlan(CompiledPlan):
    """Whole images to one pixel each; immutable. `kind` is "max" or "average"; a residual is added afterwards.

    A sum goes along each row from the left, beginning with +0, then over the rows, like those of squeeze-and-excite.
    """

    def __init__(self, str kind, int64_t channels, dtype, str isa):
        if kind not in ("max", "average"):
            raise ValueError(f"kind must be 'max' or 'average'; got {kind!r}")
        fill_plan(&self.plan, kind, channels, dtype, isa)
        fill_window(&self.plan.window, ((1, 1, 1), (1, 1, 1), (1, 1, 1), ((0, 0), (0, 0), (0, 0))))
        self.plan.window.padding = 3
        self.isa, self.item_bytes = isa, dtype.itemsize
        self.geometry = &self.plan.window
        self.inputs = self.outputs = channels

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef global_pool_call *call = <global_pool_call *>work.call
        work.seconds = pool_seconds(&self.plan, &out.array, &x.array)
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.out = out.array
        call.residual = residual.array
        lay_out_global(call, work.threads)
        add_phase(work, global_pool_tile, call.out.shape[0] * call.channel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    cdef str tile(self, const job *work):
        cdef const global_pool_call *call = <const global_pool_call *>work.call
        return f"images × {call.block_channels} channels"


if max(sizeof(pool_call), sizeof(global_pool_call)) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for pool_call")
