"""Turns a path into a checked package: finds its files, settings and framework, and checks its convention."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from trivet.domain.frameworks import ACCEPTED, NOT_TAKEN, frameworks_of
from trivet.domain.names import propose_name
from trivet.domain.package import ModelSettings, Package
from trivet.errors import BadPackage, NotFound
from trivet.packaging.frameworks.detect import inspect_package, no_such_model
from trivet.packaging.frameworks.inspection import Unpacked
from trivet.packaging.limits import Limits
from trivet.packaging.settings import MAX_BYTES, SETTINGS_NAME, merge_settings, parse_settings
from trivet.packaging.store import StoredPackage, put_file, put_folder, put_zip

__all__ = ["open_package", "unpack_again"]

NO_LIMITS_SET = Limits()
NO_SETTINGS = ModelSettings()


def _silent(_text: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """The package at a path.

    Attributes:
        path: the file or folder that is the package.
        settings: from a `trivet.yaml` outside of it.
    """

    path: Path
    settings: ModelSettings = NO_SETTINGS


def open_package(
    path: Path,
    *,
    store: Path,
    file_name: str | None = None,
    settings: ModelSettings = NO_SETTINGS,
    limits: Limits = NO_LIMITS_SET,
    requirements_required: bool = True,
    report: Callable[[str], None] = _silent,
) -> Package:
    """Check a package, and put it into the store. Nothing of it is run.

    Args:
        path: a model's file, a `.zip`, or a folder. A `trivet.yaml` in it is read; so is one beside a file, if its
            `model` names that file; in a folder its `model` may name a `.zip` or a model's file in that folder.
        store: where packages are kept, by digest.
        file_name: the uploaded file's name, if the path has another one; then nothing beside it is read.
        settings: from flags; only `framework` and `trust` are used here.
        limits: on what is unpacked.
        requirements_required: refuse a custom model without a `requirements.txt`.
        report: called with each warning.

    Returns:
        The package; its `settings` come from its own `trivet.yaml`, without the flags.

    Raises:
        NotFound: the path does not exist.
        BadPackage: it is not a package, or does not follow its convention; `path` says where.
        TooLarge: beyond the limits.
        Unavailable: the store cannot be written to.
    """
    try:
        found = _locate(path) if file_name is None else _uploaded(path, name=file_name)
    except OSError as error:
        raise BadPackage(
            f"{str(path)[:200]!r} cannot be read",
            why=error.strerror or str(error),
            fix="check that it exists and is readable for the user that runs Trivet",
        ) from error
    stored = _put(found.path, store=store, limits=limits, name=file_name)
    own, model = found.settings, None
    if any(each.path == SETTINGS_NAME for each in stored.manifest.files):
        inner, model = _read_settings(stored.root / SETTINGS_NAME, source=SETTINGS_NAME)
        own = merge_settings(flags=own, own=inner)
    elif any(each.path == "trivet.yml" for each in stored.manifest.files):
        report(f"trivet.yml is not read: rename it to {SETTINGS_NAME}")
    framework, contents = inspect_package(
        Unpacked(
            root=stored.root,
            manifest=stored.manifest,
            name=stored.file_name,
            model=model,
            requirements_required=requirements_required,
            trust=bool(settings.trust),
        ),
        framework=settings.framework or own.framework,
    )
    for note in contents.notes:
        report(note)
    return Package(
        name=_name(found.path if file_name is None else Path(file_name)),
        file_name=stored.file_name,
        digest=stored.digest,
        root=stored.root,
        manifest=stored.manifest,
        framework=framework,
        contents=contents,
        settings=own,
    )


def unpack_again(path: Path, *, store: Path, file_name: str, limits: Limits = NO_LIMITS_SET) -> Path:
    """Put a package that was checked before into the store again.

    Args:
        path: its file.
        store: where packages are kept.
        file_name: the uploaded file's name.
        limits: on what is unpacked.

    Returns:
        The folder with its files.

    Raises:
        BadPackage, TooLarge: it is not a package any more.
        Unavailable: the store cannot be written to.
    """
    return _put(path, store=store, limits=limits, name=file_name).root


def _locate(path: Path) -> _Found:
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        raise _not_found(path)
    if not path.is_file():
        raise BadPackage(f"{str(path)!r} is neither a file nor a folder", fix=ACCEPTED, path=str(path))
    _check_type(path, shown=str(path))
    beside = path.parent / SETTINGS_NAME
    if beside.is_file():
        settings, model = _read_settings(beside, source=str(beside))
        if model == path.name:
            return _Found(path=path, settings=settings)
    return _Found(path=path)


def _check_type(path: Path, *, shown: str) -> None:
    suffix = path.suffix.lower()
    if suffix != ".zip" and not frameworks_of(path.name):
        other = NOT_TAKEN.get(suffix)
        raise BadPackage(
            f"{path.name!r} is not a package",
            why=f"files of type {suffix!r} are not supported" if suffix else "the file name has no suffix",
            fix=ACCEPTED if other is None else other.fix,
            path=shown,
            reason="unknown_file_type",
        )


def _in_folder(folder: Path) -> _Found:
    """The folder itself, or the zip in it that its settings name."""
    inside = folder / SETTINGS_NAME
    if not any(folder.iterdir()):
        raise BadPackage(f"{str(folder)!r} is empty", fix=ACCEPTED, path=str(folder))
    if inside.is_file():
        settings, model = _read_settings(inside, source=str(inside))
        if model is not None and model.lower().endswith(".zip"):
            if not (folder / model).is_file():
                raise no_such_model(model, [each.name for each in folder.iterdir()], where=str(inside))
            return _Found(path=folder / model, settings=settings)
    return _Found(path=folder)


def _uploaded(path: Path, *, name: str) -> _Found:
    """A file whose name differs from its path's."""
    if not path.is_file():
        raise _not_found(path)
    _check_type(Path(name), shown=name)
    return _Found(path=path)


def _put(path: Path, *, store: Path, limits: Limits, name: str | None = None) -> StoredPackage:
    if path.is_dir():
        return put_folder(path, store=store, limits=limits)
    put = put_zip if Path(name or path).suffix.lower() == ".zip" else put_file
    return put(path, store=store, limits=limits, name=name)


def _read_settings(path: Path, *, source: str) -> tuple[ModelSettings, str | None]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise BadPackage(f"{SETTINGS_NAME} cannot be read", why=error.strerror or str(error), path=source) from error
    except UnicodeDecodeError as error:
        raise BadPackage(
            f"{SETTINGS_NAME} is not UTF-8 text", why=error.reason, fix="save it as UTF-8", path=source
        ) from error
    return parse_settings(text, source=source)


def _not_found(path: Path) -> NotFound:
    parent = path.parent
    fix = None
    if not parent.is_dir():
        fix = f"the folder {str(parent)!r} does not exist either"
    else:
        near = get_close_matches(path.name, [each.name for each in parent.iterdir()], n=1)
        fix = f"did you mean {str(parent / near[0])!r}?" if near else ACCEPTED
    return NotFound(f"File not found: {str(path)!r}", fix=fix, path=str(path))


def _name(path: Path) -> str:
    """A name made from the name of a file or folder, without the file's suffix."""
    path = path if path.name not in {"", ".."} else path.resolve()
    return propose_name(path.stem if path.suffix.lower() == ".zip" or frameworks_of(path.name) else path.name)
