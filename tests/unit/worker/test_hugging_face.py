"""The adapter of Hugging Face: how rows become calls of a pipeline, and what it says to become answers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mac.exceptions import InferenceDataValidationError
from trivet.domain.schema_text import parse_schema
from trivet_worker.adapters.hugging_face import HuggingFaceAdapter, check_schemas
from trivet_worker.failures import PackageError
from trivet_worker.hugging_face_tasks import TASKS
from trivet_worker.tensors import to_arrow, to_numpy


class Recorded:
    """A pipeline that keeps its calls, and says what it was given."""

    def __init__(self, answer: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._answer = answer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((*args, kwargs))
        return self._answer


def ask(
    task: str, answer: Any, inputs: str, outputs: str, rows: list[dict[str, Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """The calls of a pipeline that says `answer`, and the answers by field."""
    pipeline, fields = Recorded(answer), list(parse_schema(outputs))
    schema = parse_schema(inputs)
    check_schemas(task, list(schema), fields)
    columns = {
        field.name: to_numpy(pa.array([row[field.name] for row in rows], field.type), writable=True) for field in schema
    }
    found = HuggingFaceAdapter(TASKS[task], pipeline, fields).predict(columns)
    arrows = {field.name: to_arrow(found[field.name], field, rows=len(rows), copy=True).to_pylist() for field in fields}
    return pipeline.calls, arrows


TWO = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]


def test_each_row_is_a_call_with_its_columns_as_arguments() -> None:
    rows = [{"inputs": "a", "top_k": 2}, {"inputs": "b", "top_k": 3}]
    calls, found = ask(
        "text-classification", TWO, "inputs: string; top_k: int64", "label: string[]; score: float64[]", rows
    )
    assert calls == [("a", {"top_k": 2}), ("b", {"top_k": 3})]
    assert found == {"label": [["good", "bad"]] * 2, "score": [[0.75, 0.25]] * 2}


def test_a_null_option_is_not_given() -> None:
    calls, _ = ask(
        "sentiment-analysis",
        TWO[:1],
        "inputs: string; top_k: int64?",
        "label: string",
        [{"inputs": "a", "top_k": None}],
    )
    assert calls == [("a", {})]


def test_one_answer_fits_a_field_that_is_not_a_list() -> None:
    rows = [{"inputs": "a"}]
    assert ask("text-classification", TWO[:1], "inputs: string", "label: string", rows)[1] == {"label": ["good"]}
    with pytest.raises(InferenceDataValidationError, match="there are 2 answers, and 'label' has one"):
        ask("text-classification", TWO, "inputs: string", "label: string", rows)


def test_a_row_that_asks_for_another_number_of_answers_is_refused() -> None:
    with pytest.raises(
        InferenceDataValidationError, match="there is 1 answer, and 'label' has 2: let it be a list of any"
    ):
        ask("text-classification", TWO[:1], "inputs: string", "label: string[2]", [{"inputs": "a"}])


def test_an_option_with_another_value_than_its_choices_is_refused() -> None:
    row = {"inputs": "a", "function_to_apply": "relu"}
    with pytest.raises(InferenceDataValidationError) as caught:
        ask("text-classification", TWO, "inputs: string; function_to_apply: string", "label: string[]", [row])
    assert str(caught.value) == "'function_to_apply' is 'relu': it can be sigmoid or softmax or none"


def test_no_answers_are_empty_lists() -> None:
    inputs, outputs = "question: string; context: string", "answer: string[]; score: float64[]"
    found = ask("question-answering", [], inputs, outputs, [{"question": "q", "context": "c"}])
    assert found == ([({"question": "q", "context": "c"},)], {"answer": [[]], "score": [[]]})


def test_token_ids_of_one_answer_are_a_list_themselves() -> None:
    said = [{"summary_token_ids": np.array([1, 2, 3])}]
    rows = [{"inputs": "a", "return_tensors": True}]
    calls, found = ask(
        "summarization", said, "inputs: string; return_tensors: bool", "summary_token_ids: int64[]", rows
    )
    assert calls == [("a", {"return_tensors": True})]
    assert found == {"summary_token_ids": [[1, 2, 3]]}
    with pytest.raises(
        InferenceDataValidationError, match="the answer has no 'summary_text': it has summary_token_ids"
    ):
        ask("summarization", said, "inputs: string", "summary_text: string", [{"inputs": "a"}])


def test_boxes_and_masks_are_numbers() -> None:
    class Mask:
        def getbands(self) -> str:
            return "L"

        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.array([[0, 255]], dtype=np.uint8)

    said = [{"score": None, "label": "a", "mask": Mask(), "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}]
    adapter = HuggingFaceAdapter(
        TASKS["zero-shot-classification"]._replace(several=True),
        Recorded(said),
        list(parse_schema("mask: int64[*,1,2]; box: int64[*,4]")),
    )
    found = adapter.predict({"inputs": np.array(["x"], object), "candidate_labels": np.array([["a"]], object)})
    assert found["mask"].tolist() == [[[[0, 255]]]]
    assert found["box"].tolist() == [[[1, 2, 3, 4]]]


def test_a_structured_answer_keeps_its_form() -> None:
    said = {"text": "ab", "chunks": [{"text": "a", "timestamp": (0.0, 0.5)}]}
    outputs = "text: string; chunks: struct{text: string?, timestamp: float32[]?}[]"
    rows = [{"inputs": [0.5, 1.0], "return_timestamps": "true"}]
    calls, found = ask(
        "automatic-speech-recognition", said, "inputs: float32[]; return_timestamps: string", outputs, rows
    )
    assert calls[0][0].dtype == np.float32
    assert calls[0][1] == {"return_timestamps": True}
    assert found == {"text": ["ab"], "chunks": [[{"text": "a", "timestamp": [0.0, 0.5]}]]}


def test_features_are_those_of_the_one_text() -> None:
    rows = [{"inputs": "a"}]
    found = ask("feature-extraction", [[[1.0, 2.0], [3.0, 4.0]]], "inputs: string", "output: float64[*,2]", rows)[1]
    assert found == {"output": [[[1.0, 2.0], [3.0, 4.0]]]}


def test_text_generation_drops_what_it_does_anyway() -> None:
    inputs = "inputs: string; return_text: bool; return_tensors: bool; return_full_text: bool; max_new_tokens: int64"
    row = {"inputs": "a", "return_text": True, "return_tensors": False, "return_full_text": False, "max_new_tokens": 3}
    calls, found = ask("text-generation", [{"generated_text": "b"}], inputs, "generated_text: string[1]", [row])
    assert calls == [("a", {"return_full_text": False, "max_new_tokens": 3})]
    assert found == {"generated_text": [["b"]]}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([[[[0, 0, 256]]]], "its numbers are not from 0 to 255"),
        ([[[[-1, 0, 0]]]], "its numbers are not from 0 to 255"),
        ([[[[0, 0]]]], "it needs rows of pixels, with three numbers each"),
        ([[[[0, 0, 0]], [[0, 0, 0], [1, 1, 1]]]], "it needs rows of pixels, with three numbers each"),
        ([[]], "it needs rows of pixels, with three numbers each"),
    ],
    ids=["large", "negative", "two numbers", "ragged", "empty"],
)
def test_what_is_not_an_image_is_refused(rows: list[Any], why: str) -> None:
    with pytest.raises(InferenceDataValidationError) as caught:
        ask("image-classification", [], "inputs: int64[*,*,*]", "label: string[]", [{"inputs": each} for each in rows])
    assert str(caught.value) == f"'inputs' is not an image: {why}"


@pytest.mark.parametrize(
    ("task", "inputs", "outputs", "why"),
    [
        ("translation", "text: string", "translation_text: string", "translation needs the input 'inputs'"),
        ("object-detection", "inputs: int64[]; top_k: int64", "box: int64[]", "does not take the input 'top_k'"),
        ("summarization", "inputs: string; custom_generate: string", "summary_text: string", "'custom_generate'"),
        ("translation", "inputs: string", "text: string", "no answer for the output field 'text'"),
    ],
    ids=["missing", "unknown", "code", "answer"],
)
def test_a_schema_that_the_task_does_not_have_is_refused(task: str, inputs: str, outputs: str, why: str) -> None:
    with pytest.raises(PackageError, match=why):
        check_schemas(task, list(parse_schema(inputs)), list(parse_schema(outputs)))


def test_further_inputs_pass_where_the_task_forwards_them() -> None:
    outputs = list(parse_schema("summary_text: string"))
    check_schemas("summarization", list(parse_schema("inputs: string; max_new_tokens: int64")), outputs)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_type_of_the_table_is_one(task: str) -> None:
    row = TASKS[task]
    for fields in (row.inputs, row.options, row.answers, row.more):
        assert list(fields) == [parse_schema(f"{name}: {kind}").names[0] for name, kind in fields.items()]
