"""The platform's address and token."""

import json
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from trivet.errors import Invalid

__all__ = ["find_token", "find_url", "trusted"]

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def find_url(url: str | None, home: Path | None = None) -> str:
    """The argument, `TRIVET_URL`, the platform that runs from this machine's home, or the usual address.

    Raises:
        Invalid: it is not an address.
    """
    given = url or (None if home else os.environ.get("TRIVET_URL"))
    if given:
        if not _is_address(given):
            raise Invalid(
                f"{given!r} is not the address of a platform", fix=f"write it as in {DEFAULT_URL}", path="url"
            )
        return given.rstrip("/")
    return _own_url(home) or DEFAULT_URL


def find_token(token: str | None, home: Path | None = None, *, url: str = DEFAULT_URL) -> str | None:
    """The argument, `TRIVET_TOKEN`, or the token in the home of this machine's platform. The last is only sent to this
    machine.

    Raises:
        Invalid: it cannot be part of a header. The error does not show it, because it is a secret.
    """
    token = token or os.environ.get("TRIVET_TOKEN")
    if not token:
        if urlsplit(url).hostname not in LOOPBACK and url != _own_url(home):
            return None
        try:
            token = (_home(home) / "token").read_text()
        except (OSError, UnicodeDecodeError):
            return None
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise Invalid("the token has invalid characters", fix="check TRIVET_TOKEN, or the file `token` in the home")
    return token or None


def _own_url(home: Path | None) -> str | None:
    """The address of the platform that runs from a home."""
    try:
        return str(json.loads((_home(home) / "run" / "platform.json").read_text())["control_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:
        return False


def _home(home: Path | None) -> Path:
    return Path(home or os.environ.get("TRIVET_HOME") or Path(os.environ.get("HOME") or "/") / ".trivet").expanduser()


def trusted(verify: bool | str) -> "bool | ssl.SSLContext":
    """The trusted certificates: those of a file named here or by `SSL_CERT_FILE`, else the system's.

    Args:
        verify: False trusts any.

    Raises:
        Invalid: the file holds no certificates.
    """
    file = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE") if verify else None
    if not file:
        return bool(verify)
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise Invalid(
            f"{file} holds no certificates", why=str(error), fix="name a PEM file: SSL_CERT_FILE, or Client(verify=…)"
        ) from error
