"""All sources of a package, and the meanings of names in them.

Names are followed through imports, aliases and re-exports inside the package. Where a name can mean two things (an import in
`try`, a stand-in class in its `except`), both count.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from trivet.domain.package import Manifest
from trivet.packaging.sources.source import Broken, ClassSource, Member, Module, dotted, is_top, read_module

__all__ = ["Meaning", "Sources", "is_of_mac", "read_sources"]

MAX_SOURCE_BYTES = 2**21
MAX_ALL_SOURCES_BYTES = 2**26
# No hand-written name needs more steps through aliases and re-exports.
MAX_STEPS = 500

Meaning: TypeAlias = ClassSource | str
"""The meaning of a name: a class of the package, or a dotted name outside it."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All sources of a package: the parsed modules, by file, and the files that cannot be read."""

    modules: dict[str, Module]
    broken: tuple[Broken, ...]

    @cached_property
    def classes(self) -> tuple[ClassSource, ...]:
        """Every class at module level, in order of file and line."""
        found = [each for module in self.modules.values() for each in module.classes.values()]
        return tuple(sorted(found, key=lambda each: (each.file, each.line)))

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for file in self.modules:
            path = PurePosixPath(file)
            stem = path.parent.name if path.name == "__init__.py" else path.stem
            stems.setdefault(stem, []).append(file)
        return stems

    @cached_property
    def _bases(self) -> dict[ClassSource, tuple[Meaning, ...]]:
        return {each: tuple(self._meanings_of_bases(each)) for each in self.classes}

    @cached_property
    def _subclasses(self) -> dict[ClassSource, list[ClassSource]]:
        children: dict[ClassSource, list[ClassSource]] = {}
        for each, bases in self._bases.items():
            for base in bases:
                if isinstance(base, ClassSource):
                    children.setdefault(base, []).append(each)
        return children

    def needed_broken(self, files: Iterable[str]) -> Broken | None:
        """A file that cannot be read and that the imports of these files always reach; None if there is none."""
        broken = {each.file: each for each in self.broken}
        seen: set[str] = set()
        waiting = list(files)
        while waiting:
            file = waiting.pop()
            if file in broken:
                return broken[file]
            if file not in seen and file in self.modules:
                seen.add(file)
                names = self.modules[file].needed
                waiting += [path for name in names for path in (f"{name}.py", f"{name}/__init__.py")]
        return None

    def bases(self, source: ClassSource) -> tuple[Meaning, ...]:
        """What a class extends: classes of the package, and dotted names of others."""
        return self._bases[source]

    def has_subclass(self, source: ClassSource) -> bool:
        """Whether another class of the package extends this one."""
        return any(each is not source for each in self._subclasses.get(source, ()))

    def extending(self, name: str) -> tuple[ClassSource, ...]:
        """The classes that extend the class `name` of the package `mac`, directly or through others."""
        found: set[ClassSource] = set()
        waiting = [
            each
            for each, bases in self._bases.items()
            if any(isinstance(base, str) and is_of_mac(base, name) for base in bases)
        ]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self._subclasses.get(each, ())
        return tuple(each for each in self.classes if each in found)

    def ancestry(self, source: ClassSource) -> tuple[tuple[ClassSource, ...], tuple[str, ...]]:
        """A class and its bases inside the package, nearest first; and the dotted names of the bases outside it."""
        inside: dict[ClassSource, None] = {}
        outside: dict[str, None] = {}
        waiting: list[Meaning] = [source]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                outside[each] = None
            elif each not in inside:
                inside[each] = None
                waiting += reversed(self._bases[each])
        return tuple(inside), tuple(outside)

    def member(self, source: ClassSource, name: str) -> Member | None:
        """The member that a class has itself or from a base inside the package."""
        for each in self.ancestry(source)[0]:
            if name in each.members:
                return each.members[name]
        return None

    def meanings(self, file: str, name: str) -> tuple[Meaning, ...]:
        """The meanings of a dotted name in a module, followed through the package's modules."""
        found: dict[Meaning, None] = {}
        seen: set[tuple[str, str]] = set()
        waiting = [(file, name)]
        while waiting and len(seen) < MAX_STEPS:
            step = waiting.pop()
            if step not in seen:
                seen.add(step)
                waiting += self._next(*step, found=found)
        return tuple(found)

    def assigned(self, file: str, name: str) -> list[tuple[str, ast.expr]]:
        """The values assigned to a name, each with its file; one import from another module is followed."""
        found = [(file, value) for value in self.modules[file].aliases.get(name, ())]
        for target in self.modules[file].imports.get(name, ()):
            inside = self._inside(target, importer=file)
            if inside and inside[0] != file:
                found += [(inside[0], value) for value in self.modules[inside[0]].aliases.get(inside[1], ())]
        return found

    def _next(self, file: str, name: str, *, found: dict[Meaning, None]) -> list[tuple[str, str]]:
        """One step along a name in a module: adds its meanings to `found`, and returns where to continue."""
        module = self.modules[file]
        head, _, rest = name.partition(".")
        rest = f".{rest}" if rest else ""
        own = None if rest else module.classes.get(head)
        others = [dotted(value) for value in module.aliases.get(head, ())]
        steps = [(file, other + rest) for other in others if other is not None and other.partition(".")[0] != head]
        targets = [target + rest for target in module.imports.get(head, ())]
        if own is not None:
            found[own] = None
        elif not steps and not targets:
            targets = [f"{star}.{name}" for star in module.stars]
            if not targets or hasattr(builtins, head):
                found[name] = None
        for target in targets:
            inside = self._inside(target, importer=file)
            if inside is None:
                found[target] = None
            else:
                steps.append(inside)
        return steps

    def _inside(self, name: str, *, importer: str) -> tuple[str, str] | None:
        """The package's file that a dotted name leads into, and the rest of the name; None if it leads outside."""
        if _is_mac(name):
            return None  # a worker has its own `mac`, which wins over a package's
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            file = self._file_of(parts[:end], importer=importer)
            if file is not None:
                return file, ".".join(parts[end:])
        return None

    def _file_of(self, parts: Sequence[str], *, importer: str) -> str | None:
        path = "/".join(parts)
        for folder in dict.fromkeys((PurePosixPath(), PurePosixPath(importer).parent)):
            for file in (f"{folder / path}.py", f"{folder / path}/__init__.py"):
                if file in self.modules:
                    return file
        if len(parts) > 1 and "__init__.py" in self.modules:
            # The top folder is a Python package, and its modules may import each other by its name.
            inner = self._file_of(parts[1:], importer="")
            if inner is not None and is_top(inner):
                return inner
        # Authors put other folders on sys.path; a name that only one file can mean is that file.
        ends = (f"/{path}.py", f"/{path}/__init__.py")
        fitting = [file for file in self._by_stem.get(parts[-1], ()) if file.endswith(ends)]
        return fitting[0] if len(fitting) == 1 else None

    def _meanings_of_bases(self, source: ClassSource) -> Iterator[Meaning]:
        for base in source.bases:
            name = dotted(base.value if isinstance(base, ast.Subscript) else base)
            if name is None:
                yield "?"  # the value of an expression is only known when the code runs
            else:
                yield from self.meanings(source.file, name)


def read_sources(root: Path, manifest: Manifest) -> Sources:
    """Read every `.py` file of a package; nothing of it is run.

    Args:
        root: the folder that holds the manifest's files.
        manifest: the files. Hidden folders and installed packages (`.venv`, `site-packages`) are skipped.
    """
    modules: dict[str, Module] = {}
    broken: list[Broken] = []
    total = 0
    for each in manifest.files:
        path = PurePosixPath(each.path)
        if path.suffix != ".py" or any(part.startswith(".") or part == "site-packages" for part in path.parts):
            continue
        total += each.size
        if each.size > MAX_SOURCE_BYTES or total > MAX_ALL_SOURCES_BYTES:
            broken.append(Broken(file=each.path, line=0, why="it is larger than any hand-written source"))
            continue
        read = read_module(root / path, each.path)
        if isinstance(read, Broken):
            broken.append(read)
        else:
            modules[each.path] = read
    return Sources(modules=modules, broken=tuple(broken))


def is_of_mac(name: str, last: str) -> bool:
    """Whether a dotted name is `last` of any module of the package `mac`."""
    return _is_mac(name) and name.rpartition(".")[2] == last


def _is_mac(name: str) -> bool:
    return name == "mac" or name.startswith("mac.")
