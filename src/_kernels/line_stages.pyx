"""From passes and arrays to stages: what a pass is to the kernels, and how the axes of the arrays lie. See lines.md."""

from libc.math cimport fabs, log2
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.string cimport memcpy, memset

from fastsep._arrays cimport Packed, View, allocate, strided
from fastsep._isa cimport (
    FS_ANTISYMMETRIC,
    FS_F32,
    FS_F64,
    FS_SYMMETRIC,
    FS_U8,
    FS_UNFOLDED,
    caches,
    fs_dtype,
    fs_folding,
    fs_real_kernels,
)
from fastsep._line_types cimport (
    CONSTANT,
    MIRROR,
    MOST_AXES,
    NEAREST,
    REFLECT,
    VALID,
    WRAP,
    border,
    lines_call,
    lines_pass,
)

from fastsep._passes import box_is_exact, reciprocal, short_division

cdef double DBL_EPSILON = 2.0 ** -52
cdef dict MODES = {
    "reflect": REFLECT,
    "constant": CONSTANT,
    "nearest": NEAREST,
    "mirror": MIRROR,
    "wrap": WRAP,
    "valid": VALID,
}


cdef int code_of(object dtype) except -1:
    kind = dtype.kind
    if kind == "b":
        return FS_U8
    if kind == "u" or kind == "i":
        return {1: 0, 2: 2, 4: 4, 8: 6}[dtype.itemsize] + (1 if kind == "i" else 0)
    if kind == "f" and dtype.itemsize == 4:
        return FS_F32
    if kind == "f" and dtype.itemsize == 8:
        return FS_F64
    raise TypeError(f"filters take integers, bool, float32 and float64; got {dtype}")


cdef class Operand:
    """An array, held while a stage is laid out."""

    def __init__(self, array, bint writable):
        self.array = array
        self.view = strided(array, writable)
        self.ndim = self.view.buffer.ndim
        if self.ndim > MOST_AXES:
            raise ValueError(f"an array of at most {MOST_AXES} axes was promised, this one has {self.ndim}")
        self.elements.data = <char *>self.view.buffer.buf
        self.elements.dtype = <fs_dtype>code_of(array.dtype)
        self.elements.swapped = not array.dtype.isnative
        self.elements.item = self.view.buffer.itemsize


cdef Packed pairs_of(const double *values, int64_t taps):
    """Integer weights as lines16.inc wants them: pairs from the first tap on, then pairs from one before it on."""
    cdef int64_t pairs = taps // 2 + 1, place, tap
    cdef Packed packed = allocate(2 * pairs * sizeof(int32_t))
    cdef int16_t *to = <int16_t *>packed.data
    for place in range(4 * pairs):
        tap = place if place < 2 * pairs else place - 2 * pairs - 1
        to[place] = <int16_t>values[tap] if 0 <= tap < taps else 0
    return packed


cdef fs_folding folding_by(const double *values, int64_t taps, bint as_scipy) noexcept:
    """How taps are folded: where their halves are equal or opposite to the last bit, or where SciPy takes them for that, to
    which a NaN is symmetric."""
    cdef bint symmetric = True, antisymmetric = True
    cdef double w, other
    cdef int64_t tap
    if taps % 2 == 0:
        return FS_UNFOLDED
    for tap in range(taps // 2):
        w = values[tap]
        other = values[taps - 1 - tap]
        if as_scipy:
            symmetric = symmetric and not fabs(other - w) > DBL_EPSILON
            antisymmetric = antisymmetric and not fabs(other + w) > DBL_EPSILON
        else:
            symmetric = symmetric and w == other
            antisymmetric = antisymmetric and w == -other
    return FS_SYMMETRIC if symmetric else FS_ANTISYMMETRIC if antisymmetric else FS_UNFOLDED


def folding_of(weights, /):
    """1 where SciPy takes the weights for symmetric, -1 for antisymmetric, else 0. `weights`: float64, contiguous."""
    cdef View view = strided(weights)
    return <int>folding_by(<const double *>view.buffer.buf, view.buffer.shape[0], True)


cdef int fill_pass(lines_pass *p, object spec, Operand x, Operand out, const fs_real_kernels *kernels,
                   bint exact, double unit, list held) except -1:
    """A pass for the kernels (NULL: 16-bit lanes), its weights in multiples of `unit`. They are packed and appended to
    `held`, which must outlive the pass."""
    cdef int64_t tap
    cdef Packed packed
    cdef View weights
    cdef const double *values
    memset(p, 0, sizeof(lines_pass))
    p.taps = spec.size
    p.before = spec.before
    p.size = x.view.buffer.shape[spec.axis]
    p.outputs = out.view.buffer.shape[spec.axis]
    p.mode = <border>(<int>MODES[spec.mode])
    p.cval = spec.cval
    p.exact = exact and kernels != NULL and kernels.bytes == 8
    p.folding = FS_UNFOLDED
    p.divisor = p.taps
    p.start = -0.0
    if spec.kind == "box":
        # Sums that are not exact follow SciPy's running sum.
        p.running = exact and not box_is_exact(spec, x.array.dtype, out.array.dtype)
        return 0
    weights = strided(spec.weights)
    values = <const double *>weights.buffer.buf
    if kernels == NULL:
        packed = pairs_of(values, p.taps)
        held.append(packed)
        p.weights = packed.data
        return 0
    packed = allocate(p.taps * kernels.bytes)
    held.append(packed)
    for tap in range(p.taps):
        if kernels.bytes == 4:
            (<float *>packed.data)[tap] = <float>(unit * values[tap])
        else:
            (<double *>packed.data)[tap] = unit * values[tap]
    p.weights = packed.data
    p.folding = folding_by(values, p.taps, exact)
    return 0


cdef int shape_stage(lines_call *c, Operand x, Operand out, int through, int down, int along) except -1:
    """Lay the axes of both arrays out: `through`, `down` and `along` are axes, or -1 for none. Free axes that lie one behind
    the other in both arrays become one."""
    cdef int axis, i, j, count = 0
    cdef int64_t shape[MOST_AXES]
    cdef int64_t xs[MOST_AXES]
    cdef int64_t outs[MOST_AXES]
    cdef int64_t size, a, b
    for axis in range(x.ndim):
        size = x.view.buffer.shape[axis]
        if axis == through or axis == down or axis == along or size == 1:
            continue
        a = x.view.buffer.strides[axis]
        b = out.view.buffer.strides[axis]
        # Sorted by the output's stride, widest first.
        i = count
        while i > 0 and abs(outs[i - 1]) < abs(b):
            shape[i], xs[i], outs[i] = shape[i - 1], xs[i - 1], outs[i - 1]
            i -= 1
        shape[i], xs[i], outs[i] = size, a, b
        count += 1
    i = 0
    for j in range(1, count):
        if xs[i] == xs[j] * shape[j] and outs[i] == outs[j] * shape[j]:
            shape[i], xs[i], outs[i] = shape[i] * shape[j], xs[j], outs[j]
        else:
            i += 1
            shape[i], xs[i], outs[i] = shape[j], xs[j], outs[j]
    count = min(count, i + 1)

    c.channels = 1
    if along >= 0:
        c.x_step = x.view.buffer.strides[along]
        c.out_step = out.view.buffer.strides[along]
        c.columns = x.view.buffer.shape[along]
        c.out_columns = out.view.buffer.shape[along]
        if (count and xs[count - 1] == x.elements.item and outs[count - 1] == out.elements.item
                and c.x_step == shape[count - 1] * xs[count - 1]
                and c.out_step == shape[count - 1] * outs[count - 1]):
            count -= 1
            c.channels = shape[count]
            c.x_step, c.out_step = xs[count], outs[count]
            c.columns *= c.channels
            c.out_columns *= c.channels
    elif count:
        count -= 1
        c.columns = c.out_columns = shape[count]
        c.x_step, c.out_step = xs[count], outs[count]
    else:
        c.columns = c.out_columns = 1
        c.x_step, c.out_step = x.elements.item, out.elements.item
    c.x_slice = x.view.buffer.strides[through] if through >= 0 else 0
    c.out_slice = out.view.buffer.strides[through] if through >= 0 else 0
    c.x_row = x.view.buffer.strides[down] if down >= 0 else 0
    c.out_row = out.view.buffer.strides[down] if down >= 0 else 0
    c.outer.count = count
    c.outer.rows = 1
    for i in range(count):
        c.outer.shape[i] = shape[i]
        c.outer.x_strides[i] = xs[i]
        c.outer.out_strides[i] = outs[i]
        c.outer.rows *= shape[i]
    return 0


cdef int64_t channels_below(Operand x, Operand out, int axis) noexcept:
    """Elements of a pixel if the axis is filtered along the rows: 1 where it is the innermost, the product of the axes
    below it where those lie side by side in both arrays, else 0."""
    cdef int i
    cdef int64_t below = 1
    for i in range(x.ndim):
        if i != axis and x.view.buffer.shape[i] > 1 and (
                abs(out.view.buffer.strides[i]) < abs(out.view.buffer.strides[axis])):
            below *= x.view.buffer.shape[i]
    if below == 1 or (x.view.buffer.strides[axis] == below * x.elements.item
                      and out.view.buffer.strides[axis] == below * out.elements.item):
        return below
    return 0


cdef bint goes_along(Operand x, Operand out, object spec, bint running) except -1:
    """Whether a pass runs along rows, not down them."""
    cdef int64_t below
    if running or x.ndim == 1:
        return True
    below = channels_below(x, out, spec.axis)
    return below == 1 or (0 < below <= 16 and spec.size * below <= 512)


cdef bint fuses_volume(object passes, Operand x, Operand out) except -1:
    """Whether three passes are one through slices, one down and one along their rows."""
    through, down, along = passes
    if len({through.axis, down.axis, along.axis}) != 3:
        return False
    return (not goes_along(x, out, through, False) and not goes_along(x, out, down, False)
            and channels_below(x, out, along.axis) == 1)


cdef bint fuses_in_place(object passes, int first, object output, bint already) except -1:
    """Whether what is left of the passes is one stage that can read the output and write it: two passes over planes
    that are copied to scratch, one at a time."""
    cdef Operand out
    if already or len(passes) - first != 2:
        return False
    down, along = passes[first], passes[first + 1]
    if "valid" in [p.mode for p in passes] or down.axis == along.axis or "box" in (down.kind, along.kind):
        return False
    out = Operand(output, True)
    return (not out.elements.swapped and not goes_along(out, out, down, False) and goes_along(out, out, along, False)
            and channels_below(out, out, along.axis) == 1
            and out.view.buffer.strides[along.axis] == out.elements.item
            and out.view.buffer.shape[down.axis] * out.view.buffer.shape[along.axis] * out.elements.item
            <= caches().level2 // 2)


cdef int set_rounding(lines_pass *p, object factor, object division, int working, int item_bytes, bint once,
                      bint last) except -1:
    """What a sum is multiplied by before it is rounded; in 16-bit lanes, as shifts. `division`: what it is, if
    not None. `once`: only the last pass rounds to an integer, and its sums begin with one half."""
    p.once = once
    p.rounds = last or not once
    p.start = 0.5 if once and last else -0.0
    p.factor = float(factor)
    p.divisor = float(p.taps / factor)
    p.half = p.shift = p.multiplier = 0
    if working == 4 and division is not None:
        p.factor, p.start = division
        p.rounds, p.divisor = True, 1
        return 0
    if working == 4 and p.taps and p.weights == NULL and last:
        parts = reciprocal(int(p.taps / factor), 1 << 8 * item_bytes)
        if parts is not None:
            p.factor, p.start = parts
    if working > 2 or p.taps == 0:
        return 0
    if p.weights == NULL:
        p.half, p.multiplier, p.shift = short_division(int(p.taps / factor)) if division is None else division
    else:
        p.shift = <int32_t>-log2(p.factor)
        p.half = 1 << (p.shift - 1) if p.shift else 0
    return 0


cdef int set_decision(lines_pass *p, object spec, object decision, object stored, list held) except -1:
    """How sums in float32 become SciPy's integers in the type `stored`."""
    cdef Packed packed
    cdef View weights
    memset(&p.bits, 0, sizeof(p.bits))
    if decision is None or p.taps == 0:
        return 0
    p.bits.taps = p.taps
    p.bits.folding = p.folding
    p.bits.is_signed = decision.is_signed
    p.bits.relative, p.bits.absolute, p.bits.factor, p.bits.wraps = decision[:2] + decision[3:]
    p.bits.mask = (1 << 8 * stored.itemsize) - 1
    p.bits.sign = 1 << (8 * stored.itemsize - 1) if stored.kind == "i" else 0
    if p.weights != NULL:
        weights = strided(spec.weights)
        packed = allocate(p.taps * sizeof(double))
        memcpy(packed.data, weights.buffer.buf, p.taps * sizeof(double))
        held.append(packed)
        p.bits.weights = <const double *>packed.data
    return 0
