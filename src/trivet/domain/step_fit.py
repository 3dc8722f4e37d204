"""Whether one step of a pipeline can follow another: pure rules over schemas."""

import itertools
from collections.abc import Sequence

import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.domain.version import ModelConfig, ModelVersion
from trivet.errors import Conflict, Invalid

__all__ = ["check_fit", "configured_schemas", "is_one_wide", "same_values"]


def configured_schemas(version: ModelVersion, config: ModelConfig | None) -> tuple[pa.Schema, pa.Schema]:
    """The input and output schemas of a version under a configuration.

    Raises:
        Conflict: the version is not ready, so its schemas are unknown.
        Invalid: the configuration names another number of tensor fields than the model has inputs.
    """
    if version.loaded is None:
        why = version.fault.message if version.fault else f"its status is {version.status}"
        raise Conflict(
            f"model {version.name!r} version {version.number} is not ready",
            why=why,
            fix="wait until its status is ready; if it is error, fix the package and upload it again",
            reason="not_ready",
        )
    inputs, outputs = version.loaded.input_schema, version.loaded.output_schema
    if config is None:
        return inputs, outputs
    fields = config.tensor_fields
    if fields is not None:
        if len(fields) != len(inputs):
            raise Invalid(
                f"{len(fields)} tensor fields for {len(inputs)} inputs",
                why=f"the model {version.name!r} takes {', '.join(inputs.names)}",
                fix="name one column for each input, in the model's order",
                path="tensor_fields",
            )
        inputs = pa.schema([field.with_name(name) for field, name in zip(inputs, fields, strict=True)])
    return config.input_schema or inputs, config.output_schema or outputs


def check_fit(steps: Sequence[tuple[str, pa.Schema, pa.Schema]]) -> None:
    """Check that each step's outputs match the next step's inputs, by name and type.

    Args:
        steps: name, input schema and output schema of each.

    Raises:
        Conflict: they do not match; names both steps, the column and both types.
    """
    for (before, _, outputs), (after, inputs, _) in itertools.pairwise(steps):
        known = {field.name: field.type for field in outputs}
        if inputs.names and known.keys().isdisjoint(inputs.names) and all(field.nullable for field in inputs):
            # Each field may be absent, but not all of them.
            raise Conflict(
                f"step {after!r} cannot follow step {before!r}",
                why=f"it takes {', '.join(inputs.names)}, and {before!r} answers {', '.join(outputs.names) or 'nothing'}",
                fix=f"answer at least one of them in {before!r}, or name its columns: configure(tensor_fields=[…])",
                reason="steps_do_not_fit",
            )
        for field in inputs:
            kind = known.get(field.name)
            if kind is None and field.nullable:
                continue
            if kind is not None and (same_values(kind, field.type) or is_one_wide(kind, field.type)):
                continue
            if kind is None:
                why = f"column {field.name!r} is not among what {before!r} answers: {', '.join(outputs.names) or 'nothing'}"
                fix = f"answer it in {before!r}, or name its column: configure(tensor_fields=[…])"
            else:
                why = (
                    f"column {field.name!r} leaves as {format_type(kind)} and is expected as {format_type(field.type)}"
                )
                fix = f"cast {field.name!r} in {before!r}, or upload a {after!r} that takes {format_type(kind)}"
            raise Conflict(f"step {after!r} cannot follow step {before!r}", why=why, fix=fix, reason="steps_do_not_fit")


def is_one_wide(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether one type is a list of one value and the other is that value, so that a reshape converts them."""
    return any(
        pa.types.is_fixed_size_list(wrapped)
        and wrapped.list_size == 1
        and not _is_list(bare)
        and same_values(wrapped.value_type, bare)
        for wrapped, bare in ((left, right), (right, left))
    )


def same_values(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether values of one type are values of the other: names of list items and nullability do not count.

    A list of any length may have the length that the other type requires; that is checked when it arrives.
    """
    if _is_list(left) and _is_list(right):
        fixed = [kind.list_size for kind in (left, right) if pa.types.is_fixed_size_list(kind)]
        return len(set(fixed)) < 2 and same_values(left.value_type, right.value_type)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        ours = {left.field(index).name: left.field(index).type for index in range(left.num_fields)}
        theirs = {right.field(index).name: right.field(index).type for index in range(right.num_fields)}
        return ours.keys() == theirs.keys() and all(same_values(ours[name], theirs[name]) for name in ours)
    return bool(left == right)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
