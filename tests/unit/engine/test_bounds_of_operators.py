"""The bounds of the operators on the list hold for the cases that the ONNX project tests its operators with."""

import warnings
from typing import Any

import numpy as np
from onnx.backend.test.case.node import collect_testcases

from trivet.engine.native.graphs.harmless import followed
from trivet.engine.native.graphs.sizes import NotHarmless
from trivet.engine.native.graphs.values import INTEGERS, Value

PROVED = 1100


def fits(value: Value, answer: np.ndarray, kind: int) -> bool:
    """Whether an answer is within what was known of it."""
    if value.kind != kind or value.rank != answer.ndim or (value.elements.limit or 0) < answer.size:
        return False
    if any(size.known not in (None, real) for size, real in zip(value.dims, answer.shape, strict=True)):
        return False
    if any(size.limit is None or size.limit < real for size, real in zip(value.dims, answer.shape, strict=True)):
        return False
    if value.content is None or kind not in INTEGERS:
        return True
    numbers = answer.reshape(-1).tolist()
    return len(numbers) == len(value.content) and all(
        size.known in (None, number) for size, number in zip(value.content, numbers, strict=True)
    )


def known(case: Any, inputs: Any) -> dict[str, Value]:
    return {
        proto.name: Value.fixed(np.asarray(value), proto.type.tensor_type.elem_type)
        for proto, value in zip(case.model.graph.input, inputs, strict=False)
    }


def test_no_answer_of_an_operator_is_outside_of_its_bounds() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    outside, proved = [], 0
    for case in cases:
        if not all(end.type.HasField("tensor_type") for end in (*case.model.graph.input, *case.model.graph.output)):
            continue
        for inputs, outputs in case.data_sets or ():
            try:
                values = followed(case.model, known(case, inputs))
            except NotHarmless:
                continue
            proved += 1
            ends = zip(values, outputs, case.model.graph.output, strict=True)
            if not all(fits(value, np.asarray(answer), end.type.tensor_type.elem_type) for value, answer, end in ends):
                outside.append(case.name)

    # The answers of this case are of a type that numpy does not have, and so is the array in the case.
    assert [name for name in outside if name != "test_quantizelinear_blocked_symmetric"] == []
    assert proved >= PROVED
