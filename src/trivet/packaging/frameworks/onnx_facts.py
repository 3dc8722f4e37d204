"""What an ONNX file says about itself: who made it, its versions, its documentation, and foreign operators."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.domain.onnx_graph import optional_inputs, outputs_that_select, weights_among_inputs
from trivet.packaging.frameworks.onnx_tensors import quoted

if TYPE_CHECKING:
    import onnx

__all__ = ["onnx_facts"]

_STANDARD = "ai.onnx"
_MOST_SHOWN = 20


def onnx_facts(file: Path) -> tuple[str, ...]:
    """Sentences about a file that was checked, without what its graph computes.

    Its texts are quoted and shortened, because anyone can write them.
    """
    import onnx

    return tuple(_facts(onnx.ModelProto.FromString(file.read_bytes())))


def _facts(model: "onnx.ModelProto") -> Iterator[str]:
    maker = " ".join(filter(None, (model.producer_name, model.producer_version)))
    opsets = {each.domain or _STANDARD: each.version for each in model.opset_import}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(opsets.items())[:_MOST_SHOWN])
    yield f"made by {quoted(maker) if maker else 'an unnamed program'}, IR version {model.ir_version}, opset {versions}"
    about = {"graph": model.graph.name, "domain": model.domain, "version": model.model_version or ""}
    named = [f"{key} {quoted(str(value))}" for key, value in about.items() if value]
    if named:
        yield ", ".join(named)
    for which, text in (("model", model.doc_string), ("graph", model.graph.doc_string)):
        if text.strip():
            yield f"documentation of the {which}: {quoted(text.strip())}"
    if model.metadata_props:
        pairs = [f"{quoted(each.key)}: {quoted(each.value)}" for each in model.metadata_props]
        yield f"metadata: {_listed(pairs)}"
    foreign = {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in {"", _STANDARD}}
    if foreign:
        yield f"operators outside of the ONNX standard: {_listed(sorted(foreign))}"
    for what, names in (
        ("inputs with a default, which are optional", optional_inputs(model)),
        ("weights that the file lists as inputs", weights_among_inputs(model)),
        ("outputs whose number of rows may depend on values", sorted(outputs_that_select(model))),
    ):
        if names:
            yield f"{what}: {_listed(map(quoted, names))}"


def _listed(texts: Iterable[str]) -> str:
    every = list(texts)
    rest = f" and {len(every) - _MOST_SHOWN} more" if len(every) > _MOST_SHOWN else ""
    return ", ".join(every[:_MOST_SHOWN]) + rest
