"""What the command says about itself: help, version, completion, and its errors about a wrong call."""

import importlib.metadata
import json
import re
import socket

import pytest


def test_it_says_its_version(shell):
    said = shell.run("--version")
    assert (said.code, said.stdout, said.stderr) == (0, f"trivet {importlib.metadata.version('trivet')}\n", "")


@pytest.mark.parametrize(
    "command",
    [
        *("--help", "serve --help", "check --help", "env --help", "env list --help", "env prune --help"),
        *("init --help", "schema --help", "up --help", "down --help", "doctor --help"),
        *("upload --help", "models --help", "pipelines --help", "deploy --help", "undeploy --help"),
        *("status --help", "infer --help", "logs --help"),
        *("rollback --help", "describe --help", "events --help", "delete --help"),
    ],
)
def test_help(shell, snapshot, command):
    said = shell.run(*command.split())
    assert (said.code, said.stderr) == (0, "")
    assert re.sub(r" +$", "", said.stdout, flags=re.MULTILINE) == snapshot


def test_called_without_a_command_it_shows_its_help(shell):
    assert "Usage: trivet" in shell.run().stdout + shell.run().stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("serv", "No such command 'serv'"),
        ("serve", "Missing argument 'PATH'"),
        ("serve x.zip --wokers 2", "No such option: --wokers"),
        ("serve x.zip --workers 0", "'--workers': Input should be greater than or equal to 1"),
        ("serve x.zip --http-port 99999", "'--http-port': Input should be less than or equal to 65535"),
        ("serve x.zip --framework mlflow", "'mlflow' is not one of"),
        ("serve x.zip --wheels /nowhere/at/all", "does not exist"),
    ],
)
def test_a_wrong_call_ends_with_exit_code_2_and_says_what_is_wrong(shell, command, said):
    ended = shell.run(*command.split(), COLUMNS="300")
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--input-schema", "x: flot32"], "float32"),
        (["--input-schema", "x float32"], "input"),
        (["--output-schema", "nowhere.json"], "nowhere.json"),
        (["--batch-config", "double"], "--batch-config is 'double'"),
        (["--tensor-fields", "a,,b"], "--tensor-fields is 'a,,b'"),
        (["--tensor-fields", "a,a"], "--tensor-fields is 'a,a'"),
        (["--resolve-as-of", "yesterday"], "--resolve-as-of is 'yesterday'"),
        (["--name", "No Name!"], "no-name"),
        (["--python", "2.7"], "2.7"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_value_that_is_none_is_explained(shell, make, tmp_path, command, flags, error):
    ended = shell.run(command, make.step(tmp_path / "step"), *flags, *(["--http-port", "0"] * (command == "serve")))
    assert (ended.code, ended.stdout) == (1, "")
    assert error in ended.stderr
    assert "\n  fix " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_reported_before_any_other_work(shell, make, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = shell.run("serve", make.step(tmp_path / "step"), "--http-port", port)
    assert (ended.code, ended.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "--http-port" in ended.stderr.partition("  fix ")[2]
    assert "inspecting" not in ended.stderr
    assert not (shell.home / "packages").exists()


def test_a_setting_that_is_none_is_named_with_its_source(shell, make, tmp_path):
    step = make.step(tmp_path / "step")
    ended = shell.run("check", step, TRIVET_DRAIN_S="soon")
    assert (ended.code, "TRIVET_DRAIN_S" in ended.stderr, "'soon'" in ended.stderr) == (1, True, True)
    (shell.home / "config.toml").write_text("max_waitin = 3\n")
    ended = shell.run("check", step)
    assert ended.code == 1
    assert "unknown setting 'max_waitin'" in ended.stderr
    assert "did you mean 'max_waiting'" in ended.stderr


def test_a_home_that_cannot_be_written_to_is_named(shell, make, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    ended = shell.run("check", make.step(tmp_path / "step"), "--home", tmp_path / "file" / "home")
    assert ended.code == 1
    assert str(tmp_path / "file") in ended.stderr
    assert "\n  fix " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_each_shell(shell, shell_name):
    script = shell.run(_TRIVET_COMPLETE=f"source_{shell_name}")
    assert script.code == 0
    assert f"_TRIVET_COMPLETE=complete_{shell_name}" in script.stdout
    assert "trivet" in script.stdout


def test_the_completion_for_the_shell_in_use_is_found_out(shell, tmp_path):
    import subprocess

    found = subprocess.run(
        ["bash", "-c", '"$0" --show-completion; true', str(shell_command())],
        env=shell.environ | {"SHELL": "/bin/bash"}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "complete -o default -F _trivet_completion trivet" in found.stdout


def shell_command():
    import sys
    from pathlib import Path

    return Path(sys.executable).with_name("trivet")


def test_commands_and_options_are_completed(shell):
    def completed(words: str, position: int) -> list[str]:
        said = shell.run(_TRIVET_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(position))
        return said.stdout.split()

    assert completed("trivet s", 1) == ["serve", "schema", "status"]
    assert completed("trivet env ", 2) == ["list", "prune"]
    assert "--input-schema" in completed("trivet serve --in", 2)


def test_environments_are_listed_for_people_and_for_programs(shell, make, tmp_path):
    assert shell.run("check", make.step(tmp_path / "step")).code == 0
    listed = shell.run("env", "list", "--json")
    assert (listed.code, listed.stderr) == (0, "")
    newest = json.loads(listed.stdout)[0]
    assert set(newest) == {"digest", "python", "packages", "size_bytes", "made", "last_used"}
    assert any(line.startswith("numpy==") for line in newest["packages"])
    shown = shell.run("env", "list")
    assert shown.code == 0
    assert newest["digest"][:12] in shown.stdout


def test_a_home_without_environments_lists_none_and_prunes_none(fresh_shell):
    assert fresh_shell.run("env", "list").stdout == "(no environments)\n"
    assert fresh_shell.run("env", "list", "--json").stdout == "[]\n"
    assert fresh_shell.run("env", "prune").stdout == "removed 0 environments, 0 B\n"
    assert fresh_shell.run("env", "prune", "--json").stdout == "[]\n"


def test_a_reader_that_closes_the_pipe_is_not_an_error(shell):
    import subprocess

    found = subprocess.run(
        ["bash", "-c", '"$0" serve --help | head -1; exit ${PIPESTATUS[0]}', str(shell_command())],
        env=shell.environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in found.stderr


def test_an_address_beyond_loopback_is_warned_of(shell):
    said = shell.run("serve", "nope.zip", "--host", "0.0.0.0", "--http-port", "0")
    assert said.stderr.startswith("warning: every client that reaches 0.0.0.0 can use this model: there is no login")
    said = shell.run("serve", "nope.zip", "--http-port", "0")
    assert "warning" not in said.stderr
