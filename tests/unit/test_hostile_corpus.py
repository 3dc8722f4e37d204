"""The corpus is large enough, each entry has its bound, and a suite reads each kind."""

import re
from collections import Counter
from pathlib import Path
from typing import get_args

from trivet_tests.hostile.corpus import CORPUS
from trivet_tests.hostile.entry import MIB, Kind

HERE = Path(__file__).parent


def test_there_are_60_entries_and_six_of_each_kind() -> None:
    assert len(CORPUS) >= 60
    count = Counter(each.kind for each in CORPUS)
    assert set(count) == set(get_args(Kind))
    assert min(count.values()) >= 6, count


def test_each_entry_has_a_name_an_outcome_and_bounds() -> None:
    assert len({str(each) for each in CORPUS}) == len(CORPUS)
    for each in CORPUS:
        assert each.outcome, each
        assert 0 < each.most_bytes <= 64 * MIB, each
        assert 0 < each.most_s <= 10, each


def test_one_suite_reads_each_kind() -> None:
    read = [
        kind
        for path in HERE.rglob("test_*.py")
        for kinds in re.findall(r"entries\(([^)]*)\)", path.read_text())
        for kind in re.findall(r'"(\w+)"', kinds)
    ]
    assert sorted(read) == sorted(get_args(Kind))
