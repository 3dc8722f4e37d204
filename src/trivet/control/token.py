"""The owner's token. The gateway's process reads it too, so nothing here imports the control API's HTTP stack."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from trivet.errors import Invalid, Unavailable

__all__ = ["TOKEN_FILE", "kept_token", "token_of"]

TOKEN_FILE = "token"  # noqa: S105 - a name
SHORTEST = 16


def token_of(home: Path, environ: Mapping[str, str]) -> str:
    """The owner's token: `TRIVET_TOKEN`, or the one in the home, which is created where it is missing.

    Raises:
        Invalid: `TRIVET_TOKEN` is too short.
        Unavailable: the file cannot be read or created.
    """
    given = _given(environ)
    if given is not None:
        return given
    path = home / TOKEN_FILE
    try:
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
                kept = file.read().strip()
            if len(kept) >= SHORTEST:
                return kept
            # An earlier process was ended between making the file and writing it.
            made = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(made, "w") as file:
            token = secrets.token_urlsafe(32)
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(
            f"the token in {path} cannot be read or created",
            why=error.strerror or str(error),
            fix="check the permissions of the home",
        ) from error
    return token


def kept_token(home: Path, environ: Mapping[str, str]) -> str:
    """The owner's token as it is now; nothing is created.

    Raises:
        Invalid: it is too short.
        Unavailable: the file cannot be read.
    """
    given = _given(environ)
    if given is not None:
        return given
    path = home / TOKEN_FILE
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            kept = file.read().strip()
    except OSError as error:
        raise Unavailable(
            f"the token in {path} cannot be read",
            why=error.strerror or str(error),
            fix="write a token into it, readable by its owner only: openssl rand -hex 24",
        ) from error
    if len(kept) < SHORTEST:
        raise Invalid(f"the token in {path} has fewer than {SHORTEST} characters", fix="make one: openssl rand -hex 24")
    return kept


def _given(environ: Mapping[str, str]) -> str | None:
    given = environ.get("TRIVET_TOKEN")
    if given and len(given) < SHORTEST:
        raise Invalid(f"TRIVET_TOKEN has fewer than {SHORTEST} characters", fix="make one: openssl rand -hex 24")
    return given or None
