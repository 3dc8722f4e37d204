"""TensorFlow models: a signature of a SavedModel."""

import importlib
import os
from typing import Any, Callable, Dict

import numpy as np

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.tensor_columns import Port, TensorAdapter, check_answers, in_order

__all__ = ["array_of", "imported", "load", "port_of", "tensor_of"]


def load(package: PackageFiles, stage: Callable[[str], None]) -> TensorAdapter:
    """Load the model's folder."""
    tf = imported()
    stage("loading")
    folder = os.path.join(package.root, os.path.dirname(package.files["model"]))  # noqa: PTH118, PTH120 - plain strings
    model = tf.saved_model.load(folder)
    entry = package.entry.get("signature")
    function = model.signatures["serving_default" if entry is None else entry.name]
    given = function.structured_input_signature[1]
    answered = function.structured_outputs
    inputs = [port_of(name, given[name], tf) for name in sorted(given)]
    outputs = [port_of(name, answered[name], tf) for name in sorted(answered)]
    pairs = in_order(list(package.input_schema), inputs, which="input", title="the model")
    answers = in_order(list(package.output_schema), outputs, which="output", title="the model")
    check_answers(answers)
    kinds = {name: given[name].dtype for name in given}

    # A function does not keep its model, whose variables it reads.
    def call(feeds: Dict[str, Any], model: Any = model) -> Dict[str, Any]:  # noqa: ARG001 - kept
        found = function(**{name: tensor_of(value, kinds[name], tf) for name, value in feeds.items()})
        return {name: array_of(tensor, tf) for name, tensor in found.items()}

    return TensorAdapter(pairs, [(field, port.name) for field, port in answers], call=call)


def imported() -> Any:
    """TensorFlow, with the threads that a worker may use."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf: Any = importlib.import_module("tensorflow")
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def port_of(name: str, spec: Any, tf: Any) -> Port:
    """A port from what TensorFlow says of a tensor."""
    kind = tf.as_dtype(spec.dtype)
    dtype = (
        np.dtype(np.float32) if kind == tf.bfloat16 else np.dtype(object if kind == tf.string else kind.as_numpy_dtype)
    )
    shape = tf.TensorShape(spec.shape)
    if shape.rank is None:
        return Port(name, dtype)
    sizes = shape.as_list()
    return Port(name, dtype, tuple(sizes[1:]), sizes[0] if sizes else None)


def tensor_of(value: Any, kind: Any, tf: Any) -> Any:
    """An array as a tensor."""
    if kind == tf.string:
        return tf.constant(value.tolist(), tf.string)
    return tf.cast(tf.constant(value), kind)


def array_of(tensor: Any, tf: Any) -> Any:
    """A tensor as an array; texts are UTF-8."""
    if tensor.dtype == tf.bfloat16:
        tensor = tf.cast(tensor, tf.float32)
    found = tensor.numpy()
    if tensor.dtype != tf.string:
        return found
    texts = np.array([each.decode() for each in np.ravel(found)], dtype=object)
    return texts.reshape(np.shape(found))
