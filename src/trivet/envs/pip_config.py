"""Reads pip's own configuration, so that Trivet reaches a package index wherever pip does.

Order and names are pip's: the global files, the user's, the interpreter's, the one that `PIP_CONFIG_FILE` names, then
variables (`PIP_INDEX_URL`); later ones win, and `[install]` wins over `[global]`.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import BadEnvironment

__all__ = ["PipConfig", "read_pip_config"]

_TRUE = {"y", "yes", "t", "true", "on", "1"}
_FALSE = {"n", "no", "f", "false", "off", "0"}
_SECTIONS = ("global", "install", ":env:")
_Values = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PipConfig:
    """The settings of pip that decide which packages are taken, and from where.

    Attributes:
        index_url: the index; None is PyPI.
        extra_index_urls: more of them; the best version over all wins.
        find_links: folders, or pages with links, to look in too.
        no_index: look only there.
        trusted_hosts: hosts whose certificates are not checked.
        cert: a file (or folder) of certificate authorities.
        client_cert: a client certificate with its key.
        proxy: `[scheme://][user:password@]host:port`.
        timeout_s: of one request.
        no_binary: packages never to be taken as wheels; `:all:`.
        only_binary: packages never to be built; `:all:`.
        pre: take pre-releases.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout_s: float | None = None
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    pre: bool = False


def read_pip_config(environ: Mapping[str, str], *, prefix: Path = Path(sys.prefix)) -> PipConfig:
    """Reads what pip would read.

    Args:
        environ: the environment variables.
        prefix: the interpreter's folder, which may hold a `pip.conf`.

    Raises:
        BadEnvironment: a file is not a configuration file, or a value has the wrong type.
    """
    values: _Values = {section: {} for section in _SECTIONS}
    for file in _files(environ, prefix=prefix):
        _read_file(file, into=values)
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            values[":env:"][_normalised(name.removeprefix("PIP_"))] = value
    merged = {key: value for section in _SECTIONS for key, value in values[section].items() if value.strip()}
    return PipConfig(
        index_url=merged.get("index-url", merged.get("pypi-url")),
        extra_index_urls=_words(merged, "extra-index-url"),
        find_links=_words(merged, "find-links"),
        no_index=_flag(merged, "no-index"),
        trusted_hosts=_words(merged, "trusted-host"),
        cert=merged.get("cert"),
        client_cert=merged.get("client-cert"),
        proxy=merged.get("proxy"),
        timeout_s=_seconds(merged),
        no_binary=_words(merged, "no-binary", separator=","),
        only_binary=_words(merged, "only-binary", separator=","),
        pre=_flag(merged, "pre"),
    )


def _files(environ: Mapping[str, str], *, prefix: Path) -> list[Path]:
    """The files that pip reads, weakest first."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    files = [Path(folder) / "pip/pip.conf" for folder in _config_folders(environ)]
    files.append(Path("/etc/pip.conf"))
    # A file that the variable names replaces the user's, as in pip.
    if not (named and Path(named).exists()):
        files.extend(_user_files(environ))
    files.append(prefix / "pip.conf")
    if named:
        files.append(Path(named))
    return files


def _config_folders(environ: Mapping[str, str]) -> list[str]:
    if sys.platform == "darwin":
        return ["/Library/Application Support"]
    return [folder for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if folder]


def _user_files(environ: Mapping[str, str]) -> list[Path]:
    home = environ.get("HOME")
    if not home:
        own = environ.get("XDG_CONFIG_HOME")
        return [Path(own) / "pip/pip.conf"] if own else []
    config = Path(environ.get("XDG_CONFIG_HOME") or Path(home) / ".config")
    if (
        sys.platform == "darwin"
        and (application := Path(home) / "Library/Application Support").joinpath("pip").is_dir()
    ):
        config = application
    return [Path(home) / ".pip/pip.conf", config / "pip/pip.conf"]


def _read_file(file: Path, *, into: _Values) -> None:
    parser = configparser.RawConfigParser()
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError):
        return
    except UnicodeDecodeError as error:
        raise _unreadable(file, "it is not UTF-8 text") from error
    try:
        parser.read_string(text, source=str(file))
    except configparser.Error as error:
        # The parser's message quotes the line, which may hold a password: report the error's type only.
        raise _unreadable(file, f"it is not in pip's format ({type(error).__name__})") from error
    for section in _SECTIONS:
        if parser.has_section(section):
            into[section].update({_normalised(key): value for key, value in parser.items(section) if value})


def _unreadable(file: Path, why: str) -> BadEnvironment:
    return BadEnvironment(
        "pip's configuration cannot be read",
        why=why,
        fix="fix that file, or set PIP_CONFIG_FILE=/dev/null to ignore it",
        path=str(file),
        reason="bad_pip_configuration",
    )


def _normalised(key: str) -> str:
    return key.lower().replace("_", "-").removeprefix("--")


def _words(merged: Mapping[str, str], key: str, *, separator: str | None = None) -> tuple[str, ...]:
    text = merged.get(key, "")
    return tuple((text.replace(separator, " ") if separator else text).split())


def _flag(merged: Mapping[str, str], key: str) -> bool:
    text = merged.get(key, "false").strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise BadEnvironment(
        f"pip's setting '{key}' is neither true nor false",
        fix=f"set it to true or false (in pip.conf, or as PIP_{key.upper().replace('-', '_')})",
        reason="bad_pip_configuration",
    )


def _seconds(merged: Mapping[str, str]) -> float | None:
    text = merged.get("timeout", merged.get("default-timeout"))
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadEnvironment(
            "pip's setting 'timeout' is not a number",
            fix="set it to a number of seconds (in pip.conf, or as PIP_TIMEOUT)",
            reason="bad_pip_configuration",
        ) from None
