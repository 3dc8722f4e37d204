"""Progress in a notebook is one line that is updated."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from trivet.sdk import progress, waits


class Notebook:
    """Keeps what a frontend would show: a line for each display, with what it was updated to."""

    def __init__(self):
        self.lines = {}

    def display(self, data, *, raw, display_id, update):
        assert raw
        assert update == (display_id in self.lines)
        self.lines.setdefault(display_id, []).append(data["text/plain"])


def test_a_wait_has_one_line_in_a_notebook(talk):
    notebook = Notebook()
    states = iter(["pending_load_native", "attempting_load_native", "ready"])
    here = talk(lambda _call: {"status": next(states), "uuid": "u", "name": "m"})
    say = progress.one_line(progress.say_on_stdout, notebook.display)
    known = {"uuid": "u", "name": "m", "status": "pending_load_native"}
    here.run(waits.wait_until_loaded(known, timeout_s=60, say=say))
    [line] = notebook.lines.values()
    assert line[0].startswith("Waiting for model loading")
    assert "Model is attempting loading to a native runtime." in line
    assert line[-1] == "Ready"
    # Dots, and what follows them, extend the line.
    say = progress.one_line(progress.say_on_stdout, notebook.display)
    for text in ("Waiting ", ".", ".", " ok\n"):
        say(text)
    assert list(notebook.lines.values())[-1] == ["Waiting ", "Waiting .", "Waiting ..", "Waiting .. ok"]


def test_elsewhere_progress_is_text_on_stdout(capsys):
    progress.one_line(progress.say_on_stdout)("Waiting .")
    assert capsys.readouterr().out == "Waiting ."
    said = []
    assert progress.one_line(said.append, Notebook().display) == said.append
    assert progress.one_line(progress.say_nothing, Notebook().display) is progress.say_nothing


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["no-shell", "terminal"])
def test_ipython_without_a_kernel_is_a_terminal(monkeypatch, shell):
    module = ModuleType("IPython")
    module.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert progress.notebook_display() is None


def test_a_kernel_is_a_notebook(monkeypatch):
    module, display = ModuleType("IPython"), ModuleType("IPython.display")
    module.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.display = Notebook().display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert progress.notebook_display() == display.display
