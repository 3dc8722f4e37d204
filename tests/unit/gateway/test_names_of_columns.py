"""Columns that are absent, misspelt or of another model: the same is said of them in JSON and in Arrow."""

import json

import pyarrow as pa
import pytest

from trivet.errors import Invalid
from trivet.gateway.allowance import Allowance
from trivet.gateway.formats.arrow_in import decode_arrow
from trivet.gateway.formats.records import RecordsDecoder

OPTIONAL = pa.schema([("sl", pa.float64()), ("petal_width", pa.float64())])
TENSOR = pa.schema([pa.field("X", pa.list_(pa.float32(), 4), nullable=False)])


def by_json(schema: pa.Schema, row: dict) -> None:
    RecordsDecoder(schema).decode(json.dumps([row]).encode())


def by_arrow(schema: pa.Schema, row: dict) -> None:
    table = pa.Table.from_pylist([row])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    decode_arrow(body, schema, Allowance(len(body)))


both = pytest.mark.parametrize("decode", [by_json, by_arrow])


@both
@pytest.mark.parametrize("name", ["SL", "Sl"])
def test_an_optional_field_in_another_case_is_not_absent(decode, name):
    with pytest.raises(Invalid, match=f"has no field '{name}', and its optional field 'sl' is absent"):
        decode(OPTIONAL, {name: 1.0, "petal_width": 2.0})


@both
def test_a_misspelt_optional_field_is_not_absent(decode):
    with pytest.raises(Invalid, match="rename it to 'petal_width'"):
        decode(OPTIONAL, {"sl": 1.0, "petal_widht": 2.0})


@both
def test_a_row_of_which_the_model_knows_nothing_is_refused(decode):
    with pytest.raises(Invalid, match="has none of the fields 'id', 'when'") as caught:
        decode(OPTIONAL, {"id": 1.0, "when": 2.0})
    assert "'sl', 'petal_width'" in caught.value.why


@both
def test_some_optional_fields_may_be_absent_and_others_unknown(decode):
    decode(OPTIONAL, {"sl": 1.0, "id": 2.0})
    decode(OPTIONAL, {"petal_width": 1.0})


def test_rows_without_any_field_are_answered_where_all_are_optional():
    by_json(OPTIONAL, {})


@both
def test_columns_of_a_tensor_get_the_advice_to_join_them(decode):
    with pytest.raises(Invalid) as caught:
        decode(TENSOR, {"sl": 1.0, "sw": 2.0, "pl": 3.0, "pw": 4.0})
    assert caught.value.what == "row 0 lacks the field 'X'"
    assert caught.value.fix.startswith("put 'sl', 'sw', 'pl', 'pw' into one list: {'X': [4 values]}")


@both
def test_a_rename_is_proposed_for_the_only_column_or_a_similar_one(decode):
    with pytest.raises(Invalid) as caught:
        decode(TENSOR, {"inputs": [1.0] * 4})
    assert "rename 'inputs' to 'X'" in caught.value.fix
    with pytest.raises(Invalid) as caught:
        decode(TENSOR, {"a": [1.0] * 4, "b": 1.0})
    assert "rename" not in caught.value.fix


def test_the_cast_that_is_proposed_for_a_column_of_numbers_can_be_done():
    schema = pa.schema([pa.field("x", pa.list_(pa.float32(), 1), nullable=False)])
    with pytest.raises(Invalid) as caught:
        by_arrow(schema, {"x": 1.0})
    assert caught.value.what == "column 'x' is float64, and the model takes float32[1]"
    assert caught.value.fix == "cast it: column.cast(pa.float32())"
