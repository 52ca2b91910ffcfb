"""The usual call of a plan, checked and run without the Python face: what makes small calls cheap."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport ABSENT, CHANNELS, View, arrange, disjoint, output_size, strided
from fastsep._job cimport CompiledPlan
from fastsep._usual cimport UsualCall

import numpy

from fastsep._memory import empty

cdef type NDARRAY = numpy.ndarray
cdef object new_array = empty  # looked up once


cdef bint is_usual(object value, object dtype):
    """A plain array of the plan's dtype in native byte order, whose dtype objects NumPy shares."""
    return type(value) is NDARRAY and value.dtype is dtype


cdef bint has_shape(View got, const int64_t *shape, int rank, bint channels_first):
    """Whether an array has as many axes as the input, and the output's shape."""
    cdef int axis
    if got.buffer.ndim != rank + 2:
        return False
    arrange(got, rank, channels_first)
    for axis in range(5):
        if got.array.shape[axis] != shape[axis]:
            return False
    return True


cdef bint in_order(View got):
    """Whether an array that is not empty is C-contiguous."""
    cdef int64_t step = got.buffer.itemsize
    cdef int axis
    for axis in range(got.buffer.ndim - 1, -1, -1):
        if got.buffer.shape[axis] != 1 and got.buffer.strides[axis] != step:
            return False
        step *= got.buffer.shape[axis]
    return True


cdef tuple shape_tuple(const int64_t *shape, int rank, bint channels_first):
    """A shape in the caller's order of axes."""
    if rank == 2:
        if channels_first:
            return (shape[0], shape[4], shape[2], shape[3])
        return (shape[0], shape[2], shape[3], shape[4])
    if rank == 1:
        return (shape[0], shape[4], shape[3]) if channels_first else (shape[0], shape[3], shape[4])
    if channels_first:
        return (shape[0], shape[4], shape[1], shape[2], shape[3])
    return (shape[0], shape[1], shape[2], shape[3], shape[4])


cdef class UsualCall:
    """The usual call of a plan, without the Python face: plain arrays of the right dtype and shape, a C-contiguous
    `out` that shares no memory with the others, or none. Whatever else may be, `run` leaves to the face, which has
    the words for it. Depthwise 3×3 at 1×8×8×8: 3.2 µs by way of the face, 1.05 this way.

    `plan` is the compiled plan for the usual number of input channels, `ranks` the spatial axes that inputs may have,
    in order; `threads` the plan's default.
    """

    def __init__(self, CompiledPlan plan, dtype, tuple ranks, bint channels_first, threads):
        self.plan = plan
        self.dtype = numpy.dtype(dtype.char)  # the shared object: that of unpickled weights is not
        self.lowest = ranks[0]
        self.highest = ranks[len(ranks) - 1]
        self.channels_first = channels_first
        self.threads = threads

    def run(self, x, out, residual, threads, /):
        """The output; None where the call is not the usual one, and nothing has been done."""
        cdef CompiledPlan plan = self.plan
        cdef bint first = self.channels_first
        cdef int64_t shape[5]
        cdef View x_view, out_view, residual_view = ABSENT
        cdef int rank, axis
        if not is_usual(x, self.dtype):
            return None
        x_view = strided(x)
        rank = x_view.buffer.ndim - 2
        if rank < self.lowest or rank > self.highest:
            return None
        arrange(x_view, rank, first)
        if x_view.array.shape[CHANNELS] != plan.inputs:
            return None
        shape[0] = x_view.array.shape[0]
        for axis in range(3):
            shape[1 + axis] = x_view.array.shape[1 + axis]
            if plan.geometry != NULL and axis >= 3 - rank:
                shape[1 + axis] = output_size(plan.geometry, axis, shape[1 + axis])
        shape[4] = plan.outputs
        for axis in range(5):
            if shape[axis] == 0 or x_view.array.shape[axis] == 0:
                return None

        if out is None:
            try:
                out = new_array(shape_tuple(shape, rank, first), self.dtype)
            except (MemoryError, ValueError):
                return None
            out_view = strided(out)
            arrange(out_view, rank, first)
        else:
            if not is_usual(out, self.dtype):
                return None
            out_view = strided(out)
            if out_view.buffer.readonly or not has_shape(out_view, shape, rank, first) or not in_order(out_view):
                return None
            if not disjoint(out_view, x_view):
                return None
        if residual is not None:
            if not is_usual(residual, self.dtype):
                return None
            residual_view = strided(residual)
            if not has_shape(residual_view, shape, rank, first) or not disjoint(out_view, residual_view):
                return None
        plan.compute(x_view, out_view, residual_view, self.threads if threads is None else threads)
        return out
