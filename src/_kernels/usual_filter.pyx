"""Filters that were asked for before: what makes calls for small images cheap.

The passes of a filter, their weights as integers, how they are cut: all of it depends on the arguments and on how the
arrays lie in memory alone, and takes 10 to 30 µs, where 64 × 64 pixels take 1 to 5. So the plan is kept by these.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastsep._arrays cimport Packed, View, disjoint, strided
from fastsep._isa cimport caches
from fastsep._lines cimport FilterPlan
from fastsep._usual_filter cimport KeptFilter, UsualFilters

import threading

import numpy

from fastsep._isa import get_isa
from fastsep._memory import allocator

cdef type NDARRAY = numpy.ndarray
cdef type SCALAR = numpy.generic
cdef object DTYPE = numpy.dtype
# The types that are filtered. NumPy shares these objects: others, in the other byte order or with metadata, are equal
# to them, but not the same.
cdef dict SHARED = {
    numpy.dtype(name): numpy.dtype(name)
    for name in ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
}
cdef frozenset CLASSES = frozenset([bool, int, float, *[dtype.type for dtype in SHARED]])
cdef enum:
    # Of an array among the arguments, and of the weights of a plan. With more taps, filters take longer than plans.
    MOST_BYTES = 32768
    # A list of kernels, each a list of lists.
    MOST_DEPTH = 4


cdef bint is_shared(object dtype):
    return SHARED.get(dtype) is dtype


cdef bint add(list parts, object value, int depth) except -1:
    """Append what tells an argument from every other, by type and bits; False where this is not known how."""
    cdef double number
    cdef int64_t bits
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool or (kind is type and value in CLASSES):
        parts.append(kind)
        parts.append(value)
    elif kind is float:
        # 0.0 and -0.0 are equal, and filter differently.
        number = value
        memcpy(&bits, &number, sizeof(bits))
        parts.append(kind)
        parts.append(bits)
    elif kind is tuple or kind is list:
        if depth == MOST_DEPTH:
            return False
        parts.append(kind)
        parts.append(len(value))
        for item in value:
            if not add(parts, item, depth + 1):
                return False
    elif kind is NDARRAY or isinstance(value, SCALAR):
        if not is_shared(value.dtype) or value.nbytes > MOST_BYTES:
            return False
        parts.append(kind)
        parts.append(value.dtype)
        parts.append(value.shape)
        parts.append(value.tobytes())
    elif isinstance(value, DTYPE):
        if not is_shared(value):
            return False
        parts.append(kind)
        parts.append(value)
    else:
        return False
    return True


cdef View view_of(object array):
    """None where the type is not one of these: some have no buffer at all."""
    return strided(array) if type(array) is NDARRAY and is_shared(array.dtype) else None


cdef int add_layout(list parts, object array, View view) except -1:
    """The same for an array to read or to write, whose elements do not matter."""
    parts.append(array.dtype)
    parts.append((<char *>view.buffer.shape)[:view.buffer.ndim * sizeof(Py_ssize_t)])
    parts.append((<char *>view.buffer.strides)[:view.buffer.ndim * sizeof(Py_ssize_t)])
    return 0


cdef tuple key_for(tuple call, object array, View x, object output, View out):
    """`key_of`, with the views of the arrays."""
    cdef list what, where
    cdef int i
    if x is None:
        return None
    what = [call[0], x.buffer.ndim]
    for i in range(1, len(call)):
        if not add(what, call[i], 0):
            return None
    where = [get_isa(), caches().level1, caches().level2]
    add_layout(where, array, x)
    if out is not None:
        add_layout(where, output, out)
    elif not add(where, output, 0):
        return None
    return tuple(what), tuple(where)


def key_of(tuple call, array, output, /):
    """What a plan is kept by: what the passes depend on, and what else the plan does. None where none is kept.

    Parameters
    ----------
    call : tuple
        The function that makes the passes, then all arguments that it or `run` of the face depends on.
    array : ndarray
    output : None, dtype, its name, or ndarray
        As the user gave it.
    """
    return key_for(call, array, view_of(array), output, view_of(output))


cdef int64_t weight_bytes(FilterPlan plan) except -1:
    cdef Packed packed
    cdef int64_t total = 0
    for packed in plan.weights:
        total += packed.size
    return total


cdef int add_to(dict kept, int most, object key, object value) except -1:
    kept.setdefault(key, value)
    # The oldest goes, whether it was used or not: to make one in `most` anew costs little.
    while len(kept) > most:
        del kept[next(iter(kept))]
    return 0


cdef class KeptFilter:
    """The plan of a call, and the output that it gets if it brings none."""


cdef class UsualFilters:
    """The plans of the last `most` filters, by `key_of`; and the passes of as many, for other images."""

    def __init__(self, int most):
        self.plans = {}
        self.passes = {}
        self.lock = threading.Lock()
        self.most = most

    def __len__(self):
        return len(self.plans)

    def run(self, tuple call, array, output, threads, /):
        """The filtered array. If the face has to filter it, and nothing has been done: the key to keep the plan by, or
        None if none is to be kept.

        Parameters
        ----------
        call, array, output
            As in `key_of`.
        threads : int or None

        Raises
        ------
        TypeError, ValueError
            `threads` is no number of threads.
        """
        cdef KeptFilter found
        cdef View x = view_of(array)
        cdef View out = view_of(output)
        key = key_for(call, array, x, output, out)
        if key is None:
            return None
        found = self.plans.get(key)
        if found is None:
            return key
        if out is None:
            output = found.new_array(found.shape, found.dtype)
            out = strided(output)
        elif out.buffer.readonly or not disjoint(x, out):
            # The face has the words for the one, and a copy for the other.
            return None
        found.plan.compute(x, out, threads)
        return output

    def known_passes(self, key, /):
        """The passes of the filter, if they were kept for any image."""
        return None if key is None else self.passes.get(key[0])

    def keep(self, key, passes, FilterPlan plan, output, /):
        """Keep passes and plan of a call that has been made; what is there stays.

        Parameters
        ----------
        key : tuple
            Of that call.
        passes : sequence of Pass
            Nobody else may write to their weights.
        plan : FilterPlan
        output : ndarray
            What the call returned.
        """
        cdef KeptFilter kept = KeptFilter.__new__(KeptFilter)
        if weight_bytes(plan) > MOST_BYTES:
            return
        kept.plan = plan
        kept.shape = output.shape
        kept.dtype = output.dtype
        kept.new_array = allocator(output.nbytes)
        with self.lock:
            add_to(self.plans, self.most, key, kept)
            add_to(self.passes, self.most, key[0], tuple(passes))
