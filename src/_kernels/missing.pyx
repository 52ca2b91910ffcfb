"""What normalised convolution does beside its two filters: values and weights out of an array, and their quotient."""

from libc.math cimport NAN
from libc.stdint cimport int64_t

from fastsep._arrays cimport View, strided

ctypedef fused real:
    float
    double


cdef bint any_missing(const real *x, int64_t count) noexcept nogil:
    cdef int64_t start = 0, i, end
    cdef int missing = 0
    while start < count:
        # A block without a branch, for vectors; as soon as it is known, no other.
        end = min(count, start + 4096)
        for i in range(start, end):
            missing |= x[i] != x[i]
        if missing:
            return True
        start = end
    return False


cdef void divide(real *values, real *present, int64_t count) noexcept nogil:
    cdef int64_t i
    cdef bint there
    for i in range(count):
        there = values[i] == values[i]
        present[i] = <real>1 if there else <real>0
        values[i] = values[i] if there else <real>0


cdef void scale(real *sums, const real *weights, real whole, int64_t count) noexcept nogil:
    cdef int64_t i
    cdef real factor
    for i in range(count):
        factor = whole / weights[i]
        factor = <real>NAN if weights[i] == 0 else factor
        sums[i] = sums[i] if weights[i] == whole else sums[i] * factor


cdef int64_t count_of(View x) noexcept:
    cdef int64_t count = 1
    cdef int i
    for i in range(x.buffer.ndim):
        count *= x.buffer.shape[i]
    return count


def has_missing(x, /):
    """Whether any value is NaN. `x`: float32 or float64, C-contiguous."""
    cdef View view = strided(x)
    cdef int64_t count = count_of(view)
    cdef bint missing
    with nogil:
        if view.buffer.itemsize == 4:
            missing = any_missing(<const float *>view.buffer.buf, count)
        else:
            missing = any_missing(<const double *>view.buffer.buf, count)
    return missing


def split_missing(values, present, /):
    """Write 1 to `present` where `values` has a number, else 0 to both. Both of one type and C-contiguous."""
    cdef View x = strided(values, True), there = strided(present, True)
    cdef int64_t count = count_of(x)
    with nogil:
        if x.buffer.itemsize == 4:
            divide(<float *>x.buffer.buf, <float *>there.buffer.buf, count)
        else:
            divide(<double *>x.buffer.buf, <double *>there.buffer.buf, count)


def scale_by_weights(sums, weights, double whole, /):
    """Multiply by `whole` over the weight that was there, unless that is all; NaN where none was. As above."""
    cdef View x = strided(sums, True), there = strided(weights)
    cdef int64_t count = count_of(x)
    with nogil:
        if x.buffer.itemsize == 4:
            scale(<float *>x.buffer.buf, <const float *>there.buffer.buf, <float>whole, count)
        else:
            scale(<double *>x.buffer.buf, <const double *>there.buffer.buf, whole, count)
