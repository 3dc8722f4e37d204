"""Which way a tree sends a row without a number: scikit-learn's trees say it for each node, and their converter leaves it out."""

import importlib
from typing import Any, List

import numpy as np

__all__ = ["keep_missing"]

TRACKS = "nodes_missing_value_tracks_true"


def keep_missing(graph: Any, model: Any) -> None:
    """Write into the trees of a converted file where missing numbers go, if it has the trees of the model, node by node.

    Args:
        graph: an ONNX model, which is changed.
        model: fitted; of a pipeline its last step counts.
    """
    steps = getattr(model, "steps", None)
    model = steps[-1][1] if isinstance(steps, list) else model
    trees: List[Any] = [
        getattr(each, "tree_", None) for each in np.ravel(getattr(model, "estimators_", None) or [model])
    ]
    nodes = [node for node in graph.graph.node if node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor")]
    if len(nodes) != 1 or not all(hasattr(tree, "missing_go_to_left") for tree in trees):
        return
    attributes = {attribute.name: attribute for attribute in nodes[0].attribute}
    ids = [index for tree in trees for index in range(tree.node_count)]
    features = [max(0, int(feature)) for tree in trees for feature in tree.feature]
    if ids != _integers(attributes, "nodes_nodeids") or features != _integers(attributes, "nodes_featureids"):
        return
    # A row that compares as true goes left.
    left = [int(each) for tree in trees for each in tree.missing_go_to_left]
    if TRACKS in attributes:
        nodes[0].attribute.remove(attributes[TRACKS])
    nodes[0].attribute.append(importlib.import_module("onnx").helper.make_attribute(TRACKS, left))


def _integers(attributes: "dict[str, Any]", name: str) -> "List[int]":
    return list(attributes[name].ints) if name in attributes else []
