"""Whether a graph is harmless by construction: no row makes it run unbounded, trap, or take much more memory than the row has.

The file is parsed and followed, never run: what is known of each tensor (its type, a bound of each dimension, the integers of
shapes) is computed node by node. Whatever is not understood is not harmless. Such a model runs in a worker.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.onnx_graph import optional_inputs
from trivet.engine.native.graphs.constants import constant, constant_of
from trivet.engine.native.graphs.operators import OPERATORS, REFUSED
from trivet.engine.native.graphs.sizes import NotHarmless, Size, Symbols
from trivet.engine.native.graphs.values import BYTES, ROW_TEXT, Kind, Node, Value

if TYPE_CHECKING:
    import onnx

__all__ = ["Examined", "examine", "followed"]

MAX_CALL_BYTES = 2**28
"""What a call may take whatever its rows are, beside the weights."""

MAX_ROW_BYTES = 2**26
"""What a row may take beside a multiple of its own bytes: a large image network takes a few dozen MiB."""

MAX_ROW_FACTOR = 64

MAX_ELEMENT_BYTES = 2**16
"""What each element may take where a row has as many as it likes."""

MAX_STEPS = 2**40
"""Of one operator for one row: minutes, in which it cannot be stopped."""

MAX_NODES = 100_000
MAX_DEPTH = 16

ROWS = "rows"
STANDARD = frozenset({"", "ai.onnx"})


class Examined(NamedTuple):
    """What is known of a graph.

    Attributes:
        reason: why it is not harmless, as one sentence; None if it is.
        bounds: of the memory of its calls; None if it is not harmless.
    """

    reason: str | None
    bounds: MemoryBounds | None = None


def examine(path: Path) -> Examined:
    """Examine a model file that `packaging` has checked. It takes memory and time of the order of the file.

    Args:
        path: the file; weights in other files are not read.
    """
    # This import takes more than a tenth of a second.
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError:
        return Examined("the file cannot be parsed")
    try:
        optional = optional_inputs(model)
        if optional:
            return Examined(f"a request may replace the default of the input '{optional[0]}'")
        return _Graph(_without_functions(model)).examined()
    except NotHarmless as error:
        return Examined(str(error))
    except RecursionError:
        return Examined("the graph has others nested too deeply")


def followed(model: "onnx.ModelProto", inputs: Mapping[str, Value]) -> list[Value]:
    """What is known of a model's outputs where this is known of its inputs.

    Raises:
        NotHarmless: an operator of it may run unbounded, or end the process.
    """
    return _Graph(model).follow(model.graph, dict(inputs))


def _without_functions(model: "onnx.ModelProto") -> "onnx.ModelProto":
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


class _Graph:
    """A walk through the nodes of a model."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self._graph = model.graph
        self._opsets = {"" if each.domain in STANDARD else each.domain: each.version for each in model.opset_import}
        self._inputs: list[Symbols] = []
        self._row_bytes = 0
        self._nodes = 0
        self._held = Size.of(0)
        self._peak = Size.of(0)

    def examined(self) -> Examined:
        """The verdict on the whole graph."""
        weights = {each.name for each in self._graph.initializer}
        known: dict[str, Value] = {}
        for each in self._graph.input:
            if each.name in weights:
                continue
            try:
                known[each.name] = self._input(each)
            except NotHarmless as error:
                raise NotHarmless(f"the input '{each.name}' {error}") from None
        self.follow(self._graph, known)
        return self._verdict()

    def _input(self, proto: "onnx.ValueInfoProto") -> Value:
        tensor = proto.type.tensor_type
        if not proto.type.HasField("tensor_type") or not tensor.HasField("shape"):
            raise NotHarmless("has no shape in the file")
        dims = []
        for axis, each in enumerate(tensor.shape.dim):
            fixed = each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None
            dims.append(Size.chosen(ROWS if axis == 0 else f"{proto.name}.{axis}") if fixed is None else Size.of(fixed))
        value = Value.of(tensor.elem_type, dims, copies=1 if tensor.elem_type == Kind.STRING else 0)
        (symbols, factor) = next(iter(value.elements.terms.items()), ((), 0))
        self._inputs.append(symbols)
        self._row_bytes += factor * BYTES[value.kind]
        if value.copies:
            self._inputs.append((ROW_TEXT,))
        return value

    def follow(self, graph: "onnx.GraphProto", known: dict[str, Value], *, depth: int = 0) -> list[Value]:
        """Follow the nodes of a graph to its outputs."""
        if depth > MAX_DEPTH:
            raise NotHarmless("the graph has others nested too deeply", is_whole=True)
        if graph.sparse_initializer:
            raise NotHarmless("the graph has sparse weights, which are not followed", is_whole=True)
        for tensor in graph.initializer:
            try:
                known[tensor.name] = constant(tensor)
            except NotHarmless as error:
                raise NotHarmless(f"the weight '{tensor.name}' {error}", is_whole=True) from None
        last = _last_uses(graph)
        held: set[str] = set()
        for index, node in enumerate(graph.node):
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise NotHarmless(f"the graph has more than {MAX_NODES} nodes", is_whole=True)
            try:
                results = self._results(node, known, depth=depth)
            except NotHarmless as error:
                raise error if error.is_whole else NotHarmless(_sentence(node, str(error)), is_whole=True) from None
            known.update((name, value) for name, value in zip(node.output, results, strict=False) if name)
            if depth == 0 and node.op_type not in ("Constant", "If"):
                held.update(name for name in node.output if name)
            for name in last.get(index, ()):
                if name in held:
                    self._free(known[name])
        missing = [each.name for each in graph.output if each.name not in known]
        if missing:
            raise NotHarmless(f"the output '{missing[0]}' is not followed", is_whole=True)
        return [known[each.name] for each in graph.output]

    def _results(self, proto: "onnx.NodeProto", known: dict[str, Value], *, depth: int) -> list[Value]:
        domain = "" if proto.domain in STANDARD else proto.domain
        if (domain, proto.op_type) == ("", "Constant"):
            return [constant_of(proto)]
        if (domain, proto.op_type) == ("", "If"):
            return self._branches(proto, known, depth=depth)
        operator = OPERATORS.get((domain, proto.op_type))
        if operator is None:
            raise NotHarmless("" if domain else REFUSED.get(proto.op_type, ""))
        if any(each.HasField("g") or each.graphs for each in proto.attribute):
            raise NotHarmless("has a graph of its own")
        inputs = [_input_of(name, known) for name in proto.input]
        node = Node(proto, inputs, self._opsets.get(domain, 1))
        found = operator.rule(node)
        results = found if isinstance(found, list) else [found]
        if len(proto.output) > len(results):
            raise NotHarmless("has more results than are followed")
        for value in results[: len(proto.output)]:
            self._hold(value)
        self._check_steps(node.steps)
        return results

    def _branches(self, proto: "onnx.NodeProto", known: dict[str, Value], *, depth: int) -> list[Value]:
        """If: one of two graphs; both are followed."""
        branches = {each.name: each.g for each in proto.attribute if each.HasField("g")}
        if branches.keys() != {"then_branch", "else_branch"}:
            raise NotHarmless("lacks a branch")
        one, two = (self.follow(branches[name], dict(known), depth=depth + 1) for name in sorted(branches))
        if len(one) != len(two):
            raise NotHarmless("has branches that differ in their results")
        return [_either(first, second) for first, second in zip(one, two, strict=True)]

    def _hold(self, value: Value) -> None:
        self._held = self._held + value.nbytes
        self._peak = self._peak.most(self._held)
        self._check_linear(value.nbytes)

    def _free(self, value: Value) -> None:
        kept = Counter(self._held.terms)
        kept.subtract(value.nbytes.terms)
        self._held = Size({symbols: max(0, factor) for symbols, factor in kept.items()}, exact=False)

    def _check_linear(self, size: Size) -> None:
        """Whether no product of sizes is larger than that of an input."""
        for symbols in size.terms:
            if symbols and not any(not Counter(symbols) - Counter(own) for own in self._inputs):
                raise NotHarmless(f"has results that grow with the product of {' and '.join(map(_shown, symbols))}")

    def _check_steps(self, steps: Size | None) -> None:
        if steps is None:
            return
        for symbols, factor in steps.terms.items():
            if symbols and not any(not Counter(symbols) - Counter(own) for own in self._inputs):
                raise NotHarmless(f"takes time that grows with the product of {' and '.join(map(_shown, symbols))}")
            if factor > MAX_STEPS:
                raise NotHarmless(f"takes {factor:.0e} steps for a row")

    def _verdict(self) -> Examined:
        call = rows = elements = 0
        for symbols, factor in self._peak.terms.items():
            if not symbols:
                call = factor
            elif symbols == (ROWS,):
                rows = factor
            else:
                elements = max(elements, factor) if symbols == (ROW_TEXT,) else elements + factor
        most = MAX_ROW_BYTES + MAX_ROW_FACTOR * self._row_bytes
        for found, limit, of in (
            (call, MAX_CALL_BYTES, "a call"),
            (rows, most, "a row"),
            (elements, MAX_ELEMENT_BYTES, "an element of a row"),
        ):
            if found > limit:
                raise NotHarmless(f"{of} may take {found:,} bytes of memory, and the limit is {limit:,}")
        return Examined(None, MemoryBounds(call_bytes=call, row_bytes=rows, element_bytes=elements))


def _shown(symbol: str) -> str:
    return {ROWS: "its rows", ROW_TEXT: "its text"}.get(symbol, f"the size '{symbol}'")


def _sentence(node: "onnx.NodeProto", error: str) -> str:
    operator = f"{node.domain}.{node.op_type}" if node.domain not in STANDARD else node.op_type
    name = f" ('{node.name}')" if node.name else ""
    return f"the operator {operator}{name} {error or 'is not on the list of those that are harmless'}"


def _input_of(name: str, known: dict[str, Value]) -> Value | None:
    if name and name not in known:
        raise NotHarmless(f"has an input '{name}' that is not followed")
    return known.get(name) if name else None


def _last_uses(graph: "onnx.GraphProto") -> dict[int, list[str]]:
    """By the index of a node: the values that no later one uses. Outputs and what branches use stay."""
    places: dict[str, int] = {}
    kept = {each.name for each in graph.output}
    for index, node in enumerate(graph.node):
        for name in (*node.output, *node.input):
            if name:
                places[name] = index
        for attribute in node.attribute:
            if attribute.HasField("g"):
                kept.update(_names_in(attribute.g))
    kept.update(each.name for each in (*graph.input, *graph.initializer))
    uses: dict[int, list[str]] = {}
    for name, index in places.items():
        if name not in kept:
            uses.setdefault(index, []).append(name)
    return uses


def _names_in(graph: "onnx.GraphProto") -> Iterable[str]:
    waiting = [graph]
    while waiting:
        each = waiting.pop()
        yield from (output.name for output in each.output)
        for node in each.node:
            yield from node.input
            waiting.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _either(one: Value, two: Value) -> Value:
    """A value of one of two branches."""
    if one.kind != two.kind or one.rank != two.rank:
        raise NotHarmless("has branches that differ in their results")
    dims = tuple(a.most(b) for a, b in zip(one.dims, two.dims, strict=True))
    return Value(
        one.kind,
        dims,
        one.elements.most(two.elements),
        copies=max(one.copies, two.copies),
        longest=max(one.longest, two.longest),
    )
