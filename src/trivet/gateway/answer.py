"""What a request becomes once it is decoded, and its answer, whichever protocol they travel in."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Anomalies

__all__ = ["Answer", "BatchInputs", "Inputs", "InputsT_co"]


class Inputs(Protocol):
    """A decoded request.

    Attributes:
        batch: the columns that the model knows.
        has_more: whether there may be columns beyond those, or values that are not plainly what the schema says.
    """

    batch: Batch
    has_more: bool

    def arrays(self) -> dict[str, pa.Array]:
        """Each column as an Arrow array, with the columns that the model does not know."""


InputsT_co = TypeVar("InputsT_co", bound=Inputs, covariant=True)


class BatchInputs:
    """A request that holds what the model takes, and nothing else."""

    __slots__ = ("batch", "has_more")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.has_more = False

    def arrays(self) -> dict[str, pa.Array]:
        """See `Inputs.arrays`."""
        return {name: self.batch.arrow(index) for index, name in enumerate(self.batch.schema.names)}


@dataclass(slots=True)
class Answer(Generic[InputsT_co]):
    """A batch of outputs, and what is known of how it came about.

    Attributes:
        inputs: the request.
        outputs: what the model answered.
        time_ms: when, in milliseconds since 1970.
        elapsed_ns: reading the request, and the model.
        anomalies: what validations found; None where there are none.
    """

    inputs: InputsT_co
    outputs: Batch
    time_ms: int
    elapsed_ns: tuple[int, int]
    anomalies: Anomalies | None = None
