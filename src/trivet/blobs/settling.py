"""The lock between the processes that store or delete a blob together with the catalog row that names it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trivet.disk.drafts import locked_folder
from trivet.disk.errors import disk

__all__ = ["settling"]


@contextmanager
def settling(home: Path) -> Iterator[None]:
    """Held while a blob and the row that names it are stored or deleted together; one thread of one process at a time holds it.

    Without it, a blob is deleted because no row names it, while another process writes such a row.

    Raises:
        Unavailable: the home is not writable.
    """
    run = home / "run"
    with ExitStack() as lock:
        with disk(run, reason="home_not_writable"):
            run.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.enter_context(locked_folder(run))
        yield
