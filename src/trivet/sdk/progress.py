"""Progress of a wait: text on stdout, or, in a notebook, one line that is updated."""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import uuid4

__all__ = ["Say", "notebook_display", "one_line", "say_nothing", "say_on_stdout"]

Say: TypeAlias = Callable[[str], None]
Display: TypeAlias = Callable[..., Any]


def say_nothing(_text: str) -> None:
    """Print nothing."""


def say_on_stdout(text: str) -> None:
    """Print text for the user of a script or notebook, without adding a line's end."""
    sys.stdout.write(text)
    sys.stdout.flush()


def one_line(say: Say, display: "Display | None" = None) -> Say:
    """How to print the progress of one wait: in a notebook as a line of its own that is updated, elsewhere as given.

    Args:
        say: how the client prints.
        display: IPython's, or the notebook's by default.
    """
    display = display or notebook_display()
    return _UpdatedLine(display) if say is say_on_stdout and display is not None else say


def notebook_display() -> "Display | None":
    """IPython's `display` in a notebook; None elsewhere, in a terminal's IPython too. It does not import IPython."""
    found = sys.modules.get("IPython")
    shell = None if found is None else found.get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # type: ignore[import-not-found]

    return display  # type: ignore[no-any-return]


class _UpdatedLine:
    """Shows the last line of the text so far, in the place of the one before."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._id = uuid4().hex
        self._text = ""
        self._shown = ""

    def __call__(self, text: str) -> None:
        self._text += text
        line = self._text.strip("\n").rpartition("\n")[2]
        if line and line != self._shown:
            # A frontend that has no such place yet makes one.
            self._display({"text/plain": line}, raw=True, display_id=self._id, update=self._shown != "")
            self._shown = line
