"""Arrays, windows and staging: what every driver shares. See README.md of this folder."""

from cpython.buffer cimport (
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free

from fastsep._arrays cimport array, cursor, destination, rectangle, source, window
from fastsep._isa cimport (
    FS_CLAMP,
    FS_GELU,
    FS_GELU_TANH,
    FS_HARD_SIGMOID,
    FS_HARD_SWISH,
    FS_SIGMOID,
    FS_SILU,
    caches,
    fs_activation,
    fs_epilogue,
    fs_panel,
    fs_real_kernels,
    fs_relayout,
    fs_row,
)

cdef int64_t MOST_BYTES = <int64_t>1 << 46

# ---- windows ---------------------------------------------------------------------------------------------


cdef int64_t divide_up(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef int64_t align(int64_t size) noexcept nogil:
    return (size + 63) // 64 * 64


cdef int64_t effective(const window *w, int axis) noexcept nogil:
    """Input positions from the first tap to the last."""
    return (w.taps[axis] - 1) * w.dilation[axis] + 1


cdef int64_t same_padding(const window *w, int axis, int64_t size) noexcept nogil:
    cdef int64_t outputs = (size + w.strides[axis] - 1) // w.strides[axis]
    return max(0, (outputs - 1) * w.strides[axis] + effective(w, axis) - size) if size else 0


cdef int64_t output_size(const window *w, int axis, int64_t size) noexcept nogil:
    cdef int64_t stride = w.strides[axis], room, outputs
    if w.padding == 3:
        return 1
    if w.padding:
        return (size + stride - 1) // stride
    room = size + w.pads[axis][0] + w.pads[axis][1] - effective(w, axis)
    if not w.ceil:
        return room // stride + 1 if room >= 0 else 0
    if room <= -stride:
        return 0
    outputs = (room + stride - 1) // stride + 1
    while outputs > 0 and (outputs - 1) * stride >= size + w.pads[axis][0]:
        outputs -= 1
    return outputs


cdef int64_t pad_before(const window *w, int axis, int64_t size) noexcept nogil:
    cdef int64_t total
    if w.padding == 0:
        return w.pads[axis][0]
    total = same_padding(w, axis, size)
    # The surplus of an odd total goes after for "same" (TensorFlow's), before for "same_lower".
    return total // 2 if w.padding == 1 else total - total // 2


cdef void fill_before(const window *w, const array *x, int64_t *before) noexcept nogil:
    """Padding before each spatial axis of an input."""
    cdef int axis
    for axis in range(3):
        before[axis] = pad_before(w, axis, x.shape[1 + axis])


cdef void window_range(const window *w, const int64_t *before, const int64_t *shape, int axis, int64_t first,
                       int64_t count, int64_t *low, int64_t *high) noexcept nogil:
    """The input positions inside the image that `count` outputs from `first` see: [low, high)."""
    low[0] = max(0, first * w.strides[axis] - before[axis])
    high[0] = min(shape[axis], (first + count - 1) * w.strides[axis] - before[axis] + effective(w, axis))
    if high[0] <= low[0]:
        low[0] = 0
        high[0] = 0


cdef int fill_window(window *w, object spec) except -1:
    """`spec`: (taps, strides, dilation_rate, padding), checked by the Python face, each of any rank up to 3."""
    cdef int axis, offset
    taps, strides, dilation_rate, padding = spec
    offset = 3 - len(taps)
    for axis in range(3):
        w.taps[axis] = w.strides[axis] = w.dilation[axis] = 1
        w.pads[axis][0] = w.pads[axis][1] = 0
    w.ceil = False
    w.padding = {"same": 1, "same_lower": 2}.get(padding, 0) if isinstance(padding, str) else 0
    for axis in range(len(taps)):
        w.taps[offset + axis] = taps[axis]
        w.strides[offset + axis] = strides[axis]
        w.dilation[offset + axis] = dilation_rate[axis]
        if not isinstance(padding, str):
            w.pads[offset + axis][0], w.pads[offset + axis][1] = padding[axis]
    return 0


cdef tuple spatial_output(const window *w, tuple spatial):
    """Spatial shape of the output for one of the input, of the same rank."""
    cdef int offset = 3 - len(spatial), axis
    return tuple([output_size(w, offset + axis, spatial[axis]) for axis in range(len(spatial))])


cdef dict ACTIVATIONS = {
    "clamp": FS_CLAMP,
    "sigmoid": FS_SIGMOID,
    "hard_sigmoid": FS_HARD_SIGMOID,
    "silu": FS_SILU,
    "hard_swish": FS_HARD_SWISH,
    "gelu": FS_GELU,
    "gelu_tanh": FS_GELU_TANH,
}


cdef int fill_epilogue(fs_epilogue *epilogue, object activation) except -1:
    """`activation`: (name, low, high), checked by the Python face."""
    name, low, high = activation
    epilogue.activation = <fs_activation>(<int>ACTIVATIONS[name])
    epilogue.low = low
    epilogue.high = high
    return 0


# ---- rows and staging ------------------------------------------------------------------------------------


cdef void row_of(const source *s, int64_t depth, int64_t row, fs_row *result) noexcept nogil:
    if s.empty or depth < 0 or depth >= s.shape[0] or row < 0 or row >= s.shape[1]:
        result.data = s.zeros
        result.pixel_stride = 0
        return
    if s.ring[0]:
        depth = depth % s.ring[0]
        row = row % s.ring[1]
    result.data = s.data + depth * s.strides[0] + row * s.strides[1]
    result.pixel_stride = s.strides[2]


cdef char *pixel_address(const array *x, cursor at) noexcept nogil:
    return (x.data + at.batch * x.strides[0] + at.depth * x.strides[1] + at.row * x.strides[2]
            + at.column * x.strides[3])


cdef cursor cursor_at(const array *x, int64_t pixel) noexcept nogil:
    """The pixel of that number, counted along width, height, depth, batch."""
    cdef cursor at
    at.column = pixel % x.shape[3]
    pixel = pixel // x.shape[3]
    at.row = pixel % x.shape[2]
    pixel = pixel // x.shape[2]
    at.depth = pixel % x.shape[1]
    at.batch = pixel // x.shape[1]
    return at


cdef void next_row(cursor *at, const array *x) noexcept nogil:
    """To the first column of the row that follows."""
    at.column = 0
    at.row += 1
    if at.row == x.shape[2]:
        at.row = 0
        at.depth += 1
        if at.depth == x.shape[1]:
            at.depth = 0
            at.batch += 1


cdef cursor place_tile(const array *out, int64_t tile, int64_t block_rows, int64_t row_blocks, int64_t block_columns,
                       int64_t column_blocks, rectangle *r) noexcept nogil:
    """The rectangle of outputs of a tile, and its first pixel: columns vary fastest, then rows, depth, batch, so that
    neighbouring tiles share input."""
    cdef cursor at
    r.column = at.column = tile % column_blocks * block_columns
    r.columns = min(block_columns, out.shape[3] - r.column)
    tile = tile // column_blocks
    r.row = at.row = tile % row_blocks * block_rows
    r.rows = min(block_rows, out.shape[2] - r.row)
    tile = tile // row_blocks
    r.depth = at.depth = tile % out.shape[1]
    at.batch = tile // out.shape[1]
    return at


cdef void place_outputs(const array *out, cursor at, int64_t item, char *staged, rectangle *r) noexcept nogil:
    """Where the outputs of a tile that begins at `at` go: where they belong, or side by side to `staged`."""
    if staged != NULL:
        r.out = staged
        r.out_pixel_stride = r.channels * item
        r.out_row_stride = r.columns * r.out_pixel_stride
    else:
        r.out = pixel_address(out, at) + r.channel * item
        r.out_pixel_stride = out.strides[3]
        r.out_row_stride = out.strides[2]


cdef bint beyond_level2(const array *x) noexcept nogil:
    """Whether what is written of an image has left L2 before it is written again."""
    cdef int axis
    for axis in range(1, 4):
        if max(x.strides[axis], -x.strides[axis]) * x.shape[axis] > caches().level2:
            return True
    return False


cdef void fill_pointers(char **pointers, char *base, int64_t stride, int64_t count) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        pointers[i] = base + i * stride


cdef void source_of_array(const array *x, int64_t batch, const char *zeros, source *result) noexcept nogil:
    cdef int axis
    result.data = x.data + batch * x.strides[0]
    for axis in range(3):
        result.strides[axis] = x.strides[1 + axis]
        result.shape[axis] = x.shape[1 + axis]
    result.ring[0] = result.ring[1] = 0
    result.zeros = zeros
    result.empty = x.shape[3] == 0
    # An eighth of the last level: the output and other cores want theirs.
    result.distant = max(x.strides[1] * x.shape[1], x.strides[2] * x.shape[2]) > caches().level3 // 8
    result.in_lines = False


cdef bint channels_apart(const array *x, int64_t item_bytes) noexcept nogil:
    """Whether an array must be staged: its channels are not side by side."""
    return x.strides[4] != item_bytes and x.shape[4] > 1


cdef void stage(const fs_real_kernels *kernels, const array *x, cursor at, int64_t columns, int64_t first_channel,
                int64_t channels, int64_t repeat, char *to, int64_t to_pixel_stride) noexcept nogil:
    """Copy `columns` pixels of one row, `channels` of the array each `repeat` times, to channels-last scratch."""
    cdef fs_relayout move
    move.pixels = columns
    move.channels = channels
    move.repeat = repeat
    move.from_ = pixel_address(x, at) + first_channel * x.strides[4]
    move.from_pixel_stride = x.strides[3]
    move.from_channel_stride = x.strides[4] if x.shape[4] > 1 else kernels.bytes
    move.to = to
    move.to_pixel_stride = to_pixel_stride
    move.to_channel_stride = kernels.bytes
    kernels.relayout(&move)


cdef void unstage(const fs_real_kernels *kernels, const char *pixels, int64_t from_pixel_stride, const array *x,
                  cursor at, int64_t columns, int64_t first_channel, int64_t channels) noexcept nogil:
    """The way back: channels-last scratch to `columns` pixels of one row of the array."""
    cdef fs_relayout move
    move.pixels = columns
    move.channels = channels
    move.repeat = 1
    move.from_ = pixels
    move.from_pixel_stride = from_pixel_stride
    move.from_channel_stride = kernels.bytes
    move.to = pixel_address(x, at) + first_channel * x.strides[4]
    move.to_pixel_stride = x.strides[3]
    move.to_channel_stride = x.strides[4]
    kernels.relayout(&move)


cdef bint whole_rows(const array *x, int64_t columns) noexcept nogil:
    """Whether `columns` pixels are a row of the array, and the next row's follow them as if they were its own."""
    return columns == x.shape[3] and x.strides[2] == columns * x.strides[3]


cdef void stage_rows(const fs_real_kernels *kernels, const array *x, cursor at, int64_t rows, int64_t columns,
                     int64_t first_channel, int64_t channels, int64_t repeat, char *to) noexcept nogil:
    """Copy a rectangle of pixels to scratch, channels-last and side by side; one run where its rows are."""
    cdef int64_t last = at.row + rows, pixel = channels * repeat * kernels.bytes
    if whole_rows(x, columns):
        columns *= rows
        last = at.row + 1
    while at.row < last:
        stage(kernels, x, at, columns, first_channel, channels, repeat, to, pixel)
        to += columns * pixel
        at.row += 1


cdef void unstage_rows(const fs_real_kernels *kernels, const char *pixels, const array *x, cursor at, int64_t rows,
                       int64_t columns, int64_t first_channel, int64_t channels) noexcept nogil:
    """The way back."""
    cdef int64_t last = at.row + rows, pixel = channels * kernels.bytes
    if whole_rows(x, columns):
        columns *= rows
        last = at.row + 1
    while at.row < last:
        unstage(kernels, pixels, pixel, x, at, columns, first_channel, channels)
        pixels += columns * pixel
        at.row += 1


cdef int64_t seen(const window *w, const int64_t *shape, int axis, int64_t outputs) noexcept nogil:
    """Input positions from the first that `outputs` outputs see to the last, as far as the image has them."""
    return min(shape[axis], (outputs - 1) * w.strides[axis] + effective(w, axis))


cdef int64_t ring_bytes(const window *w, const int64_t *shape, int64_t rows, int64_t columns,
                        int64_t pixel_bytes) noexcept nogil:
    """Scratch for what a rectangle of outputs sees of an image of `shape`; saturates where 64 bits would not do,
    and then no allocation succeeds."""
    cdef int64_t high = seen(w, shape, 0, 1), wide = seen(w, shape, 2, columns)
    cdef double exact = <double>high * seen(w, shape, 1, rows) * wide * pixel_bytes
    return MOST_BYTES if exact > MOST_BYTES else high * seen(w, shape, 1, rows) * wide * pixel_bytes


cdef void ring_for(const window *w, const int64_t *shape, char *ring, int64_t rows, int64_t columns, int64_t column,
                   int64_t pixel_bytes, const char *zeros, source *result) noexcept nogil:
    """A ring of input rows in scratch, `columns` wide from input column `column` on; what `rows` output rows see
    fits. `shape` is the image's (depth, height, width)."""
    cdef int axis
    result.strides[2] = pixel_bytes
    result.strides[1] = columns * pixel_bytes
    result.ring[0] = max(1, seen(w, shape, 0, 1))
    result.ring[1] = max(1, seen(w, shape, 1, rows))
    result.strides[0] = result.ring[1] * result.strides[1]
    result.data = ring - column * pixel_bytes
    for axis in range(3):
        result.shape[axis] = shape[axis]
    result.zeros = zeros
    result.empty = columns == 0
    result.distant = result.in_lines = False


cdef void stage_window(const fs_real_kernels *kernels, const window *w, const array *x, int64_t batch,
                       const int64_t *before, const rectangle *r, int64_t repeat, const char *zeros, char *ring,
                       source *result) noexcept nogil:
    """Copy what a rectangle sees to a ring: channels side by side, each `repeat` times."""
    cdef int64_t depth_low, depth_high, row_low, row_high, low, high, depth, rows
    cdef fs_row to
    cdef cursor at
    window_range(w, before, &x.shape[1], 0, r.depth, 1, &depth_low, &depth_high)
    window_range(w, before, &x.shape[1], 1, r.row, r.rows, &row_low, &row_high)
    window_range(w, before, &x.shape[1], 2, r.column, r.columns, &low, &high)
    ring_for(w, &x.shape[1], ring, r.rows, high - low, low, r.channels * kernels.bytes, zeros, result)
    if high == low:
        return
    at.batch = batch
    at.column = low
    for depth in range(depth_low, depth_high):
        if (depth + before[0] - r.depth * w.strides[0]) % w.dilation[0]:
            continue
        at.depth = depth
        at.row = row_low
        while at.row < row_high:
            row_of(result, depth, at.row, &to)
            rows = min(row_high - at.row, result.ring[1] - at.row % result.ring[1])
            stage_rows(kernels, x, at, rows, high - low, r.channel // repeat, r.channels // repeat, repeat,
                       <char *>to.data + low * to.pixel_stride)
            at.row += rows


cdef int64_t staging_bytes() noexcept nogil:
    """What a tile may hold of a staged image: half of L2, and no more than keeps a tile's scratch, inputs, outputs and
    residual, below 1 MB."""
    return min(caches().level2, 768 * 1024) // 2


cdef int64_t most_scratch() noexcept nogil:
    """What the arrays in a tile's scratch may take, so that with its tables of pointers it stays below 1 MB."""
    return 928 * 1024


# ---- where outputs go ------------------------------------------------------------------------------------


cdef int64_t staged_outputs(const destination *to, int64_t item_bytes) noexcept nogil:
    """How many of output and residual are staged."""
    return channels_apart(&to.out, item_bytes) + (to.residual.data != NULL and channels_apart(&to.residual, item_bytes))


cdef int64_t lay_out_destination(destination *to, int64_t item_bytes, int64_t at,
                                 int64_t staged_bytes) noexcept nogil:
    """Decide what is staged; its scratch begins at `at`, `staged_bytes` for each. Returns where the rest begins."""
    to.stage_out = channels_apart(&to.out, item_bytes)
    to.stage_residual = to.residual.data != NULL and channels_apart(&to.residual, item_bytes)
    staged_bytes = (staged_bytes + 63) // 64 * 64
    to.out_at = at
    to.residual_at = at + staged_bytes * to.stage_out
    return to.residual_at + staged_bytes * to.stage_residual


cdef void fill_destination(const fs_real_kernels *kernels, const destination *to, cursor at, int64_t rows,
                           int64_t columns, int64_t first_channel, int64_t channels, char *scratch, fs_panel *work,
                           char **pointers) noexcept nogil:
    """Point a panel's work at the pixels of a rectangle that begins at `at`: 2 · rows · columns pointers."""
    cdef int64_t i, item = kernels.bytes, row_bytes = columns * channels * item
    cdef char **out = pointers
    cdef char **residual = pointers + rows * columns
    cdef int64_t first_row = at.row
    cdef char *staged = scratch + to.residual_at
    work.out = out
    work.cold = not to.stage_out and beyond_level2(&to.out)
    work.residual = <const char **>residual if to.residual.data != NULL else NULL
    if to.stage_residual:
        stage_rows(kernels, &to.residual, at, rows, columns, first_channel, channels, 1, staged)
    for i in range(rows):
        at.row = first_row + i
        if to.stage_out:
            fill_pointers(out, scratch + to.out_at + i * row_bytes, channels * item, columns)
        else:
            fill_pointers(out, pixel_address(&to.out, at) + first_channel * item, to.out.strides[3], columns)
        if to.stage_residual:
            fill_pointers(residual, staged + i * row_bytes, channels * item, columns)
        elif to.residual.data != NULL:
            fill_pointers(residual, pixel_address(&to.residual, at) + first_channel * item, to.residual.strides[3],
                          columns)
        out += columns
        residual += columns


cdef void flush_destination(const fs_real_kernels *kernels, const destination *to, cursor at, int64_t rows,
                            int64_t columns, int64_t first_channel, int64_t channels,
                            const char *scratch) noexcept nogil:
    """Copy a staged rectangle to the array it belongs to."""
    if to.stage_out:
        unstage_rows(kernels, scratch + to.out_at, &to.out, at, rows, columns, first_channel, channels)


cdef double compute_seconds(const fs_real_kernels *kernels, double flops) noexcept nogil:
    """Serial time of so much depthwise arithmetic: 65 % of two vector FMA (or mul + add) pipes at 3 GHz. Measured on
    Zen 4 with AVX2, 3×3, 12² × 64 to 56² × 64: 27 to 34 of 48 G multiply-adds a second. Vectors of 64 bytes count as
    48: some CPUs run them in halves."""
    return flops / (min(kernels.lanes, 48 // kernels.bytes) * 2 * 2 * 3e9 * 0.65)


cdef double predicted_seconds(const fs_real_kernels *kernels, double flops, double moved_bytes) noexcept nogil:
    """Serial time of a call, for the choice of threads and slabs only, at 40 GB/s from L2 and 20 from beyond."""
    return max(compute_seconds(kernels, flops), moved_bytes / (40e9 if moved_bytes < caches().level2 else 20e9))


cdef double staging_seconds(const array *x, const array *out, int64_t item) noexcept nogil:
    """What staging adds to that: 33 ps a byte (Zen 3, depthwise 14² × 96 to 56² × 32: 32 to 40; pointwise 28² × 1 → 64:
    31)."""
    cdef double bytes = 0.0
    if channels_apart(x, item):
        bytes += <double>x.shape[0] * x.shape[1] * x.shape[2] * x.shape[3] * x.shape[4] * item
    if channels_apart(out, item):
        bytes += <double>out.shape[0] * out.shape[1] * out.shape[2] * out.shape[3] * out.shape[4] * item
    return bytes * 33e-12


# ---- memory ----------------------------------------------------------------------------------------------


cdef class Packed:
    def __dealloc__(self):
        free(self.memory)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, True, flags)


# Lists that receive what is allocated, by thread.
cdef dict collectors = {}


def collect_packed(list into, /):
    """From now on every `Packed` that this thread allocates is appended to the list; None: to none."""
    if into is None:
        collectors.pop(PyThread_get_thread_ident(), None)
    else:
        collectors[PyThread_get_thread_ident()] = into


cdef Packed allocate(int64_t size):
    cdef Packed packed = Packed.__new__(Packed)
    cdef list collector = <list>collectors.get(PyThread_get_thread_ident()) if collectors else None
    if collector is not None:
        collector.append(packed)
    packed.memory = <char *>calloc(<size_t>(size + 64), 1)
    if packed.memory == NULL:
        raise MemoryError(f"no room for {size} bytes of packed weights")
    packed.data = packed.memory + (64 - <uintptr_t>packed.memory % 64)
    packed.size = size
    return packed


cdef bint is_empty(const array *x) noexcept nogil:
    cdef int axis
    for axis in range(5):
        if x.shape[axis] == 0:
            return True
    return False


cdef class View:
    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef View strided(object x, bint writable=False):
    """A view of an array that `arrange` is to finish."""
    cdef View result = View.__new__(View)
    PyObject_GetBuffer(x, &result.buffer, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    result.held = True
    return result


def address_of(x, /):
    """Where an array begins: ten times as fast as asking it for `__array_interface__`."""
    return <uintptr_t>strided(x).buffer.buf


cdef void extent(View each, const char **low, const char **high) noexcept:
    """The range of addresses of an array that is not empty."""
    cdef int64_t reach
    cdef int axis
    low[0] = <const char *>each.buffer.buf
    high[0] = low[0] + each.buffer.itemsize
    for axis in range(each.buffer.ndim):
        reach = (each.buffer.shape[axis] - 1) * each.buffer.strides[axis]
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach


cdef bint disjoint(View a, View b) noexcept:
    """Whether two arrays that are not empty lie in ranges of addresses that do not meet."""
    cdef const char *low_a
    cdef const char *high_a
    cdef const char *low_b
    cdef const char *high_b
    extent(a, &low_a, &high_a)
    extent(b, &low_b, &high_b)
    return high_a <= low_b or high_b <= low_a


cdef void arrange(View result, int rank, bint channels_first) noexcept:
    """Lay the `rank` spatial axes of a strided view out as batch, depth, height, width, channels."""
    cdef int axis, of_x
    result.array.data = <char *>result.buffer.buf
    for axis in range(5):
        if axis == 0:
            of_x = 0
        elif axis == 4:
            of_x = 1 if channels_first else rank + 1
        elif axis <= 3 - rank:
            result.array.shape[axis] = 1
            result.array.strides[axis] = 0
            continue
        else:
            of_x = axis - (3 - rank) + (1 if channels_first else 0)
        result.array.shape[axis] = result.buffer.shape[of_x]
        result.array.strides[axis] = result.buffer.strides[of_x]


cdef View view(object x, int rank, bint channels_first, bint writable):
    """An array of `rank` spatial axes as batch, depth, height, width, channels."""
    cdef View result = strided(x, writable)
    if result.buffer.ndim != rank + 2:
        raise ValueError(f"an array of {rank + 2} axes was promised, this one has {result.buffer.ndim}")
    arrange(result, rank, channels_first)
    return result


ABSENT = View.__new__(View)
