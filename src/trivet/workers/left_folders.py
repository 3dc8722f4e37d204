"""What workers that ended by themselves leave to those that take their places: their `/tmp`.

A model may have downloaded files to it, or look there for what an earlier process left.
"""

import shutil
from collections import deque

from trivet.workers.folders import PrivateFolder
from trivet.workers.spec import WorkerSpec

__all__ = ["LeftFolders"]

# A model that fails and is deployed no more leaves one for good.
_MOST = 16


class LeftFolders:
    """Private folders without workers."""

    def __init__(self) -> None:
        self._left: deque[tuple[str, PrivateFolder]] = deque()

    def leave(self, spec: WorkerSpec, folder: PrivateFolder) -> None:
        """Keep the folder of a worker that has ended; the oldest one is removed if there are many."""
        shutil.rmtree(folder.scratch, ignore_errors=True)
        folder.socket.unlink(missing_ok=True)
        self._left.append((_key(spec), folder))
        if len(self._left) > _MOST:
            self._left.popleft()[1].remove()

    def take(self, spec: WorkerSpec) -> PrivateFolder | None:
        """The folder of a worker that ran the same, which is the caller's then."""
        for left in self._left:
            if left[0] == _key(spec):
                self._left.remove(left)
                return left[1]
        return None

    def clear(self) -> None:
        """Remove all."""
        while self._left:
            self._left.pop()[1].remove()


def _key(spec: WorkerSpec) -> str:
    return f"{spec.fleet} {spec.name} {spec.package} {spec.environment}"
