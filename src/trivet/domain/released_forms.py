"""Files of the previous release, read as values of this one: a worker's address was `address`, `pid` and `started` there."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from trivet.domain.encoding import decode
from trivet.errors import Internal

__all__ = ["decode_released"]

T = TypeVar("T")


def decode_released(data: bytes, kind: type[T]) -> T:
    """A route table, the supervisor's memory or a worker's record, from a file of this release or the previous one.

    Raises:
        Internal: it is neither.
    """
    try:
        return decode(data, kind)
    except Internal as error:
        try:
            document = msgspec.json.decode(data)
            for holder in _holders(document):
                _renew(holder)
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
            raise error from None
        return decode(msgspec.json.encode(document), kind)


def _holders(document: Any) -> Iterator[dict[str, Any]]:
    """What holds addresses: a worker's record, or the steps of routes. Example rows, which may look like one, are not visited."""
    if "worker" in document:
        yield document
        return
    routes = document["routes"]
    # The table lists routes; the memory has them by digest, each with its fleets.
    for route in routes if isinstance(routes, list) else [known["route"] for known in routes.values()]:
        yield from route["steps"]


def _renew(holder: dict[str, Any]) -> None:
    if "worker" in holder:
        holder["worker"] = _address(holder["worker"])
    if "workers" in holder:
        holder["workers"] = [_address(worker) for worker in holder["workers"]]


def _address(worker: dict[str, Any]) -> dict[str, Any]:
    if "location" in worker:
        return worker
    handle = {"pid": str(worker["pid"]), "started": str(worker["started"])}
    return {"id": worker["id"], "location": worker["address"], "handle": handle}
