"""Inverted residual with squeeze-and-excite, in three phases: the depthwise map of an image and the sums of its rows,
the gate of its channels, the projection of the gated map. Without a gate the first and the last: a way to share small
images between threads. See inverted_residual.md."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastsep._arrays cimport (
    DEPTH,
    View,
    align,
    array,
    channels_apart,
    cursor,
    divide_up,
    fill_before,
    fill_destination,
    fill_pointers,
    flush_destination,
    lay_out_destination,
    most_scratch,
    place_tile,
    rectangle,
    ring_bytes,
    ring_for,
    seen,
    source,
    source_of_array,
    stage_window,
    staged_outputs,
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
from fastsep._excite cimport excite_call
from fastsep._inverted_residual cimport InvertedResidualPlan, expand_seen, lay_out_expansion, pointer_bytes
from fastsep._isa cimport caches, fs_panel, fs_row, fs_scaling, fs_sums
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport (
    PointwisePlan,
    merge_axes,
    panel_at,
    panels,
    pixels_for_cache,
    pointwise_plan,
    register_tile,
    run_panels,
)
from fastsep._threads cimport threads_for

cdef enum:
    # Channels of a filter tile: 3 × 3 and 5 × 5 weights, and the rows that a pair of output rows sees, stay in L1 and
    # L2; below 64 the pieces of a pixel become short.
    MOST_CHANNELS = 192
    # What a tile costs beside its channels, in channels: pixels' addresses, the input once more from L2.
    TILE_OVERHEAD = 12
    # Pixels of a group: enough that streaming the weights of a panel does not bind, and of a run of the panels.
    GROUP_PIXELS = 96
    MOST_PIXELS = 384
    # Bytes of a depthwise map that is kept without a gate: beside the rings it stays below 1 MB a thread.
    MOST_MAP = 512 << 10
    # Scaling a pixel takes as long as so many outputs of its projection.
    SCALING = 4

cdef double TILE_SECONDS = 0.02
# Without a gate: what a second phase costs, the wait and the part of the map that lies in other cores' caches.
cdef double PHASE_SECONDS = 5e-6
cdef double MAP_BYTES_PER_SECOND = 2.5e9
cdef int64_t MOST_BYTES = <int64_t>1 << 46


# ---- shared memory ---------------------------------------------------------------------------------------


cdef int64_t pixels_of(const excite_call *call) noexcept nogil:
    """Pixels of the depthwise map of one image."""
    return call.shape[0] * call.shape[1] * call.shape[2]


cdef char *map_pixel(const excite_call *call, int64_t image, int64_t number) noexcept nogil:
    """A pixel of the depthwise map [round_images][depth · height · width][channels]."""
    cdef int64_t slot = image % call.round_images, pixel = call.plan.project.panels.inputs
    return call.shared + (slot * pixels_of(call) + number) * pixel * call.plan.depthwise.kernels.bytes


cdef char *row_sums(const excite_call *call, int64_t image, int64_t row) noexcept nogil:
    """The sums of a row's pixels [round_images][depth · height][channels]."""
    cdef int64_t slot = image % call.round_images, pixel = call.plan.project.panels.inputs
    cdef int64_t number = slot * call.shape[0] * call.shape[1] + row
    return call.shared + call.sums_at + number * pixel * call.plan.depthwise.kernels.bytes


cdef char *gate_of(const excite_call *call, int64_t image) noexcept nogil:
    """The factors of an image's channels [round_images][channels]."""
    cdef int64_t slot = image % call.round_images, pixel = call.plan.project.panels.inputs
    return call.shared + call.gates_at + slot * pixel * call.plan.depthwise.kernels.bytes


# ---- filter: expand and depthwise, a tile of rows × channels --------------------------------------------


cdef void channels_of(const excite_call *call, int64_t block, int64_t *first_panel, int64_t *last_panel,
                      rectangle *r) noexcept nogil:
    """The channels of a block, which are those of whole panels of the expansion."""
    cdef int64_t first, last, vectors, outputs, pair = 2 * call.plan.depthwise.kernels.lanes
    first_panel[0] = block * call.block_units
    last_panel[0] = min(call.units, first_panel[0] + call.block_units)
    if call.plan.expand == NULL:
        first = first_panel[0] * pair
        last = min(call.plan.depthwise.channels, last_panel[0] * pair)
    else:
        panel_at(&call.plan.expand.panels, last_panel[0] - 1, &last, &vectors, &outputs)
        last += outputs
        panel_at(&call.plan.expand.panels, first_panel[0], &first, &vectors, &outputs)
    r.channel = first
    r.channels = last - first


cdef int64_t most_tiles(int threads) noexcept nogil:
    """Tiles beyond which cutting more finely evens out nothing; bounds the search, which every call repeats."""
    return 8 * threads if threads > 1 else 1


cdef void share_filter(excite_call *call, int threads, double seconds) noexcept nogil:
    """Rows and channels of a tile, by the load of the busiest thread. A split of the channels reads the input again,
    a split of the rows expands its halo again: at 7 × 7 with 5 × 5 taps, half of the image."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const int64_t *image = &call.expand.x.shape[1]
    cdef int64_t inputs = 0 if call.plan.expand == NULL else call.plan.expand.panels.inputs
    cdef int64_t images = call.round_images * call.shape[0], height = call.shape[1]
    cdef int64_t units, rows, split, blocks, tiles, fewest, most_rows, wide = seen(&d.window, image, 2, call.shape[2])
    cdef int64_t enough = most_tiles(threads), least = divide_up(d.channels, MOST_CHANNELS)
    cdef double channels, cost, best = 1e300, expanded, filtered
    for split in range(least, max(least, min(call.units, enough // images)) + 1):
        units = divide_up(call.units, split)
        channels = <double>units * d.channels / call.units
        # A tile is no longer than a slab may be, so that Ctrl-C is heard; 64 rows make the halo cheap.
        most_rows = max(64, <int64_t>(height * images * split * TILE_SECONDS / max(seconds, TILE_SECONDS)))
        fewest = divide_up(height, most_rows)
        for blocks in range(fewest, max(fewest, min(height, enough // (images * split))) + 1):
            rows = divide_up(height, blocks)
            if blocks > 1:
                rows = (rows + 1) // 2 * 2
            tiles = images * divide_up(call.units, units) * divide_up(height, rows)
            expanded = <double>inputs * seen(&d.window, image, 1, rows) * wide
            filtered = 2.0 * d.taps * min(rows, height) * call.shape[2]
            cost = divide_up(tiles, threads) * (channels + TILE_OVERHEAD) * (expanded + filtered)
            if cost < best * (1 - 1e-9):
                best = cost
                call.block_units = units
                call.block_rows = min(rows, height)
    call.channel_blocks = divide_up(call.units, call.block_units)
    call.row_blocks = divide_up(height, call.block_rows)


cdef int64_t lay_out_filter(excite_call *call, int threads, double seconds) noexcept nogil:
    """Returns the scratch of a tile."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const int64_t *image = &call.expand.x.shape[1]
    cdef int64_t item = d.kernels.bytes, block, first, last, channels = 0, pixel, columns, groups, end
    cdef rectangle r
    call.units = divide_up(d.channels, 2 * d.kernels.lanes)
    if call.plan.expand != NULL:
        call.units = call.plan.expand.panels.count
    share_filter(call, threads, seconds)
    for block in range(call.channel_blocks):
        channels_of(call, block, &first, &last, &r)
        channels = max(channels, r.channels)

    # Columns: the whole width, unless two output rows of it overflow half of L2.
    pixel = channels * item
    columns = ring_bytes(&d.window, image, 2, 2, pixel) // max(1, seen(&d.window, image, 2, 2))
    columns = max(16, caches().level2 // 2 // max(1, columns * d.window.strides[2]))
    call.column_blocks = divide_up(call.shape[2], columns)
    call.block_columns = divide_up(call.shape[2], call.column_blocks)
    call.column_blocks = divide_up(call.shape[2], call.block_columns)

    # Rows of a group: an even number, of equal groups, whose ring stays within a quarter of L2.
    groups = max(1, (call.block_rows * call.block_columns + GROUP_PIXELS // 2) // GROUP_PIXELS)
    call.group_rows = divide_up(call.block_rows, groups)
    if groups > 1:
        call.group_rows = (call.group_rows + 1) // 2 * 2
    while (call.group_rows > 2
           and ring_bytes(&d.window, image, call.group_rows, call.block_columns, pixel) > caches().level2 // 4):
        call.group_rows = (call.group_rows - 1) // 2 * 2

    columns = seen(&d.window, image, 2, call.block_columns)
    call.stage_x = channels_apart(&call.expand.x, item)
    call.ring_at = row_table_bytes(d)
    if call.plan.expand == NULL:
        if not call.stage_x:
            return call.ring_at
        return call.ring_at + ring_bytes(&d.window, image, call.group_rows, call.block_columns, pixel)
    block = min(MOST_PIXELS, max(1, seen(&d.window, image, 1, call.group_rows) * columns))
    call.ring_at += pointer_bytes(block)
    end = call.ring_at + align(ring_bytes(&d.window, image, call.group_rows, call.block_columns, pixel))
    return end + lay_out_expansion(&call.expand, block, row_table_bytes(d), end)


cdef void filter_rows(const excite_call *call, int64_t image, const source *input, rectangle *r,
                      char *scratch) noexcept nogil:
    """The depthwise outputs of a rectangle, and their part of the row sums while they are in L1."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef int64_t row = r.depth * call.shape[1] + r.row, i, offset = r.channel * d.kernels.bytes
    cdef fs_sums sums
    r.out = map_pixel(call, image, row * call.shape[2] + r.column) + offset
    run_rectangle(d, input, call.before, r, <fs_row *>scratch)
    if call.plan.gate == NULL:
        return
    sums.pixels = r.columns
    sums.channels = r.channels
    sums.pixel_stride = r.out_pixel_stride
    sums.begin = r.column == 0
    sums.divisor = 1
    for i in range(r.rows):
        sums.from_ = r.out + i * r.out_row_stride
        sums.sums = row_sums(call, image, row + i) + offset
        d.kernels.sum_pixels(&sums)


cdef void filter_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const excite_call *call = <const excite_call *>opaque
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const int64_t *shape = &call.expand.x.shape[1]
    cdef int64_t item = d.kernels.bytes, image, first_row, last_row, first_panel, last_panel, block
    cdef int64_t low, high, row_low, row_high, expanded
    cdef rectangle r
    cdef source input
    channels_of(call, tile % call.channel_blocks, &first_panel, &last_panel, &r)
    tile = tile // call.channel_blocks
    first_row = tile % call.row_blocks * call.block_rows
    last_row = min(first_row + call.block_rows, call.shape[1])
    tile = tile // call.row_blocks
    r.depth = tile % call.shape[0]
    image = tile // call.shape[0]
    if image >= call.to.out.shape[0]:      # The last round may have fewer images.
        return
    r.out_pixel_stride = d.channels * item
    r.out_row_stride = call.shape[2] * r.out_pixel_stride
    r.residual = NULL

    # Blocks of columns from left to right, so that the sum of a row goes on where it stopped.
    for block in range(call.column_blocks):
        r.column = block * call.block_columns
        r.columns = min(call.block_columns, call.shape[2] - r.column)
        window_range(&d.window, call.before, shape, 2, r.column, r.columns, &low, &high)
        if call.plan.expand != NULL:
            ring_for(&d.window, shape, scratch + call.ring_at, call.group_rows, high - low, low, r.channels * item,
                     d.zeros, &input)
        elif not call.stage_x:
            source_of_array(&call.expand.x, image, d.zeros, &input)
            input.data += r.channel * item
        expanded = 0
        r.row = first_row
        while r.row < last_row:
            r.rows = min(call.group_rows, last_row - r.row)
            if call.plan.expand != NULL:
                window_range(&d.window, call.before, shape, 1, r.row, r.rows, &row_low, &row_high)
                expand_seen(&call.expand, &d.window, call.before, first_panel, last_panel, image, r.depth,
                            max(row_low, expanded), row_high, &input, low, high, scratch)
                expanded = max(expanded, row_high)
            elif call.stage_x:
                stage_window(d.kernels, &d.window, &call.expand.x, image, call.before, &r, 1, d.zeros,
                             scratch + call.ring_at, &input)
            filter_rows(call, image, &input, &r, scratch)
            r.row += r.rows


# ---- gate: one image -------------------------------------------------------------------------------------


cdef void dense(const pointwise_plan *plan, const char *x, char *out) noexcept nogil:
    cdef fs_panel work
    work.pixels = 1
    work.rows = &x
    work.rows_stride = 1
    work.out = &out
    work.cold = False
    work.residual = NULL
    work.epilogue = &plan.epilogue
    run_panels(&plan.panels, 0, 0, plan.panels.count, &work, 0)


cdef void gate_tile(const void *opaque, int64_t image, char *scratch) noexcept nogil:
    cdef const excite_call *call = <const excite_call *>opaque
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef fs_sums sums
    if image >= call.to.out.shape[0]:
        return
    sums.pixels = call.shape[0] * call.shape[1]
    sums.channels = d.channels
    sums.from_ = row_sums(call, image, 0)
    sums.pixel_stride = d.channels * d.kernels.bytes
    sums.sums = scratch
    sums.begin = True
    sums.divisor = <double>pixels_of(call)
    d.kernels.sum_pixels(&sums)
    dense(call.plan.reduce, scratch, scratch + call.hidden_at)
    dense(call.plan.gate, scratch + call.hidden_at, gate_of(call, image))


# ---- project: a tile of pixels × panels ------------------------------------------------------------------


cdef void share_projection(excite_call *call, int threads) noexcept nogil:
    """Pixels and panels of a tile. A split of the panels scales its pixels again; fewer than 48 pixels a tile lose to
    streaming the weights (10 % at 24)."""
    cdef const panels *p = &call.plan.project.panels
    cdef int64_t item = p.kernels.bytes, height = call.to.out.shape[2], width = call.to.out.shape[3]
    cdef int64_t images = call.round_images * call.to.out.shape[1], split, blocks, pixels, tiles
    cdef int64_t enough = most_tiles(threads) // images
    cdef int64_t least, area = height * width, target = pixels_for_cache(p.inputs * item, False)
    cdef int64_t held = p.inputs + p.outputs * staged_outputs(&call.to, item)
    cdef double cost, best = 1e300
    least = max(1, (area + target // 2) // target, divide_up(area * held * item, most_scratch()))
    pixels = area
    for split in range(1, max(1, min(p.count, enough)) + 1):
        for blocks in range(least, max(least, min(area, enough // split)) + 1):
            tiles = images * split * divide_up(area, divide_up(area, blocks))
            cost = divide_up(tiles, threads) * divide_up(area, blocks)
            cost *= divide_up(p.count, split) * (<double>p.outputs / p.count) + SCALING
            if divide_up(area, blocks) < 48:
                cost *= 1.0 + 0.1 * (48.0 / divide_up(area, blocks) - 1.0)
            if cost < best * (1 - 1e-9):
                best = cost
                pixels = divide_up(area, blocks)
                call.tile_panels = divide_up(p.count, split)
    blocks = max(1, (width + pixels // 2) // pixels) if width > pixels else 1
    call.tile_columns = divide_up(width, blocks)
    call.tile_column_blocks = divide_up(width, call.tile_columns)
    call.tile_rows = max(1, min(height, pixels // call.tile_columns))
    call.tile_row_blocks = divide_up(height, call.tile_rows)
    call.panel_blocks = divide_up(p.count, call.tile_panels)


cdef int64_t lay_out_projection(excite_call *call, int threads) noexcept nogil:
    """Returns the scratch of a tile."""
    cdef const panels *p = &call.plan.project.panels
    cdef int64_t item = p.kernels.bytes, pixels
    cdef array absent
    memset(&absent, 0, sizeof(absent))
    merge_axes(&absent, &call.to.out, &call.to.residual, DEPTH)
    share_projection(call, threads)
    pixels = call.tile_rows * call.tile_columns
    # Pixels a multiple of 1 KB apart would share few sets of L1.
    call.scaled_pixel = align(p.inputs * item)
    if call.scaled_pixel % 1024 == 0:
        call.scaled_pixel += 64
    call.pointers_at = 0
    call.scaled_at = pointer_bytes(pixels)
    if call.plan.gate == NULL:
        call.scaled_pixel = 0
    return lay_out_destination(&call.to, item, call.scaled_at + pixels * call.scaled_pixel, pixels * p.outputs * item)


cdef void project_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const excite_call *call = <const excite_call *>opaque
    cdef const panels *p = &call.plan.project.panels
    cdef int64_t item = p.kernels.bytes, first, last, first_channel, last_channel, channels, vectors, outputs, i
    cdef int64_t pixels, number
    cdef char **middle = <char **>(scratch + call.pointers_at)
    cdef rectangle r
    cdef cursor at
    cdef fs_scaling scaling
    cdef fs_panel work
    first = tile % call.panel_blocks * call.tile_panels
    last = min(p.count, first + call.tile_panels)
    at = place_tile(&call.to.out, tile // call.panel_blocks, call.tile_rows, call.tile_row_blocks, call.tile_columns,
                    call.tile_column_blocks, &r)
    if at.batch >= call.to.out.shape[0]:
        return
    pixels = r.rows * r.columns

    scaling.pixels = r.columns
    scaling.channels = p.inputs
    scaling.from_pixel_stride = p.inputs * item
    scaling.factors = gate_of(call, at.batch)
    scaling.to = scratch + call.scaled_at
    scaling.to_pixel_stride = call.scaled_pixel
    for i in range(r.rows):
        number = ((r.depth * call.to.out.shape[2] + r.row + i) * call.to.out.shape[3]) + r.column
        scaling.from_ = map_pixel(call, at.batch, number)
        if call.plan.gate == NULL:
            fill_pointers(middle + i * r.columns, <char *>scaling.from_, scaling.from_pixel_stride, r.columns)
        else:
            p.kernels.scale_pixels(&scaling)
            scaling.to += r.columns * call.scaled_pixel

    panel_at(p, first, &first_channel, &vectors, &outputs)
    panel_at(p, last - 1, &last_channel, &vectors, &outputs)
    channels = last_channel + outputs - first_channel
    if call.plan.gate != NULL:
        fill_pointers(middle, scratch + call.scaled_at, call.scaled_pixel, pixels)
    fill_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch, &work,
                     middle + pixels)
    work.pixels = pixels
    work.rows = <const char **>middle
    work.rows_stride = pixels
    work.epilogue = &call.plan.project.epilogue
    run_panels(p, 0, first, last, &work, 0)
    flush_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch)


# ---- one call --------------------------------------------------------------------------------------------


cdef class ExcitePlan(CompiledPlan):
    """An inverted residual with squeeze-and-excite; immutable. `expand` may be None.

    With `rows` in place of `reduce` and `gate`: that plan's block, which it leaves to that plan unless several threads
    share few small images.
    """

    def __init__(self, PointwisePlan expand, DepthwisePlan depthwise not None, PointwisePlan reduce,
                 PointwisePlan gate, PointwisePlan project not None, InvertedResidualPlan rows=None):
        if (reduce is None or gate is None) != (rows is not None and expand is not None):
            raise ValueError("a block has a gate, or is that of an InvertedResidualPlan")
        self.rows = rows
        self.expand = expand
        self.depthwise = depthwise
        self.reduce = reduce
        self.gate = gate
        self.project = project
        self.isa, self.item_bytes = project.isa, project.item_bytes
        self.geometry = depthwise.geometry
        self.inputs, self.outputs = depthwise.inputs if expand is None else expand.inputs, project.outputs
        self.plan.expand = NULL if expand is None else &expand.plan
        self.plan.depthwise = &depthwise.plan
        self.plan.reduce = NULL if reduce is None else &reduce.plan
        self.plan.gate = NULL if gate is None else &gate.plan
        self.plan.project = &project.plan

    cdef bint shares_channels(self, const array *x, const array *out, object threads) except -1:
        """Whether phases, whose threads share channels and then pixels, beat threads that share rows and expand the halo
        of each again."""
        cdef const depthwise_plan *d = self.plan.depthwise
        cdef int64_t images = out.shape[0], height = out.shape[2], pixels = height * out.shape[3], rows, tiles
        cdef int64_t units = self.plan.expand.panels.count
        cdef double expand = self.expand.seconds(x.shape[2] * x.shape[3]), filter = depthwise_seconds(d, pixels, 0)
        cdef double project = self.project.seconds(pixels), by_rows, by_phases
        cdef int64_t map_bytes = pixels * d.channels * d.kernels.bytes
        cdef int count = threads_for(threads, images * (expand + filter + project))
        if count == 1 or out.shape[1] != 1:
            return False
        if map_bytes > min(caches().level2 // 2 * count, MOST_MAP):
            return False
        rows = divide_up(height, divide_up(count, images))
        tiles = images * divide_up(height, rows)
        by_rows = divide_up(tiles, count) * (expand * seen(&d.window, &x.shape[1], 1, rows) / max(1, x.shape[2])
                                             + (filter + project) * rows / height)
        by_phases = images * ((expand + filter) * divide_up(units, count) / units + project / count)
        by_phases += PHASE_SECONDS + images * map_bytes * (count - 1) / <double>(count * count) / MAP_BYTES_PER_SECOND
        return by_phases < by_rows

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef excite_call *call = <excite_call *>work.call
        cdef const depthwise_plan *d = self.plan.depthwise
        cdef int64_t pixels, images = out.array.shape[0], row, map_bytes, sums_bytes, gate_bytes, together
        cdef double filter_seconds, gate_seconds, project_seconds
        cdef int axis
        if self.rows is not None and not self.shares_channels(&x.array, &out.array, threads):
            return self.rows.prepare(work, x, out, residual, threads)
        call.plan = self.plan
        call.expand.plan = self.plan.expand
        call.expand.x = x.array
        call.to.out = out.array
        call.to.residual = residual.array
        fill_before(&d.window, &call.expand.x, call.before)
        for axis in range(3):
            call.shape[axis] = out.array.shape[1 + axis]
        pixels = pixels_of(call)

        filter_seconds = depthwise_seconds(d, images * pixels, 0)
        if self.expand is not None:
            filter_seconds += self.expand.seconds(images * x.array.shape[1] * x.array.shape[2] * x.array.shape[3])
        gate_seconds = 0.0 if self.gate is None else images * (self.reduce.seconds(1) + self.gate.seconds(1))
        project_seconds = self.project.seconds(images * pixels)
        work.seconds = filter_seconds + gate_seconds + project_seconds
        work.threads = threads_for(threads, work.seconds)

        # Images whose maps stay in the caches of the threads are computed together; of others one at a time.
        row = d.channels * d.kernels.bytes
        if <double>pixels * row > MOST_BYTES:
            raise MemoryError(f"there is no room for a depthwise map of {pixels} pixels, {row} bytes each")
        map_bytes = pixels * row
        together = min(images, max(1, work.threads * caches().level2 // 2 // map_bytes))
        work.rounds = divide_up(images, together)
        call.round_images = divide_up(images, work.rounds)
        work.rounds = divide_up(images, call.round_images)

        if <double>call.round_images * map_bytes > MOST_BYTES:
            raise MemoryError(f"there is no room for {call.round_images} depthwise maps of {map_bytes} bytes")
        call.sums_at = align(call.round_images * map_bytes)
        work.shared = &call.shared
        work.shared_bytes = call.gates_at = call.sums_at
        if self.gate is not None:
            sums_bytes = call.round_images * call.shape[0] * call.shape[1] * row
            call.gates_at += align(sums_bytes)
            work.shared_bytes = call.gates_at + call.round_images * row

        work.scratch_bytes = lay_out_filter(call, work.threads, filter_seconds / work.rounds)
        gate_bytes = 0
        if self.gate is not None:
            call.hidden_at = align(row)
            gate_bytes = call.hidden_at + self.plan.reduce.panels.outputs * d.kernels.bytes
        work.scratch_bytes = max(work.scratch_bytes, gate_bytes, lay_out_projection(call, work.threads))
        add_phase(work, filter_tile, call.round_images * call.shape[0] * call.row_blocks * call.channel_blocks,
                  filter_seconds / work.rounds)
        if self.gate is not None:
            add_phase(work, gate_tile, call.round_images, gate_seconds / work.rounds)
        add_phase(work, project_tile, call.round_images * call.to.out.shape[1] * call.tile_row_blocks
                  * call.tile_column_blocks * call.panel_blocks, project_seconds / work.rounds)
        return 0

    def choice(self):
        cdef const panels *p = &self.plan.project.panels
        if self.rows is not None:
            return self.rows.choice()
        expansion = ""
        if self.expand is not None:
            expansion = f", {register_tile(&self.plan.expand.panels)}"
        return (f"{'' if self.expand is None else 'expand → '}depthwise → sums fused, about {GROUP_PIXELS} pixels at a "
                f"time, {row_pairs(self.plan.depthwise)}{expansion}; then gate → project fused, about "
                f"{pixels_for_cache(p.inputs * p.kernels.bytes, False)} pixels a tile, {register_tile(p)}")

    cdef str tile(self, const job *work):
        cdef const excite_call *call = <const excite_call *>work.call
        if self.rows is not None and work.phase_count == 1:
            return self.rows.tile(work)
        channels = divide_up(self.plan.depthwise.channels, call.channel_blocks)
        return (f"{call.block_rows} rows × {channels} channels, {call.group_rows} rows at a time; then "
                f"{call.tile_rows * call.tile_columns} pixels × {call.tile_panels} panels")


if sizeof(excite_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for excite_call")
