"""Fused separable convolution: a tile's depthwise outputs stay in L1 or L2 until its panels have read them.
See separable.md."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport (
    View,
    array,
    channels_apart,
    cursor,
    fill_destination,
    fill_pointers,
    flush_destination,
    lay_out_destination,
    fill_before,
    most_scratch,
    place_tile,
    rectangle,
    ring_bytes,
    source,
    source_of_array,
    stage_window,
    staged_outputs,
    staging_seconds,
    window,
    window_range,
)
from fastsep._depthwise cimport (
    DepthwisePlan,
    depthwise_plan,
    depthwise_seconds,
    row_pairs,
    row_table_bytes,
    run_rectangle,
)
from fastsep._isa cimport caches, fs_panel, fs_row
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport (
    PointwisePlan,
    panel_at,
    panels,
    pixels_of_level2,
    register_tile,
    run_panels,
    run_panels_ahead,
    weights_stay,
)
from fastsep._separable cimport separable_call
from fastsep._threads cimport threads_for


cdef enum:
    MOST_PIXELS = 1024


cdef int64_t rows_in_pairs(int64_t height, int64_t blocks) noexcept nogil:
    """Rows of a tile when `height` rows make `blocks` tiles: even, unless one tile has them all."""
    cdef int64_t rows = max(1, (height + blocks - 1) // blocks)
    return rows if blocks <= 1 else (rows + 1) // 2 * 2


cdef int64_t rows_before(int64_t tile, int64_t height, int64_t rows, int64_t blocks, int64_t side) noexcept nogil:
    """Rows that the tiles before `tile` compute: an image has `blocks` times `side` tiles side by side, of `rows` rows, but
    the last ones of what is left of the height."""
    cdef int64_t images = tile // (blocks * side)
    cdef int64_t last = images * side + max(0, tile - (images * blocks + blocks - 1) * side)
    return tile * rows - last * (blocks * rows - height)


cdef int64_t longest_share(int64_t height, int64_t rows, int64_t columns, int64_t images, int64_t split,
                           int threads) noexcept nogil:
    """Rows, of one column block and one part of the panels, that the thread with most of them computes: tiles in order
    (columns fastest, after the panels) are dealt out in runs, and the last rows of an image are often fewer."""
    cdef int64_t blocks = (height + rows - 1) // rows, side = columns * split, tiles = images * blocks * side
    cdef int64_t own, before = 0, after, longest = 0
    for own in range(threads):
        after = rows_before(tiles * (own + 1) // threads, height, rows, blocks, side)
        longest = max(longest, after - before)
        before = after
    return longest


cdef void share_out(separable_call *call, int threads) noexcept nogil:
    """Rows and panels of a tile such that few tiles keep all threads busy to the end.

    Compared by a cost relative to perfect sharing: the longest thread's load, times what each split of the panels adds
    by computing the depthwise part again (twice taps/outputs a split: it reaches half the rate), times what less than
    48 pixels a tile lose to streaming the weights (measured: 10 % at 24 pixels). Up to twice the pixels that a tile
    should have will do where half of L2 holds them, and an odd row has no partner: a hundredth each, to decide between
    equals. 14² × 512 on two threads: 7 + 7 rows instead of 4 + 4 + 4 + 2 by halves of the panels.

    What cannot be the best is not looked at: every call pays for the search, and counting each split's rows tile by tile
    took 38 µs of the 80 of 14² × 128."""
    cdef const panels *p = &call.plan.pointwise.panels
    cdef double best = 1e300, again, cost, perfect
    cdef int64_t height = call.to.out.shape[2], split, blocks, rows, odd, pixels, taps = call.plan.depthwise.taps
    cdef int64_t most_pixels = call.block_rows * call.block_columns, images = call.to.out.shape[0] * call.to.out.shape[1]
    cdef int64_t best_rows = call.block_rows, most = (height + call.block_rows - 1) // call.block_rows
    cdef int64_t pixel = call.plan.depthwise.channels * p.kernels.bytes, room = min(caches().level2 // 2, 512 * 1024)
    cdef int64_t tried[2]
    if call.stage_x or channels_apart(&call.to.out, p.kernels.bytes):
        room = 0                               # input and output lie in scratch besides
    for split in range(1, min(p.count, 4 * threads) + 1):
        again = 1.0 + 2.0 * split * taps / p.outputs
        if again >= best:
            break
        perfect = <double>images * call.column_blocks * height * split / threads
        tried[0] = tried[1] = 0
        for blocks in range((most + 1) // 2, min(height, max(most, 8 * threads)) + 1):
            for odd in range(2):
                rows = (height + blocks - 1) // blocks if odd else rows_in_pairs(height, blocks)
                pixels = rows * call.block_columns
                if rows == tried[odd] or (blocks < most and pixels * pixel > room):
                    continue
                tried[odd] = rows
                cost = again * (1.0 + 0.01 * (pixels > most_pixels) + 0.01 * (rows % 2))
                if pixels < 48:
                    cost *= 1.0 + 0.1 * (48.0 / pixels - 1.0)
                if cost >= best:
                    continue
                cost *= longest_share(height, rows, call.column_blocks, images, split, threads) / perfect
                if cost < best - 1e-9:
                    best = cost
                    best_rows = rows
                    call.block_panels = (p.count + split - 1) // split
    call.block_rows = best_rows


cdef int64_t tile_pixels(const depthwise_plan *d, bint staged) noexcept nogil:
    """Depthwise outputs of a tile fill L1: tiles half that size are 5 % slower at 512² × 32, twice that size too. Wide
    pixels fill a part of L2 instead, for which every panel of weights is read once, unless scratch holds staged pixels."""
    cdef int64_t pixel = d.channels * d.kernels.bytes, pixels = max(48, caches().level1 // pixel)
    return min(MOST_PIXELS, pixels if staged else max(pixels, pixels_of_level2(pixel)))


cdef int64_t tile_bytes(const separable_call *call) noexcept nogil:
    """What a tile keeps in scratch: its depthwise outputs, and what is staged."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef int64_t item = d.kernels.bytes, pixels = call.block_rows * call.block_columns
    cdef int64_t staged = staged_outputs(&call.to, item)
    staged = pixels * (d.channels + staged * call.plan.pointwise.panels.outputs) * item
    if call.stage_x:
        staged += ring_bytes(&d.window, &call.x.shape[1], call.block_rows, call.block_columns, d.channels * item)
    return staged


cdef void lay_out(separable_call *call, int threads) noexcept nogil:
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const panels *p = &call.plan.pointwise.panels
    cdef int64_t item = p.kernels.bytes, pixels, tiles, blocks, size
    cdef int64_t height = call.to.out.shape[2], width = call.to.out.shape[3]
    call.stage_x = d.repeat > 1 or channels_apart(&call.x, item)

    # Two rows share depthwise inputs, so a wide image is cut into columns before a tile falls to one row.
    pixels = tile_pixels(d, call.stage_x or channels_apart(&call.to.out, item))
    blocks = max(1, (width + pixels // 4) // max(1, pixels // 2)) if height > 1 else (width + pixels - 1) // pixels
    call.block_columns = max(1, (width + max(blocks, 1) - 1) // max(blocks, 1))
    call.block_rows = max(2, (pixels + call.block_columns // 2) // call.block_columns // 2 * 2)

    # Equal heights: seven rows are one tile of 7, not 6 + 1.
    blocks = max(1, (height + call.block_rows // 2) // call.block_rows)
    call.block_rows = rows_in_pairs(height, blocks)
    while tile_bytes(call) > most_scratch() and call.block_rows > 2:
        blocks += 1
        call.block_rows = rows_in_pairs(height, blocks)
    while tile_bytes(call) > most_scratch() and call.block_columns > 1:
        call.block_columns = (call.block_columns + 1) // 2
    call.column_blocks = (width + call.block_columns - 1) // call.block_columns
    call.block_panels = p.count
    tiles = call.to.out.shape[0] * call.to.out.shape[1] * call.column_blocks
    if threads > 1 and 0 < tiles * blocks < 8 * threads:
        share_out(call, threads)
    call.panel_blocks = (p.count + call.block_panels - 1) // call.block_panels
    call.row_blocks = (height + call.block_rows - 1) // call.block_rows

    call.streams = streams(call)

    pixels = call.block_rows * call.block_columns
    call.pointers_at = row_table_bytes(d)
    call.depthwise_at = call.pointers_at + (3 * pixels * sizeof(char *) + 63) // 64 * 64
    call.ring_at = call.depthwise_at + (pixels * d.channels * item + 63) // 64 * 64
    size = ring_bytes(&d.window, &call.x.shape[1], call.block_rows, call.block_columns, d.channels * item)
    call.scratch_bytes = lay_out_destination(&call.to, item, call.ring_at + (size + 63) // 64 * 64 * call.stage_x,
                                             pixels * p.outputs * item)


cdef bint streams(const separable_call *call) noexcept nogil:
    """Whether a tile's panels fetch what the next tile reads: rows that L2 does not hold, of pixels side by side."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const array *x = &call.x
    return (not call.stage_x and call.panel_blocks == 1 and weights_stay(&call.plan.pointwise.panels)
            and x.shape[1] == 1 and d.window.dilation[1] == 1 and x.strides[3] == d.channels * d.kernels.bytes
            and x.shape[2] * x.shape[3] * x.strides[3] > caches().level2 // 2)


cdef void run_panels_of(const separable_call *call, int64_t tile, fs_panel *work) noexcept nogil:
    """All panels, and meanwhile what the next tile reads of the rows that the tiles above it have not seen."""
    cdef const panels *p = &call.plan.pointwise.panels
    cdef const window *w = &call.plan.depthwise.window
    cdef const array *x = &call.x
    cdef int64_t row, row_end, column, column_end
    cdef rectangle r
    cdef cursor at = place_tile(&call.to.out, tile + 1, call.block_rows, call.row_blocks, call.block_columns,
                                call.column_blocks, &r)
    window_range(w, call.before, &x.shape[1], 1, r.row, r.rows, &row, &row_end)
    window_range(w, call.before, &x.shape[1], 2, r.column, r.columns, &column, &column_end)
    row = max(row, row_end - r.rows * w.strides[1])
    if at.batch < x.shape[0] and row < row_end and column < column_end:
        run_panels_ahead(p, work, x.data + at.batch * x.strides[0] + row * x.strides[2] + column * x.strides[3],
                         (column_end - column) * x.strides[3], row_end - row, x.strides[2])
    else:
        run_panels(p, 0, 0, p.count, work, 0)


cdef void separable_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const separable_call *call = <const separable_call *>opaque
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const panels *p = &call.plan.pointwise.panels
    cdef int64_t item = p.kernels.bytes, pixels, first, last, first_channel, last_channel, channels
    cdef int64_t vectors, outputs
    cdef char **middle
    cdef rectangle r
    cdef source input
    cdef cursor at
    cdef fs_panel work
    first = tile % call.panel_blocks * call.block_panels
    last = min(p.count, first + call.block_panels)
    r.channel = 0
    r.channels = d.channels
    at = place_tile(&call.to.out, tile // call.panel_blocks, call.block_rows, call.row_blocks, call.block_columns,
                    call.column_blocks, &r)
    pixels = r.rows * r.columns

    if call.stage_x:
        stage_window(d.kernels, &d.window, &call.x, at.batch, call.before, &r, d.repeat, d.zeros,
                     scratch + call.ring_at, &input)
    else:
        source_of_array(&call.x, at.batch, d.zeros, &input)
    r.out = scratch + call.depthwise_at
    r.out_pixel_stride = d.channels * item
    r.out_row_stride = r.columns * r.out_pixel_stride
    r.residual = NULL
    run_rectangle(d, &input, call.before, &r, <fs_row *>scratch)

    panel_at(p, first, &first_channel, &vectors, &outputs)
    panel_at(p, last - 1, &last_channel, &vectors, &outputs)
    channels = last_channel + outputs - first_channel
    middle = <char **>(scratch + call.pointers_at)
    fill_pointers(middle, r.out, r.out_pixel_stride, pixels)
    fill_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch, &work,
                     middle + pixels)

    work.pixels = pixels
    work.rows = <const char **>middle
    work.rows_stride = pixels
    work.epilogue = &call.plan.pointwise.epilogue
    if call.streams:
        run_panels_of(call, tile, &work)
    else:
        run_panels(p, 0, first, last, &work, 0)

    flush_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch)


cdef class SeparablePlan(CompiledPlan):
    """A depthwise and a pointwise plan run as one; immutable."""

    def __init__(self, DepthwisePlan depthwise, PointwisePlan pointwise):
        self.depthwise = depthwise
        self.pointwise = pointwise
        self.isa, self.item_bytes = pointwise.isa, pointwise.item_bytes
        self.geometry = depthwise.geometry
        self.inputs, self.outputs = depthwise.inputs, pointwise.outputs
        self.plan.depthwise = &depthwise.plan
        self.plan.pointwise = &pointwise.plan

    cdef double seconds(self, const array *out) noexcept:
        """2 ns a pixel besides, for the pointers of either part (Zen 3, 28² × 2 to 7 channels: 9 to 9.8 µs)."""
        cdef int64_t pixels = 1
        cdef int axis
        for axis in range(4):
            pixels *= out.shape[axis]
        return pixels * 2e-9 + self.pointwise.seconds(pixels) + depthwise_seconds(self.plan.depthwise, pixels, 0)

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef separable_call *call = <separable_call *>work.call
        work.seconds = self.seconds(&out.array) + staging_seconds(&x.array, &out.array, self.item_bytes)
        work.threads = threads_for(threads, work.seconds)
        call.plan = self.plan
        call.x = x.array
        call.to.out = out.array
        call.to.residual = residual.array
        fill_before(&self.plan.depthwise.window, &call.x, call.before)
        lay_out(call, work.threads)
        add_phase(work, separable_tile, call.to.out.shape[0] * call.to.out.shape[1] * call.row_blocks
                  * call.column_blocks * call.panel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    def choice(self):
        cdef const depthwise_plan *d = self.plan.depthwise
        return (f"depthwise → pointwise fused, about {tile_pixels(d, False)} pixels a tile, {row_pairs(d)}, "
                f"{register_tile(&self.plan.pointwise.panels)}")

    cdef str tile(self, const job *work):
        cdef const separable_call *call = <const separable_call *>work.call
        return f"{call.block_rows} rows × {call.block_columns} columns × {call.block_panels} panels"


if sizeof(separable_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for separable_call")
