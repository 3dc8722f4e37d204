"""Errors end at the user's call."""

import asyncio
import logging
import sys
import traceback
from types import ModuleType, SimpleNamespace

import pytest

from trivet import AsyncClient, Client
from trivet.errors import Invalid, TrivetError, Unavailable
from trivet.sdk import short_tracebacks

NOWHERE = "http://127.0.0.1:1"


def raised(call):
    try:
        call()
    except TrivetError as error:
        return error
    raise AssertionError("nothing was raised")


def frames_of(error):
    return [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]


def test_a_traceback_has_the_users_frames_and_one_that_hides():
    error = raised(lambda: Client(NOWHERE, token="x").list_models())
    assert isinstance(error, Unavailable)
    *users, last = frames_of(error)
    assert {file for file, _ in users} == {__file__}
    assert last == (short_tracebacks.__file__, "call")
    # Nothing is shown of the connection's errors either.
    assert "During handling" not in "".join(traceback.format_exception(error))


def test_methods_that_call_each_other_and_constructors_are_short_too():
    client = Client(NOWHERE, token="x")
    for call in (
        client.get_current_workspace,
        lambda: client.upload_model("m", "none.onnx"),
        lambda: Client("no address"),
    ):
        assert [file for file, _ in frames_of(raised(call))][-1] == short_tracebacks.__file__
        assert sum(file == short_tracebacks.__file__ for file, _ in frames_of(raised(call))) == 1


def test_awaited_methods_are_short_too():
    async def call():
        async with AsyncClient(NOWHERE, token="x") as client:
            await client.list_models()

    assert frames_of(raised(lambda: asyncio.run(call())))[-1] == (short_tracebacks.__file__, "call_later")


def test_the_whole_traceback_is_a_debug_message(caplog):
    with caplog.at_level(logging.DEBUG, logger="trivet.sdk.short_tracebacks"):
        raised(lambda: Client(NOWHERE, token="x").list_models())
    inner, outer = caplog.records
    assert [inner.message, outer.message] == ["Client.run failed", "Client.list_models failed"]
    assert "calls.py" in inner.exc_text


def test_signatures_and_docstrings_stay():
    assert Client.list_models.__doc__.startswith("The newest version")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Client(NOWHERE, token="x").get_model()


def test_a_notebook_shows_the_users_frames_only(monkeypatch):
    shown = []
    formatter = SimpleNamespace(structured_traceback=lambda kind, error, trace: shown.append(trace) or [str(error)])
    notebook = ModuleType("IPython")
    notebook.get_ipython = lambda: SimpleNamespace(InteractiveTB=formatter)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    error = raised(lambda: Client(NOWHERE, token="x").list_models())
    assert error._render_traceback_() == [str(error)]
    assert {frame.filename for frame in traceback.extract_tb(shown[0])} == {__file__}
    # One that was raised elsewhere keeps its frames.
    plain = raised(lambda: exec("raise error", {"error": Invalid("no")}))
    plain._render_traceback_()
    assert [frame.name for frame in traceback.extract_tb(shown[1])] == ["raised", "<lambda>", "<module>"]
