"""Files of CatBoost: the environment that they need, and why they are refused."""

from pathlib import Path

import pytest

from trivet.domain.frameworks import Framework
from trivet.errors import BadPackage
from trivet_tests.packaged import opened

SAID = b'..{"loss_function":{"type":"Logloss","params":{}}}..Summary: CatBoost release 1.2.10. commit..'
MODEL = b"CBM1" + len(SAID).to_bytes(4, "little") + SAID


def test_its_release_and_its_loss_stand_in_the_file(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.cbm": MODEL})
    assert package.framework is Framework.CATBOOST
    assert package.contents.requirements == ("catboost==1.2.10", "pandas")
    assert package.contents.facts == ("written by CatBoost 1.2.10, loss function Logloss",)
    assert package.contents.notes == ()


def test_the_newest_release_loads_what_does_not_say_its_own(tmp_path: Path) -> None:
    contents = opened(tmp_path, {"m.cbm": b"CBM1\x04\x00\x00\x00body"}).contents
    assert contents.requirements == ("catboost", "pandas")
    assert contents.notes == ("m.cbm does not say which release of CatBoost wrote it: the newest loads it",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PK\x01\x02", "it does not begin as CatBoost's files do"),
        (MODEL[:40], "it is cut off"),
        (b"CBM1", "it is cut off"),
    ],
    ids=["another", "half", "start"],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.cbm": data})
    assert (caught.value.what, caught.value.why) == ("'m.cbm' is not a model of CatBoost", why)
