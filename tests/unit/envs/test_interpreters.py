"""Which interpreter is taken, of those that run."""

import os
import sys
from pathlib import Path

import pytest

from trivet.envs.interpreters import OWN_MINOR, Interpreter, choose, find_interpreters, newest_first, parse_wanted
from trivet.errors import BadEnvironment

NO_UV = Path("/nowhere/uv")


def fake(*version: int, path: str = "/python") -> Interpreter:
    return Interpreter(path=Path(path), version=version)


@pytest.mark.parametrize(("text", "wanted"), [("3.8", (3, 8)), ("3.8.18", (3, 8, 18)), (" 3.11 ", (3, 11))])
def test_versions_are_parsed(text, wanted):
    assert parse_wanted(text) == wanted


def test_the_newest_patch_of_a_minor_is_chosen_and_the_first_of_equals():
    found = (fake(3, 11, 2), fake(3, 11, 7, path="/own"), fake(3, 11, 7, path="/other"), fake(3, 12, 1))
    assert choose(found, (3, 11)).path == Path("/own")
    assert choose(found, (3, 11, 2)).version == (3, 11, 2)


def test_a_missing_one_says_which_there_are_and_how_to_get_it():
    with pytest.raises(BadEnvironment) as caught:
        choose((fake(3, 12, 1), fake(3, 9, 18)), (3, 8))
    assert str(caught.value) == (
        "Python 3.8 was not found: it is not on PATH, nor among pyenv's or uv's versions; found: 3.9.18, 3.12.1\n"
        "  fix install it with `uv python install 3.8` or `pyenv install 3.8`, or ask for one that was found"
    )


def test_other_interpreters_are_tried_newest_first():
    found = tuple(fake(3, minor, 1) for minor in (8, 9, 10, 11, 12, 13))
    assert [other.minor[1] for other in newest_first(found, besides=(3, 11))] == [13, 12, 10, 9, 8]


def test_our_own_interpreter_is_found_without_path_and_home():
    (own,) = find_interpreters({}, uv=NO_UV)
    assert own.minor == OWN_MINOR
    assert own.version == sys.version_info[:3]


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def pretend(path: Path, *version: int, implementation: str = "cpython") -> None:
    script(path, f"""echo '[[{", ".join(map(str, version))}], "{implementation}", "{path}", true]'""")


def test_pyenv_versions_are_found_and_its_shims_are_skipped(tmp_path):
    pyenv = tmp_path / "pyenv"
    script(pyenv / "shims/python3.8", f"touch {tmp_path}/shim-was-run; exit 127")
    pretend(pyenv / "versions/3.8.18/bin/python", 3, 8, 18)
    pretend(pyenv / "versions/3.9.18/bin/python", 3, 9, 18)
    found = find_interpreters({"PATH": f"{pyenv}/shims:/nowhere"}, uv=NO_UV)
    assert [each.version_text for each in found[1:]] == ["3.8.18", "3.9.18"]
    assert not (tmp_path / "shim-was-run").exists()
    by_home = find_interpreters({"HOME": str(tmp_path), "PYENV_ROOT": str(pyenv)}, uv=NO_UV)
    assert by_home == found


def test_what_does_not_run_or_is_none_of_ours_is_passed_over(tmp_path):
    script(tmp_path / "python3.8", "echo no such version >&2; exit 127")
    script(tmp_path / "python3.9", "echo nonsense")
    pretend(tmp_path / "python3.10", 3, 10, 14, implementation="pypy")
    pretend(tmp_path / "python3", 3, 6, 15)
    pretend(tmp_path / "python3.12-config", 3, 12, 1)
    pretend(tmp_path / "python3.13", 3, 13, 0)
    (tmp_path / "python").symlink_to("/nowhere")
    found = find_interpreters({"PATH": f"{tmp_path}{os.pathsep}{os.pathsep}relative"}, uv=NO_UV)
    assert [each.version_text for each in found[1:]] == ["3.13.0"]


def test_the_same_file_under_several_names_counts_once(tmp_path):
    pretend(tmp_path / "python3.13", 3, 13, 0)
    (tmp_path / "python3").symlink_to("python3.13")
    assert len(find_interpreters({"PATH": str(tmp_path)}, uv=NO_UV)) == 2


def test_uvs_store_is_asked(tmp_path):
    pretend(tmp_path / "store/python3.8", 3, 8, 20)
    script(tmp_path / "uv", f"""echo '[{{"path": "{tmp_path}/store/python3.8"}}]'""")
    found = find_interpreters({}, uv=tmp_path / "uv")
    assert [each.version_text for each in found[1:]] == ["3.8.20"]


def test_a_virtual_environment_on_path_stands_for_its_base(tmp_path):
    base = find_interpreters({}, uv=NO_UV)[0]
    folder = tmp_path / "venv/bin"
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(base.path)
    assert find_interpreters({"PATH": str(folder)}, uv=NO_UV) == (base,)
