"""Zips a folder into the same bytes every time, so that the same files are the same package."""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from trivet.domain.frameworks import NOT_TAKEN, ZIPPED, Framework, framework_names, frameworks_of
from trivet.errors import Invalid, NotFound

__all__ = ["as_file", "guess_framework"]

LEFT_OUT = {"__pycache__", ".git", ".venv", ".DS_Store", "__MACOSX", ".ipynb_checkpoints"}
STEP = re.compile(rb"^def process_data\(", re.MULTILINE)
MOST_CODE = 4 * 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def as_file(path: str | Path) -> Iterator[tuple[Path, str]]:
    """A file to upload, and its name: the file itself, or a zip of a folder for the length of the block.

    Raises:
        NotFound: the path does not exist.
        Invalid: it is neither a file nor a folder with files in it.
    """
    path = Path(path).expanduser()
    if path.is_file():
        try:
            path.open("rb").close()
        except OSError as error:
            raise Invalid(f"{path} cannot be read", why=error.strerror, fix="check its permissions") from error
        yield path, path.name
        return
    if not path.exists():
        raise NotFound(f"file not found: {path}", fix="check the path")
    if not path.is_dir():
        raise Invalid(f"{path} is neither a file nor a folder", fix="give a model's file, a zip, or a folder")
    with tempfile.TemporaryDirectory(prefix="trivet-upload-") as folder:
        name = f"{path.resolve().name or 'package'}.zip"
        target = Path(folder) / "package.zip"
        _zip(path, target)
        yield target, name


def _zip(folder: Path, target: Path) -> None:
    files = sorted(
        each for each in folder.rglob("*") if each.is_file() and not LEFT_OUT & set(each.relative_to(folder).parts)
    )
    if not files:
        raise Invalid(f"the folder {folder} has no files", fix="give the folder that holds the package")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each in files:
            entry = zipfile.ZipInfo(each.relative_to(folder).as_posix(), EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with each.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                while piece := source.read(2**20):
                    sink.write(piece)


def guess_framework(path: str | Path) -> Framework:
    """The framework of a model, from its name and its files.

    Raises:
        Invalid: they do not say.
    """
    path = Path(path).expanduser()
    by_name = frameworks_of(path.name)
    if len(by_name) == 1:
        return by_name[0]
    if by_name and path.is_file():
        return _of_content(path)
    if path.is_dir():
        files = [each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()]
        return _of_files(files, lambda name: (path / name).read_bytes(), lambda name: _of_content(path / name))
    suffix = path.suffix.lower()
    if suffix not in ZIPPED and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist() if not each.is_dir()}
            return _of_files(
                list(sizes),
                lambda name: archive.read(name) if sizes[name] < MOST_CODE else b"",
                lambda name: _of_member(archive, name),
            )
    if not path.exists():
        raise NotFound(f"file not found: {path}", fix="check the path")
    if suffix in NOT_TAKEN:
        other = NOT_TAKEN[suffix]
        raise Invalid(
            f"{path.name} is {other.what}", why="that is not a package", fix=other.fix, reason="unknown_file_type"
        )
    raise Invalid(f"{path.name} does not say what wrote it", fix=f"give framework=: {', '.join(framework_names())}")


def _of_content(path: Path) -> Framework:
    from trivet.packaging import framework_of_file

    return framework_of_file(path)


def _of_member(archive: zipfile.ZipFile, name: str) -> Framework:
    with tempfile.TemporaryDirectory(prefix="trivet-upload-") as folder:
        path = Path(folder) / name
        with archive.open(name) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        return _of_content(path)


def _of_files(files: Sequence[str], read: Callable[[str], bytes], of_content: Callable[[str], Framework]) -> Framework:
    """The framework of a package: of its model files, if there is no code; else what the code is."""
    code = [each for each in files if each.endswith(".py")]
    task = None if code else _of_configs(files, read)
    if task is not None:
        return task
    if not code and any(each.rpartition("/")[2] == "saved_model.pb" for each in files):
        return Framework.TENSORFLOW
    models = [each for each in files if "/" not in each and each != "requirements.txt" and frameworks_of(each)]
    if models and not code:
        found = {known[0] if len(known := frameworks_of(each)) == 1 else of_content(each) for each in models}
        if len(found) == 1:
            return found.pop()
    return Framework.PYTHON if any(STEP.search(read(each)) for each in code) else Framework.CUSTOM


def _of_configs(files: Sequence[str], read: Callable[[str], bytes]) -> Framework | None:
    """The task of a Hugging Face folder, by its configurations."""
    configs = [each for each in files if PurePosixPath(each).name in {"config.json", "model_index.json"}]
    if not configs:
        return None
    from trivet.packaging import framework_of_folder

    with tempfile.TemporaryDirectory(prefix="trivet-upload-") as folder:
        for each in configs:
            copy = Path(folder, *PurePosixPath("/", each).parts[1:])
            with suppress(OSError):  # a name that is a file and a folder: the platform refuses the package
                if ".." not in copy.parts:
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(read(each))
        return framework_of_folder(Path(folder), files, name="the package")
