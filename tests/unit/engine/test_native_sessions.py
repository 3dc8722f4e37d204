"""ONNX models in this process: types, shapes, rows, and what is said about models that cannot be served."""

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from trivet.domain.schema import format_schema, parse_schema
from trivet.engine.batch import Batch
from trivet.engine.native.cost import measure
from trivet.engine.native.session import NativeSession
from trivet.errors import BadPackage, Invalid, ModelFailed, Unsupported

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

DTYPES = {
    "FLOAT": ("float32", [1.5, -0.0, np.inf]),
    "DOUBLE": ("float64", [1e300, 0.1, np.nan]),
    "FLOAT16": ("float16", [1.5, 65504, 0]),
    "INT8": ("int8", [-128, 127, 0]),
    "INT16": ("int16", [-(2**15), 2**15 - 1, 0]),
    "INT32": ("int32", [-(2**31), 2**31 - 1, 0]),
    "INT64": ("int64", [-(2**63), 2**63 - 1, 2**53 + 1]),
    "UINT8": ("uint8", [255, 0, 1]),
    "UINT16": ("uint16", [2**16 - 1, 0, 1]),
    "UINT32": ("uint32", [2**32 - 1, 0, 1]),
    "UINT64": ("uint64", [2**64 - 1, 2**53 + 1, 0]),
    "BOOL": ("bool", [True, False, True]),
    "STRING": ("string", ["é😀", "", "a\x00b"]),
}


def of_lists(session, *columns):
    """A batch from Python values, through Arrow as a client's would come."""
    arrays = [pa.array(values, field.type) for values, field in zip(columns, session.input_schema, strict=True)]
    return Batch.of_record_batch(pa.RecordBatch.from_arrays(arrays, schema=session.input_schema))


def answer(session, *columns):
    """What it answers, as Python values, checked against its own schema."""
    batch = session.run(of_lists(session, *columns))
    record_batch = batch.record_batch()
    record_batch.validate(full=True)
    assert record_batch.schema == session.output_schema
    answers = [column.to_pylist() for column in record_batch.columns]
    return answers[0] if len(answers) == 1 else answers


def refusal(path, **options):
    with pytest.raises((BadPackage, Invalid)) as caught:
        NativeSession(path, **options)
    return caught.value


def test_a_missing_provider_is_refused_with_those_that_are_there(models):
    path = models.identity(["N"])
    with pytest.raises(Unsupported) as caught:
        NativeSession(path, providers=["ImaginaryExecutionProvider", "CPUExecutionProvider"])
    assert caught.value.what == f"{path.name} cannot run on ImaginaryExecutionProvider"
    assert "CPUExecutionProvider" in str(caught.value.why)
    assert caught.value.fix


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [["N"], ["N", 3], [1, 3], ["N", "M"], []], ids=str)
def test_every_type_of_tensor_is_carried_exactly(models, name, shape):
    kind, values = DTYPES[name]
    session = NativeSession(models.identity(shape, getattr(TensorProto, name)))
    rows = values if len(shape) < 2 else [values, values]
    scalar = parse_schema(f"x: {kind}").field(0).type
    wanted = pa.array([rows[0]] if len(shape) < 2 else values, scalar).to_pylist()
    got = answer(session, rows)
    np.testing.assert_array_equal([got[0]] if len(shape) < 2 else got[1], wanted)
    assert len(got) == len(rows)
    suffix = "" if len(shape) < 2 else "[]" if shape[-1] == "M" else "[3]"
    assert format_schema(session.input_schema) == f"x: {kind}{suffix}"
    assert measure(session).call_s > 0


def test_a_type_that_rows_cannot_hold_is_named(models):
    error = refusal(models.identity(["N", 2], TensorProto.BFLOAT16))
    assert error.what == "input 'x' is a tensor(bfloat16), which rows cannot hold"
    assert error.fix == "export the model with inputs of numbers, booleans or strings"


def test_a_classifier_with_maps_is_refused_with_a_fix(write_model):
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 1.0],
            intercepts=[0.0, 0.0],
            classlabels_ints=[0, 1],
        ),
        helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, None))
    )
    path = write_model(
        nodes, {"x": (FLOAT, ["N", 1])}, {"label": (INT64, ["N"]), "maps": helper.make_value_info("maps", maps)}
    )
    error = refusal(path)
    assert "seq(map(int64,tensor(float)))" in error.what
    assert "zipmap=False" in error.fix


def test_several_inputs_and_outputs_keep_their_order_and_names(write_model):
    nodes = [helper.make_node("Sub", ["b", "a"], ["y"]), helper.make_node("Identity", ["s"], ["t"])]
    path = write_model(
        nodes,
        {"b": (FLOAT, ["N", 2]), "a": (FLOAT, ["N", 2]), "s": (STRING, ["N"])},
        {"t": (STRING, ["N"]), "y": (FLOAT, ["N", 2])},
    )
    session = NativeSession(path)
    assert format_schema(session.input_schema) == "b: float32[2]; a: float32[2]; s: string"
    assert format_schema(session.output_schema) == "t: string; y: float32[2]"
    text, numbers = answer(session, [[5, 5], [7, 7]], [[1, 2], [3, 4]], ["p", "q"])
    assert (text, numbers) == (["p", "q"], [[4, 3], [4, 3]])


def test_tensor_fields_rename_the_inputs_in_the_model_s_order(write_model):
    path = write_model(
        [helper.make_node("Sub", ["b", "a"], ["y"])],
        {"b": (FLOAT, ["N", 1]), "a": (FLOAT, ["N", 1])},
        {"y": (FLOAT, ["N", 1])},
    )
    session = NativeSession(path, tensor_fields=["first", "second"])
    assert session.input_schema.names == ["first", "second"]
    assert answer(session, [[5.0]], [[3.0]]) == [[2.0]]
    error = refusal(path, tensor_fields=["only"])
    assert isinstance(error, Invalid)
    assert error.what == "tensor_fields names 1 columns and the model has 2 inputs"
    assert error.why == "the model's inputs are b, a"
    assert error.fix == "give one name for each input, in that order"
    assert refusal(path, tensor_fields=["same", "same"]).what == "tensor_fields names a column twice"


@pytest.mark.parametrize("fixed", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9])
def test_a_fixed_number_of_rows_is_filled_up_and_cut_again(models, fixed, rows):
    session = NativeSession(models.identity([fixed, 2]))
    assert format_schema(session.input_schema) == "x: float32[2]"
    values = [[float(index), 0.5] for index in range(rows)]
    assert answer(session, values) == values
    assert not session.joins


def test_strings_in_a_fixed_number_of_rows_are_filled_up_too(models):
    session = NativeSession(models.identity([4, 2], STRING))
    assert answer(session, [["a", "b"]] * 5) == [["a", "b"]] * 5


def test_single_makes_one_call_a_row(write_model):
    """With the mean over all rows of a call it shows how many rows the call had."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    path = write_model(nodes, {"x": (FLOAT, ["N", 1])}, {"y": (FLOAT, ["N", 1])})
    assert answer(NativeSession(path), [[1], [3]]) == [[-1], [1]]
    single = NativeSession(path, single=True)
    assert answer(single, [[1], [3]]) == [[0], [0]]
    assert not single.joins


def test_single_with_a_fixed_first_dimension_makes_it_part_of_the_row(models):
    session = NativeSession(models.identity([4, 2]), single=True)
    assert format_schema(session.input_schema) == "x: float32[4,2]"
    assert format_schema(session.output_schema) == "y: float32[4,2]"
    row = [[1.0, 2.0]] * 4
    assert answer(session, [row, row]) == [row, row]


def test_free_dimensions_may_differ_from_row_to_row(models):
    session = NativeSession(models.identity(["N", "M"]))
    for rows in ([[1, 2], [3]], [[1, 2], [3, 4]], [[], [1]], [[]], [[1, 2, 3]]):
        assert answer(session, rows) == rows
    assert not session.joins


def test_a_fixed_number_of_rows_is_filled_up_with_a_free_dimension_too(models):
    session = NativeSession(models.identity([4, "M"]))
    for rows in ([[1, 2]], [[1, 2], [3]], [[float(index)] for index in range(5)]):
        assert answer(session, rows) == rows


def test_free_dimensions_of_strings_may_differ_from_row_to_row(models):
    session = NativeSession(models.identity(["N", "M"], STRING))
    for rows in ([["a", "b"], ["c"]], [["a", "b"], ["c", "d"]], [[], ["x"]]):
        assert answer(session, rows) == rows


def test_two_free_dimensions_make_a_rectangle_within_a_row(models):
    session = NativeSession(models.identity(["N", "H", "W"]))
    rows = [[[1, 2], [3, 4]], [[5, 6, 7]]]
    assert answer(session, rows) == rows
    with pytest.raises(Invalid) as caught:
        session.run(of_lists(session, [[[1, 2], [3, 4]], [[1, 2], [3]]]))
    assert caught.value.path == "[1].x"
    assert caught.value.message == "row 1 of 'x' is not a tensor: its lists differ in length"


def test_a_free_dimension_before_a_fixed_one(models):
    session = NativeSession(models.identity(["N", "M", 3]))
    assert format_schema(session.input_schema) == "x: float32[*,3]"
    rows = [[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]]
    assert answer(session, rows) == rows


def test_an_input_without_a_dimension_for_rows_is_fed_row_by_row(write_model):
    path = write_model(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        {"x": (FLOAT, ["N", 2]), "factor": (FLOAT, [])},
        {"y": (FLOAT, ["N", 2])},
    )
    session = NativeSession(path)
    assert format_schema(session.input_schema) == "x: float32[2]; factor: float32"
    assert answer(session, [[1, 2], [3, 4]], [10, 100]) == [[10, 20], [300, 400]]
    assert not session.joins


@pytest.mark.parametrize(("axes", "shape"), [(None, []), ([0], [2]), ([0], ["K"]), ([0], None)], ids=str)
def test_an_output_without_rows_is_refused(write_model, axes, shape):
    node = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0, **({"axes": axes} if axes else {}))
    path = write_model([node], {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, shape)})
    if axes:
        # By chance there are as many columns as rows were tried: the first other number of rows shows it, before serving.
        with pytest.raises((BadPackage, ModelFailed), match="output 'y' has"):
            measure(NativeSession(path))
    else:
        error = refusal(path)
        assert error.what == "output 'y' has no row for each row of input"
        assert "--batch-config single" in error.fix
    session = NativeSession(path, single=True)
    assert answer(session, [[1, 3], [5, 7]]) == ([2, 6] if axes is None else [[1, 3], [5, 7]])


def selecting(write_model, above, declared="M"):
    """`y` has the values of `x` above a limit."""
    nodes = [
        helper.make_node("Constant", [], ["limit"], value=helper.make_tensor("limit", FLOAT, [], [above])),
        helper.make_node("Greater", ["x", "limit"], ["chosen"]),
        helper.make_node("Compress", ["x", "chosen"], ["y"], axis=0),
    ]
    return write_model(nodes, {"x": (FLOAT, ["N"])}, {"y": (FLOAT, [declared])})


@pytest.mark.parametrize("declared", ["M", "N"])
def test_an_output_whose_rows_depend_on_values_is_refused(write_model, declared):
    path = selecting(write_model, -1.0, declared)
    error = refusal(path)
    assert error.what == "output 'y' has no row for each row of input"
    assert error.why == "1 row went in and its shape is [0]"
    session = NativeSession(path, single=True)
    assert answer(session, [1.0, -5.0, 2.0]) == [[1.0], [], [2.0]]


def test_rows_that_a_model_selects_are_never_those_of_others(write_model):
    session = NativeSession(selecting(write_model, -1e9))
    assert not session.joins
    assert answer(session, [1.0, -5.0]) == [1.0, -5.0]
    with pytest.raises(ModelFailed) as caught:
        session.run(of_lists(session, [1.0, -1e10, 2.0]))
    assert caught.value.reason == "model_output_mismatch"
    assert caught.value.path == "y"
    assert caught.value.message == "output 'y' has 0 rows for 1 rows of input: its shape is [0]"


def test_an_output_with_as_many_entries_as_trial_rows_is_refused(write_model):
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    axes = helper.make_tensor("axes", INT64, [1], [0])
    path = write_model([node], {"x": (FLOAT, ["N", 7])}, {"y": (FLOAT, ["K"])}, [axes])
    error = refusal(path)
    assert error.what == "output 'y' has no row for each row of input"
    assert error.why == "2 rows went in and its shape is [7]"


def test_values_that_an_operator_refuses_are_the_model_s_error(write_model):
    table = helper.make_tensor("table", FLOAT, [3], [1.0, 2.0, 3.0])
    path = write_model(
        [helper.make_node("Gather", ["table", "x"], ["y"])], {"x": (INT64, ["N"])}, {"y": (FLOAT, ["N"])}, [table]
    )
    session = NativeSession(path)
    with pytest.raises(ModelFailed, match="the model refused the values: .*out of data bounds"):
        session.run(of_lists(session, [7]))
    assert answer(session, [2]) == [3.0]


def test_a_model_that_zeros_do_not_suit_needs_an_example(write_model):
    table = helper.make_tensor("table", FLOAT, [3], [1.0, 2.0, 3.0])
    nodes = [
        helper.make_node("Constant", [], ["one"], value=helper.make_tensor("one", INT64, [], [9])),
        helper.make_node("Sub", ["x", "one"], ["i"]),
        helper.make_node("Gather", ["table", "i"], ["y"]),
    ]
    path = write_model(nodes, {"x": (INT64, ["N"])}, {"y": (FLOAT, ["N"])}, [table])
    error = refusal(path)
    assert error.what == "the model cannot answer a canned row of zeros"
    assert error.fix == "give valid rows as `example:` in trivet.yaml"
    session = NativeSession(path, example=lambda schema: Batch(schema, [np.array([9])], 1))
    assert answer(session, [10]) == [2.0]
    assert session.canned.numpy(0).tolist() == [9]
    error = refusal(path, example=lambda schema: Batch(schema, [np.array([90])], 1))
    assert error.what == "the model refuses the example row"


def test_a_broken_file_is_refused(models, tmp_path):
    whole = models.identity(["N", 2]).read_bytes()
    broken = tmp_path / "broken.onnx"
    for content in (b"", whole[: len(whole) // 2], b"PK\x03\x04", whole[:-1]):
        broken.write_bytes(content)
        error = refusal(broken)
        assert isinstance(error, BadPackage)
        assert "cannot load broken.onnx" in error.what
        assert error.why
        assert error.fix == "check the file with onnx.checker.check_model, and that it is complete"


def test_a_model_of_the_future_is_refused_clearly(models):
    path = models.identity(["N", 2])
    model = onnx.load(path)
    model.opset_import[0].version = 999
    onnx.save(model, path)
    error = refusal(path)
    assert "opset" in error.why


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_come_back_as_they_went_in(models, data):
    shape = data.draw(st.sampled_from([("N", 2), (1, 2), (3, 2), ("N", "M"), ("N",), ()]))
    session = NativeSession(models.identity(list(shape), INT64))
    number = st.integers(-(2**63), 2**63 - 1)
    width = {"M": st.lists(number, max_size=4), 2: st.lists(number, min_size=2, max_size=2)}
    row = width[shape[1]] if len(shape) > 1 else number
    rows = data.draw(st.lists(row, min_size=1, max_size=9))
    assert answer(session, rows) == rows
