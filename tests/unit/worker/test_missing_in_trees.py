"""The trees of a converted file send missing numbers where the model's own trees send them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from trivet_worker.converting.missing import keep_missing

FLOAT = TensorProto.FLOAT


def stump(left: int) -> SimpleNamespace:
    """A tree of one question and two leaves, which sends missing numbers to the left or not."""
    return SimpleNamespace(
        node_count=3, feature=np.array([0, -2, -2]), missing_go_to_left=np.array([left, 0, 0], np.uint8)
    )


def converted(trees: int) -> Any:
    """Trees that answer 1 on the left and 2 on the right, as the converter writes them: missing numbers go right."""
    each = range(trees)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[tree for tree in each for _ in range(3)],
        nodes_nodeids=[0, 1, 2] * trees,
        nodes_featureids=[0, 0, 0] * trees,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * trees,
        nodes_values=[0.5, 0.0, 0.0] * trees,
        nodes_truenodeids=[1, 0, 0] * trees,
        nodes_falsenodeids=[2, 0, 0] * trees,
        nodes_missing_value_tracks_true=[0, 0, 0] * trees,
        target_treeids=[tree for tree in each for _ in range(2)],
        target_nodeids=[1, 2] * trees,
        target_ids=[0, 0] * trees,
        target_weights=[1.0, 2.0] * trees,
    )
    ends = [helper.make_tensor_value_info(name, FLOAT, [None, 1]) for name in "xy"]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=opsets, ir_version=8)


def answer(model: Any) -> float:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return float(session.run(None, {"x": np.float32([[np.nan]])})[0][0, 0])


@pytest.mark.parametrize(("left", "expected"), [((0, 0), 4.0), ((1, 0), 3.0), ((1, 1), 2.0)])
def test_each_tree_sends_missing_numbers_its_own_way(left: tuple[int, int], expected: float) -> None:
    model = converted(2)
    keep_missing(model, SimpleNamespace(estimators_=[SimpleNamespace(tree_=stump(each)) for each in left]))
    assert answer(model) == expected


def test_the_last_step_of_a_pipeline_counts() -> None:
    model = converted(1)
    keep_missing(model, SimpleNamespace(steps=[("scale", None), ("tree", SimpleNamespace(tree_=stump(1)))]))
    assert answer(model) == 1.0


@pytest.mark.parametrize(
    "other",
    [
        SimpleNamespace(),
        SimpleNamespace(estimators_=[SimpleNamespace(tree_=stump(1))] * 3),
        SimpleNamespace(estimators_=[SimpleNamespace(coef_=1.0)] * 2),
    ],
    ids=["no trees", "other trees", "others"],
)
def test_a_file_with_other_trees_stays_as_it_is(other: Any) -> None:
    model = converted(2)
    before = model.SerializeToString()
    keep_missing(model, other)
    assert model.SerializeToString() == before
