"""What the commands of a platform answer where few people look: programs that read them, terminals, streams, odd files."""

import json
import math
import os
import pty
import re
import signal
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trivet_tests.command import TRIVET, Ran

ROWS = '[{"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}]'
STEP_FLAGS = ("--framework", "python", "--input-schema", "x: float32[2]", "--output-schema", "x: float32[2]")
Command = Callable[..., Ran]


def done(ran: Ran) -> str:
    """What a command that went well printed."""
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout


def told(ran: Ran, code: int = 1) -> str:
    """What was said by a command that failed, on one line; nothing of it is on standard output."""
    assert (ran.returncode, ran.stdout) == (code, ""), f"{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", ran.stderr).split())


def strictly(text: str) -> Any:
    """JSON as the standard has it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def trivet(shared_platform: Any) -> Command:
    return shared_platform.trivet


@pytest.fixture(scope="module")
def tripled(shared_platform: Any, times: Callable[[float], Path]) -> str:
    """A pipeline that answers."""
    shared_platform.deploy("tripled", shared_platform.upload("tripled", times(3)))
    return "tripled"


@pytest.fixture
def step_that_fails(tmp_path: Path, flag_file: Path) -> tuple[Path, Path]:
    """A step, and a file: while that is there it cannot be loaded, and says so in what looks like markup."""
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr(
            "step.py",
            f"import os\nassert not os.path.exists({str(flag_file)!r}), 'the flag [/bold] is [red] up'\n\n"
            "def process_data(data):\n    return data\n",
        )
        archive.writestr("requirements.txt", "")
    return tmp_path / "step.zip", flag_file


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r" {2,}", line)


def in_a_terminal(*words: str, home: Path, columns: int = 200) -> tuple[int, str]:
    """A command whose answer is looked at by a person: its exit code, and what is on the screen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [TRIVET, *words],
        env={**os.environ, "TRIVET_HOME": str(home), "COLUMNS": str(columns), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    os.close(ours)
    return running.returncode, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


# Models


def test_without_a_wait_the_models_current_status_is_printed(trivet, step_times):
    document = strictly(done(trivet("upload", "patient", step_times(2), *STEP_FLAGS, "--no-wait", "--json")))
    assert document["name"] == "patient"
    assert document["status"] in {"pending_load_container", "attempting_load_container"}


def test_flags_that_need_a_loaded_model_are_refused_without_a_wait(trivet, times):
    for flags in (["--tensor-fields", "first"], ["--batch-config", "single"]):
        assert "--no-wait" in told(trivet("upload", "dropped", times(2), "--no-wait", *flags), 2)
    assert "dropped" not in done(trivet("models"))


def test_columns_named_at_the_upload_are_those_that_a_deploy_takes(trivet, times):
    done(trivet("upload", "renamed", times(3), "--tensor-fields", "first"))
    assert done(trivet("deploy", "renamed", "renamed@1")).count("\n") == 1
    answered = strictly(done(trivet("infer", "renamed", "-", "-d", "out.y", stdin='[{"first": [1, 2]}]')))
    assert answered == [{"out.y": [3.0, 6.0]}]
    assert "the model 'renamed' takes x" in told_of_two(trivet("upload", "renamed", times(3), "--tensor-fields", "a,b"))


def told_of_two(ran: Ran) -> str:
    """What is said of two columns for one input, once progress was shown."""
    return told(ran).partition("error: 2 tensor fields for 1 inputs")[2]


def test_a_model_that_cannot_be_loaded_is_described_for_programs_too(trivet, step_times):
    ran = trivet("upload", "bare", step_times(1), "--framework", "python", "--json")
    document = strictly(ran.stdout)
    assert (ran.returncode, document["status"]) == (1, "error")
    assert "needs an input schema" in document["error_summary"]
    assert "fix give --input-schema" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_is_uploaded_without_saying_what_it_is(trivet, tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "step.py").write_text("def process_data(data):\n    return {'y': data['x'] + 1}\n")
    (tmp_path / "step" / "requirements.txt").write_text("")
    (tmp_path / "step" / "trivet.yaml").write_text("input_schema: 'x: float32'\noutput_schema: 'y: float32'\n")
    said = done(trivet("upload", "folder", tmp_path / "step"))
    assert said.startswith("folder version 1: ")
    [version] = strictly(done(trivet("models", "folder", "--json")))
    assert (version["framework"], version["input_schema_text"]) == ("python", "x: float32")


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("model.pkl", b"\x80\x04N.", ["is not a model of scikit-learn"]),
        ("model.zip", b"PK\x03\x04", ["called a zip"]),
        ("model.onnx", b"no such model", ["model.onnx"]),
    ],
)
def test_a_file_that_is_not_a_model_is_refused(trivet, tmp_path, name, content, texts):
    (tmp_path / name).write_bytes(content)
    said = told(trivet("upload", "no-model", tmp_path / name))
    assert [text for text in texts if text not in said] == []
    assert " fix " in said


@pytest.mark.parametrize(
    ("name", "proposed"), [("My_Model", "'my-model'"), ("-m-", "'m'"), ("x" * 70, f"'{'x' * 63}'"), ("a/b", "'a-b'")]
)
def test_a_name_that_cannot_be_one_is_answered_with_one_that_can(trivet, times, tripled, name, proposed):
    assert f"{proposed} would do" in told(trivet("upload", "--", name, times(3)))
    assert f"{proposed} would do" in told(trivet("deploy", "--", name, tripled))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--framework", "mlflow"], "'mlflow' is not one of"),
        (["--timeout", "soon"], "--timeout"),
        (["--timeout", "inf"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
    ],
)
def test_a_value_that_no_upload_takes_is_a_usage_error(trivet, times, words, text):
    assert text in told(trivet("upload", "m", times(3), *words), 2)


def test_a_schema_that_is_none_is_refused_before_anything_is_sent(trivet, step_times):
    for said, text in (
        ("x: flot32[2]", "did you mean float32?"),
        ("nowhere.json", "schema file not found: nowhere.json"),
    ):
        assert text in told(trivet("upload", "unsent", step_times(1), "--input-schema", said))
    assert "unsent" not in done(trivet("models"))


# Pipelines


def test_a_first_deploy_that_cannot_run_says_why_and_stays_to_be_looked_at(trivet, step_that_fails, shared_platform):
    step, flag = step_that_fails
    done(trivet("upload", "stumbling", step, *STEP_FLAGS))
    flag.touch()
    ran = trivet("deploy", "stumbles", "stumbling")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "error: pipeline 'stumbles' could not be deployed" in ran.stderr
    assert "the flag [/bold] is [red] up" in ran.stderr
    assert "undeploy it first" not in ran.stderr
    assert strictly(done(trivet("status", "stumbles", "--json")))["status"] == "Error"
    code, screen = in_a_terminal("status", home=shared_platform.home)
    assert (code, "the flag [/bold] is [red] up" in screen) == (0, True)
    done(trivet("undeploy", "stumbles"))


def test_tables_are_aligned_and_nothing_in_them_is_cut(trivet, tripled, shared_platform):
    code, screen = in_a_terminal("models", tripled, home=shared_platform.home)
    assert code == 0
    assert re.search(r"^name +version +uuid +status", screen, re.MULTILINE)
    assert "x: float32[2]" in screen
    heads, line = done(trivet("models", tripled)).splitlines()
    assert dict(zip(cells(heads), cells(line), strict=True))["takes"] == "x: float32[2]"
    code, screen = in_a_terminal("models", tripled, home=shared_platform.home, columns=60)
    [version] = strictly(done(trivet("models", tripled, "--json")))
    assert code == 0
    assert re.search(rf"^uuid +{version['uuid']}\r?$", screen, re.MULTILINE)


def test_resources_reach_the_models_of_an_earlier_version_too(trivet, tripled, step_times):
    done(trivet("upload", "roomy", step_times(2), *STEP_FLAGS))
    done(trivet("deploy", "roomy", "roomy"))
    version = strictly(done(trivet("pipelines", "roomy", "--json")))[0]["versions"][0]
    done(trivet("deploy", "roomy", tripled))
    again = ["deploy", "roomy", "--version", version["number"]]
    assert "'lots' is not an amount of memory" in told(trivet(*again, "--worker-memory", "lots"))
    done(trivet(*again, "--worker-memory", "1Gi", "--worker-cpus", "1"))
    assert strictly(done(trivet("infer", "roomy", "-", "-d", "out", stdin=ROWS)))[0] == {"out.x": [2.0, 4.0]}


@pytest.mark.parametrize("flag", [("--worker-memory", "1Gi"), ("--worker-cpus", "2")])
def test_resources_of_workers_are_refused_where_there_are_none(trivet, tripled, flag):
    for steps in ([tripled], []):
        said = told(trivet("deploy", tripled, *steps, *flag))
        assert f"{flag[0]} has no effect on 'tripled'" in said
        assert "none of its models needs a worker" in said


def test_a_pipeline_that_was_never_made_has_nothing_to_deploy_stop_or_tell(trivet, tripled):
    for words in (["deploy"], ["undeploy"], ["status"], ["logs"], ["pipelines"], ["delete", "pipeline"]):
        said = told(trivet(*words, "triped"))
        assert "triped" in said
        assert "did you mean 'tripled'?" in said


def test_a_version_is_named_by_number_or_uuid_and_others_are_listed(trivet, tripled):
    [version] = strictly(done(trivet("models", tripled, "--json")))
    done(trivet("deploy", "by-uuid", f"{tripled}@{version['uuid']}"))
    for which in ("", "0", "two", version["uuid"][:-1]):
        said = told(trivet("deploy", "by-uuid", f"{tripled}@{which}"))
        assert f"model 'tripled' has no version {which!r}" in said
        assert "there are tripled@1" in said
    assert "is not a name" in told(trivet("deploy", "by-uuid", "@1"))


def test_undeploying_says_what_it_waits_for_and_prints_nothing(trivet, tripled):
    done(trivet("deploy", "stopped", tripled, "--no-wait"))
    for _ in range(2):
        ran = trivet("undeploy", "stopped")
        assert done(ran) == ""
        assert "Waiting for undeployment" in ran.stderr
    assert strictly(done(trivet("status", "stopped", "--json")))["status"] == "not deployed"
    assert "no pipeline 'stopped' is deployed" in told(trivet("infer", "stopped", "-", stdin=ROWS))
    # What it had is deployed again where no model is named.
    done(trivet("deploy", "stopped"))
    assert len(strictly(done(trivet("infer", "stopped", "-", stdin=ROWS)))) == 2


def test_the_status_of_all_pipelines_is_one_document(trivet, tripled):
    everything = strictly(done(trivet("status", "--json")))
    assert everything[tripled]["status"] == "Running"
    assert everything[tripled]["steps"][0]["version"] == 1
    assert everything[tripled].keys() == strictly(done(trivet("status", tripled, "--json"))).keys()


# Asking


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "Input is a zero-length, empty document"),
        (b"[" * 100_000, "depth limit exceeded"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b'[{"x": [1, NaN]}]', "unexpected character"),
        (b'[{"x": [1, 1e999]}]', "number is infinity"),
        (b'{"x": [1, 2]}\n{"x": [3, 4]}', "line 2 column 1"),
        (b"{}", "it is not a list of records"),
        (b"null", "it is not a list of records"),
        (b'"x"', "it is not a list of records"),
    ],
)
def test_a_file_without_rows_is_refused(trivet, tripled, tmp_path, content, text):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    said = told(trivet("infer", tripled, path))
    assert f"error: {path} holds no rows: " in said
    assert text in said
    assert "fix give a list of records" in said


def test_standard_input_is_called_so_where_it_holds_no_rows(trivet, tripled):
    assert told(trivet("infer", tripled, "-", stdin="")).startswith("error: standard input holds no rows")


def test_a_mark_before_the_rows_and_one_record_alone_are_taken(trivet, tripled, tmp_path):
    (tmp_path / "rows.json").write_bytes(b"\xef\xbb\xbf" + ROWS.encode())
    assert len(strictly(done(trivet("infer", tripled, tmp_path / "rows.json")))) == 2
    assert len(strictly(done(trivet("infer", tripled, "-", stdin='{"x": [1, 2]}')))) == 1


def test_folders_and_broken_arrow_files_hold_no_rows(trivet, tripled, tmp_path):
    (tmp_path / "folder.arrow").mkdir()
    assert "is a folder" in told(trivet("infer", tripled, tmp_path / "folder.arrow"))
    assert "is a folder" in told(trivet("infer", tripled, tmp_path))
    for content in (b"", b"ARROW1", b"ARROW1\0\0" + bytes(64), ROWS.encode()):
        (tmp_path / "rows.arrow").write_bytes(content)
        assert "rows.arrow holds no rows" in told(trivet("infer", tripled, tmp_path / "rows.arrow"))
    assert "file not found" in told(trivet("infer", tripled, tmp_path / "none.arrow"))


def write_arrow(path: Path, **columns: pa.Array) -> Path:
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return path


def test_an_arrow_file_without_the_column_or_with_another_type_is_refused(trivet, tripled, tmp_path):
    other = write_arrow(tmp_path / "other.arrow", y=pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)))
    said = told(trivet("infer", tripled, other))
    assert "'x'" in said
    assert "rename 'y' to 'x'" in said
    texts = write_arrow(tmp_path / "texts.arrow", x=pa.array(["one"]))
    assert "float32[2]" in told(trivet("infer", tripled, texts))
    none = write_arrow(tmp_path / "none.arrow", x=pa.array([], pa.list_(pa.float32(), 2)))
    assert "no rows" in told(trivet("infer", tripled, none))


def test_what_is_printed_is_json_also_where_values_are_no_numbers(trivet, shared_platform, times, tmp_path):
    shared_platform.deploy("numbers", shared_platform.upload("numbers", times(3)))
    odd = pa.array([[math.nan, math.inf]], pa.list_(pa.float32(), 2))
    path = write_arrow(tmp_path / "odd.arrow", x=odd)
    assert strictly(done(trivet("infer", "numbers", path, "-d", "out"))) == [{"out.y": [None, None]}]
    out = tmp_path / "answers.json"
    done(trivet("infer", "numbers", path, "-o", out))
    assert strictly(out.read_text())[0]["out.y"] == [None, None]
    kept = [strictly(line) for line in done(trivet("logs", "numbers", "-d", "in")).splitlines()]
    assert kept == [{"in.x": [None, None]}] * 2
    # An Arrow file has them all.
    done(trivet("infer", "numbers", path, "-o", tmp_path / "answers.arrow"))
    [answered] = pa.ipc.open_file(tmp_path / "answers.arrow").read_all()["out.y"].to_pylist()
    assert math.isnan(answered[0])
    assert answered[1] == math.inf


def test_an_answer_goes_where_it_is_sent_and_nowhere_else(trivet, tripled, tmp_path):
    assert len(strictly(done(trivet("infer", tripled, "-", "--out", "-", stdin=ROWS)))) == 2
    assert not Path("-").exists()
    said = told(trivet("infer", tripled, "-", "--out", tmp_path / "answers.csv", stdin=ROWS), 2)
    assert "neither .json nor .arrow" in said
    done(trivet("infer", tripled, "-", "--out", tmp_path / "answers.arrow", "-d", "out", stdin=ROWS))
    table = pa.ipc.open_file(tmp_path / "answers.arrow").read_all()
    assert table.to_pylist() == [{"out.y": [3.0, 6.0]}, {"out.y": [9.0, 12.0]}]


def test_parts_and_columns_are_selected_and_misspelt_ones_refused(trivet, tripled):
    chosen = strictly(done(trivet("infer", tripled, "-", "-d", "time", "-d", "out.y", stdin=ROWS)))
    assert set(chosen[0]) == {"time", "out.y"}
    assert "unknown dataset 'uot'" in told(trivet("infer", tripled, "-", "-d", "uot", stdin=ROWS))
    assert "did you mean out.y?" in told(trivet("infer", tripled, "-", "-d", "out.z", stdin=ROWS))


@pytest.mark.parametrize("seconds", ["0", "inf", "nan", "1e300"])
@pytest.mark.parametrize("command", [["infer", "p", "-"], ["deploy", "p"], ["undeploy", "p"]])
def test_a_time_that_no_clock_counts_is_a_usage_error(trivet, command, seconds):
    assert "'--timeout'" in told(trivet(*command, "--timeout", seconds), 2)


# The log


def test_the_log_goes_on_behind_a_change_of_columns(trivet, times, step_times):
    done(trivet("upload", "changes-a", times(3)))
    done(trivet("upload", "changes-b", step_times(10), *STEP_FLAGS))
    for model in ("changes-a", "changes-b", "changes-a"):
        done(trivet("deploy", "changes", model))
        done(trivet("infer", "changes", "-", stdin=ROWS))
    kept = [strictly(line) for line in done(trivet("logs", "changes", "-d", "out")).splitlines()]
    assert kept == [
        {"out.y": [3.0, 6.0]}, {"out.y": [9.0, 12.0]},
        {"out.x": [10.0, 20.0]}, {"out.x": [30.0, 40.0]},
        {"out.y": [3.0, 6.0]}, {"out.y": [9.0, 12.0]},
    ]  # fmt: skip
    assert len(done(trivet("logs", "changes", "-n", "3")).splitlines()) == 3
    span = ("--start", "2020-01-01", "--end", "2100-01-01")
    times_ms = [strictly(line)["time"] for line in done(trivet("logs", "changes", *span)).splitlines()]
    assert (len(times_ms), times_ms) == (6, sorted(times_ms))


def test_times_have_their_zone_and_are_utc_by_default(trivet, shared_platform, times):
    from datetime import UTC, datetime, timedelta, timezone

    shared_platform.deploy("zones", shared_platform.upload("zones", times(3)))
    done(trivet("infer", "zones", "-", stdin='[{"x": [1, 2]}]'))
    asked = datetime.fromtimestamp(strictly(done(trivet("logs", "zones")))["time"] / 1000, UTC)
    near = timedelta(minutes=5)

    def rows(zone: timezone | None) -> int:
        moments = [(asked + distance).astimezone(zone or UTC) for distance in (-near, near)]
        said = [moment.replace(tzinfo=None) if zone is None else moment for moment in moments]
        return len(
            done(trivet("logs", "zones", "--start", said[0].isoformat(), "--end", said[1].isoformat())).splitlines()
        )

    assert [rows(zone) for zone in (None, UTC, timezone(timedelta(hours=9)))] == [1, 1, 1]


def test_a_log_without_requests_is_empty_and_has_a_limit_of_rows(trivet, shared_platform, times):
    shared_platform.deploy("silent", shared_platform.upload("silent", times(3)))
    assert done(trivet("logs", "silent")) == ""
    for limit in ("0", "-1", "1000001", "many"):
        assert "'--limit'" in told(trivet("logs", "silent", "--limit", limit), 2)
    assert "unknown dataset 'uot'" in told(trivet("logs", "silent", "-d", "uot"))
    later = ("--start", "2026-01-02", "--end", "2026-01-01")
    assert "is after" in told(trivet("logs", "silent", *later))


def test_what_is_not_to_be_kept_is_not_in_the_log(trivet, tripled):
    done(trivet("deploy", "unlogged", tripled, "--no-log"))
    done(trivet("infer", "unlogged", "-", stdin=ROWS))
    assert done(trivet("logs", "unlogged")) == ""


def test_a_reader_that_closes_the_pipe_is_not_our_error(shared_platform, tripled):
    shared_platform.trivet("infer", tripled, "-", stdin=json.dumps([{"x": [1, 2]}] * 5000))
    with subprocess.Popen(
        [TRIVET, "logs", tripled, "--limit", "5000"],
        env={**os.environ, "TRIVET_HOME": str(shared_platform.home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr is not None
        said = running.stderr.read().decode()
        assert (running.wait(timeout=60), said) == (1, "")


# Which platform


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("127.0.0.1:8000", "is not the address of a platform"),
        ("ftp://127.0.0.1", "is not the address of a platform"),
        ("http://[::1", "is not the address of a platform"),
        ("http://127.0.0.1:9", "cannot be reached"),
        ("http://nowhere.invalid", "cannot be reached"),
    ],
)
def test_an_address_without_a_platform_is_reported(trivet, url, text):
    for words, environ in ((["models", "--url", url], {}), (["status"], {"TRIVET_URL": url})):
        said = told(trivet(*words, **environ))
        assert text in said
        assert " fix " in said


def test_the_address_of_predictions_is_refused_as_the_platforms(trivet, shared_platform):
    assert "path not found: /v1/models" in told(trivet("models", "--url", shared_platform.infer_url))


@pytest.mark.parametrize("token", ["of-somebody-else", "with space", "non-äscii"])
def test_a_token_that_is_not_the_right_one_is_refused_and_not_shown(trivet, shared_platform, token):
    for words in (["models"], ["deploy", "p", "m"], ["status"]):
        said = told(trivet(*words, TRIVET_URL=shared_platform.control_url, TRIVET_TOKEN=token))
        assert "token" in said
        assert token not in said


def test_an_address_and_a_token_are_enough_from_a_home_without_a_platform(trivet, shared_platform, tripled, tmp_path):
    elsewhere = {"TRIVET_HOME": str(tmp_path)}
    known = {"TRIVET_URL": shared_platform.control_url, "TRIVET_TOKEN": shared_platform.token}
    assert re.search(rf"^{tripled} +Running", done(trivet("status", **elsewhere, **known)), re.MULTILINE)
    assert "no platform runs" in told(trivet("status", "--home", tmp_path))
    assert f"trivet up --home {tmp_path}" in told(trivet("status", "--home", tmp_path))


def test_a_given_home_overrides_an_address_in_the_environment(trivet, shared_platform, tripled):
    nowhere = {"TRIVET_URL": "http://127.0.0.1:9"}
    assert tripled in done(trivet("pipelines", "--home", shared_platform.home, **nowhere))
    assert "cannot be reached" in told(trivet("pipelines", **nowhere))


def test_an_unknown_workspace_is_named(trivet, times):
    for words in (["models"], ["pipelines"], ["status"], ["upload", "m", times(3)], ["deploy", "p", "m"]):
        assert "nowhere" in told(trivet(*words, "--workspace", "nowhere"))


def test_an_interrupted_wait_reports_that_the_platform_continues(shared_platform, tmp_path):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "step.py").write_text(
        "import time\ntime.sleep(10)\n\ndef process_data(data):\n    return data\n"
    )
    (tmp_path / "slow" / "requirements.txt").write_text("")
    with subprocess.Popen(
        [TRIVET, "upload", "slow", tmp_path / "slow", *STEP_FLAGS],
        env={**os.environ, "TRIVET_HOME": str(shared_platform.home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        assert waiting.stderr is not None
        said = ""
        while "Model is attempting loading" not in said:
            piece = waiting.stderr.read(1)
            assert piece, said
            said += piece
        waiting.send_signal(signal.SIGINT)
        printed, more = waiting.communicate(timeout=60)
    assert (waiting.returncode, printed) == (130, "")
    assert "Stopped waiting. The platform continues" in more
    assert "trivet models slow" in more
    assert "Traceback" not in more
