"""Files of PyTorch: what they are, the environment that they need, and why they are refused."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings, Package
from trivet.domain.schema import format_schema
from trivet.errors import BadPackage, TooLarge
from trivet.packaging import open_package

SCRIPT = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"class Net(Module):\n", "data.pkl": b"\x80\x02)."}
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e" + b"\x80\x02M\xe9\x03." + b"\x80\x02}."
STATE = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."
MODULE = b"\x80\x02c__main__\nNet\nq\x00)\x81q\x01."
CHECKPOINT = b"\x80\x02}q\x00X\x05\x00\x00\x00epochK\x01s."


def tensor(*sizes: int | None, dtype: int = 7) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "sizes": [{"as_expr": {"expr_str": "s0"}} if size is None else {"as_int": size} for size in sizes],
    }


def program(inputs: dict[str, dict[str, Any]], outputs: dict[str, dict[str, Any]], **more: object) -> dict[str, bytes]:
    """The entries of an exported program."""

    def specs(kind: str, tensors: dict[str, dict[str, Any]]) -> list[object]:
        return [{kind: {"arg": {"as_tensor": {"name": name}}}} for name in tensors]

    weight = {"parameter": {"arg": {"name": "p_weight"}, "parameter_name": "weight"}}
    document = {
        "graph_module": {
            "graph": {"tensor_values": {"p_weight": tensor(3, 10), **inputs, **outputs}},
            "signature": {
                "input_specs": [weight, *specs("user_input", inputs)],
                "output_specs": specs("user_output", outputs),
            },
        },
        **more,
    }
    return {"archive_format": b"pt2", "models/model.json": json.dumps(document).encode()}


def packed(entries: dict[str, bytes], *, top: str = "net/", method: int = zipfile.ZIP_STORED) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(top + name, data)
    return made.getvalue()


def opened(folder: Path, files: dict[str, bytes], *, framework: Framework | None = None) -> Package:
    root = folder / "package"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    path = root / next(iter(files)) if len(files) == 1 else root
    return open_package(path, store=folder / "store", settings=ModelSettings(framework=framework))


@pytest.mark.parametrize("name", ["m.pt", "m.PTH", "m.ot"])
def test_torchscript_gets_a_release_that_loads_every_earlier_one(tmp_path: Path, name: str) -> None:
    package = opened(tmp_path, {name: packed(SCRIPT)})
    assert package.framework is Framework.PYTORCH
    assert package.contents.requirements == ("torch==2.13.0",)
    assert package.contents.input_schema is None
    (note,) = package.contents.notes
    assert note.startswith(f"a .pt2 file is better than {name}, because it says its schema and its release: ")


@pytest.mark.parametrize("graph", ["models/model.json", "serialized_exported_program.json"])
def test_an_exported_program_says_its_release_and_its_schema(tmp_path: Path, graph: str) -> None:
    entries = program({"x": tensor(None, 10)}, {"linear": tensor(None, 1)}, torch_version="2.9.1+cu128")
    entries[graph] = entries.pop("models/model.json")
    contents = opened(tmp_path, {"m.pt2": packed(entries)}).contents
    assert contents.requirements == ("torch==2.9.1",)
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "input: float32[10]"
    assert format_schema(contents.output_schema) == "output: float32[1]"
    assert contents.notes == ()


def test_tensors_are_numbered_and_free_sizes_are_lists_of_any_length(tmp_path: Path) -> None:
    entries = program(
        {"ids": tensor(2, None, dtype=5), "mask": tensor(2, dtype=12)},
        {"a": tensor(2, 3, 4, dtype=6), "b": tensor(2, dtype=13)},
        torch_version="2.13.0",
    )
    contents = opened(tmp_path, {"m.pt2": packed(entries)}).contents
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "input_1: int64[]; input_2: bool"
    assert format_schema(contents.output_schema) == "output_1: float16[3,4]; output_2: float32"


@pytest.mark.parametrize("odd", [tensor(), tensor(2, dtype=9), tensor(2, 0)])
def test_a_tensor_that_no_column_has_leaves_the_schema_to_its_owner(tmp_path: Path, odd: dict[str, Any]) -> None:
    entries = program({"x": odd}, {"y": tensor(None)}, torch_version="2.13.0")
    assert opened(tmp_path, {"m.pt2": packed(entries)}).contents.input_schema is None


@pytest.mark.parametrize(
    ("written", "release", "notes"),
    [
        (None, "2.4.1", ()),
        ("<=2.4", "2.4.1", ()),
        (
            "2.14.0.dev20261001+cpu",
            "2.14.0",
            ("the model was written by torch 2.14.0.dev20261001+cpu, a pre-release; it gets torch 2.14.0",),
        ),
    ],
)
def test_a_release_that_cannot_be_had_is_the_nearest_one(
    tmp_path: Path, written: str | None, release: str, notes: tuple[str, ...]
) -> None:
    entries = program({"x": tensor(None)}, {"y": tensor(None)}, torch_version=written)
    contents = opened(tmp_path, {"m.pt2": packed(entries)}).contents
    assert contents.requirements == (f"torch=={release}",)
    assert contents.notes == notes


def test_a_requirements_file_beside_it_wins(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.pt": packed(SCRIPT), "requirements.txt": b"torch==2.1.0\npandas\n"})
    assert package.contents.requirements == ("torch==2.1.0", "pandas")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (packed({"data.pkl": STATE}), "a state_dict"),
        (packed({"data.pkl": CHECKPOINT}), "a checkpoint (a dictionary)"),
        (packed({"data.pkl": MODULE, "version": b"3\n"}), "a pickled module (__main__.Net)"),
        (packed({"data.pkl": b"\xff"}), "a pickle"),
        (LEGACY + STATE, "a state_dict"),
        (LEGACY + MODULE, "a pickled module (__main__.Net)"),
        (MODULE, "a pickled module (__main__.Net)"),
        (b"\x80", "a pickle"),
    ],
)
def test_values_without_code_are_refused_with_how_to_export(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.pt": data})
    error = caught.value
    assert error.what == f"'m.pt' holds {what}, and not a model with its code"
    assert error.reason == "no_model"
    assert error.fix is not None
    assert "torch.export.save(torch.export.export(model.eval(), (example,)" in error.fix


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"hello", "it is neither a zip nor a pickle"),
        (packed(SCRIPT)[:-40], "Not a valid ZIP file: it is cut off or damaged (File is not a zip file)"),
        (packed({"readme.md": b"x"}), "it is a zip that holds readme.md"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.pt": data})
    assert caught.value.why == why
    assert caught.value.reason == "no_model"


def test_a_byte_that_changed_is_found(tmp_path: Path) -> None:
    data = packed(SCRIPT)
    at = data.index(b"class Net")
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.pt": data[:at] + b"C" + data[at + 1 :]})
    assert caught.value.what == "'m.pt' is not a file of PyTorch, or is damaged"
    assert caught.value.why is not None
    assert "does not match its announced checksum (CRC)" in caught.value.why


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    data = packed({**SCRIPT, "data/0": b"\0" * (17 << 20)}, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(TooLarge, match="unpacks to more than 200 times its size"):
        opened(tmp_path, {"m.pt": data})


@pytest.mark.parametrize("graph", [b"[1]", b"{", b'{"graph_module": 1}', b"[" * 100_000])
def test_a_graph_that_cannot_be_read_is_refused(tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(BadPackage, match="the graph in 'm.pt2' cannot be read"):
        opened(tmp_path, {"m.pt2": packed({"models/model.json": graph})})


def test_it_is_not_a_model_of_another_framework(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'m.pt' is a PyTorch model, and not a scikit-learn model"):
        opened(tmp_path, {"m.pt": packed(SCRIPT)}, framework=Framework.SKLEARN)
