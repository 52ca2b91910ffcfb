"""Filters along axes: passes over arrays become a plan of stages, and a stage runs tile by tile. See lines.md."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastsep._arrays cimport View, allocate, strided
from fastsep._isa cimport (
    FS_F32,
    FS_I16,
    FS_KEPT,
    FS_MAGNITUDES,
    FS_QUOTIENTS,
    FS_SUMS,
    FS_WEIGHED,
    FS_ZEROED,
    fs_line_kernels,
    fs_missing,
    fs_real_kernels,
    kernels_named,
    line_kernels,
)
from fastsep._line_stages cimport (
    Operand,
    code_of,
    fill_pass,
    fuses_in_place,
    fuses_volume,
    goes_along,
    set_decision,
    set_rounding,
    shape_stage,
)
from fastsep._line_tiles cimport cut_stage, pair_up
from fastsep._line_types cimport VALID, lines_call, lines_pair, lines_pass, lines_stage
from fastsep._threads cimport run_phases, threads_for

import numpy

from fastsep._bits import boxes_cut, in_narrow_sums
from fastsep._isa import get_isa, vectors
from fastsep._passes import MOST_FUSED, dividing_once, exact_in_short_integers, in_integers, in_order_of_axes
from fastsep._threads import check

cdef enum:
    # Taps along rows of floats that are read where they are, in vectors of up to 32 bytes, and in wider ones, whose squares
    # take longer to turn; of a mean, whose sums double.
    MOST_UNTURNED = 25
    MOST_UNTURNED_WIDE = 129
    MOST_UNTURNED_SUMS = 33

cdef dict MISSING = {None: FS_KEPT, "zeroed": FS_ZEROED, "weighed": FS_WEIGHED}
cdef dict JOINTS = {"quotient": FS_QUOTIENTS, "magnitude": FS_MAGNITUDES, "sum": FS_SUMS}


cdef class FilterPlan:
    """Passes over arrays of one layout: cut into stages, their weights packed. Never written to once it is made, so any
    number of threads may run it at once."""

    @property
    def traversals(self):
        """How often memory is gone through."""
        return self.count if self.pair is None else 1

    cdef int compute(self, View x, View out, object threads) except -1:
        """Filter `x` into `out`, which have the layout that the plan was made for and share no memory."""
        cdef const lines_stage *stages
        cdef lines_stage stage
        cdef View source = x, target
        cdef int i
        if self.pair is not None:
            return self.compute_pair(x, out, threads)
        stages = <const lines_stage *>self.stages.data
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

    cdef int compute_pair(self, View x, View out, object threads) except -1:
        cdef lines_pair pair = (<const lines_pair *>self.pair.data)[0]
        cdef lines_call *call
        cdef int i
        for i in range(3):
            call = &pair.first if i == 0 else &pair.second if i == 1 else &pair.plain
            call.x.data = <char *>x.buffer.buf
            call.out.data = <char *>out.buffer.buf
        run_phases(&pair.step, 1, 1, &pair, pair.scratch_bytes, threads_for(threads, pair.step.seconds))
        return 0


def limits(dtype):
    """The least and the greatest value of a type of integers; of bool, 0 and 1."""
    return (0, 1) if dtype.kind == "b" else (int(numpy.iinfo(dtype).min), int(numpy.iinfo(dtype).max))


cdef int64_t most_unturned(const fs_line_kernels *unturned, bint is_mean) noexcept:
    """Taps along rows that are read where they are."""
    if is_mean:
        return MOST_UNTURNED_SUMS
    return MOST_UNTURNED if unturned.lanes * unturned.bytes <= 32 else MOST_UNTURNED_WIDE


cdef int begin_call(lines_call *c, Operand x, Operand out, const fs_real_kernels *kernels, fs_missing missing) except -1:
    """A call of no passes, without anything that only some calls have."""
    memset(c, 0, sizeof(lines_call))
    c.along.mode = VALID
    c.low, c.high = -INFINITY, INFINITY
    c.missing = missing
    c.kernels = kernels
    c.x = x.elements
    c.out = out.elements
    return 0


cdef bint plan_volume(FilterPlan plan, object source, object output, object passes, list divisors, int working,
                      fs_missing missing) except -1:
    """The last stage of a plan, of three passes in one traversal; False, and nothing has been done, where that is not
    possible, or does not fit the caches."""
    cdef Operand x, out
    cdef lines_call call
    cdef lines_stage *stage = <lines_stage *>plan.stages.data + plan.count
    cdef lines_pass *p
    cdef const fs_real_kernels *kernels = kernels_named(get_isa(), working)
    cdef list weights = []
    cdef int i
    # What a block reads of the slices around it is read twice or more.
    if len(passes) != 3 or max(passes[0].size, passes[1].size) > MOST_FUSED:
        return False
    x, out = Operand(source, False), Operand(output, True)
    if not fuses_volume(passes, x, out):
        return False
    begin_call(&call, x, out, kernels, missing)
    call.unturned = line_kernels(get_isa(), working)
    if passes[2].size > most_unturned(call.unturned, passes[2].weights is None):
        return False
    for i in range(3):
        p = &call.through if i == 0 else &call.down if i == 1 else &call.along
        fill_pass(p, passes[i], x, out, kernels, False, 1.0, weights)
        p.divisor = divisors[i]
    shape_stage(&call, x, out, passes[0].axis, passes[1].axis, passes[2].axis)
    if call.channels != 1 or not cut_stage(&call, &stage.step):
        return False
    stage.call = call
    plan.weights += weights
    plan.between.append(None)
    plan.count += 1
    return True


cdef FilterPlan plan_passes(input, output, passes, str arithmetic, bint paired=False, fs_missing missing=FS_KEPT):
    """The plan of `filter_passes`, which has checked its arguments. `paired`, `missing`: as `lines_call` has them."""
    cdef bint exact = arithmetic == "scipy", nearest = arithmetic == "nearest"
    cdef const fs_real_kernels *kernels
    cdef const fs_line_kernels *unturned
    cdef bint short, is_along, once = False
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
    working = 4 if arithmetic == "float32" else 8
    stored = output.dtype.newbyteorder("=")
    # What lies between stages lies as the output does: lines.md, Volumes.
    order = "F" if output.flags.fnc else "C"
    if nearest:
        working, passes, factors, digits = in_integers(tuple(passes), output.dtype)
        once = digits is not None
        # Between stages the fractional bits must stay.
        stored = numpy.dtype("i2" if working == 2 else f"f{working}")
    elif exact and exact_in_short_integers(passes, input.dtype, output.dtype):
        # SciPy's bits, whatever computes them.
        working, stored, factors = 2, numpy.dtype("i2"), [1.0] * count
        passes = in_order_of_axes(passes) if count == 2 else passes
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
    plan = FilterPlan.__new__(FilterPlan)
    plan.stages = allocate(count * sizeof(lines_stage))
    plan.weights = []
    plan.between = []
    stages = <lines_stage *>plan.stages.data
    source = input
    while stage < count:
        if not (nearest or exact or paired) and output.itemsize == working and plan_volume(
                plan, source, output, list(passes)[stage:], divisors[stage:], working, FS_KEPT if stage else missing):
            break
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
            target = numpy.empty(shape, stored, order)
        out = Operand(target, True)
        # In sums that are not exact the weights carry the power of two.
        unit = factors[stage] if once else 1.0
        fill_pass(&one, spec, x, out, kernels, exact, unit, plan.weights)
        two.taps = 0
        is_along = goes_along(x, out, spec, one.running)
        if not is_along and last < count:
            after = passes[last]
            if after.axis != spec.axis:
                if after.mode == "valid":
                    shape[after.axis] -= after.size - 1
                both = output if last + 1 == count else numpy.empty(shape, stored, order)
                wide = Operand(both, True)
                unit = factors[last] if once else 1.0
                fill_pass(&two, after, x, wide, kernels, exact, unit, plan.weights)
                if not two.running and goes_along(x, wide, after, False):
                    last += 1
                    target = both
                    out = wide
                else:
                    two.taps = 0
        begin_call(&call, x, out, kernels, missing if stage == 0 else FS_KEPT)
        if is_along:
            call.along = one
        else:
            call.down = one
            if two.taps:
                call.along = two
        call.nearest = nearest
        call.paired = paired
        # 16-bit lanes are never turned, floats only for many taps.
        short = call.along.taps <= most_unturned(unturned, call.along.weights == NULL)
        if working == 2 or (call.down.taps and call.along.taps and short and (not exact or working == 4)
                            and (nearest or exact or out.elements.item == working)):
            call.unturned = unturned
        if divisors:
            call.down.divisor, call.along.divisor = divisors[stage], divisors[last - 1]
        if decisions is not None:
            call.deciding = unturned
            set_decision(&call.down, spec, decisions[stage], output.dtype, plan.weights)
            set_decision(&call.along, passes[last - 1], decisions[last - 1], output.dtype, plan.weights)
        if factors:
            set_rounding(&call.down, factors[stage], divisions[stage], working, output.itemsize, once, stage + 1 == count)
            set_rounding(&call.along, factors[last - 1], divisions[last - 1], working, output.itemsize, once,
                         last == count)
            # What lies between stages is of integers, too, and how those are packed depends on their limits.
            if working == 2 and target.dtype.itemsize == 2:
                # Whole sums that fit 16 bits with a sign are stored as such, in an output of uint16 too.
                call.low, call.high = limits(numpy.dtype("i2"))
            elif target.dtype.kind != "f":
                call.low, call.high = limits(target.dtype)
        call.settle = (not nearest and working == 8 and kernels != NULL and call.down.taps != 0 and call.along.taps != 0
                       and (out.elements.dtype < FS_F32 or out.elements.item != kernels.bytes))
        call.in_place = source is output
        shape_stage(&call, x, out, -1, spec.axis if call.down.taps else -1,
                    -1 if call.along.taps == 0 else passes[last - 1].axis)
        cut_stage(&call, &stages[plan.count].step)
        stages[plan.count].call = call
        plan.between.append(None if target is output else (target.shape, target.dtype, order))
        plan.count += 1
        source = target
        stage = last
    return plan


def filter_passes(input, output, passes, *, str arithmetic, missing=None, threads=None):
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
    missing : str or None
        What NaN in the input counts for: nothing if ``"zeroed"``; if ``"weighed"``, nothing, and any number for 1.
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
    cdef FilterPlan plan
    if arithmetic not in ("scipy", "float64", "float32", "nearest"):
        raise ValueError(f"arithmetic must be 'scipy', 'float64', 'float32' or 'nearest'; got {arithmetic!r}")
    if len(passes) == 0:
        raise ValueError("passes must hold at least one pass; got none")
    code = code_of(output.dtype)
    if ((arithmetic == "nearest" and not (code <= FS_I16 and input.dtype.newbyteorder("=") == output.dtype.newbyteorder("=")))
            or (arithmetic == "float32" and code != FS_F32) or (arithmetic == "float64" and code < FS_F32)):
        raise ValueError(f"arithmetic={arithmetic!r} does not go from {input.dtype} to an output of {output.dtype}")
    code_of(input.dtype)
    if output.size == 0:
        check(threads)
        return None
    copied = numpy.may_share_memory(input, output)
    if copied:
        input = input.copy()
    plan = plan_passes(input, output, passes, arithmetic, False, MISSING[missing])
    plan.compute(strided(input), strided(output, True), threads)
    return None if copied else plan


def filter_pair(input, output, passes, others, *, str arithmetic, str joint, double whole=1.0, bint always=False, threads=None):
    """Filter `input` twice in one traversal, and join what comes of it in `output`, with the bits of two calls.

    Parameters
    ----------
    input, output : ndarray
        As in `filter_passes`, and sharing no memory; the output of floats.
    passes, others : sequence of Pass
        What the first and the second filter are.
    arithmetic : str
        As in `filter_passes`, not "nearest".
    joint : str
        ``"sum"``; ``"magnitude"``: the root of the sum of squares; ``"quotient"``: the first, of an input with 0 for NaN,
        over the second, of 1 where there is a number and 0 where there is none, times `whole`; as it is where the second
        is `whole`.
    whole : float
        The second filter of ones.
    always : bool
        Of a quotient: also where no NaN is in sight.
    threads : int or None

    Returns
    -------
    FilterPlan or None
        None, and nothing has been done, where the filters are not one stage each, cut alike, of rows of numbers side by side.
    """
    cdef lines_pair pair
    cdef FilterPlan plan = FilterPlan.__new__(FilterPlan), first, second, plain
    cdef bint omits = joint == "quotient"
    cdef lines_stage *stage
    if output.dtype.kind != "f":
        raise ValueError(f"the joint of two filters was promised to be of floats; got {output.dtype}")
    first = plan_passes(input, output, passes, arithmetic, True, FS_ZEROED if omits else FS_KEPT)
    second = plan_passes(input, output, others, arithmetic, True, FS_WEIGHED if omits else FS_KEPT)
    plain = plan_passes(input, output, passes, arithmetic, True) if omits else first
    if first.count != 1 or second.count != 1 or plain.count != 1:
        return None
    stage = <lines_stage *>first.stages.data
    pair.first = stage.call
    pair.step = stage.step
    pair.second = (<lines_stage *>second.stages.data).call
    pair.plain = (<lines_stage *>plain.stages.data).call
    pair.step.seconds = 2 * stage.step.seconds
    pair.input = NULL
    if omits and not always and input.dtype.kind == "f" and input.dtype.isnative and stage.call.x_step == input.itemsize:
        pair.input = kernels_named(get_isa(), input.itemsize)
    pair.joining = kernels_named(get_isa(), output.itemsize)
    pair.joint = JOINTS[joint]
    pair.whole = whole
    if not pair_up(&pair):
        return None
    plan.pair = allocate(sizeof(lines_pair))
    (<lines_pair *>plan.pair.data)[0] = pair
    plan.weights = first.weights + second.weights + plain.weights
    plan.compute(strided(input), strided(output, True), threads)
    return plan
