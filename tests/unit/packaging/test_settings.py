import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.domain.package import TestCase as Case  # pytest would collect a name that starts with Test
from trivet.domain.schema import parse_schema
from trivet.errors import BadPackage, NotFound
from trivet.packaging.settings import MAX_BYTES, load_settings, merge_settings, parse_settings

FULL = """
name: house-prices
framework: custom
model: house.zip
input_schema: "area: float64; rooms: int64?"
output_schema:
  price: float32[1]
  label: string?
tensor_fields: [a, b]
batch_config: single
network: none
python: "3.10"
workers: 2
timeout: 2.5
resources: {memory: 1Gi, open_files: 4096}
example:
  - {area: 54.5, rooms: 2, built: 2014-10-13, country: NO}
tests:
  - name: small
    rows: [{area: 1}]
    expect: [{price: [3.5]}]
    rtol: 1e-3
  - {name: none, rows: [{area: 2}], expect: [{price: [4]}]}
"""


def refused(text: str) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        parse_settings(text, source="trivet.yaml")
    return caught.value


def only(text: str) -> ModelSettings:
    return parse_settings(text, source="trivet.yaml")[0]


def test_every_key_is_read() -> None:
    settings, model = parse_settings(FULL, source="trivet.yaml")

    assert model == "house.zip"
    assert settings == ModelSettings(
        name="house-prices",
        framework=Framework.CUSTOM,
        input_schema=parse_schema("area: float64; rooms: int64?"),
        output_schema=pa.schema(
            [pa.field("price", pa.list_(pa.float32(), 1), nullable=False), pa.field("label", pa.string())]
        ),
        tensor_fields=("a", "b"),
        batch_config="single",
        network="none",
        python="3.10",
        workers=2,
        timeout_s=2.5,
        memory_bytes=2**30,
        open_files=4096,
        example=({"area": 54.5, "rooms": 2, "built": "2014-10-13", "country": "NO"},),
        tests=(
            Case(name="small", rows=({"area": 1},), expect=({"price": [3.5]},), rtol=1e-3),
            Case(name="none", rows=({"area": 2},), expect=({"price": [4]},)),
        ),
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "name:\nexample:\nresources:\n"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    assert parse_settings(text, source="trivet.yaml") == (ModelSettings(), None)


@pytest.mark.parametrize(
    ("text", "fix", "path"),
    [
        ("framwork: onnx", "did you mean 'framework'?", "trivet.yaml: framwork"),
        ("input-schema: 'a: int8'", "did you mean 'input_schema'?", "trivet.yaml: input-schema"),
        ("Workers: 2", "did you mean 'workers'?", "trivet.yaml: Workers"),
        ("resources: {memroy: 1Gi}", "did you mean 'memory'?", "trivet.yaml: resources.memroy"),
        ("tests: [{name: a, row: []}]", "did you mean 'rows'?", "trivet.yaml: tests[0].row"),
        ("resources: {zzz: 1}", "settings are memory, open_files", "trivet.yaml: resources.zzz"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_proposed(text: str, fix: str, path: str) -> None:
    error = refused(text)

    assert error.what.startswith("unknown setting")
    assert (error.fix, error.path) == (fix, path)


@pytest.mark.parametrize("version", ["3.8", "3.10", "3"])
def test_an_unquoted_python_version_is_refused_as_yaml_reads_310_as_31(version: str) -> None:
    error = refused(f"python: {version}")

    assert error.what == "the Python version is a number"
    assert error.why == "YAML reads 3.10 as 3.1"
    assert error.fix == 'put the version into quotes, as in python: "3.10"'
    assert error.path == "trivet.yaml: python"


@pytest.mark.parametrize("version", ["3", "3.x", "2.7", "3.8.1.2", "python3.8", ">=3.8", "3.٨", "3.08"])
def test_an_invalid_python_version_is_refused(version: str) -> None:
    assert refused(f"python: '{version}'").what == f"'{version}' is not a Python version"


def test_a_python_too_old_for_workers_is_refused() -> None:
    error = refused("python: '3.7'")

    assert (error.what, error.fix) == ("Python 3.7 is too old", "use 3.8 or newer")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("1Gi", 2**30), ("512Mi", 2**29), ("64Ki", 2**16), ("2G", 2 * 10**9), ("1073741824", 2**30), ("'4096'", 4096)],
)
def test_memory_is_bytes_or_a_number_with_a_unit(amount: str, expected: int) -> None:
    assert only(f"resources: {{memory: {amount}}}").memory_bytes == expected


@pytest.mark.parametrize("amount", ["0", "-1", "1GB", "1.5Gi", "Gi", "'1 Gi'", "99999999999999999Ti", "1gi"])
def test_an_invalid_amount_of_memory_is_refused(amount: str) -> None:
    error = refused(f"resources: {{memory: {amount}}}")

    assert error.path == "trivet.yaml: resources.memory"
    assert "memory" in error.message + str(error.fix) or "expected" in error.message


@pytest.mark.parametrize("text", ["batching: joined", "batch_config: joined", "batching: joined\nbatch_config: joined"])
def test_batching_has_the_references_name_too(tmp_path, text):
    (tmp_path / "trivet.yaml").write_text(text)
    assert load_settings(tmp_path / "trivet.yaml").batch_config == "joined"


@pytest.mark.parametrize(
    ("text", "what", "path"),
    [
        ("name: My Model", "'My Model' cannot be a name", "name"),
        ("framework: onxx", "unknown framework 'onxx'", "framework"),
        ("model: ../other.onnx", "'../other.onnx' is not a file name", "model"),
        ("model: ..", "'..' is not a file name", "model"),
        ("model: 'a\\b.onnx'", r"'a\\b.onnx' is not a file name", "model"),
        ("tensor_fields: []", "there are no tensor fields", "tensor_fields"),
        ("tensor_fields: ['']", "a tensor field has no name", "tensor_fields"),
        ("tensor_fields: [a, a]", "a tensor field is named twice", "tensor_fields"),
        ("batch_config: dynamic", "unknown batch_config 'dynamic'", "batch_config"),
        ("network: tcp", "unknown network 'tcp'", "network"),
        ("batching: dynamic", "unknown batching 'dynamic'", "batching"),
        ("batching: joined\nbatch_config: single", "batching is 'joined' and batch_config is 'single'", "batching"),
        ("timeout: 0", "0.0 is not a timeout", "timeout"),
        ("timeout: .inf", "inf is not a timeout", "timeout"),
        ("timeout: .nan", "nan is not a timeout", "timeout"),
        ("workers: 0", "invalid value for the setting", "workers"),
        ("workers: true", "invalid value for the setting", "workers"),
        ("workers: two", "invalid value for the setting", "workers"),
        ("resources: 1Gi", "invalid value for the setting", "resources"),
        ("resources: {open_files: 3}", "invalid value for the setting", "resources.open_files"),
        ("example: {a: 1}", "invalid value for the setting", "example"),
        ("example: [1]", "invalid value for the setting", "example[0]"),
        ("tests: [{name: a, rows: [{}]}]", "'expect' is missing", "tests[0]"),
        ("tests: [{name: a, rows: [], expect: []}]", "invalid value for the setting", "tests[0].rows"),
        (
            "tests: [{name: a, rows: [{}, {}], expect: [{}]}]",
            "there are 2 rows and 1 expected answers",
            "tests[0].expect",
        ),
        ("tests: [{name: a, rows: [{}], expect: [{}], rtol: .inf}]", "inf is not a tolerance", "tests[0].rtol"),
        (
            "tests: [{name: a, rows: [{}], expect: [{}]}, {name: a, rows: [{}], expect: [{}]}]",
            "there are two tests 'a'",
            "tests[1].name",
        ),
    ],
)
def test_an_invalid_value_is_refused_with_its_key(text: str, what: str, path: str) -> None:
    error = refused(text)

    assert (error.what, error.path) == (what, f"trivet.yaml: {path}")
    assert "`" not in str(error)


def test_the_reason_names_the_expected_type_in_yaml_words() -> None:
    assert refused("workers: two").why == "expected a whole number, got text"
    assert refused("example: {a: 1}").why == "expected a list, got a mapping"
    assert refused("framework: onxx").fix == "did you mean 'onnx'?"
    assert refused("name: My Model").fix == "'my-model' would do"


def test_an_error_in_a_schema_names_the_key_and_shows_the_place() -> None:
    error = refused("input_schema: 'images: flaot32[29]'")

    assert error.path == "trivet.yaml: input_schema"
    assert "'flaot32' is not a type" in error.what
    assert str(error.why).splitlines()[1:] == ["    images: flaot32[29]", "            ^"]
    assert error.fix == "did you mean float32?"

    assert refused("output_schema: {a: int8, b: nit8}").path == "trivet.yaml: output_schema.b"
    assert refused("output_schema: [{name: a, type: 5}]").path == "trivet.yaml: output_schema[0]"


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "7"])
def test_settings_that_are_not_a_mapping_are_refused(text: str) -> None:
    assert refused(text).what == "the settings are not a mapping of keys to values"


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("name: a\nname: b\n", "the key 'name' occurs twice", 2),
        ("example:\n  - &a {x: 1}\n  - *a\n", "aliases are not supported", 3),
        (
            "name: a\npython: !!python/name:os.system\n",
            "the tag 'tag:yaml.org,2002:python/name:os.system' is not supported",
            2,
        ),
        ("name: a\nmodel: [\n", "not valid YAML", 3),
        ("name: a\n\tmodel: b\n", "not valid YAML", 2),
    ],
)
def test_unsupported_yaml_is_refused_with_its_line(text: str, what: str, line: int) -> None:
    error = refused(text)

    assert (error.what, error.path) == (what, f"trivet.yaml:{line}")


def test_a_bomb_of_aliases_is_refused_before_it_is_built() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]

    assert refused("\n".join(levels)).what == "aliases are not supported"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    assert "nested lists and mappings" in refused("example: \n " + opening * 20_000).what


def test_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trivet.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))

    with pytest.raises(BadPackage, match="the settings are larger than 1 MiB"):
        load_settings(path)
    assert refused("#" * (MAX_BYTES + 1)).path == "trivet.yaml"
    assert refused("ü" * (MAX_BYTES // 2 + 1)).what == "the settings are larger than 1 MiB"


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "trivet.yaml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + b"name: fraud\n")
        assert load_settings(path) == ModelSettings(name="fraud")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="settings file not found:"):
        load_settings(tmp_path / "trivet.yaml")

    with pytest.raises(BadPackage) as caught:
        load_settings(tmp_path)
    assert (caught.value.what, caught.value.path) == ("the settings cannot be read", str(tmp_path))

    broken = tmp_path / "broken.yaml"
    broken.write_bytes(b"name: \xff\xfe")
    with pytest.raises(BadPackage, match="the settings are not UTF-8 text"):
        load_settings(broken)


def test_flags_win_over_a_packages_own_settings() -> None:
    own = parse_settings(FULL, source="trivet.yaml")[0]

    assert merge_settings(flags=ModelSettings(), own=own) == own
    assert merge_settings(flags=own, own=ModelSettings(name="other", workers=9)) == own

    merged = merge_settings(flags=ModelSettings(workers=5, example=({"area": 1},)), own=own)
    assert (merged.workers, merged.example, merged.tests) == (5, ({"area": 1},), own.tests)
    assert merged.input_schema == own.input_schema


@given(st.text(max_size=200))
def test_any_text_is_settings_or_an_error_of_the_package(text: str) -> None:
    with suppress(BadPackage):
        assert isinstance(only(text), ModelSettings)


def test_yaml_is_imported_only_if_there_is_yaml_to_read() -> None:
    script = "import sys, trivet.packaging.settings; sys.exit('yaml' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
