"""Pointwise convolution: blocks of pixels × blocks of panels, each pair one tile. See pointwise.md."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastsep._arrays cimport (
    ABSENT,
    BATCH,
    WIDTH,
    Packed,
    View,
    allocate,
    array,
    channels_apart,
    cursor,
    cursor_at,
    fill_epilogue,
    fill_pointers,
    most_scratch,
    next_row,
    pixel_address,
    predicted_seconds,
    stage,
    staging_seconds,
    strided,
    unstage,
)
from fastsep._isa cimport caches, fs_panel, fs_real_kernels, fs_relayout, panel_kernels
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport panels, pointwise_call, pointwise_plan
from fastsep._threads cimport threads_for

# ---- panels ----------------------------------------------------------------------------------------------

# Panels are `panel_vectors` wide; a single vector left over makes the last panel one wider, because a panel of one
# vector loads as often as it multiplies (Cout = 24: 4 × 24 is 11 % faster than 6 × 16 + 6 × 8).


cdef int64_t vectors_of(const panels *p) noexcept nogil:
    return (p.outputs + p.kernels.lanes - 1) // p.kernels.lanes


cdef void panel_at(const panels *p, int64_t index, int64_t *first, int64_t *vectors, int64_t *outputs) noexcept nogil:
    cdef int64_t width = p.kernels.panel_vectors
    first[0] = index * width * p.kernels.lanes
    vectors[0] = width if index + 1 < p.count else vectors_of(p) - index * width
    outputs[0] = min(vectors[0] * p.kernels.lanes, p.outputs - first[0])


cdef str register_tile(const panels *p):
    """Pixels × outputs of the panels' register tile; of the last panel, if there are several, it may differ."""
    cdef int64_t vectors = p.kernels.panel_vectors if p.count > 1 else vectors_of(p)
    return f"{p.kernels.panel_pixels[vectors]} × {vectors * p.kernels.lanes} in registers"


cdef Packed pack_panels(panels *p, str isa, int64_t groups, int64_t taps, object kernel, object bias):
    """Pack a kernel (…, inputs, groups · outputs) of any strides, of taps · inputs rows, as
    [group][panel][tap · input][vectors · lanes]. A panel at a time: weights that lie as (outputs, inputs, …) are turned
    on the way, each line of memory read while it is in L1 or L2."""
    cdef View source = strided(kernel)
    cdef View biases = ABSENT if bias is None else strided(bias)
    cdef int last = source.buffer.ndim - 1, axis
    cdef int64_t item = source.buffer.itemsize, columns = source.buffer.shape[last]
    cdef int64_t rows = source.buffer.len // item // columns, run = source.buffer.shape[last - 1]
    cdef const char *values
    cdef fs_relayout move
    cdef const fs_real_kernels *kernels = panel_kernels(isa, item, columns // groups)
    cdef int64_t group, index, row, left, first, vectors, outputs, width
    cdef Packed packed
    p.kernels = kernels
    p.groups = groups
    p.taps = taps
    p.inputs = rows // taps
    p.outputs = columns // groups
    p.count = max(1, (vectors_of(p) + kernels.panel_vectors - 2) // kernels.panel_vectors)
    width = vectors_of(p) * kernels.lanes * item
    p.group_bytes = width * rows
    p.group_biases = width
    packed = allocate(groups * (p.group_bytes + width))
    p.weights = packed.data
    p.bias = packed.data + groups * p.group_bytes
    for group in range(groups):
        if bias is not None:
            memcpy(<void *>(p.bias + group * width), <const char *>biases.buffer.buf + group * p.outputs * item,
                   p.outputs * item)
        for index in range(p.count):
            panel_at(p, index, &first, &vectors, &outputs)
            move.pixels, move.channels, move.repeat = run, outputs, 1
            move.from_pixel_stride = source.buffer.strides[last - 1]
            move.from_channel_stride = source.buffer.strides[last]
            move.to_pixel_stride, move.to_channel_stride = vectors * kernels.lanes * item, item
            move.to = <char *>p.weights + group * p.group_bytes + first * rows * item
            for row in range(rows // run):
                values = <const char *>source.buffer.buf + (group * p.outputs + first) * source.buffer.strides[last]
                left = row
                for axis in range(last - 2, -1, -1):
                    values += left % source.buffer.shape[axis] * source.buffer.strides[axis]
                    left //= source.buffer.shape[axis]
                move.from_ = values
                kernels.relayout(&move)
                move.to += run * move.to_pixel_stride
    return packed


cdef extern from *:
    void __builtin_prefetch(const void *at, int to_write, int locality) nogil


cdef void run_panel(const panels *p, int64_t group, int64_t index, fs_panel *work, int64_t output_offset) noexcept nogil:
    """One panel over the pixels of `work`; `output_offset` is where it writes."""
    cdef int64_t first, row_bytes = p.taps * p.inputs * p.kernels.bytes
    panel_at(p, index, &first, &work.vectors, &work.outputs)
    work.taps = p.taps
    work.channels = p.inputs
    work.channel_offset = group * p.inputs * p.kernels.bytes
    work.weights = p.weights + group * p.group_bytes + first * row_bytes
    work.bias = p.bias + group * p.group_biases + first * p.kernels.bytes
    work.output_offset = output_offset
    p.kernels.pointwise_panel(work)


cdef void run_panels_ahead(const panels *p, fs_panel *work, const char *ahead, int64_t row_bytes, int64_t rows,
                           int64_t row_stride) noexcept nogil:
    """All panels over the pixels of `work`, and meanwhile, a part a panel, the rows of input that the next tile reads are
    brought to L2: a register tile reads six or nine rows at once, a number at a time, which is no stream for the
    hardware's prefetchers (Zen 4, 56² × 256 from L3: 44 % of the FMA peak without, where 40² reaches 92). Weights that
    stay in L2 leave the register tile's own prefetches to the input; beside others it comes in bursts."""
    cdef int64_t index, parts = max(1, p.count // rows), part = (row_bytes // parts + 63) // 64 * 64, row, at, end
    cdef bint held = weights_stay(p)
    for index in range(p.count):
        row = min(index // parts, rows - 1)
        at = min(row_bytes, index % parts * part)
        end = row_bytes if index % parts + 1 == parts else min(row_bytes, at + part)
        if held:
            work.ahead, work.ahead_bytes = ahead + row * row_stride + at, end - at
        else:
            fetch_weights_ahead(p, 0, index, 0, p.count, work)
            while at < end:
                __builtin_prefetch(ahead + row * row_stride + at, 0, 2)
                at += 64
        run_panel(p, 0, index, work, index * p.kernels.panel_vectors * p.kernels.lanes * p.kernels.bytes)


cdef bint weights_stay(const panels *p) noexcept nogil:
    """Whether the weights remain in L2 from one tile to the next."""
    return p.group_bytes <= caches().level2 // 2


cdef void fetch_weights_ahead(const panels *p, int64_t group, int64_t index, int64_t first_panel, int64_t last_panel,
                              fs_panel *work) noexcept nogil:
    """While panel `index` is used, the next one comes to L2; after the last one the first again, for the next pixels."""
    cdef int64_t row_bytes = p.taps * p.inputs * p.kernels.bytes, first
    panel_at(p, index + 1 if index + 1 < last_panel else first_panel, &first, &work.vectors, &work.outputs)
    work.ahead = p.weights + group * p.group_bytes + first * row_bytes
    work.ahead_bytes = work.vectors * p.kernels.lanes * row_bytes


cdef void run_panels(const panels *p, int64_t group, int64_t first_panel, int64_t last_panel, fs_panel *work,
                     int64_t output_offset) noexcept nogil:
    """Every panel of a range over the pixels of `work`: the panel outside, so that its weights stay in L1 while
    the pixels' rows stream from L1 or L2. `output_offset` is added to where the first panel writes."""
    cdef int64_t index, width = p.kernels.panel_vectors * p.kernels.lanes * p.kernels.bytes
    for index in range(first_panel, last_panel):
        fetch_weights_ahead(p, group, index, first_panel, last_panel, work)
        run_panel(p, group, index, work, output_offset + (index - first_panel) * width)


cdef double panel_seconds(const panels *p, double pixels, double moved_bytes) noexcept nogil:
    """Serial time of all panels over so many pixels: whole vectors at 95 % of the pipes where depthwise reaches 65, and
    2.2 ns a pixel for its pointers and its part of the register tile's frame (measured on Zen 4, 56² × 3 to 56² × 16:
    2.8, 3.5 and 6.2 ns a pixel; 20² × 64 to 28² × 128: 50 to 54 of 48 G multiply-adds a second). Each of its vectors has a
    frame, too: half a nanosecond (Zen 3, 28² × 1 → 64: 12.3 ns a pixel)."""
    cdef double vectors = vectors_of(p) * p.groups
    return predicted_seconds(p.kernels, 2.0 * pixels * p.taps * p.inputs * vectors * p.kernels.lanes * (0.65 / 0.95),
                             moved_bytes) + pixels * (1.1e-9 + 1.1e-9 * p.taps + 0.5e-9 * vectors)


cdef int64_t pixels_of_level2(int64_t pixel_bytes) noexcept nogil:
    """Up to 192 pixels in a quarter of L2, and of 512 KB, so that streaming the weights does not bind."""
    return min(192, min(caches().level2 // 4, 512 * 1024) // max(pixel_bytes, 1))


cdef int64_t pixels_for_cache(int64_t pixel_bytes, bint staged) noexcept nogil:
    """Pixels whose rows fill half of L1, but at least 48, and as many as L2 takes. Where they are `staged`, input and
    output lie in scratch besides, which is to stay below 1 MB: not for L2."""
    cdef int64_t pixels = max(48, caches().level1 // 2 // max(pixel_bytes, 1))
    return min(384, pixels if staged else max(pixels, pixels_of_level2(pixel_bytes)))


# ---- one call --------------------------------------------------------------------------------------------

cdef bint joins(const array *x, int axis) noexcept nogil:
    return x.data == NULL or x.strides[axis] == x.strides[WIDTH] * x.shape[WIDTH]


cdef void merge_axes(array *x, array *out, array *residual, int outermost) noexcept nogil:
    """Make the width as long as the strides of all arrays allow: pixels have no neighbours here. `outermost` is the
    first axis that may become part of it."""
    cdef int axis = WIDTH - 1
    cdef int64_t size
    while axis >= outermost:
        size = out.shape[axis]
        if size != 1:
            if not (joins(x, axis) and joins(out, axis) and joins(residual, axis)):
                return
            x.shape[WIDTH] *= size
            out.shape[WIDTH] *= size
            residual.shape[WIDTH] *= size
            x.shape[axis] = out.shape[axis] = residual.shape[axis] = 1
        axis -= 1


cdef void share_out(pointwise_call *call, int threads) noexcept nogil:
    """Blocks of pixels and of panels that end together on all threads: the least time of the longest share, where a
    block costs its pixels × vectors, and its weights about as much as four pixels. 7² × 512 → 1024 on two threads is
    two halves of the pixels (1856 a thread), not four and three of seven blocks of panels (2120)."""
    cdef const panels *p = &call.plan.panels
    cdef int64_t least = call.pixel_blocks, pixels, wide, longest, best = -1, blocks, split, width
    cdef int more, times
    if least >= 4 * threads:
        return
    for more in range(3):
        blocks = least if more == 0 else (least + threads - 1) // threads * threads * more
        pixels = (call.pixels + blocks - 1) // max(1, blocks)
        if blocks == 0 or (more > 0 and pixels < 6):
            break
        blocks = (call.pixels + pixels - 1) // pixels
        for times in range(5):
            split = 1 if times == 0 else (threads * times + blocks - 1) // blocks
            wide = (p.count + split - 1) // split
            split = (p.count + wide - 1) // wide
            # The last panel may be one vector wider.
            width = min(vectors_of(p), wide * p.kernels.panel_vectors + 1)
            longest = (blocks * split + threads - 1) // threads * (pixels + 4) * width
            if best < 0 or longest < best:
                best = longest
                call.block_pixels, call.pixel_blocks = pixels, blocks
                call.block_panels, call.panel_blocks = wide, split


cdef void lay_out(pointwise_call *call, int threads) noexcept nogil:
    cdef const panels *p = &call.plan.panels
    cdef int64_t item = p.kernels.bytes, wide
    cdef int axis
    merge_axes(&call.x, &call.out, &call.residual, BATCH)
    call.pixels = 1
    for axis in range(4):
        call.pixels *= call.out.shape[axis]
    call.stage_x = channels_apart(&call.x, item)
    call.stage_out = channels_apart(&call.out, item)
    call.stage_residual = call.residual.data != NULL and channels_apart(&call.residual, item)
    call.block_pixels = pixels_for_cache(p.inputs * item, call.stage_x or call.stage_out)
    wide = (p.inputs * call.stage_x + p.outputs * (call.stage_out + call.stage_residual)) * item
    # 49 pixels are one block, not 48 and 1.
    call.pixel_blocks = max(1, (call.pixels + call.block_pixels // 2) // call.block_pixels)
    call.pixel_blocks = max(call.pixel_blocks, (call.pixels * wide + most_scratch() - 1) // most_scratch())
    call.block_pixels = max(1, (call.pixels + call.pixel_blocks - 1) // call.pixel_blocks)
    call.pixel_blocks = (call.pixels + call.block_pixels - 1) // call.block_pixels
    call.block_panels, call.panel_blocks = p.count, 1
    if threads > 1:
        share_out(call, threads)
    # One run of pixels, side by side, that L2 does not hold, and whole blocks of it a tile.
    call.streams = (call.panel_blocks == 1 and not call.stage_x and call.pixels == call.x.shape[3]
                    and call.x.strides[3] == p.inputs * item
                    and call.pixels * p.inputs * item > caches().level2 // 2)
    wide = min(p.outputs, (call.block_panels * p.kernels.panel_vectors + 1) * p.kernels.lanes) * item
    call.x_at = (3 * call.block_pixels * sizeof(char *) + 63) // 64 * 64
    call.out_at = call.x_at + (call.block_pixels * p.inputs * item + 63) // 64 * 64 * call.stage_x
    call.residual_at = call.out_at + (call.block_pixels * wide + 63) // 64 * 64 * call.stage_out
    call.scratch_bytes = call.residual_at + call.block_pixels * wide * call.stage_residual


cdef void pointwise_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const pointwise_call *call = <const pointwise_call *>opaque
    cdef const panels *p = &call.plan.panels
    cdef int64_t item = p.kernels.bytes
    cdef int64_t pixel = (tile // call.panel_blocks) * call.block_pixels
    cdef int64_t pixels = min(call.block_pixels, call.pixels - pixel)
    cdef int64_t first_panel = (tile % call.panel_blocks) * call.block_panels
    cdef int64_t last_panel = min(p.count, first_panel + call.block_panels)
    cdef int64_t first = first_panel * p.kernels.panel_vectors * p.kernels.lanes
    cdef int64_t outputs = min(p.outputs, last_panel * p.kernels.panel_vectors * p.kernels.lanes) - first
    cdef const char **rows = <const char **>scratch
    cdef char **out = <char **>(rows + call.block_pixels)
    cdef const char **residual = <const char **>(out + call.block_pixels)
    cdef int64_t x_pixel = p.inputs * item, out_pixel, done = 0, i, run
    cdef cursor at = cursor_at(&call.out, pixel)
    cdef char *base
    cdef fs_panel work
    if last_panel == p.count:
        outputs = p.outputs - first
    out_pixel = outputs * item

    while done < pixels:
        run = min(pixels - done, call.out.shape[3] - at.column)
        if call.stage_x:
            base = scratch + call.x_at + done * x_pixel
            stage(p.kernels, &call.x, at, run, 0, p.inputs, 1, base, x_pixel)
            fill_pointers(<char **>rows + done, base, x_pixel, run)
        else:
            fill_pointers(<char **>rows + done, pixel_address(&call.x, at), call.x.strides[3], run)
        if call.stage_out:
            fill_pointers(out + done, scratch + call.out_at + done * out_pixel, out_pixel, run)
        else:
            fill_pointers(out + done, pixel_address(&call.out, at) + first * item, call.out.strides[3], run)
        if call.stage_residual:
            base = scratch + call.residual_at + done * out_pixel
            stage(p.kernels, &call.residual, at, run, first, outputs, 1, base, out_pixel)
            fill_pointers(<char **>residual + done, base, out_pixel, run)
        elif call.residual.data != NULL:
            fill_pointers(<char **>residual + done, pixel_address(&call.residual, at) + first * item,
                          call.residual.strides[3], run)
        done += run
        next_row(&at, &call.out)

    work.pixels = pixels
    work.rows = rows
    work.rows_stride = call.block_pixels
    work.out = out
    # Cores with 2 MB of L2 have their own stream of stores: there the burst of a tile's lines costs up to 8 %.
    work.cold = (not call.stage_out and call.pixels * p.outputs * item > caches().level2
                 and caches().level2 < 2048 * 1024)
    work.residual = residual if call.residual.data != NULL else NULL
    work.epilogue = &call.plan.epilogue
    i = min(call.block_pixels, call.pixels - pixel - pixels)
    if call.streams and i > 0:
        run_panels_ahead(p, &work, rows[0] + pixels * x_pixel, i * x_pixel, 1, 0)
    else:
        run_panels(p, 0, first_panel, last_panel, &work, 0)

    if call.stage_out:
        done = 0
        at = cursor_at(&call.out, pixel)
        while done < pixels:
            run = min(pixels - done, call.out.shape[3] - at.column)
            unstage(p.kernels, scratch + call.out_at + done * out_pixel, out_pixel, &call.out, at, run, first, outputs)
            done += run
            next_row(&at, &call.out)


cdef class PointwisePlan(CompiledPlan):
    """Packed weights of a pointwise convolution; immutable.

    `kernel` (…, inputs, outputs), of any strides, and `bias` (outputs,), contiguous, are native arrays; `activation`
    is (name, low, high), `isa` the table to use. All were checked by the Python face.
    """

    def __init__(self, kernel, bias, activation, str isa):
        self.packed = pack_panels(&self.plan.panels, isa, 1, 1, kernel, bias)
        self.isa, self.item_bytes = isa, self.plan.panels.kernels.bytes
        self.inputs, self.outputs = self.plan.panels.inputs, self.plan.panels.outputs
        fill_epilogue(&self.plan.epilogue, activation)

    cdef double seconds(self, int64_t pixels) noexcept:
        cdef const panels *p = &self.plan.panels
        return panel_seconds(p, pixels, 1.0 * p.kernels.bytes
                             * (pixels * (p.inputs + p.outputs) + p.inputs * p.outputs))

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef pointwise_call *call = <pointwise_call *>work.call
        cdef int64_t pixels = 1
        cdef int axis
        for axis in range(4):
            pixels *= out.array.shape[axis]
        work.seconds = self.seconds(pixels) + staging_seconds(&x.array, &out.array, self.item_bytes)
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.out = out.array
        call.residual = residual.array
        lay_out(call, work.threads)
        add_phase(work, pointwise_tile, call.pixel_blocks * call.panel_blocks if pixels else 0, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    def choice(self):
        cdef const panels *p = &self.plan.panels
        return f"about {pixels_for_cache(p.inputs * p.kernels.bytes, False)} pixels a tile, {register_tile(p)}"

    cdef str tile(self, const job *work):
        cdef const pointwise_call *call = <const pointwise_call *>work.call
        cdef const panels *p = &self.plan.panels
        channels = min(p.outputs, call.block_panels * p.kernels.panel_vectors * p.kernels.lanes)
        return f"{call.block_pixels} pixels × {channels} channels"


if sizeof(pointwise_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for pointwise_call")
