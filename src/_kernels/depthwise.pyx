"""Depthwise convolution: rectangles of outputs × blocks of channels, each one tile. See depthwise.md."""

from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memcpy

from fastsep._arrays cimport (
    ABSENT,
    Packed,
    View,
    allocate,
    array,
    channels_apart,
    cursor,
    fill_epilogue,
    fill_window,
    fill_before,
    place_outputs,
    place_tile,
    pixel_address,
    predicted_seconds,
    rectangle,
    ring_bytes,
    ring_for,
    row_of,
    seen,
    source,
    source_of_array,
    stage_rows,
    stage_window,
    staging_bytes,
    staging_seconds,
    strided,
    unstage_rows,
    window,
    window_range,
)
from fastsep._depthwise cimport depthwise_call, depthwise_plan
from fastsep._isa cimport FS_STRIP_INPUTS, caches, fs_real_kernels, fs_relayout, fs_row, fs_strip, kernels_named
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._threads cimport threads_for

cdef enum:
    # Pixels so far apart, or a multiple of it, fall into two of the 64 sets of L1, or one.
    CROWDED_BYTES = 2048
    # Fused multiply-adds of one tile: about 10 µs, so that a tile costs 100 times its call and four tiles a
    # thread even out.
    TILE_WORK = 400000
    # Of a pixel that is computed line by line where memory holds the arrays: 300² × 64 3.6 → 2.8 ms, × 32 0.94 → 1.5.
    LINES_BYTES = 256
    # Tiles a thread, which even out.
    THREAD_TILES = 4
    # A page. Fused 1024² × 16 and 512² × 32: 12.0 and 7.3 ms without, 10.0 and 6.6 at 1024 bytes, 9.6 and 6.1
    # at 2048, 9.3 and 6.0 at 4096; but there depthwise alone falls from 5.2 to 5.6 ms at 1024² × 16.
    PREFETCH_BYTES = 4096


cdef Packed pack_depthwise(depthwise_plan *p, const fs_real_kernels *kernels, object kernel, object bias,
                           int64_t repeat):
    """Pack a contiguous kernel (*K, C, M), whose taps are the window's, as [⌈channels/lanes⌉][taps][lanes]; `repeat`
    is the multiplier."""
    cdef View source = strided(kernel)
    cdef View biases = ABSENT if bias is None else strided(bias)
    cdef const char *values = <const char *>source.buffer.buf
    cdef int64_t lanes = kernels.lanes, item = kernels.bytes, block, tap, count, at = 0, blocks
    cdef Packed packed
    p.kernels = kernels
    p.taps = p.window.taps[0] * p.window.taps[1] * p.window.taps[2]
    p.channels = source.buffer.len // item // p.taps
    p.repeat = repeat
    blocks = (p.channels + lanes - 1) // lanes
    packed = allocate(blocks * lanes * item * (p.taps + 2))
    p.weights = packed.data
    p.bias = packed.data + blocks * lanes * item * p.taps
    p.zeros = p.bias + blocks * lanes * item
    if bias is not None:
        memcpy(<void *>p.bias, biases.buffer.buf, p.channels * item)
    for block in range(blocks):
        count = min(lanes, p.channels - block * lanes)
        for tap in range(p.taps):
            memcpy(<void *>(p.weights + at), values + (tap * p.channels + block * lanes) * item, count * item)
            at += lanes * item
    return packed


# ---- a rectangle -----------------------------------------------------------------------------------------


cdef bint shares_rows(const depthwise_plan *p) noexcept nogil:
    """Whether two output rows, `partner` apart, see a common input row."""
    cdef const window *w = &p.window
    return w.taps[1] > 1 if w.strides[1] == 1 else w.dilation[1] == 1 and w.strides[1] < w.taps[1]


cdef int64_t partner(const depthwise_plan *p) noexcept nogil:
    """Output rows from one to the other that shares its input: under dilation they are interleaved grids."""
    return p.window.dilation[1] if p.window.strides[1] == 1 and shares_rows(p) else 1


cdef int64_t row_pointers(const depthwise_plan *p) noexcept nogil:
    """Entries of the row table that `run_rectangle` fills; behind it the micro-kernel keeps its table of pixels."""
    return p.window.taps[0] * (p.window.taps[1] + (p.window.strides[1] if shares_rows(p) else 0))


cdef double depthwise_seconds(const depthwise_plan *p, double pixels, double moved_bytes) noexcept nogil:
    """Serial time of so many output pixels, in whole vectors of channels: a block of fewer channels than a vector
    holds costs two (28² × 3: 4.8 ns a pixel, × 8: 2.9, × 16: 4.9), and strides reach less of the rate (Zen 3, 28² × 64:
    3×3, 4×4, 5×5 and 9×9 by two 56, 43, 76 and 55 % of it, by three 26, 32, 39 and 48), least of all under dilation as
    well, where no input serves two sums (3×3 by two, dilation 2 to 4: 10.2 µs, as long as 28² × 64 without either)."""
    cdef const window *w = &p.window
    cdef double vectors = p.channels // p.kernels.lanes
    if p.channels % p.kernels.lanes:
        vectors += 2.0
    if w.strides[1] * w.strides[2] > 1:
        vectors *= 1.7 if w.dilation[1] == 1 and w.dilation[2] == 1 else 2.6
    return pixels * 0.8e-9 + predicted_seconds(p.kernels, 2.0 * pixels * vectors * p.kernels.lanes * p.taps,
                                               moved_bytes)


cdef int64_t row_table_bytes(const depthwise_plan *p) noexcept nogil:
    """Scratch that `run_rectangle` needs for both tables, rounded up to a cache line."""
    cdef int64_t entry = sizeof(fs_row) + FS_STRIP_INPUTS * sizeof(char *)
    return (row_pointers(p) * entry + 63) // 64 * 64


cdef int64_t fill_rows(const depthwise_plan *p, const source *input, const int64_t *before, int64_t depth,
                       int64_t row, int64_t output_rows, fs_row *rows) noexcept nogil:
    """The input rows that one or two output rows see, by depth tap; returns how many there are."""
    cdef const window *w = &p.window
    cdef int64_t d, i, count = 0
    for d in range(w.taps[0]):
        for i in range(w.taps[1] + (output_rows - 1) * w.strides[1]):
            row_of(input, depth * w.strides[0] - before[0] + d * w.dilation[0],
                   row * w.strides[1] - before[1] + i * w.dilation[1], &rows[count])
            count += 1
    return count


cdef void run_phases(const depthwise_plan *p, fs_strip *strip, const rectangle *r, int64_t before, fs_row *rows,
                     int64_t row_count) noexcept nogil:
    """A dilated strip of stride 1 as `dilation` dense ones: columns `dilation` apart are a grid of their own."""
    cdef int64_t dilation = p.window.dilation[2], phase, i, origin, column, moved
    cdef int64_t width = strip.width
    cdef char *out[2]
    cdef const char *residual[2]
    out[0], out[1] = strip.out[0], strip.out[1]
    residual[0], residual[1] = strip.residual[0], strip.residual[1]
    strip.first_column = 0
    strip.dilation = 1
    strip.out_pixel_stride = r.out_pixel_stride * dilation
    strip.residual_pixel_stride = r.residual_pixel_stride * dilation
    moved = 0
    for phase in range(min(dilation, r.columns)):
        origin = r.column + phase - before
        column = (origin % dilation + dilation) % dilation      # first column of the grid
        strip.before = (column - origin) // dilation
        strip.width = max(0, (width - column + dilation - 1) // dilation)
        strip.columns = (r.columns - phase + dilation - 1) // dilation
        for i in range(row_count):
            rows[i].data += (column - moved) * rows[i].pixel_stride
        moved = column
        for i in range(strip.output_rows):
            strip.out[i] = out[i] + phase * r.out_pixel_stride
            if residual[i] != NULL:
                strip.residual[i] = residual[i] + phase * r.residual_pixel_stride
        for i in range(row_count):
            rows[i].pixel_stride *= dilation
        p.kernels.depthwise_strip(strip)
        for i in range(row_count):
            rows[i].pixel_stride //= dilation


cdef void run_rectangle(const depthwise_plan *p, const source *input, const int64_t *before, const rectangle *r,
                        fs_row *rows) noexcept nogil:
    """Compute a rectangle of outputs, two rows at a time where they share input rows."""
    cdef const window *w = &p.window
    cdef fs_strip strip
    cdef int64_t base = 0, phase, row, i, count, item = p.kernels.bytes, lanes = p.kernels.lanes
    cdef int64_t apart = partner(p), step = 2 * apart if shares_rows(p) else 1
    strip.depth_taps = w.taps[0]
    strip.height_taps = w.taps[1]
    strip.width_taps = w.taps[2]
    strip.row_step = w.strides[1]
    strip.rows = rows
    strip.first_column = r.column
    strip.columns = r.columns
    strip.stride = w.strides[2]
    strip.dilation = w.dilation[2]
    strip.before = before[2]
    strip.channels = r.channels
    strip.ahead = PREFETCH_BYTES if input.distant else 0
    strip.in_lines = input.in_lines
    strip.zeros = p.zeros
    strip.pixels = <const char **>(rows + row_pointers(p))
    strip.weights = p.weights + r.channel // lanes * p.taps * lanes * item
    strip.bias = p.bias + r.channel * item
    strip.out_pixel_stride = r.out_pixel_stride
    strip.residual_pixel_stride = r.residual_pixel_stride
    strip.epilogue = &p.epilogue
    while base < r.rows:
        for phase in range(min(apart, r.rows - base)):
            row = base + phase
            strip.output_rows = 2 if step > 1 and row + apart < r.rows else 1
            count = fill_rows(p, input, before, r.depth, r.row + row, strip.output_rows, rows)
            for i in range(strip.output_rows):
                strip.out[i] = r.out + (row + i * apart) * r.out_row_stride
                strip.residual[i] = NULL
                if r.residual != NULL:
                    strip.residual[i] = r.residual + (row + i * apart) * r.residual_row_stride
            strip.width = 0 if input.empty else input.shape[2]
            if w.dilation[2] > 1 and w.strides[2] == 1:
                run_phases(p, &strip, r, before[2], rows, count)
            else:
                p.kernels.depthwise_strip(&strip)
        base += step


cdef bint crowded(const array *x, const array *out, int64_t vector_bytes) noexcept nogil:
    """Whether the pixels that a register tile sees drive each other out of L1 before they are done with, so that they are
    better copied. Vectors that do not lie across lines are worth a copy only where all pixels fall into one set, 4096
    bytes apart, or outputs follow inputs so closely that loads wait for stores (Zen 3, 14² × 512: 39 µs in place, 44
    copied, 50 to 58 in place if the output begins less than 128 bytes behind the input, modulo 2048); and whole lines never
    (Zen 4, AVX-512, 14² × 512: 27 µs in place, 30 copied; with vectors across lines 44 in place, 33 copied)."""
    if x.strides[3] == 0 or x.strides[3] % CROWDED_BYTES != 0:
        return False
    if (<uintptr_t>x.data | <uintptr_t>x.strides[2]) % vector_bytes != 0:
        return True
    return vector_bytes < 64 and (x.strides[3] % (2 * CROWDED_BYTES) == 0
                                  or (<uintptr_t>out.data - <uintptr_t>x.data) % CROWDED_BYTES < 128)


cdef bint beyond_cache(const depthwise_call *call) noexcept nogil:
    """Whether memory, not L3, holds what is read and written."""
    cdef int64_t pixels = call.x.shape[0] * call.x.shape[1] * call.x.shape[2] * call.x.shape[3]
    pixels += call.out.shape[0] * call.out.shape[1] * call.out.shape[2] * call.out.shape[3]
    return pixels * call.plan.channels * call.plan.kernels.bytes > caches().level3 // 2


cdef bint line_by_line(const depthwise_call *call) noexcept nogil:
    """Whether the micro-kernel has a tile for memory's sake, and pixels are long enough for it: a register tile's four
    pixels of 128 bytes are a run of memory as they are."""
    cdef const depthwise_plan *p = call.plan
    return (p.window.taps[0] == 1 and p.window.taps[1] == p.window.taps[2] == 3
            and p.window.dilation[1] == p.window.dilation[2] == 1
            and p.window.strides[1] == p.window.strides[2] <= 2
            and p.channels * p.kernels.bytes >= LINES_BYTES
            and not (call.stage_x or call.compact or call.stage_out))


cdef int64_t compact_pixel(int64_t channels, int64_t item) noexcept nogil:
    """Bytes from pixel to pixel in a compact ring: an odd number of cache lines, which visits all sets of L1."""
    return ((channels * item + 63) // 64 | 1) * 64


cdef void run_compact(const depthwise_plan *p, const source *input, const int64_t *before, const rectangle *r,
                      fs_row *rows, char *ring) noexcept nogil:
    """`run_rectangle` for crowded pixels and windows of one depth: the rows that a pair of output rows sees are copied
    to a ring, each once, just before they are read."""
    cdef const window *w = &p.window
    cdef source compact
    cdef rectangle pair = r[0]
    cdef fs_relayout move
    cdef fs_row from_, to
    cdef int64_t item = p.kernels.bytes, pixel = compact_pixel(r.channels, item)
    cdef int64_t depth = r.depth * w.strides[0] - before[0], low, high, row, row_low, row_high, copied = 0
    pair.rows = 2 * partner(p) if shares_rows(p) else 1
    window_range(w, before, input.shape, 2, r.column, r.columns, &low, &high)
    ring_for(w, input.shape, ring, pair.rows, high - low, low, pixel, p.zeros, &compact)
    move.pixels = high - low
    move.channels = r.channels
    move.repeat = 1
    move.from_channel_stride = move.to_channel_stride = item
    move.to_pixel_stride = pixel
    while pair.row < r.row + r.rows:
        pair.rows = min(pair.rows, r.row + r.rows - pair.row)
        window_range(w, before, input.shape, 1, pair.row, pair.rows, &row_low, &row_high)
        if depth < 0 or depth >= input.shape[0]:
            row_high = row_low
        for row in range(max(row_low, copied), row_high):
            row_of(input, depth, row, &from_)
            row_of(&compact, depth, row, &to)
            move.from_ = from_.data + low * from_.pixel_stride
            move.from_pixel_stride = from_.pixel_stride
            move.to = <char *>to.data + low * pixel
            p.kernels.relayout(&move)
        copied = max(copied, row_high)
        run_rectangle(p, &compact, before, &pair, rows)
        pair.row += pair.rows
        pair.out += pair.rows * r.out_row_stride
        if pair.residual != NULL:
            pair.residual += pair.rows * r.residual_row_stride


cdef int64_t staged_channels() noexcept nogil:
    """Channels of a tile that copies its pixels: what a pair of rows sees stays in L1, and runs are whole cache lines.
    Longer runs suit what fetches lines ahead, where there are 48 KB."""
    return 256 if caches().level1 >= 48 * 1024 else 128


# ---- one call --------------------------------------------------------------------------------------------


cdef int64_t common_multiple(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t x = a, y = b, rest
    while y:
        rest = x % y
        x = y
        y = rest
    return a // x * b


cdef int busiest_rows(int height, int rows, int step, int threads) noexcept nogil:
    """What the thread with the most of it computes, in quarters of a row, if a block is so many rows: a row without its
    partner costs a quarter more than its half of a step."""
    cdef int blocks = (height + rows - 1) // rows, each = blocks // threads, over = blocks - each * threads
    cdef int whole = 4 * rows + rows % step, last = height - (blocks - 1) * rows
    if over == 0:
        return each * whole
    return each * whole + (4 * last + last % step if over == 1 else whole)


cdef int64_t balanced_rows(int64_t height, int64_t rows, int64_t most, int64_t step, int threads) noexcept nogil:
    """About `rows` rows a block and at most `most`, such that threads end together: of 28 rows on two threads 2 blocks of
    14, not 7 of 4, of which one thread would get four (Zen 3, 28² × 256 43 → 38 µs); of 56 rows 4 of 14, not 8 of 7,
    whose last rows have no partner (56² × 144, stride 2 of 112²: 37 → 33). Half a microsecond at most: only numbers of
    blocks that all threads share, and none where the first is within a 32nd of even."""
    cdef int64_t blocks = (height + rows - 1) // rows
    cdef int count, best = <int>rows, even, cost, least, last
    if blocks > 16 * threads:
        return rows
    least = busiest_rows(<int>height, best, <int>step, threads)
    count = <int>((height + most - 1) // most + threads - 1) // threads * threads
    last = <int>min(height, blocks + 2 * threads)
    while count <= last and 32 * threads * least > 33 * 4 * height:
        even = (<int>height + count - 1) // count
        cost = busiest_rows(<int>height, even, <int>step, threads)
        if 33 * cost < 32 * least:
            least, best = cost, even
        count += threads
    return best


cdef int64_t channels_a_block(const depthwise_plan *p, int64_t blocks) noexcept nogil:
    """A block begins at a whole vector of packed weights and, with a multiplier, at a whole input channel."""
    cdef int64_t unit = p.kernels.lanes
    if p.repeat > 1:
        unit = common_multiple(unit, p.repeat)
    return (p.channels + blocks * unit - 1) // (blocks * unit) * unit


cdef str row_pairs(const depthwise_plan *p):
    """How output rows are computed, as a phrase."""
    return "rows in pairs" if shares_rows(p) else "rows one by one"


cdef void lay_out(depthwise_call *call, int threads) noexcept nogil:
    cdef const depthwise_plan *p = &call.plan[0]
    cdef int64_t item = p.kernels.bytes, blocks, pairs, work, held, budget, most
    cdef const int64_t *image = &call.x.shape[1]
    cdef bint staged
    call.stage_x = p.repeat > 1 or channels_apart(&call.x, item)
    call.stage_out = channels_apart(&call.out, item)
    call.stage_residual = call.residual.data != NULL and channels_apart(&call.residual, item)
    staged = call.stage_x or call.stage_out or call.stage_residual
    # With dilation a pair sees two rows of many that the ring would hold, and lines that it does not use; with strides
    # it sees too many pixels an output (the micro-kernel has a way of its own for them).
    call.compact = (not call.stage_x and p.window.taps[0] == 1 and p.window.dilation[1] == p.window.dilation[2] == 1
                    and p.window.strides[2] == 1 and crowded(&call.x, &call.out, p.kernels.lanes * item))
    call.distant = beyond_cache(call)
    call.in_lines = call.distant and line_by_line(call)

    # Channels: all, which are one run of memory, unless threads would be left without work or pixels are copied.
    blocks = max(1, (p.channels + staged_channels() // 2) // staged_channels())
    if not (staged or call.compact):
        pairs = call.out.shape[0] * call.out.shape[1] * ((call.out.shape[2] + 1) // 2)
        blocks = min(blocks, THREAD_TILES * threads // max(pairs, 1)) if threads > 1 else 1
        blocks = max(blocks, 1)
    call.block_channels = channels_a_block(p, blocks)
    call.channel_blocks = (p.channels + call.block_channels - 1) // call.block_channels

    # Columns: all of a row, unless that alone is too much work, or too much scratch, for one tile.
    work = p.taps * min(call.block_channels, p.channels)
    call.block_columns = call.out.shape[3]
    budget = max(16, 2 * TILE_WORK // max(work, 1))
    if staged or call.compact:
        held = seen(&p.window, image, 0, 1) * seen(&p.window, image, 1, 2) * p.window.strides[2] + 4
        held *= call.block_channels * item
        budget = min(budget, max(16, staging_bytes() // max(held, 1)))
    if call.block_columns > budget:
        blocks = (call.block_columns + budget - 1) // budget
        call.block_columns = (call.block_columns + blocks - 1) // blocks
    call.column_blocks = (call.out.shape[3] + call.block_columns - 1) // max(call.block_columns, 1)

    # Rows: pairs, enough for a tile's work, but four tiles a thread.
    call.block_rows = max(1, TILE_WORK // max(work * call.block_columns, 1))
    blocks = call.out.shape[0] * call.out.shape[1] * call.column_blocks * call.channel_blocks
    if threads > 1 and blocks * call.out.shape[2] < THREAD_TILES * threads * call.block_rows:
        call.block_rows = max(1, blocks * call.out.shape[2] // (THREAD_TILES * threads))
    if call.stage_x:
        held = seen(&p.window, image, 0, 1) * seen(&p.window, image, 2, call.block_columns) * call.block_channels * item
        call.block_rows = min(call.block_rows, max(2, staging_bytes() // max(held * p.window.strides[1], 1)))
    blocks = 2 * partner(p)
    call.block_rows = (call.block_rows + blocks - 1) // blocks * blocks
    # No rectangle is shared by two threads: where their channels meet they would share a cache line of every pixel.
    if threads > 1 and call.out.shape[0] * call.out.shape[1] * call.column_blocks % threads != 0:
        # What is staged was bounded above.
        most = call.block_rows if staged else 4 * call.block_rows
        call.block_rows = balanced_rows(call.out.shape[2], call.block_rows, most, blocks, threads)
    call.block_rows = min(call.block_rows, max(call.out.shape[2], 1))
    call.row_blocks = (call.out.shape[2] + call.block_rows - 1) // call.block_rows

    call.ring_at = row_table_bytes(p)
    if call.compact:
        held = ring_bytes(&p.window, image, 2 * partner(p), call.block_columns,
                          compact_pixel(call.block_channels, item))
    else:
        held = ring_bytes(&p.window, image, call.block_rows, call.block_columns, call.block_channels * item)
    call.out_at = call.ring_at + (held + 63) // 64 * 64 * (call.stage_x or call.compact)
    held = call.block_rows * call.block_columns * call.block_channels * item
    call.residual_at = call.out_at + (held + 63) // 64 * 64 * call.stage_out
    call.scratch_bytes = call.residual_at + held * call.stage_residual


cdef void depthwise_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const depthwise_call *call = <const depthwise_call *>opaque
    cdef const depthwise_plan *p = call.plan
    cdef int64_t item = p.kernels.bytes
    cdef fs_row *rows = <fs_row *>scratch
    cdef rectangle r
    cdef source input
    cdef cursor at
    # Channels vary fastest: the tiles of one rectangle share lines of input.
    r.channel = tile % call.channel_blocks * call.block_channels
    r.channels = min(call.block_channels, p.channels - r.channel)
    at = place_tile(&call.out, tile // call.channel_blocks, call.block_rows, call.row_blocks, call.block_columns,
                    call.column_blocks, &r)

    if call.stage_x:
        stage_window(p.kernels, &p.window, &call.x, at.batch, call.before, &r, p.repeat, p.zeros,
                     scratch + call.ring_at, &input)
    else:
        source_of_array(&call.x, at.batch, p.zeros, &input)
        input.data += r.channel * item
        input.distant = call.distant
        input.in_lines = call.in_lines
    place_outputs(&call.out, at, item, scratch + call.out_at if call.stage_out else NULL, &r)
    r.residual = NULL
    if call.stage_residual:
        r.residual = scratch + call.residual_at
        r.residual_pixel_stride = r.channels * item
        r.residual_row_stride = r.columns * r.residual_pixel_stride
        stage_rows(p.kernels, &call.residual, at, r.rows, r.columns, r.channel, r.channels, 1, <char *>r.residual)
    elif call.residual.data != NULL:
        r.residual = pixel_address(&call.residual, at) + r.channel * item
        r.residual_pixel_stride = call.residual.strides[3]
        r.residual_row_stride = call.residual.strides[2]

    if call.compact:
        run_compact(p, &input, call.before, &r, rows, scratch + call.ring_at)
    else:
        run_rectangle(p, &input, call.before, &r, rows)

    if call.stage_out:
        unstage_rows(p.kernels, r.out, &call.out, at, r.rows, r.columns, r.channel, r.channels)


cdef class DepthwisePlan(CompiledPlan):
    """Packed weights of a depthwise convolution; immutable.

    `kernel` (*K, C, M) and `bias` are contiguous native arrays, `spec` = (taps, strides,
    dilation_rate, padding) by axis, `activation` = (name, low, high), `isa` the table to use. All were checked by
    the Python face.
    """

    def __init__(self, kernel, bias, int64_t depth_multiplier, spec, activation, str isa):
        fill_window(&self.plan.window, spec)
        self.packed = pack_depthwise(&self.plan, kernels_named(isa, kernel.itemsize), kernel, bias, depth_multiplier)
        self.isa, self.item_bytes = isa, self.plan.kernels.bytes
        self.geometry = &self.plan.window
        self.inputs, self.outputs = self.plan.channels // depth_multiplier, self.plan.channels
        fill_epilogue(&self.plan.epilogue, activation)

    cdef double seconds(self, const array *out) noexcept:
        """The rows besides: 30 ns each for their tables and borders (Zen 3, images of 7² × 9: 0.65 µs each)."""
        cdef const window *w = &self.plan.window
        cdef double rows = <double>out.shape[0] * out.shape[1] * out.shape[2], pixels = rows * out.shape[3]
        cdef double seen = 1.0 + min(w.strides[1], w.taps[1]) * min(w.strides[2], w.taps[2])
        return rows * 30e-9 + depthwise_seconds(&self.plan, pixels,
                                                seen * pixels * self.plan.channels * self.plan.kernels.bytes)

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef depthwise_call *call = <depthwise_call *>work.call
        work.seconds = self.seconds(&out.array) + staging_seconds(&x.array, &out.array, self.item_bytes)
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.out = out.array
        call.residual = residual.array
        fill_before(&self.plan.window, &call.x, call.before)
        lay_out(call, work.threads)
        add_phase(work, depthwise_tile, call.out.shape[0] * call.out.shape[1] * call.row_blocks * call.column_blocks
                  * call.channel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    def choice(self):
        cdef const depthwise_plan *p = &self.plan
        cdef int64_t channels = p.channels
        pixels = max(1, TILE_WORK // max(p.taps * channels, 1))
        return f"about {pixels} pixels × {channels} channels a tile, {row_pairs(p)}"

    cdef str tile(self, const job *work):
        cdef const depthwise_call *call = <const depthwise_call *>work.call
        channels = min(call.block_channels, self.plan.channels)
        order = ", line by line" if call.in_lines else ""
        return f"{call.block_rows} rows × {call.block_columns} columns × {channels} channels{order}"


if sizeof(depthwise_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for depthwise_call")
