"""Layers in plain NumPy, channels first: what a few images become while a network is written."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]
Pads = tuple[tuple[int, int], tuple[int, int]]


def images(random: np.random.Generator, count: int, size: int) -> Array:
    """Return noise as smooth as photographs are, whose amplitudes fall with the frequency; deviation 1."""
    noise = np.fft.rfft2(random.normal(0, 1, (count, 3, size, size)))
    frequencies = np.hypot(np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size))
    pixels = np.fft.irfft2(noise / np.maximum(frequencies, 1 / size), (size, size))
    pixels -= pixels.mean(axis=(2, 3), keepdims=True)
    pixels /= pixels.std(axis=(2, 3), keepdims=True)
    return pixels.astype(np.float32)


def same_pads(sizes: tuple[int, int], kernel: int, stride: int) -> Pads:
    """Return the padding of "same", the surplus after, for height and width."""
    surplus = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in sizes]
    (high, wide) = ((each // 2, each - each // 2) for each in surplus)
    return high, wide


def convolve(x: Array, kernel: Array, stride: int, pads: Pads, groups: int) -> Array:
    """Return the convolution by a kernel (outputs, inputs / groups, height, width), groups 1 or channels."""
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    if groups == 1:
        y = np.tensordot(windows, kernel, axes=((1, 4, 5), (1, 2, 3)))
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2))
    total: Array = np.zeros(windows.shape[:4], np.float32)
    for i, j in np.ndindex(kernel.shape[2:]):
        total = total + windows[..., i, j] * kernel[:, 0, i, j, np.newaxis, np.newaxis]
    return total


def max_pool(x: Array, kernel: int, stride: int, pads: Pads) -> Array:
    """Return the largest value of every window."""
    padded: Array = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=np.float32(-np.inf))
    windows = sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    largest: Array = windows.max(axis=(4, 5))
    return largest


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x))."""
    y: Array = np.reciprocal(1 + np.exp(-x))
    return y


def hard_sigmoid(x: Array) -> Array:
    """Return x / 6 + 1/2 between 0 and 1."""
    y: Array = np.clip(x / np.float32(6) + np.float32(0.5), 0, 1).astype(np.float32)
    return y
