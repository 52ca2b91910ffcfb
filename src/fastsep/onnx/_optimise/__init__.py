"""Passes: small functions from Graph to Graph, one kind a file.

The values of a graph keep their names and their meaning, its inputs and outputs theirs; only who makes a
value changes. Nothing depends on the sizes of images: what is fused is the same for all that the graph can be
given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fastsep.onnx._graph import UNUSED, Graph, with_account, without_dead_code
from fastsep.onnx._optimise.activations import fuse_activations
from fastsep.onnx._optimise.batch_norms import fold_batch_norms
from fastsep.onnx._optimise.constants import Room, fold_constants
from fastsep.onnx._optimise.elementwise import make_elementwise
from fastsep.onnx._optimise.epilogues import fuse_epilogues
from fastsep.onnx._optimise.identities import without_identities
from fastsep.onnx._optimise.inverted_residuals import fuse_inverted_residuals
from fastsep.onnx._optimise.layers import make_layers
from fastsep.onnx._optimise.lines import fuse_lines
from fastsep.onnx._optimise.pads import fold_pads
from fastsep.onnx._optimise.pools import make_pools
from fastsep.onnx._optimise.scales import fold_scales
from fastsep.onnx._optimise.separable import fuse_separable
from fastsep.onnx._optimise.transposes import sink_transposes

Stage = Callable[[Graph], Graph]
#: Repeated, after constants are folded, until nothing changes: each can make room for one before it.
_REPEATED = (
    without_identities,
    sink_transposes,
    fuse_activations,
    make_layers,
    make_pools,
    fold_pads,
    fold_batch_norms,
    fold_scales,
    fuse_epilogues,
)
#: Once, on what is left.
_LAST = (
    fuse_lines,
    fold_scales,
    fuse_epilogues,
    fuse_inverted_residuals,
    fuse_separable,
    make_elementwise,
)
_MOST_ROUNDS = 8
#: What became of a node that is gone after a stage, unless the pass itself has said it.
_REASONS: Mapping[Stage, str] = {
    without_identities: UNUSED,
    sink_transposes: "left out: it undoes another, or is part of one",
}
# Part of it, or no longer read.
_OTHERWISE = "left out: what was fused does without it"


def optimise(graph: Graph) -> Graph:
    """Fold what is constant, and fuse what fastsep computes in one go.

    Parameters
    ----------
    graph : Graph
        Of ONNX operators in their one form.

    Returns
    -------
    Graph
        Of the fused operators of `_operators.fused`, and of ONNX's where none fits.
    """
    graph = with_account(without_dead_code(graph), graph.nodes, UNUSED)
    room = Room()
    # Weights may be NaN, and variances negative: what comes of it is NaN, as it would be unfused.
    with np.errstate(all="ignore"):
        for _ in range(_MOST_ROUNDS):
            before = graph
            graph = with_account(fold_constants(graph, room), graph.nodes, UNUSED)
            for stage in _REPEATED:
                graph = _staged(stage, graph)
            if graph is before:
                break
        for stage in _LAST:
            graph = _staged(stage, graph)
    return graph._replace(facts={})


def _staged(stage: Stage, graph: Graph) -> Graph:
    return with_account(stage(graph), graph.nodes, _REASONS.get(stage, _OTHERWISE))
