"""Releases that install together but do not work together, because the older one's metadata could not know the newer.

A pair is listed only where the resolver cannot see it: the left package's own metadata allows the right one.
Each row failed on import (or on first use) with the versions in its comment, and works with the limit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["KNOWN_BAD", "Avoided", "KnownBad", "avoid", "pins_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownBad:
    """`package` within `versions` does not work with `other` beyond `limit`."""

    package: str
    versions: str
    other: str
    limit: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Avoided:
    """A pair found in a lock. `constraint`: `protobuf<3.21`."""

    constraint: str
    note: str


_NUMPY_1 = "it was compiled against numpy 1"
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu")
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def _compiled_against_numpy_1(package: str, versions: str) -> KnownBad:
    return KnownBad(package=package, versions=versions, other="numpy", limit="<2", why=_NUMPY_1)


KNOWN_BAD: tuple[KnownBad, ...] = (
    # tensorflow 2.8.0 with protobuf 5.29 and 7.36: "Descriptors cannot be created directly". Later 2.8s say so themselves.
    *(
        KnownBad(
            package=name,
            versions="<2.12",
            other="protobuf",
            limit="<3.21",
            why="its generated protocol code cannot be loaded by protobuf 4 and newer",
        )
        for name in _TENSORFLOW
    ),
    # Seen with numpy 2.2 and 2.4. Bounds are the first release that works with numpy 2 or says itself that it does not.
    *(_compiled_against_numpy_1(name, "<2.12") for name in _TENSORFLOW),  # 2.8.0, 2.10.1, 2.11.1
    *(_compiled_against_numpy_1(name, "<4.10") for name in _OPENCV),  # 4.8.1.78, 4.9.0.80
    _compiled_against_numpy_1("bottleneck", "<1.4"),  # 1.3.8
    _compiled_against_numpy_1("catboost", "<1.2.6"),  # 1.2, 1.2.5
    _compiled_against_numpy_1("faiss-cpu", "<1.8.0.post1"),  # 1.7.4
    _compiled_against_numpy_1("h5py", "<3.11"),  # 3.8.0, 3.10.0
    _compiled_against_numpy_1("numexpr", "<2.10"),  # 2.8.4, 2.9.0
    _compiled_against_numpy_1("onnxruntime", "<1.18.1"),  # 1.16.3 (a segmentation fault), 1.17.3
    _compiled_against_numpy_1("pandas", "<2.1.4"),  # 1.5.3, 2.0.3, 2.1.0
    _compiled_against_numpy_1("pyarrow", "<15.0.2"),  # 13.0.0, 14.0.2
    _compiled_against_numpy_1("scikit-image", "<0.23"),  # 0.21.0, 0.22.0
    _compiled_against_numpy_1("scikit-learn", "<1.3.1"),  # 1.1.3, 1.2.2, 1.3.0
    _compiled_against_numpy_1("shapely", "<2.0.3"),  # 2.0.1, 2.0.2
    _compiled_against_numpy_1("torch", "<2.3"),  # 2.2.2: imports, then "Numpy is not available"
    # Its own metadata does not mention numpy; 25.0.1 works with numpy 1.21 and newer.
    KnownBad(
        package="numpy", versions="<2", other="pyarrow", limit="<26", why="pyarrow refuses numpy 1 from release 26 on"
    ),  # 1.26.4 with 26.0.0 and 26.0.1
    KnownBad(
        package="shap", versions="<0.42", other="numpy", limit="<1.24", why="it uses names that numpy 1.24 removed"
    ),  # 0.41.0 with 1.24.4
    KnownBad(
        package="statsmodels", versions="<0.14.1", other="numpy", limit="<2", why="it uses names that numpy 2 removed"
    ),  # 0.14.0 with 2.4.6
    KnownBad(
        package="statsmodels",
        versions="<0.14.5",
        other="scipy",
        limit="<1.16",
        why="it uses names that scipy 1.16 removed",
    ),  # 0.14.4 with 1.17.1
    KnownBad(
        package="statsmodels",
        versions="<0.14.6",
        other="pandas",
        limit="<3",
        why="it calls pandas in a way that 3 changed",
    ),  # 0.14.5 with 3.0
    KnownBad(
        package="gensim", versions="<4.3.3", other="scipy", limit="<1.13", why="it uses names that scipy 1.13 removed"
    ),  # 4.3.2 with 1.17.1
    KnownBad(
        package="imbalanced-learn",
        versions=">=0.12,<0.14",
        other="scikit-learn",
        limit="<1.6",
        why="it uses inner parts of scikit-learn that later releases moved",
    ),  # 0.12.4 and 0.13.0 with 1.9.1
)

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def pins_of(lock: str) -> dict[str, str]:
    """What a lock pins: canonical names and their versions."""
    return {canonicalize_name(match["name"]): match["version"] for match in _PIN.finditer(lock)}


def packages_of(lock: str) -> tuple[str, ...]:
    """What a lock installs: `name==version`, in order of name."""
    return tuple(f"{name}=={version}" for name, version in sorted(pins_of(lock).items()))


def avoid(pins: Mapping[str, str]) -> tuple[Avoided, ...]:
    """The pairs of the table that a lock holds, with the constraints that avoid them."""
    found = []
    for row in KNOWN_BAD:
        version, other = pins.get(row.package), pins.get(row.other)
        if version is None or other is None:
            continue
        bad = SpecifierSet(row.versions).contains(Version(version), prereleases=True)
        if bad and not SpecifierSet(row.limit).contains(Version(other), prereleases=True):
            note = f"{row.package} {version} does not work with {row.other} {other}: {row.why}"
            found.append(Avoided(constraint=f"{row.other}{row.limit}", note=note))
    return tuple(found)
