"""`trivet.yaml`: a package's own settings, which replace flags."""

import math
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import pyarrow as pa

from trivet.domain.batching import BATCHINGS, Batching
from trivet.domain.decoders import decoder
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.names import check_name
from trivet.domain.network import NETWORKS, NetworkUse
from trivet.domain.package import ModelSettings, TestCase
from trivet.domain.quantities import parse_memory
from trivet.domain.schema import schema_from_tree
from trivet.domain.yaml_text import read_yaml
from trivet.errors import BadPackage, Invalid, NotFound, TrivetError

__all__ = ["MAX_BYTES", "SETTINGS_NAME", "load_settings", "merge_settings", "parse_settings"]

SETTINGS_NAME = "trivet.yaml"
MAX_BYTES = 2**20

Rows = list[dict[str, Any]]

_PYTHON = re.compile(r"3\.(0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2}))?")
_OLDEST_PYTHON = 8  # 3.8, which a worker needs
_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_YAML_WORDS = {"object": "a mapping", "array": "a list", "str": "text", "int": "a whole number", "float": "a number"}


class _Resources(msgspec.Struct, forbid_unknown_fields=True):
    memory: int | str | None = None
    open_files: Annotated[int, msgspec.Meta(ge=64)] | None = None  # fewer, and Python itself does not start


class _Test(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    rows: Annotated[Rows, msgspec.Meta(min_length=1)]
    expect: Rows
    rtol: Annotated[float, msgspec.Meta(ge=0)] = 1e-5


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    framework: str | None = None
    model: str | None = None
    input_schema: Any = None
    output_schema: Any = None
    tensor_fields: list[str] | None = None
    batching: str | None = None
    batch_config: str | None = None
    runtime: str | None = None
    network: str | None = None
    python: str | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    timeout: float | None = None
    resources: _Resources | None = None
    example: Rows | None = None
    tests: list[_Test] | None = None


def load_settings(path: Path) -> ModelSettings:
    """Read a settings file.

    Raises:
        NotFound: the file does not exist.
        BadPackage: it cannot be read, or holds an invalid setting; `path` names the file and the place.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"settings file not found: {path}") from None
    except OSError as error:
        raise BadPackage("the settings cannot be read", why=error.strerror or str(error), path=str(path)) from error
    if len(data) > MAX_BYTES:
        raise _too_large(str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPackage("the settings are not UTF-8 text", why=str(error), path=str(path)) from error
    return parse_settings(text, source=str(path))[0]


def parse_settings(text: str, *, source: str) -> tuple[ModelSettings, str | None]:
    """Read the text of a settings file.

    Args:
        text: YAML, 1 MiB at most.
        source: the file's name, for messages.

    Returns:
        The settings, and the file name of the key `model`, if any.

    Raises:
        BadPackage: it is not valid YAML, has an unknown key (the nearest known one is proposed) or an invalid value.
            `path` is `source` with the line or the key.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _too_large(source)
    try:
        document = _document(read_yaml(text))
        return _settings(document), _file_name(document.model)
    except TrivetError as error:
        raise BadPackage(error.what, why=error.why, fix=error.fix, path=_place(source, error.path)) from error


def merge_settings(*, flags: ModelSettings, own: ModelSettings) -> ModelSettings:
    """Merged settings: flags win over the package's own."""
    given = {each.name: getattr(flags, each.name) for each in fields(ModelSettings)}
    return replace(own, **{name: value for name, value in given.items() if value is not None and value != ()})


def _too_large(source: str) -> BadPackage:
    fix = "remove example rows and tests: one or two are enough"
    return BadPackage(f"the settings are larger than {MAX_BYTES // 2**20} MiB", fix=fix, path=source)


def _place(source: str, path: str | None) -> str:
    """`trivet.yaml:3` for a line, `trivet.yaml: tests[0].rtol` for a key."""
    if not path:
        return source
    line = re.fullmatch(r"line (\d+)", path)
    return f"{source}:{line[1]}" if line else f"{source}: {path}"


def _document(tree: Any) -> _Document:
    if tree is None:  # an empty file, or comments alone
        return _Document()
    if not isinstance(tree, dict):
        raise Invalid("the settings are not a mapping of keys to values", fix="write lines like 'name: my-model'")
    _known(tree, _Document, path="")
    _known(tree.get("resources"), _Resources, path="resources")
    tests = tree.get("tests")
    for index, test in enumerate(tests if isinstance(tests, list) else ()):
        _known(test, _Test, path=f"tests[{index}]")
    if isinstance(tree.get("python"), int | float):
        fix = 'put the version into quotes, as in python: "3.10"'
        raise Invalid("the Python version is a number", why="YAML reads 3.10 as 3.1", fix=fix, path="python")
    decoder(_Document)
    try:
        return msgspec.convert(tree, _Document)
    except msgspec.ValidationError as error:
        raise _in_our_words(str(error)) from error


def _known(tree: Any, struct: type[msgspec.Struct], *, path: str) -> None:
    """Refuse unknown keys, with the nearest known one; `msgspec` refuses what is not a mapping."""
    known = [each.name for each in msgspec.structs.fields(struct)]
    for key in tree if isinstance(tree, dict) else ():
        if key not in known:
            at = f"{path}.{key}" if path else key
            raise Invalid(f"unknown setting {key!r}", fix=_nearest(key, known, what="settings"), path=at)


def _nearest(word: str, known: Iterable[str], *, what: str) -> str:
    known = list(known)
    wanted = word.lower().replace("-", "_")
    close = get_close_matches(wanted, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"{what} are {', '.join(known)}"


def _in_our_words(message: str) -> Invalid:
    """Msgspec's message without its path, and with YAML's words for types."""
    match = cast("re.Match[str]", _MESSAGE.fullmatch(message))
    what, path = match["what"], match["path"]
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return Invalid(f"{missing[1]!r} is missing", fix=f"add {missing[1]!r}", path=path)
    what = what.replace(" | null", "").replace("Expected", "expected")
    what = re.sub(r"`(\w+)`", lambda word: _YAML_WORDS.get(word[1], word[1]), what).replace("`", "")
    return Invalid("invalid value for the setting", why=what, path=path)


def _settings(document: _Document) -> ModelSettings:
    resources = document.resources or _Resources()
    return ModelSettings(
        name=_name(document.name),
        framework=_framework(document.framework),
        input_schema=_schema(document.input_schema, which="input"),
        output_schema=_schema(document.output_schema, which="output"),
        tensor_fields=_tensor_fields(document.tensor_fields),
        batch_config=_batching(document),
        runtime=_runtime(document.runtime),
        network=_network(document.network),
        python=_python(document.python),
        workers=document.workers,
        timeout_s=_timeout(document.timeout),
        memory_bytes=None if resources.memory is None else parse_memory(resources.memory, path="resources.memory"),
        open_files=resources.open_files,
        example=tuple(document.example or ()),
        tests=_tests(document.tests or []),
    )


def _name(name: str | None) -> str | None:
    try:
        return None if name is None else check_name(name)
    except Invalid as error:
        raise Invalid(error.what, why=error.why, fix=error.fix, path="name") from error


def _framework(name: str | None) -> Framework | None:
    names = [str(each) for each in Framework]
    if name is None or name in names:
        return None if name is None else Framework(name)
    fix = _nearest(name, names, what="frameworks")
    raise Invalid(f"unknown framework {name!r}", fix=fix, path="framework")


def _file_name(name: str | None) -> str | None:
    if name is None:
        return None
    if name in {"", ".", ".."} or re.search(r"[/\\\x00-\x1f\x7f]", name) or len(name.encode(errors="replace")) > 255:
        raise Invalid(
            f"{name[:80]!r} is not a file name",
            why="the model is beside this file or in the same folder, and paths are not supported",
            fix="write only the name, as in model: fraud.onnx",
            path="model",
        )
    return name


def _schema(tree: Any, *, which: str) -> pa.Schema | None:
    if tree is None:
        return None
    key = f"{which}_schema"
    try:
        return schema_from_tree(tree, which=which)
    except TrivetError as error:
        inner = error.path or ""
        path = key + (inner if not inner or inner.startswith("[") else f".{inner}")
        raise Invalid(error.what, why=error.why, fix=error.fix, path=path) from error


def _tensor_fields(names: list[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    fix = "name one column for each of the model's inputs, as in tensor_fields: [tensor]"
    if not names or "" in names:
        raise Invalid(
            "a tensor field has no name" if names else "there are no tensor fields", fix=fix, path="tensor_fields"
        )
    if len(set(names)) < len(names):
        raise Invalid("a tensor field is named twice", fix=fix, path="tensor_fields")
    return tuple(names)


def _batching(document: _Document) -> Batching | None:
    """The setting under its own name, or under the reference's."""
    own, reference = document.batching, document.batch_config
    for key, value in (("batching", own), ("batch_config", reference)):
        if value is not None and value not in BATCHINGS:
            fix = "use single (each row is a call), whole (each request is a call) or joined (requests share calls)"
            raise Invalid(f"unknown {key} {value!r}", fix=f"{fix}, or remove it", path=key)
    if own is not None and reference is not None and own != reference:
        raise Invalid(
            f"batching is {own!r} and batch_config is {reference!r}",
            why="they are two names of one setting",
            fix="remove one of them",
            path="batching",
        )
    return cast("Batching | None", own or reference)


def _runtime(value: str | None) -> Runtime | None:
    names = [str(each) for each in Runtime]
    if value is None or value in names:
        return None if value is None else Runtime(value)
    raise Invalid(f"unknown runtime {value!r}", fix=_nearest(value, names, what="runtimes"), path="runtime")


def _network(value: str | None) -> NetworkUse | None:
    if value is not None and value not in NETWORKS:
        raise Invalid(f"unknown network {value!r}", fix="use none (no network) or full, or remove it", path="network")
    return cast("NetworkUse | None", value)


def _python(version: str | None) -> str | None:
    if version is None:
        return None
    match = _PYTHON.fullmatch(version)
    if not match:
        fix = 'write it like "3.8" or "3.8.18"'
        raise Invalid(f"{version!r} is not a Python version", fix=fix, path="python")
    if int(match[1]) < _OLDEST_PYTHON:
        raise Invalid(f"Python {version} is too old", fix=f"use 3.{_OLDEST_PYTHON} or newer", path="python")
    return version


def _timeout(seconds: float | None) -> float | None:
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        fix = "give a number of seconds above 0, as in timeout: 60"
        raise Invalid(f"{seconds} is not a timeout", fix=fix, path="timeout")
    return seconds


def _tests(tests: list[_Test]) -> tuple[TestCase, ...]:
    known: set[str] = set()
    for index, test in enumerate(tests):
        if test.name in known:
            fix = "give every test its own name"
            raise Invalid(f"there are two tests {test.name!r}", fix=fix, path=f"tests[{index}].name")
        known.add(test.name)
        if len(test.rows) != len(test.expect):
            what = f"there are {len(test.rows)} rows and {len(test.expect)} expected answers"
            raise Invalid(what, fix="expect one answer for each row", path=f"tests[{index}].expect")
        if not math.isfinite(test.rtol):
            raise Invalid(f"{test.rtol} is not a tolerance", fix="use one like 1e-5", path=f"tests[{index}].rtol")
    return tuple(
        TestCase(name=test.name, rows=tuple(test.rows), expect=tuple(test.expect), rtol=test.rtol) for test in tests
    )
