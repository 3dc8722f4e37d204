"""The checks of an ONNX file: it is parsed, never run.

ONNX Runtime reads any file or memory that a tensor names, so every tensor of a model may only name a file of its own package.
Only ONNX Runtime's own operators are accepted.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.domain.package import Manifest
from trivet.errors import BadPackage
from trivet.packaging.frameworks.onnx_tensors import check_dense_size, check_external, quoted

if TYPE_CHECKING:
    import onnx

__all__ = ["check_model"]

MAX_BYTES = 2**31 - 1
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
DOMAINS = frozenset({*STANDARD_DOMAINS, "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""The domains of operators that ONNX Runtime has for a CPU."""

# `EPContext` names a file, or memory, of one maker's accelerator.
REFUSED_OPERATORS = frozenset({("com.microsoft", "EPContext")})

# Every ONNX Runtime that Trivet supports loads these; newer ones are tried.
SURELY_TAKEN = {"": 21, "ai.onnx.ml": 5}
SURELY_TAKEN_IR = 10

LFS_MARK = b"version https://git-lfs"
MAX_VERSION = 10_000
"""ONNX Runtime cuts versions to 32 bits; real ones are far smaller."""

MAX_NODES = 100_000
MAX_GROWTH = 10
"""ONNX Runtime inlines functions, and its time grows with the result: a model may expand to `MAX_NODES`, or to this many
times the nodes of its file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """The contents of the main graph or of a function, with subgraphs."""

    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    tensors: "list[onnx.TensorProto]" = field(default_factory=list)
    sparse: "list[onnx.SparseTensorProto]" = field(default_factory=list)


def check_model(root: Path, manifest: Manifest, *, model: str, shown: str) -> None:
    """Check an ONNX model.

    Args:
        root: the folder that holds the manifest's files.
        manifest: the package's files, the only ones that the model may read.
        model: the model file's path in the package.
        shown: its name in errors.

    Raises:
        BadPackage: it is not an ONNX model, or cut short, or newer than the installed ONNX Runtime, or it uses operators
            that ONNX Runtime does not have, or reads files outside the package, or becomes huge when it is loaded.
    """
    sizes = {each.path: each.size for each in manifest.files}
    parsed = _parsed(root / model, shown, size=sizes[model])
    _check_whole(parsed, shown)
    _check_versions(parsed, shown)
    _check_ends(parsed.graph, shown)
    main = _parts([parsed.graph])
    functions: dict[tuple[str, str], _Parts] = {}
    for function in parsed.functions:
        # Some differ in their `overload` alone; all of them count.
        _add_function(function, functions.setdefault((function.domain, function.name), _Parts()))
    # Training graphs never run, but ONNX Runtime reads their tensors.
    training = _parts([graph for each in parsed.training_info for graph in (each.initialization, each.algorithm)])
    for parts in (main, training, *functions.values()):
        _check_operators(parts.nodes, own=functions.keys(), model=shown)
        _check_tensors(parts, beside=model, sizes=sizes, model=shown)
    _check_expanded(main, functions, shown)


def _parsed(path: Path, model: str, *, size: int) -> "onnx.ModelProto":
    # This import takes more than a tenth of a second, and only packages with an ONNX model need it.
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if size > MAX_BYTES:
        raise BadPackage(
            "the ONNX file is larger than 2 GiB",
            why="that is the largest that the format allows",
            fix="save it with external data: onnx.save(model, path, save_as_external_data=True)",
            path=model,
        )
    data = path.read_bytes()
    if data.startswith(LFS_MARK):
        raise BadPackage(
            "the file is not an ONNX model", why="it is a Git LFS pointer to one", fix="run 'git lfs pull'", path=model
        )
    try:
        parsed: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise _not_whole(model, why="it cannot be parsed", data=data) from error
    if not parsed.HasField("graph"):
        raise _not_whole(model, why="there is no graph in it", data=data)
    return parsed


def _not_whole(model: str, *, why: str, data: bytes = b"") -> BadPackage:
    if data.startswith(b"PK\3\4"):
        why = "it is a zip archive"
    elif not data:
        why = "it is empty"
    return BadPackage(
        "the file is not an ONNX model, or is cut short",
        why=why,
        fix="compare its size with the original's, and try 'onnx.load' on it",
        path=model,
        reason="not_onnx",
    )


def _check_whole(parsed: "onnx.ModelProto", model: str) -> None:
    """A file cut between two fields parses; the versions of the operators are written last."""
    if not parsed.opset_import:
        raise _not_whole(model, why="it does not name its operator set")
    if not parsed.graph.node and not parsed.graph.input and not parsed.graph.output:
        raise _not_whole(model, why="its graph is empty")


def _check_versions(parsed: "onnx.ModelProto", model: str) -> None:
    wanted: dict[str, int] = {}
    for each in parsed.opset_import:
        domain = "" if each.domain in STANDARD_DOMAINS else each.domain
        wanted[domain] = max(each.version, wanted.get(domain, each.version))
    newer = {domain: version for domain, version in wanted.items() if version > SURELY_TAKEN.get(domain, version)}
    if parsed.ir_version <= SURELY_TAKEN_IR and not newer:
        return
    for domain, version in newer.items():
        if not _runtime_takes(ir=SURELY_TAKEN_IR, domain=domain, version=version):
            _refuse_opset(model, domain=domain, version=version)
    if not _runtime_takes(ir=parsed.ir_version):
        latest = _latest(SURELY_TAKEN_IR, parsed.ir_version, lambda ir: _runtime_takes(ir=ir))
        raise BadPackage(
            f"the model's IR version {parsed.ir_version} is newer than {_runtime()} supports",
            why=f"it supports IR versions up to {latest}",
            fix=f"re-export with opset {_latest_opset('', 64)}, save it with 'model.ir_version = {latest}', or update onnxruntime",
            path=model,
            reason="onnx_too_new",
        )


def _refuse_opset(model: str, *, domain: str, version: int) -> None:
    latest = _latest_opset(domain, version)
    raise BadPackage(
        f"the model's opset {version} of {domain or 'ai.onnx'} is newer than {_runtime()} supports",
        why=f"it supports opsets up to {latest}",
        fix=f"re-export with opset {latest}, or update onnxruntime",
        path=model,
        reason="onnx_too_new",
    )


def _runtime() -> str:
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def _runtime_takes(*, ir: int, domain: str = "", version: int | None = None) -> bool:
    """Whether ONNX Runtime loads a model of one node with these versions; it has no API for its limits."""
    if max(ir, version or 0) > MAX_VERSION:
        return False
    import onnxruntime
    from onnx import TensorProto, helper

    opsets = {"": SURELY_TAKEN[""]} | ({domain: version} if version is not None else {})
    node = helper.make_node("Identity", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    model = helper.make_model(
        helper.make_graph([node], "versions", [x], [y]),
        opset_imports=[helper.make_opsetid(name, number) for name, number in opsets.items()],
        ir_version=ir,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - its errors have no closer common class
        return False
    return True


def _latest(known: int, refused: int, takes: Callable[[int], bool]) -> int:
    """The highest supported version, between one that is supported and one that is refused."""
    refused = min(refused, MAX_VERSION + 1)
    while refused - known > 1:
        middle = (known + refused) // 2
        known, refused = (middle, refused) if takes(middle) else (known, middle)
    return known


def _latest_opset(domain: str, refused: int) -> int:
    return _latest(
        SURELY_TAKEN[domain],
        refused,
        lambda version: _runtime_takes(ir=SURELY_TAKEN_IR, domain=domain, version=version),
    )


def _check_ends(graph: "onnx.GraphProto", model: str) -> None:
    """Inputs and outputs; older files list their weights among the inputs."""
    weights = {each.name for each in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
    if all(each.name in weights for each in graph.input):
        raise BadPackage(
            "the model has no inputs",
            why="every input in the file is a weight" if graph.input else None,
            fix="export it with an input for the rows",
            path=model,
        )
    if not graph.output:
        raise BadPackage("the model has no outputs", fix="export it with its outputs", path=model)


def _add_function(function: "onnx.FunctionProto", parts: _Parts) -> None:
    parts.nodes.extend(function.node)
    attributes = [*function.attribute_proto, *(each for node in function.node for each in node.attribute)]
    _add([], attributes, parts)


def _parts(graphs: "list[onnx.GraphProto]") -> _Parts:
    parts = _Parts()
    _add(graphs, [], parts)
    return parts


def _add(graphs: "list[onnx.GraphProto]", attributes: "list[onnx.AttributeProto]", parts: _Parts) -> None:
    """Add the contents of graphs and attributes, with nested ones."""
    while graphs or attributes:
        if graphs:
            graph = graphs.pop()
            parts.nodes.extend(graph.node)
            parts.tensors.extend(graph.initializer)
            _add_sparse(graph.sparse_initializer, parts)
            attributes.extend(each for node in graph.node for each in node.attribute)
            continue
        attribute = attributes.pop()
        # Its `type` is not trusted.
        if attribute.HasField("t"):
            parts.tensors.append(attribute.t)
        if attribute.HasField("sparse_tensor"):
            _add_sparse([attribute.sparse_tensor], parts)
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        parts.tensors.extend(attribute.tensors)
        _add_sparse(attribute.sparse_tensors, parts)
        graphs.extend(attribute.graphs)


def _add_sparse(tensors: "Iterable[onnx.SparseTensorProto]", parts: _Parts) -> None:
    for each in tensors:
        parts.sparse.append(each)
        parts.tensors.extend((each.values, each.indices))


def _check_tensors(parts: _Parts, *, beside: str, sizes: Mapping[str, int], model: str) -> None:
    for tensor in parts.tensors:
        if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
            check_external(tensor, beside=beside, sizes=sizes, model=model)
    for sparse in parts.sparse:
        check_dense_size(sparse, model=model)


def _check_expanded(main: _Parts, functions: Mapping[tuple[str, str], _Parts], model: str) -> None:
    """Refuse functions that call themselves, or become too many nodes when they are inlined."""
    calls = {
        key: [(each.domain, each.op_type) for each in parts.nodes if (each.domain, each.op_type) in functions]
        for key, parts in functions.items()
    }
    counts: dict[tuple[str, str], int] = {}
    for start in functions:
        waiting, open_ = [start], set()
        while waiting:
            key = waiting[-1]
            missing = [each for each in calls[key] if each not in counts]
            if key in counts or not missing:
                counts.setdefault(key, len(functions[key].nodes) + sum(counts[each] for each in calls[key]))
                counts[key] = min(counts[key], 2**62)
                open_.discard(key)
                waiting.pop()
            elif key in open_:
                raise _endless(model, why=f"the function {quoted(key[1])} calls itself, directly or through others")
            else:
                open_.add(key)
                waiting.extend(dict.fromkeys(missing))
    total = len(main.nodes) + sum(counts.get((each.domain, each.op_type), 0) for each in main.nodes)
    written = len(main.nodes) + sum(len(each.nodes) for each in functions.values())
    if total > max(MAX_NODES, MAX_GROWTH * written):
        raise _endless(model, why=f"{written:,} nodes become more than {MAX_NODES:,} when functions are inlined")


def _endless(model: str, *, why: str) -> BadPackage:
    return BadPackage(
        "the model's functions make it too large",
        why=why,
        fix="export it again, with its functions inlined",
        path=model,
        reason="onnx_functions",
    )


def _check_operators(nodes: "Iterable[onnx.NodeProto]", *, own: Collection[tuple[str, str]], model: str) -> None:
    foreign: dict[tuple[str, str], str] = {}
    for node in nodes:
        operator = (node.domain, node.op_type)
        if operator in REFUSED_OPERATORS or (node.domain not in DOMAINS and operator not in own):
            foreign.setdefault(operator, node.name)
    if not foreign:
        return
    names = [quoted(f"{domain}.{operator}" if domain else operator) for domain, operator in foreign]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    first = next(iter(foreign.values()))
    raise BadPackage(
        f"the model uses operators that {_runtime()} does not have: {', '.join(names[:5])}{more}",
        why="they need a library of their own, and no code of a package runs in the server's process",
        fix="export it with standard operators, or serve it as a custom model, which runs in a worker",
        path=f"{model}: node {quoted(first)}" if first else model,
        reason="onnx_custom_operator",
    )
