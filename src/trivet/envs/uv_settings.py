"""Turns pip's configuration into variables of uv: an index's address may hold a password, and other users can read arguments.

uv's own settings (`UV_…`) win over pip's.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trivet.domain.digest import digest_of_bytes
from trivet.envs.pip_config import PipConfig

__all__ = ["UvSettings", "uv_settings"]

# Passed to uv, and by uv to builds of source distributions. No other variable is passed: that code is not ours, and the
# environment may hold secrets.
_KEPT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "NETRC",
        "CC",
        "CXX",
        "FC",
        "AR",
        "LD",
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
        "FFLAGS",
        "LDFLAGS",
        "LD_LIBRARY_PATH",
        "LIBRARY_PATH",
        "CPATH",
        "PKG_CONFIG_PATH",
        "MAKEFLAGS",
        "CUDA_HOME",
        "SOURCE_DATE_EPOCH",
        "NO_PROXY",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "SSL_CLIENT_CERT",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_CONFIG_DIRS",
        "XDG_DATA_HOME",
    }
)
# Variables of uv that would change what is built, or where.
_DROPPED = frozenset(
    {
        "UV",
        "UV_LINK_MODE",
        "UV_PYTHON",
        "UV_PYTHON_PREFERENCE",
        "UV_MANAGED_PYTHON",
        "UV_NO_MANAGED_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_PROJECT",
        "UV_BREAK_SYSTEM_PACKAGES",
        "UV_PROJECT_ENVIRONMENT",
        "UV_WORKING_DIR",
        "UV_WORKING_DIRECTORY",
        "UV_ENV_FILE",
        "UV_NO_VERIFY_HASHES",
        "UV_REQUIRE_HASHES",
        "UV_NO_REQUIRE_HASHES",
        "UV_VENV_SEED",
        "UV_VENV_CLEAR",
        "UV_VENV_RELOCATABLE",
        "UV_CUSTOM_COMPILE_COMMAND",
        "UV_NO_INSTALLER_METADATA",
        "UV_FROZEN",
        "UV_LOCKED",
        "UV_NO_SYNC",
        "UV_COMPILE_BYTECODE",
        "UV_NO_PROGRESS",
        "UV_PREVIEW",
        "UV_PREVIEW_FEATURES",
        "UV_PUBLISH_TOKEN",
        "UV_PUBLISH_PASSWORD",
    }
)
# Variables that change how packages are fetched and installed, but not which versions.
_NOT_DECISIVE = re.compile(
    r"UV_(CACHE_DIR|NO_CACHE|OFFLINE|HTTP_|CONCURRENT_|LINK_MODE|INSECURE_HOST|SYSTEM_CERTS|NATIVE_TLS|KEYRING|"
    r"CREDENTIALS_DIR|REQUEST_TIMEOUT|PYTHON_|STACK_SIZE|INDEX_.*_(USERNAME|PASSWORD)$|TOOL_|PUBLISH_)"
)
_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/'\"`<>]*@")
_ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True, kw_only=True, slots=True)
class UvSettings:
    """How to call uv.

    Attributes:
        environ: all of its environment variables.
        arguments: for every call that resolves or installs; free of secrets.
        secrets: texts that must not be shown or stored.
        fingerprint: a digest of all settings that decide which version of a package is taken; without logins, so that a
            new password does not change it.
        source_builds: whether packages without a wheel may be built.
    """

    environ: Mapping[str, str]
    arguments: tuple[str, ...]
    secrets: tuple[str, ...]
    fingerprint: str
    source_builds: bool = True

    def redact(self, text: str) -> str:
        """The text without logins."""
        text = _LOGIN.sub(r"\g<scheme>****@", text)
        for secret in self.secrets:
            text = text.replace(secret, "****")
        return text

    def with_wheels(self, folder: Path) -> "UvSettings":
        """The same, with a folder of wheels to look in first."""
        links = ",".join(filter(None, (_location(str(folder)), self.environ.get("UV_FIND_LINKS"))))
        return replace(self, environ={**self.environ, "UV_FIND_LINKS": links})

    def with_arguments(self, *arguments: str) -> "UvSettings":
        """The same, with more arguments."""
        return replace(self, arguments=(*self.arguments, *arguments))


def uv_settings(environ: Mapping[str, str], pip: PipConfig, *, cache: Path, source_builds: bool = True) -> UvSettings:
    """Joins the environment's variables and pip's configuration.

    Args:
        environ: the environment variables.
        pip: pip's configuration.
        cache: the folder for uv's cache if the environment names none.
        source_builds: whether packages without a wheel may be built.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name.startswith("LC_") or (name.startswith("UV_") and name not in _DROPPED)
    }
    if not any(variables.get(name) for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME", "HOME")):
        variables["UV_CACHE_DIR"] = str(cache)
    variables |= _indexes(variables, pip) | _network(variables, environ, pip) | _configuration_file(variables)
    # A hard link is one file for all environments that were installed from the cache.
    variables |= {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
    arguments = ["--no-index"] if pip.no_index else []
    if not source_builds:
        arguments.append("--no-build")
    for option, names in (("--no-binary", pip.no_binary), ("--only-binary", pip.only_binary)):
        for name in names:
            arguments += [option, name]
    secrets = _secrets([*variables.values(), *filter(None, (pip.index_url, pip.proxy)), *pip.extra_index_urls])
    secrets |= {value for name, value in variables.items() if re.fullmatch(r"UV_INDEX_.*_PASSWORD", name) and value}
    return UvSettings(
        environ=variables,
        arguments=tuple(arguments),
        # Longest first, so that no secret is replaced in part.
        secrets=tuple(sorted(secrets, key=len, reverse=True)),
        fingerprint=_fingerprint(variables, arguments),
        source_builds=source_builds,
    )


def _indexes(variables: Mapping[str, str], pip: PipConfig) -> dict[str, str]:
    own: dict[str, str] = {}
    if pip.index_url and not variables.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        own["UV_DEFAULT_INDEX"] = _location(pip.index_url)
    if pip.extra_index_urls and not variables.keys() & {"UV_INDEX", "UV_EXTRA_INDEX_URL"}:
        own["UV_INDEX"] = " ".join(_location(url) for url in pip.extra_index_urls)
        # pip takes the best version over all of its indexes; uv by default stops at the first index with the name.
        if "UV_INDEX_STRATEGY" not in variables:
            own["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = variables.get("UV_FIND_LINKS", "").split(",") if "UV_FIND_LINKS" in variables else pip.find_links
    # pip skips a missing folder; uv fails.
    present = [_location(link) for link in links if link and _is_there(link)]
    if present or "UV_FIND_LINKS" in variables:
        own["UV_FIND_LINKS"] = ",".join(present)
    if pip.pre and "UV_PRERELEASE" not in variables:
        own["UV_PRERELEASE"] = "allow"
    return own


def _network(variables: Mapping[str, str], environ: Mapping[str, str], pip: PipConfig) -> dict[str, str]:
    own: dict[str, str] = {}
    certificates = pip.cert or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if certificates and not variables.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        path = Path(certificates).expanduser().absolute()
        own["SSL_CERT_DIR" if path.is_dir() else "SSL_CERT_FILE"] = str(path)
    if pip.client_cert and "SSL_CLIENT_CERT" not in variables:
        own["SSL_CLIENT_CERT"] = str(Path(pip.client_cert).expanduser().absolute())
    if pip.trusted_hosts and "UV_INSECURE_HOST" not in variables:
        own["UV_INSECURE_HOST"] = " ".join(pip.trusted_hosts)
    if pip.timeout_s and "UV_HTTP_TIMEOUT" not in variables:
        own["UV_HTTP_TIMEOUT"] = str(max(1, round(pip.timeout_s)))
    if pip.proxy:
        proxy = pip.proxy if "://" in pip.proxy else f"http://{pip.proxy}"
        own |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    return own


def _configuration_file(variables: Mapping[str, str]) -> dict[str, str]:
    """Names uv's own file: by default, uv also reads files in the folders above its working folder."""
    if "UV_CONFIG_FILE" in variables or "UV_NO_CONFIG" in variables:
        return {}
    home = variables.get("HOME")
    folders = [variables["XDG_CONFIG_HOME"]] if variables.get("XDG_CONFIG_HOME") else []
    if home and not folders:
        folders = [str(Path(home) / ".config")]
    folders += [*variables.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep), "/etc"]
    for folder in folders:
        file = Path(folder) / "uv/uv.toml"
        if folder and file.is_file():
            return {"UV_CONFIG_FILE": str(file)}
    return {"UV_NO_CONFIG": "1"}


def _location(text: str) -> str:
    """An address unchanged; a path as a `file:` address, because uv runs in another folder and splits at commas."""
    if "://" in text:
        return text
    path = text.removeprefix("file:")
    return Path(path).expanduser().absolute().as_uri()


def _local_folder(link: str) -> Path | None:
    if link.startswith("file:") or "://" not in link:
        return Path(unquote(urlsplit(_location(link)).path))
    return None


def _is_there(link: str) -> bool:
    folder = _local_folder(link)
    return folder is None or folder.exists()


def _secrets(texts: list[str]) -> set[str]:
    found = set()
    for text in texts:
        for word in text.split():
            if "://" not in word or "@" not in word:
                continue
            login = word.split("://", 1)[1].split("/", 1)[0].rpartition("@")[0]
            name, _, password = login.partition(":")
            # A token is often given alone, as the user.
            secret = password or name
            found |= {secret, unquote(secret)} - {""}
    # Words this short also occur in ordinary text; the pattern for logins covers them in addresses.
    return {secret for secret in found if len(secret) > 3}


def _fingerprint(variables: Mapping[str, str], arguments: list[str]) -> str:
    lines = [
        _LOGIN.sub(r"\g<scheme>", f"{name}={value}") for name, value in sorted(variables.items()) if _decides(name)
    ]
    lines += arguments
    for link in variables.get("UV_FIND_LINKS", "").split(","):
        folder = _local_folder(link) if link else None
        if folder is not None and folder.is_dir():
            lines += sorted(_listed(file) for file in folder.iterdir() if file.name.endswith(_ARCHIVES))
    for name in ("UV_CONFIG_FILE", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_BUILD_CONSTRAINT"):
        for word in variables.get(name, "").split():
            if (file := Path(word)).is_file():
                lines.append(digest_of_bytes(file.read_bytes()))
    return digest_of_bytes("\n".join(lines).encode())


def _decides(name: str) -> bool:
    return name.startswith("UV_") and not _NOT_DECISIVE.match(name)


def _listed(file: Path) -> str:
    about = file.stat()
    return f"{file.name} {about.st_size} {about.st_mtime_ns}"
