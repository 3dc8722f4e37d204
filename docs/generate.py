"""Write the pages of the reference that are taken from the sources: REST from the control API, SDK from its docstrings.

    python docs/generate.py

A test compares its output with the files.
"""

import enum
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).resolve().parent / "reference"
METHODS = ("get", "post", "put", "patch", "delete")


def rest_page(openapi: dict[str, Any]) -> str:
    """The control API's routes, from its OpenAPI document."""
    lines = [
        "# The control API",
        "",
        "`trivet up` answers it on port 8000; `/docs` there shows it with its schemas, `/openapi.json` is it for programs. Bodies",
        "are JSON, times RFC 3339. Every route except those marked *open* requires `Authorization: Bearer <token>`, with the token in",
        "the home (`token`, readable by its owner only). An error has `code`, `error`, `reason`, and if known",
        "`path` and `fix`: see [errors](errors.md).",
        "",
        "This page is written by `docs/generate.py` from the routes themselves.",
        "",
    ]
    schemas = openapi.get("components", {}).get("schemas", {})
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in openapi["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                groups.setdefault((operation.get("tags") or ["Platform"])[0], []).append((method, path, operation))
    for group, operations in groups.items():
        lines += [f"## {group}", ""]
        for method, path, operation in operations:
            is_open = "" if operation.get("security") else " *(open)*"
            lines += [f"### `{method.upper()} {path}`{is_open}", ""]
            text = (operation.get("description") or operation.get("summary") or "").strip()
            if text:
                lines += [text, ""]
            lines += _parameters(operation.get("parameters", []))
            lines += _body(operation.get("requestBody"), schemas)
    return "\n".join(lines).rstrip() + "\n"


def _parameters(parameters: list[dict[str, Any]]) -> list[str]:
    rows = [each for each in parameters if each["in"] in {"query", "path", "header"}]
    if not rows:
        return []
    lines = ["| parameter | in | |", "|---|---|---|"]
    for each in rows:
        kind = _kind(each.get("schema", {}))
        default = each.get("schema", {}).get("default")
        text = " ".join([each.get("description", ""), "" if default is None else f"(default `{default}`)"]).strip()
        lines.append(f"| `{each['name']}` | {each['in']} | {' '.join(filter(None, [kind, text]))} |")
    return [*lines, ""]


def _body(body: dict[str, Any] | None, schemas: dict[str, Any]) -> list[str]:
    if body is None:
        return []
    lines: list[str] = []
    for media, content in body["content"].items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        properties = schemas.get(name, {}).get("properties")
        if properties is None:
            lines += [f"Body: `{media}`.", ""]
            continue
        required = schemas[name].get("required", [])
        lines += ["| field of the body | | |", "|---|---|---|"]
        for field, schema in properties.items():
            must = "required" if field in required else ""
            text = " ".join(schema.get("description", "").split())
            lines.append(f"| `{field}` | {' '.join(filter(None, [_kind(schema), must]))} | {text} |")
        lines.append("")
    return lines


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(filter(None, map(_kind, schema["anyOf"]))))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("type", ""))
    return (
        "" if kind == "null" else f"list of {_kind(schema.get('items', {})) or 'anything'}" if kind == "array" else kind
    )


def sdk_page(names: dict[str, Any]) -> str:
    """The SDK's public names, from their signatures and docstrings."""
    lines = [
        "# The SDK",
        "",
        "The names of `from trivet import …`. Errors are those of `trivet.errors`: what, why and how to fix it.",
        "",
        "This page is written by `docs/generate.py` from the docstrings.",
        "",
    ]
    for name, thing in names.items():
        lines += [f"## `{name}`", ""]
        if inspect.isclass(thing):
            lines += _class(thing)
        else:
            lines += _callable(thing)
    return "\n".join(lines).rstrip() + "\n"


def _class(kind: type) -> list[str]:
    lines = [*_text(kind), ""]
    if issubclass(kind, enum.Enum):
        return [*lines, ", ".join(f"`{member.name}`" for member in kind), ""]
    for name, member in _members(kind):
        if isinstance(member, property):
            lines += [f"### `{kind.__name__}.{name}`", "", *_text(member), ""]
        else:
            function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            lines += [f"### `{kind.__name__}.{name}{_signature(function)}`", "", *_text(function), ""]
    return lines


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public members of a class of ours, its own first, then those of its bases of ours."""
    seen: set[str] = set()
    for each in kind.__mro__:
        if not each.__module__.startswith("trivet"):
            continue
        for name, member in vars(each).items():
            public = not name.startswith("_") or name == "_url"
            shown = inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
            if public and shown and name not in seen and inspect.getdoc(member):
                seen.add(name)
                yield name, member


def _callable(thing: Any) -> list[str]:
    return [*_text(thing), ""]


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [each for name, each in signature.parameters.items() if name not in {"self", "cls"}]
    shown = str(signature.replace(parameters=parameters))
    return re.sub(r"\b(?:trivet\.[\w.]+\.|collections\.abc\.|typing\.|datetime\.)(?=\w)", "", shown).replace("'", "")


def _text(thing: Any) -> list[str]:
    """A docstring, its sections as lists."""
    lines: list[str] = []
    section = ""
    for line in (inspect.getdoc(thing) or "").splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields|Example|Examples):", line):
            section = line[:-1]
            lines += ["", f"*{section}*", ""]
        elif section in {"Args", "Attributes", "Raises"} and (match := re.match(r"    ([\w, *]+): (.*)", line)):
            lines.append(f"- `{match[1]}`: {match[2]}")
        elif section in {"Args", "Attributes", "Raises"} and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line.removeprefix("    ") if section in {"Returns", "Yields"} else line)
    return [line for index, line in enumerate(lines) if line or index == 0 or lines[index - 1]]


def pages() -> dict[Path, str]:
    """Every page that is taken from the sources."""
    import trivet
    from trivet.control.app import openapi_document

    names = {name: getattr(trivet, name) for name in trivet.__all__ if not name.startswith("__")}
    return {REFERENCE / "rest.md": rest_page(openapi_document()), REFERENCE / "sdk.md": sdk_page(names)}


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
