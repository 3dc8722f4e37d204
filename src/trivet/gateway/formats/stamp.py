"""What every answer says beside its rows, in whichever format it is written."""

from dataclasses import dataclass

from trivet.errors import TooLarge

__all__ = ["Stamp", "refuse_huge"]

MOST_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Stamp:
    """The origin of a served model's answers.

    Attributes:
        last_model: JSON text `{"model_name": …, "model_sha": …}`, as the reference has it: a string inside a string.
        pipeline_version: UUID of what is being served.
        partition: the process that answered.
    """

    last_model: str
    pipeline_version: str
    partition: str


def refuse_huge(rows: int, *, bytes_a_row: int) -> None:
    """Refuse an answer that would be large for the metadata of its rows alone: a small request may hold very many rows.

    Raises:
        TooLarge: it would be more than a gibibyte.
    """
    if rows * bytes_a_row > MOST_BYTES:
        raise TooLarge(
            f"the answer to {rows} rows would be larger than {MOST_BYTES // 2**30} GiB",
            why=f"time, anomaly and metadata alone take {bytes_a_row} bytes a row",
            fix="send fewer rows at once, or ask for less: ?dataset[]=out",
        )
