import pyarrow as pa
import pytest

from trivet.domain.schema import check_schema
from trivet.errors import Invalid


def refused(schema: pa.Schema, *, which: str = "input") -> Invalid:
    with pytest.raises(Invalid) as caught:
        check_schema(schema, which=which)
    return caught.value


@pytest.mark.parametrize(
    ("data_type", "fix"),
    [
        (pa.time32("s"), "send times of day as strings: 'string'"),
        (pa.time64("us"), "send times of day as strings: 'string'"),
        (pa.null(), "give the type of the values, and '?' if they may be null"),
        (pa.dictionary(pa.int8(), pa.string()), "use the type of its values: string"),
        (pa.map_(pa.string(), pa.int8()), "use a list of structs: 'struct{key: string, value: float64}[]'"),
        (pa.uuid(), "use its storage type: fixed_size_binary[16]"),
        (pa.fixed_shape_tensor(pa.float32(), [2]), "use its storage type: fixed_size_list<item: float>[2]"),
    ],
    ids=str,
)
def test_a_type_that_rows_cannot_carry_is_refused_with_what_to_use(data_type: pa.DataType, fix: str) -> None:
    for path, wrapped in {
        "x": data_type,
        "x.y": pa.list_(pa.struct([("y", pa.list_(data_type))])),
    }.items():
        error = refused(pa.schema([("first", pa.int8()), ("x", wrapped)]))
        assert error.what == f"field {path!r} of the input schema is {data_type}, which is not supported"
        assert error.fix == fix


@pytest.mark.parametrize(
    "data_type",
    [
        pa.list_view(pa.int8()),
        pa.large_list_view(pa.int8()),
        pa.string_view(),
        pa.binary_view(),
        pa.month_day_nano_interval(),
        pa.run_end_encoded(pa.int32(), pa.int8()),
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.sparse_union([pa.field("a", pa.int8())]),
        pa.decimal32(5, 2),
    ],
    ids=str,
)
def test_rare_types_are_refused(data_type: pa.DataType) -> None:
    assert "which is not supported" in refused(pa.schema([("x", data_type)])).what


def test_a_schema_without_fields_is_refused() -> None:
    assert refused(pa.schema([]), which="output").what == "the output schema has no fields"


def test_names_must_be_there_and_differ() -> None:
    twice = [pa.field("a", pa.int8()), pa.field("a", pa.int16())]

    assert refused(pa.schema(twice)).what == "the input schema has two fields called 'a'"
    assert refused(pa.schema([("s", pa.struct(twice))])).what == "the struct 's' has two fields called 'a'"
    assert refused(pa.schema([("", pa.int8())])).what == "the input schema has a field without a name"
    assert refused(pa.schema([("a\0", pa.int8())])).what == r"the input schema has a field 'a\x00'"
    assert (
        refused(pa.schema([("s", pa.struct([]))])).what == "field 's' of the input schema is a struct without members"
    )
    check_schema(pa.schema([("a", pa.int8()), ("A", pa.int8())]), which="input")


def levels(count: int) -> pa.Schema:
    data_type = pa.int8()
    for level in range(count):
        data_type = pa.list_(data_type) if level % 2 else pa.struct([("a", data_type)])
    return pa.schema([("x", data_type)])


def test_eight_levels_are_taken_and_nine_are_not() -> None:
    check_schema(levels(8), which="input")
    assert refused(levels(9)).why == "8 nested lists and structs are allowed"
    assert refused(levels(60)).why == "8 nested lists and structs are allowed"


def test_a_row_cannot_be_larger_than_memory() -> None:
    largest = pa.list_(pa.int8(), 2**27)
    check_schema(pa.schema([("x", largest)]), which="input")

    assert refused(pa.schema([("x", largest), ("y", pa.int8())])).what.endswith("would hold 134,217,729 values")
    product = pa.list_(pa.list_(pa.int8(), 2**31 - 1), 2**31 - 1)
    assert refused(pa.schema([("x", pa.list_(product, 2**31 - 1))])).why == "134,217,728 are allowed"
    assert refused(pa.schema([("x", pa.list_(pa.struct([("y", largest), ("z", largest)])))])).fix is not None
    assert refused(pa.schema([("x", pa.binary(2**30))])).why == "134,217,728 are allowed"


@pytest.mark.parametrize("data_type", [pa.list_(pa.int8(), 0), pa.binary(0)], ids=str)
def test_a_fixed_size_is_at_least_one(data_type: pa.DataType) -> None:
    assert refused(pa.schema([("x", data_type)])).what == "field 'x' of the input schema has a fixed size of 0"


def test_ten_thousand_fields_are_taken_and_more_are_not() -> None:
    many = [pa.field(f"f{n}", pa.int8()) for n in range(10_000)]
    check_schema(pa.schema(many), which="input")

    assert (
        refused(pa.schema([*many, pa.field("one more", pa.int8())])).what
        == "the input schema has more than 10,000 fields"
    )
