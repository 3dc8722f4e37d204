"""Every type and schema that the page about schemas shows is read, and written back as the same."""

import re
from pathlib import Path

import pytest

from trivet.domain.schema import format_schema, format_type, parse_schema, parse_type

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "reference" / "schemas.md").read_text()
TABLE = PAGE[PAGE.index("## Types") : PAGE.index("Not supported:")]
FIRST_CELLS = re.findall(r"^\| (`[^|]+`) \|", TABLE, re.MULTILINE)
TYPES = sorted({name for cell in FIRST_CELLS for name in re.findall(r"`([^`]+)`", cell)})


@pytest.mark.parametrize("text", TYPES)
def test_a_type_on_the_page_is_read_and_written_back(text: str) -> None:
    kind = parse_type(text)
    assert parse_type(format_type(kind)) == kind


def test_schemas_on_the_page_are_read_and_written_back() -> None:
    shown = re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    for line in shown[1].splitlines():
        schema = parse_schema(line)
        assert parse_schema(format_schema(schema)) == schema
