"""The textbook loop nests, compiled with the same flags as everything else: the baseline of the benchmarks.

2-D, channels_last, contiguous. One sum per output, taps then channels, no blocking, no SIMD beyond what the
compiler finds by itself. With `threads` > 1 the rows of the output are shared out by OpenMP.
"""

cimport cython
from cython.parallel cimport prange
from libc.stdint cimport int64_t

import numpy as np

ctypedef fused real:
    float
    double


cdef void conv_row(const real[:, :, :, ::1] x, const real[:, :, :, ::1] kernel, real[:, :, :, ::1] out, int64_t n,
                   int64_t y, int64_t stride_y, int64_t stride_x, int64_t top, int64_t left, int64_t dilation_y,
                   int64_t dilation_x) noexcept nogil:
    cdef int64_t column, o, i, j, c, in_y, in_x
    cdef real total
    for column in range(out.shape[2]):
        for o in range(kernel.shape[3]):
            total = 0
            for i in range(kernel.shape[0]):
                in_y = y * stride_y - top + i * dilation_y
                if in_y < 0 or in_y >= x.shape[1]:
                    continue
                for j in range(kernel.shape[1]):
                    in_x = column * stride_x - left + j * dilation_x
                    if in_x < 0 or in_x >= x.shape[2]:
                        continue
                    for c in range(kernel.shape[2]):
                        total = total + x[n, in_y, in_x, c] * kernel[i, j, c, o]
            out[n, y, column, o] = total


cdef void depthwise_row(const real[:, :, :, ::1] x, const real[:, :, :, ::1] kernel, real[:, :, :, ::1] out,
                        int64_t n, int64_t y, int64_t stride_y, int64_t stride_x, int64_t top, int64_t left,
                        int64_t dilation_y, int64_t dilation_x) noexcept nogil:
    cdef int64_t column, c, m, i, j, in_y, in_x
    cdef real total
    for column in range(out.shape[2]):
        for c in range(kernel.shape[2]):
            for m in range(kernel.shape[3]):
                total = 0
                for i in range(kernel.shape[0]):
                    in_y = y * stride_y - top + i * dilation_y
                    if in_y < 0 or in_y >= x.shape[1]:
                        continue
                    for j in range(kernel.shape[1]):
                        in_x = column * stride_x - left + j * dilation_x
                        if in_x < 0 or in_x >= x.shape[2]:
                            continue
                        total = total + x[n, in_y, in_x, c] * kernel[i, j, c, m]
                out[n, y, column, c * kernel.shape[3] + m] = total


def run(const real[:, :, :, ::1] x, const real[:, :, :, ::1] kernel, real[:, :, :, ::1] out, strides, pads,
        dilation_rate, bint depthwise, int threads):
    """Fill `out`; every argument is checked and of equal dtype."""
    cdef int64_t stride_y = strides[0], stride_x = strides[1], top = pads[0], left = pads[1]
    cdef int64_t dilation_y = dilation_rate[0], dilation_x = dilation_rate[1]
    cdef int64_t row, rows = out.shape[0] * out.shape[1], height = max(out.shape[1], 1)
    if threads == 1:
        with nogil:
            for row in range(rows):
                if depthwise:
                    depthwise_row(x, kernel, out, row // height, row % height, stride_y, stride_x, top, left,
                                  dilation_y, dilation_x)
                else:
                    conv_row(x, kernel, out, row // height, row % height, stride_y, stride_x, top, left, dilation_y,
                             dilation_x)
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="static"):
            if depthwise:
                depthwise_row(x, kernel, out, row // height, row % height, stride_y, stride_x, top, left, dilation_y,
                              dilation_x)
            else:
                conv_row(x, kernel, out, row // height, row % height, stride_y, stride_x, top, left, dilation_y,
                         dilation_x)


def _pair(value):
    return tuple(value) if isinstance(value, tuple) else (value, value)


def _geometry(x, kernel, strides, padding, dilation_rate):
    """Output rows and columns, and the padding before each, for "valid" and "same"."""
    outputs, pads = [], []
    for axis in range(2):
        size, stride = x.shape[1 + axis], strides[axis]
        reach = (kernel.shape[axis] - 1) * dilation_rate[axis] + 1
        if padding == "same":
            count = -(-size // stride)
            outputs.append(count)
            pads.append(max(0, (count - 1) * stride + reach - size) // 2)
        elif padding == "valid":
            outputs.append(max(0, (size - reach) // stride + 1))
            pads.append(0)
        else:
            raise ValueError(f'padding must be "valid" or "same" in the naive baseline; got {padding!r}')
    return tuple(outputs), tuple(pads)


def _convolve(x, kernel, strides, padding, dilation_rate, out, threads, depthwise):
    strides, dilation_rate = _pair(strides), _pair(dilation_rate)
    spatial, pads = _geometry(x, kernel, strides, padding, dilation_rate)
    channels = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    shape = (x.shape[0], *spatial, channels)
    if x.shape[3] != kernel.shape[2]:
        raise ValueError(f"kernel has {kernel.shape[2]} input channels, x has {x.shape[3]}")
    if out is None:
        out = np.empty(shape, x.dtype)
    elif out.shape != shape:
        raise ValueError(f"out must have shape {shape}; got {out.shape}")
    run(x, kernel, out, strides, pads, dilation_rate, depthwise, threads)
    return out


def conv(x, kernel, strides=1, padding="valid", dilation_rate=1, *, out=None, threads=1):
    """Standard convolution by the textbook loop nest.

    Parameters
    ----------
    x : ndarray (N, H, W, Cin), float32 or float64, contiguous
    kernel : ndarray (KH, KW, Cin, Cout), same dtype, contiguous
    strides, dilation_rate : int or pair of int
    padding : "valid" or "same"
    out : ndarray or None
    threads : int
        1 runs no OpenMP construct.

    Returns
    -------
    ndarray (N, H', W', Cout)
    """
    return _convolve(x, kernel, strides, padding, dilation_rate, out, threads, False)


def depthwise_conv(x, kernel, strides=1, padding="valid", dilation_rate=1, *, out=None, threads=1):
    """Depthwise convolution by the textbook loop nest; kernel (KH, KW, C, M). Otherwise as `conv`."""
    return _convolve(x, kernel, strides, padding, dilation_rate, out, threads, True)


def pointwise_conv(x, kernel, *, out=None, threads=1):
    """Pointwise convolution by the textbook loop nest; kernel (Cin, Cout). Otherwise as `conv`."""
    return _convolve(x, kernel.reshape((1, 1, *kernel.shape)), 1, "valid", 1, out, threads, False)
