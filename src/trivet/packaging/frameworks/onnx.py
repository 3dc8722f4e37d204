"""ONNX models: a file, or a folder with one such file and its weights."""

from collections.abc import Sequence

from trivet.domain.frameworks import Framework, frameworks_of
from trivet.domain.package import Contents
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, model_file
from trivet.packaging.frameworks.onnx_checks import check_model
from trivet.packaging.sources.resolve import Sources

__all__ = ["detect", "inspect"]


def detect(files: Sequence[str], sources: Sources) -> Evidence | None:  # noqa: ARG001 - code does not matter
    """See `Inspector.detect`."""
    found = [each for each in files if Framework.ONNX in frameworks_of(each)]
    return Evidence(why=f"{found[0]} is an ONNX file", place=found[0]) if found else None


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`."""
    file = model_file(package, Framework.ONNX)
    # The store renames a single file, and the user does not know that name.
    lone = len(package.paths) == 1 and Framework.ONNX in frameworks_of(package.name)
    check_model(package.root, package.manifest, model=file, shown=package.name if lone else file)
    return Contents(files={"model": file})
