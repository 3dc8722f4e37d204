"""Clients that ask a pipeline without a pause while something is changed."""

import threading
import time
from typing import Any, Self

import requests

__all__ = ["Asking"]

CLIENTS = 4


class Asking:
    """Clients that ask without a pause, each on a connection of its own. The answer `y` is a factor, and twice that.

    Args:
        url: of the pipeline.
        rows: `x` of 1 and 2, in one row.
        clients: how many. The answers of one are in the order in which they came.
    """

    def __init__(self, url: str, rows: list[dict[str, Any]], *, clients: int = CLIENTS) -> None:
        self.url = url
        self.rows = rows
        self.ends = threading.Event()
        self.answers: list[float] = []
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join(60)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self.ends.is_set():
                try:
                    answer = session.post(self.url, json=self.rows, timeout=30)
                except requests.RequestException as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
                    continue
                first, second = answer.json()[0]["out"]["y"]
                self.answers.append(first)
                if second != 2 * first:
                    self.failures.append(f"mixed: {first}, {second}")

    def until_last(self, factor: float) -> None:
        """Wait until what answers is this; what was asked before may still be answered by what was there."""
        deadline = time.monotonic() + 60
        while not self.answers or self.answers[-1] != factor:
            assert time.monotonic() < deadline, (factor, self.answers[-5:], self.failures[:3])
            time.sleep(0.01)
