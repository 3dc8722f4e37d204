"""A checked package: its digest, its files and its entry points."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from trivet.domain.batching import Batching
from trivet.domain.digest import Digest
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.network import NetworkUse

__all__ = [
    "Contents",
    "EntryPoint",
    "Manifest",
    "ModelSettings",
    "Package",
    "PackageFile",
    "TestCase",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageFile:
    """One file of a package: its path inside the package (POSIX), its size in bytes and its sha256."""

    path: str
    size: int
    sha256: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Every file of a package, in order of path."""

    files: tuple[PackageFile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryPoint:
    """A class or function in a file of the package: where a worker finds what to run."""

    file: str
    name: str
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a package turned out to hold when its files were read, and none of them run.

    Attributes:
        entry: entry points by role: `inference` and `builder`, or `function`.
        files: paths inside the package by role: the `model` file.
        requirements: what the environment must hold, as PEP 508 lines; empty where the model needs none.
        input_schema, output_schema: where the package says them.
        notes: what its owner should know, though it does not stop the package from being served.
        facts: what the model's file says about itself, a line each.
    """

    entry: Mapping[str, EntryPoint] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    input_schema: pa.Schema | None = None
    output_schema: pa.Schema | None = None
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TestCase:
    """Rows with the answers they must get."""

    name: str
    rows: tuple[dict[str, Any], ...]
    expect: tuple[dict[str, Any], ...]
    rtol: float = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """What flags and `trivet.yaml` say about a model; None where neither says anything.

    Attributes:
        suggested_schema: of the input, from the owner's example data; for a model that has no input schema else.
        example: rows to try before the model is ready.
        allow_nulls: whether a Python step takes nulls where the schema of its upload is nullable.
        trust: load a pickle or code that the check refuses. Only flags say it, because a package cannot vouch for itself.
    """

    name: str | None = None
    framework: Framework | None = None
    input_schema: pa.Schema | None = None
    output_schema: pa.Schema | None = None
    suggested_schema: pa.Schema | None = None
    tensor_fields: tuple[str, ...] | None = None
    batch_config: Batching | None = None
    runtime: Runtime | None = None
    network: NetworkUse | None = None
    python: str | None = None
    workers: int | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    open_files: int | None = None
    allow_nulls: bool | None = None
    trust: bool | None = None
    example: tuple[dict[str, Any], ...] = ()
    tests: tuple[TestCase, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A package that was unpacked within the limits and whose entry points were found.

    Attributes:
        name: the model name that the file name suggests (a DNS label).
        file_name: the name of the file or folder it came from.
        digest: sha256 of the file's bytes; of the manifest where a folder came in.
        root: where its files lie, unpacked, not to be written to.
        settings: what its own `trivet.yaml` says.
    """

    name: str
    file_name: str
    digest: Digest
    root: Path
    manifest: Manifest
    framework: Framework
    contents: Contents
    settings: ModelSettings = field(default_factory=ModelSettings)
