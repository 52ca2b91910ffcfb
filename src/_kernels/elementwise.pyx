"""Numbers combined place by place: blocks of pixels × blocks of channels, each one tile. See elementwise.md."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport (
    BATCH,
    View,
    channels_apart,
    cursor,
    cursor_at,
    fill_epilogue,
    next_row,
    pixel_address,
    predicted_seconds,
    stage,
    unstage,
)
from fastsep._elementwise cimport elementwise_call
from fastsep._isa cimport FS_CLAMP, fs_elementwise, kernels_named
from fastsep._job cimport CALL_WORDS, CompiledPlan, add_phase, job
from fastsep._pointwise cimport merge_axes
from fastsep._threads cimport threads_for

cdef enum:
    # Numbers of a tile: 64 KB of float32 in and as many out, some 5 µs.
    TILE_NUMBERS = 16384
    # Multiply-adds that a curve takes as long as: silu on 16 lanes 25 to 30 cycles.
    CURVE_WORK = 40


cdef void lay_out(elementwise_call *call, int threads) noexcept nogil:
    cdef int64_t item = call.plan.kernels.bytes, channels, held
    cdef int axis
    merge_axes(&call.x, &call.out, &call.residual, BATCH)
    call.pixels = 1
    for axis in range(4):
        call.pixels *= call.out.shape[axis]
    channels = call.out.shape[4]
    call.stage_x = channels_apart(&call.x, item)
    call.stage_out = channels_apart(&call.out, item)
    call.stage_residual = call.residual.data != NULL and channels_apart(&call.residual, item)
    call.channel_blocks = (channels + TILE_NUMBERS - 1) // TILE_NUMBERS
    call.block_channels = (channels + call.channel_blocks - 1) // call.channel_blocks
    call.block_channels = min(channels, (call.block_channels + 15) // 16 * 16)
    call.channel_blocks = (channels + call.block_channels - 1) // call.block_channels
    call.pixel_blocks = max(1, call.pixels * call.block_channels // TILE_NUMBERS)
    if threads > 1:
        call.pixel_blocks = (call.pixel_blocks + threads - 1) // threads * threads
    call.block_pixels = (call.pixels + call.pixel_blocks - 1) // call.pixel_blocks
    call.pixel_blocks = (call.pixels + call.block_pixels - 1) // call.block_pixels
    held = (call.block_pixels * call.block_channels * item + 63) // 64 * 64
    call.x_at = 0
    call.out_at = call.x_at + held * call.stage_x
    call.residual_at = call.out_at + held * call.stage_out
    call.scratch_bytes = call.residual_at + held * call.stage_residual


cdef void elementwise_tile(const void *opaque, int64_t tile, char *scratch) noexcept nogil:
    cdef const elementwise_call *call = <const elementwise_call *>opaque
    cdef int64_t item = call.plan.kernels.bytes, first = tile % call.channel_blocks * call.block_channels
    cdef int64_t channels = min(call.block_channels, call.out.shape[4] - first)
    cdef int64_t pixel = tile // call.channel_blocks * call.block_pixels
    cdef int64_t left = min(call.block_pixels, call.pixels - pixel)
    cdef cursor at = cursor_at(&call.out, pixel)
    cdef fs_elementwise work
    work.channels = channels
    work.multiplies = call.plan.multiplies
    work.epilogue = &call.plan.epilogue
    work.other = NULL
    work.other_pixel_stride = 0
    while left > 0:
        work.pixels = min(left, call.out.shape[3] - at.column)
        if call.stage_x:
            stage(call.plan.kernels, &call.x, at, work.pixels, first, channels, 1, scratch + call.x_at, channels * item)
            work.x, work.x_pixel_stride = scratch + call.x_at, channels * item
        else:
            work.x, work.x_pixel_stride = pixel_address(&call.x, at) + first * item, call.x.strides[3]
        if call.stage_residual:
            stage(call.plan.kernels, &call.residual, at, work.pixels, first, channels, 1, scratch + call.residual_at,
                  channels * item)
            work.other, work.other_pixel_stride = scratch + call.residual_at, channels * item
        elif call.residual.data != NULL:
            work.other, work.other_pixel_stride = (pixel_address(&call.residual, at) + first * item,
                                                   call.residual.strides[3])
        if call.stage_out:
            work.out, work.out_pixel_stride = scratch + call.out_at, channels * item
        else:
            work.out, work.out_pixel_stride = pixel_address(&call.out, at) + first * item, call.out.strides[3]
        call.plan.kernels.elementwise(&work)
        if call.stage_out:
            unstage(call.plan.kernels, work.out, channels * item, &call.out, at, work.pixels, first, channels)
        left -= work.pixels
        next_row(&at, &call.out)


cdef class ElementwisePlan(CompiledPlan):
    """`kind` "add": activation(x + residual), or activation(x) without one; "multiply": activation(x · residual).

    The residual has the output's shape; what is to be repeated along an axis has a stride of 0 there, as
    `numpy.broadcast_to` gives it. `out` may be `x` or the residual itself, at the same addresses.
    """

    def __init__(self, str kind, int64_t channels, activation, dtype, str isa):
        if kind not in ("add", "multiply"):
            raise ValueError(f"kind must be 'add' or 'multiply'; got {kind!r}")
        self.plan.kernels = kernels_named(isa, dtype.itemsize)
        self.plan.multiplies = kind == "multiply"
        self.isa, self.item_bytes = isa, dtype.itemsize
        self.inputs = self.outputs = channels
        fill_epilogue(&self.plan.epilogue, activation)

    cdef int prepare(self, job *work, View x, View out, View residual, object threads) except -1:
        cdef elementwise_call *call = <elementwise_call *>work.call
        cdef double numbers = 1.0
        cdef int axis
        for axis in range(5):
            numbers *= out.array.shape[axis]
        work.seconds = predicted_seconds(
            self.plan.kernels, 2.0 * numbers * (1 if self.plan.epilogue.activation == FS_CLAMP else CURVE_WORK),
            numbers * self.plan.kernels.bytes * (2 if residual.array.data == NULL else 3))
        work.threads = threads_for(threads, work.seconds)
        call.plan = &self.plan
        call.x = x.array
        call.out = out.array
        call.residual = residual.array
        lay_out(call, work.threads)
        add_phase(work, elementwise_tile, call.pixel_blocks * call.channel_blocks, work.seconds)
        work.scratch_bytes = call.scratch_bytes
        return 0

    cdef str tile(self, const job *work):
        cdef const elementwise_call *call = <const elementwise_call *>work.call
        return f"{call.block_pixels} pixels × {call.block_channels} channels"


if sizeof(elementwise_call) > CALL_WORDS * sizeof(int64_t):
    raise ImportError("fastsep._job.CALL_WORDS is too small for elementwise_call")
