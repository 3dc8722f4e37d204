"""Opens an ONNX model under its owner's configuration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.schema import format_schema
from trivet.domain.step_fit import is_one_wide
from trivet.engine.batch import Batch
from trivet.engine.limits import MOST_CALL_BYTES
from trivet.engine.native.session import NativeSession
from trivet.engine.native.views import FileSession, Reshaped
from trivet.errors import Invalid

__all__ = ["open_session"]


def open_session(
    path: Path,
    *,
    tensor_fields: Sequence[str] | None,
    single: bool,
    input_schema: pa.Schema | None,
    output_schema: pa.Schema | None,
    example: Callable[[pa.Schema], Batch] | None,
    threads: int,
    providers: Sequence[str],
    bounds: MemoryBounds | None = None,
    most_bytes: int = MOST_CALL_BYTES,
) -> FileSession:
    """A session of a checked model file. Importing this module imports ONNX Runtime.

    Args:
        path: the file.
        tensor_fields: names for its inputs, in their order.
        single: whether each row is a call.
        input_schema: the expected input, if given.
        output_schema: the expected output, if given.
        example: makes the canned row; without it the row is made up.
        threads: how many a call may use.
        providers: what ONNX Runtime runs it on.
        bounds: of the memory of a call; None sets no limit.
        most_bytes: what a call may take by these bounds.

    Raises:
        Unsupported: ONNX Runtime does not have one of the providers.
        BadPackage: ONNX Runtime cannot load it, or it cannot answer its canned row.
        Invalid: a given schema or name does not fit it.
    """
    fields = tensor_fields
    if fields is None and input_schema is not None:
        fields = tuple(input_schema.names)
    session = NativeSession(
        path,
        tensor_fields=fields,
        single=single,
        threads=threads,
        providers=providers,
        example=example,
        bounds=bounds,
        most_bytes=most_bytes,
    )
    _same_schema(input_schema, session.input_schema, "input")
    shown: FileSession = session
    scalars = _as_scalars(output_schema, session.output_schema)
    if scalars or not all(pa.types.is_nested(field.type) for field in session.output_schema):
        shown = Reshaped(session, scalars=scalars)
    _same_schema(output_schema, shown.output_schema, "output")
    return shown


def _as_scalars(wanted: pa.Schema | None, actual: pa.Schema) -> set[str]:
    """Outputs of one value a row that the schema declares as plain values. All others are lists of one, as in the reference."""
    if wanted is None:
        return set()
    return {
        field.name
        for field in wanted
        if field.name in actual.names
        and (field.type == actual.field(field.name).type or is_one_wide(field.type, actual.field(field.name).type))
        and not pa.types.is_nested(field.type)
    }


def _same_schema(wanted: pa.Schema | None, actual: pa.Schema, which: str) -> None:
    """Check that a given schema equals the model's own."""
    if wanted is None:
        return
    by_name = {field.name: field for field in actual}
    for field in wanted:
        own = by_name.get(field.name)
        if own is None or own.type != field.type:
            raise Invalid(
                f"the {which} schema has {format_schema(pa.schema([field]))}, and the model {format_schema(actual)}",
                fix=f"remove the {which} schema: an ONNX model has its own",
            )
