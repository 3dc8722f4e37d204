"""The wire protocols that a gateway speaks over HTTP, by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from trivet.gateway.doors.door import Door
from trivet.gateway.pipelines import Pipelines

__all__ = ["DOORS", "open_doors"]

DOORS: Final[Mapping[str, str]] = {
    "reference": "trivet.gateway.doors.reference:ReferenceDoor",
}


def open_doors(pipelines: Pipelines, *, partition: str, table: Mapping[str, str] = DOORS) -> list[Door]:
    """The doors of a table, in its order: the first one answers what belongs to none.

    Args:
        pipelines: what answers behind them.
        partition: names this process.
        table: the module and the class of each.
    """
    doors: list[Door] = []
    for place in table.values():
        module, _, name = place.partition(":")
        doors.append(getattr(import_module(module), name)(pipelines, partition=partition))
    return doors
