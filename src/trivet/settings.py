"""Settings: arguments over environment variables over `<home>/config.toml` over defaults, read in this module only."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trivet.errors import Invalid

__all__ = ["Settings", "read_settings"]

MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What holds for every command.

    Attributes:
        home: where packages, environments, logs and worker code lie (`TRIVET_HOME`; default `~/.trivet`).
        offline: build environments from the cache and wheel folders alone (`TRIVET_OFFLINE`).
        wheels: a folder of wheels to install from (`TRIVET_WHEELS`).
        max_body_mib: largest request, in MiB (`TRIVET_MAX_BODY_MIB`).
        max_waiting: requests that may wait for one model (`TRIVET_MAX_WAITING`).
        load_timeout_s: how long a worker may take to load its model (`TRIVET_LOAD_TIMEOUT_S`).
        stop_delay_s: how long a server that was told to stop says "not ready" and still answers, so that a load balancer
            sees it and sends no more (`TRIVET_STOP_DELAY_S`).
        drain_s: how long requests in flight may take at a stop (`TRIVET_DRAIN_S`).
    """

    home: Path
    offline: bool = False
    wheels: Path | None = None
    max_body_mib: float = 256.0
    max_waiting: int = 1024
    load_timeout_s: float = 600.0
    stop_delay_s: float = 0.0
    drain_s: float = 30.0


def read_settings(environ: Mapping[str, str], **arguments: Any) -> Settings:
    """Settings from all their sources.

    Args:
        environ: the process's environment.
        arguments: what flags said; None where a flag was not given.

    Raises:
        Invalid: a source holds an unknown name, or a value that is none.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    home = given.pop("home", None) or environ.get("TRIVET_HOME") or Path(environ.get("HOME") or "/") / ".trivet"
    home = Path(home).expanduser().absolute()
    values: dict[str, Any] = {}
    for name, value in _file(home / "config.toml").items():
        values[name] = _read(name, value, source=str(home / "config.toml"))
    for field in fields(Settings):
        variable = f"TRIVET_{field.name.upper()}"
        if field.name != "home" and environ.get(variable):
            values[field.name] = _read(field.name, environ[variable], source=variable)
    return Settings(home=home, **{**values, **given})


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Invalid(f"cannot read {path}", why=str(error), fix="mend the file, or remove it") from error


def _read(name: str, value: Any, *, source: str) -> Any:
    known = [field.name for field in fields(Settings) if field.name != "home"]
    if name not in known:
        close = get_close_matches(name, known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise Invalid(f"unknown setting {name!r} in {source}", fix=fix)
    try:
        match name:
            case "offline":
                return _flag(value)
            case "wheels":
                return Path(str(value)).expanduser()
            case "max_waiting":
                return _positive(int(value))
            case "stop_delay_s" if float(value) == 0:
                return 0.0
        return _positive(float(value))
    except (ValueError, TypeError) as error:
        raise Invalid(f"{source}: {value!r} is no value for {name!r}", why=str(error)) from error


def _positive(number: float) -> float:
    if number <= 0:
        raise ValueError("it must be above 0")
    return number


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("say true or false")
