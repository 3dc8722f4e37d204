"""Texts that YAML reads as more, or as something else, than they look like."""

from trivet_tests.hostile.entry import Hostile

__all__ = ["YAML"]

TABLE = {
    "a key twice": ("a: 1\na: 2", "the key 'a' occurs twice", "line 2"),
    "an alias": ("a: &x [1]\nb: *x", "aliases are not supported", "line 2"),
    "aliases of aliases": (
        "a: &a [x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "aliases are not supported",
        "line 2",
    ),
    "an alias of itself": ("&a [*a]", "aliases are not supported", "line 1"),
    "an object of Python": ("a: !!python/object/apply:os.system ['true']", "the tag", "line 1"),
    "bytes": ("a: !!binary aGk=", "the tag", "line 1"),
    "a set": ("!!set {a}", "the tag", "line 1"),
    "a list as a key": ("{[1]: 2}", "a key must be a text", "line 1"),
    "a list without an end": ("a: [1\nb: 2", "not valid YAML", "line 2"),
    "two documents": ("a: 1\n--- \nb: 2", "the file holds several YAML documents", None),
    "lists in lists": ("- " * 65 + "x", "more than 64 nested lists and mappings", "line 1"),
    "lists in lists in one line": ("[" * 20_000, "more than 64 nested lists and mappings", "line 1"),
    "mappings in mappings": ("{a: " * 20_000, "more than 64 nested lists and mappings", "line 1"),
    "a number of 5000 digits": ("9" * 5000, "Exceeds the limit", "line 1"),
    "a NUL": ("a: \x00", "not valid YAML", None),
    "half a character": ("a: \ud800", "not valid YAML", None),
}

YAML = [
    Hostile(kind="yaml", name=name, make=lambda text=text: text, outcome=what, most_s=5.0, about={"path": path})
    for name, (text, what, path) in TABLE.items()
]
