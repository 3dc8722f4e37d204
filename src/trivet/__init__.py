"""Trivet: a stand for any Python model."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("trivet")
