"""`requirements.txt`: PEP 508 lines only.

The server's own configuration of pip or uv sets the package index, so options and addresses are refused. `-r other.txt`
may name another file of the package. `--hash` is accepted and not used: the environment's lock holds the hashes of the
index.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trivet.domain.package import Manifest
from trivet.errors import BadPackage

__all__ = ["REQUIREMENTS", "names_project", "parse_requirements"]

REQUIREMENTS = "requirements.txt"
UNPARSABLE = "Could not parse user provided requirements.txt"

MAX_BYTES = 2**20
MAX_INCLUDES = 32
MAX_LINE = 2**15
"""Characters of a line with its hashes."""
MAX_REQUIREMENT = 2**12

CONFIGURE = (
    "remove it, and configure the index on the server: in pip.conf or uv.toml, or with PIP_INDEX_URL or UV_INDEX_URL"
)
BY_VERSION = (
    "ask for a released version, as in 'name==1.2.3', from the index or wheels folder of the server's configuration"
)
ONE_A_LINE = "write one a line, like 'numpy==1.26.4', 'pandas>=2,<3' or 'scipy'"
PIN = "ask for the version itself, as in 'name==2.0rc1'"
INDEX_OPTIONS = frozenset(
    [
        "-i",
        "--index-url",
        "--pypi-url",
        "--extra-index-url",
        "--no-index",
        "-f",
        "--find-links",
        "--trusted-host",
        "--cert",
        "--client-cert",
        "--proxy",
        "--index",
        "--default-index",
        "--keyring-provider",
    ]
)
BUILD_OPTIONS = frozenset(
    [
        "--no-binary",
        "--only-binary",
        "--prefer-binary",
        "--use-feature",
        "--config-settings",
        "-C",
        "--global-option",
        "--install-option",
        "--no-build-isolation",
        "--no-use-wheel",
        "--use-wheel",
        "--always-unzip",
        "-Z",
    ]
)

_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(r"(?P<name>--[\w-]+|-\w)(?P<value>.*)", re.DOTALL)
_INCLUDE = re.compile(r"(?:--requirement(?:\s+|\s*=\s*)|-r\s*)(?P<file>\S.*)")
_HASH = re.compile(r"\s--hash(?:\s*=\s*|\s+)(?P<algorithm>[\w-]+):(?P<digest>[0-9A-Fa-f]+)(?=\s|$)")
_TRAILING_OPTION = re.compile(r"\s(?P<option>--?[A-Za-z][\w-]*)")
_VCS = re.compile(r"(?:[\w.-]+\s*@\s*)?(?:git|hg|svn|bzr)\+", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.IGNORECASE)
_PATH = re.compile(r"\.{1,2}$|~|[^\s;\[@]*[\\/]|[^\s;@]+\.(?:whl|zip|tar\.\w+|tgz)(?:\s|$)", re.IGNORECASE)
_CONDA = re.compile(r"([A-Za-z0-9][\w.-]*)\s*=\s*([\w.*+!]+)(?:=[\w.]+)?")
_SPACED = re.compile(r"([A-Za-z0-9][\w.-]*)\s+v?(\d[\w.*+!]*)")


def _silent(_text: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A line without its comment, joined with its continuation lines, and its number."""

    text: str
    file: str
    number: int

    def refuse(self, why: str, *, fix: str) -> BadPackage:
        """The error about this line, shown without the password of an address."""
        shown = re.sub(r"(://)[^/@\s]*@", r"\1***@", self.text)
        shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
        return BadPackage(
            UNPARSABLE, why=f"{shown!r} {why}", fix=fix, path=f"{self.file}:{self.number}", reason="bad_requirements"
        )


def parse_requirements(
    root: Path, manifest: Manifest, *, file: str = REQUIREMENTS, report: Callable[[str], None] = _silent
) -> tuple[str, ...]:
    """The requirements of a file and of the files that it includes, in order, each once.

    Args:
        root: the folder that holds the manifest's files.
        manifest: the package's files; nothing else is read.
        file: where to begin.
        report: called with what is accepted and not used.

    Returns:
        PEP 508 lines in their usual form, without addresses and options.

    Raises:
        BadPackage: the file is not UTF-8 text, or a line is not a requirement, or is not supported. `path` is file
            and line.
    """
    sizes = {each.path: each.size for each in manifest.files}
    found: dict[str, None] = {}
    read: set[str] = set()
    waiting: list[Iterator[_Line]] = [_lines(root, file, sizes=sizes)]
    read.add(file)
    hashes = False
    while waiting:
        line = next(waiting[-1], None)
        if line is None:
            waiting.pop()
            continue
        if len(line.text) > MAX_LINE:
            raise line.refuse("is longer than any requirement", fix=ONE_A_LINE)
        included = _INCLUDE.fullmatch(line.text)
        if included is None:
            bare = _HASH.sub("", line.text)
            hashes = hashes or bare != line.text
            found[_requirement(line, bare.strip())] = None
            continue
        other = _included(line, included["file"], sizes=sizes)
        if other in read:
            continue
        read.add(other)
        if len(read) > MAX_INCLUDES:
            raise line.refuse(f"is more than {MAX_INCLUDES} files", fix=f"write the requirements into {file} itself")
        waiting.append(_lines(root, other, sizes=sizes))
    if hashes:
        report(f"the hashes in {file} are not used: the environment's lock has the hashes of the index")
    return tuple(found)


def names_project(requirement: str, name: str) -> bool:
    """Whether a checked PEP 508 line is about the project `name`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name) == canonicalize_name(name)


def _lines(root: Path, file: str, *, sizes: Mapping[str, int]) -> Iterator[_Line]:
    """The lines of a file that are not empty."""
    if sizes[file] > MAX_BYTES:
        raise BadPackage(
            UNPARSABLE,
            why=f"the file is larger than {MAX_BYTES // 2**20} MiB",
            fix="list what the model imports",
            path=file,
        )
    text = ""
    start = 0
    for number, raw in enumerate([*_decoded(root / file, file).splitlines(), ""], start=1):
        start = start if text else number
        is_comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not is_comment:
            text += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", text + ("" if is_comment else raw)).strip()
        text = ""
        if line:
            yield _Line(text=line, file=file, number=start)


def _decoded(path: Path, file: str) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise BadPackage(
            UNPARSABLE,
            why="the file is UTF-16 text, as PowerShell's '>' writes it"
            if b"\0" in data
            else "the file is UTF-16 text",
            fix=f"save it as UTF-8, as 'pip freeze | Out-File -Encoding utf8 {PurePosixPath(file).name}' does",
            path=file,
            reason="bad_requirements",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadPackage(
            UNPARSABLE,
            why=f"the line holds the byte 0x{data[error.start]:02x}, which is not UTF-8 text",
            fix="save the file as UTF-8",
            path=f"{file}:{line}",
            reason="bad_requirements",
        ) from error


def _included(line: _Line, name: str, *, sizes: Mapping[str, int]) -> str:
    """The package's file that `-r` names, relative to the line's file."""
    name = name.strip().strip("'\"")
    if _URL.match(name):
        raise line.refuse(
            "includes a file from elsewhere", fix="put that file into the package, and include it by name"
        )
    parts = [] if name.startswith("/") else list(PurePosixPath(line.file).parent.parts)
    for part in name.split("/"):
        if part == ".." and not parts:
            raise line.refuse("includes a file outside the package", fix="put that file into the package")
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    path = "/".join(parts)
    if name.startswith("/") or path not in sizes:
        raise line.refuse(
            "includes a file that the package does not have", fix=f"add {name!r} to the package, or take the line out"
        )
    return path


def _requirement(line: _Line, text: str) -> str:
    """A line's requirement in its usual form; `text` is the line without hashes."""
    # ONNX models do not need this import.
    from packaging.requirements import Requirement

    if len(text) > MAX_REQUIREMENT:
        raise line.refuse("is longer than any requirement", fix=ONE_A_LINE)
    option = _OPTION.match(text)
    if option is not None:
        raise _refused_option(line, option["name"])
    if _VCS.match(text):
        raise line.refuse("fetches from a repository", fix=BY_VERSION)
    if _URL.match(text):
        raise line.refuse("is an address", fix=BY_VERSION)
    if _PATH.match(text):
        raise line.refuse("is a file", fix=BY_VERSION)
    try:
        requirement = Requirement(text)
        usual = str(requirement)
    except (ValueError, RecursionError) as error:  # a version of thousands of digits; nested parentheses
        raise _not_a_requirement(line, text, error) from error
    if requirement.url is not None:
        fix = BY_VERSION
        if requirement.url.startswith("file:"):
            fix = f"{BY_VERSION}; 'pip list --format=freeze' writes versions where 'pip freeze' writes files"
        raise line.refuse("has an address", fix=fix)
    return usual


def _refused_option(line: _Line, name: str) -> BadPackage:
    if name in {"-e", "--editable"}:
        return line.refuse(
            "installs from a folder or a repository",
            fix="put the code into the package, where modules import each other by plain name, or release it",
        )
    if name in INDEX_OPTIONS:
        return line.refuse("sets the package index", fix=CONFIGURE)
    if name in {"-c", "--constraint"}:
        return line.refuse("is a constraint", fix="write its versions as requirements")
    if name == "--pre":
        return line.refuse("is an option", fix=PIN)
    if name in BUILD_OPTIONS:
        return line.refuse("sets how packages are built", fix="remove it, and configure that in pip.conf on the server")
    return line.refuse("is an option, and only '-r' is supported", fix="remove it")


def _not_a_requirement(line: _Line, text: str, error: Exception) -> BadPackage:
    trailing = _TRAILING_OPTION.search(text)
    if trailing is not None and _is_requirement(text[: trailing.start()]):
        if trailing["option"].startswith("--hash"):
            return line.refuse("has an invalid hash", fix="write it as '--hash=sha256:<hexadecimal digits>'")
        return _refused_option(line, trailing["option"])
    if "${" in text:
        return line.refuse("uses a variable", fix="write its value")
    for pattern in (_CONDA, _SPACED):
        likely = pattern.fullmatch(text)
        if likely is not None and _is_requirement(f"{likely[1]}=={likely[2]}"):
            return line.refuse("is not a requirement", fix=f"did you mean '{likely[1]}=={likely[2]}'?")
    reason = str(error).splitlines()[0].strip()
    return line.refuse(f"is not a requirement: {reason}", fix=ONE_A_LINE)


def _is_requirement(text: str) -> bool:
    from packaging.requirements import Requirement

    try:
        Requirement(text)
    except (ValueError, RecursionError):
        return False
    return True
