"""The versions that ended or blocked a gateway, in a file, until the supervisor has moved them to workers for good."""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trivet.disk.replace import replace_file
from trivet.domain.decoders import decoder
from trivet.domain.routes import NativeStep, RouteTable

__all__ = ["native_faults"]

log = logging.getLogger(__name__)


def native_faults(path: Path, *, seen: Mapping[int, str], table: RouteTable | None) -> dict[str, str]:
    """The faulty versions, and what each did, by UUID.

    Args:
        path: the file. It is written if there are new ones.
        seen: the new ones, by the number of their version.
        table: the routes in which they ran.
    """
    known = _read(path)
    steps = [] if table is None else [step for route in table.routes for step in route.steps]
    found = {
        step.version: seen[step.version_id]
        for step in steps
        if isinstance(step, NativeStep) and step.version_id in seen and step.version not in known
    }
    if not found:
        return known
    for version, how in found.items():
        log.warning("version %s does not run in the gateway's process any more: %s", version, how)
    known.update(found)
    try:
        replace_file(path, msgspec.json.encode(known), durable=True)
    except OSError as error:
        log.warning("failed to write %s: %s", path, error.strerror or error)
    return known


def _read(path: Path) -> dict[str, str]:
    try:
        return decoder(dict[str, str]).decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("failed to read %s: %s", path, error)
        return {}
