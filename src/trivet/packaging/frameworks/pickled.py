"""Model files that are pickles: what they hold, or why they are refused."""

from collections.abc import Callable
from pathlib import Path

from trivet.errors import BadPackage, visible
from trivet.packaging.pickles import Document, PickleFacts, allowed_of, first_names, read_pickle

__all__ = ["PICKLES", "check_pickle", "library_of"]

PICKLES = (".pkl", ".pickle", ".joblib")

MAX_LISTED = 5
OF_EVERY_PICKLE = frozenset({"_codecs", "builtins", "collections", "copyreg", "joblib", "numpy", "pandas", "scipy"})


def library_of(path: Path) -> str | None:
    """The library whose class a pickle names first: that of the model itself, for what a class holds follows it.

    Only the beginning is read. None if it names none there, or is not a pickle.
    """
    roots = (name.module.partition(".")[0] for name in first_names(path))
    return next((root for root in roots if root not in OF_EVERY_PICKLE), None)


def check_pickle(
    path: Path,
    *,
    names: tuple[str, ...],
    shown: str,
    trust: bool,
    report: Callable[[str], None],
    document: Document | None = None,
) -> PickleFacts:
    """Read a pickle file to its last byte.

    Args:
        path: the file.
        names: the lists of names of the framework, its own first.
        shown: its name in messages.
        trust: let it pass all the same.
        report: called with what was let pass.
        document: what to read of the files of other formats in it.

    Raises:
        BadPackage: it names what the framework's models do not, or cannot be followed.
        TooLarge: it is compressed, and holds too much.
    """
    facts = read_pickle(path, allowed=allowed_of("arrays", *names), document=document)
    listed = ", ".join(facts.forbidden[:MAX_LISTED])
    more = len(facts.forbidden) - MAX_LISTED
    calls = visible(f"loading it calls or names {listed}" + (f" and {more} more" if more > 0 else ""))
    if trust:
        if facts.forbidden:
            report(f"{shown} is trusted: {calls}")
        if facts.broken is not None:
            report(f"{shown} is trusted, although it cannot be checked to its end: {facts.broken}")
    elif facts.forbidden:
        raise BadPackage(
            f"{shown!r} would run code that a model of {names[0]} does not need",
            why=calls,
            fix="if you trust its author, load it all the same, in a worker: --trust, or trust=True",
            path=shown,
            reason="forbidden_pickle",
        )
    elif facts.broken is not None:
        raise BadPackage(
            f"{shown!r} is not a pickle that can be checked",
            why=facts.broken,
            fix="save the model again, as in joblib.dump(model, 'model.joblib'), and compare the file's size after a copy",
            path=shown,
            reason="unreadable_pickle",
        )
    return facts
