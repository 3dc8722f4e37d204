"""A Python source, read and never run: its classes, functions and imports."""

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

__all__ = ["Broken", "ClassSource", "Member", "Module", "dotted", "is_top", "read_module", "unquoted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A source file that cannot be read, and why. `line` is 0 if unknown."""

    file: str
    line: int
    why: str

    @property
    def place(self) -> str:
        """`model.py:3`."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A function, method or assigned name.

    Attributes:
        file: where it is defined.
        arguments: of a function; None for a name that was assigned a value.
        decorators: their dotted names.
    """

    name: str
    file: str
    line: int
    arguments: ast.arguments | None = None
    decorators: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`model.py:12`."""
        return f"{self.file}:{self.line}"

    @property
    def is_abstract(self) -> bool:
        """Whether it only declares that a subclass must have it."""
        return any(name.rpartition(".")[2] in {"abstractmethod", "abstractproperty"} for name in self.decorators)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class ClassSource:
    """A class in its source: its bases are expressions, which are resolved in its module."""

    name: str
    file: str
    line: int
    bases: tuple[ast.expr, ...]
    metaclass: str | None
    members: dict[str, Member]

    @property
    def place(self) -> str:
        """`model.py:12`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Module:
    """What one file defines at module level, also below `if`, `try` and `with`.

    Attributes:
        imports: the dotted names behind each imported name; several if several imports bind it.
        stars: the modules of `from x import *`.
        aliases: values assigned to names.
        libraries: the top names of all absolute imports, also those inside functions, with the first line of each.
        needed: those of imports that always run when the module is imported.
    """

    file: str
    imports: dict[str, list[str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    classes: dict[str, ClassSource] = field(default_factory=dict)
    functions: dict[str, Member] = field(default_factory=dict)
    aliases: dict[str, list[ast.expr]] = field(default_factory=dict)
    libraries: dict[str, int] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)

    def names_used(self) -> Iterator[str]:
        """The dotted names that it imports."""
        yield from self.stars
        for targets in self.imports.values():
            yield from targets


def is_top(file: str) -> bool:
    """Whether a file lies at the top of its package."""
    return "/" not in file


def dotted(node: ast.expr | None) -> str | None:
    """`a.b.c` of a name or an attribute; None of any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def unquoted(node: ast.expr) -> ast.expr:
    """An annotation; a string is parsed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return node
    return node


def read_module(path: Path, file: str) -> Module | Broken:
    """Read a source file; `file` is its path in the package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ignore an author's invalid escape
            tree = ast.parse(path.read_bytes(), filename=file)
    except SyntaxError as error:
        why = f"{type(error).__name__}: {error.msg}, to Python {sys.version_info.major}.{sys.version_info.minor}"
        return Broken(file=file, line=error.lineno or 0, why=why)
    except ValueError as error:
        return Broken(file=file, line=0, why=str(error))
    except (RecursionError, MemoryError):
        return Broken(file=file, line=0, why="its expressions are nested too deeply")
    module = Module(file=file)
    for statement in _statements(tree.body):
        _note(statement, module)
    for node in ast.walk(tree):
        for name in _imported(node):
            module.libraries.setdefault(name, node.lineno)  # type: ignore[attr-defined]
    module.needed.update(name for node in tree.body for name in _imported(node))
    return module


def _imported(node: ast.AST) -> list[str]:
    """The top names that an absolute import names; none of other statements."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [(node.module or "").partition(".")[0]]
    return []


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block, and of the blocks inside it, in order: what runs when the module is imported."""
    waiting = list(reversed(list(body)))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        inner: list[ast.stmt] = []
        names = ("handlers", "cases", "orelse", "finalbody")
        for name in names if _is_for_scripts(statement) else ("body", *names):
            for child in getattr(statement, name, ()):
                inner += [child] if isinstance(child, ast.stmt) else child.body
        waiting += reversed(inner)


def _is_for_scripts(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`."""
    if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
        return False
    test = statement.test
    sides = {ast.unparse(each) for each in (test.left, *test.comparators) if isinstance(each, ast.Name | ast.Constant)}
    return sides == {"__name__", "'__main__'"} and isinstance(test.ops[0], ast.Eq)


def _note(statement: ast.stmt, module: Module) -> None:
    match statement:
        case ast.Import() | ast.ImportFrom():
            _note_imports(statement, module)
        case ast.ClassDef():
            module.classes[statement.name] = _class(statement, module.file)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            module.functions[statement.name] = _function(statement, module.file)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Name):
                    module.aliases.setdefault(target.id, []).append(value)
        case ast.AnnAssign(target=ast.Name(id=annotated)) if statement.value is not None:
            module.aliases.setdefault(annotated, []).append(statement.value)
        case _:
            pass


def _note_imports(statement: ast.Import | ast.ImportFrom, module: Module) -> None:
    origin = _origin(statement, module.file) if isinstance(statement, ast.ImportFrom) else None
    for alias in statement.names:
        if origin is None:
            bound = alias.asname or alias.name.partition(".")[0]
            module.imports.setdefault(bound, []).append(alias.name if alias.asname else bound)
        elif alias.name == "*":
            module.stars.append(origin)
        else:
            target = f"{origin}.{alias.name}" if origin else alias.name
            module.imports.setdefault(alias.asname or alias.name, []).append(target)


def _origin(statement: ast.ImportFrom, file: str) -> str:
    """The module of `from … import`, relative ones as seen from the package's top."""
    if not statement.level:
        return statement.module or ""
    folders = PurePosixPath(file).parent.parts
    kept = folders[: max(0, len(folders) - statement.level + 1)]
    return ".".join([*kept, *([statement.module] if statement.module else [])])


def _class(node: ast.ClassDef, file: str) -> ClassSource:
    members: dict[str, Member] = {}
    for statement in _statements(node.body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                members[statement.name] = _function(statement, file)
            case ast.ClassDef(name=name, lineno=line):
                members[name] = Member(name=name, file=file, line=line)
            case ast.Assign(targets=targets, lineno=line):
                for target in targets:
                    if isinstance(target, ast.Name):
                        members[target.id] = Member(name=target.id, file=file, line=line)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr(), lineno=line):
                members[name] = Member(name=name, file=file, line=line)
            case _:
                pass
    metaclass = next((dotted(each.value) for each in node.keywords if each.arg == "metaclass"), None)
    return ClassSource(
        name=node.name, file=file, line=node.lineno, bases=tuple(node.bases), metaclass=metaclass, members=members
    )


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, file: str) -> Member:
    decorators = (dotted(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list)
    return Member(
        name=node.name,
        file=file,
        line=node.lineno,
        arguments=node.args,
        decorators=tuple(each for each in decorators if each),
    )
