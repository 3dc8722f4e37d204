"""The files of the platform's token and certificate. The parent reads them, as a whole, and watches them."""

from collections.abc import Mapping
from pathlib import Path

from trivet.control.token import TOKEN_FILE, kept_token, token_of
from trivet.gateway.certificates import read_certificate
from trivet.settings import Settings
from trivet.wiring.credentials import Credentials

__all__ = ["CredentialFiles", "read_credentials"]


def read_credentials(settings: Settings, environ: Mapping[str, str], *, first: bool = False) -> Credentials:
    """Those of the files.

    Args:
        settings: home, and the paths of certificate and key.
        environ: this process's environment, which may hold the token.
        first: make the token if there is none.

    Raises:
        Invalid: a file, or `TRIVET_TOKEN`, cannot be used.
        Unavailable: the token cannot be read or created.
    """
    token = token_of(settings.home, environ) if first else kept_token(settings.home, environ)
    if settings.tls_cert is None or settings.tls_key is None:
        return Credentials(token=token)
    return Credentials(token=token, certificate=read_certificate(settings.tls_cert, settings.tls_key))


class CredentialFiles:
    """The files of the credentials, watched for changes.

    Args:
        settings: home, and the paths of certificate and key.
        environ: this process's environment.

    Attributes:
        current: what was read last, as a whole.

    Raises:
        Invalid, Unavailable: as for `read_credentials`.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self.current = read_credentials(settings, environ, first=True)
        paths = (settings.tls_cert, settings.tls_key, settings.home / TOKEN_FILE)
        self._paths = [path for path in paths if path is not None]
        self._read = self._latest = self._look()

    def changed(self) -> bool:
        """Whether files have changed since they were read, and not since the last call: then they are whole."""
        before, self._latest = self._latest, self._look()
        return self._latest == before != self._read

    def reload(self) -> bool:
        """Read them again. If that fails, the current credentials stay.

        Returns:
            Whether the credentials are others now.

        Raises:
            Invalid, Unavailable: as for `read_credentials`.
        """
        # Looked at before it is read: a change meanwhile is seen next time.
        self._read = self._latest = self._look()
        before, self.current = self.current, read_credentials(self._settings, self._environ)
        return self.current != before

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_identity(path) for path in self._paths]


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
