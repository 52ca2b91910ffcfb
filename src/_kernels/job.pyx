"""What all compiled plans do alike: look at the arrays, prepare a job, run it or describe it."""

from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc

from fastsep._arrays cimport ABSENT, View, is_empty, output_size, pad_before, spatial_output, view, window
from fastsep._job cimport job
from fastsep._threads cimport run_phases, run_tile_function, scratch_allocated

from math import prod

from fastsep._threads import check
from fastsep._window import positions_read

cdef enum:
    # Where arrays begin that are only described, which have no address: behind a cache line by as much as NumPy's large
    # arrays do. Of all places it takes the most scratch: pixels that share sets of L1 are copied there (depthwise.pyx).
    NUMPY_BEGINS = 16

cdef int64_t MOST_SHARED = <int64_t>1 << 46


cdef void begin(job *work) noexcept:
    """A job of no phases, which need no memory of their own."""
    work.phase_count = 0
    work.rounds = 1
    work.shared_bytes = 0
    work.shared = NULL


cdef void add_phase(job *work, run_tile_function run_tile, int64_t tiles, double seconds) noexcept:
    """One more phase, of so many tiles and predicted serial seconds a round."""
    work.phases[work.phase_count].run_tile = run_tile
    work.phases[work.phase_count].tiles = tiles
    work.phases[work.phase_count].seconds = seconds
    work.phase_count += 1


cdef int64_t shared_allocated(const job *work) noexcept:
    """Bytes that the memory shared by the phases takes, alignment included."""
    return 0 if work.shared == NULL else work.shared_bytes + 64


cdef int64_t run_job(job *work) except -1:
    """Run a prepared job; memory that its phases share lives as long as the call. Returns the bytes allocated for it:
    all the memory that a call takes beyond its arrays."""
    cdef char *memory = NULL
    cdef int64_t shared = shared_allocated(work)
    if shared == 0:
        return run_phases(work.phases, work.phase_count, work.rounds, work.call, work.scratch_bytes, work.threads)
    if work.shared_bytes < MOST_SHARED:
        memory = <char *>malloc(<size_t>shared)
    if memory == NULL:
        raise MemoryError(f"no room for {work.shared_bytes} bytes that the phases of this call share")
    try:
        work.shared[0] = memory + (64 - <uintptr_t>memory % 64)
        return shared + run_phases(work.phases, work.phase_count, work.rounds, work.call, work.scratch_bytes,
                                   work.threads)
    finally:
        free(memory)


cdef class CompiledPlan:
    """Packed weights and geometry of one family; immutable.

    A family sets `isa`, `item_bytes`, `geometry`, `inputs` and `outputs`, and fills `prepare` and `tile`. `prepare`
    adds the phases of a job that has none, and never sees an empty output. What a plan of layers.py runs also has
    `choice`.
    """

    def choice(self):
        """What is chosen before any input is seen, in a phrase: what is fused, about how large a tile is with the
        present cache sizes, the register tile of the panels."""
        raise NotImplementedError

    def output_shape(self, tuple spatial):
        """Spatial shape of the output for one of the input, of the same rank."""
        return spatial if self.geometry == NULL else spatial_output(self.geometry, spatial)

    def pixels_read(self, tuple spatial):
        """How many pixels of an input's spatial shape at least one window sees."""
        cdef int offset = 3 - len(spatial), axis
        cdef const window *w = self.geometry
        if w == NULL:
            return prod(spatial)
        return prod([positions_read(spatial[axis - offset], output_size(w, axis, spatial[axis - offset]),
                                    w.taps[axis], w.strides[axis], w.dilation[axis],
                                    pad_before(w, axis, spatial[axis - offset])) for axis in range(offset, 3)])

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        raise NotImplementedError

    cdef str tile(self, const job *work):
        raise NotImplementedError

    cdef int64_t compute(self, View x, View out, View residual, object threads) except -1:
        """Compute an output that is not empty. Returns the bytes allocated for it."""
        cdef job work
        begin(&work)
        self.prepare(&work, x, out, residual, threads)
        return run_job(&work)

    def run(self, x, out, residual, int rank, bint channels_first, threads):
        """Compute `out`, and return the bytes allocated for it. The Python face has checked every array."""
        cdef View x_view = view(x, rank, channels_first, False)
        cdef View out_view = view(out, rank, channels_first, True)
        cdef View residual_view = ABSENT if residual is None else view(residual, rank, channels_first, False)
        if is_empty(&out_view.array):
            check(threads)
            return 0
        return self.compute(x_view, out_view, residual_view, threads)

    def layout(self, x, out, residual, int rank, bint channels_first, threads):
        """How a call would be cut: a dict for `describe`. Of arrays that begin where NumPy's do."""
        cdef View x_view = view(x, rank, channels_first, False)
        cdef View out_view = view(out, rank, channels_first, False)
        cdef View residual_view = ABSENT if residual is None else view(residual, rank, channels_first, False)
        cdef job work
        cdef int64_t tiles = 0, most = 1
        cdef int i
        if is_empty(&out_view.array):
            check(threads)
            return {"tile": "none: the output is empty", "tiles": 0, "threads": 1, "scratch_bytes": 0}
        begin(&work)
        x_view.array.data = out_view.array.data = <char *>NUMPY_BEGINS
        if residual_view.array.data != NULL:
            residual_view.array.data = <char *>NUMPY_BEGINS
        self.prepare(&work, x_view, out_view, residual_view, threads)
        for i in range(work.phase_count):
            tiles += work.phases[i].tiles * work.rounds
            most = max(most, work.phases[i].tiles)
        used = max(1, min(work.threads, most))
        return {
            "tile": self.tile(&work),
            "tiles": tiles,
            "threads": used,
            "scratch_bytes": scratch_allocated(work.scratch_bytes, used) + shared_allocated(&work),
        }
