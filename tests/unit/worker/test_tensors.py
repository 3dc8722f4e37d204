"""The tensor view: Arrow to numpy and back, for every type that a schema may hold."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet_worker.tensors import (
    OutputMismatch,
    describe,
    element_type,
    fixed_shape,
    form_of,
    numpy_dtype,
    to_arrow,
    to_numpy,
)

NUMBERS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
]


def column(values, data_type):
    return pa.array(values, data_type)


def encoded(values, data_type, *, rows=None, nullable=True, copy=False):
    array = to_arrow(values, pa.field("f", data_type, nullable=nullable), rows=rows, copy=copy)
    array.validate(full=True)
    assert array.type == data_type
    return array


def mismatch(values, data_type, *, rows=None, nullable=True):
    with pytest.raises(OutputMismatch) as caught:
        to_arrow(values, pa.field("f", data_type, nullable=nullable), rows=rows)
    return str(caught.value)


@pytest.mark.parametrize("data_type", NUMBERS, ids=str)
@pytest.mark.parametrize("shape", [(), (29,), (4, 3, 2), (1,)], ids=str)
def test_numbers_and_fixed_tensors_become_arrays_and_come_back(data_type, shape):
    wanted = data_type
    for size in reversed(shape):
        wanted = pa.list_(wanted, size)
    dtype = np.dtype(data_type.to_pandas_dtype())
    values = (np.arange(5 * int(np.prod(shape))) % 100).astype(dtype).reshape((5, *shape))
    array = encoded(values, wanted, rows=5)
    back = to_numpy(array, None, writable=False)
    assert back.dtype == dtype == numpy_dtype(wanted)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(to_numpy(array.slice(2, 2), None, writable=True), values[2:4])
    assert fixed_shape(wanted) == shape
    assert element_type(wanted) == data_type


def test_a_view_shares_arrows_memory_and_a_writable_one_does_not():
    array = encoded(np.ones((2, 3), np.float32), pa.list_(pa.float32(), 3))
    address = array.buffers()[2].address
    view = to_numpy(array, None, writable=False)
    assert view.ctypes.data == address
    assert not to_numpy(column([1.0], pa.float32()), None, writable=False).flags.writeable
    own = to_numpy(array, None, writable=True)
    assert own.ctypes.data != address
    own[:] = 7
    assert array.to_pylist() == [[1, 1, 1], [1, 1, 1]]


def test_an_answer_is_shared_unless_a_copy_is_asked_for():
    values = np.zeros(3)
    shared, own = encoded(values, pa.float64()), encoded(values, pa.float64(), copy=True)
    values[:] = 1
    assert shared.to_pylist() == [1, 1, 1]
    assert own.to_pylist() == [0, 0, 0]


def test_a_null_scalar_is_none_among_objects():
    view = to_numpy(column([1, None, 3], pa.int32()), None, writable=True)
    assert view.dtype == object
    assert view.tolist() == [1, None, 3]


def test_a_null_outside_of_a_slice_changes_nothing():
    view = to_numpy(column([None, 1, 2], pa.int32()).slice(1), None, writable=True)
    assert view.dtype == np.int32
    tensors = column([[None, 1], [2, 3]], pa.list_(pa.float32(), 2)).slice(1)
    assert to_numpy(tensors, None, writable=True).dtype == np.float32


def test_nulls_in_fixed_tensors_are_nones_in_the_same_shape():
    view = to_numpy(column([[1, None], None, [3, 4]], pa.list_(pa.float32(), 2)), None, writable=True)
    assert view.shape == (3, 2)
    assert view.tolist() == [[1, None], [None, None], [3, 4]]


def test_lists_of_any_length_are_arrays_of_their_own():
    view = to_numpy(column([[1, 2], [], None, [3]], pa.list_(pa.float32())), None, writable=True)
    assert view.shape == (4,)
    assert [row.tolist() for row in view] == [[1, 2], [], [], [3]]
    assert all(row.dtype == np.float32 for row in view)
    view[0][0] = 9


FLOATS, INTS, TEXTS = pa.list_(pa.float32()), pa.list_(pa.int64()), pa.list_(pa.string())


@pytest.mark.parametrize(
    ("values", "data_type", "shape", "dtype"),
    [
        ([[1, 2], [3, 4]], INTS, (2, 2), "int64"),
        ([[1, 2, 3]], FLOATS, (1, 3), "float32"),
        ([[], []], FLOATS, (2, 0), "float32"),
        ([None, None], FLOATS, (2, 0), "float32"),
        ([], FLOATS, (0, 0), "float32"),
        ([[[1, 2]], [[3, 4]]], pa.list_(FLOATS), (2, 1, 2), "float32"),
        ([[], []], pa.list_(FLOATS), (2, 0, 0), "float32"),
        ([[[1, 2, 3]], [[4, 5, 6]]], pa.list_(FLOATS, 1), (2, 1, 3), "float32"),
        ([[[1, 2]], [[3, 4]]], pa.large_list(pa.list_(pa.int8(), 2)), (2, 1, 2), "int8"),
        ([[True], [False]], pa.list_(pa.bool_()), (2, 1), "bool"),
        ([["a", "b"], ["c", None]], TEXTS, (2, 2), "object"),
        ([[1, None], [2, 3]], FLOATS, (2, 2), "object"),
        ([[{"a": 1}], [{"a": 2}]], pa.list_(pa.struct([("a", pa.int8())])), (2, 1), "object"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("writable", [True, False])
def test_lists_of_one_shape_are_one_array(values, data_type, shape, dtype, writable):
    array = column([*values, *values], data_type).slice(len(values))
    view = to_numpy(array, None, writable=writable)
    assert (view.shape, view.dtype) == (shape, dtype)
    assert view.flags.writeable or not writable
    again = encoded(view, data_type, rows=len(values)).to_pylist()
    assert again == [[] if row is None else row for row in values]


@pytest.mark.parametrize(
    ("values", "data_type", "shapes"),
    [
        ([[1, 2], [3]], FLOATS, [(2,), (1,)]),
        ([[1, 2], None], FLOATS, [(2,), (0,)]),
        ([[[1, 2], [3, 4]], [[5], [6]]], pa.list_(FLOATS), [(2, 2), (2, 1)]),
        ([[[1, 2], [3]], [[5, 6], [7, 8]]], pa.list_(FLOATS), [(2,), (2, 2)]),
        ([["a"], []], TEXTS, [(1,), (0,)]),
    ],
    ids=repr,
)
def test_ragged_lists_are_arrays_of_their_own(values, data_type, shapes):
    view = to_numpy(column(values, data_type), None, writable=True)
    assert view.dtype == object
    assert view.shape == (len(values),)
    assert [row.shape for row in view] == shapes
    assert encoded(view, data_type).to_pylist() == [[] if row is None else row for row in values]


def seen(array):
    """What a model gets, with the form of each array."""

    def described(value):
        if isinstance(value, np.ndarray):
            return (str(value.dtype), value.shape, [described(item) for item in value])
        if isinstance(value, dict):
            return {name: described(item) for name, item in value.items()}
        return (type(value), value)

    view = to_numpy(array, None, writable=True)
    return str(view.dtype), view.shape[1:], [described(row) for row in view]


kinds = st.recursive(
    st.sampled_from([pa.int32(), pa.float32(), pa.string(), pa.bool_()]),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(lambda kind: pa.list_(kind, 2)),
        inner.map(lambda kind: pa.struct([("a", kind)])),
    ),
    max_leaves=3,
)


def values_of(kind):
    if pa.types.is_fixed_size_list(kind):
        plain = st.lists(values_of(kind.value_type), min_size=2, max_size=2)
    elif pa.types.is_list(kind):
        plain = st.lists(values_of(kind.value_type), max_size=2)
    elif pa.types.is_struct(kind):
        plain = values_of(kind.field(0).type).map(lambda value: {"a": value})
    else:
        plain = {"int32": st.integers(0, 9), "float": st.just(1.5), "string": st.just("x"), "bool": st.booleans()}[
            str(kind)
        ]
    return st.one_of(plain, plain, plain, st.none())


@given(data=st.data())
def test_columns_of_one_form_are_joined_without_a_change(data):
    kind = data.draw(kinds)
    one, other = (column(data.draw(st.lists(values_of(kind), min_size=1, max_size=3)), kind) for _ in range(2))
    if form_of(one) == form_of(other):
        dtype, shape, rows = seen(pa.concat_arrays([one, other]))
        assert (dtype, shape, rows[: len(one)]) == seen(one)
        assert (dtype, shape, rows[len(one) :]) == seen(other)


def test_a_null_in_one_list_leaves_the_others_as_they_are():
    view = to_numpy(column([[1, 2], [None]], pa.list_(pa.float32())), None, writable=True)
    assert view[0].dtype == np.float32
    assert view[1].tolist() == [None]


def test_lists_of_fixed_tensors_are_tensors():
    data_type = pa.list_(pa.list_(pa.float32(), 2))
    array = column([[[1, 2], [3, 4]], [[5, 6]]], data_type)
    view = to_numpy(array.slice(1), None, writable=True)
    assert view[0].tolist() == [[5, 6]]
    assert encoded(to_numpy(array, None, writable=True), data_type).equals(array)


def test_strings_are_str_objects():
    view = to_numpy(column(["a", None, "é"], pa.string()), None, writable=True)
    assert view.dtype == object
    assert view.tolist() == ["a", None, "é"]
    assert to_numpy(column([["a", "b"]], pa.list_(pa.string(), 2)), None, writable=True).tolist() == [["a", "b"]]
    assert to_numpy(column([b"x"], pa.binary(1)), None, writable=True).tolist() == [b"x"]


def test_bools_dates_and_decimals():
    assert to_numpy(column([True, False], pa.bool_()), None, writable=True).dtype == bool
    days = to_numpy(column([datetime.date(2024, 2, 29), None], pa.date32()), None, writable=True)
    assert days.dtype == "M8[D]"
    assert str(days[1]) == "NaT"
    assert to_numpy(column([Decimal("1.50")], pa.decimal128(5, 2)), None, writable=True).tolist() == [Decimal("1.50")]


def test_structs_are_dicts_whose_tensors_are_arrays():
    data_type = pa.struct([("text", pa.string()), ("at", pa.list_(pa.float32(), 2))])
    view = to_numpy(column([{"text": "a", "at": [1, 2]}, None], data_type), None, writable=True)
    assert view[0]["text"] == "a"
    assert view[0]["at"].dtype == np.float32
    assert view[1] is None
    assert encoded(view, data_type).to_pylist() == [{"text": "a", "at": [1, 2]}, None]


# -------------------------------------------------------------------------------------------------- what models answer


@pytest.mark.parametrize(
    ("values", "data_type", "wanted"),
    [
        (np.ones(2, np.float64), pa.float32(), [1, 1]),
        (np.array([1, 2]), pa.int8(), [1, 2]),
        (np.array([1, 2]), pa.uint64(), [1, 2]),
        (np.array([1, 2]), pa.float32(), [1, 2]),
        (np.arange(3, dtype=">i4"), pa.int32(), [0, 1, 2]),
        (np.arange(6).reshape(2, 3).T, pa.list_(pa.int64(), 2), [[0, 3], [1, 4], [2, 5]]),
        (np.ones((2, 1)), pa.float32(), [1, 1]),
        (np.ones(2), pa.list_(pa.float32(), 1), [[1], [1]]),
        (np.ones((2, 2)), pa.list_(pa.float32()), [[1, 1], [1, 1]]),
        (np.ones((2, 2)), pa.large_list(pa.float32()), [[1, 1], [1, 1]]),
        ([[1, 2], [3]], pa.list_(pa.float32()), [[1, 2], [3]]),
        ([np.ones(1), np.ones(2)], pa.list_(pa.float32()), [[1], [1, 1]]),
        ([[1, None], None, []], pa.list_(pa.float32()), [[1, None], None, []]),
        ([1, None], pa.int32(), [1, None]),
        ([[1, 2], None], pa.list_(pa.float32(), 2), [[1, 2], None]),
        (np.array(["a", "bc"]), pa.string(), ["a", "bc"]),
        (np.array([b"a"], object), pa.string(), ["a"]),
        (["a", None], pa.large_string(), ["a", None]),
        (np.array([["a", "b"]]), pa.list_(pa.string(), 2), [["a", "b"]]),
        (np.array([True]), pa.bool_(), [True]),
        (np.array([[True, False]]), pa.list_(pa.bool_(), 2), [[True, False]]),
        (np.ma.array([1, 2], mask=[False, True]), pa.int32(), [1, None]),
        (np.array(["2024-01-01"], "M8[D]"), pa.date32(), [datetime.date(2024, 1, 1)]),
        ((1, 2), pa.int32(), [1, 2]),
        (np.zeros((0, 3)), pa.list_(pa.float32(), 3), []),
        ([], pa.list_(pa.float32(), 3), []),
    ],
    ids=repr,
)
def test_what_models_answer_becomes_the_declared_type(values, data_type, wanted):
    assert encoded(values, data_type).to_pylist() == wanted


@pytest.mark.parametrize(
    ("values", "data_type", "message"),
    [
        (np.array([1.5]), pa.int32(), "field 'f': expected int32, got float64 of shape (1,)"),
        (np.array([1, 2**40]), pa.int32(), "got int64 of shape (2,), of which 1099511627776 does not fit"),
        (np.array([-1]), pa.uint8(), "of which -1 does not fit"),
        (np.array([1e300]), pa.float32(), "of which one does not fit"),
        (np.array([1]), pa.bool_(), "expected bool, got int64 of shape (1,)"),
        (np.array(["1"]), pa.float32(), "expected float32, got <U1 of shape (1,)"),
        (np.array([1.0]), pa.string(), "expected string, got float64 of shape (1,)"),
        (["a", 1], pa.string(), "expected string, got objects (int, str) of shape (2,)"),
        ([1, "a"], pa.int32(), "expected int32, got objects (int, str) of shape (2,)"),
        (["a"], pa.binary(), "expected binary, got objects (str) of shape (1,)"),
        (np.ones((3, 28)), pa.list_(pa.float32(), 29), "expected float32[29], got float64 of shape (3, 28)"),
        (np.ones(3), pa.list_(pa.float32(), 29), "expected float32[29], got float64 of shape (3,)"),
        (np.ones((3, 2, 2)), pa.list_(pa.float32()), "expected float32[], got float64 of shape (3, 2, 2)"),
        ([[1, 2], [3]], pa.list_(pa.float32(), 2), "expected float32[2], got 1 elements in row 1"),
        ([1, 2], pa.list_(pa.float32()), "expected float32[], got int in row 0"),
        (["ab"], pa.list_(pa.string()), "expected string[], got str in row 0"),
        (3.0, pa.float32(), "expected float32, got float"),
        (np.array(3.0), pa.float32(), "got float64 array of shape ()"),
        (None, pa.float32(), "got None"),
        ("text", pa.string(), "got str"),
        ([{"a": 1, "b": 2}], pa.struct([("a", pa.int8())]), "got a surplus member 'b' in row 0"),
        ([{"a": "x"}], pa.struct([("a", pa.int8())]), "field 'f.a': expected int8, got objects (str) of shape (1,)"),
        ([7], pa.struct([("a", pa.int8())]), "expected struct{a: int8}, got int in row 0"),
    ],
    ids=repr,
)
def test_an_answer_of_another_type_or_shape_is_reported_with_both(values, data_type, message):
    assert message in mismatch(values, data_type)


def test_another_number_of_rows_is_reported_with_both_counts():
    message = mismatch(np.ones((2, 3), np.float32), pa.list_(pa.float32(), 3), rows=4)
    assert message == "field 'f': expected 4 rows of float32[3], got float32 of shape (2, 3)"
    assert mismatch([1, 2], pa.int32(), rows=1).startswith("field 'f': expected 1 row of int32, got")


@pytest.mark.parametrize(
    ("values", "data_type"),
    [
        ([1.0, None], pa.float32()),
        ([["a"], None], pa.list_(pa.string())),
        ([[1, None]], pa.list_(pa.field("item", pa.float32(), nullable=False), 2)),
        ([{"a": None}], pa.struct([pa.field("a", pa.int8(), nullable=False)])),
    ],
    ids=repr,
)
def test_a_null_in_a_required_field_is_reported(values, data_type):
    assert "without nulls" in mismatch(values, data_type, nullable=False)


def test_a_null_struct_may_hide_a_member_that_may_not_be_null():
    data_type = pa.struct([pa.field("a", pa.int8(), nullable=False)])
    assert encoded([None, {"a": 1}], data_type).to_pylist() == [None, {"a": 1}]


def test_types_are_described_as_people_write_them():
    image = pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32)
    assert describe(image) == "int64[32,32,3]"
    assert describe(pa.list_(pa.float64())) == "float64[]"
    assert describe(pa.struct([("a", pa.list_(pa.float16(), 2))])) == "struct{a: float16[2]}"
    assert fixed_shape(pa.list_(pa.int8())) is None
    assert numpy_dtype(pa.string()) is None
    assert numpy_dtype(pa.bool_()) == np.dtype(bool)
    assert numpy_dtype(pa.timestamp("ms")) == "M8[ms]"


LEAVES = st.sampled_from(
    [
        (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float64(), st.floats(allow_nan=False)),
        (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
        (pa.bool_(), st.booleans()),
        (pa.binary(), st.binary(max_size=4)),
    ]
)


@st.composite
def columns(draw):
    """Columns of nested types, with nulls anywhere, and cut out of longer ones."""
    data_type, values = draw(LEAVES)
    values = st.none() | values
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["fixed", "list", "large", "struct"]))
        size = draw(st.integers(1, 3))
        inner = values
        if kind == "fixed":
            data_type, values = pa.list_(data_type, size), st.lists(inner, min_size=size, max_size=size)
        elif kind == "struct":
            data_type, values = pa.struct([("m", data_type)]), st.fixed_dictionaries({"m": inner})
        else:
            data_type = pa.list_(data_type) if kind == "list" else pa.large_list(data_type)
            values = st.lists(inner, max_size=size)
    array = pa.array(draw(st.lists(values, min_size=1, max_size=4)), data_type)
    start = draw(st.integers(0, len(array)))
    return array.slice(start)


@given(columns(), st.booleans())
def test_any_column_survives_the_way_to_numpy_and_back(array, writable):
    view = to_numpy(array, None, writable=writable)
    assert len(view) == len(array)
    assert encoded(view, array.type, rows=len(array)).to_pylist() == array.to_pylist()
