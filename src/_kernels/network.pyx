"""A list of steps, prepared once and run as one: all phases of all steps in one parallel region, a barrier after each.

A call by itself looks at its arrays, allocates scratch, forks and joins; a network of 60 steps does so 60 times. Here
the jobs stay prepared, scratch and shared memory are allocated once, and between two phases the threads of one region
wait for each other. Every thread gets the same share of a phase's tiles as in a single call, so the bits are the same,
and what one step leaves in a core's cache is often what that core reads in the next.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from fastsep._arrays cimport ABSENT, CHANNELS, View, allocate, arrange, is_empty, output_size, strided
from fastsep._job cimport CompiledPlan, begin, job, shared_allocated
from fastsep._network cimport Step, position, team_work
from fastsep._threads cimport (
    FIRST_SLAB,
    HELP_SECONDS,
    SLAB_SECONDS,
    apart,
    fs_claim,
    fs_clock,
    fs_release,
    fs_share,
    fs_wait,
    phase,
    run_share,
    scratch_allocated,
    threads_for,
)

import numpy

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    static int64_t fs_team_size(void) { return omp_get_num_threads(); }
    #else
    static int64_t fs_team_size(void) { return 1; }
    #endif
    """
    int64_t fs_team_size() noexcept nogil

# A barrier between running threads costs a tenth of a region: below this much serial time a second thread wins less
# than a microsecond.
cdef double TOGETHER_SECONDS = 3e-6
cdef int64_t MOST_BYTES = <int64_t>1 << 46

cdef type NDARRAY = numpy.ndarray
cdef object FLOAT32 = numpy.dtype(numpy.float32)
cdef object FLOAT64 = numpy.dtype(numpy.float64)


# ---- one region ------------------------------------------------------------------------------------------


cdef int64_t phases_of(const job *work) noexcept nogil:
    return work.rounds * work.phase_count


cdef void settle(const team_work *team, position *at) noexcept nogil:
    """On to the next tile that there is; past the last step if there is none."""
    cdef const job *work
    while at.step < team.count:
        work = &team.jobs[at.step]
        if at.phase >= phases_of(work):
            at.step += 1
            at.phase = at.tile = 0
        elif at.tile >= work.phases[at.phase % work.phase_count].tiles:
            at.phase += 1
            at.tile = 0
        else:
            return


cdef bint same_phase(position a, position b) noexcept nogil:
    return a.step == b.step and a.phase == b.phase


cdef void run_member(team_work *team, position at, position end, int own, int64_t members) noexcept nogil:
    """What one thread of a region does from one place to another. All of them take the same way through this loop, and
    meet before every phase that several of them work on, and after it. What one thread can do is thread 0's."""
    cdef char *scratch = team.scratch + own * team.scratch_bytes
    cdef bint alone = True
    cdef int64_t last, base, tile, turn = 0
    cdef int workers
    cdef const phase *now
    cdef const job *work
    cdef fs_share *shares
    settle(team, &at)
    while at.step < team.count and not (same_phase(at, end) and at.tile >= end.tile):
        work = &team.jobs[at.step]
        now = &work.phases[at.phase % work.phase_count]
        last = end.tile if same_phase(at, end) else now.tiles
        base = at.phase // work.phase_count * now.tiles
        workers = <int>min(min(<int64_t>work.threads, members), last - at.tile)
        if workers > 1:
            # Nobody takes from the shares of two phases ago any more: all have passed the barrier since.
            shares = team.shares + turn % 2 * members
            turn += 1
            if own < workers:
                shares[own].next = base + at.tile + (last - at.tile) * own // workers
                shares[own].last = base + at.tile + (last - at.tile) * (own + 1) // workers
            fs_wait(&team.barrier, members)
        elif not alone:
            fs_wait(&team.barrier, members)
        alone = workers == 1
        if own == 0 and team.begun != NULL and at.phase == 0 and at.tile == 0:
            team.begun[at.step] = fs_clock()
        if not alone:
            if own < workers:
                run_share(now.run_tile, work.call, shares, workers, own, work.seconds > HELP_SECONDS, scratch)
        elif own == 0:
            for tile in range(base + at.tile, base + last):
                now.run_tile(work.call, tile, scratch)
        at.tile = last
        settle(team, &at)


cdef void run_region(team_work *team, position at, position end, int threads) noexcept nogil:
    """One thread enters no OpenMP construct."""
    if threads == 1:
        run_member(team, at, end, 0, 1)
        return
    with parallel(num_threads=threads):
        run_member(team, at, end, threadid(), fs_team_size())


cdef double advance(const team_work *team, position *at, double budget, int threads) noexcept nogil:
    """On by about `budget` seconds of predicted serial time, at least a tile a thread, or to the end; returns the
    seconds."""
    cdef const job *work
    cdef const phase *now
    cdef double used = 0.0, a_tile
    cdef int64_t left
    settle(team, at)
    while at.step < team.count and used < budget:
        work = &team.jobs[at.step]
        now = &work.phases[at.phase % work.phase_count]
        a_tile = now.seconds / now.tiles
        left = now.tiles - at.tile
        if left * a_tile > budget - used:
            left = min(left, max(<int64_t>threads, <int64_t>((budget - used) / a_tile)))
        used += left * a_tile
        at.tile += left
        settle(team, at)
    return used


# ---- the list --------------------------------------------------------------------------------------------


cdef View seen_as(object x, CompiledPlan plan, int64_t index, str name, bint writable):
    """An array as a step sees it: dtype and axes are right."""
    cdef object dtype = FLOAT32 if plan.item_bytes == 4 else FLOAT64
    cdef View result
    if type(x) is not NDARRAY or not (x.dtype is dtype or x.dtype == dtype):
        raise TypeError(f"step {index}: {name} must be a plain NumPy array of {dtype} in native byte order; got "
                        f"{repr(x.dtype) if type(x) is NDARRAY else type(x).__name__}")
    if writable and not x.flags.writeable:
        raise ValueError(f"step {index}: {name} must be writable")
    result = strided(x, writable)
    if result.buffer.ndim < 3 or result.buffer.ndim > 5:
        raise ValueError(f"step {index}: {name} must have 3 to 5 axes (batch, *spatial, channels); got shape {x.shape}")
    arrange(result, result.buffer.ndim - 2, False)
    return result


cdef tuple shape_of(View each):
    return tuple([each.buffer.shape[axis] for axis in range(each.buffer.ndim)])


cdef int check_shape(View got, View x, const int64_t *expected, int64_t index, str name) except -1:
    cdef int axis
    for axis in range(5):
        if got.array.shape[axis] != expected[axis] or got.buffer.ndim != x.buffer.ndim:
            wanted = [expected[axis] for axis in range(5)]
            wanted = (wanted[0], *wanted[6 - x.buffer.ndim:])
            raise ValueError(f"step {index}: {name} must have shape {wanted} for x of shape {shape_of(x)}; got "
                             f"{shape_of(got)}")
    return 0


cdef class Step:
    """A plan and its arrays, held as long as the step needs them."""

    def __init__(self, CompiledPlan plan not None):
        self.plan = plan
        self.x = self.out = self.residual = ABSENT
        self.adds = self.ready = False


cdef class Network:
    """Steps in order, prepared once; run by one thread of the caller's at a time.

    Parameters
    ----------
    steps : iterable of (CompiledPlan, x, out, residual)
        Arrays are (batch, *spatial, channels) of 1 to 3 spatial axes with any strides, of the plan's dtype. A residual
        may be None; an `x` or `out` of None comes with `bind` or `run`. A step's `out` may be a later step's `x`; which
        arrays share memory otherwise is the caller's business, and no `out` may overlap its own `x`.
    threads : int or None
        As everywhere; None is settled when the network is made, and a lower limit obeyed in later runs. Steps too short
        for several threads are done by one.

    Raises
    ------
    TypeError, ValueError
        An array is not what its plan takes; the message names the step.
    """

    def __cinit__(self):
        self.running = 0
        self.rate = 0.0

    def __init__(self, steps, threads=None):
        cdef int64_t index
        steps = list(steps)
        self.asked = threads
        self.threads = threads_for(threads, INFINITY)
        self.steps = [Step(each[0]) for each in steps]
        self.shares = allocate(2 * self.threads * sizeof(fs_share))
        self.work.shares = <fs_share *>self.shares.data
        self.work.jobs = <job *>calloc(<size_t>max(1, len(steps)), sizeof(job))
        if self.work.jobs == NULL:
            raise MemoryError(f"no room for {len(steps)} steps")
        self.work.count = len(steps)
        for index in range(self.work.count):
            begin(&self.work.jobs[index])
            _, x, out, residual = steps[index]
            self.place(index, x, out, residual)

    def __dealloc__(self):
        free(self.work.jobs)

    def __len__(self):
        return self.work.count

    @property
    def scratch_bytes(self):
        """All the memory that runs take beyond their arrays."""
        return (0 if self.scratch is None else self.scratch.size) + (0 if self.shared is None else self.shared.size)

    cdef double predicted_seconds(self) noexcept:
        cdef double seconds = 0.0
        cdef int64_t index
        for index in range(self.work.count):
            seconds += self.work.jobs[index].seconds
        return seconds

    cdef Step step_at(self, object index):
        if not 0 <= index < self.work.count:
            raise IndexError(f"index must be that of a step, 0 to {self.work.count - 1}; got {index}")
        return self.steps[index]

    cdef int place(self, int64_t index, object x, object out, object residual) except -1:
        """Give a step arrays, and prepare it if it has all it needs; None stays as it is."""
        cdef Step step = self.step_at(index)
        step.ready = False
        if x is not None:
            step.x = seen_as(x, step.plan, index, "x", False)
        if out is not None:
            step.out = seen_as(out, step.plan, index, "out", True)
        if residual is not None:
            step.residual = seen_as(residual, step.plan, index, "residual", False)
            step.adds = True
        if step.x is not ABSENT and step.out is not ABSENT and (step.residual is not ABSENT or not step.adds):
            begin(&self.work.jobs[index])
            self.prepare(index)
            step.ready = True
        return 0

    cdef int let_go(self, int64_t index, object x, object out, object residual) except -1:
        """Forget the arrays of a run that is over."""
        cdef Step step = self.step_at(index)
        step.ready = False
        if x is not None:
            step.x = ABSENT
        if out is not None:
            step.out = ABSENT
        if residual is not None:
            step.residual = ABSENT
        return 0

    cdef int prepare(self, int64_t index) except -1:
        cdef Step step = self.steps[index]
        cdef CompiledPlan plan = step.plan
        cdef job *work = &self.work.jobs[index]
        cdef int64_t shape[5]
        cdef int axis
        if step.x.array.shape[CHANNELS] != plan.inputs:
            raise ValueError(f"step {index}: x must have {plan.inputs} channels; got shape {shape_of(step.x)}")
        shape[0] = step.x.array.shape[0]
        for axis in range(3):
            shape[1 + axis] = step.x.array.shape[1 + axis]
            if plan.geometry != NULL and axis >= 5 - step.x.buffer.ndim:
                shape[1 + axis] = output_size(plan.geometry, axis, shape[1 + axis])
        shape[CHANNELS] = plan.outputs
        check_shape(step.out, step.x, shape, index, "out")
        if step.residual is not ABSENT:
            check_shape(step.residual, step.x, shape, index, "residual")
        if is_empty(&step.out.array):
            return 0
        plan.prepare(work, step.x, step.out, step.residual, self.threads)
        if work.threads > 1 and work.seconds < TOGETHER_SECONDS:
            begin(work)
            plan.prepare(work, step.x, step.out, step.residual, 1)
        return self.reserve(work)

    cdef int reserve(self, const job *work) except -1:
        """Room for a job's scratch and shared memory; all jobs use the same, one after another."""
        cdef int64_t index
        if work.scratch_bytes > MOST_BYTES // self.threads or work.shared_bytes > MOST_BYTES:
            raise MemoryError(f"a step would need {work.scratch_bytes} bytes of scratch a thread and "
                              f"{work.shared_bytes} bytes that its phases share")
        if self.scratch is None or apart(work.scratch_bytes) > self.work.scratch_bytes:
            self.scratch = allocate(scratch_allocated(work.scratch_bytes, self.threads))
            self.work.scratch = self.scratch.data
            self.work.scratch_bytes = apart(work.scratch_bytes)
        if work.shared != NULL and (self.shared is None or work.shared_bytes > self.shared.size):
            self.shared = allocate(work.shared_bytes)
        if self.shared is not None:
            for index in range(self.work.count):
                if self.work.jobs[index].shared != NULL:
                    self.work.jobs[index].shared[0] = self.shared.data
        return 0

    def bind(self, int64_t index, x=None, out=None, residual=None):
        """Give a step other arrays, for all runs from now on.

        Parameters
        ----------
        index : int
            Of the step.
        x, out, residual : array or None
            As for the constructor; None leaves what the step has.

        Raises
        ------
        RuntimeError
            The network is running.
        """
        if not fs_claim(&self.running):
            raise RuntimeError("this network is running; bind its arrays between two runs")
        try:
            self.place(index, x, out, residual)
        finally:
            fs_release(&self.running)

    def run(self, replacements=()):
        """Run all steps in order, without the GIL.

        Parameters
        ----------
        replacements : iterable of (index, x, out, residual)
            Arrays for this run alone: afterwards they are let go, and the steps that had them need others. None leaves
            what a step has.

        Raises
        ------
        RuntimeError
            The network is running already: one run at a time.
        ValueError
            A step lacks an array, or was given one that it cannot take.
        """
        self.execute(replacements, NULL)

    def run_timed(self, replacements=()):
        """`run`, and the seconds that each step took, as a list: from its first tile to the first of the next step."""
        cdef double *begun = <double *>calloc(<size_t>(self.work.count + 1), sizeof(double))
        cdef double next_begun
        cdef int64_t index
        if begun == NULL:
            raise MemoryError(f"no room for the times of {self.work.count} steps")
        try:
            self.execute(replacements, begun)
            seconds = [0.0] * self.work.count
            next_begun = begun[self.work.count]
            for index in range(self.work.count - 1, -1, -1):
                if begun[index] > 0:           # else it had nothing to do
                    seconds[index] = next_begun - begun[index]
                    next_begun = begun[index]
            return seconds
        finally:
            free(begun)

    cdef int execute(self, object replacements, double *begun) except -1:
        cdef Step step
        cdef int64_t index
        if not fs_claim(&self.running):
            raise RuntimeError("this network is running in another thread; a network serves one run at a time")
        given = []
        try:
            for index, x, out, residual in replacements:
                self.place(index, x, out, residual)
                given.append((index, x, out, residual))
            for index in range(self.work.count):
                step = self.steps[index]
                if not step.ready:
                    lacking = [name for name, array, needed in (
                        ("x", step.x, True), ("out", step.out, True), ("residual", step.residual, step.adds)
                    ) if needed and array is ABSENT]
                    raise ValueError(f"step {index} has no {' and no '.join(lacking) or 'array that it can take'}; give "
                                     "it one with bind() or run()")
            self.work.begun = begun
            self.run_slabs()
            if begun != NULL:
                begun[self.work.count] = fs_clock()
        finally:
            self.work.begun = NULL
            for index, x, out, residual in given:
                self.let_go(index, x, out, residual)
            fs_release(&self.running)
        return 0

    cdef int run_slabs(self) except -1:
        """One region for all steps, or for as many as fit between two looks for Ctrl-C."""
        cdef team_work *team = &self.work
        cdef int threads = threads_for(None if self.asked is None else self.threads, INFINITY)
        cdef double predicted = self.predicted_seconds(), budget, used, begun, elapsed, total = 0.0
        cdef position at, end
        threads = min(threads, self.threads)
        budget = SLAB_SECONDS / self.rate if self.rate > 0 else FIRST_SLAB * SLAB_SECONDS * threads
        if predicted <= budget:
            budget = INFINITY
        end.step = end.phase = end.tile = 0
        settle(team, &end)
        while end.step < team.count:
            with nogil:
                at = end
                begun = fs_clock()
                used = advance(team, &end, budget, threads)
                run_region(team, at, end, threads)
                elapsed = fs_clock() - begun
            total += elapsed
            budget = used * (SLAB_SECONDS / max(elapsed, 1e-6))
            if end.step < team.count:
                PyErr_CheckSignals()
        if predicted > 0:
            self.rate = total / predicted
        return 0
