"""Packages of model files, opened."""

from pathlib import Path

from trivet.domain.package import ModelSettings, Package
from trivet.packaging import open_package

__all__ = ["opened"]


def opened(
    folder: Path, files: dict[str, bytes], *, lone: bool = True, settings: ModelSettings | None = None
) -> Package:
    """Write files, and open the first of them, or the folder with all of them."""
    root = folder / "package"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    path = root / next(iter(files)) if lone else root
    return open_package(path, store=folder / "store", settings=settings or ModelSettings())
