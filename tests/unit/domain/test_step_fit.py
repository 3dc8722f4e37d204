"""One step of a pipeline follows another where names and types agree."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.digest import Digest
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.schema import parse_schema
from trivet.domain.step_fit import check_fit, configured_schemas, is_one_wide, same_values
from trivet.domain.version import Acceleration, Architecture, LoadedModel, ModelConfig, ModelVersion, VersionStatus
from trivet.errors import Conflict, Invalid

NAMES = st.sampled_from(["a", "b", "c", "in.x", "tensor", "größe"])
SCALARS = st.sampled_from([pa.float32(), pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.timestamp("ms", "UTC")])


def nested(children: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    lists = st.builds(pa.list_, children, st.sampled_from([-1, 1, 2, 3]))
    members = st.dictionaries(NAMES, children, min_size=1, max_size=3)
    return lists | members.map(lambda fields: pa.struct(list(fields.items())))


TYPES = st.recursive(SCALARS, nested, max_leaves=4)
SCHEMAS = st.dictionaries(NAMES, st.tuples(TYPES, st.booleans()), min_size=1, max_size=5).map(
    lambda fields: pa.schema([pa.field(name, kind, nullable) for name, (kind, nullable) in fields.items()])
)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
PAIR = parse_schema("x: float32[2]; y: float32")


def version(*, inputs: pa.Schema | None = PAIR, **said: Any) -> ModelVersion:
    loaded = None
    if inputs is not None:
        loaded = LoadedModel(runtime=Runtime.NATIVE, adapter="onnx", input_schema=inputs, output_schema=PAIR)
    known: dict[str, Any] = {"status": VersionStatus.READY, "fault": None, **said}
    return ModelVersion(
        id=1,
        uuid="u",
        model_id=1,
        name="m",
        workspace_id=1,
        number=3,
        file_name="m.onnx",
        sha=Digest("0" * 64),
        size=1,
        framework=Framework.ONNX,
        arch=Architecture.X86,
        accel=Acceleration.NONE,
        visibility="private",
        settings=ModelSettings(),
        loaded=loaded,
        config=None,
        created_by="owner",
        created_at=MOMENT,
        updated_at=MOMENT,
        **known,
    )


@given(SCHEMAS)
def test_a_step_can_follow_one_that_answers_what_it_takes(schema: pa.Schema) -> None:
    check_fit([("first", schema, schema), ("second", schema, schema)])


@given(SCHEMAS, st.randoms())
def test_neither_the_order_of_columns_nor_further_ones_matter(schema: pa.Schema, random: Any) -> None:
    fields = [*schema, pa.field("nobody wants it", pa.int8())]
    random.shuffle(fields)
    check_fit([("first", schema, pa.schema(fields)), ("second", schema, schema)])


@given(SCHEMAS, st.data())
def test_a_missing_column_is_refused_unless_it_may_be_null(schema: pa.Schema, data: st.DataObject) -> None:
    missing = data.draw(st.sampled_from(list(schema)))
    outputs = pa.schema([field for field in schema if field.name != missing.name])
    steps = [("first", schema, outputs), ("second", schema, schema)]
    if missing.nullable and len(outputs):
        check_fit(steps)
        return
    with pytest.raises(Conflict) as caught:
        check_fit(steps)
    assert missing.name in str(caught.value)
    assert "'first'" in str(caught.value)
    assert "'second'" in str(caught.value)


@given(TYPES, TYPES)
def test_whether_types_have_the_same_values_does_not_depend_on_their_order(
    left: pa.DataType, right: pa.DataType
) -> None:
    assert same_values(left, left)
    assert same_values(left, right) == same_values(right, left)


@given(TYPES, TYPES)
def test_every_step_of_a_chain_is_compared_with_the_one_before_it(left: pa.DataType, right: pa.DataType) -> None:
    one, other = (pa.schema([pa.field("a", kind, nullable=False)]) for kind in (left, right))
    steps = [("first", one, one), ("second", one, one), ("third", other, other)]
    if same_values(left, right) or is_one_wide(left, right):
        check_fit(steps)
    else:
        with pytest.raises(Conflict, match="step 'third' cannot follow step 'second'"):
            check_fit(steps)


def test_the_refusal_names_both_steps_the_column_and_both_types() -> None:
    clean, score = parse_schema("age: int64"), parse_schema("age: float32")
    with pytest.raises(Conflict) as caught:
        check_fit([("clean", clean, clean), ("score", score, score)])
    assert str(caught.value) == (
        "step 'score' cannot follow step 'clean': column 'age' leaves as int64 and is expected as float32\n"
        "  fix cast 'age' in 'clean', or upload a 'score' that takes int64"
    )


def test_list_lengths_match_unless_two_fixed_ones_differ() -> None:
    any_length, three, four = pa.list_(pa.float32()), pa.list_(pa.float32(), 3), pa.list_(pa.float32(), 4)
    assert same_values(any_length, three)
    assert same_values(three, any_length)
    assert not same_values(three, four)
    assert not same_values(three, pa.list_(pa.float64(), 3))


def test_the_name_of_list_items_and_nullability_do_not_count() -> None:
    inner = pa.list_(pa.field("inner", pa.float32(), nullable=False), 2)
    assert same_values(inner, pa.list_(pa.float32(), 2))


def test_tensor_fields_rename_inputs_in_the_models_order() -> None:
    inputs, outputs = configured_schemas(version(), ModelConfig(id=1, version_id=1, tensor_fields=("tensor", "other")))
    assert inputs.names == ["tensor", "other"]
    assert inputs.types == PAIR.types
    assert outputs == PAIR


def test_a_configurations_own_schemas_come_before_the_models() -> None:
    other = parse_schema("z: int64")
    config = ModelConfig(id=1, version_id=1, input_schema=other)
    assert configured_schemas(version(), config) == (other, PAIR)


def test_another_number_of_tensor_fields_than_inputs_is_refused() -> None:
    with pytest.raises(Invalid, match="1 tensor fields for 2 inputs"):
        configured_schemas(version(), ModelConfig(id=1, version_id=1, tensor_fields=("tensor",)))


def test_a_version_that_is_not_ready_has_its_status_or_fault_as_reason() -> None:
    loading = version(inputs=None, status=VersionStatus.ATTEMPTING_LOAD_CONTAINER)
    with pytest.raises(Conflict, match="attempting_load_container"):
        configured_schemas(loading, None)
    failed = version(inputs=None, status=VersionStatus.ERROR, fault=Fault(error="BadPackage", what="no class in it"))
    with pytest.raises(Conflict, match="no class in it"):
        configured_schemas(failed, None)


def test_a_step_that_is_given_none_of_its_optional_columns_is_refused():
    some, other = pa.schema([("a", pa.float32())]), pa.schema([("b", pa.float32())])
    with pytest.raises(Conflict, match="it takes b, and 'first' answers a"):
        check_fit([("first", some, some), ("second", other, other)])
