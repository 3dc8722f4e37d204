"""The gateway's side of the inference log: a cheap append for each request, and a thread that writes.

Collected rows go to the thread, which writes thousands at a time. If too many wait, or the disk is full, rows are dropped and
counted; a prediction never waits for its log.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.answer import Answer, Inputs
from trivet.gateway.inference_rows import Gathered, record_batch
from trivet.inference_log import LogFolder, LogLimits, OpenFiles, Origin, folder_of, prune_all

__all__ = ["InferenceLog"]

log = logging.getLogger(__name__)

MOST_ROWS = 200_000
MOST_BYTES = 256 * 2**20
GATHERED_ROWS = 4096
GATHERED_BYTES = 8 * 2**20
EVERY_S = 0.2
TEND_S = 30.0
PRUNE_S = 600.0
PAUSE_S = 1.0
MOST_FILES = 64
MOST_SHAPES = 16
"""Of a pipeline's requests, with columns that its model does not have: each shape has segments of its own."""
MOST_NAMES = 16
NAME_CHARACTERS = 64


class InferenceLog:
    """Stores requests and answers. Call `append` in the event loop's thread, and create this there.

    Args:
        home: the logs are in its folder `inference`.
        limits: see `LogLimits`.
        partition: names this process.

    """

    def __init__(self, home: Path, limits: LogLimits, *, partition: str) -> None:
        # One counter for each thread, so that no increment is lost.
        self._refused: dict[tuple[int, str], int] = {}
        self._lost: dict[tuple[int, str], int] = {}
        self._home = home
        self._limits = limits
        self._partition = partition
        self._gathering: dict[int, Gathered] = {}
        self._shapes: dict[int, set[pa.Schema]] = {}
        # Rows to write, and pipelines that have stopped.
        self._queue: deque[Gathered | ServedPipeline] = deque()
        # Two counters with one writer each; their difference is what waits.
        self._came_rows = self._went_rows = 0
        self._came_bytes = self._went_bytes = 0
        self._request = time.time_ns()
        self._finished: deque[ServedPipeline] = deque()
        self._files = OpenFiles(MOST_FILES)
        self._folders: dict[int, LogFolder] = {}
        self._paths: dict[Path, LogFolder] = {}
        self._broken_until: dict[int, float] = {}
        self._said_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Event()
        self._closing = False
        self._written = threading.Condition()
        self._taken = 0
        self._done = 0
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> Mapping[tuple[int, str], int]:
        """Dropped rows by pipeline."""
        found = dict(self._refused)
        for name, rows in self._lost.copy().items():
            found[name] = found.get(name, 0) + rows
        return found

    def append(self, pipeline: ServedPipeline, inputs: Inputs, answer: Answer[Inputs]) -> None:
        """See `InferenceSink.append`."""
        key = id(pipeline)
        try:
            if inputs.has_more and (more := _unknown_to_model(inputs)):
                self._append_alone(pipeline, inputs.batch, more, answer)
                return
            batch, outputs = inputs.batch, answer.outputs
            gathered = self._gathering.get(key)
            if gathered is None:
                gathered = self._gathering[key] = Gathered(pipeline, batch.schema, batch.columns, answer)
            nbytes = gathered.size_of(batch.columns, outputs)
            if not self._has_room(outputs.rows, nbytes):
                _count(self._refused, pipeline, outputs.rows)
                return
            gathered.add(batch.columns, answer, nbytes)
            if gathered.rows >= GATHERED_ROWS or gathered.nbytes >= GATHERED_BYTES:
                self._hand_over(key)
        except Exception as error:  # noqa: BLE001 - an answer is not lost for its log
            # The collected rows may hold a part of this request.
            spoilt = self._gathering.pop(key, None)
            lost = 0 if spoilt is None else sum(spoilt.counts)
            _count(self._refused, pipeline, lost + answer.outputs.rows)
            self._complain(error)

    def finish(self, pipeline: ServedPipeline) -> None:
        """See `InferenceSink.finish`."""
        self._hand_over(id(pipeline))
        self._shapes.pop(id(pipeline), None)
        self._queue.append(pipeline)

    def flush(self, within_s: float) -> bool:
        """Wait until all rows appended so far are in the files. Called in a thread.

        Returns:
            Whether they are.
        """
        with self._written:
            # A round in progress may miss the newest rows: wait for the end of the next one.
            target = self._taken + 1
            self._wake.set()
            return self._written.wait_for(lambda: self._done >= target, within_s)

    def close(self, within_s: float) -> None:
        """Write the waiting rows and end. Called in a thread, while the event loop runs. Logs how many could not be written."""
        self._closing = True
        self._wake.set()
        self._thread.join(within_s)
        lost = self._came_rows - self._went_rows + sum(each.rows for each in list(self._gathering.values()))
        if lost:
            log.warning("inference log rows dropped: %d were not on the disk within %g s of the stop", lost, within_s)

    # In the event loop's thread.

    def _append_alone(
        self, pipeline: ServedPipeline, batch: Batch, more: Mapping[str, pa.Array], answer: Answer[Inputs]
    ) -> None:
        """Append a request with columns that the model does not have.

        Each shape of such requests needs a segment. When a pipeline has many, further ones are kept without these columns, and
        the log names them.
        """
        # Sorted, because another order would be another schema.
        names = sorted(more)
        shapes = self._shapes.setdefault(id(pipeline), set())
        shape = pa.schema([pa.field(name, more[name].type) for name in names])
        dropped: Sequence[str] = ()
        if shape in shapes or len(shapes) < MOST_SHAPES:
            shapes.add(shape)
        else:
            dropped = [name[:NAME_CHARACTERS] for name in names[:MOST_NAMES]]
            shape, names = pa.schema([]), []
        schema = pa.schema([*batch.schema, *shape])
        columns = [*batch.columns, *(more[name] for name in names)]
        gathered = Gathered(pipeline, schema, columns, answer, dropped=dropped)
        nbytes = gathered.size_of(columns, answer.outputs)
        if not self._has_room(answer.outputs.rows, nbytes):
            _count(self._refused, pipeline, answer.outputs.rows)
            return
        # Earlier rows are written first.
        self._hand_over(id(pipeline))
        gathered.add(columns, answer, nbytes)
        self._enqueue(gathered)

    def _has_room(self, rows: int, nbytes: int) -> bool:
        waiting = self._came_rows - self._went_rows
        if waiting == 0:
            return True
        return waiting + rows <= MOST_ROWS and self._came_bytes - self._went_bytes + nbytes <= MOST_BYTES

    def _hand_over(self, key: int) -> None:
        gathered = self._gathering.pop(key, None)
        # If the queue was full, nothing was collected.
        if gathered is not None and gathered.rows:
            self._enqueue(gathered)

    def _enqueue(self, gathered: Gathered) -> None:
        self._came_rows += gathered.rows
        self._came_bytes += gathered.nbytes
        self._queue.append(gathered)

    def _hand_all_over(self, done: threading.Event) -> None:
        for key in list(self._gathering):
            self._hand_over(key)
        done.set()

    # In the log's own thread.

    def _run(self) -> None:
        tended = pruned = time.monotonic()
        self._recover()
        while True:
            self._wake.wait(0 if self._finished or self._closing else EVERY_S)
            self._wake.clear()
            closing = self._closing
            with self._written:
                self._taken += 1
            collected = self._collect()
            while self._queue:
                self._take(self._queue.popleft())
            now = time.monotonic()
            if now - tended > TEND_S:
                tended = now
                self._tend()
            if now - pruned > PRUNE_S:
                pruned = now
                self._prune()
            if collected:
                with self._written:
                    self._done = self._taken
                    self._written.notify_all()
            if closing and collected and not self._queue:
                for folder in self._folders.values():
                    folder.close()
                return
            if self._finished:
                self._seal(self._finished.popleft())

    def _collect(self) -> bool:
        """Ask the event loop, which owns the collected rows, to hand them over. Returns whether it did."""
        if not self._gathering:
            return True
        done = threading.Event()
        try:
            self._loop.call_soon_threadsafe(self._hand_all_over, done)
        except RuntimeError:
            # The loop has ended, so nothing appends any more.
            self._hand_all_over(done)
        return done.wait(PAUSE_S)

    def _tend(self) -> None:
        for key, folder in list(self._folders.items()):
            try:
                folder.tend()
            except (OSError, pa.ArrowException) as error:
                self._complain(error)
            if folder.idle:
                self._forget(key)

    def _forget(self, key: int) -> None:
        """Drop idle folders; a deployment that is logged again gets a new one."""
        folder = self._folders.pop(key)
        self._paths = {path: each for path, each in self._paths.items() if each is not folder}
        self._broken_until.pop(key, None)

    def _prune(self) -> None:
        try:
            prune_all(self._home, self._limits, opened=self._paths)
        except OSError as error:
            self._complain(error)

    def _recover(self) -> None:
        try:
            found = list((self._home / "inference").glob("*/*"))
        except OSError as error:
            self._complain(error)
            return
        for path in found:
            try:
                LogFolder(path, self._limits).recover()
            except (OSError, pa.ArrowException) as error:
                self._complain(error)
        self._prune()

    def _take(self, came: Gathered | ServedPipeline) -> None:
        if isinstance(came, Gathered):
            self._write(came)
        else:
            # Rows first: when the gateway stops, all pipelines end at once, and it waits for rows only.
            self._finished.append(came)

    def _seal(self, pipeline: ServedPipeline) -> None:
        folder = self._folders.get(pipeline.deployment_id or 0)
        if folder is not None:
            try:
                folder.finish(pipeline.version)
            except Exception as error:  # noqa: BLE001 - a segment that is not sealed is read as it is
                self._complain(error)

    def _write(self, gathered: Gathered) -> None:
        lost = gathered.rows - self._write_rows(gathered)
        if lost:
            _count(self._lost, gathered.pipeline, lost)
        self._went_rows += gathered.rows
        self._went_bytes += gathered.nbytes

    def _write_rows(self, gathered: Gathered) -> int:
        """Write rows until one fails, and return how many were written."""
        pipeline = gathered.pipeline
        key = pipeline.deployment_id or 0
        written = 0
        if self._broken_until.get(key, 0.0) > time.monotonic():
            return 0
        folder = self._folders.get(key)
        if folder is None:
            path = folder_of(self._home, workspace_id=pipeline.workspace_id, deployment_id=key)
            folder = self._folders[key] = self._paths[path] = LogFolder(path, self._limits, self._files)
        try:
            batch = record_batch(gathered, first=self._request, origin=self._origin(pipeline))
            # A segment must not become much larger than the unit in which segments are removed.
            step = max(1, batch.num_rows * self._limits.seal_at_bytes // max(1, batch.nbytes))
            while written < batch.num_rows:
                part = batch.slice(written, step)
                folder.write(part)
                written += part.num_rows
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs log rows and nothing else
            self._broken_until[key] = time.monotonic() + PAUSE_S
            self._complain(error)
        finally:
            self._request += len(gathered.counts)
        return written

    def _origin(self, pipeline: ServedPipeline) -> Origin:
        last = pipeline.steps[-1]
        return Origin(
            last_model=orjson.dumps({"model_name": last.name, "model_sha": last.sha}).decode(),
            pipeline_version=pipeline.version,
            partition=self._partition,
        )

    def _complain(self, error: Exception) -> None:
        """Log it, but not for every batch."""
        if time.monotonic() - self._said_at > 10.0:
            self._said_at = time.monotonic()
            log.warning("inference log rows dropped: %s", error)


def _count(sums: dict[tuple[int, str], int], pipeline: ServedPipeline, rows: int) -> None:
    key = pipeline.workspace_id, pipeline.name
    sums[key] = sums.get(key, 0) + rows


def _unknown_to_model(inputs: Inputs) -> dict[str, pa.Array]:
    known = set(inputs.batch.schema.names)
    return {name: values for name, values in inputs.arrays().items() if name not in known}
