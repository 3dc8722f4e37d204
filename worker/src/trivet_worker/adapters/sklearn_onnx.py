"""Converts a scikit-learn model to ONNX. It answers rows as the model does, and raw requests with the conversion."""

import importlib
from typing import Any, Callable, Dict, List, Sequence

import pyarrow as pa
import pyarrow.types as pat

from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.adapters.estimators import METHODS, EstimatorAdapter, Loaded
from trivet_worker.adapters.sklearn_model import load_model
from trivet_worker.converting.knowledge import has_trees
from trivet_worker.converting.liars import known_liar
from trivet_worker.converting.missing import keep_missing
from trivet_worker.converting.onnx_form import FEATURES, Conversion, in_form, input_name
from trivet_worker.converting.rows import proof_rows
from trivet_worker.raw import RawAnswer, RawRequest

__all__ = ["ConvertingAdapter", "load"]

OPSETS = {"": 18, "ai.onnx.ml": 3}


class ConvertingAdapter:
    """Answers `/converter`, `/rows`, and the converted files as `/files/0`, `/files/1`, …, the most exact one first."""

    def __init__(self, loaded: Loaded, package: PackageFiles) -> None:
        self._loaded = loaded
        self._own = EstimatorAdapter(loaded.features, loaded.answers)
        self._inputs = list(package.input_schema)
        self._outputs = list(package.output_schema)
        # Trees compare float32 numbers, and the converter needs minutes for those of doubles.
        self._precisions = ("float",) if has_trees(loaded.model) else ("double", "float")

    def predict(self, columns: Columns) -> "Dict[str, Any]":
        """See `Adapter.predict`."""
        return self._own.predict(columns)

    def answer(self, request: RawRequest) -> RawAnswer:
        """See `AnswersRaw.answer`."""
        _, what, *rest = request.path.split("/")
        if what == "rows":
            return RawAnswer(200, "application/vnd.apache.arrow.stream", self._rows())
        if what == "converter":
            return RawAnswer(200, "text/plain", f"skl2onnx {_release()}".encode())
        try:
            return RawAnswer(200, "application/octet-stream", self._file(self._precisions[int(rest[0])]))
        except IndexError:
            return RawAnswer(404, "text/plain", b"there are no more files")
        except Refused as error:
            return RawAnswer(422, "text/plain", str(error).encode())
        except Exception as error:  # whatever a converter raises
            return RawAnswer(
                422, "text/plain", f"the converter raised {type(error).__name__}: {error}".encode("utf-8", "replace")
            )

    def _rows(self) -> bytes:
        features = self._loaded.features
        width = features.expected or len(self._inputs)
        table = proof_rows(self._loaded.model, self._inputs, features.names, width)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body: bytes = sink.getvalue().to_pybytes()
        return body

    def _file(self, precision: str) -> bytes:
        model, features = self._loaded.model, self._loaded.features
        why = known_liar("sklearn", model, _release())
        if why is not None:
            raise Refused(why)
        is_list = len(self._inputs) == 1 and pat.is_nested(self._inputs[0].type)
        order: List[str] = [] if is_list else list(features.names) or [field.name for field in self._inputs]
        kinds = {field.name: field.type for field in self._inputs}
        apart = bool(order) and (bool(features.names) or any(pat.is_string(kind) for kind in kinds.values()))
        width = features.expected or len(self._inputs)
        types = importlib.import_module("skl2onnx.common.data_types")
        number = {"double": types.DoubleTensorType, "float": types.FloatTensorType}[precision]
        if not apart:
            taken = [(FEATURES, number([None, width]))]
        else:
            taken = [
                (input_name(place), (types.StringTensorType if pat.is_string(kinds[name]) else number)([None, 1]))
                for place, name in enumerate(order)
            ]
        graph = _converted(model, taken, features.names if apart else ())
        names = [value.name for value in graph.graph.output]
        sources = {field.name: _source(model, field.name, names, self._outputs) for field in self._outputs}
        return in_form(Conversion(graph, order, sources), self._inputs, self._outputs)


class Refused(Exception):
    """A model that is not converted."""


def _converted(model: Any, taken: "Sequence[Any]", names: "Sequence[str]") -> Any:
    convert = importlib.import_module("skl2onnx").convert_sklearn
    if names:
        # The converter finds the columns of a column transformer by the names of its inputs.
        taken = [(name, kind) for name, (_, kind) in zip(names, taken)]
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    try:
        graph = convert(model, initial_types=list(taken), options=options, target_opset=OPSETS)
    except NameError:
        graph = convert(model, initial_types=list(taken), target_opset=OPSETS)
    if names:
        _place(graph, names)
    keep_missing(graph, model)
    return graph


def _place(graph: Any, names: "Sequence[str]") -> None:
    """Call the inputs of a graph by their place in the training."""
    given = {value.name: value for value in graph.graph.input}
    new = {}
    for place, name in enumerate(names):
        # The converter replaces what a name in ONNX cannot hold, and leaves out what it does not need.
        clean = next((each for each in (name, _cleaned(name)) if each in given), None)
        if clean is None:
            raise Refused(f"the converted file has no input for the column {name!r}")
        new[clean] = input_name(place)
    for node in graph.graph.node:
        node.input[:] = [new.get(each, each) for each in node.input]
    for value in graph.graph.input:
        value.name = new.get(value.name, value.name)


def _cleaned(name: str) -> str:
    return "".join(each if each.isalnum() or each == "_" else "_" for each in name)


def _source(model: Any, field: str, outputs: "Sequence[str]", fields: "Sequence[pa.Field]") -> str:
    """The output of a graph that answers a field."""
    methods = METHODS.get(field) or METHODS["predictions"]
    method = next((name for name in methods if hasattr(model, name)), "")
    del fields
    if method in ("predict", "transform"):
        if method == "transform" and hasattr(model, "predict"):
            raise Refused("the converted file has no answer of transform")
        return outputs[0]
    if method == "predict_proba" and len(outputs) > 1:
        return outputs[1]
    raise Refused(f"the converted file has no answer of {method or field}")


def _release() -> str:
    return str(importlib.import_module("skl2onnx").__version__)


def load(package: PackageFiles, stage: "Callable[[str], None]") -> ConvertingAdapter:
    """Load the model's file, and the converter."""
    importlib.import_module("skl2onnx")
    return ConvertingAdapter(load_model(package, stage), package)
