"""The reference's URLs: where each pipeline takes predictions, and what the nearest one is where none does."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from trivet.errors import Conflict, NotFound, TrivetError
from trivet.gateway.pipelines import Place

__all__ = ["DESCRIPTION", "INFER", "PIPELINES", "addresses_of", "full_path", "named_paths", "unknown_address"]

INFER = "/infer"
PIPELINES = "/pipelines/"
FULL = "/v1/api/pipelines/infer/"
DESCRIPTION = "/openapi.json"
MOST_SHOWN = 10


def full_path(place: Place) -> str | None:
    """The address that no other pipeline has; None without a platform."""
    if place.deployment_id is None:
        return None
    return f"{FULL}{place.name}-{place.deployment_id}/{place.name}"


def named_paths(name: str) -> tuple[str, str]:
    """The addresses by name alone."""
    return f"{PIPELINES}{name}/infer", f"{PIPELINES}{name}"


def addresses_of(places: Sequence[Place]) -> Mapping[str, Place | TrivetError]:
    """Each path with its place, or the reason why it does not say which one is meant.

    Args:
        places: in order of their names.
    """
    found: dict[str, Place | TrivetError] = {}
    namesakes: dict[str, list[Place]] = {}
    for place in places:
        namesakes.setdefault(place.name, []).append(place)
        path = full_path(place)
        if path is not None:
            found[path] = place
    for name, same in namesakes.items():
        alone = same[0] if len(same) == 1 else _several(f"{len(same)} pipelines are called {name}", same)
        found.update(dict.fromkeys(named_paths(name), alone))
    if places:
        several = f"{len(places)} pipelines are deployed"
        found[INFER] = places[0] if len(places) == 1 else _several(several, places)
    return found


def unknown_address(path: str, *, places: Sequence[Place], known: Iterable[str]) -> TrivetError:
    """Why nothing answers at a path, with the nearest address that is there.

    Args:
        path: what was requested.
        places: in order of their names.
        known: addresses and pages to name where the path holds no pipeline's name.
    """
    name = _name_in(path)
    if name is None:
        return NotFound(f"path not found: {path}", fix=f"there are {', '.join(known)}")
    same = [_shown(place) for place in places if place.name == name]
    if same:
        why = f"path not found: {path}"
        return NotFound("Deployment not found", why=why, fix=f"{name} is at {' and '.join(same)}")
    names = sorted({place.name for place in places})
    close = get_close_matches(name, names, n=1)
    if close:
        fix = f"did you mean {named_paths(close[0])[0]}?"
    else:
        fix = f"deployed are {', '.join(names[:MOST_SHOWN])}" if names else "nothing is deployed yet"
    return NotFound("Deployment not found", why=f"no pipeline {name!r} is deployed", fix=fix)


def _several(what: str, places: Sequence[Place]) -> TrivetError:
    if len({place.name for place in places}) == len(places):
        paths = [named_paths(place.name)[0] for place in places]
    else:
        paths = [_shown(place) for place in places]
    shown = paths if len(paths) <= MOST_SHOWN else [*paths[:MOST_SHOWN], "…"]
    return Conflict(what, why="this address does not say which one is meant", fix=f"ask one of {', '.join(shown)}")


def _shown(place: Place) -> str:
    return full_path(place) or named_paths(place.name)[0]


def _name_in(path: str) -> str | None:
    """The pipeline's name that a path holds."""
    for prefix in (FULL, PIPELINES):
        if path.startswith(prefix):
            rest = path[len(prefix) :].split("/")
            return (rest[-1] if prefix == FULL else rest[0]) or None
    return None
