"""Where a process of the platform gets its catalog from."""

import threading
import time
from typing import Any, cast

from trivet.catalog import Catalog, open_catalog
from trivet.errors import TrivetError
from trivet.settings import Settings

__all__ = ["catalog_of", "database_url"]

AGAIN_S = 1.0


def database_url(settings: Settings) -> str:
    """Where the catalog is."""
    return settings.database_url or f"sqlite:///{settings.home / 'catalog.db'}"


def catalog_of(settings: Settings, *, again: bool) -> Catalog:
    """The platform's catalog.

    Args:
        settings: where it is.
        again: the process was there before. It then does what it can while the database is away, and opens it once it is back;
            the first start says at once that something is wrong.

    Raises:
        TrivetError: as `open_catalog` says, unless `again`.
    """
    url = database_url(settings)
    return cast("Catalog", _Patient(url)) if again else open_catalog(url)


class _Patient:
    """A catalog that is opened when something is asked of it, whenever that is possible. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._trouble: TrivetError | None = None
        self._tried_at = float("-inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened(), name)

    def close(self) -> None:
        """Close it, if it was opened."""
        if self._catalog is not None:
            self._catalog.close()

    def _opened(self) -> Catalog:
        if self._catalog is not None:
            return self._catalog
        with self._lock:
            if self._catalog is None:
                if self._trouble is not None and time.monotonic() - self._tried_at < AGAIN_S:
                    raise self._trouble
                try:
                    self._catalog = open_catalog(self._url)
                except TrivetError as error:
                    self._trouble, self._tried_at = error, time.monotonic()
                    raise
            return self._catalog
