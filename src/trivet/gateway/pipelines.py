"""Which pipeline answers at which path: a table that is replaced as a whole whenever something is put in or taken out."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple, Self

from trivet.engine.pipeline import ServedPipeline
from trivet.errors import Conflict, NotFound, TrivetError
from trivet.gateway.served_pipeline import InferRoute

__all__ = ["Place", "Routes"]

INFER = "/infer"
PIPELINES = "/pipelines/"
FULL = "/v1/api/pipelines/infer/"
DESCRIPTION = "/openapi.json"
MOST_SHOWN = 10


class Place(NamedTuple):
    """What a route is for, whichever version of it answers: names are one workspace's, deployments everybody's.

    Attributes:
        deployment_id: None where a single model is served without a platform.
    """

    name: str
    deployment_id: int | None

    @classmethod
    def of(cls, pipeline: ServedPipeline) -> Self:
        """A pipeline's place."""
        return cls(pipeline.name, pipeline.deployment_id)

    @property
    def full_path(self) -> str | None:
        """The address that no other pipeline has."""
        if self.deployment_id is None:
            return None
        return f"{FULL}{self.name}-{self.deployment_id}/{self.name}"

    @property
    def named_paths(self) -> tuple[str, str]:
        """The addresses by name alone."""
        return f"{PIPELINES}{self.name}/infer", f"{PIPELINES}{self.name}"


class Routes:
    """The table. All of it belongs to the event loop's thread.

    Attributes:
        by_path: what answers a POST at a path. Never changed, only replaced: whoever looks sees all of a change or none.
        refused: paths at which there is something that cannot answer, with the reason.
    """

    def __init__(self) -> None:
        self.by_path: Mapping[str, InferRoute] = {}
        self.refused: Mapping[str, TrivetError] = {}
        self._serving: dict[Place, InferRoute] = {}
        self._refusals: dict[Place, TrivetError] = {}

    def __iter__(self) -> Iterator[InferRoute]:
        """Every route that answers, in order of its name."""
        return iter([route for _, route in sorted(self._serving.items(), key=lambda item: _order(item[0]))])

    def put(self, route: InferRoute) -> InferRoute | None:
        """Let a route answer from now on, in place of the one before, which is given back."""
        place = Place.of(route.pipeline)
        before = self._serving.get(place)
        self._serving[place] = route
        self._refusals.pop(place, None)
        self._lay()
        return before

    def refuse(self, place: Place, error: TrivetError) -> None:
        """Say at a place that nothing answers there yet, and why. A route that does answer there stays."""
        self._refusals[place] = error
        self._lay()

    def remove(self, place: Place) -> InferRoute | None:
        """Let nothing be at a place; the route that was is given back."""
        before = self._serving.pop(place, None)
        self._refusals.pop(place, None)
        self._lay()
        return before

    def unknown(self, path: str, *, pages: Iterable[str]) -> TrivetError:
        """Why there is nothing at a path, with the nearest thing that is."""
        refusal = self.refused.get(path.removesuffix(DESCRIPTION))
        if refusal is not None:
            return refusal
        name = _asked_for(path)
        if name is None:
            known = [INFER] if INFER in self.by_path else [f"{PIPELINES}{{name}}/infer"]
            return NotFound(f"there is nothing at {path}", fix=f"there are {', '.join([*known, *pages])}")
        places = self._places()
        same = [place.full_path or place.named_paths[0] for place in places if place.name == name]
        if same:
            why = f"there is nothing at {path}"
            return NotFound("Deployment not found", why=why, fix=f"{name} is at {' and '.join(same)}")
        names = sorted({place.name for place in places})
        close = get_close_matches(name, names, n=1)
        if close:
            fix = f"did you mean {PIPELINES}{close[0]}/infer?"
        else:
            fix = f"deployed are {', '.join(names[:MOST_SHOWN])}" if names else "nothing is deployed yet"
        return NotFound("Deployment not found", why=f"no pipeline {name!r} is deployed", fix=fix)

    def _places(self) -> list[Place]:
        return sorted({*self._serving, *self._refusals}, key=_order)

    def _lay(self) -> None:
        by_path: dict[str, InferRoute] = {}
        refused: dict[str, TrivetError] = {}
        places = self._places()
        namesakes: dict[str, list[Place]] = {}
        for place in places:
            namesakes.setdefault(place.name, []).append(place)
            if place.full_path is not None:
                self._point(place, [place.full_path], by_path, refused)
        for name, same in namesakes.items():
            if len(same) == 1:
                self._point(same[0], same[0].named_paths, by_path, refused)
            else:
                error = _several(f"{len(same)} pipelines are called {name}", same)
                refused.update(dict.fromkeys(same[0].named_paths, error))
        if len(places) == 1:
            self._point(places[0], [INFER], by_path, refused)
        elif places:
            refused[INFER] = _several(f"{len(places)} pipelines are deployed", places)
        self.by_path, self.refused = by_path, refused

    def _point(
        self, place: Place, paths: Iterable[str], by_path: dict[str, InferRoute], refused: dict[str, TrivetError]
    ) -> None:
        route = self._serving.get(place)
        for path in paths:
            if route is not None:
                by_path[path] = route
            else:
                refused[path] = self._refusals[place]


def _several(what: str, places: list[Place]) -> TrivetError:
    if len({place.name for place in places}) == len(places):
        paths = [place.named_paths[0] for place in places]
    else:
        paths = [place.full_path or place.named_paths[0] for place in places]
    shown = paths if len(paths) <= MOST_SHOWN else [*paths[:MOST_SHOWN], "…"]
    return Conflict(what, why="this address does not say which one is meant", fix=f"ask one of {', '.join(shown)}")


def _asked_for(path: str) -> str | None:
    """The pipeline's name that a path holds."""
    for prefix in (FULL, PIPELINES):
        if path.startswith(prefix):
            rest = path[len(prefix) :].split("/")
            return (rest[-1] if prefix == FULL else rest[0]) or None
    return None


def _order(place: Place) -> tuple[str, int]:
    return place.name, place.deployment_id or 0
