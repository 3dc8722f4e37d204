"""Clients in pickles, as Spark and joblib send them to other processes."""

import pickle
from pathlib import Path

import pytest

from trivet import Client
from trivet.errors import Invalid, ModelFailed, Unauthorized

DOCUMENT = {"name": "fraud", "workspace": "default", "versions": [{"uuid": "u", "steps": []}]}


def test_a_client_survives_without_its_token_in_the_pickle(monkeypatch: pytest.MonkeyPatch):
    client = Client(
        "http://127.0.0.1:9", token="secret-of-this-process", workspace="risk", request_timeout=7, quiet=True
    )
    stored = pickle.dumps(client)
    assert b"secret-of-this-process" not in stored
    monkeypatch.setenv("TRIVET_TOKEN", "of-the-other-process")
    again = pickle.loads(stored)
    assert repr(again) == "Client('http://127.0.0.1:9', workspace='risk')"
    assert again.auth_header() == {"Authorization": "Bearer of-the-other-process"}
    assert again.say is client.say
    assert again.async_driver(None).timeout_s == 7


def test_the_token_is_found_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRIVET_TOKEN", raising=False)
    (tmp_path / "token").write_text("of-the-home")
    again = pickle.loads(pickle.dumps(Client("http://127.0.0.1:9", home=tmp_path)))
    assert again.auth_header() == {"Authorization": "Bearer of-the-home"}


def test_a_process_without_the_token_gets_the_way_to_make_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = pickle.dumps(Client("http://trivet.example:8000", token="secret"))
    monkeypatch.delenv("TRIVET_TOKEN", raising=False)
    monkeypatch.setenv("TRIVET_HOME", str(tmp_path))
    with pytest.raises(Unauthorized, match="a Client was unpickled where its token is missing") as caught:
        pickle.loads(stored)
    assert "set TRIVET_TOKEN in that process" in caught.value.fix


def test_pipelines_and_errors_survive_with_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRIVET_TOKEN", "token")
    client = Client("http://127.0.0.1:9", quiet=True)
    again = pickle.loads(pickle.dumps(client.pipeline_type(client, DOCUMENT)))
    assert again.name() == "fraud"
    for error in (Invalid("no", why="because", fix="do", path="[1].x"), ModelFailed("no", reason="slug")):
        found = pickle.loads(pickle.dumps(error))
        assert (type(found), str(found), found.reason) == (type(error), str(error), error.reason)
