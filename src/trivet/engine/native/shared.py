"""Native sessions shared by routes: the same version under the same configuration is in memory once."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from trivet.domain.batching import Batching
from trivet.domain.encoding import encode
from trivet.domain.proof import Refused
from trivet.domain.routes import NativeStep
from trivet.engine.batch import Batch
from trivet.engine.limits import MOST_CALL_BYTES
from trivet.errors import Unavailable

if TYPE_CHECKING:
    from trivet.engine.native.cost import Cost
    from trivet.engine.native.marks import CallMarks
    from trivet.engine.native.views import Session

__all__ = ["Loaded", "NativeSessions"]

ExampleMaker: TypeAlias = Callable[[Sequence[dict[str, Any]]], Callable[[pa.Schema], Batch] | None]

AT_ONCE = 2
# A small file with a fast row gains nothing from threads, and hundreds of such models would start thousands.
TINY_BYTES = 2**16
TINY_S = 0.0002


class Loaded(NamedTuple):
    """A session and the cost of a call."""

    session: "Session"
    cost: "Cost"


@dataclass(slots=True)
class _Shared:
    loading: asyncio.Task[Loaded]
    users: int = 0


class NativeSessions:
    """Loads sessions in threads, a few at once, and keeps each while it is in use. Call it in the event loop's thread.

    Args:
        example_maker: from a step's example rows to a function that makes a batch of them under a schema.
        marks: marks each call, so that a model that ends or blocks this process is known; None marks none.
        faulty: versions that ended or blocked this process before, with how: they are not loaded.
        trust_native: load models although their graphs were not proved harmless.
        most_call_bytes: what a call may take of memory, by the bounds of its graph.
    """

    def __init__(
        self,
        example_maker: ExampleMaker,
        *,
        marks: "CallMarks | None" = None,
        faulty: Mapping[str, str] = MappingProxyType({}),
        trust_native: bool = False,
        most_call_bytes: int = MOST_CALL_BYTES,
    ) -> None:
        self._example_maker = example_maker
        self._marks = marks
        self._faulty = faulty
        self._trust_native = trust_native
        self._most_call_bytes = most_call_bytes
        self._shared: dict[bytes, _Shared] = {}
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="loading")

    async def take(self, step: NativeStep) -> Loaded:
        """A step's session, until `release`.

        Raises:
            TrivetError: it cannot be loaded. Do not call `release` then.
        """
        if step.version in self._faulty:
            raise Unavailable(
                f"{step.name} does not run in the gateway's process any more",
                why=self._faulty[step.version],
                fix="wait until it runs in a worker, which Trivet starts now",
                reason="native_fault",
            )
        key = _key(step)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(asyncio.create_task(self._load(step)))
        shared.users += 1
        try:
            return await asyncio.shield(shared.loading)
        except BaseException:
            self._give_up(key, shared)
            raise

    def release(self, step: NativeStep) -> None:
        """Give a step's session back."""
        key = _key(step)
        self._give_up(key, self._shared[key])

    def close(self) -> None:
        """Stop loading sessions."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _load(self, step: NativeStep) -> Loaded:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._load_marked, step)

    def _load_marked(self, step: NativeStep) -> Loaded:
        if step.bounds is None and not self._trust_native:
            step = _examined(step)
        if self._marks is None or not step.version_id:
            return self._opened(step)
        with self._marks.marked(step.version_id):
            loaded = self._opened(step)
        return loaded._replace(session=self._marks.session(loaded.session, step.version_id))

    def _opened(self, step: NativeStep) -> Loaded:
        # This imports ONNX Runtime, which is slow; a gateway without native steps does not need it.
        from trivet.engine.native.cost import measure

        most = step.threads or os.cpu_count() or 1
        threads = 1 if step.threads is None and _is_tiny(step) else most
        session = self._open(step, threads)
        cost = measure(session)
        if threads < most and cost.call_s + cost.row_s > TINY_S:
            session = self._open(step, most)
            cost = measure(session)
        return Loaded(session, cost)

    def _open(self, step: NativeStep, threads: int) -> "Session":
        from trivet.engine.native.opening import open_session
        from trivet.engine.native.views import Refusing

        session = open_session(
            Path(step.path),
            tensor_fields=step.tensor_fields,
            single=step.batch_config == "single",
            input_schema=step.input_schema,
            output_schema=step.output_schema,
            example=self._example_maker(step.example),
            threads=threads,
            providers=step.providers,
            bounds=step.bounds,
            most_bytes=self._most_call_bytes,
        )
        if step.refused is None or step.refused == Refused():
            return session
        return Refusing(session, step.refused)

    def _give_up(self, key: bytes, shared: _Shared) -> None:
        shared.users -= 1
        if shared.users == 0:
            # A later request for the same session must not get one that failed or is being freed.
            if self._shared.get(key) is shared:
                del self._shared[key]
            shared.loading.add_done_callback(lambda done: done.cancelled() or done.exception())


def _key(step: NativeStep) -> bytes:
    """Steps with the same key share a session: all facts except those about requests and names."""
    single: Batching | None = "single" if step.batch_config == "single" else None
    return encode(msgspec.structs.replace(step, name="", framework="", timeout_s=None, batch_config=single))


def _examined(step: NativeStep) -> NativeStep:
    """A step of a route that an earlier release stored, with the bounds of its graph."""
    from trivet.engine.native.graphs.harmless import examine

    try:
        found = examine(Path(step.path))
    except OSError as error:
        raise _unreadable(step, error) from error
    if found.reason is not None:
        raise Unavailable(
            f"{step.name} may not run in the gateway's process",
            why=found.reason,
            fix="wait until it runs in a worker, which Trivet starts now",
            reason="not_harmless",
        )
    return msgspec.structs.replace(step, bounds=found.bounds)


def _is_tiny(step: NativeStep) -> bool:
    try:
        return Path(step.path).stat().st_size <= TINY_BYTES
    except OSError as error:
        raise _unreadable(step, error) from error


def _unreadable(step: NativeStep, error: OSError) -> Unavailable:
    return Unavailable(
        f"the model file of {step.name} cannot be read",
        why=f"{step.path}: {error.strerror or error}",
        fix="deploy it again: its package is unpacked from the stored one",
    )
