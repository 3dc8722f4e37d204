"""Pip's own settings, read as pip reads them."""

import os

import pytest

from trivet.envs.pip_config import PipConfig, read_pip_config
from trivet.errors import BadEnvironment


@pytest.fixture
def home(tmp_path):
    """An empty home, and no folders of this machine's but /etc/pip.conf, which `prefix` overrules where it matters."""
    return tmp_path / "home"


def read(home, prefix=None, **variables):
    environ = {"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "xdg"), **variables}
    return read_pip_config(environ, prefix=prefix or home / "no-prefix")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_files_and_variables_nothing_is_set(home):
    assert read(home, PIP_CONFIG_FILE=os.devnull) == PipConfig()


def test_variables_of_every_kind_are_read(home):
    config = read(
        home,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="https://index.invalid/simple",
        PIP_EXTRA_INDEX_URL="https://a.invalid https://b.invalid",
        PIP_FIND_LINKS="/one /two",
        PIP_NO_INDEX="yes",
        PIP_TRUSTED_HOST="a.invalid b.invalid:8443",
        PIP_CERT="/certs.pem",
        PIP_CLIENT_CERT="/mine.pem",
        PIP_PROXY="proxy.invalid:3128",
        PIP_DEFAULT_TIMEOUT="180",
        PIP_NO_BINARY="one,two",
        PIP_ONLY_BINARY=":all:",
        PIP_PRE="1",
    )
    assert config == PipConfig(
        index_url="https://index.invalid/simple",
        extra_index_urls=("https://a.invalid", "https://b.invalid"),
        find_links=("/one", "/two"),
        no_index=True,
        trusted_hosts=("a.invalid", "b.invalid:8443"),
        cert="/certs.pem",
        client_cert="/mine.pem",
        proxy="proxy.invalid:3128",
        timeout_s=180.0,
        no_binary=("one", "two"),
        only_binary=(":all:",),
        pre=True,
    )


def test_later_files_win_and_variables_win_over_all(home, tmp_path):
    write(home / "xdg/pip/pip.conf", "[global]\nindex-url = global\ncert = global\nproxy = global\ntimeout = 1\n")
    write(home / ".pip/pip.conf", "[global]\nindex-url = legacy\ncert = legacy\n")
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = user\ncert = user\nclient-cert = user\n")
    write(tmp_path / "prefix/pip.conf", "[global]\nindex-url = site\n")
    config = read(home, prefix=tmp_path / "prefix", PIP_PROXY="variable")
    assert (config.index_url, config.client_cert, config.proxy) == ("site", "user", "variable")
    assert config.cert == "user"


def test_a_file_that_is_named_takes_the_users_place_and_wins(home, tmp_path):
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = user\nproxy = user\n")
    write(tmp_path / "named.conf", "[global]\nindex-url = named\n")
    config = read(home, PIP_CONFIG_FILE=str(tmp_path / "named.conf"))
    assert (config.index_url, config.proxy) == ("named", None)


def test_the_section_for_installing_wins_over_the_global_one(home):
    write(home / ".config/pip/pip.conf", "[install]\nindex-url = install\n[global]\nindex-url = global\n")
    assert read(home).index_url == "install"


def test_lists_may_span_lines_and_keys_may_have_underscores(home):
    write(home / ".config/pip/pip.conf", "[global]\nextra_index_url =\n    https://a.invalid\n    https://b.invalid\n")
    assert read(home).extra_index_urls == ("https://a.invalid", "https://b.invalid")


def test_empty_variables_count_for_nothing(home):
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = user\n")
    assert read(home, PIP_INDEX_URL="").index_url == "user"


def test_without_a_home_the_rest_is_still_read(tmp_path):
    write(tmp_path / "pip.conf", "[global]\nindex-url = site\n")
    assert read_pip_config({}, prefix=tmp_path).index_url == "site"


def test_a_percent_sign_in_a_password_is_only_a_percent_sign(home):
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = https://me:a%40b@index.invalid\n")
    assert read(home).index_url == "https://me:a%40b@index.invalid"


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"PIP_NO_INDEX": "maybe"}, "pip's setting 'no-index' is neither true nor false"),
        ({"PIP_TIMEOUT": "long"}, "pip's setting 'timeout' is not a number"),
    ],
)
def test_values_of_another_kind_are_named(home, variables, what):
    with pytest.raises(BadEnvironment) as caught:
        read(home, PIP_CONFIG_FILE=os.devnull, **variables)
    assert caught.value.what == what


@pytest.mark.parametrize("text", [b"no section = here", b"[global]\n\xff\xfe = x", b"[global]\nkey = 1\nkey = 2\n"])
def test_a_file_in_another_format_is_named(home, text):
    file = home / ".config/pip/pip.conf"
    file.parent.mkdir(parents=True)
    file.write_bytes(text)
    with pytest.raises(BadEnvironment) as caught:
        read(home)
    assert caught.value.path == str(file)
    assert caught.value.fix == "fix that file, or set PIP_CONFIG_FILE=/dev/null to ignore it"
