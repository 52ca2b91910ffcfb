"""What all compiled plans do alike: look at the arrays, prepare a job, run it or describe it."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport ABSENT, View, is_empty, spatial_output, view
from fastsep._job cimport job
from fastsep._threads cimport run_tiles, scratch_allocated

from fastsep._threads import check


cdef class CompiledPlan:
    """Packed weights and geometry of one family; immutable.

    A family sets `isa`, `geometry`, `inputs` and `outputs`, and fills `prepare` and `tile`. `prepare` never sees an
    empty output.
    """

    def output_shape(self, tuple spatial):
        """Spatial shape of the output for one of the input, of the same rank."""
        return spatial if self.geometry == NULL else spatial_output(self.geometry, spatial)

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        raise NotImplementedError

    cdef str tile(self, const job *work):
        raise NotImplementedError

    cdef int64_t compute(self, View x, View out, View residual, object threads) except -1:
        """Compute an output that is not empty. Returns the bytes allocated for it."""
        cdef job work
        self.prepare(&work, x, out, residual, threads)
        return run_tiles(work.run_tile, work.call, work.tiles, work.scratch_bytes, work.threads, work.seconds)

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
        """How a call would be cut: a dict for `describe`."""
        cdef View x_view = view(x, rank, channels_first, False)
        cdef View out_view = view(out, rank, channels_first, False)
        cdef View residual_view = ABSENT if residual is None else view(residual, rank, channels_first, False)
        cdef job work
        if is_empty(&out_view.array):
            check(threads)
            return {"tile": "none: the output is empty", "tiles": 0, "threads": 1, "scratch_bytes": 0}
        self.prepare(&work, x_view, out_view, residual_view, threads)
        used = max(1, min(work.threads, work.tiles))
        return {
            "tile": self.tile(&work),
            "tiles": work.tiles,
            "threads": used,
            "scratch_bytes": scratch_allocated(work.scratch_bytes, used),
        }
