"""Filters along axes: passes over arrays become a plan of stages, and a stage runs tile by tile. See lines.md."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastsep._arrays cimport View, allocate, strided
from fastsep._isa cimport (
    FS_F32,
    FS_F64,
    FS_I16,
    FS_U16,
    FS_U8,
    fs_line_kernels,
    fs_real_kernels,
    kernels_named,
    line_kernels,
)
from fastsep._line_borders cimport item_of, offset_of
from fastsep._line_stages cimport (
    Operand,
    code_of,
    fill_pass,
    fuses_in_place,
    goes_along,
    set_decision,
    set_rounding,
    shape_stage,
)
from fastsep._line_turned cimport lay_out_turned, run_turned
from fastsep._line_types cimport VALID, elements, lines_call, lines_pass, lines_stage
from fastsep._line_unturned cimport lay_out_unturned, run_unturned
from fastsep._threads cimport phase, run_phases, threads_for

import numpy

from fastsep._bits import boxes_cut, in_narrow_sums
from fastsep._isa import get_isa, vectors
from fastsep._passes import dividing_once, exact_in_short_integers, in_integers, in_order_of_axes
from fastsep._threads import check

cdef enum:
    # Taps along rows of floats that are read where they are, in vectors of up to 32 bytes, and in wider ones, whose squares
    # take longer to turn; of a mean, whose sums double.
    MOST_UNTURNED = 25
    MOST_UNTURNED_WIDE = 129
    MOST_UNTURNED_SUMS = 33
    # Of a mean whose tile stores integers of 16 bits; any odd number.
    MOST_UNTURNED_WORDS = 9
    # Taps down rows of bytes that are read where they are.
    MOST_BYTES = 16


# ---- one tile --------------------------------------------------------------------------------------------


ctypedef void (*block_runner)(const lines_call *, int64_t, int64_t, const char *, char *) noexcept nogil


cdef void copy_plane(const lines_call *c, int64_t tile, char *plane) noexcept nogil:
    cdef int64_t row, bytes = c.columns * c.x.item
    cdef const char *source = c.x.data + offset_of(&c.outer, c.outer.x_strides, tile)
    for row in range(c.down.size):
        memcpy(plane + row * bytes, source + row * c.x_row, bytes)


cdef void lines_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const lines_call *c = <const lines_call *>opaque
    cdef block_runner run
    cdef int64_t blocks = c.row_blocks * (c.outer.rows if c.down.taps else 1), row
    run = run_turned if c.unturned == NULL else run_unturned
    if not c.in_place:
        run(c, tile % blocks, tile // blocks * c.block_columns, NULL, scratch)
        return
    copy_plane(c, tile, scratch + c.plane_at)
    for row in range(c.row_blocks):
        run(c, tile * c.row_blocks + row, 0, scratch + c.plane_at, scratch)


# ---- one stage -------------------------------------------------------------------------------------------


cdef double stage_seconds(const lines_call *c) noexcept nogil:
    """Serial time, for the choice of threads and slabs only."""
    cdef double outputs = 1.0 * c.outer.rows * c.out_columns * max(1, c.down.outputs if c.down.taps else 1)
    cdef double taps = 4.0 + c.down.taps + c.along.taps
    # Products of pairs of 16-bit integers take as long as folded products of floats.
    cdef int64_t item = max(4, item_of(c)), lanes = c.unturned.lanes if c.unturned != NULL else c.kernels.lanes
    return outputs * taps / (min(lanes * item_of(c) // item, 48 // item) * 3e9)


cdef bint is_real(const lines_call *c, const elements *x, int64_t step) noexcept nogil:
    """Whether the elements of a row are what the kernels compute with, side by side."""
    cdef int64_t item = item_of(c)
    return item != 2 and x.dtype == (FS_F32 if item == 4 else FS_F64) and not x.swapped and step == item


cdef void cut_stage(lines_call *c, phase *step) noexcept nogil:
    """Cut a stage into tiles, for any number of threads."""
    c.x_is_real = is_real(c, &c.x, c.x_step)
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
                    and not c.x.swapped):
                c.words_in = 1 if c.x.dtype == FS_U16 else -1 if c.x.dtype == FS_I16 else 0
                c.x_is_real = c.x_is_real or c.words_in != 0
            if c.along.taps and c.along.rounds and c.along.start > 0 and (
                    c.along.weights != NULL or (c.along.taps <= MOST_UNTURNED_WORDS and c.along.taps % 2 == 1)):
                c.words_out = ((c.out.dtype == FS_U16 or c.out.dtype == FS_I16) and not c.out.swapped
                               and c.out_step == c.out.item)
                c.out_is_real = c.words_out
        lay_out_unturned(c)
    else:
        lay_out_turned(c)
    step.run_tile = lines_tile
    step.tiles = c.column_blocks * c.row_blocks * (c.outer.rows if c.down.taps else 1)
    if c.in_place:
        step.tiles = c.outer.rows
    step.seconds = stage_seconds(c)


# ---- all stages ------------------------------------------------------------------------------------------


cdef class FilterPlan:
    """Passes over arrays of one layout: cut into stages, their weights packed. Never written to once it is made, so any
    number of threads may run it at once."""

    cdef int compute(self, View x, View out, object threads) except -1:
        """Filter `x` into `out`, which have the layout that the plan was made for and share no memory."""
        cdef const lines_stage *stages = <const lines_stage *>self.stages.data
        cdef lines_stage stage
        cdef View source = x, target
        cdef int i
        for i in range(self.count):
            between = self.between[i]
            target = out if between is None else strided(numpy.empty(*between), True)
            stage = stages[i]
            stage.call.x.data = <char *>source.buffer.buf
            stage.call.out.data = <char *>target.buffer.buf
            run_phases(&stage.step, 1, 1, &stage.call, stage.call.scratch_bytes,
                       threads_for(threads, stage.step.seconds))
            source = target
        return 0


def limits(dtype):
    """The least and the greatest value of a type of integers; of bool, 0 and 1."""
    return (0, 1) if dtype.kind == "b" else (int(numpy.iinfo(dtype).min), int(numpy.iinfo(dtype).max))


def filter_passes(input, output, passes, *, str arithmetic, threads=None):
    """Filter `input` along axes, one pass after another, into `output`.

    Parameters
    ----------
    input, output : ndarray
        Integers, bool, float32 or float64, of any strides, alignment and byte order, and of the same shape; along an
        axis with ``mode="valid"`` the output is ``size - 1`` shorter. They may overlap: the input is then copied.
    passes : sequence of Pass
        In the order in which they run; each stores in the output's type.
    arithmetic : str
        ``"scipy"``: in double precision, in SciPy's order, rounded after every product and every sum: SciPy's bits.
        ``"float64"`` and ``"float32"``: with fused multiply-adds, in that precision; "float32" needs an output of
        float32, "float64" one of float32 or float64.
        ``"nearest"``: integers of up to 16 bits, by weights that are integers over a power of two, rounded to the
        nearest and kept within the type's range: `in_integers`, and lines.md.
    threads : int or None
        As everywhere.

    Returns
    -------
    FilterPlan or None
        What filters any arrays that lie in memory as these do; None where the output is empty, or the input had to be
        copied.

    Raises
    ------
    TypeError
        A type is none of those above.
    ValueError
        `arithmetic` is unknown or does not go with the output's type, or `passes` is empty.
    """
    cdef bint exact = arithmetic == "scipy", nearest = arithmetic == "nearest"
    cdef const fs_real_kernels *kernels
    cdef const fs_line_kernels *unturned
    cdef bint short, once = False
    cdef double unit
    cdef Operand x, out
    cdef lines_call call
    cdef lines_pass one, two
    cdef lines_stage *stages
    cdef FilterPlan plan
    cdef list factors = []
    cdef list divisors = []
    cdef int stage = 0, count = len(passes)
    cdef list divisions = [None] * count
    cdef list decisions = None
    if arithmetic not in ("scipy", "float64", "float32", "nearest"):
        raise ValueError(f"arithmetic must be 'scipy', 'float64', 'float32' or 'nearest'; got {arithmetic!r}")
    if count == 0:
        raise ValueError("passes must hold at least one pass; got none")
    code = code_of(output.dtype)
    if ((nearest and not (code <= FS_I16 and input.dtype.newbyteorder("=") == output.dtype.newbyteorder("=")))
            or (arithmetic == "float32" and code != FS_F32) or (arithmetic == "float64" and code < FS_F32)):
        raise ValueError(f"arithmetic={arithmetic!r} does not go from {input.dtype} to an output of {output.dtype}")
    code_of(input.dtype)
    if output.size == 0:
        check(threads)
        return None
    working = 4 if arithmetic == "float32" else 8
    stored = output.dtype.newbyteorder("=")
    if nearest:
        working, passes, factors, digits = in_integers(tuple(passes), output.dtype)
        once = digits is not None
        # Between stages the fractional bits must stay.
        stored = numpy.dtype("i2" if working == 2 else f"f{working}")
    elif exact and exact_in_short_integers(passes, input.dtype, output.dtype):
        # SciPy's bits, whatever computes them.
        working, stored, factors = 2, numpy.dtype("i2"), [1.0] * count
        passes = in_order_of_axes(passes)
    elif exact and (cut := boxes_cut(passes, input.dtype, output.dtype)) is not None:
        working, divisions = cut
        factors = [1.0] * count
        stored = numpy.dtype("i2") if working == 2 else stored
    elif exact and (decisions := in_narrow_sums(passes, input.dtype, output.dtype, vectors(get_isa())[2])) is not None:
        # In double only where these sums do not say which integer SciPy's become.
        working, divisors = 4, [1.0] * count
    elif not exact and output.dtype.itemsize == working:
        passes, divisors = dividing_once(in_order_of_axes(passes))
    unturned = line_kernels(get_isa(), working)
    kernels = kernels_named(get_isa(), working) if working > 2 else NULL
    copied = numpy.may_share_memory(input, output)
    if copied:
        input = input.copy()
    plan = FilterPlan.__new__(FilterPlan)
    plan.stages = allocate(count * sizeof(lines_stage))
    plan.weights = []
    plan.between = []
    stages = <lines_stage *>plan.stages.data
    source = input
    while stage < count:
        x = Operand(source, False)
        spec = passes[stage]
        last = stage + 1
        shape = list(source.shape)
        if spec.mode == "valid":
            shape[spec.axis] -= spec.size - 1
        # A pass down the rows takes the next pass along them with it.
        if last == count or (not nearest and fuses_in_place(passes, last, output, source is output)):
            target = output
        else:
            target = numpy.empty(shape, stored)
        out = Operand(target, True)
        # In sums that are not exact the weights carry the power of two.
        unit = factors[stage] if once else 1.0
        fill_pass(&one, spec, x, out, kernels, exact, unit, plan.weights)
        if not goes_along(x, out, spec, one.running):
            two.taps = 0
            if last < count:
                after = passes[last]
                if after.axis != spec.axis:
                    if after.mode == "valid":
                        shape[after.axis] -= after.size - 1
                    both = output if last + 1 == count else numpy.empty(shape, stored)
                    wide = Operand(both, True)
                    unit = factors[last] if once else 1.0
                    fill_pass(&two, after, x, wide, kernels, exact, unit, plan.weights)
                    if not two.running and goes_along(x, wide, after, False):
                        last += 1
                        target = both
                        out = wide
                    else:
                        two.taps = 0
            call.down = one
            call.along = two
        else:
            call.down.taps = 0
            call.down.weights = NULL
            call.along = one
        if call.along.taps == 0:
            call.along.before = 0
            call.along.mode = VALID
            call.along.running = False
        call.nearest = nearest
        # 16-bit lanes are never turned, floats only for many taps.
        short = call.along.taps <= (MOST_UNTURNED_SUMS if call.along.weights == NULL else MOST_UNTURNED
                                    if unturned.lanes * unturned.bytes <= 32 else MOST_UNTURNED_WIDE)
        call.unturned = NULL
        if working == 2 or (call.down.taps and call.along.taps and short and (not exact or working == 4)
                            and (nearest or exact or out.elements.item == working)):
            call.unturned = unturned
        call.down.divisor, call.along.divisor = call.down.taps, call.along.taps
        if divisors:
            call.down.divisor, call.along.divisor = divisors[stage], divisors[last - 1]
        call.deciding = unturned if decisions is not None else NULL
        if decisions is not None:
            set_decision(&call.down, spec, decisions[stage], output.dtype, plan.weights)
            set_decision(&call.along, passes[last - 1], decisions[last - 1], output.dtype, plan.weights)
        call.down.once = call.down.rounds = call.along.once = call.along.rounds = False
        call.down.start = call.along.start = -0.0
        if factors:
            set_rounding(&call.down, factors[stage], divisions[stage], working, output.itemsize, once, stage + 1 == count)
            set_rounding(&call.along, factors[last - 1], divisions[last - 1], working, output.itemsize, once,
                         last == count)
            call.low, call.high = -INFINITY, INFINITY
            if working == 2:
                call.low, call.high = limits(stored)
            if last == count:
                call.low, call.high = limits(output.dtype)
        call.kernels = kernels
        call.x = x.elements
        call.out = out.elements
        call.settle = (not nearest and working == 8 and kernels != NULL and call.down.taps != 0 and call.along.taps != 0
                       and (out.elements.dtype < FS_F32 or out.elements.item != kernels.bytes))
        call.in_place = source is output
        shape_stage(&call, x, out, spec.axis if call.down.taps else -1,
                    -1 if call.along.taps == 0 else passes[last - 1].axis)
        cut_stage(&call, &stages[plan.count].step)
        stages[plan.count].call = call
        plan.between.append(None if target is output else (target.shape, target.dtype))
        plan.count += 1
        source = target
        stage = last
    plan.compute(strided(input), strided(output, True), threads)
    return None if copied else plan
