"""Standard convolution, with groups: no im2col, the panels read each tap's pixels in place. See direct.md."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastsep._arrays cimport (
    View,
    allocate,
    array,
    channels_apart,
    cursor,
    fill_destination,
    fill_epilogue,
    fill_pointers,
    fill_window,
    flush_destination,
    lay_out_destination,
    fill_before,
    most_scratch,
    place_tile,
    rectangle,
    ring_bytes,
    row_of,
    source,
    source_of_array,
    stage_window,
    staged_outputs,
    staging_seconds,
    window,
)
from fastsep._direct cimport direct_call, direct_plan
from fastsep._isa cimport caches, fs_panel, fs_row
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport (
    pack_panels,
    panel_at,
    panel_seconds,
    panels,
    pixels_for_cache,
    register_tile,
    run_panels,
)
from fastsep._threads cimport threads_for

cdef enum:
    # Bytes of the table of tap pointers: a third of L1, the rest is for weights and pixels.
    TABLE_BYTES = 16384
    # The most bytes of a joined row of taps: padding is copied beside pixels at the borders of the image, and from
    # 16 channels on the pointers of a tap cost little beside its sums.
    JOINED_BYTES = 256


cdef int64_t border_columns(const window *w) noexcept nogil:
    """The most output columns of a row that see the image and padding on the left or right of it."""
    return 2 * ((w.taps[2] - 1 + w.strides[2]) // w.strides[2])


cdef bint may_join(const direct_plan *plan) noexcept nogil:
    """Whether the taps of one row of the kernel read numbers side by side, if the pixels of the input lie so: one
    pointer for all of them, and a loop of their common length. The first layer of a network (3 channels) spends a third
    of its time between taps otherwise."""
    cdef const window *w = &plan.window
    cdef int64_t pixel = plan.panels.inputs * plan.panels.kernels.bytes
    return (plan.panels.groups == 1 and w.taps[2] > 1 and w.dilation[2] == 1
            and w.taps[2] * pixel <= JOINED_BYTES)


cdef void join(const direct_plan *plan, panels *p) noexcept nogil:
    """The taps of a row as one of kernel width · inputs channels."""
    p.taps = plan.window.taps[0] * plan.window.taps[1]
    p.inputs = plan.window.taps[2] * plan.panels.inputs


cdef int64_t tile_pixels(const panels *p, bint staged) noexcept nogil:
    """Pixels of a tile: they stay in L1 or L2, and so does the table of their taps."""
    cdef int64_t pixels = pixels_for_cache(p.inputs * p.kernels.bytes, staged)
    return min(pixels, max(48, TABLE_BYTES // (p.taps * <int64_t>sizeof(char *))))


cdef int64_t staged_bytes(const direct_call *call) noexcept nogil:
    """What is staged of a tile."""
    cdef const panels *p = &call.plan.panels
    cdef int64_t item = p.kernels.bytes
    cdef int64_t staged = staged_outputs(&call.to, item)
    staged *= call.block_rows * call.block_columns * p.groups * p.outputs * item
    if call.stage_x:
        staged += ring_bytes(&call.plan.window, &call.x.shape[1], call.block_rows, call.block_columns,
                             p.groups * p.inputs * item)
    return staged


cdef void lay_out(direct_call *call, int threads) noexcept nogil:
    cdef const direct_plan *plan = call.plan
    cdef panels *p = &call.panels
    cdef int64_t item = plan.panels.kernels.bytes, pixels, tiles, width = call.to.out.shape[3], size, least
    cdef bint staged
    call.stage_x = channels_apart(&call.x, item)
    call.panels = plan.panels
    call.joined = may_join(plan) and (call.stage_x or call.x.strides[3] == plan.panels.inputs * item)
    if call.joined:
        join(plan, p)

    staged = call.stage_x or channels_apart(&call.to.out, item)
    pixels = tile_pixels(p, staged)
    call.column_blocks = max(1, (width + pixels // 2) // pixels)
    call.block_columns = max(1, (width + call.column_blocks - 1) // call.column_blocks)
    call.column_blocks = (width + call.block_columns - 1) // call.block_columns
    call.block_rows = max(1, min(call.to.out.shape[2], pixels // call.block_columns))
    tiles = call.to.out.shape[0] * call.to.out.shape[1] * call.column_blocks
    if threads > 1 and tiles * call.to.out.shape[2] < 4 * threads * call.block_rows:
        # Few rows a tile rather than few panels: each tile builds its own table of pointers.
        call.block_rows = max(1, min(call.block_rows, tiles * call.to.out.shape[2] // (4 * threads)))
        # Weights that L2 does not hold come from L3 once a tile, for pixels enough: 14² × 256 → 256 on two threads
        # 0.82 ms with 14 pixels a tile, 0.72 with 70.
        least = 96 if p.groups * p.group_bytes > caches().level2 // 2 and not staged else 24
        if call.block_rows * call.block_columns < least:
            call.block_rows = max(1, min(call.to.out.shape[2], least // call.block_columns))
            size = (call.to.out.shape[2] + call.block_rows - 1) // call.block_rows
            call.block_rows = (call.to.out.shape[2] + size - 1) // size
    while staged_bytes(call) > most_scratch() and call.block_rows > 1:
        call.block_rows -= 1
    while staged_bytes(call) > most_scratch() and call.block_columns > 1:
        call.block_columns = (call.block_columns + 1) // 2
    call.column_blocks = (width + call.block_columns - 1) // call.block_columns
    call.row_blocks = (call.to.out.shape[2] + call.block_rows - 1) // call.block_rows
    tiles = call.to.out.shape[0] * call.to.out.shape[1] * call.column_blocks * call.row_blocks
    call.block_panels = p.groups * p.count
    if threads > 1 and tiles < 4 * threads and tiles > 0:
        size = min(call.block_panels, (4 * threads + tiles - 1) // tiles)
        call.block_panels = (call.block_panels + size - 1) // size
    call.panel_blocks = (p.groups * p.count + call.block_panels - 1) // call.block_panels

    pixels = call.block_rows * call.block_columns
    call.ring_at = ((p.taps + 2) * pixels * sizeof(char *) + 63) // 64 * 64
    size = ring_bytes(&plan.window, &call.x.shape[1], call.block_rows, call.block_columns,
                      p.groups * plan.panels.inputs * item)
    call.segments_at = call.ring_at + (size + 63) // 64 * 64 * call.stage_x
    size = p.taps * call.block_rows * min(call.block_columns, border_columns(&plan.window)) * p.inputs * item
    call.scratch_bytes = lay_out_destination(&call.to, item, call.segments_at + (size + 63) // 64 * 64 * call.joined,
                                             pixels * p.groups * p.outputs * item)


cdef void fill_taps(const direct_plan *plan, const source *input, const int64_t *before, const rectangle *r,
                    const char **table) noexcept nogil:
    """Where each pixel of a rectangle reads each tap: table[tap][pixel]; padding reads the pixel of zeros."""
    cdef const window *w = &plan.window
    cdef int64_t d, h, tap, y, x, at, inside, last, step
    cdef const char **to = table
    cdef fs_row row
    for d in range(w.taps[0]):
        for h in range(w.taps[1]):
            for tap in range(w.taps[2]):
                at = tap * w.dilation[2] - before[2] + r.column * w.strides[2]
                # Columns [inside, last) of the rectangle read the image, the others padding.
                inside = min(r.columns, max(0, (-at + w.strides[2] - 1) // w.strides[2])) if at < 0 else 0
                last = max(inside, min(r.columns, (input.shape[2] - at + w.strides[2] - 1) // w.strides[2])) \
                    if at < input.shape[2] else inside
                for y in range(r.rows):
                    row_of(input, r.depth * w.strides[0] - before[0] + d * w.dilation[0],
                           (r.row + y) * w.strides[1] - before[1] + h * w.dilation[1], &row)
                    step = w.strides[2] * row.pixel_stride
                    fill_pointers(<char **>to, <char *>plan.zeros, 0, inside)
                    fill_pointers(<char **>to + inside,
                                  <char *>row.data + (at + inside * w.strides[2]) * row.pixel_stride, step,
                                  last - inside)
                    fill_pointers(<char **>to + last, <char *>plan.zeros, 0, r.columns - last)
                    to += r.columns


cdef void fill_joined_taps(const direct_plan *plan, const source *input, const int64_t *before, const rectangle *r,
                           const char **table, char *segments) noexcept nogil:
    """The same for joined rows of taps: table[kernel row][pixel]. At the left and right borders of the image a row's
    taps are copied to `segments`, zeros beside them."""
    cdef const window *w = &plan.window
    cdef int64_t pixel = plan.panels.inputs * plan.panels.kernels.bytes, segment = w.taps[2] * pixel
    cdef int64_t d, h, y, x, first, begin, end, inside, last, column
    cdef const char **to = table
    cdef fs_row row
    first = r.column * w.strides[2] - before[2]
    # Columns [inside, last) of the rectangle see no padding beside the image.
    inside = min(r.columns, max(0, (-first + w.strides[2] - 1) // w.strides[2])) if first < 0 else 0
    end = input.shape[2] - w.taps[2] - first
    last = max(inside, min(r.columns, end // w.strides[2] + 1)) if end >= 0 else inside
    for d in range(w.taps[0]):
        for h in range(w.taps[1]):
            for y in range(r.rows):
                row_of(input, r.depth * w.strides[0] - before[0] + d * w.dilation[0],
                       (r.row + y) * w.strides[1] - before[1] + h * w.dilation[1], &row)
                if row.pixel_stride == 0:
                    fill_pointers(<char **>to, <char *>plan.zeros, 0, r.columns)
                    to += r.columns
                    continue
                fill_pointers(<char **>to + inside, <char *>row.data + (first + inside * w.strides[2]) * pixel,
                              w.strides[2] * pixel, last - inside)
                for x in range(inside + r.columns - last):
                    # Those on the left, then those on the right.
                    column = x if x < inside else x + last - inside
                    begin = first + column * w.strides[2]
                    end = min(begin + w.taps[2], input.shape[2])
                    if end <= max(0, begin):
                        to[column] = plan.zeros
                        continue
                    memset(segments, 0, segment)
                    memcpy(segments + (max(0, begin) - begin) * pixel, row.data + max(0, begin) * pixel,
                           (end - max(0, begin)) * pixel)
                    to[column] = segments
                    segments += segment
                to += r.columns


cdef void direct_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const direct_call *call = <const direct_call *>opaque
    cdef const direct_plan *plan = call.plan
    cdef const panels *p = &call.panels
    cdef int64_t item = p.kernels.bytes, i, index, last, group, next_group, first_channel, last_channel
    cdef int64_t vectors, outputs, pixels, channels
    cdef const char **table = <const char **>scratch
    cdef rectangle r
    cdef source input
    cdef cursor at
    cdef fs_panel work
    index = tile % call.panel_blocks * call.block_panels
    last = min(p.groups * p.count, index + call.block_panels)
    r.channel = 0
    r.channels = p.groups * plan.panels.inputs
    at = place_tile(&call.to.out, tile // call.panel_blocks, call.block_rows, call.row_blocks, call.block_columns,
                    call.column_blocks, &r)
    pixels = r.rows * r.columns

    if call.stage_x:
        stage_window(p.kernels, &plan.window, &call.x, at.batch, call.before, &r, 1, plan.zeros,
                     scratch + call.ring_at, &input)
    else:
        source_of_array(&call.x, at.batch, plan.zeros, &input)
    if call.joined:
        fill_joined_taps(plan, &input, call.before, &r, table, scratch + call.segments_at)
    else:
        fill_taps(plan, &input, call.before, &r, table)

    # The tile's channels of the output, from its first panel to its last.
    panel_at(p, index % p.count, &first_channel, &vectors, &outputs)
    first_channel += index // p.count * p.outputs
    panel_at(p, (last - 1) % p.count, &last_channel, &vectors, &outputs)
    last_channel += (last - 1) // p.count * p.outputs + outputs
    channels = last_channel - first_channel
    fill_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch, &work,
                     <char **>(table + p.taps * pixels))

    work.pixels = pixels
    work.rows = table
    work.rows_stride = pixels
    work.epilogue = &plan.epilogue
    while index < last:
        group = index // p.count
        next_group = min(last, (group + 1) * p.count)
        panel_at(p, index % p.count, &i, &vectors, &outputs)
        run_panels(p, group, index % p.count, next_group - group * p.count, &work,
                   (group * p.outputs + i - first_channel) * item)
        index = next_group

    flush_destination(p.kernels, &call.to, at, r.rows, r.columns, first_channel, channels, scratch)


cdef class DirectPlan(CompiledPlan):
    """Packed weights of a standard convolution; immutable.

    `kernel` (*K, inputs a group, outputs), of any strides, and `bias`, contiguous, are native arrays, `spec` = (taps,
    strides, dilation_rate, padding) by axis, `activation` = (name, low, high), `isa` the table to use. All were checked
    by the Python face.
    """

    def __init__(self, kernel, bias, int64_t groups, spec, activation, str isa):
        cdef int64_t taps
        fill_window(&self.plan.window, spec)
        taps = self.plan.window.taps[0] * self.plan.window.taps[1] * self.plan.window.taps[2]
        self.packed = pack_panels(&self.plan.panels, isa, groups, taps, kernel, bias)
        self.isa, self.item_bytes = isa, self.plan.panels.kernels.bytes
        self.geometry = &self.plan.window
        self.inputs, self.outputs = groups * self.plan.panels.inputs, groups * self.plan.panels.outputs
        self.padding = allocate(self.plan.window.taps[2] * groups * self.plan.panels.inputs
                                * self.plan.panels.kernels.bytes)
        self.plan.zeros = self.padding.data
        fill_epilogue(&self.plan.epilogue, activation)

    cdef double seconds(self, const array *out) noexcept:
        cdef const panels *p = &self.plan.panels
        cdef double pixels = 1.0
        cdef int axis
        for axis in range(4):
            pixels *= out.shape[axis]
        return panel_seconds(p, pixels, pixels * p.groups * p.outputs * p.kernels.bytes)

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef direct_call *call = <direct_call *>work.call
        work.seconds = self.seconds(&out.array) + staging_seconds(&x.array, &out.array, self.item_bytes)
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.to.out = out.array
        call.to.residual = residual.array
        fill_before(&self.plan.window, &call.x, call.before)
        lay_out(call, work.threads)
        add_phase(work, direct_tile, call.to.out.shape[0] * call.to.out.shape[1] * call.row_blocks
                  * call.column_blocks * call.panel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    def choice(self):
        cdef panels p = self.plan.panels
        if may_join(&self.plan):
            join(&self.plan, &p)
        return f"about {tile_pixels(&p, False)} pixels a tile, {register_tile(&p)}"

    cdef str tile(self, const job *work):
        cdef const direct_call *call = <const direct_call *>work.call
        return f"{call.block_rows} rows × {call.block_columns} columns × {call.block_panels} panels"


if sizeof(direct_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for direct_call")
