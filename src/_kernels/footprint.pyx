"""Correlation over a footprint of any shape: blocks of rows, in scratch with their borders. See footprint.md."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport Packed, View, allocate, strided
from fastsep._isa cimport FS_KEPT, fs_dtype, fs_footprint, fs_real_kernels, fs_transfer, caches, kernels_named
from fastsep._footprint cimport footprint_call
from fastsep._line_borders cimport fill, uneven_lines, whole_lines
from fastsep._line_stages cimport code_of
from fastsep._line_types cimport MOST_AXES
from fastsep._threads cimport phase, run_phases, threads_for

import numpy

from fastsep._isa import get_isa
from fastsep._threads import check

cdef enum:
    LEAST_ROWS = 16
    LEAST_COLUMNS = 64


cdef void load_plane(const footprint_call *c, char **rows, int64_t count, int64_t column, int64_t columns,
                     char *to) noexcept nogil:
    """Rows of one plane, from `column` of the extended columns on, to scratch."""
    cdef fs_transfer move
    cdef const int64_t *positions = c.positions[c.ndim - 1] + column
    cdef int64_t at = 0, run, r
    move.dtype = c.x.dtype
    move.swapped = c.x.swapped
    move.rows = count
    move.array = rows
    move.step = c.x_strides[c.ndim - 1]
    move.constant = c.constant
    move.ahead = move.ahead_bytes = 0
    move.missing = FS_KEPT
    move.row_stride = c.row_stride
    while at < columns:
        run = 1
        if positions[at] < 0:
            while at + run < columns and positions[at + run] < 0:
                run += 1
            for r in range(count):
                fill(to + r * c.row_stride + at * c.kernels.bytes, run, c.constant, c.kernels.bytes)
        else:
            while at + run < columns and positions[at + run] == positions[at] + run:
                run += 1
            move.columns = run
            move.offset = positions[at] * move.step
            move.buffer = to + at * c.kernels.bytes
            c.kernels.lines_load(&move)
        at += run


cdef void footprint_tile(const void *call, int64_t tile, char *scratch) noexcept nogil:
    cdef const footprint_call *c = <const footprint_call *>call
    cdef int64_t column = tile % c.strips * c.strip_columns
    cdef int64_t row = tile // c.strips % c.row_blocks * c.block_rows
    cdef int64_t plane = tile // c.strips // c.row_blocks
    cdef int last = c.ndim - 1, down = c.ndim - 2, axis
    cdef int64_t columns = min(c.strip_columns, c.shape[last] - column)
    cdef int64_t count = min(c.block_rows, c.shape[down] - row)
    cdef int64_t loaded = count + c.reach[down]
    cdef int64_t plane_bytes = (c.block_rows + c.reach[down]) * c.row_stride
    cdef char **rows = <char **>(scratch + c.pointers_at)
    cdef const char **tap_rows = <const char **>(scratch + c.taps_at)
    cdef int64_t index[MOST_AXES]
    cdef int64_t out_offset = row * c.out_strides[down], position, offset, p, r, t
    cdef bint constant
    cdef fs_footprint sums
    cdef fs_transfer move
    for axis in range(down - 1, -1, -1):
        index[axis] = plane % c.shape[axis]
        plane = plane // c.shape[axis]
        out_offset += index[axis] * c.out_strides[axis]
    for p in range(c.planes):
        offset = 0
        constant = False
        for axis in range(down):
            position = c.positions[axis][index[axis] + c.plane_offsets[p * down + axis]]
            constant = constant or position < 0
            offset += position * c.x_strides[axis]
        for r in range(loaded):
            position = c.positions[down][row + r]
            if constant or position < 0:
                rows[r] = NULL
            else:
                rows[r] = c.x.data + offset + position * c.x_strides[down]
        load_plane(c, rows, loaded, column, columns + c.reach[last], scratch + p * plane_bytes)
    sums.taps = c.taps
    sums.vectors = (columns + c.kernels.lanes - 1) // c.kernels.lanes
    sums.rows = tap_rows
    sums.weights = c.weights
    sums.exact = c.exact
    for r in range(count):
        for t in range(c.taps):
            tap_rows[t] = (scratch + c.tap_planes[t] * plane_bytes + (r + c.tap_rows[t]) * c.row_stride
                           + c.tap_columns[t] * c.kernels.bytes)
        sums.out = scratch + c.result_at + r * c.result_stride
        c.kernels.footprint_row(&sums)
        rows[r] = c.out.data + out_offset + r * c.out_strides[down]
    move.dtype = c.out.dtype
    move.swapped = c.out.swapped
    move.rows = count
    move.columns = columns
    move.array = rows
    move.step = c.out_strides[last]
    move.offset = column * move.step
    move.constant = 0
    move.buffer = scratch + c.result_at
    move.row_stride = c.result_stride
    c.kernels.lines_store(&move)


cdef void lay_out(footprint_call *c) noexcept nogil:
    """Cut the call into tiles, and a tile's scratch into buffers."""
    cdef int last = c.ndim - 1, down = c.ndim - 2
    cdef int64_t item = c.kernels.bytes, lanes = c.kernels.lanes
    cdef int64_t rows = min(c.shape[down], max(LEAST_ROWS, c.reach[down] + 1))
    cdef int64_t width
    c.row_blocks = (c.shape[down] + rows - 1) // rows
    c.block_rows = (c.shape[down] + c.row_blocks - 1) // c.row_blocks
    rows = c.planes * (c.block_rows + c.reach[down]) + c.block_rows
    width = max(LEAST_COLUMNS, caches().level2 // 2 // (rows * item) - c.reach[last])
    c.strips = max(1, (c.shape[last] + width - 1) // width)
    width = (c.shape[last] + c.strips - 1) // c.strips
    c.strip_columns = (width + lanes - 1) // lanes * lanes
    c.strips = (c.shape[last] + c.strip_columns - 1) // c.strip_columns
    # Whole vectors are read: the last may reach past what was loaded.
    c.row_stride = uneven_lines((c.strip_columns + c.reach[last] + lanes) * item)
    c.result_stride = whole_lines(c.strip_columns * item)
    c.result_at = c.planes * (c.block_rows + c.reach[down]) * c.row_stride
    c.pointers_at = c.result_at + c.block_rows * c.result_stride
    c.taps_at = c.pointers_at + whole_lines((c.block_rows + c.reach[down]) * <int64_t>sizeof(char *))
    c.scratch_bytes = c.taps_at + whole_lines((c.taps + 1) * <int64_t>sizeof(char *))


cdef const int64_t *numbers(object array, list held) except NULL:
    """The data of a contiguous array of int64, which `held` keeps."""
    cdef View numbers_view = strided(array)
    held.append(numbers_view)
    return <const int64_t *>numbers_view.buffer.buf


def correlate_taps(input, output, positions, taps, weights, *, double constant, str arithmetic, threads=None):
    """Sum weights[t] · x[i + taps[t]] into `output`, the taps in the order given, beginning with +0.

    Parameters
    ----------
    input, output : ndarray
        Integers, float32 or float64, of at least 2 axes, any strides, alignment and byte order; they must not overlap.
    positions : sequence of contiguous int64 arrays
        For each axis, where each position of the extended axis takes its value from; -1 is `constant`. The output's
        length and the greatest offset of a tap along that axis.
    taps : contiguous int64 array (count, ndim)
        Offsets from the first position of the extended axes: 0 or more.
    weights : contiguous float64 array (count,)
    constant : float
    arithmetic : str
        "scipy": in double, rounded after every product and sum; "float64" and "float32": fused, in that type.
    threads : int or None
        As everywhere.
    """
    cdef footprint_call call
    cdef phase step
    cdef View x, out, values
    cdef Packed packed
    cdef list held = []
    cdef int axis, count
    cdef int64_t t, outputs = 1
    check(threads)
    if output.size == 0:
        return
    call.kernels = kernels_named(get_isa(), 4 if arithmetic == "float32" else 8)
    x, out = strided(input), strided(output, True)
    call.x.data = <char *>x.buffer.buf
    call.x.dtype = <fs_dtype>code_of(input.dtype)
    call.x.swapped = not input.dtype.isnative
    call.x.item = x.buffer.itemsize
    call.out.data = <char *>out.buffer.buf
    call.out.dtype = <fs_dtype>code_of(output.dtype)
    call.out.swapped = not output.dtype.isnative
    call.out.item = out.buffer.itemsize
    call.ndim = output.ndim
    for axis in range(call.ndim):
        call.shape[axis] = out.buffer.shape[axis]
        call.x_strides[axis] = x.buffer.strides[axis]
        call.out_strides[axis] = out.buffer.strides[axis]
        call.positions[axis] = numbers(positions[axis], held)
        call.reach[axis] = len(positions[axis]) - call.shape[axis]
        outputs *= call.shape[axis]
    call.taps = len(taps)
    planes, of_tap = numpy.zeros((1, 0)), numpy.zeros(len(taps))
    if call.ndim > 2:
        planes, of_tap = numpy.unique(taps[:, :-2], axis=0, return_inverse=True)
    call.planes = len(planes)
    call.plane_offsets = numbers(numpy.ascontiguousarray(planes, numpy.int64), held)
    call.tap_planes = numbers(numpy.ascontiguousarray(of_tap.reshape(-1), numpy.int64), held)
    call.tap_rows = numbers(numpy.ascontiguousarray(taps[:, -2]), held)
    call.tap_columns = numbers(numpy.ascontiguousarray(taps[:, -1]), held)
    packed = allocate(call.taps * call.kernels.bytes)
    values = strided(weights)
    for t in range(call.taps):
        if call.kernels.bytes == 4:
            (<float *>packed.data)[t] = <float>(<const double *>values.buffer.buf)[t]
        else:
            (<double *>packed.data)[t] = (<const double *>values.buffer.buf)[t]
    call.weights = packed.data
    call.constant = constant
    call.exact = arithmetic == "scipy"
    lay_out(&call)
    step.run_tile = footprint_tile
    step.tiles = call.strips * call.row_blocks
    for axis in range(call.ndim - 2):
        step.tiles *= call.shape[axis]
    step.seconds = outputs * (8.0 + call.taps) / (call.kernels.lanes * 3e9)
    count = threads_for(threads, step.seconds)
    run_phases(&step, 1, 1, &call, call.scratch_bytes, count)
