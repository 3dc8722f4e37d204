"""How large the results of operators are that choose, repeat or fill."""

from dataclasses import replace

import numpy as np

from trivet.engine.native.graphs.number_rules import broadcast
from trivet.engine.native.graphs.sizes import NotHarmless, Size
from trivet.engine.native.graphs.values import Kind, Node, Value, from_front

__all__ = [
    "chosen",
    "chosen_each",
    "chosen_nd",
    "either",
    "expanded",
    "filled",
    "largest",
    "one_hot",
    "padded",
    "ranged",
    "resized",
    "scattered",
    "sliced",
    "tiled",
]


def sliced(node: Node) -> Value:
    """A part of each dimension: at most all of it."""
    value = node[0]
    if node.opset < 10:
        starts: list[int | None] = [*(node.integers("starts") or [])]
        ends: list[int | None] = [*(node.integers("ends") or [])]
        axes = node.integers("axes") or list(range(len(starts)))
        steps: list[int | None] = [1] * len(starts)
    else:
        axes = node.whole(3, name="axes") if node.get(3) is not None else list(range(_length(node[1])))
        starts, ends = _numbers(node, 1, len(axes)), _numbers(node, 2, len(axes))
        steps = _numbers(node, 4, len(axes)) if node.get(4) is not None else [1 for _ in axes]
    dims = list(value.dims)
    content = value.content
    fixed = list(zip([from_front(each, value.rank) for each in axes], starts, ends, steps, strict=False))
    for axis, start, end, step in fixed:
        dims[axis] = _cut(dims[axis], start, end, step)
    if content is not None and value.rank == 1 and len(fixed) == 1 and None not in fixed[0]:
        _, start, end, step = fixed[0]
        content = content[slice(start, end, step)] if step and step > 0 else None
        dims = [Size.of(len(content))] if content is not None else dims
    else:
        content = None
    made = Value.of(value.kind, dims, content=content)
    return replace(made, copies=value.copies, longest=value.longest)


def _length(value: Value) -> int:
    known = value.elements.known
    if known is None:
        raise NotHarmless("takes its axes from its rows")
    return known


def _numbers(node: Node, index: int, count: int) -> list[int | None]:
    content = node[index].content
    return [None] * count if content is None else [each.known for each in content]


def _cut(size: Size, start: int | None, end: int | None, step: int | None) -> Size:
    if None in (start, end) or step != 1:
        return size.at_most()
    assert start is not None
    assert end is not None
    if size.known is not None:
        return Size.of(len(range(size.known)[start:end]))
    if start == 0 and end >= 2**31 - 1:
        return size
    if end >= 0 and start >= 0:
        return size.least(Size.of(max(0, end - start))).at_most()
    return size.at_most()


def chosen(node: Node) -> Value:
    """Gather: entries by their indices, of which a wrong one is an error."""
    value, which = node[0], node[1]
    axis = node.axis(value.rank)
    made = Value.of(value.kind, [*value.dims[:axis], *which.dims, *value.dims[axis + 1 :]])
    known = None if which.content is None else [each.known for each in which.content]
    content = None
    if value.content is not None and value.rank == 1 and known is not None and made.rank <= 1:
        try:
            content = tuple(value.content[each] for each in known if each is not None)
        except IndexError:
            raise NotHarmless("has an index that does not fit") from None
        content = content if len(content) == len(known) else None
    return replace(made, content=content, copies=_copies(value, which), longest=value.longest)


def _copies(value: Value, which: Value) -> int:
    if not value.copies:
        return 0
    count = which.elements.known
    if count is None:
        raise NotHarmless("copies text as often as rows say")
    return value.copies * count


def chosen_each(node: Node) -> Value:
    """GatherElements: an entry for each index."""
    return _no_text(Value.of(node[0].kind, node[1].dims), node[0])


def chosen_nd(node: Node) -> Value:
    """GatherND: an entry for each list of indices."""
    value, which = node[0], node[1]
    depth, batch = which.dims[-1].known, node.integer("batch_dims")
    if depth is None or not 0 < depth <= value.rank - batch or batch < 0:
        raise NotHarmless("has indices whose length rows decide")
    return _no_text(Value.of(value.kind, [*which.dims[:-1], *value.dims[batch + depth :]]), value)


def _no_text(made: Value, source: Value) -> Value:
    if source.copies:
        raise NotHarmless("copies text as often as rows say")
    return replace(made, longest=source.longest)


def scattered(node: Node) -> Value:
    """Other elements at some places."""
    if node[0].kind == Kind.STRING:
        raise NotHarmless("is known to be harmless for numbers only")
    node.steps = node[0].elements + node[1].elements + node[2].elements
    return node[0].like()


def either(node: Node) -> Value:
    """Where: elements of one or another."""
    one, two = node[1], node[2]
    made = Value.of(one.kind, broadcast(node[0].dims, one.dims, two.dims))
    if one.copies or two.copies:
        raise NotHarmless("copies text as often as rows say")
    content = None
    if made.rank <= 1 and one.content and two.content and len(one.content) == len(two.content):
        # Exporters write `where(shape == -1, 1, shape)` to expand; the larger of both is a bound.
        if not any(each.is_negative for each in (*one.content, *two.content)):
            content = tuple(a.most(b).at_most() for a, b in zip(one.content, two.content, strict=True))
        elif all(each.known is not None for each in (*one.content, *two.content)) and node[0].constant is not None:
            picks = np.broadcast_to(node[0].constant, (len(one.content),))
            content = tuple(a if pick else b for pick, a, b in zip(picks, one.content, two.content, strict=True))
    return replace(made, content=content, longest=max(one.longest, two.longest))


def expanded(node: Node) -> Value:
    """Stretched to a shape."""
    target = node.target(1, name="its shape")
    return _no_text(Value.of(node[0].kind, broadcast(node[0].dims, target)), node[0])


def tiled(node: Node) -> Value:
    """Repeated along dimensions."""
    value = node[0]
    if node.opset < 6:
        raise NotHarmless("is of a version that is not followed")
    times = node.target(1, name="how often it repeats")
    if len(times) != value.rank or any(each.is_negative for each in times):
        raise NotHarmless("has repeats that do not fit")
    return _no_text(Value.of(value.kind, [one * two for one, two in zip(value.dims, times, strict=True)]), value)


def filled(node: Node) -> Value:
    """ConstantOfShape: one number everywhere."""
    target = node.target(0, name="its shape")
    given = node.attribute("value")
    kind = given.t.data_type if given is not None else Kind.FLOAT
    content = None
    length = target[0].known if len(target) == 1 else None
    if given is not None and kind == Kind.INT64 and length is not None and length <= 64:
        number = (
            given.t.int64_data[0] if given.t.int64_data else int.from_bytes(given.t.raw_data, "little", signed=True)
        )
        content = (Size.of(number),) * length
    if any(each.is_negative for each in target):
        raise NotHarmless("has a negative size")
    return Value.of(kind, target, content=content)


def ranged(node: Node) -> Value:
    """Range: numbers up to a limit."""
    if node[0].kind in (Kind.INT64, Kind.INT32):
        start, limit, step = (node.target(index, name="its limits")[0] for index in range(3))
        if start.known is None or start.known < 0 or step.known is None or step.known < 1:
            raise NotHarmless("takes its limits from its rows")
        count = limit if (start.known, step.known) == (0, 1) else limit.over(Size.of(step.known)).at_most()
        return Value.of(node[0].kind, [Size.of(0) if count.is_negative else count])
    numbers = [node[index].constant for index in range(3)]
    if any(each is None or each.size != 1 for each in numbers):
        raise NotHarmless("takes its limits from its rows")
    first, last, by = (float(each.reshape(-1)[0]) for each in numbers if each is not None)
    if not np.isfinite([first, last, by]).all() or by == 0:
        raise NotHarmless("has limits that do not fit")
    return Value.of(node[0].kind, [Size.of(max(0, int(min((last - first) / by, 2.0**62)) + 1)).at_most()])


def resized(node: Node) -> Value:
    """Resize and Upsample: other sizes, by numbers of the graph."""
    value = node[0]
    sizes, scales = (node.get(3), node.get(2)) if node.op == "Resize" and node.opset >= 11 else (None, node.get(1))
    axes = node.integers("axes") if node.opset >= 18 else None
    axes = list(range(value.rank)) if axes is None else [from_front(each, value.rank) for each in axes]
    if node.text("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise NotHarmless("crops as its rows say")
    dims = list(value.dims)
    if sizes is not None:
        target = node.target(3, name="its sizes")
        if len(target) != len(axes) or any(each.is_negative for each in target):
            raise NotHarmless("has sizes that do not fit")
        for axis, each in zip(axes, target, strict=True):
            dims[axis] = (
                each if node.text("keep_aspect_ratio_policy", "stretch") == "stretch" else each.most(dims[axis])
            )
        if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise NotHarmless("keeps an aspect ratio, which is not followed")
        return Value.of(value.kind, dims)
    factors = node.floats("scales") if scales is None else scales.constant
    if factors is None or len(factors) != len(axes) or not np.isfinite(factors).all() or min(factors) <= 0:
        raise NotHarmless("takes its sizes from its rows")
    for axis, factor in zip(axes, factors, strict=True):
        size_ = dims[axis]
        if factor != 1:
            dims[axis] = Size({each: int(own * float(factor)) + 1 for each, own in size_.terms.items()}, exact=False)
    return Value.of(value.kind, dims)


def padded(node: Node) -> Value:
    """Pad: more elements at both ends."""
    value = node[0]
    pads = node.integers("pads") or node.integers("paddings") if node.opset < 11 else node.whole(1, name="pads")
    axes = node.whole(3, name="axes") if node.opset >= 18 and node.get(3) is not None else list(range(value.rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise NotHarmless("has pads that do not fit")
    dims = list(value.dims)
    for index, axis in enumerate(axes):
        more = pads[index] + pads[index + len(axes)]
        place = from_front(axis, value.rank)
        dims[place] = dims[place] + Size.of(more)
        if dims[place].is_negative:
            raise NotHarmless("has pads that do not fit")
    return _no_text(Value.of(value.kind, dims), value)


def one_hot(node: Node) -> Value:
    """OneHot: a number for each class."""
    depth = node.target(1, name="its depth")
    rank = node[0].rank + 1
    axis = node.axis(rank, -1)
    if len(depth) != 1 or depth[0].is_negative:
        raise NotHarmless("has a depth that does not fit")
    return Value.of(node[2].kind, [*node[0].dims[:axis], depth[0], *node[0].dims[axis:]])


def largest(node: Node) -> list[Value]:
    """TopK: a part of a dimension, sorted."""
    value = node[0]
    axis = node.axis(value.rank, -1)
    given = node.get(1)
    count = node.integer("k") if given is None else given.content[0].known if given.content else None
    length = value.dims[axis].at_most() if count is None else value.dims[axis].least(Size.of(max(0, count)))
    made = Value.of(value.kind, [length if index == axis else each for index, each in enumerate(value.dims)])
    # Sorting takes a few dozen comparisons for each element.
    node.steps = value.elements * Size.of(64)
    return [made, made.like(Kind.INT64)]
