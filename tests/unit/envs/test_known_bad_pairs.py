"""Pairs of releases that do not work together, found in a lock."""

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from trivet.envs.known_bad import KNOWN_BAD, avoid, pins_of

LOCK = """\
numpy==2.2.6 \\
    --hash=sha256:aaaa
Scikit_Learn==1.2.2 ; python_version >= "3.8" \\
    --hash=sha256:bbbb \\
    --hash=sha256:cccc
torch==2.13.0+cpu
"""


def test_the_pins_of_a_lock_are_read():
    assert pins_of(LOCK) == {"numpy": "2.2.6", "scikit-learn": "1.2.2", "torch": "2.13.0+cpu"}


def test_a_pair_names_its_limit_and_its_reason():
    (pair,) = avoid(pins_of(LOCK))
    assert pair.constraint == "numpy<2"
    assert pair.note == "scikit-learn 1.2.2 does not work with numpy 2.2.6: it was compiled against numpy 1"


@pytest.mark.parametrize(
    "pins",
    [
        {"tensorflow": "2.8.0", "protobuf": "3.20.3"},
        {"tensorflow": "2.12.0", "protobuf": "4.25.1"},
        {"tensorflow": "2.8.0"},
        {"numpy": "2.0.0"},
        {"scikit-learn": "1.4.2", "numpy": "2.0.0"},
        {"scikit-learn": "1.2.2", "numpy": "1.26.4"},
        {"torch": "2.3.0", "numpy": "2.1.0"},
    ],
)
def test_pairs_that_work_are_left_alone(pins):
    assert avoid(pins) == ()


@pytest.mark.parametrize(
    ("pins", "constraints"),
    [
        ({"tensorflow": "2.8.0", "protobuf": "4.21.0", "numpy": "2.0.0"}, {"protobuf<3.21", "numpy<2"}),
        ({"torch": "2.2.2+cpu", "numpy": "2.1.0"}, {"numpy<2"}),
        ({"statsmodels": "0.14.4", "scipy": "1.16.0", "pandas": "3.0.0"}, {"scipy<1.16", "pandas<3"}),
        ({"numpy": "1.26.4", "pyarrow": "26.0.1"}, {"pyarrow<26"}),
        ({"imbalanced-learn": "0.12.4", "scikit-learn": "1.6.1"}, {"scikit-learn<1.6"}),
    ],
)
def test_pairs_that_do_not_work_are_found(pins, constraints):
    assert {pair.constraint for pair in avoid(pins)} == constraints


@pytest.mark.parametrize("row", KNOWN_BAD, ids=lambda row: f"{row.package}-{row.other}")
def test_every_row_is_well_formed(row):
    assert row.package == canonicalize_name(row.package)
    assert row.other == canonicalize_name(row.other)
    assert SpecifierSet(row.versions)
    assert Requirement(f"{row.other}{row.limit}")
