"""A new package, and a schema from rows: what a newcomer types first."""

import json

import pytest

CSV = 'age,income,name\n31,52000.0,"Ann ""A"""\n58,,Bob\n'


@pytest.mark.parametrize("kind", ["custom", "python"])
def test_a_new_package_passes_check_as_it_is(shell, tmp_path, kind):
    made = shell.run("init", kind, "fresh")
    assert (made.code, made.stderr) == (0, "")
    assert "trivet check fresh" in made.stdout
    checked = shell.run("check", tmp_path / "fresh", "--json")
    assert checked.code == 0, checked.stdout + checked.stderr
    found = {step["step"]: step["detail"] for step in json.loads(checked.stdout)["steps"]}
    assert found["takes"] == "age: int64; income: float64"
    assert found["answered"] == "the example row"
    assert found["test"] == "a known answer: passed"


def test_a_new_package_may_start_from_rows(shell, tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    assert shell.run("init", "python", "mine", "--example", "rows.csv").code == 0
    checked = shell.run("check", tmp_path / "mine")
    assert checked.code == 0, checked.stdout + checked.stderr
    assert "ok   takes: age: int64; income: float64?; name: string\n" in checked.stdout
    assert "ok   test: a known answer: passed\n" in checked.stdout


def test_init_never_writes_into_what_exists(shell, tmp_path):
    (tmp_path / "taken").mkdir()
    refused = shell.run("init", "custom", "taken")
    assert (refused.code, "taken exists already" in refused.stderr) == (1, True)
    assert list((tmp_path / "taken").iterdir()) == []
    refused = shell.run("init", "custom", "No Name!")
    assert (refused.code, "\n  fix " in refused.stderr) == (1, True)


def test_the_schema_of_a_file_is_printed(shell, tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    assert shell.run("schema", tmp_path / "rows.csv").stdout == "age: int64; income: float64?; name: string\n"
    printed = shell.run("schema", tmp_path / "rows.csv", "--yaml").stdout
    assert printed == (
        "input_schema:\n  age: int64\n  income: float64?\n  name: string\n"
        'example:\n  - {"age": 31, "income": 52000.0, "name": "Ann \\"A\\""}\n'
    )


def test_example_rows_give_the_schema_and_are_tried(shell, make, tmp_path):
    code = 'def process_data(data):\n    return {"y": data["x"].sum(axis=1)}\n'
    step = make.folder(tmp_path / "step", {"step.py": code})
    (tmp_path / "rows.json").write_text('[{"x": [1.0, 2.0, 3.5]}, {"x": [1, 2, 3]}]')
    checked = shell.run("check", step, "--example", tmp_path / "rows.json", "--output-schema", "y: float64")
    assert checked.code == 0, checked.stdout + checked.stderr
    said = "rows.json has 2 rows, kept as examples; they fit --input-schema 'x: float64[3]'"
    assert f"ok   example: {said}\n" in checked.stdout
    assert "ok   takes: x: float64[3]\n" in checked.stdout
    assert "ok   answered: the example row\n" in checked.stdout


def test_example_rows_do_not_replace_a_given_schema(shell, make, tmp_path):
    (tmp_path / "rows.json").write_text('[{"x": [1, 2, 3]}]')
    given = ("--input-schema", "x: float32[3]", "--output-schema", "y: float32")
    checked = shell.run("check", make.step(tmp_path / "step"), "--example", tmp_path / "rows.json", *given)
    assert checked.code == 0, checked.stdout + checked.stderr
    assert "ok   takes: x: float32[3]\n" in checked.stdout


def test_example_rows_that_differ_are_refused_before_other_work(shell, make, tmp_path):
    (tmp_path / "rows.json").write_text('[{"x": 1}, {"x": "a"}]')
    checked = shell.run("check", make.step(tmp_path / "step"), "--example", tmp_path / "rows.json")
    assert (checked.code, checked.stdout) == (1, "")
    assert "column 'x' has values of several types" in checked.stderr
    assert "inspecting" not in checked.stderr


def test_a_file_opened_by_a_relative_path_is_named_with_its_place(shell, make, tmp_path):
    code = 'names = open("names.txt").read()\n\n\ndef process_data(data):\n    return {"y": data["x"].sum(axis=1)}\n'
    step = make.step(tmp_path / "step", code)
    (step / "names.txt").write_text("a")
    checked = shell.run("check", step)
    assert checked.code == 1
    assert "fix the package has names.txt: open it as " in checked.stderr
    assert "Path(__file__).parent / 'names.txt'" in checked.stderr
