"""Links between pages lead somewhere, and every page can be reached from the first one."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*PROJECT.glob("*.md"), *DOCS.rglob("*.md"), *PROJECT.glob("examples/**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]*))?\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def links(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of every link that does not leave the project."""
    found = []
    for match in LINK.finditer(page.read_text()):
        target = match["target"]
        if not target.startswith(("http:", "https:", "mailto:")):
            found.append(((page.parent / target).resolve() if target else page, match["anchor"] or ""))
    return found


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_link_leads_to_something_that_is_there(page: Path) -> None:
    broken = [
        f"{target}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert broken == []


def test_every_page_of_docs_can_be_reached_from_the_index() -> None:
    reached, next_ones = set(), [DOCS / "index.md"]
    while next_ones:
        page = next_ones.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        next_ones += [target for target, _ in links(page)]
    assert set(DOCS.rglob("*.md")) - reached == set()
