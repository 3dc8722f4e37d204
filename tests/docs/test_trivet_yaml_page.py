"""The page about trivet.yaml names every key, and what it shows is taken."""

import re
from dataclasses import fields
from pathlib import Path

from trivet.domain.package import ModelSettings
from trivet.packaging import load_settings

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "reference" / "trivet-yaml.md").read_text()
OF_THE_FILE_ONLY = {"model", "batching"}
CALLED = {"timeout_s": "timeout", "memory_bytes": "resources.memory", "open_files": "resources.open_files"}
# `suggested_schema` is of the rows that `--example` names; `allow_nulls` is of an upload, where a schema of a file is typed; and a
# package cannot ask to be trusted.
NOT_IN_THE_FILE = {"suggested_schema", "allow_nulls", "trust"}


def test_the_page_names_every_key() -> None:
    first_cells = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE)
    named = {key for cell in first_cells for key in re.findall(r"`([\w.]+)`", cell)}
    assert (
        named - OF_THE_FILE_ONLY
        == {CALLED.get(field.name, field.name) for field in fields(ModelSettings)} - NOT_IN_THE_FILE
    )


def test_what_the_page_shows_is_taken(tmp_path: Path) -> None:
    shown = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    for number, text in enumerate(shown):
        path = tmp_path / str(number) / "trivet.yaml"
        path.parent.mkdir()
        path.write_text(text)
        assert load_settings(path).input_schema is not None


def test_the_examples_settings_are_taken() -> None:
    for path in PROJECT.glob("examples/*/trivet.yaml"):
        assert load_settings(path).example
