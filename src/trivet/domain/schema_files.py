"""Schemas in files: text, JSON, YAML, Arrow IPC."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from trivet.domain.schema_text import parse_field_type, parse_schema
from trivet.domain.yaml_text import read_yaml
from trivet.errors import Invalid, NotFound, TooLarge

__all__ = ["FILE_SUFFIXES", "read_schema_file", "schema_of_tree"]

FILE_SUFFIXES = (".json", ".yaml", ".yml", ".arrow", ".ipc", ".txt")
MAX_FILE_BYTES = 4 * 2**20
ARROW_FILE_MAGIC = b"ARROW1"
FIELD_KEYS = {"name", "type", "nullable"}


def read_schema_file(path: Path) -> pa.Schema:
    """The schema in a file, whose suffix says its format.

    Raises:
        NotFound: the file does not exist.
        Invalid: it does not hold a schema.
        TooLarge: a text file larger than 4 MiB.
    """
    suffix = path.suffix.lower()
    if suffix not in FILE_SUFFIXES:
        raise Invalid(f"a schema file cannot end in {suffix!r}", why=f"use {', '.join(FILE_SUFFIXES)}")
    try:
        if suffix in {".arrow", ".ipc"}:
            return _read_arrow(path)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"schema file not found: {path}", fix="give its path, or the schema's text") from None
    except (OSError, ValueError) as error:  # a ValueError: a path with a NUL in it
        why = getattr(error, "strerror", None) or str(error)
        raise Invalid("the schema file cannot be read", why=why) from error
    if len(data) > MAX_FILE_BYTES:
        raise TooLarge(f"the schema file {path.name} is larger than {MAX_FILE_BYTES // 2**20} MiB", path=str(path))
    return _read_text(data, suffix)


def schema_of_tree(tree: Any) -> pa.Schema:
    """A schema from a parsed document.

    Takes a text; a mapping of names to types; a list of such mappings, or of `{"name", "type", "nullable"}`; or
    `{"fields": [...]}` with such a list.

    Raises:
        Invalid: it is none of these, or a type in it cannot be read.
    """
    if isinstance(tree, str):
        return parse_schema(tree)
    if isinstance(tree, dict) and set(tree) == {"fields"} and isinstance(tree["fields"], list):
        tree = tree["fields"]
    if isinstance(tree, dict):
        return pa.schema([_field(name, kind, path=str(name)) for name, kind in tree.items()])
    if isinstance(tree, list):
        fields: list[pa.Field] = []
        for index, entry in enumerate(tree):
            fields.extend(_fields_of_entry(entry, path=f"[{index}]"))
        return pa.schema(fields)
    raise Invalid(
        f"a schema cannot be {_described(tree)}", fix="give a mapping of names to types, like {tensor: 'float32[29]'}"
    )


def _fields_of_entry(entry: Any, *, path: str) -> list[pa.Field]:
    if not isinstance(entry, dict):
        raise Invalid(
            f"a field cannot be {_described(entry)}", fix='write {"name": "tensor", "type": "float32[29]"}', path=path
        )
    if not {"name", "type"} <= set(entry):
        return [_field(name, kind, path=f"{path}.{name}") for name, kind in entry.items()]
    if unknown := set(entry) - FIELD_KEYS:
        raise Invalid(
            f"unknown key {min(map(str, unknown))!r}",
            why=f"its keys are {', '.join(sorted(FIELD_KEYS))}",
            path=path,
        )
    return [_field(entry["name"], entry["type"], nullable=entry.get("nullable"), path=path)]


def _field(name: Any, kind: Any, *, path: str, nullable: Any = None) -> pa.Field:
    if not isinstance(name, str):
        raise Invalid(f"a field's name cannot be {_described(name)}", fix="write it in quotes", path=path)
    if not _is_unicode(name):
        raise Invalid(f"the name {name!r} is not valid Unicode", fix="remove its lone surrogates")
    if not isinstance(kind, str):
        raise Invalid(
            f"the type of {name!r} cannot be {_described(kind)}", fix="write a text, like 'float32[29]'", path=path
        )
    if nullable not in (None, True, False):
        raise Invalid(f"'nullable' of {name!r} cannot be {_described(nullable)}", fix="write true or false", path=path)
    try:
        found, marked = parse_field_type(kind)
        if nullable is False and marked:
            raise Invalid(f"{name!r} ends in '?' and says nullable: false", fix="keep one of the two")
        return pa.field(name, found, nullable=marked or nullable is True)
    except Invalid as error:
        raise Invalid(error.what, why=error.why, fix=error.fix, path=path) from error


def _is_unicode(name: str) -> bool:
    """JSON can escape half of a surrogate pair, which UTF-8 cannot encode."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _read_arrow(path: Path) -> pa.Schema:
    """From a file, a stream, or a schema message; only the schema is read."""
    with path.open("rb") as file:
        magic = file.read(len(ARROW_FILE_MAGIC))
    try:
        with pa.OSFile(str(path)) as source:
            if magic == ARROW_FILE_MAGIC:
                return pa.ipc.open_file(source).schema
            return pa.ipc.read_schema(source)
    except (pa.ArrowException, OSError) as error:
        raise Invalid("not an Arrow IPC file, stream or schema", why=str(error).splitlines()[0]) from error


def _read_text(data: bytes, suffix: str) -> pa.Schema:
    if suffix in {".yaml", ".yml"}:
        return schema_of_tree(read_yaml(data))
    try:
        text = data.decode("utf-8-sig")
        tree = json.loads(text, object_pairs_hook=_once) if suffix == ".json" else text
    except UnicodeDecodeError as error:
        raise Invalid("the file is not UTF-8 text", why=str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Invalid("not valid JSON", why=str(error)) from error
    return schema_of_tree(tree)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise Invalid(f"the key {twice!r} occurs twice", fix="keep one")
    return found


def _described(value: Any) -> str:
    kinds = {type(None): "nothing", bool: "a boolean", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value)) or ("a list" if isinstance(value, list) else "a mapping")
