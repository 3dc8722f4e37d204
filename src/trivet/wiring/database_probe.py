"""Whether the catalog and the packages of deployments are there, asked in a thread that may hang."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from trivet.blobs import Blobs
from trivet.catalog import Catalog
from trivet.domain.digest import Digest
from trivet.domain.pipeline import ModelStep
from trivet.errors import TrivetError

__all__ = ["Patient", "database_problem", "missing_packages"]


class Patient:
    """Asks one question at a time, and waits a limited time for its answer.

    Args:
        ask: answers with a problem, or None; may block for ever.
        within_s: how long a caller waits.
        fresh_s: for how long an answer is used again.
    """

    def __init__(self, ask: Callable[[], str | None], *, within_s: float, fresh_s: float) -> None:
        self._ask = ask
        self._within_s = within_s
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._answer: Future[str | None] | None = None
        self._asked_at = float("-inf")

    def problem(self) -> str | None:
        """The problem, if there is one; also that there was no answer in time."""
        try:
            return self._current().result(timeout=self._within_s)
        except TimeoutError:
            return f"no answer within {self._within_s:g} s"
        except TrivetError as error:
            # The page is open to requests without a token: it shows no addresses and no users.
            return error.what

    def _current(self) -> Future[str | None]:
        with self._lock:
            answer = self._answer
            # While one hangs, no other is asked.
            if answer is None or (answer.done() and time.monotonic() - self._asked_at > self._fresh_s):
                answer = self._answer = Future()
                self._asked_at = time.monotonic()
                threading.Thread(target=self._run, args=(answer,), name="probe", daemon=True).start()
            return answer

    def _run(self, answer: Future[str | None]) -> None:
        try:
            answer.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is read
            answer.set_exception(error)


def database_problem(catalog: Catalog) -> str | None:
    """Why the catalog cannot be read or written; None if it can.

    Raises:
        TrivetError: the same, as an error.
    """
    catalog.revision()
    try:
        catalog.check_writable()
    except TrivetError as error:
        # Writers that wait for each other are no fault.
        if error.reason != "busy":
            return error.what
    return None


def missing_packages(catalog: Catalog, blobs: Blobs) -> str | None:
    """How many packages of deployed models are not stored; None if all are.

    Raises:
        TrivetError: the store, or the catalog, cannot be reached.
    """
    gone = [digest for digest in sorted(_deployed(catalog)) if not blobs.has(digest)]
    if not gone:
        return None
    return (
        f"{len(gone)} packages of deployed models are missing"
        if len(gone) > 1
        else "a deployed model's package is missing"
    )


def _deployed(catalog: Catalog) -> set[Digest]:
    versions = {each.pipeline_version for each in catalog.deployments.all() if each.wanted == "running"}
    steps = [step for uuid in versions for step in catalog.pipelines.version(uuid).steps]
    return {Digest(step.sha) for step in steps if isinstance(step, ModelStep)}
