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
    "HUGGING_FACE",
    "NOT_TAKEN",
    "NOT_YET",
    "ZIPPED",
    "Conversion",
    "Facts",
    "Framework",
    "NotTaken",
    "Runtime",
    "facts_of_adapter",
    "framework_names",
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
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    CATBOOST = "catboost"
    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"
    KERAS = "keras"
    HUGGING_FACE_AUTOMATIC_SPEECH_RECOGNITION = "hugging-face-automatic-speech-recognition"
    HUGGING_FACE_FEATURE_EXTRACTION = "hugging-face-feature-extraction"
    HUGGING_FACE_IMAGE_CLASSIFICATION = "hugging-face-image-classification"
    HUGGING_FACE_IMAGE_SEGMENTATION = "hugging-face-image-segmentation"
    HUGGING_FACE_IMAGE_TO_TEXT = "hugging-face-image-to-text"
    HUGGING_FACE_OBJECT_DETECTION = "hugging-face-object-detection"
    HUGGING_FACE_QUESTION_ANSWERING = "hugging-face-question-answering"
    HUGGING_FACE_SENTIMENT_ANALYSIS = "hugging-face-sentiment-analysis"
    HUGGING_FACE_STABLE_DIFFUSION_TEXT_2_IMG = "hugging-face-stable-diffusion-text-2-img"
    HUGGING_FACE_SUMMARIZATION = "hugging-face-summarization"
    HUGGING_FACE_TEXT_CLASSIFICATION = "hugging-face-text-classification"
    HUGGING_FACE_TEXT_GENERATION = "hugging-face-text-generation"
    HUGGING_FACE_TRANSLATION = "hugging-face-translation"
    HUGGING_FACE_ZERO_SHOT_CLASSIFICATION = "hugging-face-zero-shot-classification"
    HUGGING_FACE_ZERO_SHOT_IMAGE_CLASSIFICATION = "hugging-face-zero-shot-image-classification"
    HUGGING_FACE_ZERO_SHOT_OBJECT_DETECTION = "hugging-face-zero-shot-object-detection"


class Runtime(StrEnum):
    """Where a version runs: in the gateway's process, or in workers of its own."""

    NATIVE = "native"
    ISOLATED = "isolated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """How models of a framework become files for the native runtime, in a worker of their own.

    Attributes:
        adapter: the worker's adapter that converts, a key of `trivet_worker.adapters.ADAPTERS`.
        requirements: of the converter, in PEP 508.
        keeps: projects whose releases are those of the model's own environment.
    """

    adapter: str
    requirements: tuple[str, ...]
    keeps: tuple[str, ...]


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
        conversion: makes of such a model a file for the native runtime. A version whose converted file is proved to answer as
            it does itself runs natively.
        first_try: where a version is tried first. Where it runs is what the trial proves.
        schemas: `asked` of the owner where the package does not say them, or the model file's `own`: it must say them.
        tensor_fields: whether columns can be given other names than the model's tensors have.
        is_code: whether such a package is Python code, which may load files of other frameworks.
    """

    title: str
    needs: str
    absent: str
    to_load: str = "load the model's file"
    inspector: str
    suffixes: tuple[str, ...] = ()
    adapter: str | None = None
    conversion: Conversion | None = None
    first_try: Runtime
    schemas: Literal["asked", "own"] = "asked"
    tensor_fields: bool = False
    is_code: bool = False

    @property
    def sent_as(self) -> Literal["file", "folder"]:
        """How such a package is uploaded; a folder travels as a zip."""
        return "file" if self.suffixes else "folder"


HUGGING_FACE: Final = tuple(each for each in Framework if each.startswith("hugging-face-"))
"""The tasks of Hugging Face. Each is a framework, by the reference's names, and what is known of all is the same."""

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
            conversion=Conversion(
                adapter="sklearn_onnx",
                requirements=("skl2onnx==1.20.*",),
                keeps=("scikit-learn", "numpy", "scipy", "pandas", "joblib", "lz4", "skops"),
            ),
            first_try=Runtime.ISOLATED,
        ),
        Framework.PYTORCH: Facts(
            title="a PyTorch model",
            needs="is a .pt2 file, or TorchScript in a .pt, .pth or .ot file",
            absent="there is no .pt2, .pt, .pth or .ot file",
            inspector="pytorch",
            suffixes=(".pt2", ".pt", ".pth", ".ot"),
            adapter="pytorch",
            first_try=Runtime.ISOLATED,
        ),
        Framework.XGBOOST: Facts(
            title="an XGBoost model",
            needs="is a .ubj, .json, .bst, .model, .pkl, .pickle or .joblib file",
            absent="no file is a model of XGBoost",
            inspector="xgboost",
            suffixes=(".ubj", ".json", ".bst", ".model", ".pkl", ".pickle", ".joblib"),
            adapter="xgboost",
            first_try=Runtime.ISOLATED,
        ),
        Framework.LIGHTGBM: Facts(
            title="a LightGBM model",
            needs="is a .txt, .model, .pkl, .pickle or .joblib file",
            absent="no file is a model of LightGBM",
            inspector="lightgbm",
            suffixes=(".txt", ".model", ".pkl", ".pickle", ".joblib"),
            adapter="lightgbm",
            first_try=Runtime.ISOLATED,
        ),
        Framework.CATBOOST: Facts(
            title="a CatBoost model",
            needs="is a .cbm file",
            absent="there is no .cbm file",
            inspector="catboost",
            suffixes=(".cbm",),
            adapter="catboost",
            first_try=Runtime.ISOLATED,
        ),
        Framework.KERAS: Facts(
            title="a Keras model",
            needs="is a .keras or .h5 file, or a SavedModel",
            absent="there is no .keras or .h5 file",
            inspector="keras",
            suffixes=(".keras", ".h5", ".hdf5"),
            adapter="keras",
            first_try=Runtime.ISOLATED,
        ),
        Framework.TENSORFLOW: Facts(
            title="a TensorFlow model",
            needs="is a folder with a saved_model.pb, as tf.saved_model.save writes it",
            absent="there is no saved_model.pb",
            inspector="tensorflow",
            adapter="tensorflow",
            first_try=Runtime.ISOLATED,
        ),
        **dict.fromkeys(
            HUGGING_FACE,
            Facts(
                title="a Hugging Face model",
                needs="is a folder with a config.json or model_index.json, weights and tokenizer, as save_pretrained writes it",
                absent="there is no config.json with weights beside it",
                to_load="open the folder with transformers.pipeline",
                inspector="hugging_face",
                adapter="hugging_face",
                first_try=Runtime.ISOLATED,
            ),
        ),
        Framework.CUSTOM: Facts(
            title="a custom model",
            needs="has a class that extends Inference, one that extends InferenceBuilder, and a requirements.txt",
            absent="no class extends mac.inference.Inference",
            to_load="run the builder's `create`",
            inspector="custom",
            adapter="custom",
            first_try=Runtime.ISOLATED,
            is_code=True,
        ),
        Framework.PYTHON: Facts(
            title="a Python step",
            needs="has 'def process_data(input_data)'",
            absent="no module has a function process_data",
            to_load="import the step's module",
            inspector="python",
            adapter="python",
            first_try=Runtime.ISOLATED,
            is_code=True,
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


def framework_names() -> tuple[str, ...]:
    """The names of all frameworks, as help and errors list them: the tasks of Hugging Face have one name together."""
    return (*(each.value for each in Framework if each not in HUGGING_FACE), "hugging-face-TASK")


def listed_frameworks() -> str:
    """The names of all frameworks, as documentation lists them."""
    names = [f"`{each}`" for each in framework_names()]
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


ZIPPED: Final = frozenset({".keras", ".ot", ".pt", ".pt2", ".pth", ".skops"})
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
        **dict.fromkeys((".pb", ".tflite"), NotTaken(what="a file that TensorFlow wrote", fix=_WRAP)),
        ".safetensors": NotTaken(
            what="a file of weights", fix="give the folder that save_pretrained wrote, with its config.json"
        ),
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
