"""Model files that are pickles: what they hold, or why they are refused."""

from pathlib import Path

from trivet.errors import BadPackage, visible
from trivet.packaging.pickles import PickleFacts, allowed_of, read_pickle

__all__ = ["check_pickle"]

MAX_LISTED = 5


def check_pickle(path: Path, *, names: str, shown: str) -> PickleFacts:
    """Read a pickle file to its last byte.

    Args:
        path: the file.
        names: the framework's list of names.
        shown: its name in messages.

    Raises:
        BadPackage: it names what the framework's models do not, or cannot be followed.
        TooLarge: it is compressed, and holds too much.
    """
    facts = read_pickle(path, allowed=allowed_of("arrays", names))
    if facts.forbidden:
        listed = ", ".join(facts.forbidden[:MAX_LISTED])
        more = len(facts.forbidden) - MAX_LISTED
        raise BadPackage(
            f"{shown!r} would run code that a model of {names} does not need",
            why=visible(f"loading it calls or names {listed}" + (f" and {more} more" if more > 0 else "")),
            fix="if the model has classes of your own, put it into a folder with a custom model that loads it, and give that folder",
            path=shown,
            reason="forbidden_pickle",
        )
    if facts.broken is not None:
        raise BadPackage(
            f"{shown!r} is not a pickle that can be checked",
            why=facts.broken,
            fix="save the model again, as in joblib.dump(model, 'model.joblib'), and compare the file's size after a copy",
            path=shown,
            reason="unreadable_pickle",
        )
    return facts
