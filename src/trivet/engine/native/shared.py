"""Native sessions that several routes share: the same version under the same configuration is in memory once."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from trivet.domain.encoding import encode
from trivet.domain.routes import NativeStep
from trivet.engine.batch import Batch
from trivet.errors import Unavailable

if TYPE_CHECKING:
    from trivet.engine.native.runner import Cost
    from trivet.engine.native.views import Session

__all__ = ["Loaded", "NativeSessions"]

ExampleMaker: TypeAlias = Callable[[Sequence[dict[str, Any]]], Callable[[pa.Schema], Batch] | None]

AT_ONCE = 2
# A file of so few bytes whose row takes so little time gains nothing from threads, and hundreds of them would start thousands.
TINY_BYTES = 2**16
TINY_S = 0.0002


class Loaded(NamedTuple):
    """A session, and what a call of it costs."""

    session: "Session"
    cost: "Cost"


@dataclass(slots=True)
class _Shared:
    loading: asyncio.Task[Loaded]
    users: int = 0


class NativeSessions:
    """Loads sessions in threads, a few at once, and keeps each as long as somebody uses it. Belongs to the loop's thread.

    Args:
        example_maker: from a step's example rows to what makes a batch of them under a schema.
    """

    def __init__(self, example_maker: ExampleMaker) -> None:
        self._example_maker = example_maker
        self._shared: dict[bytes, _Shared] = {}
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="loading")

    async def take(self, step: NativeStep) -> Loaded:
        """A step's session, to be given back with `release`.

        Raises:
            TrivetError: it cannot be loaded. There is nothing to give back then.
        """
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
        """A step's session is not used any more."""
        key = _key(step)
        self._give_up(key, self._shared[key])

    def close(self) -> None:
        """Load nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _load(self, step: NativeStep) -> Loaded:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _load, step, self._example_maker)

    def _give_up(self, key: bytes, shared: _Shared) -> None:
        shared.users -= 1
        if shared.users == 0:
            # Somebody who asks for the same one later must not be given one that failed, or that is being freed.
            if self._shared.get(key) is shared:
                del self._shared[key]
            shared.loading.add_done_callback(lambda done: done.cancelled() or done.exception())


def _key(step: NativeStep) -> bytes:
    """What makes two steps the same session: all but what concerns requests and names."""
    return encode(msgspec.structs.replace(step, name="", framework="", timeout_s=None))


def _load(step: NativeStep, example_maker: ExampleMaker) -> Loaded:
    # Imports ONNX Runtime, which takes a moment: a gateway without native steps does without.
    from trivet.engine.native.runner import measure

    most = step.threads or os.cpu_count() or 1
    threads = 1 if step.threads is None and _is_tiny(step) else most
    session = _open(step, threads, example_maker)
    cost = measure(session)
    if threads < most and cost.call_s + cost.row_s > TINY_S:
        session = _open(step, most, example_maker)
        cost = measure(session)
    return Loaded(session, cost)


def _is_tiny(step: NativeStep) -> bool:
    try:
        return Path(step.path).stat().st_size <= TINY_BYTES
    except OSError as error:
        raise Unavailable(
            f"the model file of {step.name} cannot be read",
            why=f"{step.path}: {error.strerror or error}",
            fix="deploy it again: its package is unpacked from the stored one",
        ) from error


def _open(step: NativeStep, threads: int, example_maker: ExampleMaker) -> "Session":
    from trivet.engine.native.opening import open_session

    return open_session(
        Path(step.path),
        tensor_fields=step.tensor_fields,
        batch_config=step.batch_config,
        input_schema=step.input_schema,
        output_schema=step.output_schema,
        example=example_maker(step.example),
        threads=threads,
    )
