"""How large the results of operators are that keep elements, in other dimensions."""

from dataclasses import replace

from trivet.engine.native.graphs.sizes import NotHarmless, Size, product
from trivet.engine.native.graphs.values import Kind, Node, Value, from_front

__all__ = [
    "cast",
    "clipped",
    "concatenated",
    "depth_to_space",
    "flattened",
    "reshaped",
    "same",
    "shape",
    "size",
    "space_to_depth",
    "split",
    "squeezed",
    "transposed",
    "unsqueezed",
]


def same(node: Node) -> list[Value]:
    """The input itself; the second output is a mask of it."""
    return [node[0], node[0].like(Kind.BOOL)]


def clipped(node: Node) -> Value:
    """The shape of the input, whatever the limits are."""
    return node[0].like()


def cast(node: Node) -> Value:
    """The same elements as another type."""
    value = node[0]
    kind = node[1].kind if node.op == "CastLike" else node.integer("to")
    made = Value.of(kind, value.dims)
    keeps = kind in (Kind.INT64, Kind.INT32) or value.constant is not None
    constant = value.constant
    if constant is not None and Kind.STRING in (kind, value.kind):
        constant = None
    return replace(
        made,
        elements=value.elements,
        content=value.content if keeps and kind != Kind.STRING else None,
        constant=None if constant is None or not keeps else constant,
        longest=32 if kind == Kind.STRING != value.kind else value.longest if kind == Kind.STRING else 0,
        copies=value.copies if kind == Kind.STRING else 0,
    )


def shape(node: Node) -> Value:
    """The dimensions themselves."""
    value = node[0]
    start, end = node.integer("start"), node.integer("end", value.rank)
    dims = value.dims[start:end]
    return Value.of(Kind.INT64, [Size.of(len(dims))], content=dims)


def size(node: Node) -> Value:
    """How many elements there are."""
    return Value.of(Kind.INT64, [], content=(node[0].elements,))


def reshaped(node: Node) -> Value:
    """The same elements in other dimensions."""
    value = node[0]
    given = node.integers("shape")
    wanted = tuple(map(Size.of, given)) if given is not None else node.target(1, name="its shape")
    dims: list[Size] = []
    for index, each in enumerate(wanted):
        copies = each.known == 0 and not node.integer("allowzero") and index < value.rank
        dims.append(value.dims[index] if copies else each)
    free = [index for index, each in enumerate(dims) if each.is_negative]
    if len(free) > 1:
        raise NotHarmless("has two dimensions to find")
    if free:
        others = product(tuple(each for index, each in enumerate(dims) if index != free[0]))
        dims[free[0]] = Size.of(0) if others.known == 0 else value.elements.over(others)
    made = value.shaped([each.at_most() if each.known is None and not each.exact else each for each in dims])
    return replace(
        made,
        content=value.content if made.rank <= 1 else None,
        constant=value.constant.reshape(-1) if value.constant is not None and made.rank <= 1 else value.constant,
    )


def flattened(node: Node) -> Value:
    """The same elements in two dimensions."""
    value = node[0]
    axis = node.integer("axis", 1)
    axis += value.rank if axis < 0 else 0
    return value.shaped([product(value.dims[:axis]), product(value.dims[axis:])])


def squeezed(node: Node) -> Value:
    """Without dimensions of 1."""
    value = node[0]
    axes = node.axes(1, value.rank)
    if not axes:
        if any(each.known is None for each in value.dims):
            raise NotHarmless("removes dimensions that rows decide")
        axes = [index for index, each in enumerate(value.dims) if each.known == 1]
    return _reformed(value, [each for index, each in enumerate(value.dims) if index not in axes])


def unsqueezed(node: Node) -> Value:
    """With further dimensions of 1."""
    value = node[0]
    given = node.whole(1, name="axes")
    rank = value.rank + len(given)
    axes = {from_front(each, rank) for each in given}
    rest = iter(value.dims)
    if len(axes) < len(given):
        raise NotHarmless("names a dimension twice")
    return _reformed(value, [Size.of(1) if index in axes else next(rest) for index in range(rank)])


def _reformed(value: Value, dims: list[Size]) -> Value:
    """The elements as they are in dimensions of their number."""
    made = value.shaped(dims)
    return replace(made, content=value.content if made.rank <= 1 else None, constant=value.constant)


def transposed(node: Node) -> Value:
    """Dimensions in another order."""
    value = node[0]
    order = node.integers("perm")
    order = list(range(value.rank))[::-1] if order is None else order
    if sorted(order) != list(range(value.rank)):
        raise NotHarmless("has an order that does not fit")
    return value.shaped([value.dims[index] for index in order])


def concatenated(node: Node) -> Value:
    """One after another."""
    parts = node.present
    first = parts[0]
    if any(each.rank != first.rank or each.kind != first.kind for each in parts) or not first.rank:
        raise NotHarmless("joins what does not fit")
    axis = node.axis(first.rank)
    dims = list(first.dims)
    for each in parts[1:]:
        dims = [
            one + two
            if index == axis
            else one
            if one.known is not None
            else two
            if two.known is not None
            else one.most(two)
            for index, (one, two) in enumerate(zip(dims, each.dims, strict=True))
        ]
    contents = [each.content for each in parts]
    whole = None
    if first.rank == 1 and all(each is not None for each in contents):
        whole = tuple(each for content in contents if content is not None for each in content)
    made = Value.of(first.kind, dims, content=whole if whole is not None and len(whole) <= 4096 else None)
    copies, longest = sum(each.copies for each in parts), max(each.longest for each in parts)
    return replace(made, copies=copies, longest=longest)


def split(node: Node) -> list[Value]:
    """Parts along a dimension."""
    value = node[0]
    axis = node.axis(value.rank)
    given = node.integers("split")
    if given is None and node.get(1) is not None:
        given = node.whole(1, name="parts")
    count = len(node.outputs)
    parts = (
        [value.dims[axis].over(Size.of(max(1, count))).at_most()] * count
        if given is None
        else list(map(Size.of, given))
    )
    if given is None and value.dims[axis].known is not None:
        parts = [Size.of(-(-(value.dims[axis].known or 0) // max(1, count))).at_most()] * count
    if len(parts) != count or any(each.is_negative for each in parts):
        raise NotHarmless("has parts that do not fit")
    return [_part(value, axis, each) for each in parts]


def _part(value: Value, axis: int, length: Size) -> Value:
    made = Value.of(value.kind, [length if index == axis else each for index, each in enumerate(value.dims)])
    return replace(made, copies=value.copies, longest=value.longest)


def depth_to_space(node: Node) -> Value:
    """Channels become places."""
    value, block = node[0], node.integer("blocksize", 1)
    if value.rank != 4 or block < 1:
        raise NotHarmless("has a block that does not fit")
    batch, channels, *places = value.dims
    return value.shaped([batch, channels.over(Size.of(block * block)), *(each * Size.of(block) for each in places)])


def space_to_depth(node: Node) -> Value:
    """Places become channels."""
    value, block = node[0], node.integer("blocksize", 1)
    if value.rank != 4 or block < 1:
        raise NotHarmless("has a block that does not fit")
    batch, channels, *places = value.dims
    return value.shaped([batch, channels * Size.of(block * block), *(each.over(Size.of(block)) for each in places)])
