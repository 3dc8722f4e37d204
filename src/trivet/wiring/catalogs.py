"""The catalog of a platform's process."""

from trivet.catalog import Catalog, open_catalog
from trivet.settings import Settings

__all__ = ["catalog_of", "database_url"]


def database_url(settings: Settings) -> str:
    """The URL of the catalog's database."""
    return settings.database_url or f"sqlite:///{settings.home / 'catalog.db'}"


def catalog_of(settings: Settings, *, again: bool) -> Catalog:
    """The platform's catalog.

    Args:
        settings: have its URL.
        again: an earlier process has opened it before. Then it is opened as soon as possible, and until then every call
            raises an error: the process works as far as it can without a database. The first start fails at once.

    Raises:
        TrivetError: as for `open_catalog`, unless `again`.
    """
    url = database_url(settings)
    return Catalog(url) if again else open_catalog(url)
