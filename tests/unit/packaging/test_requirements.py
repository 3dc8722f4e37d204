"""The supported lines of a `requirements.txt`, and the errors for the others."""

import codecs
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import Manifest, PackageFile
from trivet.errors import BadPackage
from trivet.packaging.requirements import names_project, parse_requirements


def written(root: Path, files: dict[str, str | bytes]) -> Manifest:
    listed = []
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        listed.append(PackageFile(path=name, size=len(data), sha256=digest_of_bytes(data)))
    return Manifest(files=tuple(sorted(listed, key=lambda each: each.path)))


def parsed(root: Path, text: str | bytes, **others: str | bytes) -> tuple[str, ...]:
    files = {"requirements.txt": text} | {f"{name}.txt": content for name, content in others.items()}
    return parse_requirements(root, written(root, files))


def refusal(root: Path, text: str | bytes, **others: str | bytes) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        parsed(root, text, **others)
    assert caught.value.what == "Could not parse user provided requirements.txt"
    assert caught.value.fix
    return caught.value


def test_an_empty_file_has_no_requirements(tmp_path: Path) -> None:
    assert parsed(tmp_path, "") == ()
    assert parsed(tmp_path, "\n# nothing yet\n   \n") == ()


def test_requirements_keep_their_order_without_repeats(tmp_path: Path) -> None:
    text = "tensorflow==2.8.0\nscikit-learn == 1.2.2\ntensorflow==2.8.0\npandas[excel]>=1,<3 ; python_version<'3.12'\n"
    assert parsed(tmp_path, text) == (
        "tensorflow==2.8.0",
        "scikit-learn==1.2.2",
        'pandas[excel]<3,>=1; python_version < "3.12"',
    )


def test_comments_and_continued_lines_are_read(tmp_path: Path) -> None:
    text = "# pins\nnumpy==1.26.4  # the last of the 1s\nscipy \\\n  >=1.10, \\\n  <2\n  # a comment\nx\\\n"
    assert parsed(tmp_path, text) == ("numpy==1.26.4", "scipy<2,>=1.10", "x")


def test_a_name_with_a_hash_mark_inside_is_not_a_comment(tmp_path: Path) -> None:
    assert "numpy#1" in str(refusal(tmp_path, "numpy#1\n"))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_files_from_windows_are_read(tmp_path: Path, ending: str, mark: bytes) -> None:
    assert parsed(tmp_path, mark + f"numpy{ending}scipy==1.10{ending}".encode()) == ("numpy", "scipy==1.10")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(tmp_path: Path, encoding: str) -> None:
    error = refusal(tmp_path, "numpy==1.26.4\n".encode(encoding))
    assert error.why == "the file is UTF-16 text, as PowerShell's '>' writes it"
    assert error.fix == "save it as UTF-8, as 'pip freeze | Out-File -Encoding utf8 requirements.txt' does"


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, b"numpy\nscipy # \xe9\n")
    assert error.path == "requirements.txt:2"
    assert "0xe9" in error.message


def test_hashes_are_accepted_and_reported_as_ignored(tmp_path: Path) -> None:
    text = f"numpy==1.26.4 --hash=sha256:{'ab' * 32} \\\n    --hash sha256:{'cd' * 32}\nscipy\n"
    manifest = written(tmp_path, {"requirements.txt": text})
    notes: list[str] = []
    assert parse_requirements(tmp_path, manifest, report=notes.append) == ("numpy==1.26.4", "scipy")
    assert notes == ["the hashes in requirements.txt are not used: the environment's lock has the hashes of the index"]


def test_an_invalid_hash_is_refused(tmp_path: Path) -> None:
    assert "has an invalid hash" in refusal(tmp_path, "numpy==1.26.4 --hash=nonsense\n").message


@pytest.mark.parametrize(
    "line",
    ["-r more.txt", "-rmore.txt", "--requirement more.txt", "--requirement=more.txt", "-r ./more.txt", "-r 'more.txt'"],
)
def test_another_file_of_the_package_is_included(tmp_path: Path, line: str) -> None:
    assert parsed(tmp_path, f"numpy\n{line}\npandas\n", more="scipy\n") == ("numpy", "scipy", "pandas")


def test_an_included_file_is_found_from_the_one_that_includes_it(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r deps/a.txt\n",
        "deps/a.txt": "-r b.txt\n-r ../c.txt\n",
        "deps/b.txt": "b\n",
        "c.txt": "c\n",
    }
    assert parse_requirements(tmp_path, written(tmp_path, files)) == ("b", "c")


def test_files_that_include_one_another_are_read_once(tmp_path: Path) -> None:
    assert parsed(tmp_path, "-r more.txt\nnumpy\n", more="-r requirements.txt\nscipy\n") == ("scipy", "numpy")


def test_a_line_of_an_included_file_is_reported_with_that_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, "-r more.txt\n", more="numpy\n\n=bad\n").path == "more.txt:3"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r /etc/passwd", "includes a file that the package does not have"),
        ("-r ../outside.txt", "includes a file outside the package"),
        ("-r missing.txt", "includes a file that the package does not have"),
        ("-r https://example.org/r.txt", "includes a file from elsewhere"),
    ],
)
def test_nothing_is_included_from_outside_the_package(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "outside.txt").write_text("numpy\n")
    inside = tmp_path / "package"
    inside.mkdir()
    assert why in refusal(inside, f"{line}\n").message


@pytest.mark.parametrize(
    ("line", "why", "fix"),
    [
        ("-e .", "installs from a folder", "import each other by plain name"),
        ("-e git+https://example.org/x.git#egg=x", "installs from a folder", "plain name"),
        ("--index-url https://example.org/simple", "sets the package index", "on the server"),
        ("--index-url=https://example.org/simple", "sets the package index", "PIP_INDEX_URL or UV_INDEX_URL"),
        ("-i https://example.org/simple", "sets the package index", "pip.conf or uv.toml"),
        ("--extra-index-url https://example.org/cpu", "sets the package index", "pip.conf or uv.toml"),
        ("-f https://example.org/wheels", "sets the package index", "pip.conf or uv.toml"),
        ("--trusted-host example.org", "sets the package index", "pip.conf or uv.toml"),
        ("numpy --index-url https://example.org", "sets the package index", "pip.conf or uv.toml"),
        ("-c constraints.txt", "is a constraint", "write its versions as requirements"),
        ("--pre", "is an option", "name==2.0rc1"),
        ("--no-binary :all:", "how packages are built", "pip.conf"),
        ("numpy --config-settings=a=b", "how packages are built", "pip.conf"),
        ("--require-hashes", "only '-r' is supported", "remove it"),
        ("git+https://example.org/x.git", "fetches from a repository", "wheels folder"),
        ("x @ git+ssh://example.org/x.git", "fetches from a repository", "wheels folder"),
        ("https://example.org/x-1.0-py3-none-any.whl", "is an address", "wheels folder"),
        ("file:///tmp/x.whl", "is an address", "wheels folder"),
        ("x @ https://example.org/x.whl", "has an address", "wheels folder"),
        ("numpy @ file:///croot/numpy/work", "has an address", "pip list --format=freeze"),
        ("./wheels/x-1.0-py3-none-any.whl", "is a file", "wheels folder"),
        ("x-1.0-py3-none-any.whl", "is a file", "wheels folder"),
        ("../x", "is a file", "wheels folder"),
        (".", "is a file", "wheels folder"),
        ("C:\\wheels\\x.whl", "is a file", "wheels folder"),
        ("numpy=1.26.4", "is not a requirement", "did you mean 'numpy==1.26.4'?"),
        ("numpy=1.26.4=py311_0", "is not a requirement", "did you mean 'numpy==1.26.4'?"),
        ("numpy 1.26.4", "is not a requirement", "did you mean 'numpy==1.26.4'?"),
        ("numpy==${VERSION}", "uses a variable", "write its value"),
        ("import numpy", "is not a requirement", "one a line"),
        ("numpy; rm -rf /", "is not a requirement", "one a line"),
    ],
)
def test_other_lines_are_refused_with_a_fix(tmp_path: Path, line: str, why: str, fix: str) -> None:
    error = refusal(tmp_path, f"# first\n{line}\n")
    assert error.path == "requirements.txt:2"
    assert repr(line) in error.message
    assert why in error.message
    assert fix in (error.fix or "")


@pytest.mark.parametrize(
    "line",
    [
        "numpy; " + "(" * 20_000 + "python_version<'3'" + ")" * 20_000,
        "numpy==" + "9" * 10_000,
        "numpy" + " " * 100_000 + "x",
        "a" * 100_000,
        "numpy" + " --hash" * 10_000,
        "x y" + "\\\n" * 200_000,
    ],
)
def test_hostile_lines_are_refused_quickly_with_a_short_message(tmp_path: Path, line: str) -> None:
    assert len(refusal(tmp_path, line).message) < 500


def test_a_file_of_megabytes_is_refused(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in refusal(tmp_path, "#" * (2**20 + 1)).message


@given(st.text())
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any-text"
    root.mkdir(exist_ok=True)
    with suppress(BadPackage):
        for line in parsed(root, text.encode(errors="surrogatepass")):
            assert not line.startswith("-")
            assert " @ " not in line.partition(";")[0]
            assert "\n" not in line


@pytest.mark.parametrize("line", ["pandas", "Pandas>=2", 'pandas[excel]==2.2.0; python_version < "3.12"'])
def test_a_project_is_recognised_in_a_line(line: str) -> None:
    assert names_project(line, "pandas")
    assert not names_project(line, "pandas-stubs")


def test_a_password_in_a_refused_line_is_not_shown(tmp_path: Path) -> None:
    error = refusal(tmp_path, "--index-url https://me:secret@index.example/simple\n")
    assert "secret" not in str(error)
    assert "https://***@index.example/simple" in error.message
