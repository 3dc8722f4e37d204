"""Writing segments: appending, sealing, and removing the oldest. One thread of one process writes a folder."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trivet.inference_log.layout import OPEN, SEALED, Origin, list_segments
from trivet.inference_log.open_files import AppendedFile, OpenFiles

__all__ = ["LogFolder", "LogLimits", "prune_all"]

log = logging.getLogger(__name__)

MIB = 2**20
DAY_S = 86_400.0
MOST_OPEN = 32
PARTS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLimits:
    """Limits of the inference log.

    Attributes:
        bytes_each: size of one deployment's log.
        age_s: how long a segment is kept.
        segment_bytes: a larger segment is sealed …
        segment_age_s: … and so is an older one.
    """

    bytes_each: int = 512 * MIB
    age_s: float = 30 * DAY_S
    segment_bytes: int = 16 * MIB
    segment_age_s: float = 3600.0

    @property
    def seal_at_bytes(self) -> int:
        """Small logs have small segments: whole segments are removed, and one must be left."""
        return max(64 * 1024, min(self.segment_bytes, self.bytes_each // PARTS))


@dataclass(slots=True)
class _Open:
    """A segment that is being written; its first `whole` bytes hold complete batches."""

    path: Path
    schema: pa.Schema
    file: AppendedFile
    writer: Any
    since: float
    whole: int = 0


class LogFolder:
    """One deployment's log. Not safe to use from several threads.

    Args:
        folder: created on first use.
        limits: see `LogLimits`.
        files: shared by all folders that are written in turns; its own by default.
    """

    def __init__(self, folder: Path, limits: LogLimits, files: OpenFiles | None = None) -> None:
        self._folder = folder
        self._limits = limits
        self._files = files or OpenFiles(MOST_OPEN)
        # By schema with metadata: each pipeline version has its own segments.
        self._open: dict[bytes, _Open] = {}
        self._number = 0
        # Complete segments that could not be sealed yet.
        self._unsealed: set[Path] = set()

    @property
    def idle(self) -> bool:
        """Whether no segment is open or waits to be sealed."""
        return not self._open and not self._unsealed

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows to the segment of their schema; they are readable when this returns.

        Raises:
            OSError, pa.ArrowException: they could not be written, and none is kept. The segment ends; the next rows begin
                another.
        """
        key = batch.schema.serialize().to_pybytes()
        segment = self._open.get(key) or self._begin(key, batch.schema)
        try:
            segment.writer.write_batch(batch)
            segment.file.flush()
            segment.whole = segment.file.tell()
        except (OSError, pa.ArrowException):
            self._give_up(key)
            raise
        if segment.whole >= self._limits.seal_at_bytes:
            self._try_to_seal(key)

    def finish(self, pipeline_version: str) -> None:
        """Seal the open segments of a pipeline version that no longer answers."""
        for key, segment in list(self._open.items()):
            if Origin.found_in(segment.schema).pipeline_version == pipeline_version:
                self._try_to_seal(key)

    def tend(self) -> None:
        """Seal old segments, and remove those beyond the limits."""
        now = time.monotonic()
        for key, segment in list(self._open.items()):
            if now - segment.since > self._limits.segment_age_s:
                self._seal(key)
        for path in list(self._unsealed):
            if _to_parquet(path):
                self._unsealed.discard(path)
        self.prune()

    def recover(self) -> None:
        """Seal the segments that an earlier process left open."""
        mine = {segment.path for segment in self._open.values()}
        for path in self._folder.glob(f"*{SEALED}.new"):
            path.unlink(missing_ok=True)
        for path in self._folder.glob(f"*{OPEN}"):
            if path not in mine:
                _to_parquet(path)

    def prune(self) -> None:
        """Remove the segments beyond the limits, those with the oldest last rows first."""
        mine = {segment.path for segment in self._open.values()}
        kept = 0
        oldest_ns = (time.time() - self._limits.age_s) * 1e9
        found = []
        for path in list_segments(self._folder):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, path, status.st_size))
        beyond = []
        for written_ns, path, size in sorted(found, reverse=True):
            kept += size
            if path not in mine and (kept > self._limits.bytes_each or written_ns < oldest_ns):
                beyond.append(path)
        # The oldest first: a reader must not miss rows that are newer than others that it still sees.
        for path in reversed(beyond):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close all segments without sealing them; the next process seals them."""
        for key in list(self._open):
            self._close(key)

    def _begin(self, key: bytes, schema: pa.Schema) -> _Open:
        while len(self._open) >= MOST_OPEN:
            self._try_to_seal(min(self._open, key=lambda each: self._open[each].since))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._number += 1
        path = self._folder / f"{time.time_ns() // 1_000_000:015d}-{self._number:06d}{OPEN}"
        file = AppendedFile(path, self._files)
        try:
            writer = pa.ipc.new_stream(file, schema)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        segment = self._open[key] = _Open(path, schema, file, writer, time.monotonic())
        return segment

    def _close(self, key: bytes) -> Path:
        segment = self._open.pop(key)
        # A stream is readable without its end mark, which is not worth reopening the file.
        if not segment.file.put_away:
            with contextlib.suppress(OSError, pa.ArrowException):
                segment.writer.close()
        segment.file.close()
        return segment.path

    def _give_up(self, key: bytes) -> None:
        """Close a segment that may hold a part of a batch: closing may write what failed before, so cut it afterwards."""
        segment = self._open.pop(key)
        segment.file.close()
        self._unsealed.add(segment.path)
        with contextlib.suppress(OSError):
            if segment.whole:
                os.truncate(segment.path, segment.whole)
            else:
                segment.path.unlink(missing_ok=True)
                self._unsealed.discard(segment.path)

    def _try_to_seal(self, key: bytes) -> None:
        """Seal a segment; if that fails, its rows are still in the log."""
        try:
            self._seal(key)
        except OSError as error:
            log.warning("failed to clean up the inference log %s: %s", self._folder, error)

    def _seal(self, key: bytes) -> None:
        path = self._close(key)
        if not _to_parquet(path):
            self._unsealed.add(path)
        self.prune()


def prune_all(home: Path, limits: LogLimits, *, opened: Mapping[Path, LogFolder]) -> None:
    """Remove old segments, also of deployments that are gone.

    Args:
        home: see `folder_of`.
        limits: see `LogLimits`.
        opened: folders that are being written: only they know which of their segments still grow.
    """
    for folder in (home / "inference").glob("*/*"):
        try:
            (opened.get(folder) or LogFolder(folder, limits)).prune()
        except OSError as error:
            # The other logs are pruned all the same.
            log.warning("failed to clean up the inference log %s: %s", folder, error)
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if nothing is left in it


def read_stream(path: Path) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """The complete batches of an open segment.

    Raises:
        FileNotFoundError: it was sealed or removed meanwhile.
        pa.ArrowException: its schema is not complete.
    """
    with path.open("rb") as file:
        stream = pa.ipc.open_stream(file)
        return stream.schema, list(_whole(stream))


def _whole(stream: Any) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            yield stream.read_next_batch()
        except (StopIteration, pa.ArrowException, OSError):
            # The end, or a batch that is not complete.
            return


def _to_parquet(path: Path) -> bool:
    """Rewrite an open segment as Parquet and remove the old file. If that fails, the old file stays.

    Returns:
        False if it has to be tried again.
    """
    sealed = path.with_suffix(SEALED)
    new = sealed.with_name(sealed.name + ".new")
    try:
        schema, batches = read_stream(path)
    except FileNotFoundError:
        return True
    except pa.ArrowInvalid:
        path.unlink(missing_ok=True)  # not even a schema
        return True
    except (OSError, pa.ArrowException) as error:
        log.warning("failed to seal the inference log %s: %s", path, error)
        return False
    try:
        table = pa.Table.from_batches(batches, schema=schema)
        if table.num_rows:
            with new.open("wb") as file:
                pq.write_table(table, file, compression="zstd", store_schema=True)
                file.flush()
                # It is as old as its rows.
                written = path.stat()
                os.utime(new, ns=(written.st_atime_ns, written.st_mtime_ns))
                # After a crash of the machine, the name must not exist without the content.
                os.fsync(file.fileno())
            new.replace(sealed)
        path.unlink(missing_ok=True)
    except (OSError, pa.ArrowException) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        log.warning("failed to seal the inference log %s: %s", path, error)
        return not isinstance(error, OSError)
    return True
