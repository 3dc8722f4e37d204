"""How columns become the tensors of a model, and its tensors columns. The models only look like ones."""

import numpy as np
import pyarrow as pa
import pytest

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters.tensor_columns import Port, TensorAdapter, check_answers, in_order, ports_of_fields
from trivet_worker.failures import PackageError
from trivet_worker.tensors import OutputMismatch

FLOAT = np.dtype(np.float32)
ROW = pa.list_(pa.float32(), 6)


def field(kind: pa.DataType, name: str = "input") -> pa.Field:
    return pa.field(name, kind)


class Seen:
    """Answers with what it gets, and keeps the shape of each call."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, feeds):
        (value,) = feeds.values()
        self.shapes.append(value.shape)
        return [value]


def echoed(port: Port, kind: pa.DataType, values: np.ndarray) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    seen = Seen()
    adapter = TensorAdapter([(field(kind), port)], [(field(kind, "output"), port.name)], call=seen)
    return adapter.predict({"input": values})["output"], seen.shapes


@pytest.mark.parametrize(
    ("shape", "kind", "one"),
    [
        (None, ROW, (6,)),
        ((6,), ROW, (6,)),
        ((2, 3), ROW, (2, 3)),
        ((2, 3, 1), pa.list_(pa.list_(pa.float32(), 3), 2), (2, 3, 1)),
        ((None, 3), ROW, (2, 3)),
        ((1,), pa.float32(), (1,)),
        ((), pa.list_(pa.float32(), 1), ()),
        (None, pa.float32(), ()),
    ],
)
def test_rows_take_the_shape_that_the_model_has(shape, kind, one) -> None:
    given = (4, *([6] if kind == ROW else [2, 3] if shape == (2, 3, 1) else [1] if shape == () else []))
    _, shapes = echoed(Port("x", FLOAT, shape), kind, np.zeros(given, np.float32))
    assert shapes == [(4, *one)]


def test_numbers_become_those_of_the_model() -> None:
    found, _ = echoed(Port("x", FLOAT, (2,)), pa.list_(pa.float64(), 2), np.array([[0.1, 2.0]]))
    assert found.dtype == np.float32
    found, _ = echoed(Port("x", np.dtype(np.int32), ()), pa.int64(), np.array([7, 8]))
    assert found.dtype == np.int32


def test_a_whole_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InferenceDataValidationError, match="a value of 'input' does not fit into int32"):
        echoed(Port("x", np.dtype(np.int32), ()), pa.int64(), np.array([2**40]))


def test_a_model_of_fixed_rows_gets_pieces_of_that_size() -> None:
    found, shapes = echoed(Port("x", FLOAT, (), 4), pa.float32(), np.arange(6, dtype=np.float32))
    assert shapes == [(4,), (4,)]
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_rows_of_several_lengths_go_one_by_one() -> None:
    values = np.empty(2, object)
    values[:] = [np.array([1.0, 2.0]), np.array([3.0])]
    found, shapes = echoed(Port("x", FLOAT, (None,)), pa.list_(pa.float32()), values)
    assert shapes == [(1, 2), (1, 1)]
    assert [each.tolist() for each in found] == [[1, 2], [3]]


def test_lists_within_a_row_have_one_length() -> None:
    values = np.empty(1, object)
    values[:] = [[[1.0], [2.0, 3.0]]]
    with pytest.raises(InferenceDataValidationError, match="its lists differ in length"):
        echoed(Port("x"), pa.list_(pa.list_(pa.float32())), values)


@pytest.mark.parametrize(
    ("port", "kind", "why"),
    [
        (Port("x", FLOAT, (6,)), pa.list_(pa.float32(), 5), "shape [6] for each row, and column 'input' is float32[5]"),
        (Port("x", FLOAT, (4, None)), ROW, "shape [4, any] for each row, and column 'input' is float32[6]"),
        (Port("x", FLOAT, (6,)), pa.string(), "the model takes float32, and column 'input' is string"),
        (Port("x", np.dtype(np.int64), ()), pa.float64(), "the model takes int64, and column 'input' is float64"),
    ],
)
def test_a_column_that_does_not_fit_is_an_error_with_one_that_does(port: Port, kind: pa.DataType, why: str) -> None:
    with pytest.raises(PackageError) as caught:
        TensorAdapter([(field(kind), port)], [], call=lambda _: [])
    assert why in str(caught.value)
    assert f"A field that fits: '{port.field('input')}'" in str(caught.value)


def test_a_single_column_has_any_name() -> None:
    assert in_order([field(ROW, "a")], [Port("x")], which="input", title="it") == [(field(ROW, "a"), Port("x"))]


@pytest.mark.parametrize("names", [["y", "x"], ["input_2", "input_1"]])
def test_several_columns_are_named_as_the_model_does_or_numbered(names: list[str]) -> None:
    fields = [field(ROW, name) for name in names]
    pairs = in_order(fields, [Port("x"), Port("y")], which="input", title="it")
    assert [(pair[0].name, pair[1].name) for pair in pairs] == list(zip(reversed(names), "xy", strict=True))


def test_other_names_and_another_number_of_columns_are_errors() -> None:
    ports = [Port("x", FLOAT, (6,)), Port("y", np.dtype(np.int64), (None, 2))]
    fits = "A schema that fits: 'input_1: float32[6]; input_2: int64[2][]'"
    with pytest.raises(PackageError) as caught:
        in_order([field(ROW)], ports, which="input", title="the model")
    assert str(caught.value) == f"the model has 2 inputs (x, y), and the input schema has 1 column. {fits}"
    with pytest.raises(PackageError) as caught:
        in_order([field(ROW, "a"), field(ROW, "b")], ports, which="input", title="the model")
    assert str(caught.value) == (
        "the input schema has the columns a, b, and they must have the names of the model's inputs (x, y), or be input_1 to "
        f"input_2 in their order. {fits}"
    )


def test_a_model_that_does_not_say_its_tensors_takes_the_columns_by_number() -> None:
    fields = [field(ROW, name) for name in ("output_10", "output_9")]
    assert [port.name for port in ports_of_fields(fields, which="output")] == ["output_9", "output_10"]
    assert ports_of_fields([field(ROW, "price")], which="output") == [Port("price")]
    with pytest.raises(PackageError, match="output_1, output_2, … in the order of the model"):
        ports_of_fields([field(ROW, "a"), field(ROW, "output_1")], which="output")


@pytest.mark.parametrize(
    ("port", "kind"),
    [(Port("y", FLOAT, (1,)), pa.float32()), (Port("y", FLOAT, ()), pa.list_(pa.float64(), 1)), (Port("y"), ROW)],
)
def test_an_answer_of_one_value_is_a_scalar_or_a_list(port: Port, kind: pa.DataType) -> None:
    check_answers([(field(kind, "output"), port)])


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 5), pa.int64(), pa.list_(pa.int64(), 6), pa.string()])
def test_an_answer_of_another_type_or_shape_is_an_error(kind: pa.DataType) -> None:
    with pytest.raises(PackageError, match=r"A field that fits: 'output: float32\[6\]'"):
        check_answers([(field(kind, "output"), Port("y", FLOAT, (6,)))])


def test_answers_are_found_by_name_or_in_order() -> None:
    fields = [(field(ROW, "a"), "x"), (field(ROW, "b"), "y")]
    by_name = TensorAdapter([(field(ROW), Port("i"))], fields, call=lambda _: {"y": np.ones(1), "x": np.zeros(1)})
    in_turn = TensorAdapter([(field(ROW), Port("i"))], fields, call=lambda _: [np.zeros(1), np.ones(1)])
    for adapter in (by_name, in_turn):
        found = adapter.predict({"input": np.zeros((1, 6), np.float32)})
        assert {name: value.tolist() for name, value in found.items()} == {"a": [0], "b": [1]}


@pytest.mark.parametrize("answer", [[np.zeros(1)], {"x": np.zeros(1)}, {"x": np.zeros(1), "z": np.zeros(1)}])
def test_a_missing_answer_is_a_mismatch(answer) -> None:
    fields = [(field(ROW, "a"), "x"), (field(ROW, "b"), "y")]
    adapter = TensorAdapter([(field(ROW), Port("i"))], fields, call=lambda _: answer)
    with pytest.raises(OutputMismatch):
        adapter.predict({"input": np.zeros((1, 6), np.float32)})


def test_another_number_of_rows_is_a_mismatch() -> None:
    adapter = TensorAdapter([(field(ROW), Port("i"))], [(field(ROW, "a"), "x")], call=lambda _: [np.zeros((3, 6))])
    with pytest.raises(OutputMismatch, match="a row for each row of input"):
        adapter.predict({"input": np.zeros((2, 6), np.float32)})
