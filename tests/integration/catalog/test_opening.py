"""Database URLs, the first start, and the errors of unusable databases."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from trivet.catalog import Catalog, database, migrating, open_catalog
from trivet.catalog.tables import metadata
from trivet.errors import Conflict, Invalid, Unavailable

SECRET = "hunter2 @:/%"
QUOTED = "hunter2%20%40%3A%2F%25"

OPENER = """
import sys, time
from trivet.catalog import open_catalog
import alembic.config, alembic.script, alembic.runtime.environment
while time.time() < float(sys.argv[2]):
    pass
catalog = open_catalog(sys.argv[1])
catalog.workspaces.create(sys.argv[3], created_by="a test")
"""

BEGINNER = """
import sys, time
from trivet.catalog.connecting import connect, prepare, read_url
for number in range(40):
    engine = connect(read_url(f"sqlite:///{sys.argv[1]}/{number}.db"))
    while time.time() < float(sys.argv[2]) + number / 40:
        pass
    prepare(engine, secret=None)
"""

OPENER_WITHOUT_RIGHTS = """
import json, os, sys
import sqlite3, trivet.catalog.connecting, alembic.config, alembic.script, alembic.runtime.environment
import sqlalchemy.dialects.sqlite.pysqlite, trivet.catalog.migrations.versions
from trivet.catalog import open_catalog
from trivet.errors import TrivetError
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
result = {}
try:
    catalog = open_catalog(sys.argv[1])
    result["read"] = [each.name for each in catalog.workspaces.all()]
    catalog.workspaces.create("w", created_by="a test")
except TrivetError as error:
    result["error"] = type(error).__name__, error.what, error.fix
print(json.dumps(result))
"""


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "what"),
        [
            ("mysql://root@localhost/x", "this is not a database URL for the catalog"),
            ("postgressql://u:SECRET@localhost/x", "this is not a database URL for the catalog"),
            ("/just/a/path", "this is not a database URL for the catalog"),
            ("", "this is not a database URL for the catalog"),
            ("sqlite://", "the catalog's database URL does not name a file"),
            ("sqlite:///", "the catalog's database URL does not name a file"),
            ("sqlite:///:memory:", "the catalog's database URL does not name a file"),
            ("postgresql://u:SECRET@localhost:port/x", "the catalog's database URL cannot be read"),
        ],
    )
    def test_an_invalid_url_is_refused(self, url, what) -> None:
        with pytest.raises(Invalid) as caught:
            open_catalog(url.replace("SECRET", SECRET))
        assert caught.value.what == what
        assert "hunter2" not in str(caught.value)

    def test_a_misspelt_scheme_proposes_the_right_one(self) -> None:
        with pytest.raises(Invalid, match="did you mean postgresql://"):
            open_catalog("postgressql://localhost/x")

    def test_a_path_is_taken_literally(self, tmp_path) -> None:
        path = tmp_path / "a b%20c?d=e#f" / "ä.db"
        open_catalog(f"sqlite:///{path}").close()
        assert path.is_file()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_postgresql_needs_its_extra(self) -> None:
        code = """
import sys
sys.modules["psycopg"] = None
from trivet.catalog import open_catalog
try:
    open_catalog("postgresql://u:hunter2@127.0.0.1/x")
except Exception as error:
    print(error)
"""
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert "pip install 'trivet[postgres]'" in result.stdout
        assert "hunter2" not in result.stdout


class TestTheFirstStart:
    def test_the_migrations_create_the_tables_of_the_code(self, catalog) -> None:
        with catalog._database.engine.connect() as connection:
            options = {"version_table": migrating.VERSION_TABLE, "compare_type": True}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []

    def test_the_release_knows_its_newest_migration(self) -> None:
        assert migrating.revisions()[-1] == migrating.HEAD

    def test_sqlite_writes_ahead_and_keeps_references(self, tmp_path) -> None:
        catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
        with catalog._database.reading() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        catalog.close()
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}

    def test_processes_that_create_a_file_at_once_can_all_use_it(self, tmp_path) -> None:
        """Without the retry in `prepare`, SQLite refuses one process in ten."""
        at = str(time.time() + 2.0)
        processes = [
            subprocess.Popen([sys.executable, "-c", BEGINNER, tmp_path, at], stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        ends = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, ends

    def test_many_processes_may_start_at_once(self, url) -> None:
        at = str(time.time() + 2.5)
        processes = [
            subprocess.Popen([sys.executable, "-c", OPENER, url, at, f"w{number}"], stderr=subprocess.PIPE, text=True)
            for number in range(4)
        ]
        ends = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, ends
        catalog = open_catalog(url)
        assert {each.name for each in catalog.workspaces.all()} == {"default", "w0", "w1", "w2", "w3"}
        assert catalog.revision() == 4
        catalog.close()

    def test_a_failed_migration_leaves_nothing(self, postgres_url) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE pipelines (other int)")
            with pytest.raises(Unavailable) as caught:
                open_catalog(postgres_url)
            assert caught.value.what == "the database holds tables that are not the catalog's"
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(query).fetchall() == [("pipelines",)]


class TestOpeningLater:
    def test_a_catalog_is_opened_on_the_first_call(self, tmp_path) -> None:
        catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
        assert not list(tmp_path.iterdir())
        assert catalog.workspaces.get(1).name == "default"
        catalog.close()

    def test_a_catalog_that_cannot_be_opened_yet_is_opened_once_it_can(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(database, "RETRY_S", 0.0)
        path = tmp_path / "catalog.db"
        path.mkdir()
        catalog = Catalog(f"sqlite:///{path}")
        for ask in (catalog.revision, catalog.models.versions_to_load, lambda: catalog.database):
            with pytest.raises(Unavailable, match="the catalog cannot be reached"):
                ask()
        path.rmdir()
        assert catalog.revision() == 0
        catalog.close()

    def test_a_failed_attempt_is_not_repeated_at_once(self, tmp_path) -> None:
        path = tmp_path / "catalog.db"
        path.mkdir()
        catalog = Catalog(f"sqlite:///{path}")
        with pytest.raises(Unavailable):
            catalog.revision()
        path.rmdir()
        with pytest.raises(Unavailable):
            catalog.revision()
        assert not path.exists()
        catalog.close()

    def test_a_catalog_that_was_never_opened_can_be_closed(self, tmp_path) -> None:
        Catalog(f"sqlite:///{tmp_path / 'catalog.db'}").close()


class TestNewerReleases:
    def test_a_newer_releases_database_is_refused_and_not_changed(self, url) -> None:
        open_catalog(url).close()
        set_revision(url, "0999")
        with pytest.raises(Conflict) as caught:
            open_catalog(url)
        assert str(caught.value) == (
            "the catalog was written by a newer release of Trivet: its database is at revision 0999, and this release "
            f"knows revisions up to {migrating.HEAD}\n"
            "  fix run that release or a newer one, or restore a backup from before the upgrade; nothing was changed"
        )
        set_revision(url, migrating.HEAD)
        open_catalog(url).close()


class TestWhatCannotBeUsed:
    def test_an_unreachable_server_is_reported(self) -> None:
        with pytest.raises(Unavailable) as caught:
            open_catalog(f"postgresql://ann:{QUOTED}@127.0.0.1:1/catalog")
        assert caught.value.what == "the catalog cannot be reached"
        assert "hunter2" not in str(caught.value)

    def test_a_wrong_password_and_an_unknown_database_are_reported(self, postgres_server) -> None:
        wrong = postgres_server.url("postgres").replace(postgres_server.password, QUOTED)
        for url, fix in (
            (wrong, "check user and password in the database URL"),
            (postgres_server.url("nowhere"), "create the database, or name another one in the database URL"),
        ):
            with pytest.raises(Unavailable) as caught:
                open_catalog(url)
            assert caught.value.what == "the catalog cannot be reached"
            assert "hunter2" not in str(caught.value)
            assert postgres_server.password not in str(caught.value)
            assert caught.value.fix in {
                fix,
                "check that the database server runs and that the database URL names it",
            }

    def test_a_folder_that_cannot_be_created_is_reported(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(Unavailable, match="the catalog cannot be reached"):
            open_catalog(f"sqlite:///{tmp_path / 'file' / 'catalog.db'}")

    def test_a_file_that_is_not_a_database_is_reported(self, tmp_path) -> None:
        path = tmp_path / "catalog.db"
        path.write_bytes(os.urandom(8192))
        with pytest.raises(Unavailable, match="the catalog's file is not a database"):
            open_catalog(f"sqlite:///{path}")

    def test_a_file_that_is_not_writable_refuses_writes(self, tmp_path_factory) -> None:
        import tempfile

        # A folder that other users can read.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "catalog.db"
            open_catalog(f"sqlite:///{path}").close()
            path.chmod(0o444)
            Path(folder).chmod(0o555)
            run = [sys.executable, "-c", OPENER_WITHOUT_RIGHTS, f"sqlite:///{path}"]
            result = json.loads(subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout)
            Path(folder).chmod(0o700)
        kind, what, fix = result["error"]
        assert (kind, what) == ("Unavailable", "the catalog is read-only")
        assert fix


def set_revision(url: str, revision: str) -> None:
    statement = f"UPDATE {migrating.VERSION_TABLE} SET version_num = '{revision}'"
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(url) as connection:
            connection.execute(statement)


def test_threads_can_write_at_once(filled) -> None:
    catalog = filled.catalog
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: filled.version("m", data=b"%d" % number), range(40)))
    assert sorted(each.number for each in made) == list(range(1, 41))
    assert catalog.revision() == 40
    assert catalog.models.get(1, "m").versions == 40
