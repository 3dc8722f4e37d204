"""Models of Hugging Face: each row is one call of the task's pipeline, with the other columns as its arguments."""

import importlib
import os
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.failures import PackageError
from trivet_worker.hugging_face_tasks import IMAGE, SOUND, TASKS, Task

__all__ = ["HuggingFaceAdapter", "check_schemas", "load"]

Pipeline = Callable[..., Any]

FORBIDDEN = frozenset({"assistant_model", "custom_generate", "generation_config", "trust_remote_code"})
"""Arguments of `generate` that load code, or other files than the model's."""

CHOICES = {"function_to_apply": ("sigmoid", "softmax", "none"), "handle_long_generation": ("hole",)}
"""The values of options for which the pipelines only say `KeyError`, or less."""

DEFAULTS = {"return_tensors": False, "return_text": True}
"""What text generation does without these arguments; it refuses them beside `return_full_text`."""


class HuggingFaceAdapter:
    """Answers with a pipeline.

    Args:
        task: what the model does.
        pipeline: called once for each row.
        outputs: the fields to answer.
    """

    def __init__(self, task: Task, pipeline: Pipeline, outputs: "Sequence[pa.Field]") -> None:
        self._task = task
        self._pipeline = pipeline
        self._outputs = outputs
        self._arrays = frozenset(name for name, kind in task.inputs.items() if kind in (IMAGE, SOUND))

    def predict(self, columns: Columns) -> "Dict[str, Any]":
        """See `Adapter.predict`. Rows are answered one by one: padded to one length, they would not get the same answers."""
        rows = len(next(iter(columns.values())))
        answers: Dict[str, np.ndarray[Any, Any]] = {field.name: np.empty(rows, dtype=object) for field in self._outputs}
        for row in range(rows):
            given = {
                name: column[row] if name in self._arrays else _plain(column[row]) for name, column in columns.items()
            }
            answer = self._answer({name: value for name, value in given.items() if value is not None})
            for field in self._outputs:
                answers[field.name][row] = _value(answer, field, several=self._task.several)
        return answers

    def _answer(self, given: "Dict[str, Any]") -> Any:
        task = self._task
        for name, kind in task.inputs.items():
            if name not in given:
                raise InferenceDataValidationError(f"{name!r} is missing in a row")
            if kind == IMAGE:
                given[name] = _image(name, given[name])
            elif kind == SOUND:
                given[name] = np.asarray(given[name], dtype=np.float32)
        for name, choices in CHOICES.items():
            if name in given and str(given[name]).lower() not in choices:
                raise InferenceDataValidationError(f"{name!r} is {given[name]!r}: it can be {' or '.join(choices)}")
        if "return_timestamps" in given:
            asked = given["return_timestamps"]
            given["return_timestamps"] = {"true": True, "false": False, "": False}.get(str(asked).lower(), asked)
        if task.pipeline == "text-generation" and "return_full_text" in given:
            given = {name: value for name, value in given.items() if DEFAULTS.get(name) is not value}
        if task.pipeline == "image-to-text":
            return self._pipeline(given.pop("inputs"), generate_kwargs=given)
        if task.pipeline == "question-answering":
            return self._pipeline(**given)
        return self._pipeline(given.pop(next(iter(task.inputs))), **given)


def check_schemas(name: str, inputs: "Sequence[pa.Field]", outputs: "Sequence[pa.Field]") -> None:
    """Check that the fields are those of a task.

    Raises:
        PackageError: they are not; the message has those that fit.
    """
    task = TASKS[name]
    given, answered = [field.name for field in inputs], [field.name for field in outputs]
    known, fields = {**task.inputs, **task.options}, {**task.answers, **task.more}
    takes = f"its inputs are {', '.join(known)}" + (f", and arguments of {task.others}" if task.others else "")
    fits = "; ".join(f"{field}: {kind}" for field, kind in task.inputs.items())
    for field in task.inputs:
        if field not in given:
            raise PackageError(f"{name} needs the input {field!r}. A schema that fits: {fits!r}; {takes}")
    for field in given:
        if field in FORBIDDEN or (field not in known and not task.others):
            raise PackageError(f"{name} does not take the input {field!r}: {takes}")
    for field in answered:
        if field not in fields:
            answers = "; ".join(f"{each}: {kind}" for each, kind in fields.items())
            raise PackageError(f"{name} has no answer for the output field {field!r}. Its fields are {answers!r}")


def load(package: PackageFiles, stage: "Callable[[str], None]") -> HuggingFaceAdapter:
    """Load the pipeline of the folder with the file whose role is the task."""
    name = next(role for role in package.files if role in TASKS)
    task, outputs = TASKS[name], list(package.output_schema)
    check_schemas(name, list(package.input_schema), outputs)
    # A deployment that sets the variable itself may reach the hub.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    folder = os.path.dirname(os.path.join(package.root, package.files[name]))  # noqa: PTH118, PTH120 - plain strings do
    importlib.import_module("torch")
    importlib.import_module("transformers" if task.pipeline else "diffusers")
    stage("loading")
    pipeline = _opened(task, folder, trust="code" in package.files)
    if task.others == "tokenizer":
        _check_arguments(name, pipeline, [field.name for field in package.input_schema])
    return HuggingFaceAdapter(task, pipeline, outputs)


def _opened(task: Task, folder: str, *, trust: bool) -> Pipeline:
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not task.pipeline:
        diffusers = importlib.import_module("diffusers")
        painter = diffusers.AutoPipelineForText2Image.from_pretrained(folder, trust_remote_code=trust).to(device)
        painter.set_progress_bar_config(disable=True)
        return lambda prompt, **given: _painted(painter, prompt, given)
    transformers = importlib.import_module("transformers")
    if task.pipeline not in importlib.import_module("transformers.pipelines").PIPELINE_REGISTRY.get_supported_tasks():
        own = importlib.import_module("trivet_worker.adapters.hugging_face_pipelines")
        opened: Pipeline = own.PIPELINES[task.pipeline](folder, device=device, trust=trust)
        return opened
    # A .bin file is a pickle, of which transformers and diffusers read tensors only (`weights_only`).
    pipeline: Pipeline = transformers.pipeline(task.pipeline, model=folder, device=device, trust_remote_code=trust)
    return pipeline


def _check_arguments(name: str, pipeline: Any, given: "Sequence[str]") -> None:
    """Check the further arguments of a tokenizer, which ignores unknown ones."""
    known = importlib.import_module("inspect").signature(pipeline.tokenizer.__call__).parameters
    for field in given:
        if field not in TASKS[name].inputs and field not in TASKS[name].options and field not in known:
            raise PackageError(f"{name} does not take the input {field!r}, and its tokenizer has no such argument")


def _painted(painter: Any, prompt: str, given: "Dict[str, Any]") -> "List[Dict[str, Any]]":
    if "num_images_per_prompt" in given:
        given["num_images_per_prompt"] = int(given["num_images_per_prompt"])
    return [{"images": np.asarray(each.convert("RGB"))} for each in painter(prompt, **given).images]


def _plain(value: Any) -> Any:
    """A cell as Python has it: a number, a text, a list, or an array of more dimensions."""
    if isinstance(value, np.ndarray):
        return value if value.ndim > 1 else [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _image(name: str, value: Any) -> Any:
    try:
        pixels = np.asarray(value if isinstance(value, np.ndarray) else [np.stack(list(row)) for row in value])
    except ValueError:
        pixels = np.empty(0)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype.kind not in "iu":
        raise InferenceDataValidationError(
            f"{name!r} is not an image: it needs rows of pixels, with three numbers each"
        )
    if pixels.min() < 0 or pixels.max() > 255:
        raise InferenceDataValidationError(f"{name!r} is not an image: its numbers are not from 0 to 255")
    return importlib.import_module("PIL.Image").fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def _value(answer: Any, field: pa.Field, *, several: bool) -> Any:
    """The value of one field in the answer to a row."""
    if not several:
        return _flat(answer[0] if isinstance(answer, list) else answer[field.name])
    answers = answer if isinstance(answer, list) else [answer]
    missing = next((each for each in answers if field.name not in each), None)
    if missing is not None:
        raise InferenceDataValidationError(f"the answer has no {field.name!r}: it has {', '.join(missing)}")
    found = [_flat(each[field.name]) for each in answers]
    if _holds_several(field, found):
        size = field.type.list_size if pat.is_fixed_size_list(field.type) else len(found)
        if size != len(found):  # the row decides how many there are, and not the model
            raise InferenceDataValidationError(
                f"{_counted(found)}, and {field.name!r} has {size}: let it be a list of any length, or ask for {size}"
            )
        return found
    if len(found) != 1:
        raise InferenceDataValidationError(
            f"{_counted(found)}, and {field.name!r} has one: let it be a list, or ask for one"
        )
    return found[0]


def _counted(found: "Sequence[Any]") -> str:
    return "there is 1 answer" if len(found) == 1 else f"there are {len(found)} answers"


def _holds_several(field: pa.Field, found: "Sequence[Any]") -> bool:
    """Whether the field is a list of answers, and not one answer that is a list itself."""
    depth, kind = 0, field.type
    while pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth > (np.ndim(found[0]) if found else 0)


def _flat(value: Any) -> Any:
    """An answer's value in the form that the document has: a box as four numbers, a mask and tensors as nested lists."""
    if isinstance(value, dict) and set(value) == {"xmin", "ymin", "xmax", "ymax"}:
        return [value[side] for side in ("xmin", "ymin", "xmax", "ymax")]
    if isinstance(value, dict):
        return {name: _flat(item) for name, item in value.items()}
    if hasattr(value, "getbands"):
        return np.asarray(value).astype(np.int64).tolist()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_flat(item) for item in value]
    return value
