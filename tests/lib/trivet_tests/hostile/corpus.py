"""The corpus of hostile inputs: everything that a finding was about stays here, and is read again in every run."""

from typing import Final

from trivet_tests.hostile.bodies import BODIES
from trivet_tests.hostile.entry import Hostile, Kind
from trivet_tests.hostile.graphs import GRAPHS
from trivet_tests.hostile.validations import VALIDATIONS
from trivet_tests.hostile.yaml_texts import YAML
from trivet_tests.hostile.zips import ZIPS

__all__ = ["CORPUS", "entries"]

CORPUS: Final = (*BODIES, *GRAPHS, *ZIPS, *YAML, *VALIDATIONS)


def entries(*kinds: Kind) -> list[Hostile]:
    """Those of some kinds, for the suite that reads them."""
    return [each for each in CORPUS if each.kind in kinds]
