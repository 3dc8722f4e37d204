"""What pip was told, told to uv; and nothing told to anybody else."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.envs.pip_config import PipConfig
from trivet.envs.uv_settings import uv_settings

CACHE = Path("/cache")


def settings(environ=None, **pip):
    return uv_settings({"HOME": "/nobody", **(environ or {})}, PipConfig(**pip), cache=CACHE)


def test_indexes_become_variables_and_pips_rule_for_several_is_kept():
    environ = settings(index_url="https://a.invalid/simple", extra_index_urls=("https://b.invalid", "/mirror")).environ
    assert environ["UV_DEFAULT_INDEX"] == "https://a.invalid/simple"
    assert environ["UV_INDEX"] == "https://b.invalid file:///mirror"
    assert environ["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_one_index_alone_leaves_uvs_own_safer_rule():
    assert "UV_INDEX_STRATEGY" not in settings(index_url="https://a.invalid/simple").environ


def test_no_argument_ever_holds_an_address():
    made = settings(
        index_url="https://me:secret@a.invalid", extra_index_urls=("https://me:secret@b.invalid",), no_index=True
    )
    assert made.arguments == ("--no-index",)


@pytest.mark.parametrize(
    ("variable", "pip"),
    [
        ("UV_DEFAULT_INDEX", {"index_url": "https://pip.invalid"}),
        ("UV_INDEX", {"extra_index_urls": ("https://pip.invalid",)}),
        ("UV_INSECURE_HOST", {"trusted_hosts": ("pip.invalid",)}),
        ("UV_HTTP_TIMEOUT", {"timeout_s": 7.0}),
        ("UV_PRERELEASE", {"pre": True}),
        ("SSL_CERT_FILE", {"cert": "/pip.pem"}),
    ],
)
def test_settings_of_uv_win_over_pips(variable, pip):
    assert settings({variable: "own"}, **pip).environ[variable] == "own"
    assert settings({}, **pip).environ[variable] != "own"


def test_an_older_name_of_uvs_index_counts_too():
    assert "UV_DEFAULT_INDEX" not in settings({"UV_INDEX_URL": "own"}, index_url="https://pip.invalid").environ


def test_folders_of_links_become_addresses_that_survive_spaces_and_commas(tmp_path):
    (tmp_path / "a, b").mkdir()
    links = settings(find_links=(str(tmp_path / "a, b"), "https://links.invalid/page")).environ["UV_FIND_LINKS"]
    assert links == f"{tmp_path.as_uri()}/{quote('a, b')},https://links.invalid/page"


def test_a_folder_of_links_that_is_not_there_is_passed_over():
    assert "UV_FIND_LINKS" not in settings(find_links=("/nowhere/at/all",)).environ


def test_a_wheels_folder_comes_before_other_links(tmp_path):
    made = settings({"UV_FIND_LINKS": "https://links.invalid"}).with_wheels(tmp_path)
    assert made.environ["UV_FIND_LINKS"] == f"{tmp_path.as_uri()},https://links.invalid"


def test_certificates_and_proxies_reach_uv(tmp_path):
    environ = settings(cert=str(tmp_path), proxy="me:pw@proxy.invalid:3128", client_cert="/mine.pem").environ
    assert environ["SSL_CERT_DIR"] == str(tmp_path)
    assert environ["HTTPS_PROXY"] == "http://me:pw@proxy.invalid:3128"
    assert environ["SSL_CLIENT_CERT"] == "/mine.pem"
    assert settings({"REQUESTS_CA_BUNDLE": "/bundle.pem"}).environ["SSL_CERT_FILE"] == "/bundle.pem"


def test_other_variables_are_not_handed_on():
    environ = settings(
        {"AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/x", "UV_SYSTEM_PYTHON": "1", "LC_ALL": "C"}
    ).environ
    assert environ.keys() & {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "UV_SYSTEM_PYTHON"} == set()
    assert environ["LC_ALL"] == "C"


def test_uvs_own_file_is_named_outright(tmp_path):
    assert settings({"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}).environ.get("UV_NO_CONFIG")
    file = tmp_path / "uv/uv.toml"
    file.parent.mkdir()
    file.write_text("")
    assert settings({"XDG_CONFIG_HOME": str(tmp_path)}).environ["UV_CONFIG_FILE"] == str(file)


def test_builds_that_pip_forbids_or_demands_are_arguments():
    assert settings(no_binary=("a", "b"), only_binary=(":all:",)).arguments == (
        "--no-binary", "a", "--no-binary", "b", "--only-binary", ":all:",
    )  # fmt: skip


def test_the_fingerprint_follows_the_index_and_not_the_login():
    plain = settings(index_url="https://a.invalid/simple").fingerprint
    assert settings(index_url="https://me:secret@a.invalid/simple").fingerprint == plain
    assert settings(index_url="https://b.invalid/simple").fingerprint != plain
    assert settings({"UV_CACHE_DIR": "/x"}, index_url="https://a.invalid/simple").fingerprint == plain
    assert settings({"UV_RESOLUTION": "lowest"}, index_url="https://a.invalid/simple").fingerprint != plain


def test_the_fingerprint_follows_the_files_in_a_folder_of_links(tmp_path):
    before = settings(find_links=(str(tmp_path),)).fingerprint
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"")
    assert settings(find_links=(str(tmp_path),)).fingerprint != before


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&()*+,;=:@/?#"


@given(password=st.text(LETTERS, min_size=8, max_size=30), user=st.text("abcdefgh", max_size=8))
def test_no_login_of_any_index_survives_redaction(password, user):
    address = f"https://{user}:{quote(password, safe='')}@index.invalid/simple"
    made = settings(index_url=address)
    said = made.redact(f"could not fetch {address} ({password}) [{quote(password, safe='')}]")
    assert quote(password, safe="") not in said
    assert password not in said
    assert "index.invalid/simple" in said


def test_logins_of_other_addresses_are_redacted_too():
    assert settings().redact("git+https://tok3n@host.invalid/x and a@b.invalid") == (
        "git+https://****@host.invalid/x and a@b.invalid"
    )


def test_a_token_in_the_users_place_is_a_secret():
    made = settings(index_url="https://tok3n-tok3n@index.invalid/simple")
    assert made.redact("401 for tok3n-tok3n") == "401 for ****"
