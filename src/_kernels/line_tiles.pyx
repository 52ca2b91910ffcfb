"""A tile of a stage, or of two filters of one traversal, and how a stage is cut into tiles. See lines.md."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastsep._isa cimport (
    FS_F32,
    FS_F64,
    FS_I16,
    FS_KEPT,
    FS_U16,
    FS_U8,
    fs_join,
    fs_real_kernels,
)
from fastsep._line_borders cimport item_of, offset_of, rows_of, uneven_lines, whole_lines
from fastsep._line_turned cimport lay_out_turned, run_turned
from fastsep._line_types cimport elements, lines_block, lines_call, lines_pair
from fastsep._line_unturned cimport lay_out_unturned, run_unturned
from fastsep._line_volume cimport lay_out_volume, run_volume
from fastsep._threads cimport phase

cdef enum:
    # Taps along rows of a mean whose tile stores integers of 16 bits; any odd number.
    MOST_UNTURNED_WORDS = 9
    # Taps down rows of bytes that are read where they are.
    MOST_BYTES = 16


# ---- one tile --------------------------------------------------------------------------------------------


cdef void run_block(const lines_call *c, int64_t block, int64_t first, const char *x, char *scratch) noexcept nogil:
    if c.unturned == NULL:
        run_turned(c, block, first, x, scratch)
    else:
        run_unturned(c, block, first, x, scratch)


cdef void copy_plane(const lines_call *c, int64_t tile, char *plane) noexcept nogil:
    cdef int64_t row, bytes = c.columns * c.x.item
    cdef const char *source = c.x.data + offset_of(&c.outer, c.outer.x_strides, tile)
    for row in range(c.down.size):
        memcpy(plane + row * bytes, source + row * c.x_row, bytes)


cdef void lines_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const lines_call *c = <const lines_call *>opaque
    cdef int64_t blocks = c.row_blocks * (c.outer.rows if c.down.taps else 1), row
    if c.through.taps:
        run_volume(c, tile, scratch)
        return
    if not c.in_place:
        run_block(c, tile % blocks, tile // blocks * c.block_columns, NULL, scratch)
        return
    copy_plane(c, tile, scratch + c.plane_at)
    for row in range(c.row_blocks):
        run_block(c, tile * c.row_blocks + row, 0, scratch + c.plane_at, scratch)


cdef bint is_missing_in(const lines_call *c, const fs_real_kernels *kernels, int64_t block, int64_t first,
                        char *scratch) noexcept nogil:
    """Whether anything that a block reads is NaN."""
    cdef lines_block rows = rows_of(c, block, first, NULL, scratch)
    cdef int64_t taps = max(1, c.along.taps), last = min(c.out_columns, first + c.block_columns), i
    cdef int64_t begin = first - c.along.before * c.channels, end = last + (taps - 1 - c.along.before) * c.channels
    # What lies beyond the ends may come from anywhere.
    if begin < 0 or end > c.columns:
        begin = 0
        end = c.columns
    for i in range(rows.count + max(1, c.down.taps) - 1):
        if rows.x[i] != NULL and kernels.lines_missing(rows.x[i] + begin * c.x_step, end - begin):
            return True
    return False


cdef void pair_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    """A tile of two filters, and of what becomes of their outputs while they are in the cache."""
    cdef const lines_pair *p = <const lines_pair *>opaque
    cdef const lines_call *c = &p.first
    cdef int64_t blocks = c.row_blocks * (c.outer.rows if c.down.taps else 1)
    cdef int64_t block = tile % blocks, first = tile // blocks * c.block_columns
    cdef int64_t plane, row, i
    cdef lines_block rows, others
    cdef fs_join join
    if p.input != NULL and not is_missing_in(c, p.input, block, first, scratch):
        # Blocks of fewer rows.
        plane = block // c.row_blocks
        row = block % c.row_blocks * p.plain_blocks
        for i in range(row, min(row + p.plain_blocks, p.plain.row_blocks)):
            run_block(&p.plain, plane * p.plain.row_blocks + i, first, NULL, scratch)
        return
    lines_tile(&p.second, tile, scratch)
    lines_tile(c, tile, scratch)
    rows = rows_of(c, block, first, NULL, scratch)
    # Both lists of rows begin where rows are described: the other one behind this.
    others = rows
    others.out = rows.out + rows.count
    join.kind = p.joint
    join.rows = rows.count
    join.columns = min(c.out_columns, first + c.block_columns) - first
    join.offset = first * c.out_step
    join.first = rows.out
    join.second = others.out
    join.whole = p.whole
    for i in range(rows.count):
        others.out[i] = scratch + p.second.aside + i * p.second.out_row - first * c.out_step
    p.joining.lines_join(&join)


# ---- one stage -------------------------------------------------------------------------------------------


cdef double stage_seconds(const lines_call *c) noexcept nogil:
    """Serial time, for the choice of threads and slabs only."""
    cdef double outputs = 1.0 * c.outer.rows * c.out_columns * max(1, c.down.outputs if c.down.taps else 1)
    cdef double taps = 4.0 + c.down.taps + c.along.taps
    if c.through.taps:
        outputs *= c.through.outputs
        taps += c.through.taps
    # Products of pairs of 16-bit integers take as long as folded products of floats.
    cdef int64_t item = max(4, item_of(c)), lanes = c.unturned.lanes if c.unturned != NULL else c.kernels.lanes
    return outputs * taps / (min(lanes * item_of(c) // item, 48 // item) * 3e9)


cdef bint is_real(const lines_call *c, const elements *x, int64_t step) noexcept nogil:
    """Whether the elements of a row are what the kernels compute with, side by side."""
    cdef int64_t item = item_of(c)
    return item != 2 and x.dtype == (FS_F32 if item == 4 else FS_F64) and not x.swapped and step == item


cdef bint cut_stage(lines_call *c, phase *step) noexcept nogil:
    """Cut a stage into tiles, for any number of threads; False where a volume's do not fit the caches."""
    c.x_is_real = is_real(c, &c.x, c.x_step) and c.missing == FS_KEPT
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
                    and not c.x.swapped and not c.paired):
                c.words_in = 1 if c.x.dtype == FS_U16 else -1 if c.x.dtype == FS_I16 else 0
                c.x_is_real = c.x_is_real or c.words_in != 0
            if c.along.taps and c.along.rounds and c.along.start > 0 and (
                    c.along.weights != NULL or (c.along.taps <= MOST_UNTURNED_WORDS and c.along.taps % 2 == 1)):
                c.words_out = ((c.out.dtype == FS_U16 or c.out.dtype == FS_I16) and not c.out.swapped
                               and c.out_step == c.out.item)
                c.out_is_real = c.words_out
        if c.through.taps:
            if not lay_out_volume(c):
                return False
        else:
            lay_out_unturned(c)
    else:
        lay_out_turned(c)
    step.run_tile = lines_tile
    step.tiles = c.column_blocks * c.row_blocks * (c.outer.rows if c.down.taps else 1)
    if c.through.taps:
        step.tiles *= c.slice_blocks
    if c.in_place:
        step.tiles = c.outer.rows
    step.seconds = stage_seconds(c)
    return True


cdef bint pair_up(lines_pair *p) noexcept nogil:
    """Let the calls of a pair share tiles and scratch; False where they are not cut alike, or rows of the output are not
    numbers side by side. `plain` is one of `first` where that does not matter."""
    cdef lines_call *a = &p.first
    cdef lines_call *b = &p.second
    if (a.row_blocks != b.row_blocks or a.block_rows != b.block_rows or a.column_blocks != b.column_blocks
            or a.block_columns != b.block_columns or (a.down.taps == 0) != (b.down.taps == 0)
            or a.outer.rows != b.outer.rows or a.out_columns != b.out_columns or a.block_rows % p.plain.block_rows
            or a.block_columns > p.plain.block_columns):
        return False
    p.plain_blocks = a.block_rows // p.plain.block_rows
    p.plain.block_columns, p.plain.column_blocks = a.block_columns, a.column_blocks
    if a.in_place or a.out.swapped or a.out_step != a.out.item or (a.out.dtype != FS_F32 and a.out.dtype != FS_F64):
        return False
    p.scratch_bytes = whole_lines(max(max(a.scratch_bytes, p.second.scratch_bytes), p.plain.scratch_bytes))
    p.second.aside = p.scratch_bytes
    p.second.out_row = uneven_lines(a.block_columns * a.out.item)
    p.scratch_bytes += a.block_rows * p.second.out_row
    p.step.run_tile = pair_tile
    return True
