"""The signature of a method in its source: the number of arguments, and the annotation of the first."""

import ast
from collections.abc import Sequence

from trivet.packaging.sources.resolve import Meaning, Sources
from trivet.packaging.sources.source import Member, dotted, unquoted

__all__ = ["arguments_text", "first_annotation", "means_frame", "means_no_arrays", "takes_one"]

_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"}
_FRAMES = {"pandas.DataFrame", "pandas.core.frame.DataFrame"}
_NOT_A_MAPPING = {
    *("int", "float", "complex", "str", "bytes", "bytearray", "bool", "list", "tuple", "set", "frozenset", "None"),
    *("typing.List", "typing.Tuple", "typing.Set", "typing.FrozenSet", "typing.Sequence", "typing.Iterable"),
    *("collections.abc.Sequence", "collections.abc.Iterable", "numpy.ndarray", "numpy.typing.NDArray", "numpy.array"),
    *(*_FRAMES, "pandas.Series", "polars.DataFrame", "torch.Tensor"),
    *("tensorflow.Tensor", "pyarrow.Table", "pyarrow.RecordBatch", "pyarrow.Array"),
}


def takes_one(member: Member, *, bound: int) -> bool:
    """Whether a function can be called with exactly one argument, besides the `bound` ones that Python passes."""
    arguments = _arguments(member)
    own = len(_own(member, bound))
    required = own - len(arguments.defaults)
    if any(default is None for default in arguments.kw_defaults):
        return False
    return required <= 1 and (own >= 1 or arguments.vararg is not None)


def arguments_text(member: Member, *, bound: int) -> str:
    """`2 arguments (rows, options)`, without the `bound` ones that Python passes."""
    names = [each.arg for each in [*_own(member, bound), *_arguments(member).kwonlyargs]]
    if not names:
        return "no argument"
    return f"{len(names)} argument{'s' if len(names) > 1 else ''} ({', '.join(names)})"


def first_annotation(member: Member, *, bound: int) -> ast.expr | None:
    """The annotation of the first argument, if any."""
    own = _own(member, bound)
    return own[0].annotation if own else None


def _own(member: Member, bound: int) -> list[ast.arg]:
    return [*_arguments(member).posonlyargs, *_arguments(member).args][bound:]


def _arguments(member: Member) -> ast.arguments:
    assert member.arguments is not None, "called for a name that is not a function"
    return member.arguments


def means_no_arrays(annotation: ast.expr, file: str, sources: Sources) -> bool:
    """Whether an annotation certainly does not mean a dictionary of arrays; names that cannot be resolved are accepted."""
    waiting: list[tuple[ast.expr, str]] = [(annotation, file)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        node, where = waiting.pop()
        node = unquoted(node)
        if isinstance(node, ast.Constant):
            return node.value is None or isinstance(node.value, (int, float, complex, bytes))
        if isinstance(node, ast.Subscript):
            if _is_other_subscript(node, where, sources):
                return True
            continue
        name = dotted(node)
        if name is None or (where, name) in seen:
            continue
        seen.add((where, name))
        if _names_something_else(name, where, sources):
            return True
        waiting += [(value, other) for other, value in sources.assigned(where, name)]
    return False


def means_frame(annotation: ast.expr, file: str, sources: Sources) -> bool:
    """Whether an annotation names the DataFrame of pandas."""
    name = dotted(unquoted(annotation))
    return name is not None and any(each in _FRAMES for each in _names(name, file, sources))


def _is_other_subscript(node: ast.Subscript, file: str, sources: Sources) -> bool:
    """`List[float]`, `Dict[int, …]` and `Dict[str, float]` are; `Dict[str, np.ndarray]` is not."""
    name = dotted(node.value)
    if name is None:
        return False
    if _names_something_else(name, file, sources):
        return True
    last = name.rpartition(".")[2]
    if last not in _MAPPINGS or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return False
    key, value = (unquoted(each) for each in node.slice.elts)
    key_name, value_name = dotted(key), dotted(value.value if isinstance(value, ast.Subscript) else value)
    if key_name is not None and key_name != "str" and _names_something_else(key_name, file, sources):
        return True
    return (
        value_name is not None
        and not _is_array(value_name, file, sources)
        and _names_something_else(value_name, file, sources)
    )


def _names_something_else(name: str, file: str, sources: Sources) -> bool:
    found = sources.meanings(file, name)
    return bool(found) and all(_is_something_else(each, sources) for each in found)


def _is_something_else(meaning: Meaning, sources: Sources) -> bool:
    """Known other types, and classes of the package without a base outside it."""
    if isinstance(meaning, str):
        return meaning in _NOT_A_MAPPING
    return all(each == "object" for each in sources.ancestry(meaning)[1])


def _is_array(name: str, file: str, sources: Sources) -> bool:
    return any(each.startswith("numpy.") for each in _names(name, file, sources))


def _names(name: str, file: str, sources: Sources) -> Sequence[str]:
    return [each for each in sources.meanings(file, name) if isinstance(each, str)]
