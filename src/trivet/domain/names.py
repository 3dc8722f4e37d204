"""Names. Those of models and pipelines are DNS labels, so that they also fit URLs, log files and hosts; workspaces allow more."""

import re
import unicodedata

from trivet.errors import Invalid

__all__ = ["check_name", "check_workspace_name", "propose_name"]

MAX_LENGTH = 63
LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(name: str) -> str:
    """The name itself, if it is a DNS label.

    Raises:
        Invalid: it is not; the error proposes a valid one.
    """
    if LABEL.fullmatch(name):
        return name
    why = "a name has lower-case letters, digits and dashes, and neither begins nor ends with a dash"
    if len(name) > MAX_LENGTH:
        why = f"it has {len(name)} characters, and {MAX_LENGTH} are allowed"
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    raise Invalid(f"{shown!r} cannot be a name", why=why, fix=f"{propose_name(name)!r} would do")


def check_workspace_name(name: str) -> str:
    """The name itself, if it is one that a workspace may have: letters, digits, dots, dashes and underscores.

    Raises:
        Invalid: it is not; the error proposes a valid one.
    """
    if WORKSPACE.fullmatch(name):
        return name
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    why = f"it has 1 to {MAX_LENGTH} letters, digits, dots, dashes and underscores, and begins with a letter or digit"
    raise Invalid(f"{shown!r} cannot be a workspace's name", why=why, fix=f"{propose_name(name)!r} would do")


def propose_name(text: str) -> str:
    """A valid name that resembles any text: `CC Fraud_v2` becomes `cc-fraud-v2`; `model` where nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_LENGTH].rstrip("-")
    return label or "model"
