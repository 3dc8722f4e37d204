"""How large the results of the operators of `ai.onnx.ml` are: so many numbers for each row."""

from dataclasses import replace

from trivet.engine.native.graphs.number_rules import classes_of
from trivet.engine.native.graphs.sizes import NotHarmless, Size
from trivet.engine.native.graphs.values import Kind, Node, Value

__all__ = [
    "classifier",
    "encoded",
    "features",
    "grams",
    "labels",
    "mapped",
    "normal_text",
    "picked",
    "regressor",
    "scaled",
    "trees",
]


def _rows(value: Value) -> Size:
    return value.dims[0] if value.rank > 1 else value.elements


def scaled(node: Node) -> Value:
    """One float for each number."""
    return node[0].like(Kind.FLOAT)


def regressor(node: Node) -> Value:
    """Some numbers for each row."""
    targets = max(1, node.integer("targets", 1), node.integer("n_targets", 1))
    result = Value.of(Kind.FLOAT, [_rows(node[0]), Size.of(targets)])
    node.steps = _steps(node, result)
    return result


def trees(node: Node) -> Value:
    """TreeEnsemble: some numbers for each row."""
    result = Value.of(node[0].kind, [_rows(node[0]), Size.of(max(1, node.integer("n_targets", 1)))])
    node.steps = _steps(node, result)
    return result


def classifier(node: Node) -> list[Value]:
    """A label, and a score for each class."""
    names = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
    classes = max(2, classes_of(node, *names))
    texts = node.texts("classlabels_strings")
    kind = Kind.STRING if texts else Kind.INT64
    rows = _rows(node[0])
    # Support vectors give a score for each pair of classes.
    scores = classes * (classes - 1) // 2 if node.op == "SVMClassifier" else classes
    label = Value.of(kind, [rows], longest=max(map(len, texts), default=0) if texts else 0)
    result = Value.of(Kind.FLOAT, [rows, Size.of(max(scores, classes))], copies=0)
    result = replace(result, dims=(rows, Size({(): max(scores, classes)}, exact=scores == classes)))
    node.steps = _steps(node, result)
    return [label, result]


def _steps(node: Node, result: Value) -> Size:
    """A row compares with each node of the trees at most once, or multiplies with each coefficient."""
    weights = max(
        (
            len(found.floats) or len(found.ints)
            for name in ("nodes_treeids", "coefficients", "support_vectors", "nodes_featureids")
            if (found := node.attribute(name)) is not None
        ),
        default=1,
    )
    return result.elements + _rows(node[0]) * Size.of(max(1, weights))


def mapped(node: Node) -> Value:
    """LabelEncoder and CategoryMapper: a label for each."""
    texts = node.texts("values_strings") or node.texts("cats_strings") or []
    tensor = node.attribute("values_tensor")
    kind = Kind.FLOAT
    if tensor is not None:
        kind, texts = tensor.t.data_type, list(tensor.t.string_data)
    elif node.op == "CategoryMapper" or (node.op == "LabelEncoder" and node.attribute("classes_strings") is not None):
        kind = Kind.INT64 if node[0].kind == Kind.STRING else Kind.STRING
        texts = texts or node.texts("classes_strings") or []
    elif texts or node.attribute("values_strings") is not None:
        kind = Kind.STRING
    elif node.attribute("values_int64s") is not None:
        kind = Kind.INT64
    value = Value.of(kind, node[0].dims)
    default = node.attribute("default_string")
    longest = max([*map(len, texts), len(default.s) if default is not None else 0, 16])
    default_tensor = node.attribute("default_tensor")
    if default_tensor is not None:
        longest = max([longest, *map(len, default_tensor.t.string_data)])
    return replace(value, elements=node[0].elements, longest=longest if kind == Kind.STRING else 0)


def encoded(node: Node) -> Value:
    """OneHotEncoder: a number for each category."""
    width = classes_of(node, "cats_strings", "cats_int64s")
    return Value.of(Kind.FLOAT, [*node[0].dims, Size.of(width)])


def labels(node: Node) -> Value:
    """Imputer: the input without what is missing."""
    value = node[0]
    if value.kind == Kind.STRING:
        raise NotHarmless("is known to be harmless for numbers only")
    return value.like()


def picked(node: Node) -> Value:
    """ArrayFeatureExtractor: columns by their indices, of which a wrong one is an error."""
    value, which = node[0], node[1]
    if not value.rank:
        raise NotHarmless("takes a column of a single number")
    rows = value.dims[:-1] if value.rank > 1 else (Size.of(1),)
    made = Value.of(value.kind, [*rows, which.elements])
    if value.copies:
        count = which.elements.known
        if count is None:
            raise NotHarmless("copies text as often as rows say")
        return replace(made, copies=value.copies * count, longest=value.longest)
    return replace(made, longest=value.longest)


def features(node: Node) -> Value:
    """FeatureVectorizer: columns beside each other."""
    widths = node.integers("inputdimensions") or []
    if not widths or min(widths) < 0:
        raise NotHarmless("has widths that do not fit")
    return Value.of(Kind.FLOAT, [_rows(node[0]), Size.of(sum(widths))])


def grams(node: Node) -> Value:
    """TfIdfVectorizer: a number for each word of a list."""
    value = node[0]
    indexes = node.integers("ngram_indexes") or []
    longest, skips = node.integer("max_gram_length", 1), node.integer("max_skip_count")
    if not indexes or min(indexes) < 0 or not 0 < longest <= 16 or not 0 <= skips <= 16 or not value.rank:
        raise NotHarmless("has words that do not fit")
    node.steps = value.elements * Size.of(longest * (skips + 1) * longest)
    rows = value.dims[:1] if value.rank > 1 else ()
    return Value.of(Kind.FLOAT, [*rows, Size.of(max(indexes) + 1)])


def normal_text(node: Node) -> Value:
    """StringNormalizer: each text in another case, or left out."""
    value = node[0]
    # Some texts may be left out, and a letter in another case may take a few times the bytes.
    dims = tuple(Size({(): 1}, exact=False).most(each.at_most()) for each in value.dims)
    return Value.of(Kind.STRING, dims, copies=value.copies * 4, longest=value.longest * 4)
