"""Uploaded versions become ready or error, whatever happens to catalog, blob store, trials and the supervisor meanwhile."""

import asyncio
import io
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pyarrow as pa
import pytest

from trivet.blobs import open_blobs, settling
from trivet.catalog import Catalog, open_catalog
from trivet.domain.digest import digest_of_bytes
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.version import CONVERTED_FILE, Acceleration, Architecture, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import BadPackage, NotFound, Unavailable
from trivet.loading.queue import LoadQueue, LoadQueueLimits
from trivet.loading.restore import scratch_folder
from trivet.loading.trials import ProcessTrials, Stage
from trivet.packaging import discard_package
from trivet.settings import settings_to_json
from trivet.wiring.supervisor_process import TRIAL_PROGRAM, load_queue

NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])
SCHEMAS = {"input_schema": NUMBERS, "output_schema": SUMS}
LOADED = LoadedModel(runtime=Runtime.NATIVE, adapter="onnx", input_schema=NUMBERS, output_schema=SUMS)
LIMITS = LoadQueueLimits(first_pause_s=0.01, most_pause_s=0.02, log_every_s=0.05, fetches=3)

NATIVE = [VersionStatus.ATTEMPTING_LOAD_NATIVE, VersionStatus.READY]


class Sometimes:
    """Wraps an object: the calls that a test lists fail, all others work.

    Attributes:
        failures: by name of the method, errors that its next calls raise.
        calls: what was called, in order.
    """

    def __init__(self, what) -> None:
        self.what = what
        self.failures: dict[str, list[Exception]] = {}
        self.calls: list[tuple[str, tuple]] = []

    def __getattr__(self, name: str):
        return partial(self.call, name)

    def call(self, method: str, *args, **kwargs):
        self.calls.append((method, args))
        if self.failures.get(method):
            raise self.failures[method].pop(0)
        return getattr(self.what, method)(*args, **kwargs)

    @property
    def statuses(self) -> list[VersionStatus]:
        return [args[1] for method, args in self.calls if method == "set_status"]


@dataclass
class ScriptedTrials:
    """Trials that follow a script: each takes the next of `endings`, or ends well.

    Attributes:
        gate: no trial ends before it is set.
        reports: of each one.
        most: how many ran at once.
    """

    endings: list[Exception | LoadedModel] = field(default_factory=list)
    gate: asyncio.Event | None = None
    reports: list[Stage] = field(default_factory=list)
    running: int = 0
    most: int = 0
    jobs: list = field(default_factory=list)
    cancelled: int = 0

    async def run(self, job, *, limit_s, load_limit_s, report):
        self.jobs.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for reported in self.reports:
                report(reported)
                await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        ending = self.endings.pop(0) if self.endings else LOADED
        if isinstance(ending, Exception):
            raise ending
        return ending


@dataclass
class Platform:
    """A catalog, a blob store, and what converts."""

    bench: object
    catalog: Catalog
    models: Sometimes
    journal: Sometimes
    blobs: Sometimes
    changes: int = 0

    def upload(self, path, *, name: str = "sums", **flags) -> ModelVersion:
        with path.open("rb") as file:
            sha, size = self.blobs.what.put(file)
        return self.row(name=name, file_name=path.name, sha=sha, size=size, **flags)

    def row(self, *, name: str = "sums", file_name: str = "sum.onnx", sha=None, size: int = 1, framework=None, **flags):
        if sha is None:
            sha, _ = self.blobs.what.put(io.BytesIO(b"any bytes"))
        framework = framework or (Framework.ONNX if file_name.endswith(".onnx") else Framework.CUSTOM)
        return self.catalog.models.add_version(
            workspace_id=1, name=name, file_name=file_name, sha=sha, size=size, framework=framework,
            settings=ModelSettings(framework=framework, **flags), arch=Architecture.X86, accel=Acceleration.NONE,
            visibility="private", created_by="me",
        )  # fmt: skip

    def load_queue(self, trials, *, limits: LoadQueueLimits = LIMITS) -> LoadQueue:
        return LoadQueue(
            models=self.models,
            journal=self.journal,
            blobs=self.blobs,
            trials=trials,
            scratch=partial(scratch_folder, self.bench.home),
            settling=partial(settling, self.bench.home),
            discard_package=partial(discard_package, self.bench.home / "packages"),
            settings=settings_to_json(self.bench.settings),
            parent=os.getpid(),
            limits=limits,
            on_change=self.changed,
        )

    def changed(self) -> None:
        self.changes += 1

    def convert(self, trials=None, *, limits: LoadQueueLimits = LIMITS) -> None:
        """All that waits."""

        async def main() -> None:
            queue = self.load_queue(trials or self.bench.trials, limits=limits)
            while True:
                await queue.run_once()
                if not loading():
                    return
                await asyncio.wait_for(queue.settled(), 120)

        asyncio.run(main())

    def now(self, version: ModelVersion) -> ModelVersion:
        return self.catalog.models.version(version.id)

    def log(self, version: ModelVersion) -> list[tuple[str, str, str]]:
        return [(line.level, line.stage, line.text) for line in self.catalog.journal.upload_logs(version.id)]


def loading() -> list[asyncio.Task]:
    """The loads that run in this event loop."""
    return [each for each in asyncio.all_tasks() if each.get_name().startswith("version ")]


@pytest.fixture
def platform(bench, first_catalog):
    shutil.copy(first_catalog, bench.home / "catalog.db")
    catalog = open_catalog(f"sqlite:///{bench.home}/catalog.db")
    yield Platform(
        bench,
        catalog,
        Sometimes(catalog.models),
        Sometimes(catalog.journal),
        Sometimes(open_blobs(None, home=bench.home)),
    )
    catalog.close()


def test_an_onnx_model_goes_from_pending_through_attempting_to_ready(platform, bench):
    version = platform.upload(bench.sum_onnx())
    assert version.status is VersionStatus.PENDING_LOAD_NATIVE
    platform.convert()
    version = platform.now(version)
    assert version.status is VersionStatus.READY
    assert version.fault is None
    assert version.loaded is not None
    assert version.loaded.native_file == "model.onnx"
    assert version.loaded.settings.name == "sums"
    assert platform.models.statuses == NATIVE
    assert platform.changes == 1


@dataclass
class ConvertingTrials(ScriptedTrials):
    """Trials that leave a converted file beside the uploaded one."""

    async def run(self, job, *, limit_s, load_limit_s, report):
        loaded = await super().run(job, limit_s=limit_s, load_limit_s=load_limit_s, report=report)
        Path(job.path).with_name(CONVERTED_FILE).write_bytes(b"converted")
        return msgspec.structs.replace(loaded, converted=digest_of_bytes(b"converted"))


def test_a_converted_file_is_in_the_blob_store_before_its_version_is_ready(platform):
    version = platform.row(file_name="m.zip")
    platform.blobs.failures["put"] = [Unavailable("the blob store is away")]
    platform.convert(ConvertingTrials())
    loaded = platform.now(version).loaded
    assert loaded.converted == digest_of_bytes(b"converted")
    assert platform.blobs.what.has(loaded.converted)
    assert loaded.native_file == CONVERTED_FILE
    assert [line for line in platform.log(version) if line[0] == "warning"] == [
        ("warning", "fetching", "the blob store is away; trying again")
    ]
    assert platform.models.statuses[-1] is VersionStatus.READY


def test_a_converted_file_with_another_digest_is_an_error(platform):
    version = platform.row(file_name="m.zip")
    wrong = msgspec.structs.replace(LOADED, converted=digest_of_bytes(b"answer is not"))

    class Lying(ConvertingTrials):
        async def run(self, job, **limits):
            await super().run(job, **limits)
            return wrong

    platform.convert(Lying())
    assert platform.now(version).status is VersionStatus.ERROR
    assert platform.now(version).fault.reason == "wrong_digest"


def test_a_converted_file_is_stored_again_if_it_was_deleted_since(platform):
    version = platform.row(file_name="m.zip")
    converted = digest_of_bytes(b"converted")
    put = platform.blobs.what.put

    def put_and_lose(source, *, digest=None):
        # Another model with the same converted file is deleted before this version's row names the file.
        result = put(source, digest=digest)
        platform.blobs.what.delete(converted)
        platform.blobs.put = put
        return result

    platform.blobs.put = put_and_lose
    platform.convert(ConvertingTrials())
    assert platform.now(version).status is VersionStatus.READY
    assert platform.blobs.what.has(converted)


@pytest.mark.parametrize("shared", [False, True])
def test_a_deleted_version_takes_its_converted_file_unless_it_is_shared(platform, shared):
    deleted = platform.row(name="deleted", file_name="m.zip")
    converted = digest_of_bytes(b"converted")
    if shared:
        other = platform.row(name="other", file_name="m.zip")
        loaded = msgspec.structs.replace(LOADED, converted=converted)
        platform.catalog.models.set_status(other.id, VersionStatus.READY, loaded=loaded)
    put = platform.blobs.what.put

    def put_and_delete(source, *, digest=None):
        result = put(source, digest=digest)
        platform.catalog.models.delete(1, "deleted")
        return result

    platform.blobs.put = put_and_delete
    platform.convert(ConvertingTrials())
    with pytest.raises(NotFound):
        platform.now(deleted)
    assert platform.blobs.what.has(converted) is shared


def test_bytes_are_not_deleted_while_a_row_that_names_them_is_written(platform):
    version = platform.row(file_name="m.zip")
    home = platform.bench.home
    held = threading.Event()
    statuses = []

    def delete_meanwhile():
        with settling(home):
            held.set()
            time.sleep(0.3)
            statuses.append(platform.now(version).status)

    class Slow(ConvertingTrials):
        async def run(self, job, **limits):
            loaded = await super().run(job, **limits)
            deleting.start()
            held.wait(20)
            return loaded

    deleting = threading.Thread(target=delete_meanwhile)
    platform.convert(Slow())
    deleting.join()
    assert statuses == [VersionStatus.ATTEMPTING_LOAD_CONTAINER]
    assert platform.now(version).status is VersionStatus.READY


def test_a_custom_model_goes_through_the_statuses_of_a_container(platform, bench):
    version = platform.upload(bench.custom(), **SCHEMAS)
    assert version.status is VersionStatus.PENDING_LOAD_CONTAINER
    platform.convert()
    assert platform.models.statuses == [VersionStatus.ATTEMPTING_LOAD_CONTAINER, VersionStatus.READY]
    loaded = platform.now(version).loaded
    assert (loaded.adapter, loaded.input_schema, loaded.output_schema) == ("custom", NUMBERS, SUMS)


def test_its_upload_log_tells_what_was_done_and_events_tell_everybody(platform, bench):
    version = platform.upload(bench.custom(), **SCHEMAS)
    platform.convert()
    lines = platform.log(version)
    assert lines[0] == ("info", "pending", "pending loading to a container runtime")
    assert lines[1] == ("info", "loading", "attempting loading to a container runtime")
    assert lines[2] == ("info", "inspecting", "model.zip")
    assert ("info", "warming up", "it answered a row of zeros") in lines
    assert lines[-1] == ("info", "ready", "sums version 1 is ready")
    (event,) = platform.catalog.journal.events()
    assert (event.subject, event.subject_id, event.kind) == ("model_version", version.uuid, "ready")
    assert event.text == "sums version 1 is ready"


def test_what_is_wrong_with_it_is_kept_with_the_version(platform, bench):
    version = platform.upload(bench.zip({"custom_inference.py": bench.module(), "requirements.txt": None}), **SCHEMAS)
    platform.convert()
    version = platform.now(version)
    assert version.status is VersionStatus.ERROR
    assert version.loaded is None
    assert version.fault.what == (
        "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"
    )
    assert version.fault.error == "BadPackage"
    level, stage, text = platform.log(version)[-1]
    assert (level, stage) == ("error", "error")
    assert version.fault.what in text
    assert version.fault.fix in text
    assert [event.kind for event in platform.catalog.journal.events()] == ["error"]
    assert unpacked(platform) == []


def test_a_refused_package_stays_unpacked_for_a_version_that_runs(platform, bench):
    ready = platform.upload(bench.sum_onnx())
    platform.convert()
    refused = platform.row(name="refused", sha=ready.sha)
    platform.convert(ScriptedTrials(endings=[BadPackage("refused")]))
    assert platform.now(refused).status is VersionStatus.ERROR
    assert unpacked(platform) == [ready.sha]


def unpacked(platform):
    return sorted(path.name for path in (platform.bench.home / "packages").glob("*"))


def test_two_are_tried_at_once_and_the_others_wait_for_their_turn(platform):
    versions = [platform.row(name=f"model-{number}") for number in range(5)]
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        for _ in range(3):
            await queue.run_once()
        while trials.running < 2:
            await asyncio.sleep(0.01)
        assert [platform.now(each).status for each in versions[:2]] == [VersionStatus.ATTEMPTING_LOAD_NATIVE] * 2
        assert {platform.now(each).status for each in versions[2:]} == {VersionStatus.PENDING_LOAD_NATIVE}
        trials.gate.set()
        await queue.settled()
        assert platform.changes == 2

    asyncio.run(main())
    platform.convert(trials)
    assert trials.most == 2
    assert {platform.now(each).status for each in versions} == {VersionStatus.READY}
    # The oldest first; two at once begin in any order.
    names = [job.name for job in trials.jobs]
    assert [set(names[:2]), set(names[2:4]), set(names[4:])] == [
        {"model-0", "model-1"},
        {"model-2", "model-3"},
        {"model-4"},
    ]


def test_what_loads_in_a_moment_does_not_wait_for_environments(platform):
    slow = [platform.row(name=f"slow-{number}", file_name="model.zip") for number in range(3)]
    quick = [platform.row(name=f"quick-{number}") for number in range(3)]
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        await queue.run_once()
        async with asyncio.timeout(60):
            while trials.running < 4:
                await asyncio.sleep(0.01)
        waits = [platform.now(each).status.startswith("pending") for each in (*slow, *quick)]
        assert waits == [False, False, True] * 2
        trials.gate.set()
        await queue.settled()

    asyncio.run(main())
    assert trials.most == 4


def test_loads_of_a_dead_supervisor_start_again_from_pending(platform):
    versions = [platform.row(name=f"model-{number}") for number in range(4)]
    for version in versions:
        platform.catalog.models.set_status(version.id, VersionStatus.ATTEMPTING_LOAD_NATIVE)
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        await queue.run_once()
        while trials.running < 2:
            await asyncio.sleep(0.01)
        assert {platform.now(each).status for each in versions[2:]} == {VersionStatus.PENDING_LOAD_NATIVE}
        trials.gate.set()
        await queue.settled()

    asyncio.run(main())
    platform.convert(trials)
    assert {platform.now(each).status for each in versions} == {VersionStatus.READY}
    of_first = [
        args[1] for method, args in platform.models.calls if method == "set_status" and args[0] == versions[0].id
    ]
    assert of_first == [VersionStatus.PENDING_LOAD_NATIVE, *NATIVE]
    assert "it starts again" in platform.log(versions[0])[0][2]


def test_a_stopped_supervisor_ends_its_trials_and_the_next_finishes_them(platform, bench, flag_file):
    source = bench.module(create="time.sleep(600) if not os.path.exists(FLAG) else None")
    version = platform.upload(
        bench.zip({"custom_inference.py": source.replace("FLAG", json.dumps(str(flag_file)))}), **SCHEMAS
    )

    async def main() -> list[psutil.Process]:
        queue = platform.load_queue(bench.trials)
        await queue.run_once()
        async with asyncio.timeout(60):
            while not any(stage == "loading" and "worker" in text for _, stage, text in platform.log(version)):
                await asyncio.sleep(0.05)
        below = await asyncio.to_thread(bench.below_once_loading)
        await queue.close()
        return below

    below = asyncio.run(main())
    assert len(below) == 4, below
    assert not bench.left_of(below)
    assert platform.now(version).status is VersionStatus.ATTEMPTING_LOAD_CONTAINER
    assert list((bench.home / "tmp").glob("*/*")) == []
    flag_file.touch()
    platform.convert()
    assert platform.now(version).status is VersionStatus.READY


@pytest.mark.parametrize("ending", [LOADED, NotFound("a made-up end")], ids=["ready", "error"])
def test_a_result_is_written_to_the_catalog_with_retries(platform, ending):
    version = platform.row()
    platform.models.failures["set_status"] = [Unavailable("the catalog cannot be reached")] * 7
    platform.convert(ScriptedTrials(endings=[ending]))
    expected = VersionStatus.READY if ending is LOADED else VersionStatus.ERROR
    assert platform.now(version).status is expected
    assert not platform.models.failures["set_status"]


def test_lines_that_the_catalog_does_not_take_are_lost_and_nothing_else(platform):
    version = platform.row()
    for method in ("log_upload", "add_event"):
        platform.journal.failures[method] = [Unavailable("the catalog is read-only")] * 50
    platform.convert(ScriptedTrials())
    assert platform.now(version).status is VersionStatus.READY


def test_without_a_catalog_running_loads_continue(platform):
    version = platform.row()
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        await queue.run_once()
        platform.models.failures["versions_to_load"] = [Unavailable("the catalog cannot be reached")]
        with pytest.raises(Unavailable):
            await queue.run_once()
        trials.gate.set()
        await queue.settled()

    asyncio.run(main())
    assert platform.now(version).status is VersionStatus.READY


def test_a_version_that_ends_while_the_catalog_is_read_is_not_begun_again(platform):
    versions = [platform.row(name=f"model-{number}") for number in range(2)]
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        await queue.run_once()
        before = platform.catalog.models.versions_to_load()
        loop = asyncio.get_running_loop()

        def slowly():
            # What was read is answered only when both have ended.
            loop.call_soon_threadsafe(trials.gate.set)
            asyncio.run_coroutine_threadsafe(queue.settled(), loop).result(30)
            return before

        platform.models.versions_to_load = slowly
        await queue.run_once()
        assert not loading()

    asyncio.run(main())
    assert {platform.now(each).status for each in versions} == {VersionStatus.READY}
    assert len(trials.jobs) == 2


def test_a_blob_store_that_is_away_for_a_moment_is_asked_again(platform):
    version = platform.row()
    platform.blobs.failures["fetch"] = [Unavailable("the blob store cannot be reached")] * 2
    platform.convert(ScriptedTrials())
    assert platform.now(version).status is VersionStatus.READY
    lines = [text for level, stage, text in platform.log(version) if (level, stage) == ("warning", "fetching")]
    assert lines == ["the blob store cannot be reached; trying again"] * 2


def test_a_blob_that_cannot_be_had_is_the_versions_fault(platform):
    away, gone = platform.row(name="away"), platform.row(name="gone", sha="0" * 64)
    platform.blobs.failures["fetch"] = [Unavailable("the blob store cannot be reached")] * 3
    platform.convert(ScriptedTrials(), limits=LoadQueueLimits(at_once=1, first_pause_s=0.01, fetches=3))
    assert platform.now(away).fault.what == "the blob store cannot be reached"
    assert platform.now(gone).fault.reason == "no_blob"


def test_a_trial_that_was_killed_is_tried_once_more(platform):
    version = platform.row()
    platform.convert(ScriptedTrials(endings=[Unavailable("killed", reason="trial_died"), LOADED]))
    assert platform.now(version).status is VersionStatus.READY
    assert ("warning", "loading", "killed; trying once more") in platform.log(version)


def test_a_trial_that_dies_twice_is_an_error_of_its_version_only(platform):
    dying, other = platform.row(name="dying"), platform.row(name="other")
    died = Unavailable("ended", why="killed by SIGSEGV (signal 11)", reason="trial_died")
    trials = ScriptedTrials(endings=[died, died])
    platform.convert(trials, limits=LoadQueueLimits(at_once=1))
    assert platform.now(dying).fault.message == "ended: killed by SIGSEGV (signal 11)"
    assert platform.now(other).status is VersionStatus.READY
    assert len(trials.jobs) == 3


def test_a_mistake_of_our_own_is_an_error_of_one_version(platform):
    version = platform.row()
    platform.convert(ScriptedTrials(endings=[ZeroDivisionError("ours")]))
    assert platform.now(version).fault.error == "Internal"
    assert platform.now(version).fault.why == "ZeroDivisionError: ours"


def test_a_version_that_is_deleted_meanwhile_ends_its_trial(platform):
    platform.row(name="deleted")
    trials = ScriptedTrials()

    async def main() -> None:
        trials.gate = asyncio.Event()
        queue = platform.load_queue(trials)
        await queue.run_once()
        while not trials.running:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(platform.catalog.models.delete, 1, "deleted")
        trials.gate.set()
        await asyncio.wait_for(queue.settled(), 20)
        assert await asyncio.to_thread(platform.catalog.models.versions_to_load) == []

    asyncio.run(main())
    assert platform.catalog.journal.events() == [] or all(
        event.subject != "model_version" for event in platform.catalog.journal.events()
    )


def test_counts_that_follow_one_another_quickly_make_one_line(platform):
    counts = [Stage(stage="installing", detail="packages", done=number, total=40) for number in range(41)]
    version = platform.row()
    platform.convert(ScriptedTrials(reports=[*counts, Stage(stage="loading", detail="in 1 worker")]))
    lines = platform.log(version)
    assert ("info", "installing", "packages (40 of 40)") in lines
    assert sum(stage == "installing" for _, stage, _ in lines) < 5
    assert lines[-2] == ("info", "loading", "in 1 worker")


def test_trials_get_none_of_the_platforms_own_secrets(platform, bench):
    seen = bench.folder / "seen.json"
    program = (
        f"import json, os, sys; line = sys.stdin.readline(); "
        f"open({str(seen)!r}, 'w').write(json.dumps([dict(os.environ), line]))"
    )
    platform.row()

    async def main() -> None:
        queue = load_queue(
            replace(bench.settings, database_url="postgresql://me:hush@there/db"),
            catalog=platform.catalog,
            blobs=platform.blobs,
            environ={**os.environ, "TRIVET_TOKEN": "hush", "TRIVET_DATABASE_URL": "postgresql://me:hush@there/db"},
            on_change=lambda: None,
            program=(TRIAL_PROGRAM[0], "-c", program),
        )
        await queue.run_once()
        await asyncio.wait_for(queue.settled(), 60)

    asyncio.run(main())
    assert "hush" not in seen.read_text()
    assert str(bench.home) in seen.read_text()


def test_a_real_trial_that_is_killed_is_made_up_for(platform, bench):
    version = platform.upload(bench.custom(create="time.sleep(1)"), **SCHEMAS)
    killed = []

    class Killing(ProcessTrials):
        async def run(self, job, *, limit_s, load_limit_s, report):
            def collect(reported):
                report(reported)
                if reported.stage == "loading" and not killed:
                    killed.append(bench.below()[0])
                    killed[0].kill()

            return await super().run(job, limit_s=limit_s, load_limit_s=load_limit_s, report=collect)

    platform.convert(Killing(TRIAL_PROGRAM, environ=os.environ))
    assert killed
    assert platform.now(version).status is VersionStatus.READY
    assert not bench.left()
