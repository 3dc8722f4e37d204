"""Turns a path into a checked package, without running any of it."""

from trivet.packaging.frameworks.detect import framework_of_file, framework_of_folder
from trivet.packaging.frameworks.onnx_facts import onnx_facts
from trivet.packaging.limits import Limits
from trivet.packaging.open import open_package, unpack_again
from trivet.packaging.settings import load_settings, merge_settings
from trivet.packaging.store import discard_package, find_package, package_in_use

__all__ = [
    "Limits",
    "discard_package",
    "find_package",
    "framework_of_file",
    "framework_of_folder",
    "load_settings",
    "merge_settings",
    "onnx_facts",
    "open_package",
    "package_in_use",
    "unpack_again",
]
