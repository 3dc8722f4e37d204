"""How rows become calls of an ONNX session."""

import msgspec

__all__ = ["OnnxCalls"]


class OnnxCalls(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker must know of an ONNX model to answer as a native session does.

    Attributes:
        columns: the names that rows use for the model's inputs, in their order, and then for its optional inputs.
        optional: the model's own names of inputs that have a default.
        single: whether `batch_config` asks for one row a call.
        rows_a_call: None for any number.
        whole_row: for each output whether a call's whole answer is one row.
        shapes: for each output the shape that its array gets; None leaves it.
    """

    columns: tuple[str, ...]
    single: bool
    rows_a_call: int | None
    whole_row: tuple[bool, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    optional: tuple[str, ...] = ()
