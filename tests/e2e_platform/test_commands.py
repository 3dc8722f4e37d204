"""The commands that drive a platform, as they are typed: what goes well, and what people get wrong."""

import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

import trivet as trivet_package
from trivet_tests.command import Ran, run_here

ROWS = '[{"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}]'
STEP_FLAGS = ("--framework", "python", "--input-schema", "x: float32[2]", "--output-schema", "x: float32[2]")


def done(ran: Ran) -> str:
    """What a command that went well printed."""
    assert ran.returncode == 0, ran.stderr
    assert f'File "{Path(trivet_package.__file__).parent}' not in ran.stderr
    return ran.stdout


def row_of(table: str, name: str) -> list[str]:
    """The first row of a table that begins with a name."""
    rows = [re.split(" {2,}", line) for line in table.splitlines()]
    return next(row for row in rows if row[0] == name)


def refused(ran: Ran, *texts: str, code: int = 1) -> str:
    """What was said by a command that was refused; nothing of it is on standard output."""
    assert ran.returncode == code, f"{ran.stdout}\n{ran.stderr}"
    assert ran.stdout == ""
    # A model's own traceback is part of its log, and only there.
    assert f'File "{Path(trivet_package.__file__).parent}' not in ran.stderr
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", ran.stderr).split())
    for text in texts:
        assert text in said
    return said


@pytest.fixture
def trivet(shared_platform: Any) -> Callable[..., Ran]:
    return shared_platform.trivet


def test_a_model_goes_from_its_upload_to_its_logs_and_back(trivet, times, tmp_path):
    said = done(trivet("upload", "life", times(3)))
    assert re.fullmatch(r"life version 1: [0-9a-f-]{36}\n", said)
    (tmp_path / "rows.json").write_text(ROWS)
    assert done(trivet("deploy", "life", "life")).strip().endswith("/life")
    answered = json.loads(done(trivet("infer", "life", tmp_path / "rows.json")))
    assert [row["out.y"] for row in answered] == [[3.0, 6.0], [9.0, 12.0]]
    assert row_of(done(trivet("status")), "life")[:4] == ["life", "Running", "life@1", "-"]
    assert json.loads(done(trivet("status", "life", "--json")))["status"] == "Running"
    kept = [json.loads(line) for line in done(trivet("logs", "life", "--limit", "1", "-d", "out")).splitlines()]
    assert kept == [{"out.y": [3.0, 6.0]}]
    done(trivet("upload", "life", times(5)))
    done(trivet("deploy", "life", "life"))
    assert json.loads(done(trivet("infer", "life", "-", stdin=ROWS)))[0]["out.y"] == [5.0, 10.0]
    done(trivet("deploy", "life", "life@1"))
    assert json.loads(done(trivet("infer", "life", "-", stdin=ROWS)))[0]["out.y"] == [3.0, 6.0]
    done(trivet("undeploy", "life"))
    assert row_of(done(trivet("status")), "life")[:2] == ["life", "not deployed"]
    refused(trivet("infer", "life", "-", stdin=ROWS), "no pipeline 'life' is deployed")
    done(trivet("delete", "pipeline", "life", "--yes"))
    done(trivet("delete", "model", "life", "--yes"))
    assert "life" not in done(trivet("models")) + done(trivet("pipelines"))


def test_example_rows_give_an_upload_its_schema(trivet, tmp_path):
    (tmp_path / "shown").mkdir()
    code = 'def process_data(data):\n    assert (data["x"] > 0).all()\n    return {"y": data["x"].sum(axis=1)}\n'
    (tmp_path / "shown" / "step.py").write_text(code)
    (tmp_path / "rows.json").write_text('[{"x": [1.0, 2.5]}]')
    flags = ("--example", tmp_path / "rows.json", "--output-schema", "y: float64")
    version = json.loads(done(trivet("upload", "shown", tmp_path / "shown", *flags, "--json")))
    assert (version["status"], version["input_schema_text"]) == ("ready", "x: float64[2]")
    assert version["error_summary"] is None  # it answered the example, and refuses zeros


def test_an_earlier_version_is_deployed_again_by_its_number_or_its_uuid(trivet, times):
    for factor in (2, 4):
        done(trivet("upload", "back", times(factor)))
        done(trivet("deploy", "back", "back"))
    lines = [re.split(" {2,}", line) for line in done(trivet("pipelines", "back")).splitlines()]
    assert lines[0] == ["version", "uuid", "made", "steps"]
    numbers = {number: uuid for number, uuid, _, steps in lines[1:] if steps == "back"}
    assert len(numbers) == 2
    oldest = min(numbers, key=int)
    for said in (oldest, numbers[oldest], numbers[oldest][:8]):
        done(trivet("deploy", "back", "back@2"))
        done(trivet("deploy", "back", "--version", said))
        assert json.loads(done(trivet("infer", "back", "-", stdin=ROWS)))[0]["out.y"] == [2.0, 4.0]
    refused(trivet("deploy", "back", "--version", "7777777"), "no version of pipeline 'back' is '7777777'", "there are")


def test_arrow_goes_in_and_out(trivet, times, tmp_path):
    done(trivet("upload", "arrows", times(2)))
    done(trivet("deploy", "arrows", "arrows"))
    table = pa.table({"x": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))})
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert done(trivet("infer", "arrows", tmp_path / "rows.arrow", "--out", tmp_path / "answers.arrow")) == ""
    assert pa.ipc.open_file(tmp_path / "answers.arrow").read_all()["out.y"].to_pylist() == [[2.0, 4.0]]
    done(trivet("infer", "arrows", tmp_path / "rows.arrow", "-o", tmp_path / "answers.json", "-d", "out"))
    assert json.loads((tmp_path / "answers.json").read_text()) == [{"out.y": [2.0, 4.0]}]
    missing = tmp_path / "nowhere" / "answers.json"
    refused(trivet("infer", "arrows", tmp_path / "rows.arrow", "-o", missing), "failed to write", "No such file")


def test_infer_answers_the_rows_beside_those_that_fail(trivet, times, tmp_path):
    done(trivet("upload", "partly", times(2)))
    done(trivet("deploy", "partly", "partly"))
    rows = '[{"x": [1.0, 2.0]}, {"x": [1.0]}]'
    refused(trivet("infer", "partly", "-", stdin=rows), "[1].x", "expected 2 values, got 1")
    ran = trivet("infer", "partly", "-", "--on-error", "null", stdin=rows)
    assert ran.stderr == "1 of 2 rows failed; error.message says why.\n"
    answered = json.loads(done(ran))
    assert [(row["out.y"], row["error.path"]) for row in answered] == [([2.0, 4.0], None), (None, "[1].x")]
    both = json.loads(done(trivet("infer", "partly", "-", "--on-error", "split", stdin=rows)))
    assert [row["out.y"] for row in both["answers"]] == [[2.0, 4.0]]
    assert [row["error.reason"] for row in both["failed"]] == ["invalid_input"]
    arrow = tmp_path / "answers.arrow"
    assert "the answer is JSON" in trivet("infer", "partly", "-", "-o", arrow, "--on-error", "split", stdin=rows).stderr
    done(trivet("infer", "partly", "-", "-o", arrow, "--on-error", "null", stdin=rows))
    assert pa.ipc.open_file(arrow).read_all()["error.path"].to_pylist() == [None, "[1].x"]


def test_steps_that_fit_are_run_in_order_and_others_leave_nothing(trivet, times, step_times):
    done(trivet("upload", "first", step_times(10), *STEP_FLAGS))
    done(trivet("upload", "second", times(3)))
    done(trivet("deploy", "chain", "first", "second", "--replicas", "2", "--worker-memory", "1Gi"))
    assert json.loads(done(trivet("infer", "chain", "-", stdin=ROWS)))[0]["out.y"] == [30.0, 60.0]
    found = row_of(done(trivet("status")), "chain")
    assert found[:5] == ["chain", "Running", "first@1 > second@1", "2/2", "0"]
    refused(
        trivet("deploy", "wrong-way", "second", "first"),
        "step 'first' cannot follow step 'second'",
        "column 'x' is not among",
    )
    assert "wrong-way" not in done(trivet("pipelines"))


def test_models_and_pipelines_are_listed_for_people_and_for_programs(trivet, times):
    done(trivet("upload", "listed", times(3)))
    document = json.loads(done(trivet("upload", "listed", times(4), "--json")))
    assert (document["number"], document["status"]) == (2, "ready")
    listed = json.loads(done(trivet("models", "listed", "--json")))
    assert [each["number"] for each in listed] == [2, 1]
    assert row_of(done(trivet("models", "listed")), "listed")[1] == "2"
    assert "it answered" in done(trivet("models", "listed", "--logs"))
    done(trivet("deploy", "listed", "listed@1", "--no-wait"))
    assert "listed" in [each["name"] for each in json.loads(done(trivet("pipelines", "--json")))]


def test_progress_is_printed_on_standard_error(trivet, step_times):
    ran = trivet("upload", "said", step_times(1), *STEP_FLAGS)
    assert "Waiting for model loading" in ran.stderr
    assert re.fullmatch(r"said version 1: [0-9a-f-]{36}\n", done(ran))


def test_unknown_names_are_answered_with_the_nearest(trivet, times):
    done(trivet("upload", "nearest", times(3)))
    done(trivet("deploy", "nearest", "nearest"))
    for words in (["models", "nearst"], ["deploy", "p", "nearst"], ["delete", "model", "nearst"]):
        refused(trivet(*words), "'nearest'")
    for words in (["status", "nearst"], ["infer", "nearst", "-"], ["logs", "nearst"], ["undeploy", "nearst"]):
        refused(trivet(*words, stdin=ROWS), "'nearest'")
    refused(trivet("deploy", "p", "nearest@9"), "model 'nearest' has no version '9'", "nearest@1")
    refused(trivet("models", "-w", "elsewhere"), "elsewhere")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["upload", "Credit_Model", "FILE"], ["Credit_Model", "credit-model"]),
        (["upload", "m", "/nowhere/m.onnx"], ["file not found: /nowhere/m.onnx"]),
        (["upload", "m", "FILE", "--framework", "custom"], ["Not a valid ZIP file"]),
        (["deploy", "two-words", "no-such"], ["no-such"]),
    ],
)
def test_invalid_uploads_and_deploys_are_refused(trivet, times, words, texts):
    refused(trivet(*[times(3) if word == "FILE" else word for word in words]), *texts)


def test_a_step_without_schemas_is_refused_with_the_flags_to_give(trivet, step_times):
    ran = trivet("upload", "bare", step_times(1), "--framework", "python")
    assert ran.returncode == 1
    assert "input" in ran.stderr
    assert "schema" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_model_that_cannot_be_loaded_says_why_and_is_not_deployed(trivet, tmp_path):
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr("step.py", "def process_data(data):\n    raise RuntimeError('no such luck')\n")
        archive.writestr("requirements.txt", "")
    ran = trivet("upload", "broken", tmp_path / "step.zip", *STEP_FLAGS)
    # A made-up row that a model refuses does not keep it from being ready.
    assert ran.returncode == 0
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr("step.py", "raise RuntimeError('no such luck')\n\ndef process_data(data):\n    return data\n")
        archive.writestr("requirements.txt", "")
    refused(trivet("upload", "broken", tmp_path / "step.zip", *STEP_FLAGS), "no such luck", "models broken --logs")
    refused(trivet("deploy", "broken", "broken@2"), "not ready", "no such luck")
    assert "broken" not in done(trivet("pipelines"))
    assert "no such luck" in done(trivet("models", "broken", "--logs"))
    assert row_of(done(trivet("models", "broken")), "broken")[3] == "error"


@pytest.mark.parametrize(
    ("stdin", "texts"),
    [
        ("", ["holds no rows"]),
        ("[{", ["holds no rows"]),
        ("[]", ["no rows"]),
        ("[1]", ["not a list of records"]),
        ('[{"y": [1.0, 2.0]}]', ["lacks the field 'x'", "rename 'y' to 'x'"]),
        ('[{"x": [1.0]}]', ["expected 2 values, got 1"]),
        ('[{"x": ["a", "b"]}]', ["expected float32"]),
        ('[{"x": null}]', ["may not be null"]),
    ],
)
def test_invalid_rows_are_refused_with_their_place(trivet, times, stdin, texts):
    if "rows-asked" not in done(trivet("pipelines")):
        done(trivet("upload", "rows-asked", times(3)))
        done(trivet("deploy", "rows-asked", "rows-asked"))
    refused(trivet("infer", "rows-asked", "-", stdin=stdin), *texts)


def test_a_file_of_rows_that_is_missing_or_of_another_kind(trivet, times, tmp_path):
    done(trivet("upload", "files", times(3)))
    done(trivet("deploy", "files", "files"))
    refused(trivet("infer", "files", tmp_path / "none.json"), "file not found")
    (tmp_path / "rows.arrow").write_text(ROWS)
    refused(trivet("infer", "files", tmp_path / "rows.arrow"), "rows.arrow")
    (tmp_path / "rows.csv").write_text("x\n1\n")
    refused(trivet("infer", "files", tmp_path / "rows.csv"), "rows.csv")


def test_what_is_in_use_is_not_deleted(trivet, times):
    done(trivet("upload", "used", times(3)))
    done(trivet("deploy", "user", "used"))
    refused(trivet("delete", "model", "used", "--yes"), "model 'used' is deployed", "user")
    refused(trivet("delete", "pipeline", "user", "--yes"), "user")
    assert json.loads(done(trivet("infer", "user", "-", stdin=ROWS)))[0]["out.y"] == [3.0, 6.0]


def test_a_pipeline_is_described_rolled_back_and_deleted(trivet, times):
    for factor in (2, 3):
        done(trivet("upload", "told", times(factor)))
        done(trivet("deploy", "told", "told"))
    described = done(trivet("describe", "pipeline", "told"))
    assert re.search(r"^step +told@2, native$", described, re.MULTILINE)
    assert re.search(r"^in pipelines +told$", done(trivet("describe", "model", "told@2")), re.MULTILINE)
    assert json.loads(done(trivet("describe", "model", "told", "--json")))["pipelines"] == ["told"]
    refused(trivet("rollback", "told"), "needs a confirmation", "standard input is not a terminal", "add --yes")
    again = json.loads(done(trivet("rollback", "told", "--yes", "--json")))
    assert (again["status"], [step["version"] for step in again["steps"]]) == ("Running", [1])
    assert json.loads(done(trivet("infer", "told", "-", stdin=ROWS)))[0]["out.y"] == [2.0, 4.0]
    refused(
        trivet("delete", "model", "told@1", "--yes"), "is deployed", "pipeline 'told' uses it", "trivet undeploy told"
    )
    refused(trivet("delete", "pipeline", "told", "--yes"), "told", "undeploy")
    done(trivet("delete", "model", "told@2", "--yes"))
    assert json.loads(done(trivet("undeploy", "told", "--json")))["status"] == "not deployed"
    refused(trivet("delete", "pipeline", "told"), "needs a confirmation")
    done(trivet("delete", "pipeline", "told", "--yes"))
    assert json.loads(done(trivet("delete", "model", "told", "--yes", "--json"))) == {
        "deleted": "told",
        "kind": "model",
    }
    assert "told" not in done(trivet("models")) + done(trivet("pipelines"))
    happened = done(trivet("events"))
    assert re.search(r" pipeline told +deleted +pipeline told$", happened, re.MULTILINE)
    assert json.loads(done(trivet("events", "--limit", "1", "--json")))[0]["kind"]


def test_a_name_alone_is_the_newest_version_that_is_ready(trivet, step_times, tmp_path):
    done(trivet("upload", "whole", step_times(3), *STEP_FLAGS))
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr("step.py", "raise RuntimeError('no such luck')\n\ndef process_data(data):\n    return data\n")
        archive.writestr("requirements.txt", "")
    assert trivet("upload", "whole", tmp_path / "step.zip", *STEP_FLAGS).returncode == 1
    ran = trivet("deploy", "whole", "whole")
    done(ran)
    assert "whole is whole@1: whole@2 is not ready (error)" in ran.stderr
    assert json.loads(done(trivet("infer", "whole", "-", stdin=ROWS)))[0]["out.x"] == [3.0, 6.0]


def test_the_output_and_tracebacks_of_a_model_are_shown(trivet, tmp_path):
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr(
            "step.py",
            "print('\\x1b[31mloaded', flush=True)\n\n\n"
            "def process_data(data):\n    if data['x'].max() > 90:\n        raise ValueError('too large')\n    return data\n",
        )
        archive.writestr("requirements.txt", "")
    done(trivet("upload", "noisy", tmp_path / "step.zip", *STEP_FLAGS))
    done(trivet("deploy", "noisy", "noisy"))
    refused(trivet("infer", "noisy", "-", stdin='[{"x": [1.0, 99.0]}]'), "ValueError: too large")
    written = done(trivet("logs", "--model", "noisy@1", "--since", "1h"))
    assert "\\x1b[31mloaded" in written
    assert "Traceback (most recent call last):" in written
    assert written.rstrip().endswith(" ValueError: too large")
    records = [json.loads(line) for line in done(trivet("logs", "--model", "noisy", "-n", "1", "--json")).splitlines()]
    assert [record["text"] for record in records] == ["ValueError: too large"]
    answer = httpx.post(
        json.loads(done(trivet("status", "noisy", "--json")))["url"],
        json=[{"x": [1.0, 99.0]}],
        headers={"X-Request-Id": "the-large-one"},
    )
    assert (answer.status_code, answer.json()["request_id"]) == (500, "the-large-one")
    for _ in range(600):
        ran = trivet("logs", "--model", "noisy", "--request-id", "the-large-one")
        if done(ran):
            break
        # The gateway writes a quarter of a second later.
        assert "no error of request the-large-one with a traceback is known" in ran.stderr
        time.sleep(0.1)
    assert "request the-large-one of pipeline noisy" in ran.stdout
    assert ran.stdout.rstrip().endswith(" ValueError: too large")
    found = json.loads(done(trivet("status", "noisy", "--json")))
    assert (found["last_error"]["of"], found["last_error"]["text"]) == ("request", "ValueError: too large")
    assert found["statistics"]["error_rate"] > 0
    refused(trivet("logs", "--model", "noisy", "--since", "soon"), "30s, 10m, 2h or 1d", code=2)
    refused(trivet("logs"), "give a pipeline, or a model", code=2)


def test_a_failed_update_is_reported_with_the_version_that_answers(trivet, times, tmp_path, flag_file):
    done(trivet("upload", "steady", times(3)))
    done(trivet("deploy", "steady", "steady"))
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr(
            "step.py",
            f"import os\nassert not os.path.exists({str(flag_file)!r}), 'the flag is up'\n\n"
            "def process_data(data):\n    return data\n",
        )
        archive.writestr("requirements.txt", "")
    done(trivet("upload", "flagged", tmp_path / "step.zip", *STEP_FLAGS))
    flag_file.touch()
    refused(trivet("deploy", "steady", "flagged"), "the flag is up")
    ran = trivet("status")
    assert row_of(done(ran), "steady")[:3] == ["steady", "Error", "steady@1"]
    assert "steady: pipeline version" in ran.stderr
    assert "goes on answering" in ran.stderr
    assert json.loads(done(trivet("infer", "steady", "-", stdin=ROWS)))[0]["out.y"] == [3.0, 6.0]


def test_an_update_that_refuses_its_uploads_row_changes_nothing(trivet, times, tmp_path, flag_file):
    done(trivet("upload", "calm", times(3)))
    done(trivet("deploy", "calm", "calm"))
    with zipfile.ZipFile(tmp_path / "step.zip", "w") as archive:
        archive.writestr(
            "step.py",
            "import os\n\n\ndef process_data(data):\n"
            f"    assert not os.path.exists({str(flag_file)!r}), 'the flag is up'\n    return data\n",
        )
        archive.writestr("requirements.txt", "")
    done(trivet("upload", "moody", tmp_path / "step.zip", *STEP_FLAGS))
    flag_file.touch()
    refused(
        trivet("deploy", "calm", "moody"), "refuses the row that it answered when it was uploaded", "the flag is up"
    )
    assert json.loads(done(trivet("infer", "calm", "-", stdin=ROWS)))[0]["out.y"] == [3.0, 6.0]
    flag_file.unlink()
    done(trivet("deploy", "calm", "moody"))
    assert json.loads(done(trivet("infer", "calm", "-", stdin=ROWS)))[0]["out.x"] == [1.0, 2.0]


def test_undeploying_twice_harms_nothing(trivet, times):
    done(trivet("upload", "twice", times(3)))
    done(trivet("deploy", "twice", "twice"))
    done(trivet("undeploy", "twice"))
    ran = trivet("undeploy", "twice")
    assert ran.returncode in {0, 1}
    assert "Traceback" not in ran.stderr


def test_options_that_do_not_go_together_are_usage_errors(trivet):
    refused(trivet("deploy", "p", "m", "--version", "1"), "give models, or the version", code=2)
    refused(trivet("logs", "p", "--start", "2026-01-31"), "--start and --end are required together", code=2)
    refused(trivet("models", "--logs"), "give the model's name", code=2)
    refused(trivet("deploy", "p", "m", "--replicas", "0"), "--replicas", code=2)
    refused(trivet("upload", "m"), "Missing argument", code=2)


def test_a_platform_that_is_not_there_or_does_not_know_the_token(trivet, shared_platform):
    nowhere = {"TRIVET_URL": "http://127.0.0.1:9", "TRIVET_TOKEN": "t"}
    refused(trivet("models", **nowhere), "cannot be reached", "trivet up")
    stranger = {"TRIVET_URL": shared_platform.control_url, "TRIVET_TOKEN": "of-somebody-else"}
    said = refused(trivet("models", **stranger), "the token is missing or wrong")
    assert "of-somebody-else" not in said


def test_the_doctor_finds_nothing_wrong_with_a_platform_that_runs(trivet):
    assert "wrong" not in done(trivet("doctor")).lower()


@pytest.mark.parametrize(
    "command",
    ["up", "down", "doctor", "upload", "models", "pipelines", "deploy", "undeploy", "status", "infer", "logs"],
)
def test_every_command_explains_itself_with_examples(command, tmp_path):
    ran = run_here(command, "--help", environ={**os.environ, "TRIVET_HOME": str(tmp_path), "TERM": "dumb"})
    assert ran.returncode == 0
    assert f"trivet {command}" in ran.stdout.partition("Examples:")[2]
