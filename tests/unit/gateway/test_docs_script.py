"""What the script of the page of documentation makes of typed values and of files, run by V8."""

import json

import pytest
from py_mini_racer import MiniRacer

from trivet.gateway.http.docs_page import SCRIPT

FIELDS = [
    {"name": "id", "kind": "integer", "nullable": False},
    {"name": "x", "kind": "number", "nullable": True},
    {"name": "city", "kind": "text", "nullable": False},
    {"name": "tags", "kind": "json", "nullable": True},
    {"name": "ok", "kind": "boolean", "nullable": False},
]
CSV = (
    '\ufeffid,x,city,tags,ok,other\r\n9007199254740993,1.50,"Graz, ""old""\ntown","[1, 2]",TRUE,7\r\n-2.0,,,,false,\n\n'
)
CALL = """
(text) => JSON.stringify(JSON.parse(text).map(([name, ...given]) => {
  try {
    return { made: forms[name](...given) };
  } catch (error) {
    return { error: error.message };
  }
}))
"""


@pytest.fixture(scope="module")
def ask():
    """Calls of the script's functions."""
    engine = MiniRacer()
    engine.eval(SCRIPT)
    call = engine.eval(CALL)

    def run(*calls):
        return [each.get("made", each.get("error")) for each in json.loads(call(json.dumps(calls)))]

    yield run
    engine.close()


def test_typed_values_become_json_without_loss(ask):
    values = [
        ("integer", " 9223372036854775807 ", "9223372036854775807"),
        ("integer", "+007", "7"),
        ("integer", "3.0", "3"),
        ("number", "0.1000", "0.1000"),
        ("number", ".5", "0.5"),
        ("number", "1e-300", "1e-300"),
        ("boolean", "True", "true"),
        ("json", '[1, {"a": null}]', '[1, {"a": null}]'),
        ("text", ' "quoted" ', '" \\"quoted\\" "'),
        ("time", "2026-01-02T03:04:05Z", '"2026-01-02T03:04:05Z"'),
        ("time", "1700000000000", "1700000000000"),
    ]
    assert ask(*(("jsonOf", kind, text) for kind, text, _ in values)) == [json_text for *_, json_text in values]


def test_a_value_of_another_kind_is_refused_with_the_reason(ask):
    values = [
        ("integer", "1.5", '"1.5" is not a whole number'),
        ("integer", "", '"" is not a whole number'),
        ("number", "1e999", '"1e999" is not a number'),
        ("number", "NaN", '"NaN" is not a number'),
        ("boolean", "yes", '"yes" is not true or false'),
        ("json", "[1,", '"[1," is not JSON'),
    ]
    assert ask(*(("jsonOf", kind, text) for kind, text, _ in values)) == [error for *_, error in values]


def test_a_csv_file_becomes_records_of_the_schema(ask):
    (made,) = ask(("recordsOfCsv", CSV, FIELDS))
    assert json.loads(made) == [
        {"id": 9007199254740993, "x": 1.5, "city": 'Graz, "old"\ntown', "tags": [1, 2], "ok": True, "other": "7"},
        {"id": -2, "x": None, "city": "", "tags": None, "ok": False, "other": ""},
    ]
    assert "9007199254740993" in made


def test_a_csv_file_with_an_error_names_its_row_and_column(ask):
    texts = {
        "id,x\n1,2\nten,2\n": 'row 2, column id: "ten" is not a whole number',
        "id,x\n1\n": "row 1 has 1 cells, and the row of names has 2",
        "id,x\n": "the file has no rows below a row of names",
        "": "the file has no rows below a row of names",
        'id,city\n1,"open\n': "a quote of the file is not closed",
    }
    assert ask(*(("recordsOfCsv", text, FIELDS) for text in texts)) == list(texts.values())


def test_an_answer_is_indented_with_its_numbers_as_sent(ask):
    text = '[{"out":{"y":[1.0,2.50],"id":9007199254740993,"s":"a, {b}: \\"c\\""},"empty":{},"m":[[1],[2]]}]'
    (made,) = ask(("indented", text))
    assert made == (
        '[\n  {\n    "out": {\n      "y": [1.0, 2.50],\n      "id": 9007199254740993,\n      "s": "a, {b}: \\"c\\""\n    },\n'
        '    "empty": {},\n    "m": [\n      [1],\n      [2]\n    ]\n  }\n]'
    )
