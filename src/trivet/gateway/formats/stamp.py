"""What every answer says beside its rows, in whichever format it is written."""

from dataclasses import dataclass

__all__ = ["Stamp"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """The origin of a served model's answers.

    Attributes:
        last_model: JSON text `{"model_name": …, "model_sha": …}`, as the reference has it: a string inside a string.
        pipeline_version: UUID of what is being served.
        partition: the process that answered.
        runs_package: whether the first model is not an ONNX file: clients show its inputs as not null, as the reference's do.
    """

    last_model: str
    pipeline_version: str
    partition: str
    runs_package: bool = False
