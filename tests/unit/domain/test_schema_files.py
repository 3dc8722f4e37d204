import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trivet.domain.schema import format_schema, load_schema, parse_schema
from trivet.domain.schema import schema_from_tree as from_tree
from trivet.errors import Invalid, NotFound, TooLarge

TEXT = "a: float32[2]; b: string?"
SCHEMA = parse_schema(TEXT)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(source: str | Path) -> Invalid:
    with pytest.raises(Invalid) as caught:
        load_schema(source, which="input")
    return caught.value


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.txt", "a: float32[2]\n\nb: string?\n"),
        ("s.txt", "\ufeff" + TEXT),
        ("s.json", '{"a": "float32[2]", "b": "string?"}'),
        (
            "s.JSON",
            '{"fields": [{"name": "a", "type": "float32[2]"}, {"name": "b", "type": "string", "nullable": true}]}',
        ),
        ("s.json", '[{"name": "a", "type": "float32[2]", "nullable": false}, {"name": "b", "type": "string?"}]'),
        ("s.json", '[{"a": "float32[2]"}, {"b": "string?"}]'),
        ("s.json", json.dumps(TEXT)),
        ("s.yaml", "a: float32[2]\nb: string?\n"),
        ("s.yml", "fields:\n- {name: a, type: 'float32[2]'}\n- name: b\n  type: string\n  nullable: true\n"),
        ("s.yaml", "- a: float32[2]\n- b: string?\n"),
    ],
)
def test_a_schema_is_read_from_text_json_and_yaml(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path, name, content)

    assert load_schema(path, which="input") == SCHEMA
    assert load_schema(str(path), which="input") == SCHEMA


def test_a_schema_is_read_from_arrow_files_streams_and_messages(tmp_path: Path) -> None:
    message = written(tmp_path, "message.arrow", SCHEMA.serialize().to_pybytes())
    rows = pa.record_batch([pa.array([[1.0, 2.0]], SCHEMA[0].type), pa.array(["x"])], schema=SCHEMA)
    with pa.ipc.new_file(tmp_path / "file.ipc", SCHEMA) as writer:
        writer.write_batch(rows)
    with pa.ipc.new_stream(tmp_path / "stream.arrow", SCHEMA) as writer:
        writer.write_batch(rows)

    for path in (message, tmp_path / "file.ipc", tmp_path / "stream.arrow"):
        assert load_schema(path, which="input") == SCHEMA


def test_metadata_and_names_of_items_are_left_behind(tmp_path: Path) -> None:
    field = pa.field("a", pa.list_(pa.field("inner", pa.int8(), metadata={"x": "y"})), metadata={"x": "y"})
    path = written(tmp_path, "s.arrow", pa.schema([field], metadata={"pandas": "{}"}).serialize().to_pybytes())

    found = load_schema(path, which="input")

    assert found.equals(pa.schema([("a", pa.list_(pa.int8()))]), check_metadata=True)


def test_text_is_a_schema_itself() -> None:
    assert load_schema(TEXT, which="input") == SCHEMA


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="schema file not found: .*none.json"):
        load_schema(str(tmp_path / "none.json"), which="input")


@pytest.mark.parametrize("source", ["schema.jsn", "", "tensor"])
def test_text_that_is_neither_fields_nor_a_file_is_refused_with_both_ways(source: str) -> None:
    error = refused(source)

    assert error.what == f"the input schema {source!r} is neither fields nor a file"
    assert error.fix == "write it like 'tensor: float32[29]; name: string'"


@pytest.mark.parametrize(
    ("name", "content", "what", "place"),
    [
        ("s.json", "{", "not valid JSON", ""),
        ("s.json", "[" * 100_000, "not valid JSON", ""),
        ("s.json", b"\xff", "the file is not UTF-8 text", ""),
        ("s.json", "3", "a schema cannot be a number", ""),
        ("s.json", "null", "a schema cannot be nothing", ""),
        ("s.json", '{"a": "int8", "a": "int16"}', "the key 'a' occurs twice", ""),
        ("s.json", '{"a": "nit8"}', "'nit8' is not a type", ": a"),
        ("s.json", '{"a": ["int8"]}', "the type of 'a' cannot be a list", ": a"),
        ("s.json", "[3]", "a field cannot be a number", ": [0]"),
        ("s.json", '[{"name": 3, "type": "int8"}]', "a field's name cannot be a number", ": [0]"),
        ("s.json", '[{"name": "a", "type": "int8", "nulable": true}]', "unknown key 'nulable'", ": [0]"),
        ("s.json", '[{"name": "a", "type": "int8", "nullable": 3}]', "'nullable' of 'a' cannot be a number", ": [0]"),
        (
            "s.json",
            '[{"name": "a", "type": "int8?", "nullable": false}]',
            "'a' ends in '?' and says nullable: false",
            ": [0]",
        ),
        ("s.json", r'{"\ud800": "int8"}', r"the name '\ud800' is not valid Unicode", ""),
        ("s.yaml", "a: int8\na: int8\n", "the key 'a' occurs twice", ": line 2"),
        ("s.yaml", "a: [\n", "not valid YAML", ": line 2"),
        ("s.yaml", "a: &x int8\nb: *x\n", "aliases are not supported", ": line 2"),
        ("s.txt", "a: int8\nb: nit8\n", "'nit8' is not a type", ""),
        ("s.arrow", b"", "not an Arrow IPC file, stream or schema", ""),
        ("s.arrow", b"ARROW1 and no more", "not an Arrow IPC file, stream or schema", ""),
        ("s.arrow", b"\xff\xff\xff\xff\xff\xff\xff\x7f", "not an Arrow IPC file, stream or schema", ""),
        ("s.ipc", b"no arrow at all", "not an Arrow IPC file, stream or schema", ""),
    ],
)
def test_a_file_of_no_schema_is_refused_by_its_place(
    tmp_path: Path, name: str, content: str | bytes, what: str, place: str
) -> None:
    path = written(tmp_path, name, content)
    error = refused(path)

    assert (error.what, error.path) == (f"the input schema cannot be read: {what}", f"{path}{place}")
    assert str(error).encode()


def test_a_truncated_arrow_file_is_refused(tmp_path: Path) -> None:
    whole = SCHEMA.serialize().to_pybytes()
    for length in range(len(whole) - 1):
        path = written(tmp_path, "s.arrow", whole[:length])
        assert refused(path).what.endswith("not an Arrow IPC file, stream or schema")


def test_paths_that_cannot_be_schema_files_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "schema.csv").what.endswith("a schema file cannot end in '.csv'")
    assert refused("a\0.json").what.endswith("the schema file cannot be read")
    (tmp_path / "folder.json").mkdir()
    assert refused(tmp_path / "folder.json").what.endswith("the schema file cannot be read")
    with pytest.raises(TooLarge, match="larger than 4 MiB"):
        load_schema(written(tmp_path, "s.json", b" " * (4 * 2**20 + 1)), which="input")


def test_a_schema_from_a_file_obeys_the_rules(tmp_path: Path) -> None:
    path = written(tmp_path, "s.arrow", pa.schema([("at", pa.time32("s"))]).serialize().to_pybytes())

    assert refused(path).what == "field 'at' of the input schema is time32[s], which is not supported"
    assert refused(written(tmp_path, "s.json", "{}")).what == "the input schema has no fields"


@pytest.mark.parametrize("tree", [TEXT, {"a": "float32[2]", "b": "string?"}, [{"a": "float32[2]", "b": "string?"}]])
def test_a_part_of_a_document_is_a_schema_too(tree: Any) -> None:
    assert from_tree(tree, which="output") == SCHEMA


def test_a_column_may_be_called_fields_name_or_type() -> None:
    tree = {"fields": "int8", "name": "string", "type": "string"}

    assert format_schema(from_tree(tree, which="input")) == "fields: int8; name: string; type: string"
