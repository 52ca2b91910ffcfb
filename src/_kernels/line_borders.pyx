"""What the two ways of filtering a block of rows share: where rows begin, what lies beyond their ends, what a pass is to
the kernels. See lines.md."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastsep._isa cimport fs_bits, fs_lines, fs_transfer
from fastsep._line_types cimport (
    CACHE_LINE,
    CONSTANT,
    MIRROR,
    NEAREST,
    WRAP,
    lines_block,
    lines_call,
    lines_outer,
    lines_pass,
)


cdef int64_t whole_lines(int64_t size) noexcept nogil:
    return (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef int64_t uneven_lines(int64_t size) noexcept nogil:
    """An odd number of them, so that rows do not all begin in the same sets of L1."""
    size = whole_lines(size)
    return size if size // CACHE_LINE % 2 else size + CACHE_LINE


cdef void fill(char *to, int64_t count, double value, int64_t item) noexcept nogil:
    """Reals of so many bytes, 4 or 8, one behind the other."""
    cdef int64_t i
    for i in range(count):
        if item == 4:
            (<float *>to)[i] = <float>value
        else:
            (<double *>to)[i] = value


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


cdef int64_t offset_of(const lines_outer *outer, const int64_t *strides, int64_t row) noexcept nogil:
    """Bytes to the row of that number, counted along the innermost axis first."""
    cdef int64_t offset = 0
    cdef int axis = outer.count - 1
    while axis >= 0:
        offset += row % outer.shape[axis] * strides[axis]
        row = row // outer.shape[axis]
        axis -= 1
    return offset


cdef lines_block rows_of(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil:
    """The rows of a block, its columns from `first` on: where those it reads begin, NULL for the constant, and those it writes.
    `x`: the block's plane of the input, or NULL where it lies in the array."""
    cdef lines_block b
    cdef int64_t plane = 0, position, i, extra = max(1, c.down.taps) - 1
    cdef int64_t all_rows = c.down.outputs if c.down.taps else c.outer.rows
    b.x_row = c.x_row if x == NULL else c.columns * c.x.item
    if c.down.taps:
        plane = block // c.row_blocks
        block = block % c.row_blocks
    b.row = block * c.block_rows
    b.count = min(c.block_rows, all_rows - b.row)
    b.x = <char **>(scratch + c.rows_at)
    b.out = b.x + b.count + extra
    if c.down.taps == 0:
        for i in range(b.count):
            b.x[i] = c.x.data + offset_of(&c.outer, c.outer.x_strides, b.row + i)
            b.out[i] = c.out.data + offset_of(&c.outer, c.outer.out_strides, b.row + i)
            if c.aside:
                b.out[i] = scratch + c.aside + i * c.out_row - first * c.out_step
        return b
    if x == NULL:
        x = c.x.data + offset_of(&c.outer, c.outer.x_strides, plane)
    for i in range(b.count + extra):
        position = mapped(&c.down, b.row - c.down.before + i)
        b.x[i] = NULL
        if position >= 0:
            b.x[i] = <char *>x + position * b.x_row
    b.out[0] = c.out.data + offset_of(&c.outer, c.outer.out_strides, plane) + b.row * c.out_row
    if c.aside:
        b.out[0] = scratch + c.aside - first * c.out_step
    for i in range(1, b.count):
        b.out[i] = b.out[i - 1] + c.out_row
    return b


cdef int64_t item_of(const lines_call *c) noexcept nogil:
    """Bytes of what a stage computes with."""
    return c.kernels.bytes if c.unturned == NULL else c.unturned.bytes


cdef void describe_load(const lines_call *c, const lines_pass *p, int64_t outputs, char *const *array,
                        int64_t row_stride, fs_transfer *load) noexcept nogil:
    """The rows that a pass reads for so many outputs, on their way to a strip; nothing is fetched ahead."""
    load.ahead = load.ahead_bytes = 0
    load.missing = c.missing
    load.dtype = c.x.dtype
    load.swapped = c.x.swapped
    load.rows = outputs + max(1, p.taps) - 1
    load.array = array
    load.step = c.x_step
    load.constant = p.cval
    load.row_stride = row_stride


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
