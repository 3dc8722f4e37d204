"""Tags: short texts on model versions and pipelines, which searches find."""

import msgspec

from trivet.errors import Invalid

__all__ = ["MOST_OF_ONE", "MOST_TAGS", "Tag", "Tagged", "check_tag"]

MOST_TAGS = 1000
MOST_OF_ONE = 100
"""Tags of one model version, and of one pipeline."""

MOST_CHARACTERS = 200


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """A model version or a pipeline with a tag. `uuid` is that of a version; a pipeline has none."""

    id: int
    name: str
    uuid: str | None = None


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag, and what has it, in order of id."""

    id: int
    tag: str
    models: tuple[Tagged, ...] = ()
    pipelines: tuple[Tagged, ...] = ()


def check_tag(text: str) -> str:
    """The text without space around it.

    Raises:
        Invalid: it is empty, too long, or has characters that cannot be shown.
    """
    text = text.strip()
    if not text or len(text) > MOST_CHARACTERS or not text.isprintable():
        raise Invalid(
            f"{text[:80]!r} cannot be a tag",
            fix=f"give 1 to {MOST_CHARACTERS} printable characters",
            path="tag",
            reason="bad_tag",
        )
    return text
