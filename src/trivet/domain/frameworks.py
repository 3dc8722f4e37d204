"""The frameworks: what is known of each before a file of it is read, and what to do with files that none of them takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "ACCEPTED",
    "FRAMEWORKS",
    "NOT_TAKEN",
    "NOT_YET",
    "ZIPPED",
    "Facts",
    "Framework",
    "NotTaken",
    "Runtime",
    "facts_of_adapter",
    "frameworks_of",
    "listed_frameworks",
    "listed_suffixes",
]


class Framework(StrEnum):
    """What wrote a model, by the names that the reference uses."""

    ONNX = "onnx"
    CUSTOM = "custom"
    PYTHON = "python"
    SKLEARN = "sklearn"


class Runtime(StrEnum):
    """Where a version runs: in the gateway's process, or in workers of its own."""

    NATIVE = "native"
    ISOLATED = "isolated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of every model of a framework.

    Attributes:
        title: what such a model is called, with its article.
        needs: what its package must have.
        absent: how an error says that a package has nothing of the kind.
        to_load: what its owner can do to see why it does not load in a worker.
        inspector: the module of `trivet.packaging.frameworks` that reads such a package.
        suffixes: of the model's own file, which can be sent alone; empty where a package is always a folder or a zip.
        adapter: the worker's adapter, a key of `trivet_worker.adapters.ADAPTERS`; None where no worker runs such models.
        converter: the module of `trivet.loading.converters` that makes of such a model a file for the native runtime. A version
            whose converted file answers as it does itself runs natively.
        first_try: where a version is tried first. Where it runs is what the trial proves.
        schemas: `asked` of the owner where the package does not say them, or the model file's `own`: it must say them.
        tensor_fields: whether columns can be given other names than the model's tensors have.
    """

    title: str
    needs: str
    absent: str
    to_load: str = "load the model's file"
    inspector: str
    suffixes: tuple[str, ...] = ()
    adapter: str | None = None
    converter: str | None = None
    first_try: Runtime
    schemas: Literal["asked", "own"] = "asked"
    tensor_fields: bool = False

    @property
    def sent_as(self) -> Literal["file", "folder"]:
        """How such a package is uploaded; a folder travels as a zip."""
        return "file" if self.suffixes else "folder"


FRAMEWORKS: Final[Mapping[Framework, Facts]] = MappingProxyType(
    {
        Framework.ONNX: Facts(
            title="an ONNX model",
            needs="is an .onnx file",
            absent="there is no .onnx file",
            inspector="onnx",
            suffixes=(".onnx",),
            adapter="onnx",
            first_try=Runtime.NATIVE,
            schemas="own",
            tensor_fields=True,
        ),
        Framework.SKLEARN: Facts(
            title="a scikit-learn model",
            needs="is a .pkl, .pickle, .joblib or .skops file",
            absent="there is no .pkl, .joblib or .skops file",
            inspector="sklearn",
            suffixes=(".pkl", ".pickle", ".joblib", ".skops"),
            adapter="sklearn",
            first_try=Runtime.ISOLATED,
        ),
        Framework.CUSTOM: Facts(
            title="a custom model",
            needs="has a class that extends Inference, one that extends InferenceBuilder, and a requirements.txt",
            absent="no class extends mac.inference.Inference",
            to_load="run the builder's `create`",
            inspector="custom",
            adapter="custom",
            first_try=Runtime.ISOLATED,
        ),
        Framework.PYTHON: Facts(
            title="a Python step",
            needs="has 'def process_data(input_data)'",
            absent="no module has a function process_data",
            to_load="import the step's module",
            inspector="python",
            adapter="python",
            first_try=Runtime.ISOLATED,
        ),
    }
)


def frameworks_of(file: str) -> tuple[Framework, ...]:
    """The frameworks that may have written a file, by its suffix."""
    suffix = PurePath(file).suffix.lower()
    return tuple(framework for framework, facts in FRAMEWORKS.items() if suffix in facts.suffixes)


def facts_of_adapter(adapter: str) -> Facts | None:
    """What is known of the models that an adapter of the worker loads; None if no framework has it."""
    return next((facts for facts in FRAMEWORKS.values() if facts.adapter == adapter), None)


def listed_frameworks() -> str:
    """The names of all frameworks, as documentation lists them."""
    names = [f"`{each}`" for each in Framework]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def listed_suffixes() -> str:
    """The suffixes of all model files, as an error lists them."""
    suffixes = sorted({suffix for facts in FRAMEWORKS.values() for suffix in facts.suffixes})
    return ", ".join(f"{'an' if each[1] in 'aeiou' else 'a'} {each} file" for each in suffixes)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotTaken:
    """A file that no framework takes as it is: what it is, and what to do with it."""

    what: str
    fix: str


ZIPPED: Final = frozenset({".keras", ".pt", ".pth", ".skops"})
"""Suffixes of model files that are zips in themselves, and not zips of a package."""

ACCEPTED: Final = f"give {listed_suffixes()}, a .zip, or a folder with the package's files"
NOT_YET: Final = (
    "export the model to ONNX, or put it into a package of the framework custom, which runs any Python model"
)
"""What to do with a model of a framework that is not supported yet."""

_WRAP: Final = "export it to ONNX, or put it into a folder with a custom model that loads it, and give that folder"
_UNPACK: Final = "unpack it, and give the folder or a .zip of it"

NOT_TAKEN: Final[Mapping[str, NotTaken]] = MappingProxyType(
    {
        **dict.fromkeys((".pt", ".pth"), NotTaken(what="a file that PyTorch wrote", fix=_WRAP)),
        **dict.fromkeys((".h5", ".hdf5"), NotTaken(what="an HDF5 file", fix=_WRAP)),
        ".keras": NotTaken(what="a file that Keras wrote", fix=_WRAP),
        **dict.fromkeys((".pb", ".tflite"), NotTaken(what="a file that TensorFlow wrote", fix=_WRAP)),
        **dict.fromkeys((".ubj", ".bst"), NotTaken(what="a file that XGBoost wrote", fix=_WRAP)),
        ".safetensors": NotTaken(what="a file of weights", fix=_WRAP),
        ".py": NotTaken(what="one Python file", fix="put it into a folder, and give that"),
        ".ipynb": NotTaken(what="a notebook", fix="save its code as a .py file in a folder, and give that"),
        **dict.fromkeys(
            (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"),
            NotTaken(what="an archive, but not a zip", fix=_UNPACK),
        ),
        ".zip": NotTaken(
            what="called a zip, but is not one or is cut off", fix="zip the package again, or give its folder"
        ),
        **dict.fromkeys((".yaml", ".yml"), NotTaken(what="a settings file", fix="give the folder that it is in")),
    }
)
"""By suffix. A suffix of a framework counts before these."""
