"""ONNX models: a file, or a folder with one such file and its weights."""

from trivet.domain.frameworks import Framework, frameworks_of
from trivet.domain.package import Contents
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, found_file, model_file
from trivet.packaging.frameworks.onnx_checks import check_model

__all__ = ["detect", "inspect"]


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`. No other framework writes files of its suffix."""
    return found_file(package, Framework.ONNX, lambda _: True)


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`."""
    file = model_file(package, Framework.ONNX)
    # The store renames a single file, and the user does not know that name.
    lone = len(package.paths) == 1 and Framework.ONNX in frameworks_of(package.name)
    check_model(package.root, package.manifest, model=file, shown=package.name if lone else file)
    return Contents(files={"model": file})
