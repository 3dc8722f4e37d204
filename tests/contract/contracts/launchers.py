"""What every launcher keeps. One subclass of `LauncherContract` a launcher, in `tests/contract/test_launchers.py`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import pytest

from trivet.domain.encoding import decode, encode
from trivet.domain.routes import WorkerAddress
from trivet.errors import ModelFailed
from trivet.workers import Launcher, WorkerSpec

Behaviour: TypeAlias = Literal["works", "does not load", "loads for ever"]
SCHEMES = ("grpc+unix://", "grpc+tcp://", "grpc+tls://")
SOON_S = 20
WROTE = "the model is loaded"


class LauncherContract:
    """Subclass it and say how launchers are made, and what they run."""

    def launchers(self, folder: Path) -> AbstractAsyncContextManager[Callable[[], Launcher]]:
        """Makes launchers that know of each other's workers, as two processes after each other have them."""
        raise NotImplementedError

    def spec(self, folder: Path, behaviour: Behaviour) -> WorkerSpec:
        """A model that writes `WROTE` when it is loaded, of the fleet `1-fleet`."""
        raise NotImplementedError

    def run(self, folder: Path, story: Callable[[Callable[[], Launcher]], Awaitable[None]]) -> None:
        """A story in an event loop of its own."""

        async def main() -> None:
            async with self.launchers(folder) as make:
                await story(make)

        asyncio.run(main())

    def test_a_started_worker_lives_and_has_a_location_of_its_own(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            first = await launcher.start(self.spec(tmp_path, "works"))
            second = await launcher.start(self.spec(tmp_path, "works"))
            assert first.address.id != second.address.id
            assert first.address.location != second.address.location
            assert first.address.token != second.address.token
            for worker in (first, second):
                assert worker.address.location.startswith(SCHEMES)
                assert len(worker.address.token) >= 32
                assert await launcher.lives(worker.address)
                await worker.stop(5)
                assert not await launcher.lives(worker.address)

        self.run(tmp_path, story)

    def test_a_model_that_does_not_load_is_an_error_of_the_start(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            with pytest.raises(ModelFailed):
                await launcher.start(self.spec(tmp_path, "does not load"))
            assert list(await make().adopt()) == []

        self.run(tmp_path, story)

    def test_a_start_that_is_cancelled_leaves_nothing(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            starting = asyncio.create_task(make().start(self.spec(tmp_path, "loads for ever")))
            await asyncio.sleep(1)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert list(await make().adopt()) == []

        self.run(tmp_path, story)

    def test_a_worker_is_ended_by_its_address_and_again_without_harm(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            worker = await launcher.start(self.spec(tmp_path, "works"))
            for _ in range(2):
                await asyncio.wait_for(launcher.end(worker.address), SOON_S)
                assert not await launcher.lives(worker.address)
            assert (await asyncio.wait_for(worker.wait(), SOON_S)).startswith("ended by Trivet; its log ")

        self.run(tmp_path, story)

    def test_an_address_that_was_written_down_still_ends_its_worker(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            worker = await make().start(self.spec(tmp_path, "works"))
            address = decode(encode(worker.address), WorkerAddress)
            assert address == worker.address
            await asyncio.wait_for(make().end(address), SOON_S)
            await asyncio.wait_for(worker.wait(), SOON_S)

        self.run(tmp_path, story)

    @pytest.mark.parametrize("handle", [{}, {"pod": "a"}, {"pid": "1", "started": "2"}, {"pid": "-1", "started": ""}])
    def test_an_address_of_another_launcher_is_left_alone(self, tmp_path: Path, handle: dict[str, str]) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            worker = await launcher.start(self.spec(tmp_path, "works"))
            other = msgspec.structs.replace(worker.address, id="another", handle=handle)
            assert not await launcher.lives(other)
            await asyncio.wait_for(launcher.end(other), SOON_S)
            assert await launcher.lives(worker.address)
            await worker.stop(0)

        self.run(tmp_path, story)

    def test_a_killed_worker_ends(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            worker = await launcher.start(self.spec(tmp_path, "works"))
            worker.kill()
            await asyncio.wait_for(worker.wait(), SOON_S)
            assert not await launcher.lives(worker.address)

        self.run(tmp_path, story)

    def test_another_process_adopts_what_lives_with_fleet_and_devices(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            first = await launcher.start(replace(self.spec(tmp_path, "works"), devices=("1", "3")))
            second = await launcher.start(self.spec(tmp_path, "works"))
            assert (first.devices, second.devices) == (("1", "3"), ())
            await second.stop(0)
            later = make()
            (adopted,) = await later.adopt()
            assert adopted.fleet == "1-fleet"
            assert adopted.worker.address == first.address
            assert adopted.worker.pid == first.pid
            assert adopted.worker.devices == ("1", "3")
            await asyncio.wait_for(adopted.worker.stop(5), SOON_S)
            await asyncio.wait_for(first.wait(), SOON_S)
            assert not await launcher.lives(first.address)

        self.run(tmp_path, story)

    def test_the_last_lines_of_a_worker_can_be_read(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            launcher = make()
            worker = await launcher.start(self.spec(tmp_path, "works"))
            async with asyncio.timeout(SOON_S):
                while WROTE not in await launcher.logs(worker.address):
                    await asyncio.sleep(0.01)
            assert await launcher.logs(msgspec.structs.replace(worker.address, id="unknown")) == ""
            await worker.stop(0)

        self.run(tmp_path, story)
