"""Which door and which pipeline answer at a path: tables that are replaced whenever a pipeline is put in or taken out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trivet.errors import Internal, TrivetError
from trivet.gateway.doors.door import Door, OpenExchange, PageMaker
from trivet.gateway.live_pipeline import LivePipeline
from trivet.gateway.pipelines import Pipelines

__all__ = ["Address", "Addresses", "Refusal"]


class Address(NamedTuple):
    """What answers a POST at a path."""

    door: Door
    pipeline: LivePipeline
    exchange: OpenExchange


class Refusal(NamedTuple):
    """Why a path at which there is something does not answer."""

    door: Door
    error: TrivetError


class Addresses:
    """The addresses of all doors.

    Args:
        doors: at least one; the first one answers what belongs to none.
        pipelines: what answers behind them.

    Attributes:
        by_path: what answers. Never changed, only replaced: a request sees all of a change or none.
        refused: what does not.
    """

    def __init__(self, doors: Sequence[Door], pipelines: Pipelines) -> None:
        self.by_path: Mapping[str, Address] = {}
        self.refused: Mapping[str, Refusal] = {}
        self._doors = doors
        self._pipelines = pipelines
        self._exchanges: Mapping[tuple[Door, LivePipeline], OpenExchange] = {}
        pipelines.on_change(self._replace)
        self._replace()

    def exchange(self, door: Door, pipeline: LivePipeline) -> OpenExchange:
        """What reads and writes the requests of a pipeline that answers."""
        known = self._exchanges.get((door, pipeline))
        # A door may list the older version of a place and not the newer one.
        return door.exchanges(pipeline) if known is None else known

    def page(self, path: str) -> PageMaker | None:
        """What answers a GET at a path that depends on pipelines.

        Raises:
            TrivetError: the pipeline that the page is about cannot answer.
        """
        for door in self._doors:
            page = door.page(path, self._find)
            if page is not None:
                return page
        return None

    def door(self, path: str) -> Door:
        """The door that a path belongs to."""
        known = self.by_path.get(path)
        return self.missing(path).door if known is None else known.door

    def missing(self, path: str, *, pages: Sequence[str] = ()) -> Refusal:
        """Why nothing answers at a path.

        Args:
            path: what was requested.
            pages: what can be read besides.
        """
        refusal = self.refused.get(path)
        if refusal is not None:
            return refusal
        for door in reversed(self._doors):
            error = door.unknown(path, pages=pages)
            if error is not None:
                return Refusal(door, error)
        raise Internal(f"no door has an answer for {path}")

    def _find(self, path: str) -> LivePipeline | None:
        refusal = self.refused.get(path)
        if refusal is not None:
            raise refusal.error
        address = self.by_path.get(path)
        return None if address is None else address.pipeline

    def _replace(self) -> None:
        by_path: dict[str, Address] = {}
        refused: dict[str, Refusal] = {}
        exchanges: dict[tuple[Door, LivePipeline], OpenExchange] = {}
        for door in self._doors:
            for path, meant in door.addresses().items():
                if isinstance(meant, TrivetError):
                    refused[path] = Refusal(door, meant)
                    continue
                live = self._pipelines.at(meant)
                if live is None:
                    refused[path] = Refusal(door, self._pipelines.refusals[meant])
                    continue
                key = (door, live)
                if key not in exchanges:
                    exchanges[key] = self._exchanges.get(key) or door.exchanges(live)
                by_path[path] = Address(door, live, exchanges[key])
        self.by_path, self.refused, self._exchanges = by_path, refused, exchanges
