"""How large the results of operators on numbers are."""

from dataclasses import replace

from trivet.engine.native.graphs.sizes import NotHarmless, Size, product
from trivet.engine.native.graphs.values import FLOATS, INTEGERS, Kind, Node, Value

__all__ = [
    "arithmetic",
    "broadcast",
    "classes_of",
    "compared",
    "contraction",
    "convolution",
    "dense",
    "divided",
    "each",
    "extreme",
    "float_each",
    "global_pool",
    "normalised",
    "pairs",
    "pool",
    "quantised",
    "recurrent",
    "reduced",
    "reduced_floats",
    "transposed_convolution",
]


def broadcast(*shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The dimensions of tensors that are stretched to one shape."""
    rank = max(map(len, shapes))
    aligned = [(Size.of(1),) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_stretched(each) for each in zip(*aligned, strict=True))


def _stretched(sizes: tuple[Size, ...]) -> Size:
    # A dimension is 1 or that of the others, so a known one that is not 1 decides.
    decided = [each for each in sizes if each.known not in (None, 1)]
    if decided:
        return decided[0]
    result = sizes[0]
    for each in sizes[1:]:
        result = each if result.known == 1 else result if each.known == 1 else result.most(each)
    return result


def each(node: Node) -> Value:
    """One number for each."""
    return node[0].like()


def _check_floats(value: Value) -> None:
    if value.kind not in FLOATS:
        raise NotHarmless("is known to be harmless for floating point only")


def float_each(node: Node) -> Value:
    """One number for each, of floats."""
    _check_floats(node[0])
    return each(node)


def pairs(node: Node) -> Value:
    """One number for each of stretched inputs."""
    dims = broadcast(*(value.dims for value in node.present))
    return Value.of(node[0].kind, dims)


def compared(node: Node) -> Value:
    """One boolean for each of stretched inputs."""
    return replace(pairs(node), kind=Kind.BOOL)


def arithmetic(node: Node) -> Value:
    """Sums and products, which are also followed where they make shapes."""
    result = pairs(node)
    if len(node.present) != 2 or result.rank > 1 or result.kind not in INTEGERS:
        return result
    content = _combined(node.op, node[0].content, node[1].content)
    return replace(result, content=content)


def _combined(op: str, one: tuple[Size, ...] | None, two: tuple[Size, ...] | None) -> tuple[Size, ...] | None:
    if not one or not two or (len(one) != len(two) and 1 not in (len(one), len(two))):
        return None
    length = max(len(one), len(two))
    pairs_ = zip(one * (length // len(one)), two * (length // len(two)), strict=True)
    results = [_result(op, first, second) for first, second in pairs_]
    return tuple(each for each in results if each is not None) if None not in results else None


def _result(op: str, one: Size, two: Size) -> Size | None:
    first, second = one.known, two.known
    negative = one.is_negative or two.is_negative
    if op == "Add":
        return one + two
    if op == "Sub":
        if first is not None and second is not None:
            return Size.of(first - second)
        return None if negative else one.at_most()
    if op == "Mul":
        return None if negative and (first is None or second is None) else one * two
    if op == "Div" and second is not None and second > 0:
        if first is not None:
            return Size.of(int(first / second) if abs(first) < 2**52 else first // second)
        return one.over(two)
    return None


def divided(node: Node) -> Value:
    """Quotients: a processor traps where a whole number is divided by 0, and where the least one is divided by -1."""
    if node[0].kind not in FLOATS:
        divisor = node[1].constant
        known = None if node[1].content is None else [size.known for size in node[1].content]
        if divisor is not None:
            safe = divisor.size > 0 and not ((divisor == 0) | (divisor == -1)).any()
        else:
            safe = known is not None and all(size not in (None, 0, -1) for size in known)
        if not safe:
            raise NotHarmless("divides whole numbers by what rows decide, or by 0 or -1")
    return arithmetic(node)


def reduced(node: Node) -> Value:
    """Results over some dimensions."""
    value = node[0]
    axes = node.axes(1, value.rank)
    if not axes and not node.integer("noop_with_empty_axes"):
        axes = list(range(value.rank))
    dims = [Size.of(1) if index in axes else size for index, size in enumerate(value.dims)]
    if not node.integer("keepdims", 1):
        dims = [size for index, size in enumerate(dims) if index not in axes]
    return Value.of(value.kind, dims)


def reduced_floats(node: Node) -> Value:
    """Results over some dimensions that are quotients."""
    _check_floats(node[0])
    return reduced(node)


def extreme(node: Node) -> Value:
    """The index of the largest or smallest along a dimension."""
    value = node[0]
    axis = node.axis(value.rank)
    keep = node.integer("keepdims", 1)
    dims = [Size.of(1) if index == axis else size for index, size in enumerate(value.dims) if keep or index != axis]
    return Value.of(Kind.INT64, dims)


def contraction(node: Node) -> Value:
    """MatMul: rows of one with columns of another."""
    one, two = node[0], node[3] if node.op == "QLinearMatMul" else node[1]
    if not one.rank or not two.rank:
        raise NotHarmless("multiplies a single number")
    first = one.dims if one.rank > 1 else (Size.of(1), *one.dims)
    second = two.dims if two.rank > 1 else (*two.dims, Size.of(1))
    dims = [*broadcast(first[:-2], second[:-2])] if first[:-2] or second[:-2] else []
    if one.rank > 1:
        dims.append(first[-2])
    if two.rank > 1:
        dims.append(second[-1])
    kind = _kind_of_product(node)
    result = Value.of(kind, dims)
    node.steps = result.elements * first[-1].least(second[-2])
    return result


def _kind_of_product(node: Node) -> int:
    if node.op.startswith("QLinear"):
        return node[7].kind
    return Kind.INT32 if node.op.endswith("Integer") else node[0].kind


def dense(node: Node) -> Value:
    """Gemm: a matrix product with a bias."""
    one, two = node[0], node[1]
    if one.rank != 2 or two.rank != 2:
        raise NotHarmless("multiplies what are not matrices")
    rows, inner = one.dims[::-1] if node.integer("transA") else one.dims
    inner_two, columns = two.dims[::-1] if node.integer("transB") else two.dims
    result = Value.of(one.kind, (rows, columns))
    node.steps = result.elements * inner.least(inner_two)
    return result


def _spatial(node: Node, sizes: tuple[Size, ...], kernel: list[int]) -> list[Size]:
    """The dimensions of windows over dimensions: a window starts at most once a stride, and once more where it rounds up."""
    count = len(sizes)
    strides = node.integers("strides") or [1] * count
    dilations = node.integers("dilations") or [1] * count
    pads = node.integers("pads") or [0] * 2 * count
    if len(strides) != count or len(pads) != 2 * count or min([*strides, *dilations, 1]) < 1 or min([*pads, 0]) < 0:
        raise NotHarmless("has strides or pads that do not fit")
    if node.text("auto_pad", "NOTSET").startswith("SAME"):
        return [size.over(Size.of(stride)) for size, stride in zip(sizes, strides, strict=True)]
    ceil = node.integer("ceil_mode")
    made = []
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        padded = pads[axis] + pads[axis + count]
        window = (kernel[axis] - 1) * dilations[axis] + 1
        if size.known is not None:
            windows = Size.of(max(0, (size.known + padded - window + ceil * (stride - 1)) // stride + 1))
            made.append(windows.at_most() if ceil else windows)
        else:
            made.append((size + Size.of(padded)).over(Size.of(stride)).at_most() + Size.of(ceil))
    return made


def _kernel(weight: Value) -> list[int]:
    kernel = [size.known for size in weight.dims[2:]]
    if None in kernel:
        raise NotHarmless("has a kernel whose size rows decide")
    return [size for size in kernel if size is not None]


def convolution(node: Node) -> Value:
    """Windows with weights."""
    value, weight = node[0], node[3] if node.op == "QLinearConv" else node[1]
    if value.rank != weight.rank or value.rank < 3:
        raise NotHarmless("has a kernel that does not fit")
    kernel = _kernel(weight)
    kind = _kind_of_product(node)
    result = Value.of(kind, [value.dims[0], weight.dims[0], *_spatial(node, value.dims[2:], kernel)])
    node.steps = result.elements * product(weight.dims[1:])
    return result


def transposed_convolution(node: Node) -> Value:
    """Windows that are written, with weights."""
    value, weight = node[0], node[1]
    if value.rank != weight.rank or value.rank < 3:
        raise NotHarmless("has a kernel that does not fit")
    kernel = _kernel(weight)
    count = len(kernel)
    strides = node.integers("strides") or [1] * count
    dilations = node.integers("dilations") or [1] * count
    extra = node.integers("output_padding") or [0] * count
    given = node.integers("output_shape")
    if min([*strides, *dilations]) < 1 or not len(strides) == len(dilations) == len(extra) == count:
        raise NotHarmless("has strides that do not fit")
    dims = []
    for axis, size in enumerate(value.dims[2:]):
        if given:
            dims.append(Size.of(given[axis - count]))
        else:
            dims.append(size * Size.of(strides[axis]) + Size.of(kernel[axis] * dilations[axis] + max(0, extra[axis])))
    # Pads only cut, except where they are negative.
    channels = weight.dims[1] * Size.of(max(1, node.integer("group", 1)))
    dims = [size if size.known is None or given else size.at_most() for size in dims]
    if min(node.integers("pads") or [0]) < 0:
        raise NotHarmless("has pads that do not fit")
    result = Value.of(value.kind, [value.dims[0], channels, *dims])
    node.steps = value.elements * product(weight.dims[1:]) + result.elements
    return result


def pool(node: Node) -> list[Value]:
    """Windows without weights."""
    value = node[0]
    kernel = node.integers("kernel_shape") or []
    if len(kernel) != value.rank - 2 or not kernel or min(kernel) < 1:
        raise NotHarmless("has a kernel that does not fit")
    result = Value.of(value.kind, [*value.dims[:2], *_spatial(node, value.dims[2:], kernel)])
    windows = [size.least(Size.of(each)) for size, each in zip(value.dims[2:], kernel, strict=True)]
    node.steps = result.elements * product(tuple(windows))
    return [result, result.like(Kind.INT64)]


def global_pool(node: Node) -> Value:
    """One number for each channel."""
    value = node[0]
    return Value.of(value.kind, [*value.dims[:2], *[Size.of(1)] * (value.rank - 2)])


def normalised(node: Node) -> Value:
    """The shape of the input. Means and deviations, for training, are not followed."""
    return node[0].like()


def quantised(node: Node) -> list[Value]:
    """Numbers in other steps."""
    zero = node.get(2)
    kind = Kind.UINT8 if zero is None else zero.kind
    if node.op == "DequantizeLinear":
        kind = node[1].kind
    elif node.op == "QuantizeLinear" and zero is None:
        kind = node.integer("output_dtype") or Kind.UINT8
    one = Value.of(Kind.FLOAT, [])
    return [node[0].like(kind), one, one.like(Kind.UINT8)]


def recurrent(node: Node) -> list[Value]:
    """LSTM, GRU and RNN: a state of fixed size for each place of a sequence."""
    value, weight, again = node[0], node[1], node[2]
    hidden = again.dims[-1]
    if value.rank != 3 or hidden.known is None or weight.dims[0].known is None:
        raise NotHarmless("has weights whose sizes rows decide")
    length, batch = value.dims[:2] if not node.integer("layout") else value.dims[1::-1]
    directions = weight.dims[0]
    whole = Value.of(value.kind, [length, directions, batch, hidden])
    last = Value.of(value.kind, [directions, batch, hidden])
    if node.integer("layout"):
        whole = Value.of(value.kind, [batch, length, directions, hidden])
        last = Value.of(value.kind, [batch, directions, hidden])
    node.steps = length * batch * (product(weight.dims) + product(again.dims))
    return [whole, last, last]


def classes_of(node: Node, *names: str) -> int:
    """How many classes an operator of `ai.onnx.ml` names."""
    for name in names:
        found = node.attribute(name)
        if found is not None and (found.ints or found.strings):
            return len(found.ints) or len(found.strings)
    return 0
