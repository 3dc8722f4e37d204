"""PyTorch models: an exported program (`.pt2`) or TorchScript, beside a requirements.txt or alone."""

import pickletools
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.errors import BadPackage, visible
from trivet.packaging.frameworks.archived import ModelArchive, is_archive, opened_archive
from trivet.packaging.frameworks.inspection import (
    Evidence,
    Unpacked,
    found_file,
    listed,
    model_file,
    requirements_of,
    shown_name,
)
from trivet.packaging.frameworks.pytorch_export import ExportFacts, read_export

__all__ = ["detect", "inspect"]

PROJECT: Final = "torch"
RELEASE: Final = "2.13.0"
"""The release for files that do not say which one wrote them: it loads TorchScript of every earlier one."""
FIRST_EXPORT: Final = "2.4.1"
"""The last release that wrote exported programs without saying so."""

EXPORT: Final = "torch.export.save(torch.export.export(model.eval(), (example,), dynamic_shapes=…), 'model.pt2')"
WAYS: Final = (
    f"export the model where its class is defined: {EXPORT}, with a batch of 2 or more rows as example; "
    "or torch.jit.save(torch.jit.script(model.eval()), 'model.pt')"
)
MAX_PICKLE: Final = 64 << 20
MAX_STEPS: Final = 100_000
_GRAPHS: Final = ("models/model.json", "serialized_exported_program.json")
_PICKLE: Final = b"\x80"
_LEGACY: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"
"""The magic number of files before the zip format."""
_STATE: Final = frozenset(
    {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
)


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`. No other framework writes files of its suffixes."""
    return found_file(package, Framework.PYTORCH, lambda _: True)


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the file, unless a requirements.txt says another."""
    file = model_file(package, Framework.PYTORCH)
    shown = shown_name(package, file)
    path = package.root / file
    if not is_archive(path):
        raise _not_an_archive(path, shown=shown)
    with opened_archive(path, shown=shown, title="a file of PyTorch", fix=WAYS) as archive:
        graph = next((each for each in _GRAPHS if each in archive.paths), None)
        if graph is None:
            _check_script(archive, shown=shown)
        facts = ExportFacts() if graph is None else read_export(archive.read(graph), shown=shown)
    notes: list[str] = []
    release = RELEASE if graph is None else _release(facts.release, report=notes.append)
    requirements = requirements_of(package, f"{PROJECT}=={release}", report=notes.append)
    if graph is None:
        notes.append(f"a .pt2 file is better than {shown}, because it says its schema and its release: {EXPORT}")
    return Contents(
        files={"model": file},
        requirements=requirements,
        input_schema=facts.input_schema,
        output_schema=facts.output_schema,
        notes=tuple(notes),
    )


def _release(written: str | None, *, report: Callable[[str], None]) -> str:
    """The release for an exported program: the one that wrote it, or the nearest that can be installed."""
    try:
        found = Version(written or "")
    except InvalidVersion:
        return FIRST_EXPORT
    if found.pre is None and found.dev is None:
        return found.public
    report(f"the model was written by torch {found}, a pre-release; it gets torch {found.base_version}")
    return found.base_version


def _check_script(archive: ModelArchive, *, shown: str) -> None:
    """Check that an archive holds TorchScript.

    Raises:
        BadPackage: it is something else that PyTorch saved.
    """
    paths = archive.paths
    if "constants.pkl" in paths and any(each.startswith("code/") for each in paths):
        return
    if "data.pkl" not in paths:
        raise BadPackage(
            f"{shown!r} is not a model of PyTorch",
            why=f"it is a zip that holds {listed(paths)}",
            fix=f"{WAYS}; a zip of other files needs a name that ends in .zip",
            path=shown,
            reason="no_model",
        )
    raise _without_code(_saved(archive.read("data.pkl")), shown=shown)


def _not_an_archive(path: Path, *, shown: str) -> BadPackage:
    with path.open("rb") as file:
        data = file.read(MAX_PICKLE)
    if data.startswith(_PICKLE):
        # The old form has a magic number, a protocol and facts about the machine before what was saved.
        skipped = 3 if data.startswith(_LEGACY) else 0
        return _without_code(_saved(data, skipped=skipped), shown=shown)
    return BadPackage(
        f"{shown!r} is not a file of PyTorch, or is cut off",
        why="it is neither a zip nor a pickle" if data else "it is empty",
        fix=f"compare its size after a copy; or {WAYS}",
        path=shown,
        reason="no_model",
    )


def _without_code(what: str, *, shown: str) -> BadPackage:
    return BadPackage(
        f"{shown!r} holds {what}, and not a model with its code",
        why="torch.save writes values without the code of the model, and loading them can run other code",
        fix=WAYS,
        path=shown,
        reason="no_model",
    )


def _saved(data: bytes, *, skipped: int = 0) -> str:
    """What torch.save wrote, by the first steps of its pickle. Nothing of it is loaded."""
    file = BytesIO(data)
    try:
        for _ in range(skipped):
            for _ in _steps(file):
                pass
        for name, argument in _steps(file):
            if name in {"EMPTY_DICT", "DICT"}:
                return "a checkpoint (a dictionary)"
            if name == "GLOBAL":
                known = str(argument) in _STATE
                return "a state_dict" if known else f"a pickled module ({visible(str(argument)).replace(' ', '.')})"
    except ValueError:
        pass
    return "a pickle"


def _steps(file: BytesIO) -> Iterator[tuple[str, object]]:
    for opcode, argument, _ in islice(pickletools.genops(file), MAX_STEPS):
        yield opcode.name, argument
