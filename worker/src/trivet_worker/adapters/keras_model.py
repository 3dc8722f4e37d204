"""Keras models: `.keras` and `.h5` files, and SavedModels."""

import importlib
import os
from typing import Any, Callable, Dict, List, Optional

from trivet_worker.adapters import PackageFiles, tensorflow_model
from trivet_worker.adapters.tensor_columns import Port, TensorAdapter, check_answers, in_order
from trivet_worker.failures import PackageError

__all__ = ["load"]


def load(package: PackageFiles, stage: Callable[[str], None]) -> TensorAdapter:
    """Load the model's file or folder. Keras's safe mode stays on: a file cannot bring code."""
    file = package.files["model"]
    if not file.lower().endswith((".keras", ".h5", ".hdf5")):
        return tensorflow_model.load(package, stage)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    tf = tensorflow_model.imported()
    keras: Any = importlib.import_module("keras") if _is_3() else tf.keras
    stage("loading")
    path = os.path.join(package.root, file)  # noqa: PTH118 - a plain string is enough
    try:
        model = keras.models.load_model(path, compile=False)
    except (TypeError, ValueError) as error:
        raise _refused(error) or error from error
    inputs = [_port(tensor, name, tf) for tensor, name in zip(model.inputs, _names(model, "input"))]
    outputs = [_port(tensor, name, tf) for tensor, name in zip(model.outputs, _names(model, "output"))]
    pairs = in_order(list(package.input_schema), inputs, which="input", title="the model")
    answers = in_order(list(package.output_schema), outputs, which="output", title="the model")
    check_answers(answers)
    kinds = {port.name: tensor.dtype for port, tensor in zip(inputs, model.inputs)}

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(tensors: List[Any]) -> Any:
        return tf.nest.flatten(model(_packed(model, tensors), training=False))

    def call(feeds: Dict[str, Any]) -> List[Any]:
        tensors = [tensorflow_model.tensor_of(feeds[port.name], tf.as_dtype(kinds[port.name]), tf) for port in inputs]
        return [tensorflow_model.array_of(each, tf) for each in run(tensors)]

    return TensorAdapter(pairs, [(field, port.name) for field, port in answers], call=call)


def _is_3() -> bool:
    """Whether Keras is release 3, which TensorFlow brings from 2.16 on."""
    keras: Any = importlib.import_module("keras")
    return int(str(keras.__version__).split(".")[0]) > 2


def _names(model: Any, which: str) -> List[str]:
    tensors = getattr(model, which + "s")
    names = getattr(model, which + "_names", None)
    if names is None:
        names = [getattr(tensor, "name", None) for tensor in tensors]
    known = list(dict.fromkeys(name for name in names if name))
    return known if len(known) == len(tensors) else [f"{which}_{place}" for place in range(1, len(tensors) + 1)]


def _port(tensor: Any, name: str, tf: Any) -> Port:
    return tensorflow_model.port_of(name, tensor, tf)


def _packed(model: Any, tensors: List[Any]) -> Any:
    """Tensors in the structure of the model's inputs."""
    struct = getattr(model, "_inputs_struct", None)
    if len(tensors) == 1 and not isinstance(struct, (dict, list, tuple)):
        return tensors[0]
    if isinstance(struct, dict):
        # The inputs are in the order of the sorted keys.
        return dict(zip(sorted(struct), tensors))
    return tensors


def _refused(error: Exception) -> Optional[PackageError]:
    """What to do about custom objects, which a file names and does not hold."""
    text = str(error)
    custom = (
        "Unknown layer",
        "Could not locate",
        "custom_objects",
        "register_keras_serializable",
        "get_custom_objects",
    )
    if "safe_mode" in text or "unsafe" in text.lower():
        return PackageError(
            "the model holds a lambda, which is code, and Keras's safe mode refuses it. Write it as a layer, or load the file in a "
            f"custom model. {text.splitlines()[0]}"
        )
    if any(each in text for each in custom):
        return PackageError(
            "the model needs custom objects, which its file does not hold: put the file with their code into a custom model, "
            f"or export it with model.export('model'). {text.splitlines()[0]}"
        )
    return None
