"""CatBoost models: its binary file, beside a requirements.txt or alone."""

import mmap
import re
from pathlib import Path
from typing import Final

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import (
    Evidence,
    Unpacked,
    found_file,
    model_file,
    requirements_of,
    shown_name,
)

__all__ = ["detect", "inspect"]

START: Final = b"CBM1"
_RELEASE: Final = re.compile(rb"CatBoost release (\d{1,4}(?:\.\d{1,4}){1,3})\b")
_LOSS: Final = re.compile(rb'"loss_function":\{"type":"(\w{1,64})"')


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    return found_file(package, Framework.CATBOOST, lambda file: _wrote(package, file))


def _wrote(package: Unpacked, file: str) -> bool:
    return package.head(file, size=len(START)) == START


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the file, unless a requirements.txt says another."""
    file = model_file(package, Framework.CATBOOST, lambda file: _wrote(package, file))
    shown = shown_name(package, file)
    path = package.root / file
    if not _wrote(package, file):
        raise _no_model(shown, why="it does not begin as CatBoost's files do")
    if path.stat().st_size < 8 or int.from_bytes(package.head(file, size=8)[4:], "little") > path.stat().st_size - 8:
        raise _no_model(shown, why="it is cut off")
    version, loss = _said(path)
    notes: list[str] = []
    if version is None:
        notes.append(f"{shown} does not say which release of CatBoost wrote it: the newest loads it")
    needs = ("catboost" if version is None else f"catboost=={version}", "pandas")
    facts = [*([f"written by CatBoost {version}"] if version else []), *([f"loss function {loss}"] if loss else [])]
    return Contents(
        files={"model": file},
        requirements=requirements_of(package, *needs, report=notes.append),
        notes=tuple(notes),
        facts=(", ".join(facts),) if facts else (),
    )


def _said(path: Path) -> tuple[str | None, str | None]:
    """The release that wrote the file, and what it was trained for: both stand in it as text."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        release, loss = _RELEASE.search(data), _LOSS.search(data)
        return (
            None if release is None else release[1].decode(),
            None if loss is None else loss[1].decode(),
        )


def _no_model(shown: str, *, why: str) -> BadPackage:
    return BadPackage(
        f"{shown!r} is not a model of CatBoost",
        why=why,
        fix="save the fitted model with model.save_model('model.cbm'), and compare the file's size after a copy",
        path=shown,
        reason="no_model",
    )
