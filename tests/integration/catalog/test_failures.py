"""After any failure, at any time: acknowledged data is kept, and nothing else is stored."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import event

from trivet.catalog import open_catalog
from trivet.catalog.tables import metadata
from trivet.domain.deployment import DeploymentConfig, DeploymentState, DeploymentStatus
from trivet.domain.version import VersionStatus
from trivet.errors import Unavailable

CONFIG = DeploymentConfig()
KILLED = 9
RUNNING = DeploymentStatus(state=DeploymentState.RUNNING, generation=1)

WRITES = {
    "create a workspace": lambda f: f.catalog.workspaces.create("w", created_by="a test"),
    "add a model": lambda f: f.version("new"),
    "add a version": lambda f: f.version("spare"),
    "set a status": lambda f: f.catalog.models.set_status(2, VersionStatus.READY),
    "add a configuration": lambda f: f.catalog.models.add_config(1, tensor_fields=("a",)),
    "log": lambda f: f.catalog.journal.log_upload(1, level="info", stage="load", text="x"),
    "tell an event": lambda f: f.catalog.journal.add_event(
        workspace_id=1, subject="s", subject_id=1, kind="k", text="t"
    ),
    "create a pipeline": lambda f: f.catalog.pipelines.create(1, "new"),
    "add a pipeline version": lambda f: f.catalog.pipelines.add_version(2, steps=()),
    "deploy": lambda f: f.catalog.deployments.deploy(2, steps=[f.step(f.catalog.models.version(1))], config=CONFIG),
    "redeploy": lambda f: f.catalog.deployments.deploy(1, steps=(), config=CONFIG),
    "undeploy": lambda f: f.catalog.deployments.undeploy(1),
    "say what was seen": lambda f: f.catalog.deployments.set_status(1, RUNNING),
    "delete a model": lambda f: f.catalog.models.delete(1, "spare"),
    "delete a pipeline": lambda f: f.catalog.pipelines.delete(1, "stopped"),
}


@pytest.fixture
def prepared(filled):
    """Version 1 of `used`, in pipeline 1; version 2 of `spare`; pipeline 2, idle; pipeline 3, stopped."""
    used, _ = filled.version("used"), filled.version("spare")
    filled.deployed("p", used)
    filled.catalog.pipelines.create(1, "idle")
    filled.catalog.deployments.undeploy(filled.deployed("stopped", used).pipeline_id)
    return filled


def contents(catalog) -> dict[str, list[tuple]]:
    """Every row of every table."""
    with catalog._database.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


@contextlib.contextmanager
def failing(catalog, nth: int):
    """The nth statement fails; a commit counts as one."""
    engine, left = catalog._database.engine, [nth]

    def count(*_args) -> None:
        left[0] -= 1
        if left[0] == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise sqlalchemy.exc.OperationalError("a statement", None, error)

    names = ("before_cursor_execute", "commit")
    for name in names:
        event.listen(engine, name, count)
    try:
        yield left
    finally:
        for name in names:
            event.remove(engine, name, count)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_nth_statement_fails_changes_nothing(prepared, write) -> None:
    before, nth = contents(prepared.catalog), 0
    while True:
        nth += 1
        with failing(prepared.catalog, nth) as left, contextlib.suppress(Unavailable):
            WRITES[write](prepared)
        if left[0] > 0:
            break
        assert contents(prepared.catalog) == before, f"statement {nth}"
    assert nth > 3
    assert contents(prepared.catalog) != before


@pytest.mark.parametrize("write", ["add a model", "redeploy", "delete a pipeline"])
def test_a_process_that_dies_at_the_nth_statement_changes_nothing(prepared, created_url, write) -> None:
    before, nth = contents(prepared.catalog), 0
    run = [sys.executable, __file__, created_url, write]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while True:
            nth += 1
            process.stdin.write(f"{nth}\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            if code == 0:
                break
            assert code == KILLED
            assert contents(prepared.catalog) == before, f"statement {nth}"
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert nth > 3
    assert contents(prepared.catalog) != before


class TestSqlite:
    @pytest.fixture
    def created_url(self, created_sqlite) -> str:
        return created_sqlite

    def test_a_full_disk_is_reported_and_loses_no_data(self, prepared, created_url) -> None:
        catalog = prepared.catalog
        limit = [0]

        def restrict(connection, _entry) -> None:
            if limit[0]:
                connection.execute(f"PRAGMA max_page_count = {limit[0]}").fetchone()

        event.listen(catalog._database.engine, "connect", restrict)
        with catalog._database.reading() as connection:
            limit[0] = connection.exec_driver_sql("PRAGMA page_count").scalar() + 2
        catalog._database.engine.dispose()
        written = 0
        with pytest.raises(Unavailable) as caught:
            while True:
                catalog.journal.log_upload(1, level="info", stage="load", text="x" * 3000)
                written += 1
        assert caught.value.what == "the catalog cannot grow: the disk is full"
        assert caught.value.reason == "disk_full"
        assert len(catalog.journal.upload_logs(1)) == written
        limit[0] = 0
        catalog._database.engine.dispose()
        catalog.journal.log_upload(1, level="info", stage="load", text="room again")
        assert len(catalog.journal.upload_logs(1)) == written + 1

    def test_a_read_only_catalog_can_be_read_and_refuses_writes(self, prepared) -> None:
        event.listen(
            prepared.catalog._database.engine, "connect", lambda it, _: it.execute("PRAGMA query_only = ON").close()
        )
        prepared.catalog._database.engine.dispose()
        assert len(prepared.catalog.deployments.all()) == 2
        with pytest.raises(Unavailable) as caught:
            prepared.catalog.deployments.undeploy(1)
        assert (caught.value.what, caught.value.reason) == ("the catalog is read-only", "read_only")
        with pytest.raises(Unavailable, match="the catalog is read-only"):
            prepared.catalog.check_writable()

    def test_a_writer_waits_for_another_process_up_to_a_limit(self, prepared, created_url) -> None:
        catalog = prepared.catalog
        event.listen(
            catalog._database.engine, "connect", lambda it, _: it.execute("PRAGMA busy_timeout = 1000").close()
        )
        catalog._database.engine.dispose()
        other = sqlite3.connect(created_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
        timer.start()
        catalog.deployments.undeploy(1)
        timer.join()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            catalog.deployments.deploy(1, steps=(), config=CONFIG)
        assert (caught.value.what, caught.value.reason) == ("the catalog is busy", "busy")
        assert len(catalog.deployments.all()) == 2
        other.close()
        catalog.deployments.deploy(1, steps=(), config=CONFIG)

    @pytest.mark.parametrize("replaced", [False, True])
    def test_no_write_succeeds_after_the_file_was_removed(self, prepared, created_url, replaced) -> None:
        path = Path(created_url.removeprefix("sqlite:///"))
        path.rename(path.with_suffix(".old"))
        if replaced:
            path.touch()
        with pytest.raises(Unavailable, match="the catalog's database file is gone"):
            prepared.catalog.workspaces.create("w", created_by="a test")


class TestPostgres:
    @pytest.fixture
    def created_url(self, created_postgres) -> str:
        return created_postgres

    def test_cut_connections_are_made_again(self, prepared, postgres_server, created_url) -> None:
        cut_connections(postgres_server, created_url)
        assert len(prepared.catalog.deployments.all()) == 2
        cut_connections(postgres_server, created_url)
        prepared.catalog.deployments.undeploy(1)

    def test_a_database_is_used_again_after_an_outage(self, prepared, postgres_server, created_url) -> None:
        name = created_url.rpartition("/")[2]
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cut_connections(postgres_server, created_url)
        for ask in (prepared.catalog.revision, lambda: prepared.catalog.deployments.undeploy(1)):
            began = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                ask()
            assert caught.value.what == "the catalog cannot be reached"
            assert postgres_server.password not in str(caught.value)
            assert time.monotonic() - began < 10
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert prepared.catalog.deployments.undeploy(1).generation == 2

    def test_a_read_only_server_can_be_read_and_refuses_writes(self, prepared, postgres_server, created_url) -> None:
        postgres_server.execute(
            f"ALTER DATABASE {created_url.rpartition('/')[2]} SET default_transaction_read_only = on"
        )
        prepared.catalog._database.engine.dispose()
        assert len(prepared.catalog.deployments.all()) == 2
        with pytest.raises(Unavailable) as caught:
            prepared.catalog.deployments.undeploy(1)
        assert (caught.value.what, caught.value.reason) == ("the catalog is read-only", "read_only")
        with pytest.raises(Unavailable, match="the catalog is read-only"):
            prepared.catalog.check_writable()

    def test_a_held_lock_is_waited_for_within_limits(self, prepared, created_url) -> None:
        engine = prepared.catalog._database.engine
        event.listen(engine, "connect", lambda it, _: (it.execute("SET lock_timeout = 300"), it.commit()))
        engine.dispose()
        with psycopg.connect(created_url) as other:
            other.execute("UPDATE catalog_state SET revision = revision")
            with pytest.raises(Unavailable) as caught:
                prepared.catalog.deployments.undeploy(1)
            assert (caught.value.what, caught.value.reason) == ("the catalog is busy", "busy")
        assert prepared.catalog.deployments.undeploy(1).generation == 2


def cut_connections(server, url: str) -> None:
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}'")


DEPLOYER = """
import sys, time
from trivet.catalog import open_catalog
from trivet.domain.deployment import DeploymentConfig
catalog = open_catalog(sys.argv[1])
while time.time() < float(sys.argv[2]):
    pass
for _ in range(25):
    made, deployment = catalog.deployments.deploy(1, steps=(), config=DeploymentConfig(document={"by": sys.argv[3]}))
    print(made.number, made.uuid, deployment.generation, flush=True)
"""


def test_deploys_from_two_processes_are_all_kept_and_the_last_one_wins(prepared, created_url) -> None:
    at = str(time.time() + 2)
    processes = [
        subprocess.Popen([sys.executable, "-c", DEPLOYER, created_url, at, by], stdout=subprocess.PIPE, text=True)
        for by in ("one", "two")
    ]
    deploys = [line.split() for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    pipeline, deployment = prepared.catalog.pipelines.by_id(1), prepared.catalog.deployments.of(1)
    there = {str(version.number): version.uuid for version in pipeline.versions}
    assert len(deploys) == 50
    assert {number: uuid for number, uuid, _ in deploys}.items() <= there.items()
    assert sorted(int(generation) for _, _, generation in deploys) == list(range(2, 52))
    assert deployment.generation == 51
    assert deployment.pipeline_version == pipeline.versions[0].uuid
    assert deployment.pipeline_version == next(uuid for _, uuid, generation in deploys if generation == "51")


def die(url: str, write: str, nth: int) -> None:
    """Do a write in this process, which ends at the nth statement."""
    catalog = open_catalog(url)
    left = [nth]

    def count(*_args) -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(KILLED)

    for name in ("before_cursor_execute", "commit"):
        event.listen(catalog._database.engine, name, count)
    WRITES[write](Filled(catalog))


def die_again_and_again(url: str, write: str) -> None:
    """For each number that comes in: a process of its own that dies there; its exit code goes out."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                die(url, write, int(line))
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import Filled

    die_again_and_again(sys.argv[1], sys.argv[2])
