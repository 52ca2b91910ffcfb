"""A network as fastsep runs it, what it must give, and how every library's output is checked."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnxruntime as ort

import fastsep.onnx
from bench.blocks import Array
from bench.measure import TOLERANCE
from bench.network_rows import NetworkRow
from bench.peers import onnx_runtime
from bench.peers.form import Form, aligned

TOP = 5


def our_form(row: NetworkRow, threads: int) -> Form:
    """Return fastsep.onnx's session, into a buffer that is there."""
    session = fastsep.onnx.InferenceSession(row.model(), threads=threads)
    x = aligned(row.images())
    out: Array = fastsep.empty(row.out_shape)
    feeds = {"x": x}
    return Form("run(None, feeds, out=[…]), NCHW", lambda: session.run(None, feeds, out=[out]), lambda: out)


@lru_cache(maxsize=1)
def expected_of(row: NetworkRow) -> Array:
    """Return the logits by ONNX Runtime with all its optimisations off: every node by itself."""
    options = onnx_runtime.options(-1, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    options.intra_op_num_threads = 0
    session = ort.InferenceSession(row.model(), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": row.images()})
    expected: Array = logits
    return expected


def checked(row: NetworkRow, name: str, form: Form, expected: Array) -> float:
    """Return the largest difference, relative to the largest logit; fail if it or the ranks are wrong."""
    form.call()
    output = form.output()
    assert output.shape == expected.shape, f"{name} ({form.description}) gives {output.shape}"
    difference = float(np.abs(output - expected).max() / np.abs(expected).max())
    assert difference <= TOLERANCE, f"{name} ({form.description}) differs by {difference:.1e}"
    assert np.array_equal(best(output), best(expected)), f"{name} ({form.description}) ranks otherwise"
    return difference


def best(logits: Array) -> Array:
    """Return the best classes of every image, as sets: two of them may be as good as equal."""
    return np.sort(np.argsort(-logits, axis=1)[:, :TOP], axis=1)
