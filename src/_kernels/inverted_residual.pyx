"""Inverted residual: rows of the expanded image live in a ring in L2, from expansion to their last depthwise tap.
See inverted_residual.md."""

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
    most_scratch,
    fill_before,
    pixel_address,
    rectangle,
    ring_bytes,
    ring_for,
    row_of,
    seen,
    source,
    stage,
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
from fastsep._inverted_residual cimport expansion, inverted_residual_call
from fastsep._isa cimport caches, fs_panel, fs_row
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport PointwisePlan, panels, register_tile, run_panels
from fastsep._threads cimport threads_for

cdef enum:
    # Pixels for which streaming the weights of a panel from L2 or L3 does not bind: see pointwise.md.
    GROUP_PIXELS = 48
    MOST_PIXELS = 384

cdef double TILE_SECONDS = 0.02


cdef int64_t pointer_bytes(int64_t pixels) noexcept nogil:
    """Scratch for three pointers a pixel: of its input, its output and its residual."""
    return (3 * pixels * sizeof(char *) + 63) // 64 * 64


cdef int64_t lay_out_expansion(expansion *e, int64_t most_pixels, int64_t pointers_at, int64_t x_at) noexcept nogil:
    """Runs of so many pixels, three pointers a pixel at one offset in scratch, staged pixels at another; returns how
    many bytes these take."""
    cdef const panels *p = &e.plan.panels
    e.stage_x = channels_apart(&e.x, p.kernels.bytes)
    e.most_pixels = most_pixels
    e.pointers_at = pointers_at
    e.x_at = x_at
    return (most_pixels * p.inputs * p.kernels.bytes + 63) // 64 * 64 * e.stage_x


cdef int64_t group_bytes(const inverted_residual_call *call, int64_t rows, int64_t columns) noexcept nogil:
    """What a group of so many rows keeps in scratch: the ring, its depthwise outputs, and what is staged."""
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef const int64_t *image = &call.expand.x.shape[1]
    cdef int64_t item = d.kernels.bytes, held = rows * columns, seen_pixels
    cdef int64_t staged = staged_outputs(&call.to, item)
    held *= (d.channels + staged * call.plan.project.panels.outputs) * item
    if channels_apart(&call.expand.x, item):
        seen_pixels = min(MOST_PIXELS, seen(&d.window, image, 1, rows) * seen(&d.window, image, 2, columns))
        held += max(seen_pixels, rows * columns) * call.plan.expand.panels.inputs * item
    return held + ring_bytes(&d.window, image, rows, columns, d.channels * item)


cdef void lay_out(inverted_residual_call *call, int threads, double seconds) noexcept nogil:
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef int64_t item = d.kernels.bytes, height = call.to.out.shape[2], width = call.to.out.shape[3]
    cdef int64_t row_bytes, budget, images, blocks, pixels, size, most_pixels, x_at
    cdef int64_t halo
    cdef const int64_t *image = &call.expand.x.shape[1]

    # Columns: the whole width, unless two output rows of it overflow half of L2.
    budget = caches().level2 // 2
    row_bytes = ring_bytes(&d.window, image, 2, 2, d.channels * item) // max(1, seen(&d.window, image, 2, 2))
    row_bytes *= d.window.strides[2]
    pixels = max(16, budget // max(row_bytes, 1))
    images = call.to.out.shape[0] * call.to.out.shape[1]
    call.column_blocks = max(1, (width + pixels - 1) // pixels)
    if height == 1 and threads > 1 and images < 2 * threads:
        call.column_blocks = max(call.column_blocks, min(2 * threads, (width + 31) // 32))
    call.block_columns = max(1, (width + call.column_blocks - 1) // call.column_blocks)
    while group_bytes(call, min(2, height), call.block_columns) > most_scratch() and call.block_columns > 1:
        call.block_columns = (call.block_columns + 1) // 2
    call.column_blocks = (width + call.block_columns - 1) // call.block_columns

    # Rows of a tile: all, unless threads need more tiles; each block expands its halo again.
    call.block_rows = max(1, height)
    images *= call.column_blocks
    if threads > 1 and 0 < images < 4 * threads:
        blocks = (threads + images - 1) // images
        halo = seen(&d.window, image, 1, 1) - d.window.strides[1]
        if height * d.window.strides[1] >= 20 * halo * blocks * 2:
            blocks *= 2
        call.block_rows = max(1, (height + blocks - 1) // blocks)
    # A tile is no longer than a slab may be, so that Ctrl-C is heard; 64 rows make the halo cheap.
    blocks = max(64, <int64_t>(height * images * TILE_SECONDS / max(seconds, TILE_SECONDS)))
    call.block_rows = min(call.block_rows, blocks)
    call.row_blocks = (height + call.block_rows - 1) // call.block_rows

    # Rows of a group: an even number that gives the panels enough pixels.
    call.group_rows = max(2, (GROUP_PIXELS + call.block_columns - 1) // call.block_columns)
    call.group_rows = min((call.group_rows + 1) // 2 * 2, call.block_rows)
    while group_bytes(call, call.group_rows, call.block_columns) > most_scratch() and call.group_rows > 2:
        call.group_rows = (call.group_rows - 1) // 2 * 2

    pixels = seen(&d.window, image, 2, call.block_columns)
    most_pixels = min(MOST_PIXELS, seen(&d.window, image, 1, call.group_rows) * pixels)
    most_pixels = max(most_pixels, call.group_rows * call.block_columns)
    call.pointers_at = row_table_bytes(d)
    call.ring_at = call.pointers_at + pointer_bytes(most_pixels)
    size = ring_bytes(&d.window, image, call.group_rows, call.block_columns, d.channels * item)
    call.depthwise_at = call.ring_at + (size + 63) // 64 * 64
    pixels = call.group_rows * call.block_columns
    x_at = call.depthwise_at + (pixels * d.channels * item + 63) // 64 * 64
    size = lay_out_expansion(&call.expand, most_pixels, call.pointers_at, x_at)
    call.scratch_bytes = lay_out_destination(&call.to, item, x_at + size,
                                             pixels * call.plan.project.panels.outputs * item)


cdef void expand_rows(const expansion *e, int64_t first_panel, int64_t last_panel, int64_t batch, int64_t depth,
                      int64_t first, int64_t last, int64_t low, int64_t high, const source *ring,
                      char *scratch) noexcept nogil:
    """Expand columns [low, high) of input rows [first, last) into the ring, by some of the panels: a pixel of the
    ring begins with the first channel of the first of them."""
    cdef const panels *p = &e.plan.panels
    cdef int64_t count = 0, run, x_pixel = p.inputs * p.kernels.bytes
    cdef const char **rows = <const char **>(scratch + e.pointers_at)
    cdef char **out = <char **>(rows + e.most_pixels)
    cdef char *base
    cdef cursor at
    cdef fs_row to
    cdef fs_panel work
    work.rows = rows
    work.rows_stride = e.most_pixels
    work.out = out
    work.cold = False
    work.residual = NULL
    work.epilogue = &e.plan.epilogue
    at.batch = batch
    at.depth = depth
    at.row = first
    at.column = low
    while at.row < last:
        run = min(high - at.column, e.most_pixels - count)
        row_of(ring, depth, at.row, &to)
        fill_pointers(out + count, <char *>to.data + at.column * to.pixel_stride, to.pixel_stride, run)
        if e.stage_x:
            base = scratch + e.x_at + count * x_pixel
            stage(p.kernels, &e.x, at, run, 0, p.inputs, 1, base, x_pixel)
            fill_pointers(<char **>rows + count, base, x_pixel, run)
        else:
            fill_pointers(<char **>rows + count, pixel_address(&e.x, at), e.x.strides[3], run)
        count += run
        at.column += run
        if at.column == high:
            at.column = low
            at.row += 1
        if count == e.most_pixels or at.row == last:
            work.pixels = count
            run_panels(p, 0, first_panel, last_panel, &work, 0)
            count = 0


cdef void expand_seen(const expansion *e, const window *w, const int64_t *before, int64_t first_panel,
                      int64_t last_panel, int64_t batch, int64_t depth, int64_t row_low, int64_t row_high,
                      const source *ring, int64_t low, int64_t high, char *scratch) noexcept nogil:
    """Expand rows [row_low, row_high) × columns [low, high) at every input depth that output depth `depth` sees."""
    cdef int64_t depth_low, depth_high, at
    if row_low >= row_high or low >= high:
        return
    window_range(w, before, &e.x.shape[1], 0, depth, 1, &depth_low, &depth_high)
    for at in range(depth_low, depth_high):
        if (at + before[0] - depth * w.strides[0]) % w.dilation[0] == 0:
            expand_rows(e, first_panel, last_panel, batch, at, row_low, row_high, low, high, ring, scratch)


cdef void project_rows(const inverted_residual_call *call, int64_t batch, const rectangle *r,
                       char *scratch) noexcept nogil:
    """Project the depthwise outputs of a rectangle and store them."""
    cdef const panels *p = &call.plan.project.panels
    cdef int64_t pixels = r.rows * r.columns
    cdef char **rows = <char **>(scratch + call.pointers_at)
    cdef cursor at
    cdef fs_panel work
    at.batch = batch
    at.depth = r.depth
    at.row = r.row
    at.column = r.column
    fill_pointers(rows, r.out, r.out_pixel_stride, pixels)
    fill_destination(p.kernels, &call.to, at, r.rows, r.columns, 0, p.outputs, scratch, &work, rows + pixels)
    work.pixels = pixels
    work.rows = <const char **>rows
    work.rows_stride = pixels
    work.epilogue = &call.plan.project.epilogue
    run_panels(p, 0, 0, p.count, &work, 0)
    flush_destination(p.kernels, &call.to, at, r.rows, r.columns, 0, p.outputs, scratch)


cdef void inverted_residual_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const inverted_residual_call *call = <const inverted_residual_call *>opaque
    cdef const depthwise_plan *d = call.plan.depthwise
    cdef int64_t item = d.kernels.bytes, batch, last_row, expanded = 0
    cdef int64_t row_low, row_high, low, high
    cdef const int64_t *image = &call.expand.x.shape[1]
    cdef rectangle r
    cdef source ring
    r.column = tile % call.column_blocks * call.block_columns
    r.columns = min(call.block_columns, call.to.out.shape[3] - r.column)
    tile = tile // call.column_blocks
    r.row = tile % call.row_blocks * call.block_rows
    last_row = min(r.row + call.block_rows, call.to.out.shape[2])
    tile = tile // call.row_blocks
    r.depth = tile % call.to.out.shape[1]
    batch = tile // call.to.out.shape[1]
    r.channel = 0
    r.channels = d.channels
    r.residual = NULL

    window_range(&d.window, call.before, image, 2, r.column, r.columns, &low, &high)
    ring_for(&d.window, image, scratch + call.ring_at, call.group_rows, high - low, low, d.channels * item, d.zeros,
             &ring)
    r.out = scratch + call.depthwise_at
    r.out_pixel_stride = d.channels * item
    r.out_row_stride = r.columns * r.out_pixel_stride
    while r.row < last_row:
        r.rows = min(call.group_rows, last_row - r.row)
        window_range(&d.window, call.before, image, 1, r.row, r.rows, &row_low, &row_high)
        expand_seen(&call.expand, &d.window, call.before, 0, call.expand.plan.panels.count, batch, r.depth,
                    max(row_low, expanded), row_high, &ring, low, high, scratch)
        expanded = max(expanded, row_high)
        run_rectangle(d, &ring, call.before, &r, <fs_row *>scratch)
        project_rows(call, batch, &r, scratch)
        r.row += r.rows


cdef class InvertedResidualPlan(CompiledPlan):
    """Expansion, depthwise and projection run as one; immutable."""

    def __init__(self, PointwisePlan expand, DepthwisePlan depthwise, PointwisePlan project):
        self.expand = expand
        self.depthwise = depthwise
        self.project = project
        self.isa, self.item_bytes = project.isa, project.item_bytes
        self.geometry = depthwise.geometry
        self.inputs, self.outputs = expand.inputs, project.outputs
        self.plan.expand = &expand.plan
        self.plan.depthwise = &depthwise.plan
        self.plan.project = &project.plan

    cdef double seconds(self, const array *x, const array *out) noexcept:
        cdef int64_t pixels = 1, inputs = 1
        cdef int axis
        for axis in range(4):
            pixels *= out.shape[axis]
            inputs *= x.shape[axis]
        return (self.expand.seconds(inputs) + self.project.seconds(pixels)
                + depthwise_seconds(self.plan.depthwise, pixels, 0))

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef inverted_residual_call *call = <inverted_residual_call *>work.call
        work.seconds = self.seconds(&x.array, &out.array) + staging_seconds(&x.array, &out.array, self.item_bytes)
        work.threads = threads_for(threads, work.seconds)
        call.plan = self.plan
        call.expand.plan = self.plan.expand
        call.expand.x = x.array
        call.to.out = out.array
        call.to.residual = residual.array
        fill_before(&self.plan.depthwise.window, &call.expand.x, call.before)
        lay_out(call, work.threads, work.seconds)
        add_phase(work, inverted_residual_tile, call.to.out.shape[0] * call.to.out.shape[1] * call.row_blocks
                  * call.column_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    def choice(self):
        return (f"expand → depthwise → project fused, at least {GROUP_PIXELS} pixels at a time, "
                f"{row_pairs(self.plan.depthwise)}, {register_tile(&self.plan.expand.panels)}, then "
                f"{register_tile(&self.plan.project.panels)}")

    cdef str tile(self, const job *work):
        cdef const inverted_residual_call *call = <const inverted_residual_call *>work.call
        return f"{call.block_rows} rows × {call.block_columns} columns, {call.group_rows} rows at a time"


if sizeof(inverted_residual_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for inverted_residual_call")
