"""PyTorch models: exported programs and TorchScript, on the CPU."""

import importlib
import os
import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.tensor_columns import Port, TensorAdapter, check_answers, in_order, ports_of_fields
from trivet_worker.failures import PackageError

__all__ = ["load"]

Module = Callable[..., Any]

_ON_GPU = re.compile(r'Device = prim::Constant\[value="(cuda(?::\d+)?)"')
_GPU_NEEDED = "the model needs a GPU, and there is none here: {}. Move it to the CPU (model.cpu()), and export it again"


def load(package: PackageFiles, stage: Callable[[str], None]) -> TensorAdapter:
    """Load the model's file."""
    torch: Any = importlib.import_module("torch")
    file = package.files["model"]
    path = os.path.join(package.root, file)  # noqa: PTH118 - a plain string is enough
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    exported = file.lower().endswith(".pt2")
    if exported:
        importlib.import_module("torch.export")
    stage("loading")
    try:
        module, inputs, outputs = _exported(torch, path) if exported else _scripted(torch, path, package)
    except PackageError:
        raise
    except Exception as error:
        if "cuda" in str(error).lower() and not torch.cuda.is_available():
            raise PackageError(_GPU_NEEDED.format(str(error).splitlines()[0])) from error
        raise
    title = "the model"
    pairs = in_order(list(package.input_schema), inputs, which="input", title=title)
    answers = in_order(list(package.output_schema), outputs, which="output", title=title)
    check_answers(answers)

    def call(feeds: Dict[str, Any]) -> List[Any]:
        with torch.inference_mode():
            found = module(*[torch.from_numpy(np.ascontiguousarray(feeds[port.name])) for port in inputs])
        return [_array(each, torch) for each in _flat(found)]

    return TensorAdapter(pairs, [(field, port.name) for field, port in answers], call=call)


def _exported(torch: Any, path: str) -> "Tuple[Module, Sequence[Port], Sequence[Port]]":
    """An exported program: it says which tensors it takes, and how many it answers."""
    program = torch.export.load(path)
    tree = importlib.import_module("torch.utils._pytree")
    signature = program.graph_signature
    values: Dict[Any, Any] = {node.name: node.meta.get("val") for node in program.graph.nodes}
    types = _types(torch)

    def port(name: Any) -> Port:
        value: Any = values.get(name)
        if not hasattr(value, "shape") or not len(value.shape):
            raise PackageError(
                f"{name!r} has no dimension for rows: export a model that takes and answers tensors of rows"
            )
        rows, *shape = [size if isinstance(size, int) else None for size in value.shape]
        return Port(str(name), types.get(value.dtype), tuple(shape), rows)

    inputs = [port(name) for name in signature.user_inputs]
    outputs = [port(name) for name in signature.user_outputs]
    narrow = [values[name].dtype for name in signature.user_inputs]
    module = program.module()
    spec = program.call_spec.in_spec

    def call(*tensors: Any) -> Any:
        leaves = [tensor.to(dtype) for tensor, dtype in zip(tensors, narrow)]
        positional, named = tree.tree_unflatten(leaves, spec)
        return tree.tree_leaves(module(*positional, **named))

    return call, inputs, outputs


def _scripted(torch: Any, path: str, package: PackageFiles) -> "Tuple[Module, Sequence[Port], Sequence[Port]]":
    """A module of TorchScript: it says the names of its arguments, and no shapes."""
    module = torch.jit.load(path, map_location="cpu")
    module.eval()
    found = None if torch.cuda.is_available() else _ON_GPU.search(str(getattr(module, "inlined_graph", "")))
    if found is not None:
        raise PackageError(_GPU_NEEDED.format(f"it was made with {found[1]}"))
    given = len(package.input_schema)
    arguments = module.forward.schema.arguments[1:]  # the first is the module itself
    needed = [each for each in arguments if not each.has_default_value()]
    # Arguments with a default may be left out, from the last one on.
    inputs = [Port(each.name) for each in arguments[: max(given, len(needed))]]
    return module, inputs, ports_of_fields(list(package.output_schema), which="output")


def _types(torch: Any) -> "Dict[Any, np.dtype[Any]]":
    """The numpy types of the tensors that columns may become."""
    names = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool")
    known = {getattr(torch, name): np.dtype(name) for name in names}
    return {**known, torch.bfloat16: np.dtype(np.float32)}


def _flat(found: Any) -> List[Any]:
    """The tensors of an answer, in order."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        return [tensor for each in found for tensor in _flat(each)]
    return [] if found is None else [found]


def _array(tensor: Any, torch: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
