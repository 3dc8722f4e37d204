"""SavedModels of TensorFlow: what they say, the environment that they need, and why they are refused."""

import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings, Package
from trivet.domain.schema import format_schema
from trivet.errors import BadPackage
from trivet.packaging import open_package
from trivet.packaging.frameworks.saved_model import read_saved_model

FREE = -1


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def number(place: int, value: int) -> bytes:
    return varint(place << 3) + varint(value)


def message(place: int, *parts: bytes | str) -> bytes:
    data = b"".join(each.encode() if isinstance(each, str) else each for each in parts)
    return varint(place << 3 | 2) + varint(len(data)) + data


def tensor(kind: int, *sizes: int) -> bytes:
    return number(2, kind) + message(3, *(message(2, number(1, size)) for size in sizes))


def signature(inputs: dict[str, bytes], outputs: dict[str, bytes]) -> bytes:
    return b"".join(
        message(place, message(1, name), message(2, each))
        for place, tensors in ((1, inputs), (2, outputs))
        for name, each in tensors.items()
    )


ONE = signature({"x": tensor(1, FREE, 10)}, {"y": tensor(1, FREE, 2)})


def saved(release: str = "2.21.0", *, tag: str = "serve", **signatures: bytes) -> bytes:
    info = message(1, message(4, tag), message(5, release))
    entries = (message(5, message(1, name), message(2, each)) for name, each in signatures.items())
    return number(1, 1) + message(2, info, message(2, b"\x12\x00"), *entries)


def opened(folder: Path, files: dict[str, bytes], *, framework: Framework | None = None) -> Package:
    path = folder / "aloha.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return open_package(path, store=folder / "store", settings=ModelSettings(framework=framework))


@pytest.mark.parametrize("top", ["", "aloha/"])
def test_a_saved_model_says_its_release_and_its_schema(tmp_path: Path, top: str) -> None:
    files = {f"{top}saved_model.pb": saved(serving_default=ONE), f"{top}variables/variables.index": b"x"}
    package = opened(tmp_path, files)
    assert package.framework is Framework.TENSORFLOW
    contents = package.contents
    assert contents.requirements == ("tensorflow-cpu==2.21.0",)
    assert contents.entry["signature"].name == "serving_default"
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "x: float32[10]"
    assert format_schema(contents.output_schema) == "y: float32[2]"
    assert contents.notes == ()


def test_tensors_become_columns_in_the_order_of_their_names(tmp_path: Path) -> None:
    both = signature(
        {"text": tensor(7, FREE), "ids": tensor(9, FREE, FREE), "flags": tensor(10, FREE, 2, 3)},
        {"half": tensor(19, FREE), "b": tensor(14, 4, 1)},
    )
    contents = opened(tmp_path, {"saved_model.pb": saved(serving_default=both)}).contents
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "flags: bool[2,3]; ids: int64[]; text: string"
    assert format_schema(contents.output_schema) == "b: float32[1]; half: float16"


@pytest.mark.parametrize(
    "odd", [tensor(1), tensor(8, FREE), tensor(1, FREE, 0), number(2, 1) + message(3, number(3, 1))]
)
def test_a_tensor_that_no_column_has_leaves_the_schema_to_its_owner(tmp_path: Path, odd: bytes) -> None:
    given = signature({"x": odd}, {"y": tensor(1, FREE)})
    assert opened(tmp_path, {"saved_model.pb": saved(serving_default=given)}).contents.input_schema is None


def test_the_only_signature_is_served_if_none_is_the_default(tmp_path: Path) -> None:
    model = saved(serve=ONE, __saved_model_init_op=signature({}, {"NoOp": tensor(1)}))
    assert opened(tmp_path, {"saved_model.pb": model}).contents.entry["signature"].name == "serve"


def test_other_signatures_are_named(tmp_path: Path) -> None:
    contents = opened(tmp_path, {"saved_model.pb": saved(serving_default=ONE, train=ONE)}).contents
    assert contents.notes == ("the signature serving_default is served; the model also has train",)


@pytest.mark.parametrize(
    ("signatures", "why"),
    [
        ({}, "it has no signature at all: nothing says what it takes"),
        ({"b": ONE, "a": ONE}, "it has a, b"),
    ],
)
def test_a_model_without_the_default_signature_is_refused(
    tmp_path: Path, signatures: dict[str, bytes], why: str
) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"saved_model.pb": saved(**signatures)})
    assert (caught.value.what, caught.value.why) == ("the SavedModel has no signature 'serving_default'", why)


@pytest.mark.parametrize(
    ("written", "release", "notes"),
    [
        ("", "2.21.0", ()),
        ("2.9.3", "2.9.3", ()),
        ("1.15.0", "2.21.0", ("the model was written by TensorFlow 1.15.0, which cannot be installed here: it gets 2.21.0",)),
        ("2.12.0-rc1", "2.12.0", ("the model was written by TensorFlow 2.12.0rc1, a pre-release; it gets 2.12.0",)),
    ],
)  # fmt: skip
def test_the_release_is_that_of_the_file_or_the_nearest(
    tmp_path: Path, written: str, release: str, notes: tuple[str, ...]
) -> None:
    contents = opened(tmp_path, {"saved_model.pb": saved(written, serving_default=ONE)}).contents
    assert contents.requirements == (f"tensorflow-cpu=={release}",)
    assert contents.notes == notes


def test_a_requirements_file_beside_the_folder_wins(tmp_path: Path) -> None:
    files = {"aloha/saved_model.pb": saved(serving_default=ONE), "requirements.txt": b"tensorflow-cpu==2.15.1\n"}
    contents = opened(tmp_path, files).contents
    assert contents.requirements == ("tensorflow-cpu==2.15.1",)
    assert contents.files == {"model": "aloha/saved_model.pb"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it has no graph"),
        (saved(serving_default=ONE)[:-9], "a field is cut off"),
        (saved(tag="train"), "it has no graph with the tag 'serve'"),
        (b"\x0b", "a field has the unknown form 3"),
        (b"\xff" * 20, "a number is cut off"),
        (number(2, 5), "a number is in the place of a message"),
    ],
)
def test_a_file_that_is_not_a_saved_model_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"saved_model.pb": data})
    assert caught.value.what == "'saved_model.pb' is not a SavedModel of TensorFlow, or is cut off"
    assert caught.value.why == why


def test_a_package_without_a_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match=r"There is no saved_model.pb in 'aloha.zip'"):
        opened(tmp_path, {"readme.md": b"x"}, framework=Framework.TENSORFLOW)


def test_code_beside_it_counts_first(tmp_path: Path) -> None:
    step = b"def process_data(input_data):\n    return input_data\n"
    package = opened(tmp_path, {"m/saved_model.pb": saved(serving_default=ONE), "step.py": step})
    assert package.framework is Framework.PYTHON


@given(st.binary(max_size=60), st.integers(0, 200))
def test_bytes_of_any_kind_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("any") / "saved_model.pb"
    honest = saved(serving_default=ONE)
    path.write_bytes(honest[:at] + data + honest[at:])
    with suppress(BadPackage):
        read_saved_model(path, shown="m")
