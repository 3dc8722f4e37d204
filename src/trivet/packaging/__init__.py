"""A path becomes a checked package; nothing of it is run."""

from trivet.packaging.limits import Limits
from trivet.packaging.open import open_package, read_requirements
from trivet.packaging.settings import load_settings, merge_settings

__all__ = ["Limits", "load_settings", "merge_settings", "open_package", "read_requirements"]
