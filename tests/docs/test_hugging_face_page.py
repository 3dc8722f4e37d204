"""The page of Hugging Face has the table of tasks."""

import re
from pathlib import Path

from trivet.packaging.frameworks.hugging_face import RELEASES
from trivet_worker.hugging_face_tasks import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "hugging-face.md"


def test_the_page_lists_the_fields_of_each_task() -> None:
    rows = re.findall(r"^\| `([a-z0-9]+(?:-[a-z0-9]+)*)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    expected = [
        (name, " | ".join(_listed(fields) for fields in (task.inputs, task.options, task.answers)))
        for name, task in TASKS.items()
    ]
    assert rows == expected


def test_the_page_names_the_releases() -> None:
    text = PAGE.read_text()
    for line in (each for release in RELEASES.values() for each in release if "==" in each):
        assert line.replace("==", " ") in text


def _listed(fields) -> str:
    return ", ".join(f"`{name}: {kind}`" for name, kind in fields.items())
