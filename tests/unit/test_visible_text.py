"""What models and callers wrote controls no terminal and no log: escapes in errors, lines, JSON and tables."""

import json
import logging
import sys

import pytest

from trivet.cli.output import in_json, print_json, print_table, show
from trivet.cli.reporter import Reporter
from trivet.errors import ModelFailed, visible
from trivet.wiring.log_lines import _Lines

UNSAFE = [
    *("\x00", "\x07", "\x08", "\r", "\x1b", "\x7f", "\x85", "\x9b"),
    *("\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069"),
    *("\ufeff", "\ufff9", "\U000e0001", "\U000e0041", "\ud800", "\udfff"),
]
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m" + "".join(UNSAFE) + " end"


def is_safe(text: str) -> bool:
    return not set(UNSAFE) & set(text)


@pytest.mark.parametrize("character", UNSAFE, ids=ascii)
def test_an_unsafe_character_becomes_its_escape(character):
    assert visible(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("text", ["", "two\nlines\tand a tab", "größer · 日本語 · שלום · 👩‍🔬 · nbsp\xa0", "{}[/]%s"])
def test_other_text_stays(text):
    assert visible(text) == text


def test_a_shown_error_is_safe_and_its_message_is_as_it_was():
    error = ModelFailed(HOSTILE, why=HOSTILE, fix=HOSTILE, path=HOSTILE)
    assert is_safe(str(error))
    assert str(error).count("\\x1b[2J") == 4
    assert error.message == f"{HOSTILE}: {HOSTILE}"


def test_commands_print_no_unsafe_character(capsys):
    show(HOSTILE)
    show(HOSTILE, to_stderr=True)
    print_table(("name", "text"), [("a", HOSTILE)], empty="")
    with Reporter() as report:
        report("loading", HOSTILE)
        report("warning", HOSTILE)
    out, err = capsys.readouterr()
    assert is_safe(out + err)
    assert (out + err).count("end\n") == 5


def test_printed_json_is_safe_and_equal(capsys):
    value = {"a": [HOSTILE.encode("utf-8", "ignore").decode(), 1.5, None], "\u202e": "\U000e0041"}
    print_json(value)
    out = capsys.readouterr().out
    for text in (out, in_json(value)):
        assert is_safe(text)
        assert json.loads(text) == value


def test_a_record_is_one_line_of_a_log_and_a_traceback_is_indented():
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-01 12:00:00 ERROR gateway: forged")
    except ValueError:
        record = logging.LogRecord(
            "n", logging.ERROR, "f", 1, "%s", (f"{HOSTILE}\n2026-01-01 ERROR forged",), sys.exc_info()
        )
    first, *rest = _Lines("%(levelname)s: %(message)s").format(record).split("\n")
    assert first.startswith("ERROR: \\x1b]0;title")
    assert first.endswith("\\n2026-01-01 ERROR forged")
    assert len(rest) > 3
    assert all(line.startswith("  ") for line in rest)
    assert is_safe(first + "".join(rest))
