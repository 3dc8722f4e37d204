"""Hugging Face models: a folder as `save_pretrained` writes it, whose config.json says class and release."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.domain.schema_text import parse_schema
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, listed
from trivet.packaging.requirements import REQUIREMENTS, names_project, parse_requirements
from trivet_worker.hugging_face_tasks import TASKS, tasks_of_class

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["TaskInspector", "inspector_of"]

PREFIX: Final = "hugging-face-"
CONFIG: Final = "config.json"
INDEX: Final = "model_index.json"
MAX_JSON: Final = 4 << 20
MOST_CONFIGS: Final = 8
WEIGHTS: Final = (".safetensors", ".bin")
CODE_IN: Final = (CONFIG, INDEX, "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
LIBRARIES: Final = frozenset({"transformers", "diffusers", "stable_diffusion", "onnxruntime", "flax"})

BOTH: Final = ("torch==2.13.0", "pillow", "scipy", "sentencepiece", "protobuf")
RELEASES: Final[Mapping[int, tuple[str, ...]]] = {
    4: ("transformers==4.57.6", "huggingface-hub==0.36.2", "diffusers==0.39.0", *BOTH),
    5: ("transformers==5.24.0", "diffusers==0.42.1", *BOTH),
}
"""What runs a folder, by the major release of transformers that wrote it: the releases with which each task was tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Folder:
    """The folder of a model.

    Attributes:
        file: its config.json, or the model_index.json of a pipeline of diffusers.
        config: that file.
        name: of its class; empty if the file does not say one.
    """

    file: str
    config: Mapping[str, Any]
    name: str

    @property
    def above(self) -> str:
        """What the paths of its files begin with."""
        return self.file.removesuffix(PurePosixPath(self.file).name)

    def tasks(self) -> tuple[str, ...]:
        """The tasks of its class; all of a folder of its kind if they are not known."""
        kind = [task for task, row in TASKS.items() if (not row.pipeline) == self.file.endswith(INDEX)]
        found = [task for task in kind if task in tasks_of_class(self.name)]
        specific = self.config.get("task_specific_params")
        if len(found) > 1 and isinstance(specific, Mapping):
            named = [task for task in found if any(str(each).startswith(task) for each in specific)]
            found = named or found
        if "zero-shot-classification" in found and "entail" not in json.dumps(self.config.get("label2id")).lower():
            found.remove("zero-shot-classification")
        return tuple(found or kind)


@dataclass(frozen=True, slots=True)
class TaskInspector:
    """The inspector of one task. Implements `Inspector`."""

    framework: Framework

    def detect(self, package: Unpacked) -> Evidence | None:
        """See `Inspector.detect`. A framework whose pipeline is that of another task is never detected."""
        folder = _folder_in(package)
        if folder is None:
            return None
        pipelines = {TASKS[each].pipeline: each for each in reversed(folder.tasks()) if each != "sentiment-analysis"}
        if self._task not in pipelines.values():
            return None
        what = folder.name or "a model"
        return Evidence(why=f"{what} may do {self._task}", place=folder.file)

    def inspect(self, package: Unpacked) -> Contents:
        """See `Inspector.inspect`."""
        folder = _folder_in(package)
        if folder is None:
            raise BadPackage(
                f"There is no Hugging Face model in {package.name!r}",
                why=f"no {CONFIG} or {INDEX} with weights beside it ({' or '.join(WEIGHTS)}) is in it: "
                f"it holds {listed(package.paths)}",
                fix="give the folder that model.save_pretrained(folder) and tokenizer.save_pretrained(folder) wrote",
                path=package.name,
                reason="no_model",
            )
        self._check_task(folder, package)
        notes: list[str] = []
        code = _own_code(package, folder)
        if code is not None:
            _check_trust(package, code, notes.append)
        if not any(each.endswith(".safetensors") for each in _below(package, folder)):
            notes.append(
                "its weights are a pickle, of which only numbers are read: "
                "model.save_pretrained(folder) of a newer transformers writes the safer model.safetensors"
            )
        task = TASKS[self._task]
        return Contents(
            files={self._task: folder.file, **({} if code is None else {"code": code})},
            requirements=_requirements(package, folder, notes.append),
            input_schema=_schema(task.inputs),
            output_schema=_schema(task.answers),
            notes=tuple(notes),
        )

    @property
    def _task(self) -> str:
        return self.framework.removeprefix(PREFIX)

    def _check_task(self, folder: _Folder, package: Unpacked) -> None:
        tasks = folder.tasks()
        pipelines = {TASKS[each].pipeline for each in tasks}
        if folder.file.endswith(CONFIG):
            pipelines.add("feature-extraction")  # every model of texts has features
        if "text-classification" in pipelines:
            pipelines.add("zero-shot-classification")
        if TASKS[self._task].pipeline not in pipelines:
            raise BadPackage(
                f"{package.name!r} is a Hugging Face model for {' or '.join(tasks)}, and not for {self._task}",
                why=f"{folder.file} has the class {folder.name}",
                fix=f"use {' or '.join(PREFIX + each for each in tasks)}, or leave the framework out",
                path=folder.file,
            )


def inspector_of(framework: Framework) -> TaskInspector:
    """The inspector of a task's framework."""
    return TaskInspector(framework)


def _schema(fields: Mapping[str, str]) -> pa.Schema:
    return parse_schema("; ".join(f"{name}: {kind}" for name, kind in fields.items()))


def _folder_in(package: Unpacked) -> _Folder | None:
    """The folder nearest to the root that has a class and weights."""
    found = sorted(
        (each for each in package.paths if PurePosixPath(each).name in (CONFIG, INDEX)),
        key=lambda each: (each.count("/"), not each.endswith(INDEX), each),
    )
    for file in found[:MOST_CONFIGS]:
        config = _json(package, file)
        classes = config.get("architectures")
        name = config.get("_class_name") if file.endswith(INDEX) else next(iter(classes or ()), None)
        if isinstance(name, list):  # a pipeline of its own: [file, class]
            name = name[-1]
        folder = _Folder(file=file, config=config, name=name if isinstance(name, str) else "")
        if (folder.name or "model_type" in config) and any(each.endswith(WEIGHTS) for each in _below(package, folder)):
            return folder
    return None


def _below(package: Unpacked, folder: _Folder) -> list[str]:
    """The files of a model; of a pipeline of diffusers those of its parts too."""
    inside = [each for each in package.paths if each.startswith(folder.above)]
    return inside if folder.file.endswith(INDEX) else [each for each in inside if "/" not in each[len(folder.above) :]]


def _json(package: Unpacked, file: str) -> Mapping[str, Any]:
    try:
        found = json.loads(package.head(file, size=MAX_JSON))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _own_code(package: Unpacked, folder: _Folder) -> str | None:
    """The file that names code of the package, which loading would run."""
    for name in CODE_IN:
        file = folder.above + name
        if file not in package.paths:
            continue
        config = _json(package, file)
        parts = [each[0] for each in config.values() if isinstance(each, list) and len(each) == 2]
        foreign = name == INDEX and any(isinstance(each, str) and each not in LIBRARIES for each in parts)
        if foreign or "auto_map" in config or "custom_pipelines" in config:
            return file
    return None


def _check_trust(package: Unpacked, file: str, report: Callable[[str], None]) -> None:
    if not package.trust:
        raise BadPackage(
            f"{package.name!r} has code of its own, which loading would run",
            why=f"{file} names it",
            fix="if you trust its author, load it all the same, in a worker: --trust, or trust=True",
            path=file,
            reason="custom_code",
        )
    report(f"{file} is trusted: loading runs the code that it names")


def _requirements(package: Unpacked, folder: _Folder, report: Callable[[str], None]) -> tuple[str, ...]:
    """The release that wrote the folder, or the nearest that was tried with every task; a requirements.txt wins."""
    own: tuple[str, ...] = ()
    if REQUIREMENTS in package.paths:
        own = parse_requirements(package.root, package.manifest, report=report)
    written = _release(package, folder)
    from packaging.version import Version  # ONNX models do not need this import

    needs = RELEASES[4 if written is None or written.major < 5 else 5]
    tried = Version(needs[0].partition("==")[2])
    pinned = any(names_project(line, "transformers") for line in own)
    if written is not None and written > tried and not pinned:
        report(
            f"transformers {written} wrote it, which is newer than {tried}: the newest of that major release runs it"
        )
        needs = (
            f"transformers>={written}",
            *(each for each in needs[1:] if not each.startswith("diffusers")),
            "diffusers",
        )
    if pinned:  # what was tried beside one release says nothing about another
        needs = ("torch", "pillow", *(() if folder.file.endswith(CONFIG) else ("diffusers",)))
    return (*own, *(each for each in needs if not any(names_project(line, _project(each)) for line in own)))


def _project(requirement: str) -> str:
    return requirement.partition("=")[0].rstrip("><~!")


def _release(package: Unpacked, folder: _Folder) -> "Version | None":
    """The release of transformers that wrote it; of a pipeline of diffusers, its text encoder."""
    from packaging.version import InvalidVersion, Version

    file = folder.file if folder.file.endswith(CONFIG) else f"{folder.above}text_encoder/{CONFIG}"
    text = _json(package, file).get("transformers_version")
    try:
        return Version(text) if isinstance(text, str) else None
    except InvalidVersion:
        return None
