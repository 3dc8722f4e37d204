"""A file is replaced as a whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from trivet.disk.replace import replace_file


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_and_readable_by_its_owner_only(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"what was there, and was longer")
    path.chmod(0o644)
    replace_file(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"what was there")

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((Path, step) if step == "replace" else (os, step)), fails)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new", durable=True)
    monkeypatch.undo()
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
