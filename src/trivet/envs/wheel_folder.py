"""The digest of a folder of wheels: a wheel that was rebuilt under its old name changes it."""

from pathlib import Path

import msgspec

from trivet.disk.locks import temporary_folder
from trivet.domain.decoders import decoder
from trivet.domain.digest import Digest, digest_of_bytes, digest_of_file
from trivet.envs.records import write_atomically
from trivet.errors import BadEnvironment

__all__ = ["digest_of_wheels"]

_ARCHIVES = (".whl", ".tar.gz", ".zip")
_SETTLED_NS = 2_000_000_000


def digest_of_wheels(folder: Path, *, memory: Path, drafts: Path, now_ns: int) -> Digest:
    """The digest of the names and bytes of all wheels and source archives in a folder.

    Args:
        folder: where they lie.
        memory: a file that caches digests by inode, size and times, so that gigabytes are read once.
        drafts: a folder for temporary folders on the same file system, where that file is written before it is renamed.
        now_ns: the time, in nanoseconds since 1970. Files that changed a moment ago are not cached: they may change again
            within one tick of the file system's clock.

    Raises:
        BadEnvironment: the folder does not exist, or holds no archive.
    """
    if not folder.is_dir():
        raise BadEnvironment(
            f"The wheels folder {folder} was not found", fix="name a folder that holds .whl files", reason="no_wheels"
        )
    files = sorted(file for file in folder.iterdir() if file.name.endswith(_ARCHIVES) and file.is_file())
    if not files:
        raise BadEnvironment(
            f"The wheels folder {folder} holds no wheel", fix="name a folder that holds .whl files", reason="no_wheels"
        )
    known = _read(memory)
    lines, fresh = [], {}
    for file in files:
        about = file.stat()
        key = f"{about.st_dev}:{about.st_ino}:{about.st_size}:{about.st_mtime_ns}:{about.st_ctime_ns}"
        digest = known.get(key) or digest_of_file(file)
        lines.append(f"{file.name} {digest}")
        if key not in known and max(about.st_mtime_ns, about.st_ctime_ns) < now_ns - _SETTLED_NS:
            fresh[key] = digest
    if fresh:
        with temporary_folder(drafts) as space:
            write_atomically(memory, msgspec.json.encode(known | fresh), drafts=space.path)
    return digest_of_bytes("\n".join(lines).encode())


def _read(memory: Path) -> dict[str, Digest]:
    try:
        return decoder(dict[str, Digest]).decode(memory.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
