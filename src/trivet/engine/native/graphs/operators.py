"""The operators that may run in the gateway, each with the reason why it is harmless, and with the rule of its size.

An operator is on the list only if its time and memory are bounded by the sizes of its inputs and results, and if no value of
a row makes it trap: ONNX Runtime answers a wrong index or text with an error. What is not on the list runs in a worker.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from trivet.engine.native.graphs import choice_rules as choice
from trivet.engine.native.graphs import ml_rules as ml
from trivet.engine.native.graphs import number_rules as number
from trivet.engine.native.graphs import shape_rules as shape
from trivet.engine.native.graphs.values import Node, Value

__all__ = ["OPERATORS", "REFUSED", "Operator", "Rule"]

Rule: TypeAlias = Callable[[Node], "Value | list[Value]"]

ML = "ai.onnx.ml"


class Operator(NamedTuple):
    """An operator that may run in the gateway.

    Attributes:
        rule: from what is known of its inputs to its results; it raises `NotHarmless` where an input decides too much.
        why: why it is harmless.
    """

    rule: Rule
    why: str


_TABLE: tuple[tuple[str, str, Rule, str], ...] = (
    (
        "",
        "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal Round Sign Sin Sinh Sqrt Tan Tanh",
        number.each,
        "one number for each, by arithmetic that cannot trap",
    ),
    ("", "BitwiseNot Not", number.each, "one number for each"),
    (
        "",
        "Celu Elu Gelu HardSigmoid HardSwish LeakyRelu Mish Relu Selu Sigmoid Softplus Softsign Swish ThresholdedRelu",
        number.each,
        "one number for each, by arithmetic that cannot trap",
    ),
    ("", "Shrink", number.float_each, "one float for each"),
    ("", "IsInf IsNaN", number.compared, "one boolean for each"),
    ("", "Add Sub Mul", number.arithmetic, "one number for each of the stretched inputs; whole numbers wrap around"),
    (
        "",
        "Div Mod",
        number.divided,
        "one number for each; whole numbers only by constants other than 0 and -1, which trap",
    ),
    (
        "",
        "Pow PRelu BitwiseAnd BitwiseOr BitwiseXor Max Min",
        number.pairs,
        "one number for each of the stretched inputs",
    ),
    ("", "Mean Sum", number.pairs, "one float for each of the stretched inputs"),
    (
        "",
        "And Equal Greater GreaterOrEqual Less LessOrEqual Or Xor",
        number.compared,
        "one boolean for each of the stretched inputs",
    ),
    ("", "Clip", shape.clipped, "one number for each, whatever the limits are"),
    ("", "CumSum Hardmax LogSoftmax Softmax LpNormalization Trilu", shape.clipped, "a few steps for each number"),
    ("", "Cast CastLike", shape.cast, "one number for each; text that is not a number is an error"),
    ("", "Identity Dropout", shape.same, "the input itself"),
    ("", "Where", choice.either, "one element for each of the stretched inputs"),
    (
        "",
        "ReduceMax ReduceMin ReduceProd ReduceSum ReduceSumSquare ReduceL1",
        number.reduced,
        "one pass over the input",
    ),
    ("", "ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean", number.reduced_floats, "one pass over floats"),
    ("", "ArgMax ArgMin", number.extreme, "one pass over the input"),
    ("", "TopK", choice.largest, "a sort of the input; a part of it is the result, whatever a row says"),
    ("", "MatMul MatMulInteger QLinearMatMul", number.contraction, "steps and result follow from both shapes"),
    ("", "Gemm", number.dense, "steps and result follow from both shapes"),
    ("", "Conv ConvInteger QLinearConv", number.convolution, "steps and result follow from shapes and attributes"),
    ("", "ConvTranspose", number.transposed_convolution, "steps and result follow from shapes and attributes"),
    ("", "AveragePool LpPool MaxPool", number.pool, "steps and result follow from shapes and attributes"),
    ("", "GlobalAveragePool GlobalLpPool GlobalMaxPool", number.global_pool, "one pass over the input"),
    ("", "BatchNormalization InstanceNormalization LRN", number.normalised, "a few passes over the input"),
    ("", "GroupNormalization LayerNormalization RMSNormalization", number.normalised, "a few passes over the input"),
    ("", "MeanVarianceNormalization", number.normalised, "a few passes over the input"),
    ("", "DequantizeLinear DynamicQuantizeLinear QuantizeLinear", number.quantised, "one number for each"),
    (
        "",
        "GRU LSTM RNN",
        number.recurrent,
        "a step for each place of the sequence, of fixed weights; lengths are checked",
    ),
    ("", "Shape", shape.shape, "as many numbers as dimensions"),
    ("", "Size", shape.size, "one number"),
    ("", "Reshape", shape.reshaped, "the same elements; the shape comes from constants and shapes"),
    ("", "Flatten", shape.flattened, "the same elements"),
    ("", "Squeeze", shape.squeezed, "the same elements"),
    ("", "Unsqueeze", shape.unsqueezed, "the same elements"),
    ("", "Transpose", shape.transposed, "the same elements"),
    ("", "DepthToSpace", shape.depth_to_space, "the same elements"),
    ("", "SpaceToDepth", shape.space_to_depth, "the same elements"),
    ("", "Concat", shape.concatenated, "as large as all inputs"),
    ("", "Split", shape.split, "as large as the input"),
    ("", "Slice", choice.sliced, "at most the input, whatever a row says"),
    ("", "Gather", choice.chosen, "as large as its indices say; a wrong index is an error"),
    ("", "GatherElements", choice.chosen_each, "as large as its indices; a wrong index is an error"),
    ("", "GatherND", choice.chosen_nd, "as large as its indices say; a wrong index is an error"),
    ("", "ScatterElements ScatterND", choice.scattered, "as large as the input; a wrong index is an error"),
    ("", "Expand", choice.expanded, "the shape comes from constants and shapes"),
    ("", "Tile", choice.tiled, "the repeats come from constants and shapes"),
    ("", "ConstantOfShape", choice.filled, "the shape comes from constants and shapes"),
    ("", "Range", choice.ranged, "the limits come from constants and shapes"),
    ("", "Pad", choice.padded, "the pads come from constants"),
    ("", "Resize Upsample", choice.resized, "the sizes come from constants and shapes"),
    ("", "OneHot", choice.one_hot, "the depth comes from constants and shapes"),
    ("", "TfIdfVectorizer", ml.grams, "a number for each word of a fixed list"),
    ("", "StringNormalizer", ml.normal_text, "each text in another case, or left out"),
    (ML, "Binarizer Normalizer Scaler", ml.scaled, "one float for each number"),
    (ML, "Imputer", ml.labels, "one number for each"),
    (ML, "FeatureVectorizer", ml.features, "fixed widths for each row"),
    (ML, "OneHotEncoder", ml.encoded, "a number for each of the fixed categories"),
    (ML, "CategoryMapper LabelEncoder", ml.mapped, "a look-up for each element"),
    (ML, "ArrayFeatureExtractor", ml.picked, "as large as its indices say; a wrong index is an error"),
    (
        ML,
        "LinearRegressor SVMRegressor TreeEnsembleRegressor",
        ml.regressor,
        "one pass over fixed weights for each row",
    ),
    (ML, "TreeEnsemble", ml.trees, "one walk down each tree for each row; trees with cycles are not loaded"),
    (
        ML,
        "LinearClassifier SVMClassifier TreeEnsembleClassifier",
        ml.classifier,
        "one pass over fixed weights for each row",
    ),
)


def _entries() -> Iterator[tuple[tuple[str, str], Operator]]:
    for domain, names, rule, why in _TABLE:
        for name in names.split():
            yield (domain, name), Operator(rule, why)


OPERATORS: dict[tuple[str, str], Operator] = dict(_entries())
"""By domain and name."""

REFUSED = {
    "Compress": "has a size that its rows decide",
    "Einsum": "may multiply the sizes of its inputs",
    "Loop": "repeats its graph as often as its rows say",
    "MaxUnpool": "writes where its rows say",
    "NonZero": "has a size that its rows decide",
    "NonMaxSuppression": "compares all with all",
    "RegexFullMatch": "matches a pattern, which may take long",
    "RoiAlign": "takes as many samples as its rows say",
    "Scan": "repeats its graph as often as its rows say",
    "SequenceAt": "works on sequences, which are not followed",
    "StringConcat": "makes texts whose length its rows decide",
    "StringSplit": "has a size that its rows decide",
    "Unique": "has a size that its rows decide",
}
"""Why operators that are known are not on the list, for messages."""
