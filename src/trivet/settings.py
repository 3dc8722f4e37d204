"""Settings: arguments over environment variables over `<home>/config.toml` over defaults, read in this module only."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trivet.errors import Invalid

__all__ = [
    "Settings",
    "process_environ",
    "read_settings",
    "settings_from_json",
    "settings_to_environ",
    "settings_to_json",
]

MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Settings of every command.

    Attributes:
        home: where packages, environments, logs and worker code lie (`TRIVET_HOME`; default `~/.trivet`).
        offline: build environments from the cache and wheel folders alone (`TRIVET_OFFLINE`).
        wheels: a folder of wheels to install from (`TRIVET_WHEELS`).
        trust_native: let ONNX models run in the gateway's process although their graphs were not proved harmless: one row can
            then stop it for all (`TRIVET_TRUST_NATIVE`).
        native_call_mib: what a call in the gateway's process may take of memory, by the bounds of its graph, in MiB
            (`TRIVET_NATIVE_CALL_MIB`).
        max_body_mib: largest request, in MiB (`TRIVET_MAX_BODY_MIB`).
        max_held_mib: what all requests in flight may hold in the memory of one process, in MiB: bodies, rows, answers
            (`TRIVET_MAX_HELD_MIB`).
        client_timeout_s: how long a client may take to send the head of a request, to send its body, and to read a piece of its
            answer (`TRIVET_CLIENT_TIMEOUT_S`).
        max_waiting: requests that may wait for one model (`TRIVET_MAX_WAITING`).
        load_timeout_s: how long a worker may take to load its model (`TRIVET_LOAD_TIMEOUT_S`).
        stop_delay_s: how long a stopping server reports "not ready" and still answers, so that a load balancer sends its
            requests elsewhere (`TRIVET_STOP_DELAY_S`).
        drain_s: how long requests in flight may take at a stop (`TRIVET_DRAIN_S`).
        gateway_hang_s: how long the gateway's event loop may stand still before the process is replaced (`TRIVET_GATEWAY_HANG_S`).
        host: where the platform listens (`TRIVET_HOST`).
        port: of the control API; 0 takes a free one (`TRIVET_PORT`).
        http_port: of predictions over HTTP; 0 takes a free one (`TRIVET_HTTP_PORT`).
        hosts: names besides loopback ones that `Host` and `Origin` of requests may have, separated by commas (`TRIVET_HOSTS`).
        tls_cert: PEM file with the certificate and its chain, for all listeners (`TRIVET_TLS_CERT`).
        tls_key: PEM file with its key (`TRIVET_TLS_KEY`).
        database_url: of the catalog; by default a SQLite file in the home. It may hold a password (`TRIVET_DATABASE_URL`).
        blob_url: where packages are kept; by default a folder in the home (`TRIVET_BLOB_URL`).
        max_upload_mib: largest upload, in MiB (`TRIVET_MAX_UPLOAD_MIB`).
        inference_log_mib: what the inference log of one pipeline may take, in MiB; 0 keeps none (`TRIVET_INFERENCE_LOG_MIB`).
        inference_log_days: how long it is kept, in days (`TRIVET_INFERENCE_LOG_DAYS`).
        access_log: write a line for each prediction request to `logs/access.jsonl` in the home (`TRIVET_ACCESS_LOG`).
        sandbox: keeps workers to their own files: `on` where the kernel has it, `required`, or `off` (`TRIVET_SANDBOX`).
        worker_read: files and folders that every worker may read, separated by commas (`TRIVET_WORKER_READ`).
        worker_network: `full`, or `none` to keep models from the network (`TRIVET_WORKER_NETWORK`).
        requirements_required: refuse a custom model without a `requirements.txt`; an empty one is fine (`TRIVET_REQUIREMENTS_REQUIRED`).
        stand_in: load and run versions on this machine that are built for another processor or accelerator (`TRIVET_STAND_IN`).
        source_builds: build packages from source if an index has no wheel of them (`TRIVET_SOURCE_BUILDS`).
        cuda_packages: whether packages that only a GPU uses are installed: `auto` where the machine has a GPU, or `always`
            (`TRIVET_CUDA_PACKAGES`).
        proof_tolerance: differences of numbers up to this, relative to the number or to usual ones of its column, do not keep a
            converted model from the gateway's process (`TRIVET_PROOF_TOLERANCE`).
    """

    home: Path
    offline: bool = False
    wheels: Path | None = None
    trust_native: bool = False
    native_call_mib: float = 1024.0
    max_body_mib: float = 256.0
    max_held_mib: float = 4096.0
    client_timeout_s: float = 60.0
    max_waiting: int = 1024
    load_timeout_s: float = 600.0
    stop_delay_s: float = 0.0
    drain_s: float = 30.0
    gateway_hang_s: float = 10.0
    host: str = "127.0.0.1"
    port: int = 8000
    http_port: int = 8080
    hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    blob_url: str | None = None
    max_upload_mib: float = 16384.0
    inference_log_mib: float = 512.0
    inference_log_days: float = 30.0
    access_log: bool = False
    sandbox: str = "on"
    worker_read: tuple[Path, ...] = ()
    worker_network: str = "full"
    requirements_required: bool = True
    stand_in: bool = False
    source_builds: bool = True
    cuda_packages: str = "auto"
    proof_tolerance: float = 1e-5


_NAMES = [each.name for each in fields(Settings) if each.name != "home"]

_WORDS = {"sandbox": ("on", "required", "off"), "worker_network": ("full", "none"), "cuda_packages": ("auto", "always")}


def read_settings(environ: Mapping[str, str], **arguments: Any) -> Settings:
    """Settings from all their sources.

    Args:
        environ: the process's environment.
        arguments: the values of flags; None if a flag was not given.

    Raises:
        Invalid: a source holds an unknown name or an invalid value.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    home = given.pop("home", None) or environ.get("TRIVET_HOME") or Path(environ.get("HOME") or "/") / ".trivet"
    home = Path(home).expanduser().absolute()
    values: dict[str, Any] = {}
    for name, value in _file(home / "config.toml").items():
        values[name] = _read(name, value, source=str(home / "config.toml"))
    for name in _NAMES:
        variable = f"TRIVET_{name.upper()}"
        if environ.get(variable):
            values[name] = _read(name, environ[variable], source=variable)
    return Settings(home=home, **{**values, **given})


def process_environ() -> Mapping[str, str]:
    """The environment of this process, for the programs that it starts."""
    return os.environ


def settings_to_json(settings: Settings) -> str:
    """All settings in one line, for another process of the platform. It may hold the database's password."""
    values = {each.name: getattr(settings, each.name) for each in fields(Settings)}
    return json.dumps(values, default=str)


def settings_from_json(text: str) -> Settings:
    """The settings that `settings_to_json` wrote."""
    values = json.loads(text)
    for name in ("home", "wheels", "tls_cert", "tls_key"):
        values[name] = None if values[name] is None else Path(values[name])
    readable = tuple(map(Path, values["worker_read"]))
    return Settings(**{**values, "hosts": tuple(values["hosts"]), "worker_read": readable})


def settings_to_environ(settings: Settings) -> dict[str, str]:
    """The variables that give another `trivet` command the same settings."""
    values = {each.name: getattr(settings, each.name) for each in fields(Settings)}
    values["hosts"] = ",".join(settings.hosts)
    values["worker_read"] = ",".join(map(str, settings.worker_read))
    return {f"TRIVET_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Invalid(f"cannot read {path}", why=str(error), fix="fix the file, or remove it") from error


def _read(name: str, value: Any, *, source: str) -> Any:
    if name not in _NAMES:
        close = get_close_matches(name, _NAMES, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"settings are {', '.join(_NAMES)}"
        raise Invalid(f"unknown setting {name!r} in {source}", fix=fix)
    try:
        match name:
            case "access_log" | "offline" | "requirements_required" | "source_builds" | "stand_in" | "trust_native":
                return _flag(value)
            case "wheels" | "tls_cert" | "tls_key":
                return Path(str(value)).expanduser()
            case "host" | "database_url" | "blob_url":
                return str(value)
            case "sandbox" | "worker_network" | "cuda_packages":
                return _one_of(value, *_WORDS[name])
            case "worker_read":
                return tuple(Path(path).expanduser() for path in _listed(value))
            case "hosts":
                return _listed(value)
            case "max_waiting":
                return _positive(int(value))
            case _ if name.endswith("port"):
                return _port(int(value))
            case "stop_delay_s" | "inference_log_mib" if float(value) == 0:
                return 0.0
        return _positive(float(value))
    except (ValueError, TypeError) as error:
        shown = "what it holds" if name == "database_url" else repr(value)
        raise Invalid(f"{source}: {shown} is not a value for {name!r}", why=str(error)) from error


def _port(number: int) -> int:
    if not 0 <= number <= 65535:
        raise ValueError("a port is between 0 and 65535")
    return number


def _positive(number: float) -> float:
    if number <= 0:
        raise ValueError("it must be above 0")
    return number


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(each.strip() for each in str(value).split(",") if each.strip())


def _one_of(value: Any, *allowed: str) -> str:
    if str(value) not in allowed:
        raise ValueError(f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("use true or false")
