"""The inference log's near end: what costs a request next to nothing, and a thread that does the rest.

A request's values are copied to the end of a buffer for each column; no object of its own stays behind, so that its memory is
used again at once and the garbage collector has nothing to look through. What has gathered is handed to a thread, which writes
thousands of rows at a time. When too much waits, or the disk is full, rows are dropped and counted; a prediction never waits for its log.
"""

import asyncio
import logging
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from trivet.engine.batch import Batch, Column, join_columns
from trivet.engine.checks import Anomalies
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.formats.answer import Answer
from trivet.gateway.formats.inputs import Inputs
from trivet.inference_log import COLUMNS, LogFolder, LogLimits, OpenFiles, Origin, folder_of, prune_all
from trivet_worker.tensors import fixed_shape, to_numpy

__all__ = ["InferenceLog"]

log = logging.getLogger(__name__)

MOST_ROWS = 200_000
MOST_BYTES = 256 * 2**20
GATHERED_ROWS = 4096
GATHERED_BYTES = 8 * 2**20
FIRST_ROWS = 64
FIRST_BYTES = 2**20
EVERY_S = 0.2
TEND_S = 30.0
PRUNE_S = 600.0
PAUSE_S = 1.0
MOST_FILES = 64


class _Store:
    """One column of what was gathered: numbers of one shape are copied into a buffer that grows, all else is kept as it came.

    A copy of a hundred bytes costs less than keeping the array that holds them: what a request made can be used again at once.

    Attributes:
        row_bytes: of each row; 0 where rows differ, or may.
    """

    __slots__ = ("_buffer", "_field", "_parts", "row_bytes")

    def __init__(self, field: pa.Field, first: Column) -> None:
        self._field = field
        self._parts: list[Column] = []
        self._buffer: np.ndarray | None = None
        self.row_bytes = 0
        if fixed_shape(field.type) is not None and not _holds_objects(first):
            self.row_bytes = max(1, first.nbytes // len(first))
            if not field.nullable and isinstance(first, np.ndarray):
                rows = max(1, min(FIRST_ROWS, FIRST_BYTES // self.row_bytes))
                self._buffer = np.empty((rows, *first.shape[1:]), first.dtype)

    def add(self, values: Column, start: int, end: int) -> None:
        """One request's values, which are rows `start` to `end` of all."""
        buffer = self._buffer
        if buffer is None:
            self._parts.append(values)
            return
        if end > len(buffer):
            larger = np.empty((len(buffer) + max(len(buffer), end), *buffer.shape[1:]), buffer.dtype)
            larger[:start] = buffer[:start]
            buffer = self._buffer = larger
        buffer[start:end] = values if type(values) is np.ndarray else to_numpy(values, self._field, writable=False)

    def joined(self, rows: int) -> Column:
        """All of them."""
        return join_columns(self._parts, self._field) if self._buffer is None else self._buffer[:rows]


class _Gathered:
    """Requests to one pipeline version, column by column.

    Attributes:
        rows: of all of them.
        nbytes: of all of them, about.
    """

    __slots__ = (
        "_row_bytes",
        "_varied_inputs",
        "_varied_outputs",
        "anomalies",
        "counts",
        "input_schema",
        "inputs",
        "model_ns",
        "nbytes",
        "output_schema",
        "outputs",
        "pipeline",
        "read_ns",
        "rows",
        "times",
    )

    def __init__(
        self, pipeline: ServedPipeline, input_schema: pa.Schema, inputs: Sequence[Column], answer: Answer
    ) -> None:
        outputs = answer.outputs
        self.pipeline = pipeline
        self.input_schema = input_schema
        self.output_schema = outputs.schema
        self.inputs = [_Store(field, values) for field, values in zip(input_schema, inputs, strict=True)]
        self.outputs = [_Store(field, values) for field, values in zip(outputs.schema, outputs.columns, strict=True)]
        # Plain numbers: no object of a request stays behind.
        self.times = array("q")
        self.read_ns = array("Q")
        self.model_ns = array("Q")
        self.counts = array("q")
        self.anomalies: list[Anomalies] = []
        self.rows = 0
        self.nbytes = 0
        self._row_bytes = sum(store.row_bytes for store in (*self.inputs, *self.outputs)) + 1
        self._varied_inputs = [index for index, store in enumerate(self.inputs) if not store.row_bytes]
        self._varied_outputs = [index for index, store in enumerate(self.outputs) if not store.row_bytes]

    def size_of(self, inputs: Sequence[Column], outputs: Batch) -> int:
        """What one more request would take, in bytes."""
        size = self._row_bytes * outputs.rows
        for index in self._varied_inputs:
            size += _held_bytes(inputs[index])
        for index in self._varied_outputs:
            size += _held_bytes(outputs.columns[index])
        return size

    def add(self, inputs: Sequence[Column], answer: Answer, nbytes: int) -> None:
        """One more request, of so many bytes."""
        outputs = answer.outputs
        start = self.rows
        self.rows = end = start + outputs.rows
        self.nbytes += nbytes
        for store, values in zip(self.inputs, inputs, strict=True):
            store.add(values, start, end)
        for store, values in zip(self.outputs, outputs.columns, strict=True):
            store.add(values, start, end)
        read, model = answer.elapsed_ns
        self.times.append(answer.time_ms)
        self.read_ns.append(read)
        self.model_ns.append(model)
        self.counts.append(outputs.rows)
        if answer.anomalies is not None:
            self.anomalies.append(answer.anomalies)


class InferenceLog:
    """Keeps requests and answers. `append` belongs to the event loop's thread, in which it is made.

    Args:
        home: the logs lie in `inference` below it.
        limits: how much is kept.
        partition: names this process.

    """

    def __init__(self, home: Path, limits: LogLimits, *, partition: str) -> None:
        # Counted by the event loop's thread, and by the log's own: neither disturbs the other's sums.
        self._refused: dict[tuple[int, str], int] = {}
        self._lost: dict[tuple[int, str], int] = {}
        self._home = home
        self._limits = limits
        self._partition = partition
        self._gathering: dict[int, _Gathered] = {}
        # What is to be written, and pipelines that answer no more.
        self._queue: deque[_Gathered | ServedPipeline] = deque()
        # Two counters of one writer each: what waits is their difference.
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
        """Rows that were not kept, by pipeline."""
        found = dict(self._refused)
        for name, rows in self._lost.copy().items():
            found[name] = found.get(name, 0) + rows
        return found

    def append(self, pipeline: ServedPipeline, inputs: Inputs, answer: Answer) -> None:
        """See `InferenceSink.append`."""
        key = id(pipeline)
        try:
            if inputs.has_more and (more := _unknown_to_model(inputs)):
                self._append_alone(pipeline, inputs.batch, more, answer)
                return
            batch, outputs = inputs.batch, answer.outputs
            gathered = self._gathering.get(key)
            if gathered is None:
                gathered = self._gathering[key] = _Gathered(pipeline, batch.schema, batch.columns, answer)
            nbytes = gathered.size_of(batch.columns, outputs)
            if not self._has_room(outputs.rows, nbytes):
                _count(self._refused, pipeline, outputs.rows)
                return
            gathered.add(batch.columns, answer, nbytes)
            if gathered.rows >= GATHERED_ROWS or gathered.nbytes >= GATHERED_BYTES:
                self._hand_over(key)
        except Exception as error:  # noqa: BLE001 - an answer is not lost for its log
            # What was gathered may hold a part of this request.
            spoilt = self._gathering.pop(key, None)
            lost = 0 if spoilt is None else sum(spoilt.counts)
            _count(self._refused, pipeline, lost + answer.outputs.rows)
            self._complain(error)

    def finish(self, pipeline: ServedPipeline) -> None:
        """See `InferenceSink.finish`."""
        self._hand_over(id(pipeline))
        self._queue.append(pipeline)

    def flush(self, within_s: float) -> bool:
        """Wait until everything that was appended before is in the files. Called in a thread.

        Returns:
            Whether it is.
        """
        with self._written:
            # A round that has begun may have missed the newest: the end of the next one is waited for.
            target = self._taken + 1
            self._wake.set()
            return self._written.wait_for(lambda: self._done >= target, within_s)

    def close(self, within_s: float) -> None:
        """Write what waits, and end. Called in a thread, while the event loop runs."""
        self._closing = True
        self._wake.set()
        self._thread.join(within_s)

    # In the event loop's thread.

    def _append_alone(
        self, pipeline: ServedPipeline, batch: Batch, more: Mapping[str, pa.Array], answer: Answer
    ) -> None:
        """A request that sent more than the model knows has columns of its own."""
        # In one order whoever sent them: another order would be another schema.
        names = sorted(more)
        schema = pa.schema([*batch.schema, *(pa.field(name, more[name].type) for name in names)])
        columns = [*batch.columns, *(more[name] for name in names)]
        gathered = _Gathered(pipeline, schema, columns, answer)
        nbytes = gathered.size_of(columns, answer.outputs)
        if not self._has_room(answer.outputs.rows, nbytes):
            _count(self._refused, pipeline, answer.outputs.rows)
            return
        # What came before is written before.
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
        # Where the queue was full nothing was gathered.
        if gathered is not None and gathered.rows:
            self._enqueue(gathered)

    def _enqueue(self, gathered: _Gathered) -> None:
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
            self._wake.wait(0 if self._finished else EVERY_S)
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
            if closing:
                for folder in self._folders.values():
                    folder.close()
                return
            if self._finished:
                self._seal(self._finished.popleft())

    def _collect(self) -> bool:
        """Have the event loop hand over what it has gathered: only it may touch that. Says whether it did."""
        if not self._gathering:
            return True
        done = threading.Event()
        try:
            self._loop.call_soon_threadsafe(self._hand_all_over, done)
        except RuntimeError:
            # The loop has ended, and so has everything that appends.
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
        """Deployments come and go: one that is logged again is met anew."""
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

    def _take(self, came: _Gathered | ServedPipeline) -> None:
        if isinstance(came, _Gathered):
            self._write(came)
        else:
            # Rows come first: when the gateway stops, all of its pipelines end at once, and it waits for rows only.
            self._finished.append(came)

    def _seal(self, pipeline: ServedPipeline) -> None:
        folder = self._folders.get(pipeline.deployment_id or 0)
        if folder is not None:
            try:
                folder.finish(pipeline.version)
            except Exception as error:  # noqa: BLE001 - a segment that is not sealed is read as it is
                self._complain(error)

    def _write(self, gathered: _Gathered) -> None:
        lost = gathered.rows - self._write_rows(gathered)
        if lost:
            _count(self._lost, gathered.pipeline, lost)
        self._went_rows += gathered.rows
        self._went_bytes += gathered.nbytes

    def _write_rows(self, gathered: _Gathered) -> int:
        """Write rows until one cannot be written, and say how many were."""
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
            batch = _record_batch(gathered, first=self._request, origin=self._origin(pipeline))
            # A segment is not to become much larger than those that are taken away one by one.
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
        """Say it, but not with every batch."""
        if time.monotonic() - self._said_at > 10.0:
            self._said_at = time.monotonic()
            log.warning("inference log rows are dropped: %s", error)


def _count(sums: dict[tuple[int, str], int], pipeline: ServedPipeline, rows: int) -> None:
    key = pipeline.workspace_id, pipeline.name
    sums[key] = sums.get(key, 0) + rows


def _unknown_to_model(inputs: Inputs) -> dict[str, pa.Array]:
    known = set(inputs.batch.schema.names)
    return {name: values for name, values in inputs.arrays().items() if name not in known}


def _holds_objects(values: Column) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == object


def _held_bytes(values: Column) -> int:
    """What keeping a column takes, about."""
    if not _holds_objects(values):
        return values.nbytes
    if values.size == 1:
        return _object_bytes(values.item())
    objects = values.ravel().tolist()
    # Texts come in large numbers, and hold nothing else.
    return sum(map(sys.getsizeof if type(objects[0]) in {str, bytes} else _object_bytes, objects))


def _object_bytes(value: Any) -> int:
    size = sys.getsizeof(value)
    if type(value) is str:
        return size
    if isinstance(value, np.ndarray):
        return size + (_held_bytes(value) if value.size else 0)
    if isinstance(value, dict):
        return size + sum(map(_object_bytes, value.values()))
    if isinstance(value, list | tuple) and value:
        # Numbers in a list are objects, all of one size.
        plain = isinstance(value[0], int | float)
        return size + (len(value) * sys.getsizeof(value[0]) if plain else sum(map(_object_bytes, value)))
    return size


def _record_batch(gathered: _Gathered, *, first: int, origin: Origin) -> pa.RecordBatch:
    """Everything that was gathered, a row each."""
    counts = np.array(gathered.counts)
    starts = np.cumsum(counts) - counts
    requests = np.arange(first, first + len(counts), dtype=np.uint64)
    fixed = [
        pa.array(np.repeat(np.array(gathered.times, dtype="datetime64[ms]"), counts)),
        pa.array(np.repeat(requests, counts)),
        pa.array((np.arange(gathered.rows) - np.repeat(starts, counts)).astype(np.uint32)),
        pa.array(np.repeat(np.array(gathered.read_ns, dtype=np.uint64), counts)),
        pa.array(np.repeat(np.array(gathered.model_ns, dtype=np.uint64), counts)),
    ]
    columns = dict(_joined("in", gathered.input_schema, gathered.inputs, gathered.rows))
    columns |= dict(_joined("out", gathered.output_schema, gathered.outputs, gathered.rows))
    columns |= _anomalies(gathered)
    fields = [*COLUMNS, *(pa.field(name, values.type) for name, values in columns.items())]
    return pa.RecordBatch.from_arrays([*fixed, *columns.values()], schema=origin.put_into(pa.schema(fields)))


def _joined(part: str, schema: pa.Schema, stores: Sequence[_Store], rows: int) -> Iterator[tuple[str, pa.Array]]:
    batch = Batch(schema, [store.joined(rows) for store in stores], rows)
    for index, name in enumerate(schema.names):
        yield f"{part}.{name}", batch.arrow(index)


def _anomalies(gathered: _Gathered) -> dict[str, pa.Array]:
    found = gathered.anomalies
    if not found:
        return {"anomaly.count": pa.array(np.zeros(gathered.rows, dtype=np.uint32))}
    columns = {"anomaly.count": np.concatenate([each.count for each in found])}
    for name in sorted(found[0].columns):
        columns[f"anomaly.{name}"] = np.concatenate([each.columns[name] for each in found])
    return {name: pa.array(values) for name, values in columns.items()}
